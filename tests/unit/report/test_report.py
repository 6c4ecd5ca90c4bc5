"""What every format of the report must hold, whatever a model wrote."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from mixdistill.config.report import ReportConfig
from mixdistill.errors import DataError
from mixdistill.evaluation import analyse
from mixdistill.report import (
    Artifact,
    Report,
    TrainingFigures,
    build_report,
    figure_png,
    report_html,
    report_json,
    report_md,
    terminal_table,
)
from mixdistill.report.wording import duration, points, printable, unbroken

CONFIG = ReportConfig(num_bootstrap=200)
SCORE_FIELDS = {
    "student": str,
    "base_model": str,
    "mix": str,
    "seed": int,
    "benchmark": str,
    "n": int,
    "correct": int,
    "accuracy": float,
    "ci_low": float,
    "ci_high": float,
    "answered": float,
    "accuracy_lenient": float,
    "mean_tokens": float,
    "truncated": float,
}
GAP_FIELDS = {
    "kind": str,
    "base_model": str,
    "benchmark": str,
    "delta": float,
    "ci_low": float,
    "ci_high": float,
    "p_value": float,
    "n": int,
}


class Page(HTMLParser):
    """Tags, attributes and text of a page; an unclosed or stray tag fails."""

    VOID = frozenset({"meta", "link", "br", "img", "hr", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def terminal(report: Report, width: int = 120) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(terminal_table(report))
    return console.export_text()


@pytest.mark.parametrize(("rows", "fields"), [("scores", SCORE_FIELDS), ("gaps", GAP_FIELDS)])
def test_report_json_keeps_the_contract(report: Report, rows: str, fields: dict[str, type]) -> None:
    document = json.loads(json.dumps(report_json(report), allow_nan=False))
    assert document[rows]
    for row in document[rows]:
        for name, kind in fields.items():
            assert type(row[name]) is kind, name
        assert row["ci_low"] <= row["delta" if rows == "gaps" else "accuracy"] <= row["ci_high"]


def test_the_untouched_student_has_the_mix_none(report: Report) -> None:
    assert [row["mix"] for row in report_json(report)["scores"]] == ["none", "short", "long", "mix_long"]


def test_gaps_have_both_averages(report: Report) -> None:
    found = {(row["kind"], row["benchmark"]) for row in report_json(report)["gaps"]}
    assert found == {(kind, name) for kind in ("long", "mix_long") for name in ("sums", "macro", "pooled")}


def test_a_diverged_loss_is_null(demo, report: Report) -> None:
    run = list(report.data.predictions)[1]
    diverged = TrainingFigures(run, 3, 10, 1.0, float("nan"), ((1, 2.0), (2, float("inf")), (3, float("nan"))))
    found = build_report(demo(students=(diverged,)), CONFIG)
    row = report_json(found)["students"][0]
    assert (row["final_loss"], row["losses"]) == (None, [[1, 2.0], [2, None], [3, None]])
    assert "inf" not in "".join(re.findall(r'<path[^>]* d="([^"]*)"', report_html(found)))


def test_the_page_loads_nothing(report: Report) -> None:
    html = report_html(report)
    page = Page(html)
    assert not {"script", "link", "iframe", "object", "embed", "img", "base", "form"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not {"src", "href", "srcset", "action", "data", "poster", "background", "xlink:href"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"url\(|@import|https?://", html)
    assert "default-src 'none'" in html


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "</pre><img src=x onerror=alert(1)>",
        "{{ 7 * 7 }} {% raw %}",
        "</style><b>",
        "&lt;b&gt;",
        "-->",
    ],
)
def test_model_text_is_shown_and_not_obeyed(demo, text: str) -> None:
    page = Page(report_html(build_report(demo(num_questions=12, text=text), CONFIG)))
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert text in "".join(page.text)


@given(st.text(st.characters(codec=None), max_size=60))
@settings(max_examples=25, deadline=None)
def test_any_model_text_leaves_a_well_formed_page(text: str) -> None:
    shown = printable(text)
    shown.encode("utf-8")
    assert not re.search("[\x00-\x08\u202a-\u202e\u2066-\u2069]", shown)


def test_surrogates_controls_and_direction_marks_do_not_break_the_page(demo) -> None:
    html = report_html(build_report(demo(num_questions=12, text="a\ud800b\x00c\u202ed"), CONFIG))
    html.encode("utf-8")
    assert "a\ufffdb\ufffdc\ufffdd" in html


def test_a_very_long_response_is_cut_with_a_note(demo) -> None:
    html = report_html(build_report(demo(num_questions=12, text="x" * 500_000), CONFIG))
    assert "494,000 more characters" in html
    assert len(html) < 300_000


def test_hostile_names_stay_names(demo) -> None:
    name = "[red]<b>|`x`"
    found = build_report(demo(lineage=(Artifact("train", name, "f" * 64, 1.0),), experiment=name), ReportConfig(title=name))
    assert "<b>|" not in report_html(found)
    assert report_md(found).startswith("# [red]\\<b\\>\\|\\`x\\`\n")
    assert name in terminal(found)


def test_the_verdicts_come_first_in_every_format(report: Report) -> None:
    html, markdown = report_html(report), report_md(report)
    assert html.index("Long reasoning hurts this student") < html.index("<table>")
    assert markdown.index("Long reasoning hurts this student") < markdown.index("| student |")
    assert "28.0 of the 31.3 points are the answer's form" in markdown
    assert "Long reasoning hurts this student" in terminal(report)


def test_markdown_tables_are_rectangular(report: Report) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", report_md(report), flags=re.M)
    assert len(tables) == 10
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert "| short | sums | 47 of 150 | 31.3 % | [24.5, 39.1] | 32.0 % | 98.7 % | 0.0 % | 34 |" in report_md(report)


def test_the_terminal_table_fits_eighty_columns(report: Report) -> None:
    assert max(len(line.rstrip()) for line in terminal(report, width=80).splitlines()) <= 80
    assert "31.3 %" in terminal(report, width=80)


def test_several_benchmarks_and_seeds_are_all_told(demo) -> None:
    found = build_report(demo(benchmarks=("sums", "olympiad"), seeds=(0, 1)), CONFIG)
    assert len(report_json(found)["scores"]) == 2 * (1 + 3 * 2)
    for text in (report_html(found), report_md(found), terminal(found)):
        assert "short (seed 1)" in text
        assert "macro" in text
        assert "olympiad" in text


def test_a_report_without_figures_still_reads(demo) -> None:
    bare = build_report(
        demo(teachers=(), mixes=(), students=(), lineage=(), prompts={}, settings={}),
        ReportConfig(num_examples=0),
    )
    html = report_html(bare)
    Page(html)
    assert 'id="teachers"' not in html
    assert 'id="examples"' not in html
    assert "## Teachers" not in report_md(bare)


def test_the_examples_are_where_students_disagree(report: Report) -> None:
    html = report_html(report)
    assert html.count('<article class="answer') == 3 * 4
    assert "2 of 4 right" in html


def test_an_example_without_its_problem_is_refused(demo) -> None:
    with pytest.raises(DataError, match="not among the report's problems"):
        report_html(build_report(demo(problems={}), CONFIG))


def test_findings_without_scores_are_refused(demo) -> None:
    with pytest.raises(DataError, match="lack scores"):
        build_report(demo(findings={}), CONFIG)
    with pytest.raises(DataError, match="no score"):
        build_report(demo(findings={name: [] for name in ("scores", "averages", "gaps", "gains", "verdicts")}), CONFIG)


def test_the_picture_is_a_png(demo, report: Report) -> None:
    for found in (report, build_report(demo(benchmarks=("sums", "olympiad")), CONFIG)):
        assert figure_png(found).startswith(b"\x89PNG\r\n\x1a\n")


def test_only_the_untouched_student_makes_a_report_too(demo) -> None:
    data = demo()
    runs = {run: rows for run, rows in data.predictions.items() if run.mix == "none"}
    found = build_report(demo(predictions=runs, findings=analyse(runs, CONFIG).as_json(), students=()), CONFIG)
    Page(report_html(found))
    assert figure_png(found)
    assert "untouched" in terminal(found)


@pytest.mark.parametrize(("value", "text"), [(0.0004, "0.0"), (-0.0004, "0.0"), (-0.3, "-30.0"), (0.0199, "+2.0")])
def test_points_never_print_a_negative_zero(value: float, text: str) -> None:
    assert points(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.7, "1 min 0 s"), (185, "3 min 5 s"), (7799, "2 h 9 min"), (float("inf"), "unknown")],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_numbers_do_not_break_over_lines() -> None:
    assert " " not in unbroken("p = 0.02") + unbroken("31.3 %") + unbroken("-12.0 points") + unbroken("[-20.7, -2.0]")
