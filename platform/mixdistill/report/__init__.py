"""The report of one experiment: JSON, Markdown, HTML, a terminal table and a picture, all from one document.

`build_report` composes the document; each format is one function of the `Report` that it gives.
"""

from mixdistill.report.build import Report, build_report, report_json
from mixdistill.report.data import (
    Artifact,
    MixBudget,
    MixFigures,
    MixLevel,
    ProblemCounts,
    ReportData,
    SearchCandidate,
    SearchFigures,
    SearchRung,
    TeacherFigures,
    TeacherLevel,
    TeacherRound,
    TokenSpread,
    TrainingFigures,
)
from mixdistill.report.markdown import report_md
from mixdistill.report.page import report_html
from mixdistill.report.picture import figure_png
from mixdistill.report.terminal import terminal_table

__all__ = [
    "Artifact",
    "MixBudget",
    "MixFigures",
    "MixLevel",
    "ProblemCounts",
    "Report",
    "ReportData",
    "SearchCandidate",
    "SearchFigures",
    "SearchRung",
    "TeacherFigures",
    "TeacherLevel",
    "TeacherRound",
    "TokenSpread",
    "TrainingFigures",
    "build_report",
    "figure_png",
    "report_html",
    "report_json",
    "report_md",
    "terminal_table",
]
