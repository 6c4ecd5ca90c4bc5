"""Which problems come first: weights by difficulty level and by trace length, and a random order that follows them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mixdistill.config import MixingConfig
from mixdistill.errors import ConfigError
from mixdistill.mixing.columns import Problems, Source
from mixdistill.mixing.hashing import uniform


def level_weights(problems: Problems, config: MixingConfig) -> NDArray[np.float64]:
    """The weight of each problem's level, 1 where none is given; shape [P].

    Raises:
        ConfigError: a level is named that no problem has.
    """
    names = problems.level_names
    for level in config.level_weights:
        if level not in names:
            close = difflib.get_close_matches(level, names, n=1, cutoff=0.5)
            raise ConfigError(
                f"mixing.level_weights names the level {level!r}, which no problem has (there are: "
                f"{', '.join(names) or 'none'}){f'; did you mean {close[0]!r}?' if close else '; leave it out'}"
            )
    by_level = np.array([config.level_weights.get(level, 1.0) for level in names] + [1.0])  # the last is that of level -1
    weights: NDArray[np.float64] = by_level[problems.levels]
    return weights


def problem_weights(sources: Mapping[str, Source], problems: Problems, config: MixingConfig) -> NDArray[np.float64]:
    """Level weight x (mean tokens)^length_weight of each problem, shape [P].

    The mean is over the sources that solved the problem, each with the mean of its traces: a source with many traces counts no
    more than one with few.
    """
    weights = level_weights(problems, config)
    if config.length_weight == 0:
        return weights
    means, num_sources = np.zeros(len(problems)), np.zeros(len(problems))
    for source in sources.values():
        num_traces = source.num_traces(problems)
        tokens = np.bincount(source.problem, weights=source.tokens, minlength=len(problems))
        means += tokens / np.maximum(num_traces, 1)
        num_sources += num_traces > 0
    length = np.maximum(means / np.maximum(num_sources, 1), 1.0)  # an empty response would weigh nothing, or endlessly much
    weighted: NDArray[np.float64] = weights * length**config.length_weight
    return weighted


def weighted_order(bits: NDArray[np.uint64], weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """A random order in which rows of higher weight tend to come first; every prefix is a weighted draw without replacement.

    Efraimidis and Spirakis 2006 ("Weighted random sampling with a reservoir"): take the rows with the largest u^(1/w).
    u is uniform. Sorted here is -log(u) / w, which says the same and does not underflow.
    """
    order: NDArray[np.int64] = np.lexsort((bits, -np.log(uniform(bits)) / weights))
    return order
