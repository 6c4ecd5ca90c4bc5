"""Unknown keys are refused wherever they stand; `shaping()` leaves out exactly the operational fields."""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mixdistill.config import Experiment, load_experiment
from mixdistill.config.base import OPERATIONAL, Config
from mixdistill.errors import ConfigError

Path_ = tuple[str | int, ...]


def sections(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Config]]:
    """Every config section inside a value, with the path to it."""
    if isinstance(value, Config):
        yield path, value
        for name in type(value).model_fields:
            yield from sections(getattr(value, name), (*path, name))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from sections(item, (*path, key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from sections(item, (*path, index))


def with_change(value: Any, path: Path_, change: Any) -> Any:
    """A copy of the config in which the section at `path` is replaced by `change(section)`."""
    if not path:
        return change(value)
    step, *rest = path
    if isinstance(value, Config):
        return value.model_copy(update={step: with_change(getattr(value, str(step)), tuple(rest), change)})
    if isinstance(value, dict):
        return {**value, step: with_change(value[step], tuple(rest), change)}
    return tuple(with_change(item, tuple(rest), change) if index == step else item for index, item in enumerate(value))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_misspelt_key_is_refused_in_every_section_and_the_nearest_is_named(full, written, data):
    places = [(path, section) for path, section in sections(Experiment.model_validate(full))]
    path, section = data.draw(st.sampled_from(places))
    fields = list(type(section).model_fields)
    field = data.draw(st.sampled_from([field for field in fields if len(field) > 3]), label="field")
    position = data.draw(st.integers(0, len(field) - 1))
    shorter, longer = field[:position] + field[position + 1 :], field[:position] + "_" + field[position:]
    misspelt = data.draw(st.sampled_from([shorter, longer, field + field[-1]]))
    assume(misspelt not in fields)

    changed = copy.deepcopy(full)
    node: Any = changed
    for step in path:
        node = node.setdefault(step, {}) if isinstance(node, dict) else node[step]
    node[misspelt] = 1
    with pytest.raises(ConfigError) as caught:
        load_experiment(written(changed))
    message = str(caught.value)
    [nearest] = difflib.get_close_matches(misspelt, fields, n=1, cutoff=0.5)
    assert f"unknown key {misspelt!r}; did you mean {nearest!r}?" in message
    assert all(str(step) in message for step in path)


def test_the_full_config_reaches_every_kind_of_section(full):
    def kinds(cls: type[Config]) -> set[type[Config]]:
        return {cls, *(kind for child in cls.__subclasses__() for kind in kinds(child))}

    met = {type(section) for _, section in sections(Experiment.model_validate(full))}
    abstract = {Config}  # and the bases that other sections extend
    ours = {kind for kind in kinds(Config) if kind.__module__.startswith("mixdistill.config")}
    assert {kind.__name__ for kind in ours - met - abstract} == {
        "RecipeConfig",
        "SweepConfig",  # written out as mixes before the config is whole
        "_EngineConfig",
    }


def test_shaping_follows_every_field_but_the_operational_ones(full):
    experiment = Experiment.model_validate(full)
    before = experiment.shaping()
    num_operational = 0
    for path, section in sections(experiment):
        if any(_is_operational(experiment, path[: n + 1]) for n in range(len(path))):
            continue
        for name, field in type(section).model_fields.items():
            changed = with_change(
                experiment, path, lambda section, name=name: section.model_copy(update={name: "another value"})
            )
            operational = OPERATIONAL in field.metadata
            assert (changed.shaping() == before) is operational, f"{path} {name}"
            num_operational += operational
    assert num_operational > 20


def _is_operational(experiment: Experiment, path: Path_) -> bool:
    node: Any = experiment
    for step in path[:-1]:
        node = getattr(node, str(step)) if isinstance(node, Config) else node[step]
    return isinstance(node, Config) and OPERATIONAL in type(node).model_fields[str(path[-1])].metadata


def test_shaping_is_json_and_the_same_after_a_round_trip(full):
    experiment = Experiment.model_validate(full)
    shaping = experiment.shaping()
    assert json.loads(json.dumps(shaping)) == shaping
    assert Experiment.model_validate(json.loads(experiment.model_dump_json())).shaping() == shaping


def test_no_secret_can_stand_in_an_engine_section(full):
    full["teachers"]["short"]["engine"]["api_key"] = "sk-123"
    with pytest.raises(ValueError, match="unknown key 'api_key'; did you mean 'api_key_env'"):
        Experiment.model_validate(full)


def test_remote_code_is_refused_in_a_config(full):
    full["engine"]["engine_kwargs"] = {"trust_remote_code": True}
    with pytest.raises(ValueError, match="trust_remote_code is refused"):
        Experiment.model_validate(full)
