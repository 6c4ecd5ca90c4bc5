"""The figures' geometry: numbers turned into positions in percent of a track, for the page's HTML bars.

Bars are HTML elements placed by percent and not pictures, so that labels stay at reading size on a phone, follow the
light or dark theme and print as text. Only the loss curves need an SVG path.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from mixdistill.records import Prediction, StudentRun
from mixdistill.report.data import TrainingFigures
from mixdistill.report.wording import interval, percent, points

_COLOURS: Final[Mapping[str, int]] = {
    "none": 0,
    "short": 1,
    "long": 2,
    "mix_long": 3,
    "small": 4,
    "large": 5,
    "mix_large": 6,
}
NUM_COLOURS: Final = 8
_MAX_CURVE_POINTS: Final = 400


@dataclass(frozen=True)
class Bar:
    """One bar with its interval; positions in percent of the track."""

    label: str
    colour: int
    measure: str  # strict or lenient
    left: float
    width: float
    low: float
    high: float
    text: str
    interval: str


@dataclass(frozen=True)
class BarFigure:
    """Bars over one axis."""

    title: str
    bars: Sequence[Sequence[Bar]]  # groups: strict and lenient of one student or comparison
    ticks: Sequence[tuple[float, str]]  # (position in percent, label)


@dataclass(frozen=True)
class TokenBox:
    """The distribution of generated tokens: 5th, 25th, 50th, 75th, 95th percentile as positions in percent."""

    label: str
    colour: int
    positions: tuple[float, float, float, float, float]
    text: str
    truncated: str


@dataclass(frozen=True)
class TokenFigure:
    """Token boxes over one axis."""

    title: str
    boxes: Sequence[TokenBox]
    ticks: Sequence[tuple[float, str]]


@dataclass(frozen=True)
class LossFigure:
    """Loss curves in a box of 100 by 100, y downwards."""

    curves: Sequence[tuple[str, int, str]]  # (label, colour, SVG path)
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]


def colour_of(mix: str, others: Sequence[str] = ()) -> int:
    """A fixed colour for the paper's mixes and sources, else one that none of the others has, as long as there are any.

    Args:
        mix: a mix or a source.
        others: all names that the report colours (`coloured_names`), in a fixed order.
    """
    if mix in _COLOURS:
        return _COLOURS[mix]
    unknown = [name for name in others if name not in _COLOURS]
    if mix not in unknown:
        return NUM_COLOURS - 1
    taken = {_COLOURS[name] for name in others if name in _COLOURS}
    free = [colour for colour in range(NUM_COLOURS - 1, 0, -1) if colour not in taken] or [NUM_COLOURS - 1]
    return free[unknown.index(mix) % len(free)]


def coloured_names(mixes: Iterable[str], sources: Iterable[str]) -> list[str]:
    """All names that have a colour: a source and the mix of this source alone may share name and colour."""
    return list(dict.fromkeys([*mixes, *sources]))


def accuracy_figure(title: str, rows: Sequence[Mapping[str, Any]], labels: Sequence[str], mixes: Sequence[str]) -> BarFigure:
    """Strict and lenient accuracy of every student on one benchmark (rows of `scores`)."""
    top = accuracy_top(max(max(row["ci_high"], row["lenient_ci_high"]) for row in rows))
    groups = []
    for row, label in zip(rows, labels, strict=True):
        colour = colour_of(row["mix"], mixes)
        groups.append(
            [
                Bar(
                    label,
                    colour,
                    measure,
                    0.0,
                    100 * value / top,
                    100 * low / top,
                    100 * high / top,
                    percent(value),
                    interval(low, high),
                )
                for measure, value, low, high in (
                    ("strict", row["accuracy"], row["ci_low"], row["ci_high"]),
                    ("lenient", row["accuracy_lenient"], row["lenient_ci_low"], row["lenient_ci_high"]),
                )
            ]
        )
    ticks = [(100 * tick / top, f"{100 * tick:.0f} %") for tick in fraction_ticks(0, top)]
    return BarFigure(title, groups, ticks)


def difference_figure(title: str, rows: Sequence[Mapping[str, Any]], labels: Sequence[str], mixes: Sequence[str]) -> BarFigure:
    """Strict and lenient differences around zero (rows of `gaps` or `gains`)."""
    measured = [(row, "gain_lenient" if row["kind"] == "gain" else "delta_lenient") for row in rows]
    ends = [row[name] for row in rows for name in ("ci_low", "ci_high")]
    ends += [row[f"{lenient}_{end}"] for row, lenient in measured for end in ("ci_low", "ci_high")]
    reach = accuracy_top(max(abs(end) for end in ends))

    def place(value: float) -> float:
        return 50 + 50 * value / reach

    groups = []
    for (row, lenient), label in zip(measured, labels, strict=True):
        colour = colour_of(row["mix"], mixes)
        groups.append(
            [
                Bar(
                    label,
                    colour,
                    measure,
                    place(min(0.0, value)),
                    50 * abs(value) / reach,
                    place(low),
                    place(high),
                    points(value),
                    interval(low, high, signed=True),
                )
                for measure, value, low, high in (
                    ("strict", row["delta"], row["ci_low"], row["ci_high"]),
                    ("lenient", row[lenient], row[f"{lenient}_ci_low"], row[f"{lenient}_ci_high"]),
                )
            ]
        )
    ticks = [(place(tick), f"{100 * tick:+.0f}" if tick else "0") for tick in fraction_ticks(-reach, reach)]
    return BarFigure(title, groups, ticks)


def token_figure(
    title: str, runs: Sequence[tuple[StudentRun, Sequence[Prediction]]], labels: Sequence[str], mixes: Sequence[str]
) -> TokenFigure:
    """Lengths of the responses of every student on one benchmark."""
    lengths = [np.array([row.num_tokens for row in predictions]) for _, predictions in runs]
    quantiles = [np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95]) for values in lengths]
    top = nice_top(float(max(values[-1] for values in quantiles)))
    boxes = []
    for (run, predictions), label, values, spread in zip(runs, labels, lengths, quantiles, strict=True):
        truncated = sum(row.finish_reason == "length" for row in predictions) / len(predictions)
        low, first, middle, third, high = (float(100 * value / top) for value in spread)
        boxes.append(
            TokenBox(
                label,
                colour_of(run.mix, mixes),
                (low, first, middle, third, high),
                f"{float(values.mean()):,.0f}",
                percent(truncated),
            )
        )
    return TokenFigure(title, boxes, quarter_ticks(top))


def loss_figure(students: Sequence[TrainingFigures], labels: Sequence[str], mixes: Sequence[str]) -> LossFigure | None:
    """Training loss by step; None when no student logged one."""
    curves = [
        (label, colour_of(student.run.mix, mixes), finite(student.losses))
        for student, label in zip(students, labels, strict=True)
    ]
    curves = [curve for curve in curves if curve[2]]
    if not curves:
        return None
    last_step = max(1, max(step for _, _, curve in curves for step, _ in curve))
    top = nice_top(max(loss for _, _, curve in curves for _, loss in curve))
    steps = sorted({round(last_step * part / 4) for part in range(5)})
    return LossFigure(
        [(label, colour, svg_path(curve, last_step, top)) for label, colour, curve in curves],
        [(100 * step / last_step, f"{step:,}") for step in steps],
        [(100 - position, text) for position, text in quarter_ticks(top, digits=3)],
    )


def finite(curve: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """The points of a curve that can be drawn: a loss may diverge."""
    return [(step, loss) for step, loss in curve if math.isfinite(loss)]


def svg_path(curve: Sequence[tuple[int, float]], last_step: int, top: float) -> str:
    """A curve of (step, loss) as an SVG path in a box of 100 by 100, y downwards, thinned where it has many points."""
    stride = math.ceil(len(curve) / _MAX_CURVE_POINTS)
    thinned = [*curve[:-1:stride], curve[-1]]
    return "M" + " L".join(f"{100 * step / last_step:.2f} {100 - 100 * loss / top:.2f}" for step, loss in thinned)


def quarter_ticks(top: float, digits: int | None = None) -> list[tuple[float, str]]:
    """Ticks at the quarters of an axis from 0 to `top`: whole numbers, or with so many significant digits."""
    return [(25.0 * part, f"{top * part / 4:,.0f}" if digits is None else f"{top * part / 4:.{digits}g}") for part in range(5)]


def accuracy_top(value: float) -> float:
    """The end of an axis of fractions: the next tenth, at least one and at most all."""
    return min(1.0, max(0.1, math.ceil(value * 10 - 1e-9) / 10))


def nice_top(value: float) -> float:
    """The end of an axis: the next of 1, 2, 4, 6, 8 times a power of ten, whose quarters are easy to read; 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value - 1e-9)


def fraction_ticks(low: float, high: float) -> list[float]:
    """Round ticks, about five of them."""
    step = next(step for step in (0.02, 0.05, 0.1, 0.2, 0.25, 0.5) if (high - low) / step <= 5.01)
    first = math.ceil(low / step - 1e-9)
    return [round(step * index, 10) for index in range(first, math.floor(high / step + 1e-9) + 1)]
