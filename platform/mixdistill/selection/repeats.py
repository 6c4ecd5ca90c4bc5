"""Problems that are one problem in slightly different words: all traces of the later one are `near_duplicate`.

Two problems are like if their reference answers and their numbers in order are the same and their questions are as like
(`likeness`) as the threshold says: a list that holds a question twice would teach it twice. Other numbers make another
problem, however like the wording.

Earlier means earlier in the order of the problem set. Problems without a trace that passed every rule count for nothing. The
others are gone through in order, and a problem goes if it is like an earlier one that stays. So of a chain in which only
neighbours are alike, every second one goes, whatever slices the traces were judged in.

This is the one rule that looks beyond a problem. It holds eight bytes of every problem, and the questions of those few that
share answer and numbers with another one.
"""

from __future__ import annotations

import hashlib
import math
import re
from array import array
from collections.abc import Callable, Iterable

import numpy as np

from mixdistill.questions import numbers_in, question_words
from mixdistill.records import Problem
from mixdistill.selection.likeness import Shingles, jaccard, shingles


def repeated_problems(passing: Callable[[], Iterable[Problem]], threshold: float) -> set[str]:
    """The ids of the problems whose traces go.

    Args:
        passing: gives the problems with a trace that passed every rule, in the order of the problem set; called twice.
        threshold: likeness from which on two questions are one.
    """
    digests = np.frombuffer(array("Q", map(_digest, passing())), np.uint64)
    values, counts = np.unique(digests, return_counts=True)
    shared = set(values[counts > 1].tolist())
    if not shared:
        return set()
    buckets: dict[int, list[tuple[str, str]]] = {}  # what answer and numbers say -> (problem_id, question)
    for problem in passing():
        if (digest := _digest(problem)) in shared:
            buckets.setdefault(digest, []).append((problem.problem_id, problem.question))
    return {problem_id for bucket in buckets.values() for problem_id in _repeated(bucket, threshold)}


def _digest(problem: Problem) -> int:
    """Equal for problems with the same answer and the same numbers in order."""
    numbers = numbers_in(question_words(problem.question))
    same = "\n".join((re.sub(r"\s", "", problem.reference_answer).casefold(), *numbers))
    return int.from_bytes(hashlib.blake2b(same.encode(), digest_size=8).digest(), "big")


def _repeated(bucket: Iterable[tuple[str, str]], threshold: float) -> Iterable[str]:
    staying = Questions(threshold)
    for problem_id, question in bucket:
        if staying.hold_one_like(question):
            yield problem_id
        else:
            staying.add(question)


class Questions:
    """Questions, to be searched for one that is like another.

    Two sets of shingles with a Jaccard index of at least t share one of the first `len - ceil(t * len) + 1` in a common order
    (prefix filtering: Bayardo et al. 2007, https://doi.org/10.1145/1242572.1242591), so that few are compared in full.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._by_shingle: dict[tuple[str, ...], list[Shingles]] = {}

    def add(self, question: str) -> None:
        """Take a question."""
        mine = shingles(question_words(question))
        for shingle in self._prefix(mine):
            self._by_shingle.setdefault(shingle, []).append(mine)

    def hold_one_like(self, question: str) -> bool:
        """Whether one of the questions is at least as like as the threshold says."""
        mine = shingles(question_words(question))
        return any(
            jaccard(mine, other) >= self._threshold
            for shingle in self._prefix(mine)
            for other in self._by_shingle.get(shingle, ())
        )

    def _prefix(self, mine: Shingles) -> list[tuple[str, ...]]:
        needed = math.ceil(self._threshold * len(mine) - 1e-9)  # 0.7 * 10 is a little above 7 in floating point
        return sorted(mine)[: len(mine) - needed + 1]
