"""What an attempt's error is taken for, what the next attempt builds on, and the mark of a run that was given up."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixdistill.artifacts import Artifact, ArtifactKey, Store
from mixdistill.errors import ConfigError, DataError, DivergedError, ModelError, StageError, StoreError
from mixdistill.stages.training_failures import (
    FAILURE_FILE,
    Cause,
    Failure,
    cause_of,
    next_attempt,
    read_failure,
    write_failure,
)

DIVERGED = DivergedError("training broke down at step 7 of 20: loss nan, gradient norm nan; expected finite numbers; lower it")


class WorkerGroupError(Exception):
    """As Ray Train's."""

    def __init__(self, worker_failures: dict[int, Exception]) -> None:
        super().__init__("Training failed due to worker errors:\nsome traceback")
        self.worker_failures = worker_failures


class RayActorError(Exception):
    """As Ray's."""


class OutOfMemoryError(Exception):
    """As torch's, and as Ray's."""


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (DIVERGED, "diverged", "lower it"),
        (OutOfMemoryError("20 MiB"), "out_of_memory", "lower per_device_batch_size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"), "out_of_memory", "you tried 9 bytes"),
        (RayActorError("The actor died.\n1 worker was killed due to the node running low on memory."), "out_of_memory", "low"),
        (RayActorError("The actor died unexpectedly."), "worker_lost", "run again"),
        (ZeroDivisionError("division by zero"), "error", "ZeroDivisionError: division by zero"),
        (StoreError("the disk is full; free some space"), "error", "the disk is full; free some space"),
        (StageError("the shared weights do not make up the whole model"), "error", "whole model"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_an_error_is_named_and_says_what_to_do(error: Exception, kind: str, said: str) -> None:
    for met in (error, WorkerGroupError({0: error})):
        cause = cause_of(met)
        assert cause.kind == kind
        assert said in cause.message
        assert not cause.lasting


@pytest.mark.parametrize("error", [ConfigError("wrong"), DataError("empty"), ModelError("no template")])
def test_what_every_attempt_would_meet_is_not_tried_again(error: Exception) -> None:
    cause = cause_of(WorkerGroupError({0: RayActorError("lost"), 1: error}))
    assert cause == Cause("error", str(error), lasting=True)
    assert next_attempt([cause], max_failures=9) is None


@pytest.mark.parametrize(
    ("first", "kind"), [(DIVERGED, "diverged"), (OutOfMemoryError(), "out_of_memory"), (RayActorError("gone"), "worker_lost")]
)
def test_the_cause_counts_and_not_the_connection_that_another_worker_lost_by_it(first: Exception, kind: str) -> None:
    assert cause_of(WorkerGroupError({0: RuntimeError("Connection closed by peer"), 1: first})).kind == kind


def test_an_error_that_refers_to_itself_is_read_to_the_end() -> None:
    error = RuntimeError("round and round")
    error.__cause__ = ValueError("inner")
    error.__cause__.__cause__ = error
    assert cause_of(error) == Cause("error", "RuntimeError: round and round")


def test_a_list_of_checkpoints_that_cannot_be_read_leads_to_the_beginning() -> None:
    cause = cause_of(RayActorError("... CheckpointManagerInitializationError: cut off"))
    assert cause.kind == "error"
    assert next_attempt([cause], max_failures=1) == "beginning"


CAUSES = st.sampled_from(["diverged", "out_of_memory", "worker_lost", "error"]).map(lambda kind: Cause(kind, "why"))


@given(st.lists(CAUSES, min_size=1, max_size=6), st.integers(0, 6))
def test_a_run_is_tried_once_and_max_failures_times_more(causes: list[Cause], max_failures: int) -> None:
    assert (next_attempt(causes, max_failures) is None) == (len(causes) > max_failures)


@given(st.lists(CAUSES, min_size=1, max_size=6))
def test_only_a_second_divergence_goes_back_to_the_beginning(causes: list[Cause]) -> None:
    kinds = [cause.kind for cause in causes]
    again = kinds[-1] == "diverged" and kinds.count("diverged") > 1
    assert next_attempt(causes, max_failures=6) == ("beginning" if again else "checkpoint")


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return Store(str(tmp_path)).artifact(ArtifactKey("train", "tiny", "f" * 64))


def test_a_mark_is_read_as_it_was_written_and_there_is_none_before(artifact: Artifact) -> None:
    assert read_failure(artifact) is None
    failure = Failure("out_of_memory", "a worker ran out of memory", 3)
    write_failure(artifact, failure)
    assert read_failure(artifact) == failure
    assert str(failure) == "out_of_memory after 3 attempts: a worker ran out of memory"
    assert not artifact.finished


def test_a_mark_that_cannot_be_read_is_no_missing_one(artifact: Artifact) -> None:
    Path(artifact.file_url(FAILURE_FILE)).mkdir(parents=True)
    with pytest.raises(StoreError, match="failed"):
        read_failure(artifact)
