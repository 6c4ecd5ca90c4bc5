"""What selection promises as a whole: totals reconcile, slices and order do not matter, the right ones are kept."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mixdistill.config import SelectionConfig
from mixdistill.records import Problem
from mixdistill.selection import KEEP_ORDERS, SURPLUS, Selector

configs = st.fixed_dictionaries(
    {
        "min_tokens": st.integers(1, 3),
        "max_tokens": st.none() | st.integers(3, 6),
        "deduplicate": st.booleans(),
        "decontaminate": st.booleans(),
        "keep": st.sampled_from(["first", "shortest", "longest", "closest", "random"]),
        "max_per_problem": st.integers(1, 3),
        "max_repeats": st.none() | st.integers(1, 5),
        "near_duplicate_jaccard": st.none() | st.sampled_from([0.3, 0.8, 1.0]),
        "ngram_size": st.none() | st.sampled_from([2, 8]),
        "ngram_share": st.sampled_from([0.0, 0.5]),
        "seed": st.integers(0, 3),
    }
).map(lambda config: {**config, "target_tokens": 4 if config["keep"] == "closest" else None})

QUESTIONS = [
    "What is {n} + {n}?",
    "A farmer has {n} hens and {n} cows in the yard behind the house; how many legs are there?",
    "A farmer has {n} hens and {n} cows in the yard behind the barn; how many legs are there?",
]
PROBLEMS = [Problem.of(text.format(n=n), str(n), "made-up") for n in range(2) for text in QUESTIONS]
RESPONSES = [
    "a",
    "A ",
    "b",
    "We add one and one and get two, which is the answer that was asked for.",
    "We add one and one and get two, which is the answer that was sought.",
    "2 = 2. " * 8,
    QUESTIONS[1].format(n=1),
]


@st.composite
def trace_fields(draw):
    finish_reason = draw(st.sampled_from(["stop", "stop", "stop", "length", "error"]))
    correct = finish_reason != "error" and draw(st.integers(0, 3)) > 0
    wrong = "failed: 503" if finish_reason == "error" else draw(st.sampled_from(["wrong_answer", "no_answer"]))
    return {
        "problem": draw(st.sampled_from(PROBLEMS)),
        "reasoning": draw(st.none() | st.sampled_from(RESPONSES)),
        "response": draw(st.sampled_from(RESPONSES)),
        "finish_reason": finish_reason,
        "num_tokens": draw(st.integers(1, 7)),
        "correct": correct,
        "reason": "" if correct else wrong,
    }


trace_sets = st.lists(trace_fields(), max_size=25)
benchmarks = st.fixed_dictionaries({"held_out": st.lists(st.sampled_from([p.question for p in PROBLEMS]), max_size=2)})


@settings(max_examples=60, deadline=None)
@given(rows=trace_sets, config=configs, questions=benchmarks)
def test_every_trace_is_kept_or_rejected_once_and_the_counts_reconcile(select_with, trace_of, rows, config, questions):
    traces = [trace_of(index, **row) for index, row in enumerate(rows)]
    selection = select_with(traces, PROBLEMS, questions, **config)
    ids = [trace.trace_id for trace in selection.kept] + [trace_id for trace_id, _ in selection.rejected]
    assert sorted(ids) == sorted(trace.trace_id for trace in traces)
    assert selection.counts == Counter(reason for _, reason in selection.rejected)
    assert all(trace.correct and trace.finish_reason == "stop" for trace in selection.kept)
    assert max(Counter(t.problem_id for t in selection.kept).values(), default=0) <= config["max_per_problem"]


@settings(max_examples=60, deadline=None)
@given(rows=trace_sets, config=configs, questions=benchmarks, slice_traces=st.integers(1, 12))
def test_slices_of_any_size_give_the_same_result(select_with, trace_of, rows, config, questions, slice_traces):
    traces = [trace_of(index, **row) for index, row in enumerate(rows)]
    in_slices = select_with(traces, PROBLEMS, questions, slice_traces=slice_traces, **config)
    assert in_slices == select_with(traces, PROBLEMS, questions, **config)


@settings(max_examples=40, deadline=None)
@given(rows=trace_sets, config=configs, questions=benchmarks, data=st.data())
def test_the_order_in_which_the_traces_of_a_problem_stand_does_not_matter(trace_of, rows, config, questions, data):
    traces = [trace_of(index, **row) for index, row in enumerate(rows)]
    shuffled = data.draw(st.permutations(traces))
    selector, problems = Selector(SelectionConfig(**config), questions), {problem.problem_id: problem for problem in PROBLEMS}
    reasons = dict(zip(traces, selector.reasons(traces, problems), strict=True))
    assert [reasons[trace] for trace in shuffled] == selector.reasons(shuffled, problems)


@settings(max_examples=40, deadline=None)
@given(rows=trace_sets, config=configs)
def test_what_is_kept_and_rejected_stands_in_the_order_of_the_problem_set(select_with, trace_of, rows, config):
    traces = [trace_of(index, **row) for index, row in enumerate(rows)]
    selection = select_with(traces, PROBLEMS, **config)
    places = {problem.problem_id: place for place, problem in enumerate(PROBLEMS)}
    order = [t.trace_id for t in sorted(traces, key=lambda t: (places[t.problem_id], t.sample_index))]
    for ids in ([trace.trace_id for trace in selection.kept], [trace_id for trace_id, _ in selection.rejected]):
        assert ids == [trace_id for trace_id in order if trace_id in ids]


@settings(max_examples=40, deadline=None)
@given(rows=trace_sets, config=configs, questions=benchmarks)
def test_selecting_what_was_kept_keeps_it_all(select_with, trace_of, rows, config, questions):
    traces = [trace_of(index, **row) for index, row in enumerate(rows)]
    kept = select_with(traces, PROBLEMS, questions, **config).kept
    assert select_with(kept, PROBLEMS, questions, **config).kept == kept


@pytest.mark.parametrize(("keep", "kept_index"), [("first", 0), ("shortest", 1), ("longest", 2)])
def test_keep_says_which_passing_trace_stays_and_the_rest_is_surplus(select_with, trace_of, keep, kept_index):
    traces = [trace_of(0, num_tokens=20), trace_of(1, num_tokens=10), trace_of(2, num_tokens=30)]
    selection = select_with(traces, keep=keep)
    assert selection.kept == [traces[kept_index]]
    assert selection.counts == {SURPLUS: 2}


@pytest.mark.parametrize("keep", ["shortest", "longest"])
def test_traces_of_one_length_are_kept_in_the_order_of_their_sampling(select_with, trace_of, keep):
    traces = [trace_of(index, num_tokens=10) for index in (12, 2, 5)]
    assert [trace.sample_index for trace in select_with(traces, keep=keep, max_per_problem=2).kept] == [2, 5]


@pytest.mark.parametrize(("target_tokens", "kept_index"), [(1, 1), (14, 1), (16, 0), (24, 0), (1000, 2)])
def test_the_trace_closest_to_the_target_length_is_kept(select_with, trace_of, target_tokens, kept_index):
    traces = [trace_of(0, num_tokens=20), trace_of(1, num_tokens=10), trace_of(2, num_tokens=30)]
    assert select_with(traces, keep="closest", target_tokens=target_tokens).kept == [traces[kept_index]]


def test_of_two_traces_as_close_to_the_target_the_one_sampled_first_is_kept(select_with, trace_of):
    traces = [trace_of(0, num_tokens=20), trace_of(1, num_tokens=10)]
    assert select_with(traces, keep="closest", target_tokens=15).kept == [traces[0]]


@pytest.mark.parametrize("fields", [{"keep": "closest"}, {"target_tokens": 100}, {"keep": "longest", "target_tokens": 100}])
def test_a_target_length_is_required_with_closest_and_refused_without(fields):
    with pytest.raises(ValidationError, match="expected one with keep: closest and only there"):
        SelectionConfig(**fields)


def test_every_field_of_the_config_says_what_it_does():
    assert all(field.description for field in SelectionConfig.model_fields.values())


def test_keeping_at_random_depends_on_the_seed_and_on_nothing_else(select_with, trace_of):
    traces = [trace_of(index) for index in range(8)]
    chosen = {seed: select_with(traces, keep="random", seed=seed).kept for seed in range(30)}
    assert all(select_with(traces, keep="random", seed=seed).kept == kept for seed, kept in chosen.items())
    assert len({kept[0].sample_index for kept in chosen.values()}) > 4


def test_a_rejected_trace_takes_no_place_from_a_good_one(select_with, trace_of):
    wrong, good = trace_of(0, correct=False, reason="wrong_answer"), trace_of(1)
    assert select_with([wrong, good]).kept == [good]


def test_an_empty_result_says_by_reason_where_all_traces_went(select_with, trace_of):
    traces = [trace_of(index, correct=False, reason="no_answer" if index else "wrong_answer") for index in range(3)]
    selection = select_with(traces)
    assert selection.kept == []
    assert selection.counts == {"no_answer": 2, "wrong_answer": 1}


def test_no_traces_give_an_empty_selection(select_with):
    assert select_with([]).kept == []


def test_the_config_accepts_exactly_the_registered_ways_to_keep():
    for keep in KEEP_ORDERS:
        assert SelectionConfig(keep=keep, target_tokens=100 if keep == "closest" else None).keep == keep
    with pytest.raises(ValidationError, match=", ".join(f"'{keep}'" for keep in list(KEEP_ORDERS)[:-1])):
        SelectionConfig(keep="best")
