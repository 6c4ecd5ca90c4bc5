"""Stage 3: which traces may teach. One artifact a teacher: the kept traces, and the rejected ones with their reasons.

The traces are judged in slices of some thousands, on all CPUs of the cluster (`select_slices`), and the slices are joined one
at a time, so that memory does not grow with the number of traces but for eight bytes each. Both files are in the order of
the traces, which is that of the problem set, and the traces of a problem stand together.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mixdistill.artifacts import Slices
from mixdistill.errors import DataError
from mixdistill.records import Problem, Trace, from_table, schema_of
from mixdistill.selection import REASON_COLUMN, REJECTED_SCHEMA, Slice, cut, kept_rows, rejected_rows, repeated_problems, settle
from mixdistill.stages.rows import PROBLEMS_FILE, REJECTED_FILE, SELECTED_FILE, TRACES_FILE
from mixdistill.stages.select_slices import Parts, SliceJob, judge_slices
from mixdistill.stages.tasks import SelectTask, StageContext

SLICE_TRACES: Final = 2048
"""Traces of a slice. Of 16,000 tokens each they are 100 MB, of which a worker holds a few copies; a million are 500 slices.
The parts of an unfinished selection are cut by it."""

_WRITE_ROWS: Final = 256  # rows that are handed to the writer at once, which makes row groups of a thousand of them


def select_traces(tasks: Sequence[SelectTask], context: StageContext, *, slice_traces: int = SLICE_TRACES) -> None:
    """Apply the selection rules to each teacher's traces.

    Raises:
        DataError: no trace of a teacher is left, or the traces do not belong to the problems.
        StageError: a worker died more often than Ray makes up for.
    """
    for task in tasks:
        started = time.monotonic()
        job = SliceJob.of(task, context)
        slices = _cut(task, context, slice_traces)
        judge_slices(job, slices, f"select {task.key.name}", context.progress)
        joined = _Joined(job, slices)
        num_traces = sum(len(one.traces) for one in slices)
        artifact = context.artifact(task.key)
        artifact.write_tables(REJECTED_FILE, joined.rejected(), REJECTED_SCHEMA)
        num_kept = num_traces - joined.counts.total()
        if not num_kept:
            reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(joined.counts.items())) or "no traces"
            raise DataError(
                f"selection keeps none of the {num_traces} traces of teacher {task.key.name!r} ({reasons}); raise "
                "max_samples or max_tokens, loosen `selection`, or change the teacher's model or examples"
            )
        artifact.write_tables(SELECTED_FILE, joined.kept(), schema_of(Trace))
        artifact.finish(
            task.manifest(
                num_rows=num_kept,
                num_rows_in=num_traces,
                counts=dict(joined.counts.most_common()),
                figures={"num_tokens": joined.num_tokens},
                seconds=time.monotonic() - started,
            )
        )
        job.parts.remove()
        context.progress.finish(f"select {task.key.name}", f"{num_kept} of {num_traces} traces kept")


def _cut(task: SelectTask, context: StageContext, slice_traces: int) -> list[Slice]:
    traces = context.artifact(task.traces).read_batches(TRACES_FILE, ["trace_id", "problem_id"])
    problems = context.artifact(task.problems).read_batches(PROBLEMS_FILE, ["problem_id"])
    return cut(traces, (name for batch in problems for name in batch.column("problem_id").to_pylist()), slice_traces)


class _Joined:
    """The parts of all slices as one: what is kept and what is rejected, a part in memory at a time."""

    def __init__(self, job: SliceJob, slices: Sequence[Slice]) -> None:
        self._parts: Parts = job.parts
        self._problems = Slices(job.problems_url)
        self._slices = slices
        self.counts: Counter[str] = Counter()  # reason -> rejected traces; filled by `rejected`
        self.num_tokens = 0  # of what is kept; filled by `kept`
        threshold = job.config.near_duplicate_jaccard
        self._repeated = set() if threshold is None else repeated_problems(self._passing, threshold)

    def rejected(self) -> Iterator[pa.Table]:
        """The rejected traces and why; reads no texts."""
        for number in range(len(self._slices)):
            rows = rejected_rows(self._settled(number, ["trace_id", "problem_id", REASON_COLUMN]))
            self.counts.update(rows.column("reason").to_pylist())
            yield rows

    def kept(self) -> Iterator[pa.Table]:
        """The kept traces."""
        for number in range(len(self._slices)):
            rows = kept_rows(self._settled(number))
            self.num_tokens += pc.sum(rows.column("num_tokens"), min_count=0).as_py()
            for start in range(0, len(rows), _WRITE_ROWS):
                yield rows.slice(start, _WRITE_ROWS)

    def _settled(self, number: int, columns: list[str] | None = None) -> pa.Table:
        return settle(self._parts.columns(number, columns), self._repeated)

    def _passing(self) -> Iterator[Problem]:
        """The problems with a trace that passed the rules, in the order of the problem set."""
        for number, one in enumerate(self._slices):
            part = self._parts.columns(number, ["problem_id", REASON_COLUMN])
            passed = set(part.filter(part.column(REASON_COLUMN).is_null()).column("problem_id").to_pylist())
            if not passed:
                continue
            problems = self._problems.read(one.problems.start, one.problems.stop)
            yield from (problem for problem in from_table(problems, Problem) if problem.problem_id in passed)
