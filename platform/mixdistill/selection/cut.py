"""Cuts a teacher's traces into slices that are judged alone: no problem's traces are split.

In: the columns `trace_id` and `problem_id` of a file of traces, a batch at a time, and the ids of the problem set. The traces
stand in the order of the problem set, so the problems of a slice are a stretch of it. What is held is eight bytes a trace.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mixdistill.errors import DataError


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive traces, and the stretch of the problem set in which all their problems are."""

    traces: range  # rows of the file of traces
    problems: range  # rows of the file of problems


def cut(traces: Iterable[pa.RecordBatch], problem_ids: Iterable[str], num_rows: int) -> list[Slice]:
    """Cut where a problem begins and the slice has `num_rows` traces, or its problems are a stretch of as many.

    Args:
        traces: batches with the columns `trace_id` and `problem_id`.
        problem_ids: the problem set's, in order.
        num_rows: traces of a slice, but for the last problem's, and problems at most.

    Raises:
        DataError: a trace stands twice, its problem is unknown, or the traces are not in the order of the problem set.
    """
    slices: list[Slice] = []
    trace_ids = array("Q")
    places = enumerate(problem_ids)
    current, place, row = None, -1, 0
    first_trace, first_problem = 0, 0
    for batch in traces:
        trace_ids.extend(int(trace_id, 16) for trace_id in batch.column("trace_id").to_pylist())
        for problem_id in batch.column("problem_id").to_pylist():
            if problem_id != current:
                last_problem, current, place = place, problem_id, _next_place(places, problem_id, row)
                if row == 0:
                    first_problem = place
                elif row - first_trace >= num_rows or place - first_problem >= num_rows:
                    slices.append(Slice(range(first_trace, row), range(first_problem, last_problem + 1)))
                    first_trace, first_problem = row, place
            row += 1
    if row > first_trace:
        slices.append(Slice(range(first_trace, row), range(first_problem, place + 1)))
    _refuse_doubled(trace_ids)
    return slices


def _next_place(places: Iterable[tuple[int, str]], problem_id: str, row: int) -> int:
    for place, known in places:
        if known == problem_id:
            return place
    raise DataError(
        f"trace {row} (counted from 0) answers problem {problem_id}, which is not in the problem set, or not after the problem "
        "of the trace before it; expected traces in the order of the problems that they were generated from, and those of a "
        "problem together; generate the traces again"
    )


def _refuse_doubled(trace_ids: array[int]) -> None:
    ordered = np.sort(np.frombuffer(trace_ids, np.uint64))
    doubled = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(doubled):
        raise DataError(
            f"trace {int(doubled[0]):016x} stands twice, expected each trace once; remove the doubled rows or generate the "
            "traces again"
        )
