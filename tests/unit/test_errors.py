"""Errors: one root, each also a standard error, and all of them survive the trip between processes."""

from __future__ import annotations

import inspect
import pickle

import pytest

from mixdistill import errors
from mixdistill.errors import MixdistillError

CHILDREN = {
    "ConfigError": ValueError,
    "DataError": ValueError,
    "ModelError": LookupError,
    "StoreError": OSError,
    "StageError": RuntimeError,
    "DivergedError": RuntimeError,
    "EngineDiedError": RuntimeError,
    "MissingDependencyError": ImportError,
}
CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass)]


def test_every_error_of_the_module_is_a_child_of_the_one_root():
    assert all(issubclass(cls, MixdistillError) for cls in CLASSES)
    assert {cls.__name__ for cls in CLASSES} == {*CHILDREN, "MixdistillError"}


@pytest.mark.parametrize(("name", "standard"), CHILDREN.items())
def test_each_child_is_also_the_standard_error_of_its_kind(name, standard):
    assert issubclass(getattr(errors, name), standard)


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_keeps_its_class_message_and_exit_code_through_pickle(cls, protocol):
    message = "got 3, expected 4; add one"
    back = pickle.loads(pickle.dumps(cls(message), protocol))
    assert type(back) is cls
    assert str(back) == message
    assert back.exit_code == cls.exit_code


@pytest.mark.parametrize("cls", CLASSES)
def test_only_a_wrong_config_leaves_with_the_code_for_wrong_usage(cls):
    assert cls.exit_code == (2 if cls.__name__ == "ConfigError" else 1)
