"""How like two texts are: the Jaccard index of their word 5-grams, from 0 to 1.

The default threshold, 0.8, and 5-grams are those of Lee et al. 2022 (arXiv 2107.06499, appendix A). The index is computed
exactly: what is compared is few, so MinHash has nothing to save.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_SHINGLE_WORDS: Final = 5

Shingles = frozenset[tuple[str, ...]]


def shingles(words: Sequence[str]) -> Shingles:
    """The 5-grams of `questions.question_words`; fewer words are one shorter gram."""
    if len(words) < _SHINGLE_WORDS:
        return frozenset((tuple(words),))
    return frozenset(zip(*(words[start:] for start in range(_SHINGLE_WORDS)), strict=False))


def jaccard(one: Shingles, other: Shingles) -> float:
    """What two sets share, of all that is in either."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)
