"""Loss on held-out traces of each source: what a student fails to learn shows as a curve that stays high.

In: `TrainingFigures`. Out: one small figure a student, all on the same scale, and each curve's first and last value in text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mixdistill.report.data import TrainingFigures
from mixdistill.report.figures import finite, nice_top, quarter_ticks, svg_path
from mixdistill.report.wording import count


@dataclass(frozen=True)
class SourceCurve:
    """One source's losses in a box of 100 by 100, y downwards."""

    source: str
    path: str
    first: float
    last: float

    @property
    def text(self) -> str:
        """The first and the last loss."""
        change = f" ({100 * (self.last / self.first - 1):+.0f} %)" if self.first else ""
        return f"{self.first:.3f} to {self.last:.3f}{change}"


@dataclass(frozen=True)
class ValidationFigure:
    """The curves of one student."""

    label: str
    curves: Sequence[SourceCurve]
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]


def validation_figures(students: Sequence[TrainingFigures], labels: Sequence[str]) -> list[ValidationFigure]:
    """One figure for each student whose validation loss was taken; the scale of the loss is the same in all."""
    measured = [
        (label, {source: points for source, curve in student.validation.items() if (points := finite(curve))})
        for student, label in zip(students, labels, strict=True)
    ]
    measured = [(label, curves) for label, curves in measured if curves]
    if not measured:
        return []
    top = nice_top(max(loss for _, curves in measured for points in curves.values() for _, loss in points))
    y_ticks = [(100 - position, text) for position, text in quarter_ticks(top, digits=3)]
    figures = []
    for label, curves in measured:
        last_step = max(1, max(step for points in curves.values() for step, _ in points))
        figures.append(
            ValidationFigure(
                label,
                [
                    SourceCurve(source, svg_path(points, last_step, top), points[0][1], points[-1][1])
                    for source, points in curves.items()
                ],
                [(0.0, "0"), (50.0, count(last_step / 2)), (100.0, count(last_step))],
                y_ticks,
            )
        )
    return figures
