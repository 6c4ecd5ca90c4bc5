"""report.png: accuracies and differences in one picture, for a README or a slide.

In: a Report. Out: PNG bytes. matplotlib is imported here and nowhere else, and only when a picture is asked for.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from mixdistill.report.build import Report
from mixdistill.report.figures import colour_of
from mixdistill.report.page import colours_of, comparison_label
from mixdistill.report.wording import percent, points, run_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The light theme's colours of page.css, in its order.
_COLOURS: Final = ("#6b7280", "#0868b0", "#c65200", "#008562", "#8352a8", "#b03060", "#00788f", "#7a6a00")
_INK, _SOFT, _RULE = "#16191d", "#565d66", "#d9dde2"
_ROW_INCHES: Final = 0.52


def figure_png(report: Report) -> bytes:
    """The main figure: strict and lenient accuracy of every student, and the paired differences.

    With several benchmarks the accuracies are the means over benchmarks, as the paper's averages.
    """
    from matplotlib.figure import Figure

    document = report.document
    bars = _accuracy_bars(document)
    differences = [
        row
        for name in ("gaps", "gains")
        for row in document[name]
        if row["benchmark"] == "macro"  # over one benchmark, the mean is that benchmark
    ]
    mixes = colours_of(report)
    num_rows = max(len(bars), len(differences), 3)
    figure = Figure(figsize=(12 if differences else 7, 1.5 + _ROW_INCHES * num_rows), layout="constrained")
    figure.set_facecolor("white")
    axes = figure.subplots(1, 2 if differences else 1, squeeze=False)[0]
    benchmarks = list(dict.fromkeys(row["benchmark"] for row in document["scores"]))
    on = benchmarks[0] if len(benchmarks) == 1 else f"mean of {len(benchmarks)} benchmarks"
    _draw(axes[0], bars, mixes, f"Accuracy on {on}, %", percent)
    top = max([0.0, *(high for bar in bars for _, _, high in bar[2] if high is not None)])
    axes[0].set_xlim(0, min(1.35, max(0.1, top) * 1.35))
    if differences:
        several = len({row["student"] for row in document["scores"]}) > 1
        groups = []
        for row in differences:
            lenient = "gain_lenient" if row["kind"] == "gain" else "delta_lenient"
            label = comparison_label(row, several_benchmarks=False, several_students=several)
            values = [(row["delta"], row["ci_low"], row["ci_high"])]
            values.append((row[lenient], row[f"{lenient}_ci_low"], row[f"{lenient}_ci_high"]))
            groups.append((label, row["mix"], values))
        _draw(axes[1], groups, mixes, "Difference in points, paired by question", points)
        reach = max(abs(end) for group in groups for _, low, high in group[2] for end in (low, high))
        axes[1].set_xlim(-1.35 * reach, 1.35 * reach)
        axes[1].axvline(0, color=_SOFT, linewidth=1, zorder=1)
    figure.supxlabel(
        "solid: right and in the required form.  hatched: last expression right, whatever its form.  "
        f"lines: {100 * report.config.confidence:g} % intervals",
        fontsize=9,
        color=_SOFT,
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": "mixdistill"})
    return buffer.getvalue()


_Group = tuple[str, str, Sequence[tuple[float, float | None, float | None]]]
"""(label, mix, (value, low, high) of strict and lenient; no interval where only a mean is known)."""


def _accuracy_bars(document: Mapping[str, Any]) -> list[_Group]:
    scores: list[Mapping[str, Any]] = document["scores"]
    if len({row["benchmark"] for row in scores}) > 1:
        return [
            (run_label(row, scores), row["mix"], [(row["macro"], None, None), (row["macro_lenient"], None, None)])
            for row in document["averages"]
        ]
    return [
        (
            run_label(row, scores),
            row["mix"],
            [
                (row["accuracy"], row["ci_low"], row["ci_high"]),
                (row["accuracy_lenient"], row["lenient_ci_low"], row["lenient_ci_high"]),
            ],
        )
        for row in scores
    ]


def _draw(axes: Axes, groups: Sequence[_Group], mixes: Sequence[str], title: str, written: Any) -> None:
    for index, (_, mix, values) in enumerate(groups):
        colour = _COLOURS[colour_of(mix, mixes)]
        for part, (value, low, high) in enumerate(values):
            y = index + (-0.19 if part == 0 else 0.19)
            style: dict[str, Any] = {"color": colour}
            if part == 1:
                style = {"facecolor": "white", "edgecolor": colour, "hatch": "////"}
            axes.barh(y, value, height=0.34, zorder=2, **style)
            ends = [value] if low is None or high is None else [low, high]
            if len(ends) == 2:
                axes.plot(ends, [y, y], color=_INK, linewidth=1.6, zorder=4, marker="|", markersize=6)
            beyond = min(*ends, value) if value < 0 else max(*ends, value)
            axes.annotate(
                written(value),
                (beyond, y),
                xytext=(-6 if value < 0 else 6, 0),
                textcoords="offset points",
                ha="right" if value < 0 else "left",
                va="center",
                fontsize=9,
                color=_INK if part == 0 else _SOFT,
            )
    axes.set_yticks(range(len(groups)), [label for label, _, _ in groups], fontsize=10, color=_INK, parse_math=False)
    axes.invert_yaxis()
    axes.set_title(title, loc="left", fontsize=11, color=_INK, parse_math=False)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}")
    axes.tick_params(colors=_SOFT, length=0)
    axes.tick_params(axis="y", labelcolor=_INK)
    axes.grid(axis="x", color=_RULE, zorder=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_RULE)
