"""Factories for mixing's tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from mixdistill.mixing import Problems, Source
from mixdistill.records import content_id


@pytest.fixture(scope="session")
def columns_of() -> Callable[..., tuple[dict[str, Source], Problems]]:
    """{teacher: {problem number: token counts of its traces, or their number}} -> sources by teacher, and the problems.

    The problems are 0 up to the highest number, or `num_problems`; `level_of` names the level of some.
    """

    def make(
        traces: Mapping[str, Mapping[int, int | Sequence[int]]],
        num_problems: int | None = None,
        level_of: Mapping[int, str] | None = None,
    ) -> tuple[dict[str, Source], Problems]:
        numbers = [number for by_problem in traces.values() for number in by_problem]
        size = num_problems or max(numbers, default=0) + 1
        names = sorted(set((level_of or {}).values()))
        levels = [names.index(level_of[number]) if number in (level_of or {}) else -1 for number in range(size)]
        ids = np.array([int(content_id("problem", number), 16) for number in range(size)], dtype=np.uint64)
        return {teacher: _source(teacher, traces[teacher]) for teacher in traces}, Problems(
            ids, np.array(levels, dtype=np.int64), tuple(names)
        )

    return make


def _source(teacher: str, by_problem: Mapping[int, int | Sequence[int]]) -> Source:
    rows = [
        (number, int(content_id(number, teacher, index), 16), tokens)
        for number in sorted(by_problem)
        for index, tokens in enumerate(_tokens(by_problem[number]))
    ]
    problem, trace, tokens = zip(*rows, strict=True) if rows else ((), (), ())
    return Source(teacher, np.array(problem, np.int64), np.array(trace, np.uint64), np.array(tokens, np.int64))


def _tokens(given: int | Sequence[int]) -> Sequence[int]:
    return [10 + index for index in range(given)] if isinstance(given, int) else given


@pytest.fixture(scope="session")
def held() -> Callable[[Mapping[str, np.ndarray], Mapping[str, Source]], dict[int, tuple[str, int]]]:
    """What a mix of one example a problem holds: {problem: (teacher, trace)}."""

    def of(rows: Mapping[str, np.ndarray], sources: Mapping[str, Source]) -> dict[int, tuple[str, int]]:
        holds = [
            (int(sources[teacher].problem[row]), (teacher, int(sources[teacher].trace[row])))
            for teacher, mine in rows.items()
            for row in mine
        ]
        assert len(dict(holds)) == len(holds)
        return dict(holds)

    return of
