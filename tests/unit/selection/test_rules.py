"""Each rule rejects what it names, for its own reason, and nothing beside it."""

from __future__ import annotations

import pytest

from mixdistill.errors import DataError
from mixdistill.records import Problem
from mixdistill.selection import COMPARISONS, RULES


def reasons_of(selection):
    return dict(selection.rejected)


def test_a_good_trace_passes_every_rule(select_with, trace_of):
    selection = select_with([trace_of()])
    assert selection.kept == [trace_of()]
    assert selection.rejected == [] and selection.counts == {}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"finish_reason": "error", "correct": False, "reason": "prompt_too_long: 9000 tokens"}, "prompt_too_long"),
        ({"finish_reason": "error", "correct": False, "reason": "refused: logprobs: not here"}, "refused"),
        ({"finish_reason": "error", "correct": False, "reason": "failed: 503"}, "failed"),
        ({"finish_reason": "error", "correct": False, "reason": "engine_killed: out of memory"}, "engine_killed"),
        ({"finish_reason": "length", "correct": False, "reason": "no_answer"}, "truncated"),
        ({"correct": False, "reason": "wrong_answer"}, "wrong_answer"),
        ({"correct": False, "reason": "no_answer", "extracted": None}, "no_answer"),
        ({"correct": False, "reason": "timeout"}, "timeout"),
        ({"num_tokens": 4}, "too_short"),
        ({"num_tokens": 21}, "too_long"),
        ({"response": "So 1 + 1 = 2. " * 9}, "repetitive"),
        ({"response": "所以答案是 \\boxed{2}"}, "wrong_language"),
    ],
)
def test_a_bad_trace_is_rejected_for_its_own_reason(select_with, trace_of, fields, reason):
    trace = trace_of(**fields)
    selection = select_with([trace], min_tokens=5, max_tokens=20, language="en")
    assert selection.kept == []
    assert selection.rejected == [(trace.trace_id, reason)]


def test_a_truncated_trace_is_rejected_even_with_a_right_answer(select_with, trace_of):
    assert select_with([trace_of(finish_reason="length", correct=True)]).counts == {"truncated": 1}


def test_an_engine_error_outranks_whatever_the_grader_made_of_it(select_with, trace_of):
    assert select_with([trace_of(finish_reason="error", correct=True, reason="failed: 503")]).counts == {"failed": 1}


@pytest.mark.parametrize("reason", ["", "CUDA out of memory", "Server said: no"])
def test_an_engine_error_without_a_kind_is_refused_not_counted_under_its_message(select_with, trace_of, reason):
    with pytest.raises(DataError, match=r"expected 'KIND: message'.*generate the trace again"):
        select_with([trace_of(finish_reason="error", correct=False, reason=reason)])


def test_the_token_bounds_themselves_pass(select_with, trace_of):
    traces = [trace_of(0, num_tokens=5), trace_of(1, num_tokens=20)]
    assert select_with(traces, min_tokens=5, max_tokens=20, max_per_problem=2).rejected == []


def test_no_upper_bound_lets_any_length_pass(select_with, trace_of):
    assert select_with([trace_of(num_tokens=10**6)]).rejected == []


def test_a_wrong_trace_without_a_reason_is_refused_not_counted_under_nothing(select_with, trace_of):
    with pytest.raises(DataError, match=r"gives no reason.*grade the traces again"):
        select_with([trace_of(correct=False, reason="")])


def test_a_repeated_response_is_a_duplicate_whatever_its_white_space_and_case(select_with, trace_of):
    first = trace_of(0, response="So x = 2.\n\n\\boxed{2}")
    again = trace_of(1, response="so  X = 2. \\boxed{2} ")
    selection = select_with([again, first], max_per_problem=2)
    assert selection.kept == [first]
    assert reasons_of(selection) == {again.trace_id: "duplicate"}


def test_another_reasoning_before_the_same_response_is_no_duplicate(select_with, trace_of):
    traces = [trace_of(index, reasoning=reasoning, response="2") for index, reasoning in enumerate(["one", "two", "one", None])]
    selection = select_with(traces, max_per_problem=4)
    assert reasons_of(selection) == {traces[2].trace_id: "duplicate"}


def test_of_two_duplicates_the_preferred_one_stays(select_with, trace_of):
    traces = [trace_of(0, response="two", num_tokens=12), trace_of(1, response="Two", num_tokens=10)]
    assert select_with(traces, keep="shortest", max_per_problem=2).kept == [traces[1]]


def test_the_same_response_to_another_problem_is_no_duplicate(select_with, trace_of, problem):
    other = Problem.of("What is 4 / 2?", "2", "made-up")
    traces = [trace_of(response="2"), trace_of(response="2", problem=other)]
    assert len(select_with(traces, [problem, other]).kept) == 2


def test_a_rejected_trace_makes_no_duplicate_of_a_good_one(select_with, trace_of):
    cut = trace_of(0, response="2", finish_reason="length")
    good = trace_of(1, response="2")
    assert select_with([cut, good]).kept == [good]


def test_duplicates_stay_when_deduplication_is_off(select_with, trace_of):
    traces = [trace_of(0, response="2"), trace_of(1, response="2")]
    assert len(select_with(traces, deduplicate=False, near_duplicate_jaccard=None, max_per_problem=2).kept) == 2


def test_traces_of_a_benchmark_question_are_contaminated(select_with, trace_of, problem):
    clean = Problem.of("What is 1 + 2?", "3", "made-up")
    traces = [trace_of(), trace_of(problem=clean)]
    selection = select_with(traces, [problem, clean], {"mine": ["Something else."], "other": ["what is  $1+1$"]})
    assert reasons_of(selection) == {traces[0].trace_id: "contaminated"}


def test_contaminated_traces_stay_when_decontamination_is_off(select_with, trace_of, problem):
    selection = select_with([trace_of()], None, {"mine": [problem.question]}, decontaminate=False)
    assert len(selection.kept) == 1


def test_every_rule_of_the_registry_is_one_file_of_its_name():
    for name, factory in {**RULES, **COMPARISONS}.items():
        assert factory.__module__ == f"mixdistill.selection.rules.{name}"
        assert factory.__name__ == name
