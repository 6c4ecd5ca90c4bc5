"""The problems that no mix holds: they tell what a student fails to learn of each source, and judge a search's candidates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mixdistill.config import MixingConfig
from mixdistill.mixing.columns import Problems, Source, solved
from mixdistill.mixing.hashing import VALIDATION, hashed


def held_out(problems: Problems, config: MixingConfig) -> NDArray[np.bool_]:
    """Whether each problem is held out, shape [P]: by its id and the seed alone, whatever was generated or selected."""
    held: NDArray[np.bool_] = hashed(config.seed, VALIDATION, problems.ids) < np.uint64(int(config.validation_share * 2**64))
    return held


def validation_rows(sources: Mapping[str, Source], problems: Problems, config: MixingConfig) -> dict[str, NDArray[np.int64]]:
    """Source -> the rows of its held-out traces, ascending: one trace a problem.

    Where all sources together solved some held-out problem, only such problems are taken, so that the losses of different
    sources are over the same problems.
    """
    held = held_out(problems, config)
    by_all = held & (solved(sources, problems) == len(sources))
    wanted = by_all if by_all.any() else held
    rows = {}
    for teacher in sorted(sources):
        source = sources[teacher]
        order = source.by_problem(config.seed)
        order = order[wanted[source.problem[order]]]
        _, first = np.unique(source.problem[order], return_index=True)
        rows[teacher] = np.sort(order[first])
    return rows
