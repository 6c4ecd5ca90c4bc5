"""What the report says of the teachers: no number without its meaning, and no sentence about nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from mixdistill.config.report import ReportConfig
from mixdistill.report import TeacherFigures, TeacherLevel, TeacherRound, build_report, report_html, report_json, report_md
from mixdistill.report.teachers import level_rows, round_bars, sentences, temperatures, tokens_per_accepted

CONFIG = ReportConfig(num_bootstrap=200)
BIAS = "learns only from problems that its teachers solved"


def written(data: Any) -> tuple[str, str]:
    report = build_report(data, CONFIG)
    return report_html(report).replace("\u00a0", " "), report_md(report)


@pytest.fixture
def teacher(demo) -> TeacherFigures:
    return demo().teachers[0]


def changed(teacher: TeacherFigures, **fields: Any) -> TeacherFigures:
    return dataclasses.replace(teacher, **fields)


def test_the_document_holds_the_figures_and_what_follows_from_them(demo) -> None:
    row = report_json(build_report(demo(), CONFIG))["teachers"][0]
    assert [round(item["pass_rate"], 3) for item in row["rounds"]] == [0.28, 0.167, 0.133, 0.062]
    assert (row["num_unsolved"], row["num_solved_alone"]) == (122, 51)
    assert row["tokens_per_accepted"] == pytest.approx(24_012 / 128)
    assert row["saved_share_estimate"] == pytest.approx(1 - 24_012 / row["fixed_num_tokens"])


def test_page_and_markdown_tell_the_same_of_each_teacher(demo) -> None:
    html, markdown = written(demo())
    for text in (html, markdown):
        assert "122 of 250 problems never solved; 51 solved by no other teacher; saved 29 % of the tokens of" in text
        assert "fixed-4 sampling (estimate)" in text
        assert "28.0 %" in text
        assert "70 of 250" in text
        assert "188" in text
        assert BIAS in text


def test_a_lone_teacher_is_not_compared(demo, teacher: TeacherFigures) -> None:
    for text in written(demo(teachers=(changed(teacher, num_solved_alone=None),))):
        assert "no other teacher" not in text
        assert BIAS not in text


def test_what_did_not_happen_is_not_told(teacher: TeacherFigures) -> None:
    told = " ".join(sentences(teacher))
    assert not [word for word in ("repeated", "quarantined", "budget", "death", "lost") if word in told]


def test_deaths_quarantine_and_a_used_up_budget_are_told(demo, teacher: TeacherFigures) -> None:
    hurt = changed(
        teacher,
        num_unasked=12,
        num_requests_repeated=17,
        num_engine_deaths=1,
        num_workers_lost=2,
        quarantined={"prompt_too_long": 2, "refused": 0, "engine_killed": 1},
    )
    for text in written(demo(teachers=(hurt,))):
        assert "the token budget was used up before 12 problems got all samples" in text
        assert "17 requests repeated after a kill (1 engine death, 2 lost workers)" in text
        assert "3 requests quarantined: 2 prompt too long, 1 engine killed" in text


def test_a_run_that_was_killed_as_a_whole_names_no_death(teacher: TeacherFigures) -> None:
    assert "1 request repeated after a kill" in sentences(changed(teacher, num_requests_repeated=1))


@pytest.mark.parametrize("fields", [{"fixed_num_samples": 1}, {"fixed_num_tokens": 0}])
def test_where_nothing_could_be_saved_nothing_is_claimed(teacher: TeacherFigures, fields: dict[str, int]) -> None:
    assert not any("saved" in sentence for sentence in sentences(changed(teacher, **fields)))


def test_a_teacher_that_solved_nothing_still_reads(demo, teacher: TeacherFigures) -> None:
    rounds = [TeacherRound(0, 250, 0, 9000, 0.7), TeacherRound(1, 0, 0, 0, 0.7)]
    nothing = changed(teacher, num_solved=0, num_accepted=0, num_selected=0, num_solved_alone=0, rounds=rounds)
    assert tokens_per_accepted(nothing) == "none accepted"
    row = report_json(build_report(demo(teachers=(nothing,)), CONFIG))["teachers"][0]
    assert (row["tokens_per_accepted"], [item["pass_rate"] for item in row["rounds"]]) == (None, [0.0, None])
    for text in written(demo(teachers=(nothing,))):
        assert "250 of 250 problems never solved" in text


def test_a_teacher_without_samples_still_reads(demo, teacher: TeacherFigures) -> None:
    written(demo(teachers=(changed(teacher, num_samples=0, num_problems=0, num_solved=0, num_accepted=0, rounds=[]),)))


def test_late_rounds_share_a_bar_and_no_sample_is_lost(teacher: TeacherFigures) -> None:
    rounds = [TeacherRound(i, 250 - 10 * i, 20 - i, 100, 0.7 + 0.05 * i) for i in range(12)]
    bars = round_bars(changed(teacher, rounds=rounds))
    assert [bar.label for bar in bars] == [*(f"round {i}" for i in range(1, 6)), "rounds 6 to 12"]
    assert bars[-1].counts == f"{sum(20 - i for i in range(5, 12))} of 1,190"
    assert (bars[0].temperature, bars[-1].temperature) == ("0.7", "0.95 to 1.25")
    assert temperatures(rounds) == "0.7 to 1.25"


def test_levels_are_told_where_the_problems_have_them(demo, teacher: TeacherFigures) -> None:
    easy = changed(
        teacher, levels=[TeacherLevel("Level 10", 50, 5), TeacherLevel(None, 10, 1), TeacherLevel("Level 2", 50, 37)]
    )
    other = changed(teacher, name="other", levels=[TeacherLevel("Level 2", 50, 0)])
    assert [level for level, _ in level_rows([easy, other])] == ["Level 2", "Level 10", "no level"]
    html, markdown = written(demo(teachers=(easy, other)))
    assert "| Level 2 | 74.0 %, 37 of 50 | 0.0 %, 0 of 50 |" in markdown
    assert "| Level 10 | 10.0 %, 5 of 50 | none asked |" in markdown
    assert "Problems solved by difficulty" in html
    assert "Problems solved by difficulty" not in written(demo())[0]


def test_hostile_levels_and_names_stay_text(demo, teacher: TeacherFigures) -> None:
    hostile = changed(teacher, name="<b>|x", levels=[TeacherLevel("<script>|\u202e", 2, 1)])
    html, markdown = written(demo(teachers=(hostile,)))
    assert "<script>" not in html
    assert "<b>|x" not in html
    assert "\u202e" not in html + markdown
    assert "\\<script\\>\\|" in markdown
