"""What the report says of each mix: over which problems it was drawn, what its budget was, and what it holds by source.

In: `MixFigures`. Out: the sentences and table cells that page and Markdown share, and the geometry of the page's figures.
The counts come from the mixes' manifests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mixdistill.report.data import MixFigures
from mixdistill.report.figures import nice_top, quarter_ticks
from mixdistill.report.teachers import natural_order
from mixdistill.report.wording import count, plural, printable

_REASONS: Final[Mapping[str, str]] = {
    "held_out_for_validation": "held out for validation",
    "not_all_sources": "problem not solved by all sources",
    "level_weight_zero": "level of weight 0",
    "over_num_examples": "more than num_examples",
    "over_num_tokens": "more tokens than the budget",
    "other_source": "another source writes this problem",
    "surplus": "more traces than the problem gives examples",
}


@dataclass(frozen=True)
class Part:
    """What one source has in a bar; width in percent of the track."""

    source: str
    width: float
    text: str


@dataclass(frozen=True)
class MixBars:
    """Examples and tokens of one mix, each by source, on scales that all mixes share."""

    mix: MixFigures
    examples: Sequence[Part]
    tokens: Sequence[Part]


@dataclass(frozen=True)
class LengthBar:
    """Tokens of one source's responses in one mix: 10th, 50th and 90th percentile as positions in percent."""

    mix: str
    source: str
    positions: tuple[float, float, float]
    text: str
    longest: str


@dataclass(frozen=True)
class LengthFigure:
    """Lengths of all mixes over one axis."""

    groups: Sequence[Sequence[LengthBar]]  # by mix
    ticks: Sequence[tuple[float, str]]


def mix_bars(mixes: Sequence[MixFigures]) -> list[MixBars]:
    """The bars of every mix: the largest mix fills the track."""
    most_examples = max((mix.num_examples for mix in mixes), default=0) or 1
    most_tokens = max((mix.num_tokens for mix in mixes), default=0) or 1
    return [
        MixBars(
            mix,
            [Part(source, 100 * number / most_examples, count(number)) for source, number in mix.by_teacher.items() if number],
            [
                Part(source, 100 * spread.total / most_tokens, count(spread.total))
                for source, spread in mix.tokens.items()
                if spread.total
            ],
        )
        for mix in mixes
    ]


def by_source(mix: MixFigures) -> str:
    """Examples and tokens of each source."""
    parts = [
        f"{source} {plural(mix.by_teacher[source], 'example')}, {count(mix.tokens[source].total)} tokens"
        for source in mix.tokens
    ]
    return "; ".join(parts)


def length_figure(mixes: Sequence[MixFigures]) -> LengthFigure | None:
    """Tokens per example by source; None when no mix has an example."""
    spreads = [spread for mix in mixes for spread in mix.tokens.values()]
    if not spreads:
        return None
    top = nice_top(max(spread.p90 for spread in spreads))
    groups = [
        [
            LengthBar(
                mix.name,
                source,
                (100 * spread.p10 / top, 100 * spread.p50 / top, 100 * spread.p90 / top),
                count(spread.mean),
                count(spread.max),
            )
            for source, spread in mix.tokens.items()
        ]
        for mix in mixes
        if mix.tokens
    ]
    return LengthFigure(groups, quarter_ticks(top))


def budget(mix: MixFigures, mixes: Sequence[MixFigures]) -> str:
    """What the mix's size is, beside the others', and what cut it, in one sentence without its full stop."""
    said = [
        f"{plural(mix.num_examples, 'example')}{_beside(mix, mixes, 'num_examples')}",
        f"{plural(mix.num_tokens, 'token')}{_beside(mix, mixes, 'num_tokens')}",
    ]
    cut = mix.budget
    if cut.tokens_limit is not None:
        said.append(f"cut to at most {count(cut.tokens_limit)} tokens of the {count(cut.tokens_available)} at hand")
    elif cut.taken < cut.available:
        said.append(f"cut from {plural(cut.available, 'example')} at hand")
    if mix.match == "steps":
        said.append("its students train for the same number of steps as those of the others")
    return "; ".join(said)


def _beside(mix: MixFigures, mixes: Sequence[MixFigures], measure: str) -> str:
    """How many times those of the smallest mix."""
    if len(mixes) < 2:
        return ""
    own = getattr(mix, measure)
    smallest = min(mixes, key=lambda other: getattr(other, measure))
    fewest, most = (pick(getattr(other, measure) for other in mixes) for pick in (min, max))
    if fewest == most:
        return ", as all mixes" if len(mixes) > 2 else ", as both mixes"
    if own == fewest:
        return ", the fewest"
    if not fewest:
        return f", and mix {smallest.name} has none"
    return f", {own / fewest:.{1 if own / fewest >= 1.05 else 2}f} times those of mix {smallest.name}"


def protocols(mixes: Sequence[MixFigures]) -> list[tuple[list[str], str]]:
    """Over which problems the mixes were drawn, in sentences, each with the names of the mixes that it holds for."""
    by_sentence: dict[str, list[str]] = {}
    for mix in mixes:
        by_sentence.setdefault(_protocol(mix), []).append(mix.name)
    return [(names, sentence) for sentence, names in by_sentence.items()]


def _protocol(mix: MixFigures) -> str:
    problems = mix.num_problems
    solved = ", ".join(f"{source} {count(number)}" for source, number in problems.solved_by.items())
    alone = problems.any_source - problems.all_sources
    counted = (
        f"Of {plural(problems.any_source, 'problem')} that some source solved ({solved}), all sources solved "
        f"{count(problems.all_sources)}"
    )
    if mix.protocol == "paper":
        told = f'Drawn by the protocol "paper": by itself, from its own sources. {counted}.'
    elif mix.problems == "intersection":
        told = (
            f'Drawn by the protocol "controlled": all mixes hold the same problems, those that all sources solved. {counted}; '
            f"the other {count(alone)} are in no mix."
        )
    else:
        told = (
            f'Drawn by the protocol "controlled" over problems that any source solved (union). {counted}; the other '
            f"{count(alone)} can only be written by the sources that solved them, so mixes may differ in their problems."
        )
    return told + (f" {plural(problems.held_out, 'problem')} held out for validation." if problems.held_out else "")


def left_out(mix: MixFigures) -> list[tuple[str, int]]:
    """Traces of the mix's sources that are no example, by reason in words, the most frequent first."""
    rows = [(_REASONS.get(reason, reason.replace("_", " ")), number) for reason, number in mix.left_out.items() if number]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def level_rows(mixes: Sequence[MixFigures]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each difficulty level with every mix's (examples, by source); empty when the problems have no levels."""
    found = {row.level for mix in mixes for row in mix.levels}
    if found <= {None}:
        return []
    by_mix = [{row.level: row.examples for row in mix.levels} for mix in mixes]
    return [
        ("no level" if level is None else printable(level), [_level_cell(levels.get(level, {})) for levels in by_mix])
        for level in sorted(found, key=natural_order)
    ]


def _level_cell(examples: Mapping[str, int]) -> tuple[str, str]:
    written = {source: number for source, number in examples.items() if number}
    by_source = ", ".join(f"{source} {count(number)}" for source, number in written.items())
    return count(sum(written.values())), by_source if len(written) > 1 else ""
