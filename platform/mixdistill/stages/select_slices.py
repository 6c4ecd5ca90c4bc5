"""Judges slices of a teacher's traces, each for itself: traces and problems in, a durable part with the verdicts out.

One slice is judged where the stage runs, so that a small experiment needs no cluster for it; of more, Ray Data hands the
numbers to tasks on all CPUs. A part is written whole, and a run that was killed goes on with the slices that have none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import ray

from mixdistill.artifacts import ArtifactKey, Journal, Slices
from mixdistill.artifacts.store import table_errors
from mixdistill.config import SelectionConfig
from mixdistill.selection import PART_SCHEMA, Selector, Slice, judge
from mixdistill.stages.cluster import connect, remote_errors
from mixdistill.stages.progress import Progress
from mixdistill.stages.rows import PROBLEMS_FILE, TRACES_FILE
from mixdistill.stages.tasks import SelectTask, StageContext

_CALLS: Final = 2000
"""Blocks at most that Ray Data is given: it keeps some kilobytes of each in the driver."""


class Parts(Journal):
    """The journal of a selection: chunk N is the part of slice N."""

    def columns(self, number: int, columns: list[str] | None = None) -> pa.Table:
        """Some columns (None: all) of a finished part, without reading the others.

        Raises:
            StoreError: its file is missing or broken.
        """
        path = self._finished_path(number)
        with table_errors(f"{self.url}/{path.rpartition('/')[2]}"), self._fs.open(path, "rb") as stream:
            return pq.read_table(stream, columns=columns)


@dataclass(frozen=True)
class SliceJob:
    """What a worker needs to know of one teacher's selection; hashable, so that a worker makes its rules once."""

    artifact_url: str
    traces_url: str
    problems_url: str
    benchmark_urls: tuple[tuple[str, str], ...]  # benchmark name, URL of its problems
    config: SelectionConfig

    @classmethod
    def of(cls, task: SelectTask, context: StageContext) -> SliceJob:
        """The job of a task."""

        def problems_url(key: ArtifactKey) -> str:
            return context.artifact(key).file_url(PROBLEMS_FILE)

        return cls(
            artifact_url=context.artifact(task.key).url,
            traces_url=context.artifact(task.traces).file_url(TRACES_FILE),
            problems_url=problems_url(task.problems),
            benchmark_urls=tuple(
                (name, context.artifact(key).file_url(PROBLEMS_FILE)) for name, key in task.benchmarks.items()
            ),
            config=task.selection,
        )

    @property
    def parts(self) -> Parts:
        """Where the parts stand."""
        return Parts(self.artifact_url, PART_SCHEMA)


def judge_slices(job: SliceJob, slices: Sequence[Slice], label: str, progress: Progress) -> None:
    """Judge the slices that are not judged yet; the parts of all are durable when this returns.

    Args:
        job: the selection.
        slices: all of them; one's number is its place.
        label: what to call this work in progress and error messages.

    Raises:
        MixdistillError: what a worker raised; StageError for anything that Ray could not recover from.
    """
    finished = job.parts.finished()
    units = [_unit(number, one) for number, one in enumerate(slices) if number not in finished]
    if len(units) <= 1:
        for unit in units:
            _judge(unit, job)
        return
    connect()
    num_traces = sum(len(one.traces) for one in slices)
    num_judged = num_traces - sum(unit["num_traces"] for unit in units)
    progress.update(label, num_judged, num_traces)
    dataset = ray.data.from_items(units, override_num_blocks=min(len(units), _CALLS)).map_batches(
        partial(_judge_batch, job=job), batch_size=None, batch_format="pyarrow"
    )
    dataset.context.raise_original_map_exception = True  # else the cause is only text in Ray's own error
    with remote_errors(label):
        for unit in dataset.iter_rows():
            num_judged += unit["num_traces"]
            progress.update(label, num_judged, num_traces)


def _unit(number: int, one: Slice) -> dict[str, int]:
    return {
        "number": number,
        "first_trace": one.traces.start,
        "num_traces": len(one.traces),
        "first_problem": one.problems.start,
        "num_problems": len(one.problems),
    }


def _judge_batch(batch: pa.Table, job: SliceJob) -> pa.Table:
    for unit in batch.to_pylist():
        _judge(unit, job)
    return batch


def _judge(unit: dict[str, Any], job: SliceJob) -> None:
    traces = Slices(job.traces_url).read(unit["first_trace"], unit["first_trace"] + unit["num_traces"])
    problems = Slices(job.problems_url).read(unit["first_problem"], unit["first_problem"] + unit["num_problems"])
    job.parts.write(unit["number"], judge(traces, problems, _selector(job)), finished=True)


@lru_cache(maxsize=1)
def _selector(job: SliceJob) -> Selector:
    return Selector(job.config, {name: list(_questions(url)) for name, url in job.benchmark_urls})


def _questions(problems_url: str) -> Iterator[str]:
    problems = Slices(problems_url)
    yield from problems.read(0, problems.num_rows).column("question").to_pylist()
