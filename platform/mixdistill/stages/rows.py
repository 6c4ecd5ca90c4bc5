"""The files of each stage's artifacts, and reading their rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mixdistill.artifacts import CHUNK_ROWS, ArtifactKey, Slices, num_chunks
from mixdistill.config import StudentConfig
from mixdistill.records import Judgement, Prediction, Problem, from_table
from mixdistill.stages.tasks import StageContext

PROBLEMS_FILE: Final = "problems.parquet"
TRACES_FILE: Final = "traces.parquet"
SELECTED_FILE: Final = "selected.parquet"
REJECTED_FILE: Final = "rejected.parquet"  # columns trace_id, reason
SEARCH_FILE: Final = "search.json"
EXAMPLES_FILE: Final = "examples.parquet"
VALIDATION_FILE: Final = "validation.parquet"  # examples of the held-out problems; the teacher is the source
MODEL_FOLDER: Final = "model"
MERGED_FOLDER: Final = "merged"
TRACKING_FOLDER: Final = "logs"  # TensorBoard's
PREDICTIONS_FILE: Final = "predictions.parquet"
JUDGEMENTS_FILE: Final = "judgements.parquet"
REPORT_JSON: Final = "report.json"
REPORT_MD: Final = "report.md"
REPORT_HTML: Final = "report.html"
REPORT_PNG: Final = "report.png"
REPORT_TXT: Final = "report.txt"  # the terminal's table, with ANSI colours
REPORT_FILES: Final = (REPORT_HTML, REPORT_MD, REPORT_JSON, REPORT_PNG)


def weights_folder(recipe: StudentConfig) -> str:
    """The folder of a student's artifact with what an engine loads."""
    return MODEL_FOLDER if recipe.method == "full" or recipe.is_adapter else MERGED_FOLDER


def read_problems(context: StageContext, key: ArtifactKey) -> list[Problem]:
    """The problems of a finished set."""
    return from_table(context.artifact(key).read_table(PROBLEMS_FILE), Problem)


def read_problem_chunks(context: StageContext, key: ArtifactKey) -> Iterator[list[Problem]]:
    """The problems of a finished set, in the chunks in which engines work on them."""
    problems = Slices(context.artifact(key).file_url(PROBLEMS_FILE))
    for chunk in range(num_chunks(problems.num_rows)):
        yield from_table(problems.read(chunk * CHUNK_ROWS, (chunk + 1) * CHUNK_ROWS), Problem)


def read_predictions(context: StageContext, key: ArtifactKey) -> list[Prediction]:
    """The predictions of a finished evaluation."""
    return from_table(context.artifact(key).read_table(PREDICTIONS_FILE), Prediction)


def read_judgements(context: StageContext, key: ArtifactKey) -> list[Judgement]:
    """The judgements of a finished judging."""
    return from_table(context.artifact(key).read_table(JUDGEMENTS_FILE), Judgement)
