"""One mix, by either protocol: which rows of its teachers are examples, why the others are not, and its figures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mixdistill.config import MixingConfig
from mixdistill.errors import DataError
from mixdistill.mixing.columns import Draw, Fate, Fates, Problems, Source
from mixdistill.mixing.controlled import draw_intersection
from mixdistill.mixing.figures import mix_figures
from mixdistill.mixing.separate import draw_paper, draw_union
from mixdistill.mixing.validation import held_out, validation_rows
from mixdistill.mixing.weights import level_weights


def draw_mix(
    name: str,
    fractions: Mapping[str, float],
    mixes: Mapping[str, Mapping[str, float]],
    sources: Mapping[str, Source],
    problems: Problems,
    config: MixingConfig,
) -> Draw:
    """Draw one mix.

    Args:
        name: the mix's name, for messages.
        fractions: teacher -> share of the examples, adding up to 1; rounded by `quotas.largest_remainder`.
        mixes: all mixes whose sizes are matched, as fractions by name; this one need not be among them (a search's candidate).
        sources: teacher -> its selected traces: at least the mix's own, in the controlled protocol those of all mixes.
        problems: the problem set.
        config: the `mixing` section.

    Raises:
        DataError: a teacher has no trace or one twice; nothing is left, or less than `num_examples`.
        ConfigError: a budget is so small that a teacher has no example; an unknown level; too many teachers.
    """
    for teacher in sorted(fractions):
        _check(name, teacher, sources.get(teacher))
    if config.protocol == "paper":
        outcome = draw_paper(name, fractions, sources, problems, config)
    elif config.problems == "union":
        outcome = draw_union(name, fractions, mixes, sources, problems, config)
    else:
        outcome = draw_intersection(name, fractions, mixes, sources, problems, config)
    fates = _without_closed_problems(outcome.fates, sources, problems, config)
    rows = {teacher: np.flatnonzero(fate == Fate.EXAMPLE) for teacher, fate in fates.items()}
    counts = np.bincount(np.concatenate(list(fates.values())), minlength=len(Fate))
    left_out = {fate.name.lower(): int(counts[fate]) for fate in Fate if fate != Fate.EXAMPLE and counts[fate]}
    validation = validation_rows(sources, problems, config)
    return Draw(rows, left_out, validation, mix_figures(rows, validation, outcome, sources, problems, config))


def _without_closed_problems(fates: Fates, sources: Mapping[str, Source], problems: Problems, config: MixingConfig) -> Fates:
    """The fates, with traces of problems that no mix may hold marked as such, whatever else is to be said of them."""
    held, weightless = held_out(problems, config), level_weights(problems, config) == 0
    marked = {}
    for teacher, fate in fates.items():
        problem = sources[teacher].problem
        closed = np.select([held, weightless], [Fate.HELD_OUT_FOR_VALIDATION, Fate.LEVEL_WEIGHT_ZERO], default=Fate.EXAMPLE)
        by_trace = closed[problem].astype(np.int8)
        marked[teacher] = np.where(by_trace == Fate.EXAMPLE, fate, by_trace)
    return marked


def _check(name: str, teacher: str, source: Source | None) -> None:
    if source is None or not len(source):
        raise DataError(
            f"mix {name!r} wants examples of teacher {teacher!r}, which has 0 selected traces, expected at least 1; see "
            "why selection rejected its traces, then change the teacher, raise its max_samples or loosen the selection"
        )
    num_distinct = len(np.unique(source.trace))
    if num_distinct < len(source):
        raise DataError(
            f"mix {name!r}: {len(source) - num_distinct} of the {len(source)} traces of teacher {teacher!r} stand twice, "
            "expected each trace once; select the traces again"
        )
