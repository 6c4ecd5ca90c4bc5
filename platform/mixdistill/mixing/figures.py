"""What is told of a mix: its teachers, tokens, levels, problems and budget. JSON-ready; a manifest's `figures`.

- `protocol`, `problems`, `match`: as in the config.
- `examples_by_teacher`, `num_tokens` (in all), `tokens_by_teacher`: {teacher: {total, mean, p10, p50, p90, max}}.
- `levels`: [{level, examples: {teacher: number}}], in the alphabetical order of the problem set's levels; None: without one.
- `num_problems`: {solved_by: {source: number}, all_sources, any_source, held_out}, of the whole problem set.
- `budget`: {available, taken, tokens_available, tokens_limit}: examples that could be had and that are there; tokens before
  `num_tokens` (or the mix with the fewest) cut them, and that limit, None where tokens are not matched.
- `validation`: {source: examples of held-out problems}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixdistill.config import MixingConfig
from mixdistill.mixing.columns import Outcome, Problems, Source, solved
from mixdistill.mixing.validation import held_out


def mix_figures(
    rows: Mapping[str, NDArray[np.int64]],
    validation: Mapping[str, NDArray[np.int64]],
    outcome: Outcome,
    sources: Mapping[str, Source],
    problems: Problems,
    config: MixingConfig,
) -> dict[str, Any]:
    """The figures of a mix that holds these rows of its teachers, and these held-out ones of all sources."""
    tokens = {teacher: _spread(sources[teacher].tokens[mine]) for teacher, mine in rows.items()}
    num_solved = solved(sources, problems)
    return {
        "protocol": config.protocol,
        "problems": config.problems,
        "match": config.match,
        "examples_by_teacher": {teacher: len(mine) for teacher, mine in rows.items()},
        "num_tokens": sum(spread["total"] for spread in tokens.values()),
        "tokens_by_teacher": tokens,
        "levels": _levels(rows, sources, problems),
        "num_problems": {
            "solved_by": {teacher: int((source.num_traces(problems) > 0).sum()) for teacher, source in sorted(sources.items())},
            "all_sources": int((num_solved == len(sources)).sum()),
            "any_source": int((num_solved > 0).sum()),
            "held_out": int(held_out(problems, config).sum()),
        },
        "budget": {
            "available": outcome.available,
            "taken": sum(len(mine) for mine in rows.values()),
            "tokens_available": outcome.tokens_available,
            "tokens_limit": outcome.tokens_limit,
        },
        "validation": {teacher: len(mine) for teacher, mine in validation.items()},
    }


def _spread(tokens: NDArray[np.int64]) -> dict[str, Any]:
    p10, p50, p90 = np.percentile(tokens, [10, 50, 90], method="nearest")
    return {
        "total": int(tokens.sum()),
        "mean": float(tokens.mean()),
        "p10": int(p10),
        "p50": int(p50),
        "p90": int(p90),
        "max": int(tokens.max()),
    }


def _levels(rows: Mapping[str, NDArray[np.int64]], sources: Mapping[str, Source], problems: Problems) -> list[dict[str, Any]]:
    names: list[str | None] = [*problems.level_names, None]  # the last is that of level -1
    counts = {
        teacher: np.bincount(problems.levels[sources[teacher].problem[mine]] % len(names), minlength=len(names))
        for teacher, mine in rows.items()
    }
    present = np.bincount(problems.levels % len(names), minlength=len(names)) > 0
    return [
        {"level": names[index], "examples": {teacher: int(by_level[index]) for teacher, by_level in counts.items()}}
        for index in np.flatnonzero(present)
    ]
