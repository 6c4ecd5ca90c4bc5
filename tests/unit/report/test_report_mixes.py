"""What the report says of mixes and of what students fail to learn: the budget in words, and no count without its source."""

from __future__ import annotations

import dataclasses
import re

import pytest

from mixdistill.config.report import ReportConfig
from mixdistill.report import MixBudget, MixLevel, build_report, report_html, report_json, report_md
from mixdistill.report.figures import colour_of
from mixdistill.report.mixes import budget, left_out, length_figure, level_rows, mix_bars, protocols
from mixdistill.report.teachers import selection_bias
from mixdistill.report.validation import validation_figures

CONFIG = ReportConfig(num_bootstrap=200)


def written(data):
    report = build_report(data, CONFIG)
    return report_html(report).replace("\u00a0", " "), report_md(report)


@pytest.fixture
def paired(mix):
    """Mixes of as many examples and unlike tokens."""
    return [mix("short", {"short": (1000, 60)}), mix("mix_long", {"long": (200, 300), "short": (800, 60)})]


def test_the_budget_tells_each_mix_beside_the_smallest(paired):
    assert [budget(one, paired) for one in paired] == [
        "1,000 examples, as both mixes; 60,000 tokens, the fewest",
        "1,000 examples, as both mixes; 108,000 tokens, 1.8 times those of mix short",
    ]


def test_a_small_difference_is_not_rounded_away(mix):
    mixes = [mix("a", {"x": (1000, 60)}), mix("b", {"x": (1020, 60)})]
    assert "1,020 examples, 1.02 times those of mix a" in budget(mixes[1], mixes)


def test_a_lone_mix_is_not_compared(mix):
    assert budget(mix("only", {"x": (1, 60)}), [mix("only", {"x": (1, 60)})]) == "1 example; 60 tokens"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"budget": MixBudget(1400, 1000, 84_000, None)}, "cut from 1,400 examples at hand"),
        ({"budget": MixBudget(1400, 1000, 84_000, 60_000)}, "cut to at most 60,000 tokens of the 84,000 at hand"),
        ({"match": "steps"}, "same number of steps"),
    ],
)
def test_what_the_budget_did_is_told_on_page_and_in_markdown(demo, mix, fields, told):
    for text in written(demo(mixes=[mix("short", {"short": (1000, 60)}, **fields)])):
        assert told in text


def test_problems_that_not_all_sources_solved_are_counted_either_way(mix):
    ((names, over_all),) = protocols([mix("a", {"long": (9, 9)}), mix("b", {"short": (9, 9)})])
    ((_, over_any),) = protocols([mix("a", {"long": (9, 9)}, problems="union")])
    assert names == ["a", "b"]
    assert "all sources solved 94; the other 43 are in no mix" in over_all
    assert "all sources solved 94; the other 43 can only be written by the sources that solved them" in over_any
    assert "4 problems held out for validation" in over_all


def test_mixes_of_unlike_problems_are_named(demo, mix):
    mixes = [mix("short", {"short": (9, 9)}), mix("long", {"long": (9, 9)}, protocol="paper")]
    assert 'long: Drawn by the protocol "paper"' in written(demo(mixes=mixes))[1]


def test_bars_share_one_scale_and_add_up(paired):
    bars = mix_bars(paired)
    assert [sum(part.width for part in row.examples) for row in bars] == [100, 100]
    assert [round(sum(part.width for part in row.tokens), 6) for row in bars] == [round(100 * 60 / 108, 6), 100]


def test_a_mix_without_examples_still_reads(demo, mix):
    nothing = mix("short", {}, levels=[], num_validation={})
    assert length_figure([nothing]) is None
    html, _ = written(demo(mixes=[nothing, mix("long", {"long": (9, 9)})]))
    assert "Tokens per example" in html
    written(demo(mixes=[nothing]))


def test_levels_tell_which_source_wrote_them(demo, mix):
    levels = [MixLevel("Level 10", {"long": 3, "short": 0}), MixLevel("Level 2", {"long": 1, "short": 5})]
    mixes = [mix("mix_long", {"long": (4, 90), "short": (5, 30)}, levels=levels), mix("short", {"short": (9, 30)})]
    assert level_rows(mixes)[:2] == [("Level 2", [("6", "long 1, short 5"), ("0", "")]), ("Level 10", [("3", ""), ("0", "")])]
    html, markdown = written(demo(mixes=mixes))
    assert "| Level 2 | 6 (long 1, short 5) | 0 |" in markdown
    assert "long 1, short 5" in html
    assert "Examples by difficulty" not in written(demo())[0]


def test_left_out_traces_have_reasons_in_words_and_nothing_is_hidden(mix):
    reasons = {"surplus": 0, "other_source": 5, "a_new_reason": 9}
    assert left_out(mix("a", {"x": (1, 1)}, left_out=reasons)) == [
        ("a new reason", 9),
        ("another source writes this problem", 5),
    ]


def test_the_document_keeps_the_old_keys_of_a_mix(demo):
    row = report_json(build_report(demo(), CONFIG))["mixes"][2]
    assert (row["name"], row["num_examples"], row["by_teacher"]) == ("mix_long", 90, {"long": 18, "short": 72})
    assert row["tokens"]["long"]["total"] == 18 * 176
    assert row["num_problems"]["any_source"] == 137


def test_a_found_mix_has_the_colour_of_its_student(demo, mix):
    found = mix("found-for-smollm2", {"long": (9, 9)}, mix="long", found_for="smollm2")
    html, _ = written(demo(mixes=[found]))
    assert f'<li class="k{colour_of("long")}"><b>found-for-smollm2</b>' in html


def test_names_that_no_paper_has_get_colours_of_their_own():
    names = ["none", "short", "long", "sweep-0.1", "human", "sweep-0.4"]
    assert len({colour_of(name, names) for name in names}) == len(names)


def test_more_names_than_colours_still_have_one():
    names = [f"sweep-{share}" for share in range(30)]
    assert {colour_of(name, names) for name in names} <= set(range(1, 8))


def test_validation_losses_tell_their_first_and_last_value_by_source(demo):
    html, markdown = written(demo())
    for text in (html, markdown):
        assert re.search(r"1\.200 to 0\.2\d\d \(-\d\d %\)", text)
    assert html.count('<div class="small-plot">') == 3


def test_validation_figures_share_one_scale(demo):
    first, *others = demo().students
    high = dataclasses.replace(first, validation={"long": [(0, 7.5), (10, 5.0)]})
    figures = validation_figures([high, *others], ["a", "b", "c"])
    assert {tuple(figure.y_ticks) for figure in figures} == {((100, "0"), (75, "2"), (50, "4"), (25, "6"), (0, "8"))}


def test_a_validation_loss_that_diverged_is_left_out_of_the_curve(demo):
    student = dataclasses.replace(
        demo().students[0], validation={"long": [(0, 1.0), (5, float("nan"))], "short": [(0, float("nan"))]}
    )
    (figure,) = validation_figures([student], ["a"])
    assert [(curve.source, curve.path, curve.text) for curve in figure.curves] == [
        ("long", "M0.00 0.00", "1.000 to 1.000 (+0 %)")
    ]
    assert report_json(build_report(demo(students=[student]), CONFIG))["students"][0]["validation"]["short"] == [[0, None]]


def test_without_validation_nothing_is_said_of_it(demo):
    students = [dataclasses.replace(student, validation={}) for student in demo().students]
    for text in written(demo(students=students)):
        assert "held-out traces of each source" not in text


def test_dropped_and_cut_examples_padding_and_attention_are_told(demo):
    students = [dataclasses.replace(student, num_cut=7) for student in demo().students]
    for text in written(demo(students=students)):
        assert "2 too long, 7 cut" in text
        assert "3.1 %" in text
        assert "sdpa" in text


def test_only_mixes_over_the_same_problems_are_said_to_differ_in_nothing_else(paired):
    controlled = [dataclasses.replace(mix, protocol="controlled", problems="intersection") for mix in paired]
    assert "in who wrote the solutions alone" in selection_bias(controlled)
    for protocol, problems in (("paper", "intersection"), ("controlled", "union")):
        other = dataclasses.replace(controlled[0], protocol=protocol, problems=problems)
        assert "solved different problems" in selection_bias([*controlled, other])
