"""Near-duplicates among the kept traces of a problem, and among problems; no others."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixdistill.questions import question_words
from mixdistill.records import Problem
from mixdistill.selection.likeness import jaccard, shingles
from mixdistill.selection.repeats import Questions

TEXT = (
    "First we add three and five to get eight, and then we add two more to get ten. Let me check this by going backwards "
    "from ten: we take away two, which leaves eight, and then five, which leaves three again. So the answer is ten."
)
ALIKE = TEXT.replace("First we", "We")
QUESTION = (
    "A farmer keeps {} hens, {} ducks and a dog in the yard behind the old barn, next to the mill by the river. "
    "How many legs do all of his animals have together?"
)

ALIKE_PROBLEMS = [
    Problem.of(QUESTION.format(3, 4).replace("A farmer", who), "18", "made-up") for who in ("A farmer", "One farmer")
]


def test_of_two_traces_that_hardly_differ_one_is_kept(select_with, trace_of):
    traces = [trace_of(0, response=TEXT), trace_of(1, response=ALIKE), trace_of(2, response="Ten, as anyone can see.")]
    selection = select_with(traces, max_per_problem=3)
    assert selection.kept == [traces[0], traces[2]]
    assert selection.rejected == [(traces[1].trace_id, "near_duplicate")]


def test_the_preferred_one_of_two_alike_is_kept(select_with, trace_of):
    traces = [trace_of(0, response=TEXT, num_tokens=20), trace_of(1, response=ALIKE, num_tokens=19)]
    assert select_with(traces, max_per_problem=2, keep="shortest").kept == [traces[1]]


def test_a_near_duplicate_takes_no_place_from_another_trace(select_with, trace_of):
    traces = [trace_of(0, response=TEXT), trace_of(1, response=ALIKE), trace_of(2, response="Ten, as anyone can see.")]
    assert select_with(traces, max_per_problem=2).kept == [traces[0], traces[2]]


def test_where_one_trace_a_problem_is_kept_the_others_are_surplus(select_with, trace_of):
    assert select_with([trace_of(0, response=TEXT), trace_of(1, response=ALIKE)]).counts == {"surplus": 1}


def test_the_reasoning_counts_as_the_response(select_with, trace_of):
    traces = [trace_of(0, reasoning=TEXT, response="10"), trace_of(1, reasoning=None, response=ALIKE + " 10")]
    assert select_with(traces, max_per_problem=2).counts == {"near_duplicate": 1}


def test_like_traces_of_other_problems_stay(select_with, trace_of, problem):
    other = Problem.of("What is 5 + 5?", "10", "made-up")
    traces = [trace_of(response=TEXT), trace_of(response=ALIKE, problem=other)]
    assert select_with(traces, [problem, other], max_per_problem=2).rejected == []


@pytest.fixture
def kept_of(select_with, trace_of):
    """How many of the problems have a kept trace."""

    def kept(*problems, **config):
        return len(select_with([trace_of(problem=problem) for problem in problems], list(problems), **config).kept)

    return kept


def test_a_question_that_stands_twice_in_nearly_the_same_words_is_taught_once(kept_of):
    question = QUESTION.format(3, 4)
    one, other = Problem.of(question, "18", "made-up"), Problem.of(question.replace("A farmer", "One farmer"), " 18", "made-up")
    assert kept_of(one, other) == 1
    assert kept_of(one, other, near_duplicate_jaccard=None) == 2


def test_other_numbers_or_another_answer_make_another_problem(kept_of):
    one = Problem.of(QUESTION.format(3, 4), "18", "made-up")
    assert kept_of(one, Problem.of(QUESTION.format(4, 3), "18", "made-up")) == 2
    assert kept_of(one, Problem.of(QUESTION.format(3, 4).replace("A farmer", "One farmer"), "14", "made-up")) == 2


def test_a_problem_without_a_passing_trace_displaces_none(select_with, trace_of):
    traces = [trace_of(problem=ALIKE_PROBLEMS[0], correct=False, reason="wrong_answer"), trace_of(problem=ALIKE_PROBLEMS[1])]
    assert select_with(traces, ALIKE_PROBLEMS).kept == [traces[1]]


@pytest.mark.parametrize("problems", [ALIKE_PROBLEMS, ALIKE_PROBLEMS[::-1]])
@pytest.mark.parametrize("slice_traces", [1, 100])
def test_of_two_like_problems_the_one_that_stands_first_in_the_problem_set_stays(select_with, trace_of, problems, slice_traces):
    traces = [trace_of(problem=problem) for problem in problems]
    assert select_with(traces, problems, slice_traces=slice_traces).kept == [traces[0]]


def test_all_traces_of_the_later_problem_go_but_what_was_rejected_keeps_its_reason(select_with, trace_of):
    first, second = ALIKE_PROBLEMS
    wrong = trace_of(2, problem=second, correct=False, reason="wrong_answer")
    traces = [trace_of(problem=first), trace_of(0, problem=second), trace_of(1, problem=second), wrong]
    selection = select_with(traces, ALIKE_PROBLEMS)
    assert [reason for _, reason in selection.rejected] == ["near_duplicate", "near_duplicate", "wrong_answer"]


def test_of_a_chain_of_like_problems_every_second_one_goes(kept_of):
    words = QUESTION.format(3, 4).split()
    chain = [Problem.of(" ".join(words[start : start + 24]), "18", "made-up") for start in range(0, 8, 2)]
    numbered = [Problem.of(f"3 4 {problem.question.replace('3', '').replace('4', '')}", "18", "made-up") for problem in chain]
    assert kept_of(*numbered, near_duplicate_jaccard=0.6) == 2
    assert kept_of(*numbered[:2], near_duplicate_jaccard=0.6) == 1
    assert kept_of(numbered[0], numbered[2], near_duplicate_jaccard=0.6) == 2


def test_no_two_real_problems_are_alike(select_with, trace_of, real_rows):
    problems = [Problem.of(row["problem"], row["answer"], "math500") for row in real_rows("math500.jsonl")]
    assert select_with([trace_of(problem=problem) for problem in problems], problems).rejected == []


words = st.lists(st.sampled_from("abc"), min_size=1, max_size=14).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(one=words, other=words, threshold=st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0]))
def test_the_search_among_questions_finds_what_comparing_them_in_full_finds(one, other, threshold):
    seen = Questions(threshold)
    seen.add(one)
    likeness = jaccard(shingles(question_words(one)), shingles(question_words(other)))
    assert seen.hold_one_like(other) == (likeness >= threshold)
