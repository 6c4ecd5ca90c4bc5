"""Checks `ReportData` and turns it into the `Report` that every format renders, and into report.json.

In: ReportData and the `report` section of the config. Out: `Report`, whose `document` is report.json: `scores` and
`gaps` are contracts that other programs read, and `averages`, `gains`, `verdicts`, `teachers`, `searches`, `mixes`, `students`,
`lineage` and the experiment's description stand beside them. All of it is finite JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from mixdistill import __version__
from mixdistill.config.report import ReportConfig
from mixdistill.errors import DataError
from mixdistill.report.data import ReportData, TeacherFigures

FINDINGS: Final = ("scores", "averages", "gaps", "gains", "verdicts")


@dataclass(frozen=True)
class Report:
    """One experiment, ready to be told."""

    data: ReportData
    config: ReportConfig
    document: Mapping[str, Any]  # report.json

    @property
    def title(self) -> str:
        """The configured title, or the experiment's name."""
        return self.config.title or self.data.experiment


def build_report(data: ReportData, config: ReportConfig) -> Report:
    """Check the data and compose report.json.

    Raises:
        DataError: the findings lack a part, or no student was evaluated.
    """
    missing = [name for name in FINDINGS if name not in data.findings]
    if missing:
        raise DataError(f"the findings lack {', '.join(missing)}; expected what evaluation.analyse(...).as_json() gives")
    if not data.findings["scores"]:
        raise DataError("the findings hold no score, expected at least one student; run the evaluation first")
    document = {
        "experiment": data.experiment,
        "title": config.title or data.experiment,
        "mixdistill_version": __version__,
        "confidence": config.confidence,
        **{name: data.findings[name] for name in FINDINGS},
        "teachers": [_teacher_row(teacher) for teacher in data.teachers],
        "searches": [asdict(search) for search in data.searches],
        "mixes": [asdict(mix) for mix in data.mixes],
        "students": [{**asdict(student.run), **_without_run(asdict(student))} for student in data.students],
        "benchmarks": data.benchmarks,
        "prompts": data.prompts,
        "hardware": data.hardware,
        "seconds": data.seconds,
        "lineage": [asdict(artifact) for artifact in data.lineage],
        "settings": data.settings,
    }
    return Report(data, config, _finite(document))


def report_json(report: Report) -> dict[str, Any]:
    """The content of report.json."""
    return dict(report.document)


def _teacher_row(teacher: TeacherFigures) -> dict[str, Any]:
    """The figures, with those that follow from them: the other programs need not know how."""
    return asdict(teacher) | {
        "num_unsolved": teacher.num_unsolved,
        "tokens_per_accepted": teacher.tokens_per_accepted,
        "saved_share_estimate": teacher.saved_share,
        "rounds": [asdict(row) | {"pass_rate": row.accepted / row.asked if row.asked else None} for row in teacher.rounds],
    }


def _without_run(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "run"}


def _finite(value: Any) -> Any:
    """The value with mappings and sequences as JSON's, and null for NaN and infinity (a loss can diverge)."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
