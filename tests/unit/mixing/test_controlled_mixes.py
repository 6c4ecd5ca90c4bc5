"""The controlled protocol over the intersection: the same problems in every mix, paired, within a budget, all accounted for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mixdistill.config import MixingConfig
from mixdistill.errors import ConfigError, DataError
from mixdistill.mixing import Source, draw_mix, held_out
from mixdistill.mixing.quotas import exact_shares, largest_remainder

SWEEP = {f"m-{share:g}": {"long": share, "short": 1 - share} for share in (0.1, 0.2, 0.5, 0.75)} | {
    "m-0": {"short": 1.0},
    "m-1": {"long": 1.0},
}
NONE_HELD = MixingConfig(validation_share=0)


@st.composite
def situations(draw, teachers=("long", "short"), max_problems=25):
    """{teacher: {problem: token counts}}, enough of it in common for a mix of every share."""
    tokens = st.lists(st.integers(1, 60), min_size=1, max_size=3)
    common = draw(st.integers(10, max_problems))
    numbers = st.integers(0, max_problems + 10)
    return {teacher: draw(st.dictionaries(numbers, tokens)) | {p: draw(tokens) for p in range(common)} for teacher in teachers}


def configs(**fixed):
    return st.builds(
        MixingConfig,
        seed=st.integers(0, 10),
        max_per_problem=st.integers(1, 3),
        length_weight=st.sampled_from([0.0, 1.0, -0.5]),
        validation_share=st.sampled_from([0.0, 0.1]),
        **{name: st.just(value) for name, value in fixed.items()},
    )


def pairs_of(rows, sources):
    """{(problem, trace number among the mix's examples of any teacher)} without its source: how often each problem is held."""
    problems = np.concatenate([sources[teacher].problem[mine] for teacher, mine in rows.items()])
    return dict(zip(*np.unique(problems, return_counts=True), strict=True))


@settings(max_examples=100, deadline=None)
@given(traces=situations(), config=configs())
def test_all_mixes_of_a_sweep_hold_the_same_problems_at_exact_quotas(columns_of, traces, config):
    sources, problems = columns_of(traces)
    drawn = {name: draw_mix(name, parts, SWEEP, sources, problems, config) for name, parts in SWEEP.items()}
    first = drawn["m-0"]
    for name, draw in drawn.items():
        assert pairs_of(draw.rows, sources) == pairs_of(first.rows, sources)
        quotas = largest_remainder(len(first.rows["short"]), exact_shares(SWEEP[name]))
        assert {teacher: len(mine) for teacher, mine in draw.rows.items()} == quotas


@settings(max_examples=100, deadline=None)
@given(traces=situations(), config=configs(), low=st.integers(1, 9), more=st.integers(1, 8))
def test_a_higher_share_swaps_the_source_of_some_traces_and_changes_nothing_else(columns_of, traces, config, low, more):
    high = low + more
    assume(high <= 9)
    sources, problems = columns_of(traces)
    lower, higher = (
        draw_mix("m", {"long": tenths / 10, "short": 1 - tenths / 10}, SWEEP, sources, problems, config).rows
        for tenths in (low, high)
    )
    assert set(lower["long"]) <= set(higher["long"])
    assert set(higher["short"]) <= set(lower["short"])
    swapped_in, swapped_out = set(higher["long"]) - set(lower["long"]), set(lower["short"]) - set(higher["short"])
    assert sorted(sources["long"].problem[list(swapped_in)]) == sorted(sources["short"].problem[list(swapped_out)])


@settings(max_examples=60, deadline=None)
@given(traces=situations(("a", "b", "c")), config=configs(), seed=st.integers(0, 99))
def test_the_order_of_the_traces_does_not_matter(columns_of, traces, config, seed):
    sources, problems = columns_of(traces)
    order = {teacher: np.random.default_rng(seed).permutation(len(source)) for teacher, source in sources.items()}
    turned = {
        teacher: Source(teacher, source.problem[at], source.trace[at], source.tokens[at])
        for (teacher, source), at in reversed(list(zip(sources.items(), order.values(), strict=True)))
    }
    parts = {"a": 0.2, "c": 0.5, "b": 0.3}
    expected = draw_mix("m", parts, {"m": parts}, sources, problems, config)
    other = draw_mix("m", dict(sorted(parts.items())), {"m": parts}, turned, problems, config)
    assert other.figures == expected.figures and other.left_out == expected.left_out
    for teacher, mine in expected.rows.items():
        assert set(turned[teacher].trace[other.rows[teacher]]) == set(sources[teacher].trace[mine])


@settings(max_examples=100, deadline=None)
@given(traces=situations(), config=configs(match="tokens"), num_tokens=st.none() | st.integers(100, 2000))
def test_a_token_budget_is_not_exceeded_and_one_place_more_would(columns_of, traces, config, num_tokens):
    sources, problems = columns_of(traces)
    budget = config.model_copy(update={"num_tokens": num_tokens})
    try:
        drawn = {name: draw_mix(name, parts, SWEEP, sources, problems, budget).figures for name, parts in SWEEP.items()}
    except (ConfigError, DataError):  # so few tokens leave a teacher without an example
        assume(False)
    alike = config.model_copy(update={"match": "examples"})
    whole = {name: draw_mix(name, parts, SWEEP, sources, problems, alike).figures for name, parts in SWEEP.items()}
    limit = num_tokens or min(figures["num_tokens"] for figures in whole.values())
    for name, figures in drawn.items():
        told = figures["budget"]
        assert told["tokens_limit"] == limit and told["tokens_available"] == whole[name]["num_tokens"]
        assert figures["num_tokens"] <= limit
        if told["taken"] < told["available"]:
            one_more = alike.model_copy(update={"num_examples": told["taken"] + 1})
            assert draw_mix(name, SWEEP[name], SWEEP, sources, problems, one_more).figures["num_tokens"] > limit
    if num_tokens is None:
        assert any(figures["budget"]["taken"] == figures["budget"]["available"] for figures in drawn.values())


@settings(max_examples=60, deadline=None)
@given(traces=situations(), config=configs(), num_examples=st.integers(5, 9), num_tokens=st.integers(60, 200))
def test_a_smaller_budget_keeps_a_part_of_the_problems(columns_of, traces, config, num_examples, num_tokens):
    sources, problems = columns_of(traces)
    whole = draw_mix("m", SWEEP["m-0.5"], SWEEP, sources, problems, config)
    assume(whole.figures["budget"]["available"] >= num_examples)
    counted = config.model_copy(update={"num_examples": num_examples})
    matched = config.model_copy(update={"match": "tokens", "num_tokens": num_tokens})
    for fewer in (counted, matched):
        try:
            cut = draw_mix("m", SWEEP["m-0.5"], SWEEP, sources, problems, fewer)
        except ConfigError:
            assume(False)
        held = pairs_of(whole.rows, sources)
        assert all(num <= held[problem] for problem, num in pairs_of(cut.rows, sources).items())
    assert draw_mix("m", SWEEP["m-0.5"], SWEEP, sources, problems, counted).figures["budget"]["taken"] == num_examples


@settings(max_examples=100, deadline=None)
@given(
    traces=situations(),
    config=configs(match="tokens", level_weights={"hard": 0.0, "easy": 2.0}),
    num_examples=st.none() | st.integers(2, 8),
)
def test_every_trace_of_the_mix_is_an_example_or_has_a_reason(columns_of, traces, config, num_examples):
    sources, problems = columns_of(traces, level_of={0: "hard", 1: "easy", 5: "hard"})
    config = config.model_copy(update={"num_examples": num_examples})
    for parts in ({"long": 0.5, "short": 0.5}, {"short": 1.0}):
        try:
            drawn = draw_mix("m", parts, SWEEP, sources, problems, config)
        except (ConfigError, DataError):
            assume(False)
        num_traces = sum(len(sources[teacher]) for teacher in parts)
        assert sum(len(mine) for mine in drawn.rows.values()) + sum(drawn.left_out.values()) == num_traces
        held = held_out(problems, config)
        of_held = sum(int(held[sources[teacher].problem].sum()) for teacher in parts)
        assert drawn.left_out.get("held_out_for_validation", 0) == of_held


def test_each_reason_counts_the_traces_it_names(columns_of):
    sources, problems = columns_of(
        {"long": {**dict.fromkeys(range(10), 1), 10: 3, 20: 1, 21: 1}, "short": {**dict.fromkeys(range(11), 1), 22: 1}},
        level_of={0: "hard", 1: "easy"},
    )
    config = MixingConfig(validation_share=0, level_weights={"hard": 0}, num_examples=8)
    drawn = draw_mix("m", {"long": 0.25, "short": 0.75}, {}, sources, problems, config)
    assert {teacher: len(mine) for teacher, mine in drawn.rows.items()} == {"long": 2, "short": 6}
    assert drawn.left_out == {
        "not_all_sources": 3,  # 20 and 21 of long, 22 of short
        "level_weight_zero": 2,
        "over_num_examples": 4,  # 2 of 10 places, a trace of each teacher
        "other_source": 8,
        "surplus": 2,  # of problem 10
    }


def test_the_places_of_a_problem_are_those_that_every_source_can_fill(columns_of):
    sources, problems = columns_of({"long": {0: 3, 1: 1, 2: 2}, "short": {0: 2, 1: 3, 3: 3}})
    for most, expected in {1: {0: 1, 1: 1}, 2: {0: 2, 1: 1}, 5: {0: 2, 1: 1}}.items():
        config = MixingConfig(validation_share=0, max_per_problem=most)
        assert pairs_of(draw_mix("m", {"short": 1.0}, {}, sources, problems, config).rows, sources) == expected


def test_the_teachers_of_a_cut_mix_still_come_from_easy_and_late_problems_alike(columns_of, held):
    # The second order is not the first: were they one, long would have the problems that a cut keeps longest.
    sources, problems = columns_of({teacher: dict.fromkeys(range(2000), 1) for teacher in ("long", "short")})
    mix = {"long": 0.5, "short": 0.5}
    whole = held(draw_mix("m", mix, {}, sources, problems, NONE_HELD).rows, sources)
    cut = NONE_HELD.model_copy(update={"num_examples": 400})
    kept = held(draw_mix("m", mix, {}, sources, problems, cut).rows, sources)
    assert 150 < sum(whole[problem][0] == "long" for problem in kept) < 250
    assert sum(whole[problem] == kept[problem] for problem in kept) > 350


def test_another_seed_keeps_other_problems_and_shares_them_out_otherwise(columns_of, held):
    sources, problems = columns_of({teacher: dict.fromkeys(range(60), 1) for teacher in ("long", "short")})
    mixes = [
        held(draw_mix("m", SWEEP["m-0.5"], SWEEP, sources, problems, MixingConfig(seed=seed, num_examples=30)).rows, sources)
        for seed in range(10)
    ]
    assert len({frozenset(mix) for mix in mixes}) == 10


def test_a_level_of_weight_zero_is_in_no_mix_and_a_higher_weight_is_kept_more_often(columns_of):
    level_of = {number: ("never", "seldom", "often")[number % 3] for number in range(3000)}
    sources, problems = columns_of({teacher: dict.fromkeys(range(3000), 1) for teacher in ("long", "short")}, 3000, level_of)
    weights = {"never": 0.0, "often": 4.0}
    config = MixingConfig(validation_share=0, level_weights=weights, num_examples=500)
    figures = draw_mix("m", SWEEP["m-0.5"], SWEEP, sources, problems, config).figures
    kept = {row["level"]: sum(row["examples"].values()) for row in figures["levels"]}
    assert kept["never"] == 0
    # Drawn one at a time without replacement at 4:1, about 385 of 500 are "often" (400 if they were put back).
    assert 350 < kept["often"] < 420 and kept["seldom"] + kept["often"] == 500


@pytest.mark.parametrize(("power", "longer"), [(1.0, True), (-1.0, False)])
def test_a_length_weight_keeps_long_or_short_problems(columns_of, power, longer):
    tokens = {number: [10 if number % 2 else 100] for number in range(1000)}
    sources, problems = columns_of({"long": tokens, "short": tokens})
    config = MixingConfig(validation_share=0, length_weight=power, num_examples=200)
    figures = draw_mix("m", SWEEP["m-0.5"], SWEEP, sources, problems, config).figures
    num_long = (figures["num_tokens"] - 200 * 10) / 90
    assert num_long > 150 if longer else num_long < 50


def test_the_figures_say_what_the_mix_holds(columns_of):
    sources, problems = columns_of(
        {"long": {number: [100 + number] for number in range(12)}, "short": {number: [10] for number in range(2, 14)}},
        num_problems=15,
        level_of=dict.fromkeys(range(6), "easy"),
    )
    figures = draw_mix("m", {"long": 0.2, "short": 0.8}, SWEEP, sources, problems, NONE_HELD).figures
    assert figures["examples_by_teacher"] == {"long": 2, "short": 8}
    assert figures["tokens_by_teacher"]["short"] == {"total": 80, "mean": 10.0, "p10": 10, "p50": 10, "p90": 10, "max": 10}
    assert figures["num_tokens"] == 80 + figures["tokens_by_teacher"]["long"]["total"]
    assert [row["level"] for row in figures["levels"]] == ["easy", None]
    assert [sum(row["examples"].values()) for row in figures["levels"]] == [4, 6]
    assert figures["num_problems"] == {
        "solved_by": {"long": 12, "short": 12},
        "all_sources": 10,
        "any_source": 14,
        "held_out": 0,
    }
    assert (figures["budget"]["available"], figures["budget"]["taken"], figures["budget"]["tokens_limit"]) == (10, 10, None)


def test_without_a_common_problem_the_counts_and_a_way_out_are_told(columns_of):
    sources, problems = columns_of({"long": {0: 1, 1: 1}, "short": {2: 1}})
    with pytest.raises(DataError, match=r"of 3 problems: long 2, short 1, all 0.*problems: union, or raise max_samples"):
        draw_mix("m", SWEEP["m-0.5"], SWEEP, sources, problems, NONE_HELD)


def test_more_examples_than_places_are_refused_with_the_number_that_fits(columns_of):
    sources, problems = columns_of({"long": dict.fromkeys(range(60), 1), "short": dict.fromkeys(range(30, 90), 1)})
    config = MixingConfig(validation_share=0, num_examples=80)
    with pytest.raises(DataError, match=r"num_examples: 80: .*long 60, short 60, all 30.*lower num_examples to 30"):
        draw_mix("m", SWEEP["m-0.5"], SWEEP, sources, problems, config)


@pytest.mark.parametrize(
    ("budget", "error", "told"),
    [
        ({"num_examples": 2}, ConfigError, r"num_examples: 2 leaves no example for teacher 'long' \(fraction 0.2\)"),
        ({"match": "tokens", "num_tokens": 25}, ConfigError, r"num_tokens: 25 leaves no example for teacher 'long'"),
        ({"match": "tokens", "num_tokens": 3}, ConfigError, r"num_tokens: 3 leaves no example for teacher 'long'"),
    ],
)
def test_a_budget_that_leaves_a_teacher_without_an_example_is_refused(columns_of, budget, error, told):
    sources, problems = columns_of({teacher: dict.fromkeys(range(60), 1) for teacher in ("long", "short")})
    with pytest.raises(error, match=told):
        draw_mix("m", SWEEP["m-0.2"], SWEEP, sources, problems, MixingConfig(validation_share=0, **budget))


def test_too_few_common_problems_for_a_fraction_are_told(columns_of):
    sources, problems = columns_of({teacher: {0: 1} for teacher in ("long", "short")})
    with pytest.raises(DataError, match=r"1 examples can be had, which leaves no example for teacher 'long'"):
        draw_mix("m", SWEEP["m-0.2"], SWEEP, sources, problems, NONE_HELD)


def test_a_teacher_without_traces_is_named(columns_of):
    sources, problems = columns_of({"short": {0: 1}, "long": {}})
    for given_sources in (sources, {"short": sources["short"]}):
        with pytest.raises(DataError, match=r"teacher 'long', which has 0 selected traces"):
            draw_mix("m", SWEEP["m-0.2"], SWEEP, given_sources, problems, NONE_HELD)


def test_a_trace_that_stands_twice_is_refused(columns_of):
    sources, problems = columns_of({"short": {0: 1, 1: 1}})
    short = sources["short"]
    twice = Source("short", *(np.concatenate([column, column[:1]]) for column in (short.problem, short.trace, short.tokens)))
    with pytest.raises(DataError, match="1 of the 3 traces of teacher 'short' stand twice"):
        draw_mix("m", {"short": 1.0}, {}, {"short": twice}, problems, NONE_HELD)


def test_a_level_that_no_problem_has_is_refused_with_the_nearest(columns_of):
    sources, problems = columns_of({"short": {0: 1}}, level_of={0: "Level 5"})
    with pytest.raises(ConfigError, match=r"'level 5', which no problem has \(there are: Level 5\); did you mean 'Level 5'"):
        draw_mix("m", {"short": 1.0}, {}, sources, problems, MixingConfig(level_weights={"level 5": 0}))
