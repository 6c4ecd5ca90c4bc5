"""What the report says of a search: the curve with intervals, who was stopped where, and what it cost."""

from __future__ import annotations

import dataclasses

import pytest

from mixdistill.config.report import ReportConfig
from mixdistill.report import build_report, report_html, report_json, report_md
from mixdistill.report.searches import cost, outcome, search_figure, table_rows

CONFIG = ReportConfig(num_bootstrap=200)


def written(data):
    report = build_report(data, CONFIG)
    return report_html(report).replace("\u00a0", " "), report_md(report)


def test_page_and_markdown_tell_best_share_stops_and_cost(demo, search):
    for text in written(demo(searches=[search()])):
        assert "The best share of long for smollm2 is 0.2 (mix: long 0.2, short 0.8), with 37.5 % [27.5, 48.5]" in text
        assert "stopped at rung 2 of 3, 40 steps" in text
        assert "180 of the 300 optimiser steps (60 %)" in text
        assert "41,300 tokens answered; 2 stopped early, 1 failed" in text
        assert "failed after 0 steps: out of memory" in text
        assert "20: 26.2 %, 40: 33.8 %, 60: 37.5 %" in text


def test_without_a_search_nothing_is_said_of_one(demo):
    html, markdown = written(demo())
    assert 'id="searches"' not in html
    assert "Search" not in markdown


def test_the_figure_places_shares_and_intervals(search):
    figure = search_figure(search())
    assert [(point.x, point.status, point.is_best) for point in figure.points] == [
        (0.0, "finished", False),
        (25.0, "stopped", False),
        (50.0, "finished", True),
        (100.0, "stopped", False),
    ]
    for point in figure.points:
        assert 0 <= point.high <= point.y <= point.high + point.height <= 100


def test_a_choice_is_not_called_certain_while_a_rivals_interval_reaches_it(search):
    assert "the interval of share 0 reaches as far" in outcome(search())
    first, *others = search().candidates
    clear = dataclasses.replace(first, ci_high=0.34)
    assert "reaches as far" not in outcome(search(candidates=[clear, *others]))


def test_candidates_stand_in_the_order_of_their_shares(search):
    rows = table_rows(search(candidates=tuple(reversed(search().candidates))))
    assert [row[0] for row in rows] == ["0", "0.1", "0.2 (best)", "0.4", "1"]


def test_a_candidate_that_was_never_judged_has_no_number(search):
    assert table_rows(search())[-1][:4] == ["1", "not judged", "", ""]


def test_a_search_of_which_nothing_was_judged_still_reads(demo, search):
    failed = [
        dataclasses.replace(row, status="failed", accuracy=None, ci_low=None, ci_high=None) for row in search().candidates
    ]
    assert search_figure(search(candidates=failed)) is None
    written(demo(searches=[search(candidates=failed, num_steps_full=0)]))


@pytest.mark.parametrize(
    ("statuses", "told"), [(("finished",) * 5, "0 stopped early."), (("stopped",) * 5, "5 stopped early.")]
)
def test_stopped_trials_are_counted(search, statuses, told):
    candidates = [dataclasses.replace(row, status=status) for row, status in zip(search().candidates, statuses, strict=True)]
    assert cost(search(candidates=candidates)).endswith(told)


def test_hostile_reasons_stay_text(demo, search):
    *others, failed = search().candidates
    hostile = dataclasses.replace(failed, reason="<script>|\u202e")
    html, markdown = written(demo(searches=[search(candidates=[*others, hostile])]))
    assert "<script>" not in html
    assert "\u202e" not in html + markdown
    assert "\\<script\\>\\|" in markdown


def test_the_document_holds_the_search(demo, search):
    (row,) = report_json(build_report(demo(searches=[search()]), CONFIG))["searches"]
    assert (row["best_share"], row["rungs"]) == (0.2, [20, 40, 60])
    assert row["candidates"][1]["history"] == [{"steps": 20, "accuracy": 19 / 80}, {"steps": 40, "accuracy": 23 / 80}]
