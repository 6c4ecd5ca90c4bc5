"""Mixes that draw from their own teachers: the `paper` protocol, and the union of problems in the `controlled` one.

In the union all mixes have the same number of examples, the largest that each of them can draw at its exact fractions; a mix
takes any problem that one of its teachers solved. Their problems differ then, unlike those of `mixing.controlled`.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from mixdistill.config import MixingConfig
from mixdistill.errors import ConfigError, DataError
from mixdistill.mixing.budget import check_quotas, longest_within
from mixdistill.mixing.columns import Fate, Fates, Outcome, Problems, Source
from mixdistill.mixing.hashing import CUT, VISIT, hashed
from mixdistill.mixing.paper import MAX_TEACHERS, Pool, draw, largest_size
from mixdistill.mixing.quotas import exact_shares, largest_remainder
from mixdistill.mixing.validation import held_out
from mixdistill.mixing.weights import problem_weights, weighted_order

Rows = dict[str, NDArray[np.int64]]


def draw_paper(
    name: str, fractions: Mapping[str, float], sources: Mapping[str, Source], problems: Problems, config: MixingConfig
) -> Outcome:
    """Draw one mix as the paper does: as many examples as its exact fractions allow, or `num_examples`.

    Raises:
        DataError: `num_examples`, or any number, cannot be drawn.
        ConfigError: `num_examples` leaves a teacher without an example, or there are too many teachers.
    """
    own = {teacher: sources[teacher] for teacher in sorted(fractions)}
    return _Separate(own, problems, config).outcome(name, fractions, {name: fractions})


def draw_union(
    name: str,
    fractions: Mapping[str, float],
    mixes: Mapping[str, Mapping[str, float]],
    sources: Mapping[str, Source],
    problems: Problems,
    config: MixingConfig,
) -> Outcome:
    """Draw one mix of the size that all `mixes` can have; a mix that is not among them, at most of that size.

    Raises:
        DataError: `num_examples`, or any number, cannot be drawn by all mixes.
        ConfigError: a budget leaves a teacher without an example, or there are too many teachers.
    """
    return _Separate(sources, problems, config).outcome(name, fractions, mixes)


class _Separate:
    """The draws of mixes from the same sources, with one visiting order."""

    def __init__(self, sources: Mapping[str, Source], problems: Problems, config: MixingConfig) -> None:
        self._sources, self._problems, self._config = sources, problems, config
        self._weights = problem_weights(sources, problems, config)
        self._open = ~held_out(problems, config) & (self._weights > 0)  # problems that may be drawn

    def outcome(self, name: str, fractions: Mapping[str, float], mixes: Mapping[str, Mapping[str, float]]) -> Outcome:
        config, shares = self._config, exact_shares(fractions)
        pools = {mix: self._pool(mix, mixes[mix]) for mix in mixes} | {name: self._pool(name, fractions)}
        together = [(pools[mix], exact_shares(parts)) for mix, parts in mixes.items()]
        available = _common_size(together, limit=None)
        size = available if config.num_examples is None else _common_size(together, limit=config.num_examples)
        if config.num_examples is not None:
            check_quotas(name, fractions, largest_remainder(config.num_examples, shares), config)
        if size == 0 or size < (config.num_examples or 0):
            raise DataError(self._cannot_draw(name, mixes, pools, size))
        if name not in mixes:
            size = largest_size(pools[name], shares, limit=size)
            check_quotas(name, fractions, largest_remainder(size, shares), config)
        drawn = self._draw(pools[name], largest_remainder(size, shares))
        tokens_available = self._num_tokens(drawn)
        kept, limit = drawn, None
        if config.match == "tokens":
            limit = config.num_tokens or min(
                self._num_tokens(self._draw(pool, largest_remainder(size, parts))) for pool, parts in together
            )
            fits = longest_within(lambda size: self._num_tokens(_first(drawn, largest_remainder(size, shares))), size, limit)
            quotas = largest_remainder(fits, shares)
            check_quotas(name, fractions, quotas, config, tokens_limit=limit)
            kept = _first(drawn, quotas)
        return Outcome(self._fates(pools[name], drawn, kept), available, tokens_available, limit)

    def _pool(self, name: str, fractions: Mapping[str, float]) -> Pool:
        if len(fractions) > MAX_TEACHERS:
            raise ConfigError(
                f"mix {name!r} names {len(fractions)} teachers, expected at most {MAX_TEACHERS} where mixes draw from their "
                "own problems; name fewer teachers or set mixing.problems: intersection"
            )
        rows = {teacher: np.flatnonzero(self._open[self._sources[teacher].problem]) for teacher in sorted(fractions)}
        problem = {teacher: self._sources[teacher].problem[mine] for teacher, mine in rows.items()}
        return Pool(rows, problem, len(self._problems), self._config.max_per_problem)

    def _draw(self, pool: Pool, quotas: Mapping[str, int]) -> Rows:
        """The rows of each teacher in the order in which a budget keeps them."""
        seed = self._config.seed
        traces = [self._sources[teacher].trace[rows] for teacher, rows in pool.rows.items()]
        weights = self._weights[np.concatenate(list(pool.problem.values()))]
        drawn = draw(pool, quotas, weighted_order(hashed(seed, VISIT, np.concatenate(traces)), weights))
        # Not the order of the draw: its end holds more of what had to be taken.
        for teacher, rows in drawn.items():
            source = self._sources[teacher]
            order = weighted_order(hashed(seed, CUT, source.trace[rows]), self._weights[source.problem[rows]])
            drawn[teacher] = rows[order]
        return drawn

    def _num_tokens(self, rows: Rows) -> int:
        return sum(int(self._sources[teacher].tokens[mine].sum()) for teacher, mine in rows.items())

    def _fates(self, pool: Pool, drawn: Rows, kept: Rows) -> Fates:
        used_by = {
            teacher: np.bincount(self._sources[teacher].problem[rows], minlength=len(self._problems))
            for teacher, rows in drawn.items()
        }
        full = sum(used_by.values()) >= self._config.max_per_problem
        fates = {}
        for teacher in pool.rows:
            problem = self._sources[teacher].problem
            by_same = np.where(used_by[teacher] > 0, Fate.PROBLEM_USED_BY_SAME_TEACHER, Fate.PROBLEM_USED_BY_OTHER_TEACHER)
            fate = np.where(full, by_same, Fate.SURPLUS)[problem].astype(np.int8)
            fate[drawn[teacher]] = Fate.OVER_NUM_TOKENS
            fate[kept[teacher]] = Fate.EXAMPLE
            fates[teacher] = fate
        return fates

    def _cannot_draw(self, name: str, mixes: Mapping[str, Mapping[str, float]], pools: Mapping[str, Pool], size: int) -> str:
        """Why `num_examples` (or any number) cannot be drawn when only `size` can, and what to do."""
        config = self._config
        wanted = "any example" if config.num_examples is None else f"num_examples: {config.num_examples}"
        told = "; ".join(
            ", ".join(
                f"{teacher} {share:g} ({len(np.unique(pools[mix].problem[teacher]))} problems solved)"
                for teacher, share in sorted(fractions.items())
            )
            for mix, fractions in mixes.items()
        )
        allowed = (
            f"at most {size} examples can be drawn"
            if size
            else "no number of examples gives each teacher at least one and fits the problems they solved"
        )
        lower = f"lower num_examples to {size}" if size else "change the fractions"
        of = "the fractions" if set(mixes) == {name} else "the fractions of all mixes"
        return (
            f"mix {name!r} cannot have {wanted}: with {of} {told} and max_per_problem: {config.max_per_problem}, "
            f"{allowed}; {lower} or generate more traces"
        )


def _common_size(together: list[tuple[Pool, dict[str, Fraction]]], *, limit: int | None) -> int:
    """The largest size, at most `limit`, that every mix can draw; feasible sizes may have gaps, so it is found by descent."""
    while True:
        sizes = [largest_size(pool, shares, limit=limit) for pool, shares in together]
        if len(set(sizes)) == 1:
            return sizes[0]
        limit = min(sizes)


def _first(rows: Rows, quotas: Mapping[str, int]) -> Rows:
    return {teacher: mine[: quotas[teacher]] for teacher, mine in rows.items()}
