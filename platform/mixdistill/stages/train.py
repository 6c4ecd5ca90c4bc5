"""Stage 5: one student for each model, mix and seed, fine-tuned by trl inside a Ray TorchTrainer.

Runs are independent: as many at once as the cluster has room for, each with its own failures. A run whose attempt failed
is tried again from its last checkpoint, which stands in its unfinished artifact, `train.max_failures` times in all
(training_failures.py says what counts as what). A run that cannot be saved is marked with the reason and named at the
end, after the others have finished.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Final

import ray
import ray.train
from ray.train.torch import TorchTrainer

from mixdistill.artifacts import Artifact
from mixdistill.errors import StageError
from mixdistill.stages.board import Board
from mixdistill.stages.capacity import num_worker_slots
from mixdistill.stages.cluster import CONSUMER_THREAD, connect
from mixdistill.stages.tasks import StageContext, TrainTask
from mixdistill.stages.training_failures import (
    FAILURE_FILE,
    Cause,
    Failure,
    cause_of,
    next_attempt,
    read_failure,
    write_failure,
)
from mixdistill.stages.training_worker import RESULT_FILE, train_worker

CHECKPOINTS_FOLDER: Final = "checkpoints"


@dataclass
class _Run:
    """One student in the making."""

    task: TrainTask
    artifact: Artifact
    causes: list[Cause] = field(default_factory=list)  # of the attempts that failed, oldest first

    @property
    def label(self) -> str:
        return f"train {self.task.key.name}"


def train(tasks: Sequence[TrainTask], context: StageContext) -> None:
    """Train each student.

    Raises:
        StageError: runs failed more often than `train.max_failures`; it names each with its reason.
    """
    connect()
    matrix = _Matrix([_Run(task, context.artifact(task.key)) for task in tasks], context)
    failed = matrix.finish()
    if failed:
        reasons = "\n".join(f"  {name}: {failure}" for name, failure in failed.items())
        raise StageError(
            f"{len(failed)} of {len(tasks)} students failed; the others are finished and kept. "
            f"Mend the cause and run again:\n{reasons}"
        )


class _Matrix:
    """All runs, those that wait and those that are being tried."""

    def __init__(self, runs: list[_Run], context: StageContext) -> None:
        self._waiting = runs
        self._running: dict[Future[None], _Run] = {}
        self._context = context
        self._board = Board()
        self._failed: dict[str, Failure] = {}
        # A thread a run: it only waits for Ray Train's controller. `disconnect` ends it when this is interrupted.
        self._executor = ThreadPoolExecutor(len(runs), thread_name_prefix=CONSUMER_THREAD)

    def finish(self) -> dict[str, Failure]:
        """Try all runs until each is finished or given up; returns the latter by name."""
        try:
            for run in self._waiting:
                _forget_failure(run.artifact)
            while self._waiting or self._running:
                while self._waiting and self._has_room(self._waiting[0]):
                    self._start(self._waiting.pop(0))
                done, _ = wait(self._running, timeout=1.0, return_when=FIRST_COMPLETED)
                self._show()
                for future in done:
                    self._settle(self._running.pop(future), future)
        finally:
            self._executor.shutdown(wait=False)
        return self._failed

    def _has_room(self, run: _Run) -> bool:
        """Whether one more may start: always, where nothing runs."""
        if not self._running:
            return True
        train = run.task.train
        if train.max_parallel is not None:
            return len(self._running) < train.max_parallel
        at_work = sum(other.task.train.num_workers for other in self._running.values())
        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        slots = num_worker_slots((node["Resources"] for node in nodes if node["Alive"]), train)
        return at_work + train.num_workers <= slots

    def _start(self, run: _Run) -> None:
        again = f", attempt {len(run.causes) + 1} after {run.causes[-1].kind}" if run.causes else ""
        self._context.progress.update(run.label, 0, 1, f"starting{again}")
        self._running[self._executor.submit(_fit, run.task, self._context.store.url, self._board)] = run

    def _show(self) -> None:
        states = self._board.read()
        for run in self._running.values():
            if state := states.get(run.task.key.name):
                self._context.progress.update(run.label, state["step"], state["num_steps"], f"loss {state['loss']:.3f}")

    def _settle(self, run: _Run, attempt: Future[None]) -> None:
        """An attempt has ended: the student is finished, tried again, or given up."""
        error = attempt.exception()
        if error is None:
            _finish(run, self._context)
            return
        if not isinstance(error, Exception):
            raise error
        run.causes.append(cause_of(error))
        start = next_attempt(run.causes, run.task.train.max_failures)
        if start is None:
            failure = Failure(run.causes[-1].kind, run.causes[-1].message, len(run.causes))
            write_failure(run.artifact, failure)
            self._failed[run.task.key.name] = failure
            self._context.progress.finish(run.label, f"failed: {failure.kind}")
            return
        if start == "beginning":
            run.artifact.remove(CHECKPOINTS_FOLDER)
        self._waiting.insert(0, run)


def _forget_failure(artifact: Artifact) -> None:
    """Take away the mark of an earlier run, and a checkpoint from which it diverged again and again."""
    failure = read_failure(artifact)
    if failure is None:
        return
    if failure.kind == "diverged":
        artifact.remove(CHECKPOINTS_FOLDER)
    artifact.remove(FAILURE_FILE)


def _fit(task: TrainTask, store_url: str, board: Board) -> None:
    """One attempt, from the last checkpoint in the artifact."""
    # Ray Train's controller would stop a run on Ctrl-C if this were the main thread; here the driver's end stops it.
    assert threading.current_thread() is not threading.main_thread()
    train = task.train
    resources = {"CPU": train.cpus_per_worker} | ({"GPU": train.gpus_per_worker} if train.gpus_per_worker else {})
    TorchTrainer(
        train_worker,
        train_loop_config={"task": task, "store_url": store_url, "board": board},
        scaling_config=ray.train.ScalingConfig(
            num_workers=train.num_workers,
            use_gpu=train.gpus_per_worker > 0,
            resources_per_worker=resources,
            accelerator_type=train.accelerator_type,
        ),
        run_config=ray.train.RunConfig(
            # Ray Train finds the checkpoints of an earlier attempt by this name and place.
            name=CHECKPOINTS_FOLDER,
            storage_path=f"{store_url}/{task.key}",
            # `train` tries again: Ray Train does not outlive its controller, and retries what cannot get better.
            failure_config=ray.train.FailureConfig(max_failures=0),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=1),
        ),
    ).fit()


def _finish(run: _Run, context: StageContext) -> None:
    figures = run.artifact.read_json(RESULT_FILE)
    run.artifact.finish(
        run.task.manifest(
            num_rows=figures["num_examples"],
            num_rows_in=figures["num_examples"] + sum(figures["dropped"].values()),
            counts=figures["dropped"],
            figures=figures | {"failures": [{"kind": cause.kind, "message": cause.message} for cause in run.causes]},
            seconds=figures["seconds"],
        )
    )
    run.artifact.remove(CHECKPOINTS_FOLDER)
    run.artifact.remove(RESULT_FILE)
    context.progress.finish(
        run.label, f"{figures['num_steps']} steps, loss {figures['final_loss']:.3f}, {figures['seconds']:.0f} s"
    )
