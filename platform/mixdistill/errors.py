"""The errors a person can meet. One root, each child also a standard error, all of them survive pickling.

A message says what was got, what was expected and what to do. The command line prints it without a traceback
and leaves with `exit_code`; anything that is not a `MixdistillError` is a bug and keeps its traceback.
"""

from __future__ import annotations

from typing import ClassVar


class MixdistillError(Exception):
    """Root of every error that a user can mend."""

    exit_code: ClassVar[int] = 1


class ConfigError(MixdistillError, ValueError):
    """The config or the command line is wrong."""

    exit_code: ClassVar[int] = 2


class DataError(MixdistillError, ValueError):
    """A file or a row does not have the promised form, or nothing is left after filtering."""


class ModelError(MixdistillError, LookupError):
    """A model cannot be found, read or trusted."""


class StoreError(MixdistillError, OSError):
    """The artifact store cannot be read or written."""


class StageError(MixdistillError, RuntimeError):
    """A stage started and could not finish."""


class DivergedError(StageError):
    """A training's loss or gradient is no number any more; a checkpoint may hold the weights that gave it."""


class EngineDiedError(StageError):
    """An engine that was at work has died; it can be started anew."""


class MissingDependencyError(MixdistillError, ImportError):
    """An optional package that this config needs is not installed."""
