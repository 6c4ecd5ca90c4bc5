"""What the report says of each search: accuracy against share with intervals, which trials were stopped, and the cost.

In: `SearchFigures`. Out: the points of the page's figure, the cells of the table and the sentences that page and Markdown
share. Candidates are judged on validation problems, never on a benchmark.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mixdistill.report.data import SearchCandidate, SearchFigures
from mixdistill.report.figures import accuracy_top, fraction_ticks, nice_top, quarter_ticks
from mixdistill.report.wording import count, duration, interval, percent, plural, printable

TABLE_HEAD: Final = ("share", "accuracy", "interval", "right", "came to", "examples", "accuracy by step", "time")
NUMBER_COLUMNS: Final = frozenset({1, 2, 3, 5, 7})
"""Of `TABLE_HEAD`, counted from 0: what is set to the right."""

_MAX_REASON_CHARS: Final = 200


@dataclass(frozen=True)
class SearchPoint:
    """One candidate in the figure; positions in percent of the box, y downwards."""

    x: float
    y: float
    high: float  # where the interval begins, from above
    height: float
    status: str
    is_best: bool
    label: str


@dataclass(frozen=True)
class SearchFigure:
    """Accuracy against share."""

    points: Sequence[SearchPoint]
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]


def search_figure(search: SearchFigures) -> SearchFigure | None:
    """The candidates that were judged; None when there is none."""
    judged = [row for row in search.candidates if row.accuracy is not None]
    if not judged:
        return None
    top = accuracy_top(max(row.accuracy if row.ci_high is None else row.ci_high for row in judged if row.accuracy is not None))
    right = min(1.0, nice_top(max(row.share for row in judged)))
    points = []
    for row in judged:
        accuracy = row.accuracy or 0.0
        low, high = (accuracy if end is None else end for end in (row.ci_low, row.ci_high))
        best = row.share == search.best_share
        points.append(
            SearchPoint(
                x=100 * row.share / right,
                y=100 - 100 * accuracy / top,
                high=100 - 100 * high / top,
                height=100 * (high - low) / top,
                status=row.status,
                is_best=best,
                label=f"share {row.share:g}: {percent(accuracy)}, {came_to(row, search)}",
            )
        )
    return SearchFigure(
        points,
        quarter_ticks(right, digits=3),
        [(100 - 100 * tick / top, f"{100 * tick:.0f} %") for tick in fraction_ticks(0, top)],
    )


def table_rows(search: SearchFigures) -> list[list[str]]:
    """One row a candidate, by share, with the columns of `TABLE_HEAD`."""
    rows = []
    for row in sorted(search.candidates, key=lambda row: row.share):
        rows.append(
            [
                f"{row.share:g}" + (" (best)" if row.share == search.best_share else ""),
                percent(row.accuracy) if row.accuracy is not None else "not judged",
                interval(row.ci_low, row.ci_high) if row.ci_low is not None and row.ci_high is not None else "",
                f"{count(row.num_correct)} of {count(row.num_questions)}" if row.accuracy is not None else "",
                came_to(row, search),
                count(row.num_examples),
                ", ".join(f"{count(rung.steps)}: {percent(rung.accuracy)}" for rung in row.history),
                duration(row.seconds),
            ]
        )
    return rows


def came_to(row: SearchCandidate, search: SearchFigures) -> str:
    """How far a candidate's training went, in words."""
    steps = plural(row.steps, "step")
    if row.status == "finished":
        return f"the end, {steps}"
    if row.status == "stopped":
        return f"stopped at rung {row.rung} of {len(search.rungs)}, {steps}"
    reason = textwrap.shorten(printable(row.reason or ""), _MAX_REASON_CHARS)  # it may be a traceback
    return f"failed after {steps}" + (f": {reason}" if reason else "")


def outcome(search: SearchFigures) -> str:
    """What was found, in one sentence."""
    mixed = ", ".join(f"{source} {fraction:g}" for source, fraction in search.best_fractions.items())
    best = next((row for row in search.candidates if row.share == search.best_share), None)
    judged = ""
    if best is not None and best.accuracy is not None:
        span = f" {interval(best.ci_low, best.ci_high)}" if best.ci_low is not None and best.ci_high is not None else ""
        judged = f", with {percent(best.accuracy)}{span} of {plural(search.num_questions, 'validation problem')} right"
        rivals = [
            row
            for row in search.candidates
            if row is not best and row.status == "finished" and row.ci_high is not None and row.ci_high >= best.accuracy
        ]
        if rivals:
            shares = ", ".join(f"{row.share:g}" for row in sorted(rivals, key=lambda row: row.share))
            judged += f"; the interval of share {shares} reaches as far, so the choice is not certain"
    return f"The best share of {search.of} for {search.student} is {search.best_share:g} (mix: {mixed}){judged}."


def cost(search: SearchFigures) -> str:
    """What the search took, beside training every candidate to its end, in one sentence."""
    stopped = sum(row.status == "stopped" for row in search.candidates)
    failed = sum(row.status == "failed" for row in search.candidates)
    share = f" ({100 * search.num_steps / search.num_steps_full:.0f} %)" if search.num_steps_full else ""
    told = (
        f"It spent {count(search.num_steps)} of the {plural(search.num_steps_full, 'optimiser step')}{share} that training all "
        f"{plural(len(search.candidates), 'candidate')} to the end takes, in {duration(search.seconds)} of trials, and had "
        f"{plural(search.num_answer_tokens, 'token')} answered; {count(stopped)} stopped early"
    )
    return told + (f", {count(failed)} failed." if failed else ".")
