"""Which engine answers for which name."""

from __future__ import annotations

from typing import Any

import pytest

from mixdistill.config import Experiment
from mixdistill.errors import ConfigError, StageError
from mixdistill.pipeline import TrainedStudent
from mixdistill.serving.roster import build_roster


def experiment(**students: Any) -> Experiment:
    return Experiment.model_validate(
        {
            "name": "trial",
            "store": "runs",
            "problems": {"source": "file", "path": "p.jsonl"},
            "teachers": {"short": {"model": "org/teacher"}},
            "mixes": {"short": {"short": 1.0}},
            "students": students or {"tiny": {"model": "org/tiny", "revision": "abc"}},
            "evaluate": {"benchmarks": {"held_out": {"source": "file", "path": "h.jsonl"}}},
        }
    )


def student(
    name: str, *, is_adapter: bool = True, base_model: str = "org/tiny", revision: str | None = "abc"
) -> TrainedStudent:
    return TrainedStudent(name, base_model, revision, is_adapter, f"store/{name}")


def test_lora_students_and_their_base_share_one_engine():
    roster = build_roster(experiment(), [student("tiny-short"), student("tiny-long")])
    (engine,) = roster.engines
    assert (engine.model, engine.revision, engine.is_store_url) == ("org/tiny", "abc", False)
    assert engine.adapters == {"tiny-short": "store/tiny-short", "tiny-long": "store/tiny-long"}
    assert [(model.name, model.engine, model.adapter) for model in roster.models] == [
        ("tiny", "tiny", None),
        ("tiny-short", "tiny", "tiny-short"),
        ("tiny-long", "tiny", "tiny-long"),
    ]


def test_full_students_have_their_own_engines_beside_the_base():
    roster = build_roster(experiment(), [student("tiny-short", is_adapter=False), student("tiny-long", is_adapter=False)])
    assert {engine.name: engine.model for engine in roster.engines} == {
        "tiny": "org/tiny",
        "tiny-short": "store/tiny-short",
        "tiny-long": "store/tiny-long",
    }
    assert all(not engine.adapters for engine in roster.engines)


def test_two_student_configs_on_one_base_share_its_engine():
    both = experiment(a={"model": "org/tiny", "method": "lora"}, b={"model": "org/tiny"})
    roster = build_roster(both, [student("a-short", revision=None)])
    assert [engine.name for engine in roster.engines] == ["a"]
    assert [model.name for model in roster.models] == ["a", "b", "a-short"]


def test_another_revision_is_another_base():
    both = experiment(a={"model": "org/tiny"}, b={"model": "org/tiny", "revision": "old"})
    assert len(build_roster(both, [student("a-short", revision=None)]).engines) == 2


def test_a_selection_starts_only_the_engines_it_needs():
    roster = build_roster(
        experiment(), [student("tiny-short", is_adapter=False), student("tiny-long", is_adapter=False)], ["tiny-long"]
    )
    assert [engine.name for engine in roster.engines] == ["tiny-long"]
    assert [model.name for model in roster.models] == ["tiny-long"]


def test_every_model_names_an_engine_that_exists():
    roster = build_roster(experiment(), [student("x"), student("y", is_adapter=False)])
    assert {model.engine for model in roster.models} == {engine.name for engine in roster.engines}


def test_nothing_trained_says_what_to_do():
    with pytest.raises(StageError, match="mixdistill run"):
        build_roster(experiment(), [])


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(ConfigError, match="tiny-short"):
        build_roster(experiment(), [student("tiny-short")], ["tiny-shrot"])


def test_a_student_with_the_name_of_its_base_is_refused():
    with pytest.raises(ConfigError, match="rename"):
        build_roster(experiment(), [student("tiny")])
