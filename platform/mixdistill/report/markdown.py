"""report.md: the report as plain text with tables, for a pull request or a model card.

In: a Report. Out: GitHub-flavoured Markdown. It holds no model text; names and model ids are escaped.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mixdistill.report import mixes, searches, teachers, wording
from mixdistill.report.build import Report
from mixdistill.report.data import MixFigures, SearchFigures, TeacherFigures
from mixdistill.report.validation import validation_figures
from mixdistill.report.wording import count, duration, interval, mix_label, p_value, percent, points, run_label


def report_md(report: Report) -> str:
    """The report as Markdown."""
    document = report.document
    parts = [f"# {_text(report.title)}", *_verdicts(document), *_scores(document), *_differences(document)]
    parts += [*_sources(report), *_method(report)]
    return "\n\n".join(parts) + "\n"


def _verdicts(document: Mapping[str, Any]) -> list[str]:
    if not document["verdicts"]:
        return []
    several = len({row["student"] for row in document["scores"]}) > 1
    lines = [
        f"- {wording.TONE_MARKS[row['tone']]} **{_text(row['student']) + ': ' if several else ''}{_text(row['headline'])}.** "
        f"{_text(row['text'])}"
        for row in document["verdicts"]
    ]
    return ["## What helped, in words", "\n".join(lines)]


def _scores(document: Mapping[str, Any]) -> list[str]:
    scores = document["scores"]
    rows = [
        [
            run_label(row, scores),
            row["benchmark"],
            f"{count(row['correct'])} of {count(row['num_answers'])}",
            percent(row["accuracy"]),
            interval(row["ci_low"], row["ci_high"]),
            percent(row["accuracy_lenient"]),
            percent(row["answered"]),
            percent(row["truncated"]),
            count(row["mean_tokens"]),
            *_judged(row),
        ]
        for row in scores
    ]
    head = ["student", "benchmark", "right", "accuracy", "interval", "any form", "answered in form", "cut off", "tokens"]
    if any(row["accuracy_judged"] is not None for row in scores):
        head += ["with judge", "interval", "judged", "unreadable"]
    parts = ["## Scores", _table(head, rows, num_text=2)]
    if len({row["benchmark"] for row in scores}) > 1:
        rows = [
            [run_label(row, scores), *(percent(row[name]) for name in ("macro", "pooled", "macro_lenient", "pooled_lenient"))]
            for row in document["averages"]
        ]
        head = ["student", "mean over benchmarks", "over all questions", "mean, any form", "all questions, any form"]
        parts.append(_table(head, rows, num_text=1))
    parts.append('An answer counts when it is right and stands in the required form; "any form" takes the last expression.')
    if any(row["accuracy_judged"] is not None for row in scores):
        parts.append(
            '"With judge" also counts answers in form that the rules rejected and a language model found right. The judge can '
            "only raise a score; every comparison here is by the rules alone."
        )
    return parts


def _judged(row: Mapping[str, Any]) -> list[str]:
    if row["accuracy_judged"] is None:
        return []
    return [
        percent(row["accuracy_judged"]),
        interval(row["judged_ci_low"], row["judged_ci_high"]),
        count(row["num_judged"]),
        count(row["num_unreadable"]),
    ]


def _differences(document: Mapping[str, Any]) -> list[str]:
    parts: list[str] = []
    several_benchmarks = len({row["benchmark"] for row in document["scores"]}) > 1
    several_students = len({row["student"] for row in document["scores"]}) > 1
    for name, title in (("gaps", "Differences between mixes"), ("gains", "Differences against the untouched student")):
        prefix = "gain" if name == "gains" else "delta"
        rows = [
            [
                f"{row['student'] + ': ' if several_students else ''}{row['mix']} - {mix_label(row['versus'])}",
                row["benchmark"],
                points(row["delta"]),
                interval(row["ci_low"], row["ci_high"], signed=True),
                p_value(row["p_value"]),
                points(row[f"{prefix}_lenient"]),
                interval(row[f"{prefix}_lenient_ci_low"], row[f"{prefix}_lenient_ci_high"], signed=True),
                points(row[f"{prefix}_form"]),
            ]
            for row in document[name]
            if several_benchmarks or row["benchmark"] not in ("macro", "pooled")
        ]
        if rows:
            head = ["difference", "on", "points", "interval", "p", "any form", "interval", "form alone"]
            parts += [f"## {title}", _table(head, rows, num_text=2)]
    return parts


def _sources(report: Report) -> list[str]:
    data, parts = report.data, []
    if data.teachers:
        parts += _teachers(data.teachers, data.mixes)
    for search in data.searches:
        parts += _search(search)
    if data.mixes:
        parts += _mixes(data.mixes)
    if data.students:
        parts += _training(report)
    return parts


def _search(search: SearchFigures) -> list[str]:
    return [
        f"## Search: {_text(search.mix)} for {_text(search.student)}",
        _text(searches.outcome(search)),
        _text(searches.cost(search)),
        _table(
            searches.TABLE_HEAD,
            searches.table_rows(search),
            num_text=1,
            also_text=set(range(len(searches.TABLE_HEAD))) - searches.NUMBER_COLUMNS,
        ),
    ]


def _mixes(figures: Sequence[MixFigures]) -> list[str]:
    rows = [
        [
            mix.name,
            ", ".join(f"{count(number)} {teacher}" for teacher, number in mix.by_teacher.items()),
            count(mix.num_examples),
            count(mix.num_tokens),
        ]
        for mix in figures
    ]
    parts = ["## Mixes", _table(["mix", "written by", "examples", "tokens"], rows, num_text=2)]
    told = mixes.protocols(figures)
    parts += [_text((f"{', '.join(names)}: " if len(told) > 1 else "") + sentence) for names, sentence in told]
    parts.append("\n".join(f"- **{_text(mix.name)}**: {_text(mixes.budget(mix, figures))}." for mix in figures))
    rows = [
        [
            mix.name,
            source,
            *(count(number) for number in (spread.total, spread.mean, spread.p10, spread.p50, spread.p90, spread.max)),
            count(mix.num_validation.get(source, 0)),
        ]
        for mix in figures
        for source, spread in mix.tokens.items()
    ]
    if rows:
        head = ["mix", "source", "tokens", "mean per example", "10th percentile", "median", "90th percentile", "longest"]
        parts.append(_table([*head, "held-out traces"], rows, num_text=2))
    levels = mixes.level_rows(figures)
    if levels:
        rows = [
            [level, *(total + (f" ({by_source})" if by_source else "") for total, by_source in cells)]
            for level, cells in levels
        ]
        parts += ["Examples by difficulty:", _table(["level", *(mix.name for mix in figures)], rows, num_text=1)]
    rows = [
        [mix.name, count(sum(mix.left_out.values())), ", ".join(f"{reason} {count(n)}" for reason, n in mixes.left_out(mix))]
        for mix in figures
    ]
    return [*parts, _table(["mix", "traces left out", "why"], rows, num_text=1, also_text={2})]


def _training(report: Report) -> list[str]:
    scores = report.document["scores"]
    labels = [run_label(asdict(student.run), scores) for student in report.data.students]
    rows = [
        [
            label,
            "" if student.num_examples is None else count(student.num_examples),
            wording.dropped(student),
            count(student.num_steps),
            count(student.num_tokens),
            "" if student.padding_share is None else percent(student.padding_share),
            student.attention or "",
            duration(student.seconds),
            "not logged" if row["final_loss"] is None else f"{row['final_loss']:.3f}",
        ]
        for student, label, row in zip(report.data.students, labels, report.document["students"], strict=True)
    ]
    head = ["student", "examples", "left out or cut", "steps", "tokens", "padding", "attention", "time", "final loss"]
    parts = ["## Training", _table(head, rows, num_text=1, also_text={2, 6})]
    figures = validation_figures(report.data.students, labels)
    sources = list(dict.fromkeys(curve.source for figure in figures for curve in figure.curves))
    if figures:
        texts = [{curve.source: curve.text for curve in figure.curves} for figure in figures]
        rows = [
            [figure.label, *(text.get(source, "") for source in sources)] for figure, text in zip(figures, texts, strict=True)
        ]
        parts.append("Loss on held-out traces of each source, before the first step and at the end:")
        parts.append(_table(["student", *sources], rows, num_text=1))
    return parts


def _teachers(figures: Sequence[TeacherFigures], mixes: Sequence[MixFigures]) -> list[str]:
    rows = [
        [
            teacher.name,
            teacher.model,
            teacher.style,
            f"{count(teacher.num_solved)} of {count(teacher.num_problems)}",
            f"{count(teacher.num_accepted)} of {count(teacher.num_samples)}",
            teachers.tokens_per_accepted(teacher),
            count(teacher.num_selected),
            count(teacher.num_tokens),
            duration(teacher.seconds),
        ]
        for teacher in figures
    ]
    head = ["teacher", "model", "style", "problems solved", "traces accepted", "tokens per accepted trace", "traces kept"]
    parts = ["## Teachers", _table([*head, "tokens", "time"], rows, num_text=3)]
    parts.append(
        "\n".join(f"- **{_text(teacher.name)}**: {_text('; '.join(teachers.sentences(teacher)))}." for teacher in figures)
    )
    rows = [
        [teacher.name, bar.label, bar.temperature, bar.text, bar.counts]
        for teacher in figures
        for bar in teachers.round_bars(teacher)
    ]
    parts += ["Pass rate by round:", _table(["teacher", "round", "temperature", "accepted", "samples"], rows, num_text=2)]
    levels = teachers.level_rows(figures)
    if levels:
        rows = [
            [level, *(", ".join(filter(None, teachers.level_text(row))) for row in by_teacher)] for level, by_teacher in levels
        ]
        parts += ["Problems solved by difficulty:", _table(["level", *(teacher.name for teacher in figures)], rows, num_text=1)]
    return [*parts, teachers.selection_bias(mixes)] if len(figures) > 1 else parts


def _method(report: Report) -> list[str]:
    return [
        "## How this was measured",
        f"Brackets hold {100 * report.config.confidence:g} % intervals over questions: Wilson for accuracies, paired bootstrap "
        f"({count(report.config.num_bootstrap)} resamples, seed {report.config.seed}) for differences. p-values are exact "
        "McNemar for one answer a question, else a sign-flip permutation test, not corrected for the number of comparisons. "
        "The intervals do not cover what another training seed would have changed.",
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, num_text: int, also_text: Collection[int] = ()) -> str:
    """A Markdown table; the first `num_text` columns and `also_text` are text, the others numbers."""
    rule = ["---" if index < num_text or index in also_text else "---:" for index in range(len(head))]
    head, *body = [[_text(cell) for cell in row] for row in [head, *rows]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *body])


def _text(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    flat = " ".join(wording.printable(text).split())
    return re.sub(r"([\\`*_{}<>|~#])", r"\\\1", flat)
