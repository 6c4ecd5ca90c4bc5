"""The `search` section: which candidates it names, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mixdistill.config import Experiment, SearchConfig

SEARCH: dict[str, Any] = {"of": "long", "rest": "short", "shares": [0.5, 0.1, 1.0]}


def test_a_candidate_is_a_mix_of_the_searched_teacher_and_the_rest() -> None:
    search = SearchConfig(**SEARCH | {"rest": {"short": 0.75, "other": 0.25}})
    assert search.fractions(0.2) == {"long": 0.2, "short": 0.6, "other": 0.2}


def test_whoever_writes_nothing_of_a_candidate_is_not_named_in_it() -> None:
    search = SearchConfig(**SEARCH)
    assert search.fractions(1.0) == {"long": 1.0}
    assert search.fractions(0.0) == {"short": 1.0}


def test_the_candidates_keep_the_order_in_which_they_are_written() -> None:
    assert SearchConfig(**SEARCH).shares == (0.5, 0.1, 1.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shares": [0.1, 0.1]}, "shares must differ"),
        ({"shares": [0.1]}, "at least 2 items"),
        ({"shares": [0.1, 1.1]}, "less than or equal to 1"),
        ({"rest": "long"}, "whose share is searched; name others"),
        ({"rest": {"long": 0.5, "short": 0.5}}, "whose share is searched; name others"),
        ({"rest": {"short": 0.5}}, "fractions must add up to 1"),
        ({"reduction_factor": 1}, "greater than or equal to 2"),
        ({"num_rungs": 0}, "greater than or equal to 1"),
        ({"max_question": 9}, "did you mean 'max_questions'"),
    ],
)
def test_a_search_that_cannot_be_meant_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SearchConfig(**SEARCH | change)


def test_how_many_questions_are_answered_at_once_does_not_shape_the_search() -> None:
    one, other = (SearchConfig(**SEARCH, questions_at_once=at_once) for at_once in (1, 64))
    assert one.shaping() == other.shaping()
    assert SearchConfig(**SEARCH, max_questions=7).shaping() != one.shaping()


def test_a_search_without_validation_problems_is_refused(full: dict[str, Any]) -> None:
    full["search"] = {"found": SEARCH}
    assert Experiment.model_validate(full).all_mixes[-1] == "found"
    with pytest.raises(ValidationError, match=r"search\.found is judged on validation problems"):
        Experiment.model_validate(full | {"mixing": {"validation_share": 0}})


def test_a_search_may_not_have_the_name_of_a_mix(full: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"search\.mix_long: there is a mix of this name"):
        Experiment.model_validate(full | {"search": {"mix_long": SEARCH}})


def test_a_search_may_only_name_teachers(full: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"names the teacher 'shrot'.*did you mean 'short'"):
        Experiment.model_validate(full | {"search": {"found": SEARCH | {"rest": "shrot"}}})
