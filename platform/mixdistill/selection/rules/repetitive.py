r"""Reason `repetitive`: the model fell into a loop and said one thing again and again, without a break.

A loop is one passage that follows itself more than `max_repeats` times, but for white space and letter case. Words, LaTeX
commands, single digits and symbols are the units. Two kinds of passages count from different lengths on:

- A statement (`8 + 8 = 16.`, `Final Answer: \boxed{16}`): it has an equals sign, or a word and no sign that joins terms
  or cells. Three units at least, `STATEMENT_UNITS` in a row.
- Anything else: products, sums and cells repeat by right (`1 + 1 + ... + 1`, `\frac{1}{2} \cdot \frac{1}{2}`, a row of
  zeros, a repeating decimal), so `ANY_UNITS` in a row.

Why neither measure that is usual for this: mathematics repeats much, though never the same passage in a row. The deflate
ratio of Whisper (Radford et al. 2022, arXiv 2212.04356, at most 2.4) is up to 5 in the reference solutions of MATH-500 and
above 6 in truth tables and tables of powers, where a short loop has 5 to 10. The share of duplicate 10-grams of Gopher
(Rae et al. 2021, arXiv 2112.11446, table A1, at most 0.10) is up to 0.65 there. Tian et al. 2025 (arXiv 2505.14464) look
for 20 tokens that occur more than 20 times, which is blind to a loop in a short answer. By the measure used here, no
statement stands more than twice in a row in 2,030 solutions of MATH-500, AIME 2024 and GSM8K's authors and models.

What it does not see: loops that change at each turn (a counter that runs on), which only the token limit stops.
"""

from __future__ import annotations

import re
from typing import Final

from mixdistill.records import Problem, Trace
from mixdistill.selection.rule import Rule, RuleContext, written_parts

STATEMENT_UNITS: Final = 20
"""Five copies of four units: `red ball, red ball, red ball, ...` may be an enumeration for so long."""

ANY_UNITS: Final = 200
"""Longer than a sum of a hundred ones, a googol or `2 \\cdot 2 \\cdot ...` for 2^64, all of which are written out at times."""

_UNIT = re.compile(r"\\[a-z]+|[^\W\d_]+|\d|[^\w\s]|_")
_WORD = re.compile(r"[^\W\d_]{2,}")
_JOINS = frozenset({"+", "*", "&", "|", "\\cdot", "\\times", "\\cdots", "\\hline"})
_ANCHOR = 4  # units that have to be the same before the rest is compared


def repetitive(context: RuleContext) -> Rule | None:
    """Reject traces with a loop in their reasoning or in their response."""
    max_repeats = context.config.max_repeats
    if max_repeats is None:
        return None

    def rule(trace: Trace, problem: Problem) -> str | None:
        return "repetitive" if any(has_loop(text, max_repeats) for text in written_parts(trace)) else None

    return rule


def has_loop(text: str, max_repeats: int) -> bool:
    """Whether a passage follows itself more than `max_repeats` times; time is linear in the text but for nested loops."""
    units = _UNIT.findall(text.casefold())
    last_seen: dict[tuple[str, ...], int] = {}
    compared_to: dict[int, int] = {}  # period -> where the last stretch with this period ended
    for at, anchor in enumerate(zip(*(units[start:] for start in range(_ANCHOR)), strict=False)):
        before = last_seen.get(anchor)
        last_seen[anchor] = at
        if before is None or compared_to.get(at - before, 0) > at:
            continue
        period = at - before
        start, end = before, at + _ANCHOR
        while start and units[start - 1] == units[start - 1 + period]:
            start -= 1
        while end < len(units) and units[end] == units[end - period]:
            end += 1
        compared_to[period] = end
        num_units = end - start  # of the whole stretch, the first copy included
        if num_units < STATEMENT_UNITS or num_units // period <= max_repeats:
            continue  # nearly always, so that few passages have to be looked at
        if num_units >= ANY_UNITS or _is_statement(units[before:at]):
            return True
    return False


def _is_statement(passage: list[str]) -> bool:
    if len(passage) < 3:
        return False
    return "=" in passage or (any(_WORD.fullmatch(unit) for unit in passage) and _JOINS.isdisjoint(passage))
