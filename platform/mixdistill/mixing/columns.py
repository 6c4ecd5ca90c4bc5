"""The columns that mixing works on: problems, the traces of one teacher, and what became of them. No texts.

Shapes: P problems, T traces of a source. Ids are content ids, 16 hex digits, as unsigned numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixdistill.mixing.hashing import TRACES_OF_A_PROBLEM, hashed


@dataclass(frozen=True)
class Problems:
    """The problem set."""

    ids: NDArray[np.uint64]  # [P], in the order of the problem set
    levels: NDArray[np.int64]  # [P], index into level_names; -1: none
    level_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Source:
    """The selected traces of one teacher, in the order of its file."""

    teacher: str
    problem: NDArray[np.int64]  # [T], index into Problems
    trace: NDArray[np.uint64]  # [T], trace ids
    tokens: NDArray[np.int64]  # [T], of the response

    def __len__(self) -> int:
        return len(self.trace)

    def num_traces(self, problems: Problems) -> NDArray[np.int64]:
        """Traces by problem, shape [P]."""
        counts: NDArray[np.int64] = np.bincount(self.problem, minlength=len(problems))
        return counts

    def by_problem(self, seed: int) -> NDArray[np.int64]:
        """The rows by problem, those of one problem in a seeded order that does not depend on the rows', shape [T]."""
        rows: NDArray[np.int64] = np.lexsort((hashed(seed, TRACES_OF_A_PROBLEM, self.trace), self.problem))
        return rows


class Fate(IntEnum):
    """What became of a trace of a mix's own teachers. The names, in lower case, are the reasons that a manifest counts."""

    EXAMPLE = 0
    HELD_OUT_FOR_VALIDATION = 1
    NOT_ALL_SOURCES = 2  # controlled: some source did not solve the problem
    LEVEL_WEIGHT_ZERO = 3
    OVER_NUM_EXAMPLES = 4
    OVER_NUM_TOKENS = 5
    OTHER_SOURCE = 6  # controlled: the problem's place went to another teacher of the mix
    PROBLEM_USED_BY_OTHER_TEACHER = 7  # paper, and the same for the next
    PROBLEM_USED_BY_SAME_TEACHER = 8
    SURPLUS = 9  # controlled: more traces than places; paper: the problem has room, but its teacher has given its share


Fates = dict[str, NDArray[np.int8]]
"""Teacher -> a `Fate` for each of its traces, shape [T]."""


@dataclass(frozen=True)
class Outcome:
    """What a protocol made of the traces of a mix's teachers, and what the budget was."""

    fates: Fates
    available: int  # examples that the mix could have without num_examples and num_tokens
    tokens_available: int  # tokens of the mix before num_tokens cuts it
    tokens_limit: int | None  # None: tokens are not matched


@dataclass(frozen=True)
class Draw:
    """One mix."""

    rows: dict[str, NDArray[np.int64]]  # teacher (in alphabetical order) -> rows of its source, ascending
    left_out: dict[str, int]  # reason -> traces of the mix's teachers that are no example; with the examples, all of them
    validation: dict[str, NDArray[np.int64]]  # source -> rows of its held-out traces, see `validation.validation_rows`
    figures: dict[str, Any]  # JSON-ready, see `mixing.figures`


def solved(sources: Mapping[str, Source], problems: Problems) -> NDArray[np.int64]:
    """How many of the sources solved each problem, shape [P]."""
    counts = np.zeros(len(problems), dtype=np.int64)
    for source in sources.values():
        counts += source.num_traces(problems) > 0
    return counts
