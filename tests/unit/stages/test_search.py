"""The arithmetic of a search: where its rungs stand, who is asked, which share is best and what is told of the others."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixdistill.config import SearchConfig
from mixdistill.errors import DataError, StageError
from mixdistill.stages.halving import (
    Candidate,
    RungResult,
    asked_problems,
    best_candidate,
    resource,
    rung_steps,
    search_figures,
)


def searching(**settings: Any) -> SearchConfig:
    return SearchConfig.model_validate({"of": "long", "rest": "short", "shares": (0.0, 0.2, 1.0)} | settings)


def candidate(share: float, *num_correct: int, failure: str | None = None, num_steps: int = 8) -> Candidate:
    """One that got so many of 20 right at its rungs, of which there are 3."""
    steps = [2, 4, 8]
    history = [
        RungResult(rung=index + 1, steps=steps[index], num_correct=right, num_questions=20)
        for index, right in enumerate(num_correct)
    ]
    done = steps[len(num_correct) - 1] if num_correct else 0
    return Candidate(share, 100, num_steps, done, history, seconds=1.5, num_answer_tokens=7, failure=failure)


def figures_of(*candidates: Candidate, num_rungs: int = 3) -> dict[str, Any]:
    return search_figures("found", "tiny", searching(num_rungs=num_rungs), candidates, 20)


# Rungs


def test_rungs_stand_at_even_powers_of_the_reduction_factor_before_the_last_step() -> None:
    assert rung_steps(100, searching(num_rungs=3, reduction_factor=2)) == {25: 1, 50: 2, 100: 3}
    assert rung_steps(100, searching(num_rungs=3, reduction_factor=3)) == {12: 1, 34: 2, 100: 3}


@given(st.integers(1, 10_000), st.integers(1, 8), st.integers(2, 5))
def test_the_last_step_is_always_the_highest_rung_and_no_rung_is_before_the_first(
    num_steps: int, num_rungs: int, factor: int
) -> None:
    steps = rung_steps(num_steps, searching(num_rungs=num_rungs, reduction_factor=factor))
    assert steps[num_steps] == num_rungs
    assert min(steps) >= 1
    assert max(steps) == num_steps
    assert [rung for _, rung in sorted(steps.items())] == sorted(steps.values())


def test_where_rungs_fall_together_the_highest_counts() -> None:
    assert rung_steps(2, searching(num_rungs=4, reduction_factor=2)) == {1: 3, 2: 4}


def test_the_unit_of_training_grows_by_the_reduction_factor_from_one() -> None:
    assert [resource(rung, searching(reduction_factor=3)) for rung in (1, 2, 3)] == [1, 3, 9]


# Questions


def test_a_problem_that_several_sources_solved_is_asked_once() -> None:
    held_out = {"long": np.array([4, 2]), "short": np.array([2, 9])}
    assert asked_problems(held_out, 10, seed=0) == [2, 4, 9]


@given(st.sets(st.integers(0, 500), min_size=1), st.integers(1, 40), st.integers(0, 5))
def test_fewer_questions_are_a_part_of_more(problems: set[int], max_questions: int, seed: int) -> None:
    held_out = {"short": np.array(sorted(problems))}
    few = asked_problems(held_out, max_questions, seed)
    assert set(few) <= set(asked_problems(held_out, max_questions + 10, seed))
    assert len(few) == min(max_questions, len(problems))


def test_another_seed_asks_others() -> None:
    held_out = {"short": np.arange(200)}
    assert asked_problems(held_out, 20, seed=0) != asked_problems(held_out, 20, seed=1)


def test_without_a_held_out_problem_there_is_nothing_to_judge_by() -> None:
    with pytest.raises(DataError, match=r"raise mixing\.validation_share"):
        asked_problems({"long": np.array([], dtype=np.int64)}, 20, seed=0)


# The best share


def test_the_best_is_the_most_accurate_of_those_that_came_furthest() -> None:
    stopped_early_with_most = candidate(0.0, 19)
    assert best_candidate([stopped_early_with_most, candidate(0.2, 3, 4, 5), candidate(1.0, 2, 3, 6)]).share == 1.0


def test_of_equals_the_lower_share_is_best() -> None:
    assert best_candidate([candidate(1.0, 3, 4, 5), candidate(0.2, 1, 1, 5)]).share == 0.2


def test_who_failed_is_not_best_whatever_it_got() -> None:
    assert best_candidate([candidate(0.0, 20, 20, failure="lost"), candidate(0.2, 1)]).share == 0.2


def test_a_search_of_which_all_failed_tells_each_reason() -> None:
    with pytest.raises(StageError, match=r"(?s)all 2 candidates.*share 0: no memory.*share 0\.2: diverged"):
        best_candidate([candidate(0.0, failure="no memory"), candidate(0.2, 5, failure="diverged")])


# What is told


def test_the_figures_tell_the_best_share_and_its_mix() -> None:
    found = figures_of(candidate(0.0, 1), candidate(0.2, 3, 4, 5), candidate(1.0, 0))
    assert (found["best_share"], found["best_fractions"]) == (0.2, {"long": 0.2, "short": 0.8})


def test_statuses_and_reasons_are_told() -> None:
    found = figures_of(candidate(0.0, 1), candidate(0.2, 3, 4, 5), candidate(1.0, 2, failure="lost"))["candidates"]
    assert [(one["status"], one["reason"]) for one in found] == [("stopped", ""), ("finished", ""), ("failed", "lost")]


def test_the_curve_has_a_wilson_interval_around_the_accuracy_at_the_last_rung() -> None:
    _, one, _ = figures_of(candidate(0.0, 1), candidate(0.2, 3, 4, 5), candidate(1.0, 2))["candidates"]
    assert (one["accuracy"], one["num_correct"], one["num_questions"], one["rung"]) == (0.25, 5, 20, 3)
    # Wilson's interval of 5 in 20 at 95 %: (0.25 + z²/40 ∓ z √(0.25·0.75/20 + z²/1600)) / (1 + z²/20), z = 1.95996
    assert (one["ci_low"], one["ci_high"]) == pytest.approx((0.11186, 0.46870), abs=1e-5)
    assert one["history"] == [
        {"steps": 2, "accuracy": 0.15},
        {"steps": 4, "accuracy": 0.2},
        {"steps": 8, "accuracy": 0.25},
    ]


def test_who_failed_before_its_first_rung_has_no_accuracy() -> None:
    _, one = figures_of(candidate(0.2, 3, 4, 5), candidate(1.0, failure="lost"))["candidates"]
    assert (one["accuracy"], one["ci_low"], one["history"], one["rung"]) == (None, None, [], 0)


def test_the_cost_is_told_beside_that_of_training_all_fully() -> None:
    never_began = Candidate(1.0, 100, None, failure="lost")
    found = figures_of(candidate(0.0, 1), candidate(0.2, 3, 4, 5), never_began)
    assert (found["num_steps"], found["num_steps_full"]) == (2 + 8, 3 * 8)
    assert (found["seconds"], found["num_answer_tokens"]) == (3.0, 14)


def test_the_rungs_are_those_of_the_longest_candidate() -> None:
    assert figures_of(candidate(0.0, 1, num_steps=6), candidate(0.2, 3, 4, 5, num_steps=8))["rungs"] == [2, 4, 8]


def test_the_figures_are_json() -> None:
    found = figures_of(candidate(0.0, 1), candidate(0.2, 3, 4, 5))
    assert json.loads(json.dumps(found)) == found
