"""Slices cover all traces once, split no problem, and say of which problems they are; what is out of order is refused."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixdistill.errors import DataError
from mixdistill.selection import cut

PROBLEMS = [f"problem {number}" for number in range(40)]


def batches(problem_ids: list[str], trace_ids: list[int] | None = None, size: int = 7) -> list[pa.RecordBatch]:
    numbers = trace_ids or range(len(problem_ids))
    table = pa.table({"trace_id": [f"{number:016x}" for number in numbers], "problem_id": pa.array(problem_ids, pa.string())})
    return table.to_batches(max_chunksize=size)


@settings(max_examples=80, deadline=None)
@given(counts=st.lists(st.integers(0, 5), max_size=40), num_rows=st.integers(1, 12))
def test_slices_cover_all_traces_once_and_split_no_problem(counts, num_rows):
    of_traces = [problem for problem, count in zip(PROBLEMS, counts, strict=False) for _ in range(count)]
    slices = cut(batches(of_traces), PROBLEMS, num_rows)
    assert [row for one in slices for row in one.traces] == list(range(len(of_traces)))
    for one in slices:
        mine = {of_traces[row] for row in one.traces}
        assert mine <= set(PROBLEMS[one.problems.start : one.problems.stop])
        assert mine.isdisjoint(of_traces[: one.traces.start] + of_traces[one.traces.stop :])
        assert len(one.problems) <= num_rows
        assert len(one.traces) < num_rows + max(counts)


def test_no_traces_make_no_slice():
    assert cut([], PROBLEMS, 10) == []


@pytest.mark.parametrize(
    "problem_ids", [["problem 1", "stranger"], ["problem 2", "problem 1"], ["problem 0", "problem 1", "problem 0"]]
)
def test_a_trace_of_an_unknown_problem_or_out_of_order_is_refused_by_name(problem_ids):
    with pytest.raises(DataError, match=rf"trace {len(problem_ids) - 1} .* answers problem {problem_ids[-1]}, which is not in"):
        cut(batches(problem_ids), PROBLEMS, 10)


def test_a_trace_that_stands_twice_is_refused_by_name_wherever_its_copy_is():
    with pytest.raises(DataError, match="trace 0000000000000003 stands twice"):
        cut(batches([PROBLEMS[0], *PROBLEMS[:9]], [3, 1, 2, 4, 5, 6, 7, 8, 9, 3]), PROBLEMS, 2)
