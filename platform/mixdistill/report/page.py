"""report.html: one self-contained file, no script, nothing loaded from elsewhere.

In: a Report. Out: the page as text. The template escapes everything (model text is untrusted) and the page's own
Content-Security-Policy forbids scripts and any request, so that a mistake in escaping would still not run or phone home.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import jinja2
import yaml
from markupsafe import Markup

from mixdistill.records import StudentRun
from mixdistill.report import mixes as mix_words
from mixdistill.report import searches, teachers, validation, wording
from mixdistill.report.build import Report
from mixdistill.report.examples import choose_examples
from mixdistill.report.figures import accuracy_figure, colour_of, coloured_names, difference_figure, loss_figure, token_figure

_FOLDER: Final = Path(__file__).parent


def report_html(report: Report) -> str:
    """The report as one HTML page.

    Raises:
        DataError: an example's question is not among the report's problems.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("percent", "points", "count", "duration", "interval", "p_value", "mix_label", "printable", "unbroken"):
        environment.filters[name] = getattr(wording, name)
    style = Markup((_FOLDER / "page.css").read_text(encoding="utf-8"))  # noqa: S704 - our own file
    return environment.get_template("page.html.j2").render(style=style, **_view(report))


def _view(report: Report) -> dict[str, Any]:
    data, document = report.data, report.document
    scores: list[Mapping[str, Any]] = document["scores"]
    labels = [wording.run_label(row, scores) for row in scores]
    by_run = {run_of(row): label for row, label in zip(scores, labels, strict=True)}
    mixes = colours_of(report)
    training_labels = [by_run.get(item.run, item.run.mix) for item in data.students]
    validations = validation.validation_figures(data.students, training_labels)
    benchmarks = list(dict.fromkeys(row["benchmark"] for row in scores))
    students = list(dict.fromkeys(row["student"] for row in scores))
    comparisons = {
        name: [row for row in document[name] if len(benchmarks) > 1 or row["benchmark"] not in ("macro", "pooled")]
        for name in ("gaps", "gains")
    }
    return {
        "report": report,
        "document": document,
        "students": students,
        "base_models": list(dict.fromkeys(row["base_model"] for row in scores)),
        "benchmarks": benchmarks,
        "num_questions": sum(next(row["n"] for row in scores if row["benchmark"] == name) for name in benchmarks),
        "num_generated": sum(teacher.num_tokens for teacher in data.teachers)
        + sum(row.num_tokens for rows in data.predictions.values() for row in rows),
        "num_trained": sum(student.num_tokens for student in data.students),
        "several_students": len(students) > 1,
        "score_rows": list(zip(scores, labels, [colour_of(row["mix"], mixes) for row in scores], strict=True)),
        "judged": any(row["accuracy_judged"] is not None for row in scores),
        "average_rows": [(row, by_run[run_of(row)], colour_of(row["mix"], mixes)) for row in document["averages"]],
        "tones": wording.TONE_MARKS,
        "accuracy_figures": [accuracy_figure(name, *_of_benchmark(scores, labels, name), mixes) for name in benchmarks],
        "gap_figure": _differences(comparisons["gaps"], "gaps", benchmarks, students, mixes),
        "gain_figure": _differences(comparisons["gains"], "gains", benchmarks, students, mixes),
        "comparisons": comparisons,
        "token_figures": [
            token_figure(
                name,
                [
                    (run, [row for row in rows if row.benchmark == name])
                    for run, rows in data.predictions.items()
                    if any(row.benchmark == name for row in rows)
                ],
                [by_run[run] for run, rows in data.predictions.items() if any(row.benchmark == name for row in rows)],
                mixes,
            )
            for name in benchmarks
        ],
        "losses": loss_figure(data.students, training_labels, mixes),
        "validations": validations,
        "validation_sources": _once(curve.source for figure in validations for curve in figure.curves),
        "training": [
            (item, label, colour_of(item.run.mix, mixes)) for item, label in zip(data.students, training_labels, strict=True)
        ],
        "dropped_text": wording.dropped,
        "colour": lambda name: colour_of(name, mixes),
        "searches": searches,
        "search_rows": [(item, searches.search_figure(item), searches.table_rows(item)) for item in data.searches],
        "mixes": mix_words,
        "mix_bars": mix_words.mix_bars(data.mixes),
        "mix_sources": _once(source for mix in data.mixes for source in mix.by_teacher),
        "mix_lengths": mix_words.length_figure(data.mixes),
        "mix_levels": mix_words.level_rows(data.mixes),
        "teacher_rows": [(teacher, colour_of(teacher.name, mixes)) for teacher in data.teachers],
        "teachers": teachers,
        "round_ticks": [(0.0, "0 %"), (50.0, "50 %"), (100.0, "100 %")],
        "level_rows": teachers.level_rows(data.teachers),
        "examples": choose_examples(data.predictions, data.problems, by_run, report.config.num_examples, report.config.seed),
        "settings": yaml.safe_dump(document["settings"], sort_keys=False, allow_unicode=True) if document["settings"] else "",
    }


def colours_of(report: Report) -> list[str]:
    """All names that have a colour, so that page and picture give each the same."""
    data = report.data
    sources = [*(teacher.name for teacher in data.teachers), *(name for mix in data.mixes for name in mix.by_teacher)]
    return coloured_names((row["mix"] for row in report.document["scores"]), sources)


def run_of(row: Mapping[str, Any]) -> StudentRun:
    """The student run that a row of report.json speaks of."""
    return StudentRun(row["student"], row["base_model"], row["mix"], row["seed"])


def comparison_label(row: Mapping[str, Any], *, several_benchmarks: bool, several_students: bool) -> str:
    """What a row of `gaps` or `gains` compares, as short as it can be told."""
    if row["kind"] in wording.KIND_LABELS:
        label = wording.KIND_LABELS[row["kind"]]
    else:
        label = f"{row['mix']} - {wording.mix_label(row['versus'])}"
    if several_students:
        label = f"{row['student']}: {label}"
    return f"{label}, {row['benchmark']}" if several_benchmarks else label


def _differences(
    rows: Sequence[Mapping[str, Any]], title: str, benchmarks: Sequence[str], students: Sequence[str], mixes: Sequence[str]
) -> Any:
    if not rows:
        return None
    labels = [comparison_label(row, several_benchmarks=len(benchmarks) > 1, several_students=len(students) > 1) for row in rows]
    return difference_figure(title, rows, labels, mixes)


def _of_benchmark(
    scores: Sequence[Mapping[str, Any]], labels: Sequence[str], benchmark: str
) -> tuple[list[Mapping[str, Any]], list[str]]:
    chosen = [(row, label) for row, label in zip(scores, labels, strict=True) if row["benchmark"] == benchmark]
    return [row for row, _ in chosen], [label for _, label in chosen]


def _once(names: Iterable[str]) -> list[str]:
    """The names in their order, each once."""
    return list(dict.fromkeys(names))
