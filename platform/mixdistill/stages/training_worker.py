"""What each data-parallel worker of a fine-tune runs: reads its mix, trains, hands checkpoints, curves and the student out.

In: the `EXAMPLES_FILE` and `VALIDATION_FILE` of a finished mix, and Ray Train's last checkpoint of the run if there is one.
Out, in the run's unfinished artifact: `MODEL_FOLDER`, `MERGED_FOLDER` where the recipe merges, `TRACKING_FOLDER`, and
`RESULT_FILE` last. The manifest is left to the driver.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import ray.train

from mixdistill.artifacts import Artifact, ArtifactKey, Store
from mixdistill.models import fetch_model
from mixdistill.records import Example, from_table, schema_of
from mixdistill.stages.board import Board
from mixdistill.stages.progress import NoProgress
from mixdistill.stages.rows import EXAMPLES_FILE, MERGED_FOLDER, MODEL_FOLDER, TRACKING_FOLDER, VALIDATION_FILE
from mixdistill.stages.tasks import StageContext, TrainTask
from mixdistill.training import TrainingResult, TrainingRun

RESULT_FILE: Final = "training.json"


def train_worker(config: dict[str, Any]) -> None:
    """One worker's whole life.

    Args:
        config: "task" (TrainTask), "store_url" and "board" (Board).
    """
    from mixdistill.training.sft import train as fine_tune

    task: TrainTask = config["task"]
    board: Board = config["board"]
    context = StageContext(Store(config["store_url"]), NoProgress())
    artifact = context.artifact(task.key)
    with scratch_folder("mixdistill-train-") as scratch, local_checkpoint(ray.train.get_checkpoint()) as resume_from:

        def keep_checkpoint(folder: Path | None, metrics: dict[str, float]) -> None:
            _upload_curves(scratch, artifact)
            _report_checkpoint(folder, metrics)

        result = fine_tune(
            TrainingRun(
                run_name=task.key.name,
                model_path=str(fetch_model(task.recipe.model, task.recipe.revision)),
                recipe=task.recipe,
                prompt=task.prompt,
                seed=task.seed,
                output_dir=str(scratch),
                num_workers=task.train.num_workers,
                parallel=task.train.parallel,
                checkpoints_per_run=task.train.checkpoints_per_run,
                validations_per_run=task.train.validations_per_run,
                report_to=task.train.report_to,
            ),
            _examples(context, task.examples, EXAMPLES_FILE),
            validation=_examples(context, task.examples, VALIDATION_FILE),
            resume_from=resume_from,
            on_checkpoint=keep_checkpoint,
            on_log=lambda state: board.write(task.key.name, state),
        )
        _upload_curves(scratch, artifact)
        if result.student_dir is not None:
            _upload(artifact, result)


def _examples(context: StageContext, mix: ArtifactKey, file: str) -> Iterator[Example]:
    """The rows of a mix, a row group of text in memory at a time."""
    for batch in context.artifact(mix).read_batches(file, schema_of(Example).names):
        yield from from_table(pa.Table.from_batches([batch]), Example)


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """A folder for what training writes on its own machine; gone at the end."""
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def local_checkpoint(checkpoint: ray.train.Checkpoint | None) -> Iterator[Path | None]:
    """The last checkpoint of an earlier attempt, as a local folder; None where there is none."""
    if checkpoint is None:
        yield None
        return
    with checkpoint.as_directory() as folder:
        yield Path(folder)


def _report_checkpoint(folder: Path | None, metrics: dict[str, float]) -> None:
    """Hand this worker's part of a checkpoint to Ray Train, which copies it to the store; a barrier for all workers."""
    checkpoint = ray.train.Checkpoint.from_directory(folder) if folder is not None else None
    ray.train.report(metrics, checkpoint=checkpoint)


def _upload_curves(scratch: Path, artifact: Artifact) -> None:
    """Keep TensorBoard's files, which only the first worker has.

    They take the place of an earlier attempt's: training writes the curve before a resume into them again.
    """
    local = scratch / TRACKING_FOLDER
    if local.is_dir():
        artifact.upload_folder(local, TRACKING_FOLDER)


def _upload(artifact: Artifact, result: TrainingResult) -> None:
    """Copy the student to the store; on the first worker."""
    assert result.student_dir is not None
    artifact.upload_folder(result.student_dir, MODEL_FOLDER)
    if result.merged_dir is not None:
        artifact.upload_folder(result.merged_dir, MERGED_FOLDER)
    figures = dataclasses.asdict(result)
    del figures["student_dir"], figures["merged_dir"]
    artifact.write_json(RESULT_FILE, figures)
