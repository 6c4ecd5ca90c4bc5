"""The `paper` protocol: which traces make up a mix when its teachers compete for problems.

Each mix is drawn from its teachers at its fractions, with at most `max_per_problem` examples of one problem (one in the
paper: Li et al. 2025, arXiv 2502.12143). Teachers solve overlapping sets of problems, so a careless draw would use up the
problems that only one of them could have served. Two facts make an exact draw simple:

- Hall's condition. The quotas q can be met if and only if, for every set S of teachers, q(S) <= supply(S), where q(S) is
  the sum of the quotas in S and supply(S) the sum over problems of min(max_per_problem, traces of the problem by S).
  (Max-flow min-cut on the network teacher -> problem -> sink: the teachers on the source's side determine a cheapest cut.)
- So a draw that takes a trace only while the condition still holds for what is left never has to take one back.

Work grows linearly with the traces and with 2^teachers; a mix has few teachers. Which traces may be drawn at all, and what is
said of the others, is `draw`'s part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mixdistill.mixing.quotas import largest_remainder

MAX_TEACHERS: Final = 12
"""Teachers of one mix: every trace is weighed against all 2^12 sets of them, about 20 microseconds."""

BySet = NDArray[np.int64]
"""One number for every set of teachers, shape [2^teachers]: bit t of the index says if the t-th teacher is in the set."""


@dataclass(frozen=True)
class Pool:
    """The traces that a mix may draw, R of each teacher."""

    rows: dict[str, NDArray[np.int64]]  # teacher, in alphabetical order -> rows of its source, [R]
    problem: dict[str, NDArray[np.int64]]  # their problems, [R]
    num_problems: int
    max_per_problem: int

    def num_traces(self) -> NDArray[np.int64]:
        """By teacher and problem, shape [teachers, P]."""
        return np.stack([np.bincount(problem, minlength=self.num_problems) for problem in self.problem.values()])

    def supply(self) -> BySet:
        """How many examples each set of teachers could give by itself."""
        members = _members(len(self.rows))
        # Problems with the same numbers of traces, up to what counts, are alike; few differ.
        counts = np.minimum(self.num_traces(), self.max_per_problem)
        alike = np.zeros(self.num_problems, dtype=np.int64)
        for by_problem in counts:
            _, alike = np.unique(alike * (self.max_per_problem + 1) + by_problem, return_inverse=True)
        _, first, num = np.unique(alike, return_index=True, return_counts=True)
        by_set: BySet = num @ np.minimum(self.max_per_problem, counts[:, first].T @ members)
        return by_set


def largest_size(pool: Pool, shares: Mapping[str, Fraction], *, limit: int | None = None) -> int:
    """The largest number of examples, at most `limit`, that can be drawn at these shares; 0 if there is none.

    A size at which rounding leaves a teacher without an example does not count: the mix would not be what its name says.
    Rounded quotas may shrink while the size grows (the Alabama paradox, from three teachers on), so feasibility is not
    monotone and bisection would be wrong. Instead the search walks down from a bound: a rounded quota is less than one
    example below the exact one, so q(S) <= supply(S) implies size * share(S) < supply(S) + |S|.
    """
    members = _members(len(shares))
    supply = pool.supply()
    share_by_set = np.asarray([float(share) for share in shares.values()]) @ members
    bounds = (supply[1:] + members.sum(axis=0)[1:]) / share_by_set[1:]
    start = min(int(np.ceil(bounds.min())), int(supply[-1]))
    for size in range(start if limit is None else min(start, limit), 0, -1):
        quotas = largest_remainder(size, shares)
        if all(quotas.values()) and bool((_quota_by_set(quotas, members) <= supply).all()):
            return size
    return 0


def draw(pool: Pool, quotas: Mapping[str, int], order: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Exactly `quotas[teacher]` rows of each teacher, in the order in which they were taken.

    The traces of all teachers are visited in one order, so that a teacher's examples come from all the problems that it solved
    and not first from those that only it solved; a trace is taken unless the quotas would get out of reach.

    Args:
        pool: the traces, at least one a teacher.
        quotas: teacher -> number, in the order of the pool; feasible by `largest_size`.
        order: the visits: indices into the rows of all teachers, one teacher after the other.
    """
    members = _members(len(quotas))
    # Python's integers hold the slack of all sets at once, in fields of 64 bits: one addition updates and one mask tests them
    # all, which is ten times as fast as small numpy arrays. A field that falls below 0 sets its own top bit: borrowing from
    # the next field up starts at the lowest one that is negative. The last fields are what the teachers must still give.
    below_zero = _packed(np.full(members.shape[1] + len(quotas), 1 << 63, dtype=np.uint64))
    unit = [1 << 64 * (members.shape[1] + index) for index in range(len(quotas))]
    taking = [_packed(members[index]) - unit[index] for index in range(len(quotas))]
    slack = _packed(pool.supply() - _quota_by_set(quotas, members))
    slack += sum(quota * one for quota, one in zip(quotas.values(), unit, strict=True))

    states = _States(members)
    state_of = [states.of(pool.max_per_problem, tuple(left)) for left in pool.num_traces().T.tolist()]
    taken: list[list[int]] = [[] for _ in quotas]
    for visit, teacher, problem in _visits(pool, order):
        state = state_of[problem]
        if state.room:
            after = states.after_taking(state, teacher)
            slack_if_taken = slack - state.capacity + after.capacity + taking[teacher]
            if not slack_if_taken & below_zero:
                slack = slack_if_taken
                state_of[problem] = after
                taken[teacher].append(visit)
                continue
        after = states.after_passing(state, teacher)
        slack += after.capacity - state.capacity
        state_of[problem] = after
    assert [len(visits) for visits in taken] == list(quotas.values()), f"quotas {dict(quotas)} were not feasible"
    return {
        teacher: rows[np.asarray(visits, dtype=np.int64)]
        for (teacher, rows), visits in zip(pool.rows.items(), taken, strict=True)
    }


def _visits(pool: Pool, order: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """(index into the teacher's rows, index of the teacher, problem) of each visit; a few at a time as Python's integers."""
    first = np.cumsum([0, *map(len, pool.rows.values())])
    problem = np.concatenate(list(pool.problem.values()))
    for start in range(0, len(order), 1 << 16):
        visits = order[start : start + (1 << 16)]
        teacher = np.searchsorted(first, visits, side="right") - 1
        yield from zip((visits - first[teacher]).tolist(), teacher.tolist(), problem[visits].tolist(), strict=True)


@dataclass(eq=False, slots=True)
class _State:
    """What a problem can still give; all problems in the same state share it."""

    room: int  # examples
    left: tuple[int, ...]  # traces by teacher that are neither taken nor passed over
    capacity: int  # min(room, traces left by S) for every set S, packed
    taking: dict[int, _State] = field(default_factory=dict)  # teacher -> the state after its next trace is taken
    passing: dict[int, _State] = field(default_factory=dict)  # ... or passed over


class _States:
    """The states that problems are in, each made once."""

    def __init__(self, members: NDArray[np.int64]) -> None:
        self._members = members
        self._made: dict[tuple[int, tuple[int, ...]], _State] = {}

    def of(self, room: int, left: tuple[int, ...]) -> _State:
        if (room, left) not in self._made:
            capacity = np.minimum(room, np.asarray(left, dtype=np.int64) @ self._members)
            self._made[room, left] = _State(room, left, _packed(capacity))
        return self._made[room, left]

    def after_taking(self, state: _State, teacher: int) -> _State:
        after = state.taking.get(teacher)
        if after is None:
            after = state.taking[teacher] = self.of(state.room - 1, _one_less(state.left, teacher))
        return after

    def after_passing(self, state: _State, teacher: int) -> _State:
        after = state.passing.get(teacher)
        if after is None:
            after = state.passing[teacher] = self.of(state.room, _one_less(state.left, teacher))
        return after


def _one_less(left: tuple[int, ...], teacher: int) -> tuple[int, ...]:
    return (*left[:teacher], left[teacher] - 1, *left[teacher + 1 :])


def _members(num_teachers: int) -> NDArray[np.int64]:
    """Shape [teachers, 2^teachers]: 1 where the teacher is in the set."""
    sets = np.arange(2**num_teachers, dtype=np.int64)
    return np.stack([sets >> bit & 1 for bit in range(num_teachers)])


def _quota_by_set(quotas: Mapping[str, int], members: NDArray[np.int64]) -> BySet:
    return np.asarray(list(quotas.values()), dtype=np.int64) @ members


def _packed(by_set: NDArray[np.int64] | NDArray[np.uint64]) -> int:
    """Numbers that are not negative as one integer: the index-th stands at bit 64 * index."""
    return int.from_bytes(by_set.astype("<u8").tobytes(), "little")
