"""The `controlled` protocol over the intersection: all mixes of an experiment hold the same problems, nested and paired.

A problem that every source solved gives places, as many as every source has traces of it (at most `max_per_problem`); at each
place every source has one trace ready. So a mix is nothing but a choice of one source for each place:

1. the places stand in one seeded order, by weight, and the budget keeps a prefix of it;
2. the places that stay stand in a second order, independent of the first, in which each teacher of the mix, in alphabetical
   order, takes its exact quota.

Of two teachers, the first takes a prefix of the second order and the other the rest. A higher share moves the boundary: the
places it passes change their source, and all others keep problem, source and trace. With three or more teachers each boundary
moves by itself, and places may go from one of them to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from mixdistill.config import MixingConfig
from mixdistill.errors import DataError
from mixdistill.mixing.budget import check_quotas, longest_within
from mixdistill.mixing.columns import Fate, Outcome, Problems, Source, solved
from mixdistill.mixing.hashing import CUT, SHARING, hashed
from mixdistill.mixing.quotas import exact_shares, largest_remainder
from mixdistill.mixing.validation import held_out
from mixdistill.mixing.weights import problem_weights, weighted_order


@dataclass(frozen=True)
class Places:
    """N places in the order in which a budget keeps them."""

    rows: dict[str, NDArray[np.int64]]  # source -> the row that it has ready for each place, [N]
    tokens: dict[str, NDArray[np.int64]]  # of these rows, [N]
    sharing: NDArray[np.int64]  # the places in the order in which they are shared out, [N]

    def __len__(self) -> int:
        return len(self.sharing)

    def share_out(self, size: int, shares: Mapping[str, Fraction]) -> dict[str, NDArray[np.int64]]:
        """Teacher -> its places among the first `size`, at exact quotas."""
        quotas = largest_remainder(size, shares)
        kept = self.sharing[self.sharing < size]
        parts = np.split(kept, np.cumsum(list(quotas.values()))[:-1])
        return dict(zip(quotas, parts, strict=True))

    def num_tokens(self, size: int, shares: Mapping[str, Fraction]) -> int:
        """Tokens of the mix that holds the first `size` places."""
        shared = self.share_out(size, shares)
        return sum(int(self.tokens[teacher][places].sum()) for teacher, places in shared.items())


def draw_intersection(
    name: str,
    fractions: Mapping[str, float],
    mixes: Mapping[str, Mapping[str, float]],
    sources: Mapping[str, Source],
    problems: Problems,
    config: MixingConfig,
) -> Outcome:
    """Draw one mix over the problems that all `sources` solved.

    Raises:
        DataError: no such problem is left, or there are fewer places than `num_examples`.
        ConfigError: a budget leaves a teacher without an example.
    """
    places = _places(name, sources, problems, config)
    size = config.num_examples or len(places)
    if size > len(places):
        raise DataError(
            f"mix {name!r} cannot have num_examples: {size}: the problems that all sources solved "
            f"{_told(sources, problems, config)} give {len(places)} examples with max_per_problem: {config.max_per_problem}; "
            f"lower num_examples to {len(places)}, set mixing.problems: union or generate more traces"
        )
    shares = exact_shares(fractions)
    check_quotas(name, fractions, largest_remainder(size, shares), config)
    tokens_available = places.num_tokens(size, shares)
    kept, limit = size, None
    if config.match == "tokens":
        limit = config.num_tokens or min(places.num_tokens(size, exact_shares(mix)) for mix in mixes.values())
        kept = longest_within(lambda size: places.num_tokens(size, shares), size, limit)
        check_quotas(name, fractions, largest_remainder(kept, shares), config, tokens_limit=limit)
    shared = places.share_out(kept, shares)

    by_all = solved(sources, problems) == len(sources)
    fates = {}
    for teacher in shares:
        fate = np.full(len(sources[teacher]), Fate.SURPLUS, dtype=np.int8)
        rows = places.rows[teacher]
        fate[rows[size:]] = Fate.OVER_NUM_EXAMPLES
        fate[rows[kept:size]] = Fate.OVER_NUM_TOKENS
        fate[rows[:kept]] = Fate.OTHER_SOURCE
        fate[rows[shared[teacher]]] = Fate.EXAMPLE
        fate[~by_all[sources[teacher].problem]] = Fate.NOT_ALL_SOURCES
        fates[teacher] = fate
    return Outcome(fates, len(places), tokens_available, limit)


def _places(name: str, sources: Mapping[str, Source], problems: Problems, config: MixingConfig) -> Places:
    weights = problem_weights(sources, problems, config)
    num_places = np.full(len(problems), config.max_per_problem, dtype=np.int64)
    for source in sources.values():
        np.minimum(num_places, source.num_traces(problems), out=num_places)
    num_places[held_out(problems, config) | (weights == 0)] = 0
    if not num_places.any():
        raise DataError(
            f"mix {name!r} has no problem left that all sources solved {_told(sources, problems, config)}, expected at least "
            "1; set mixing.problems: union, or raise max_samples (or change the model) of the sources that solved few"
        )
    problem = np.repeat(np.arange(len(problems)), num_places)
    nth = np.arange(len(problem)) - np.repeat(np.cumsum(num_places) - num_places, num_places)  # 0, 1, ... of each problem
    identity = (problems.ids[problem], nth.astype(np.uint64))
    order = weighted_order(hashed(config.seed, CUT, *identity), weights[problem])
    rows = {}
    for teacher, source in sources.items():
        num_traces = source.num_traces(problems)
        first = np.cumsum(num_traces) - num_traces  # where each problem's rows begin in by_problem
        rows[teacher] = source.by_problem(config.seed)[(first[problem] + nth)[order]]
    sharing = np.argsort(hashed(config.seed, SHARING, *identity)[order], kind="stable")
    return Places(rows, {teacher: sources[teacher].tokens[chosen] for teacher, chosen in rows.items()}, sharing)


def _told(sources: Mapping[str, Source], problems: Problems, config: MixingConfig) -> str:
    """How many problems each source solved and all of them did, in brackets."""
    by_source = ", ".join(
        f"{teacher} {int((source.num_traces(problems) > 0).sum())}" for teacher, source in sorted(sources.items())
    )
    by_all = solved(sources, problems) == len(sources)
    held = held_out(problems, config)
    return (
        f"(of {len(problems)} problems: {by_source}, all {int(by_all.sum())}, of which {int((by_all & held).sum())} are held "
        "out for validation)"
    )
