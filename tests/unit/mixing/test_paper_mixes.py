"""Mixes drawn from their own teachers, as the paper does: exact, as large as possible, repeatable, all accounted for."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mixdistill.config import MixingConfig
from mixdistill.errors import ConfigError, DataError
from mixdistill.mixing import Source, draw_mix
from mixdistill.mixing.quotas import exact_shares, largest_remainder

FRACTIONS = [
    {"a": 1.0},
    {"a": 0.2, "b": 0.8},
    {"a": 0.5, "b": 0.5},
    {"a": 0.1, "b": 0.3, "c": 0.6},
    {"a": 0.428571, "b": 0.428571, "c": 0.142858},
]


def paper(**fields):
    return MixingConfig(protocol="paper", validation_share=0, **fields)


def draw_paper(fractions, columns, config=None):
    return draw_mix("m", fractions, {"m": fractions}, *columns, config or paper())


@st.composite
def situations(draw, max_problems=6, max_traces=2):
    """Fractions, and how many traces of each problem every teacher has (each at least one of some problem)."""
    fractions = draw(st.sampled_from(FRACTIONS))
    by_problem = st.dictionaries(
        st.integers(0, max_problems - 1), st.integers(1, max_traces), min_size=1, max_size=max_problems
    )
    return fractions, {teacher: draw(by_problem) for teacher in fractions}


def sizes_by_brute_force(fractions, num_traces, max_per_problem):
    """The sizes whose quotas are among all the count vectors that any choice of traces can give."""
    teachers = sorted(fractions)
    reachable = {(0,) * len(teachers)}
    for problem in {problem for teacher in teachers for problem in num_traces[teacher]}:
        have = [range(num_traces[teacher].get(problem, 0) + 1) for teacher in teachers]
        choices = [choice for choice in itertools.product(*have) if sum(choice) <= max_per_problem]
        reachable = {tuple(a + b for a, b in zip(counts, choice, strict=True)) for counts in reachable for choice in choices}
    shares = exact_shares(fractions)
    quotas = {size: largest_remainder(size, shares) for size in range(1, sum(map(max, zip(*reachable, strict=True))) + 1)}
    return {size for size, parts in quotas.items() if all(parts.values()) and tuple(parts.values()) in reachable}


@settings(max_examples=150, deadline=None)
@given(situation=situations(), max_per_problem=st.integers(1, 3), seed=st.integers(0, 5))
def test_a_mix_is_as_large_as_any_choice_of_traces_could_be(columns_of, situation, max_per_problem, seed):
    fractions, num_traces = situation
    sizes = sizes_by_brute_force(fractions, num_traces, max_per_problem)
    config = paper(max_per_problem=max_per_problem, seed=seed)
    if sizes:
        assert draw_paper(fractions, columns_of(num_traces), config).figures["budget"]["taken"] == max(sizes)
    else:
        with pytest.raises(DataError, match="cannot have any example"):
            draw_paper(fractions, columns_of(num_traces), config)


@settings(max_examples=150, deadline=None)
@given(situation=situations(max_problems=12), max_per_problem=st.integers(1, 3), seed=st.integers(0, 5), data=st.data())
def test_a_mix_keeps_its_fractions_and_its_problems_and_accounts_for_every_trace(
    columns_of, situation, max_per_problem, seed, data
):
    fractions, num_traces = situation
    sources, problems = columns_of(num_traces)
    whole = paper(max_per_problem=max_per_problem, seed=seed)
    try:
        size = draw_paper(fractions, (sources, problems), whole).figures["budget"]["taken"]
    except DataError:
        assume(False)
    asked = data.draw(st.none() | st.integers(len(fractions), max(size, len(fractions))))
    try:
        mixed = draw_paper(fractions, (sources, problems), whole.model_copy(update={"num_examples": asked}))
    except (ConfigError, DataError):  # rounded quotas are not monotone: a smaller size may not fit
        assume(False)
    assert {teacher: len(rows) for teacher, rows in mixed.rows.items()} == largest_remainder(
        asked or size, exact_shares(fractions)
    )
    used = Counter(int(problem) for teacher, rows in mixed.rows.items() for problem in sources[teacher].problem[rows])
    assert max(used.values()) <= max_per_problem
    assert all((np.diff(rows) > 0).all() for rows in mixed.rows.values())
    assert used.total() + sum(mixed.left_out.values()) == sum(len(source) for source in sources.values())


@settings(max_examples=60, deadline=None)
@given(situation=situations(max_problems=12), seed=st.integers(0, 5), data=st.data())
def test_the_order_of_the_input_does_not_matter(columns_of, situation, seed, data):
    fractions, num_traces = situation
    sources, problems = columns_of(num_traces)
    turned = {}
    for teacher, source in reversed(sources.items()):
        at = np.array(data.draw(st.permutations(range(len(source)))))
        turned[teacher] = Source(teacher, source.problem[at], source.trace[at], source.tokens[at])
    try:
        expected = draw_paper(fractions, (sources, problems), paper(seed=seed))
    except DataError:
        assume(False)
    other = draw_paper(dict(reversed(fractions.items())), (turned, problems), paper(seed=seed))
    assert other.figures == expected.figures and other.left_out == expected.left_out
    for teacher, rows in expected.rows.items():
        assert set(turned[teacher].trace[other.rows[teacher]]) == set(sources[teacher].trace[rows])


@settings(max_examples=60, deadline=None)
@given(situation=situations(max_problems=12), max_per_problem=st.integers(1, 2), tokens=st.none() | st.integers(30, 150))
def test_over_the_union_all_mixes_have_the_largest_size_or_the_tokens_that_all_can_have(
    columns_of, situation, max_per_problem, tokens
):
    fractions, num_traces = situation
    mixes = {"m": fractions, "turned": dict(zip(fractions, reversed(fractions.values()), strict=True)), "a": {"a": 1.0}}
    sources, problems = columns_of(num_traces)
    common = set.intersection(*(sizes_by_brute_force(parts, num_traces, max_per_problem) for parts in mixes.values()))
    config = MixingConfig(validation_share=0, problems="union", max_per_problem=max_per_problem)
    if not common:
        with pytest.raises(DataError, match="the fractions of all mixes"):
            draw_mix("m", fractions, mixes, sources, problems, config)
        return
    whole = {name: draw_mix(name, parts, mixes, sources, problems, config) for name, parts in mixes.items()}
    assert {draw.figures["budget"]["taken"] for draw in whole.values()} == {max(common)}
    matched = config.model_copy(update={"match": "tokens", "num_tokens": tokens})
    fewest = min(draw.figures["num_tokens"] for draw in whole.values())
    for name, parts in mixes.items():
        try:
            cut = draw_mix(name, parts, mixes, sources, problems, matched)
        except (ConfigError, DataError):  # so few tokens leave a teacher without an example
            continue
        assert cut.figures["num_tokens"] <= cut.figures["budget"]["tokens_limit"] == (tokens or fewest)
        assert all(set(rows) <= set(whole[name].rows[teacher]) for teacher, rows in cut.rows.items())
        dropped = whole[name].figures["budget"]["taken"] - cut.figures["budget"]["taken"]
        assert cut.left_out.get("over_num_tokens", 0) == dropped
        num_traces_of_mix = sum(len(sources[teacher]) for teacher in parts)
        assert cut.figures["budget"]["taken"] + sum(cut.left_out.values()) == num_traces_of_mix


@pytest.fixture
def half_overlapping(columns_of):
    """Two teachers with 60 problems each, 30 of them shared."""
    return columns_of({"long": dict.fromkeys(range(60), 1), "short": dict.fromkeys(range(30, 90), 1)})


def test_a_candidate_that_is_not_among_the_mixes_has_at_most_their_size(half_overlapping):
    config = MixingConfig(validation_share=0, problems="union")
    mixes = {"short": {"short": 1.0}}
    for share, size in {0.5: 60, 0.9: 60, 0.2: 60}.items():
        drawn = draw_mix("found", {"long": share, "short": 1 - share}, mixes, *half_overlapping, config)
        assert drawn.figures["budget"]["taken"] == size
    large = {"m": {"long": 0.5, "short": 0.5}}  # 90 examples, of which one teacher alone can give 60
    assert draw_mix("found", {"long": 1.0}, large, *half_overlapping, config).figures["budget"]["taken"] == 60


def test_another_seed_draws_other_traces(half_overlapping):
    mixes = [draw_paper({"long": 0.2, "short": 0.8}, half_overlapping, paper(seed=seed)).rows for seed in range(10)]
    assert len({tuple(rows["long"]) for rows in mixes}) == 10


def test_shared_problems_go_to_whoever_needs_them(columns_of):
    # long solves only problems that short solves too: a draw that served short first would leave it without any.
    columns = columns_of({"long": dict.fromkeys(range(20), 1), "short": dict.fromkeys(range(100), 1)})
    for seed in range(20):
        mixed = draw_paper({"long": 0.2, "short": 0.8}, columns, paper(seed=seed))
        assert mixed.figures["examples_by_teacher"] == {"long": 20, "short": 80}
        assert mixed.left_out == {"problem_used_by_other_teacher": 20}


def test_a_small_mix_draws_a_teacher_from_all_the_problems_that_it_solved(columns_of):
    # Half of long's problems are also short's; over many seeds about half of its 10 examples should be such problems.
    sources, problems = columns_of({"long": dict.fromkeys(range(500), 1), "short": dict.fromkeys(range(250, 2000), 1)})
    num_shared = 0
    for seed in range(40):
        mixed = draw_paper({"long": 0.2, "short": 0.8}, (sources, problems), paper(seed=seed, num_examples=50))
        num_shared += int((sources["long"].problem[mixed.rows["long"]] >= 250).sum())
    assert 0.4 < num_shared / 400 < 0.6


def test_a_higher_level_weight_is_drawn_more_often(columns_of):
    level_of = {number: "hard" if number % 2 else "easy" for number in range(1000)}
    columns = columns_of({"a": dict.fromkeys(range(1000), 1), "b": dict.fromkeys(range(1000), 1)}, level_of=level_of)
    config = paper(level_weights={"hard": 5}, num_examples=100)
    easy, hard = (sum(row["examples"].values()) for row in draw_paper({"a": 0.5, "b": 0.5}, columns, config).figures["levels"])
    assert easy + hard == 100 and 70 < hard < 95  # 83 are to be expected


def test_a_mix_of_one_teacher_takes_every_problem_it_solved(columns_of):
    mixed = draw_paper({"short": 1.0}, columns_of({"short": {0: 1, 1: 3, 2: 1}, "long": {7: 1}}))
    assert mixed.figures["budget"]["taken"] == 3
    assert mixed.left_out == {"problem_used_by_same_teacher": 2}


def test_traces_that_the_fractions_leave_over_are_surplus(columns_of):
    mixed = draw_paper(
        {"long": 0.5, "short": 0.5},
        columns_of({"long": dict.fromkeys(range(10), 1), "short": dict.fromkeys(range(10, 14), 1)}),
    )
    # 9 examples are 5 and 4: the tie of 4.5 and 4.5 goes to the alphabetically first.
    assert mixed.figures["examples_by_teacher"] == {"long": 5, "short": 4}
    assert mixed.left_out == {"surplus": 5}


def test_a_size_that_does_not_fit_does_not_hide_a_larger_one_that_does(columns_of):
    # The Alabama paradox: at these shares 10 examples are 4, 4, 2 but 11 are 5, 5, 1, and c has one problem only.
    columns = columns_of({"a": dict.fromkeys(range(5), 1), "b": dict.fromkeys(range(5, 10), 1), "c": {10: 1}})
    mixed = draw_paper({"a": 0.428571, "b": 0.428571, "c": 0.142858}, columns)
    assert mixed.figures["examples_by_teacher"] == {"a": 5, "b": 5, "c": 1}


def test_more_examples_than_the_traces_allow_are_refused_with_the_number_that_fits(half_overlapping):
    with pytest.raises(
        DataError, match=r"num_examples: 80: .*long 0.2 \(60 problems solved\).*at most 75 .*lower num_examples to 75"
    ):
        draw_paper({"long": 0.2, "short": 0.8}, half_overlapping, paper(num_examples=80))


def test_a_size_that_leaves_a_teacher_without_an_example_is_refused(half_overlapping):
    with pytest.raises(ConfigError, match=r"num_examples: 2 leaves no example for teacher 'long' \(fraction 0.2\)"):
        draw_paper({"long": 0.2, "short": 0.8}, half_overlapping, paper(num_examples=2))


def test_too_many_teachers_are_refused_before_any_work(columns_of):
    teachers = [f"t{index}" for index in range(13)]
    with pytest.raises(ConfigError, match="names 13 teachers, expected at most 12"):
        draw_paper(dict.fromkeys(teachers, 1 / 13), columns_of({teacher: {0: 1} for teacher in teachers}))


def test_a_hundred_thousand_traces_of_four_teachers_are_mixed(columns_of):
    # What this guards against is quadratic work: it takes a second.
    rng = np.random.default_rng(0)
    num = 25_000
    sources = {}
    for teacher in "abcd":
        solved = np.sort(rng.choice(40_000, num, replace=False))
        sources[teacher] = Source(teacher, solved, rng.integers(0, 2**63, num, dtype=np.uint64), np.full(num, 100))
    _, problems = columns_of({"a": {}}, num_problems=40_000)
    mixed = draw_paper({"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}, (sources, problems))
    assert mixed.figures["budget"]["taken"] > 35_000
