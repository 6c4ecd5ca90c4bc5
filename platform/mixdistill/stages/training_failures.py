"""Why a fine-tune failed, in words that a person can act on, and what the next attempt builds on. Free of Ray and torch.

Errors are told apart by the names of their classes, because what comes back from a worker is Ray's error around Ray
Train's error around torch's, and neither library needs to be loaded to read a mark.

| kind | what it was | next attempt |
|---|---|---|
| diverged | the loss or a gradient was no number | from the last checkpoint; a second time, from the start |
| out_of_memory | of the device, of the process, or of its node | from the last checkpoint |
| worker_lost | the worker, its node or Ray Train's controller died | from the last checkpoint |
| error | anything else | from the last checkpoint; none where config, data or model are wrong |

A checkpoint whose own loss was a number may already hold weights that give none: hence the start after two divergences.
A run that is given up leaves `failure.json` in its unfinished artifact; the next run takes the mark away and tries again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mixdistill.artifacts import Artifact
from mixdistill.errors import DivergedError, MixdistillError, StageError, StoreError

FAILURE_FILE: Final = "failure.json"

Kind = Literal["diverged", "out_of_memory", "worker_lost", "error"]
Start = Literal["checkpoint", "beginning"]

# torch and Ray have an OutOfMemoryError each.
_OUT_OF_MEMORY: Final = frozenset({"MemoryError", "OutOfMemoryError"})
# What the CUDA driver, torch's CPU allocator and Ray's memory monitor say where the class does not.
_OUT_OF_MEMORY_WORDS: Final = ("out of memory", "can't allocate memory", "low on memory", "memory usage threshold")
_LOST: Final = frozenset(
    {
        "ActorPlacementGroupRemoved",
        "LocalRayletDiedError",
        "NodeDiedError",
        "ObjectLostError",
        "PreemptionError",
        "RayActorError",
        "RpcError",
        "TaskPlacementGroupRemoved",
        "WorkerCrashedError",
        "WorkerGroupStartupFailedError",
        "WorkerHealthCheckFailedError",
        "WorkerHealthCheckTimeoutError",
    }
)
_BROKEN_CHECKPOINT: Final = "CheckpointManagerInitializationError"  # Ray Train's: its list of checkpoints cannot be read


@dataclass(frozen=True, slots=True)
class Cause:
    """Why one attempt ended."""

    kind: Kind
    message: str
    lasting: bool = False  # every attempt would meet it: the config, the data or the model is wrong
    breaks_checkpoint: bool = False  # the checkpoint itself cannot be read


@dataclass(frozen=True, slots=True)
class Failure:
    """The mark of a run that was given up."""

    kind: Kind
    message: str  # of the last attempt
    attempts: int

    def __str__(self) -> str:
        times = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        return f"{self.kind} after {times}: {self.message}"


def cause_of(error: BaseException) -> Cause:
    """The most telling of the errors that an attempt's error holds: a dead worker takes the others' connections along."""
    errors = list(_inside(error))
    for found in errors:
        if isinstance(found, MixdistillError) and not isinstance(found, StageError | StoreError):
            return Cause("error", _message(found), lasting=True)
    for found in errors:
        if isinstance(found, DivergedError):
            return Cause("diverged", _message(found))
    for found in errors:
        if _OUT_OF_MEMORY & _class_names(found) or any(words in str(found).lower() for words in _OUT_OF_MEMORY_WORDS):
            return Cause(
                "out_of_memory",
                f"a worker ran out of memory ({_message(found)}); lower per_device_batch_size or max_seq_length, set "
                "gradient_checkpointing: true, use method: lora, or give it a larger device",
            )
    for found in errors:
        if _BROKEN_CHECKPOINT in _class_names(found) or _BROKEN_CHECKPOINT in str(found):
            return Cause("error", f"the list of its checkpoints cannot be read ({_message(found)})", breaks_checkpoint=True)
    for found in errors:
        if _LOST & _class_names(found):
            return Cause(
                "worker_lost",
                f"its worker, its node or its controller was lost ({_message(found)}); run again to go on from its last "
                "checkpoint, and look into the node's log if it is lost again",
            )
    raised = next((found for found in errors if not _held(found)), error)
    message = _message(raised)
    return Cause("error", message if isinstance(raised, MixdistillError) else f"{type(raised).__name__}: {message}")


def next_attempt(causes: Sequence[Cause], max_failures: int) -> Start | None:
    """Where the attempt after these failed ones begins, oldest first; None: there is none."""
    last = causes[-1]
    if last.lasting or len(causes) > max_failures:
        return None
    diverged_again = last.kind == "diverged" and any(cause.kind == "diverged" for cause in causes[:-1])
    return "beginning" if diverged_again or last.breaks_checkpoint else "checkpoint"


def read_failure(artifact: Artifact) -> Failure | None:
    """The mark that the last run left in an unfinished artifact."""
    try:
        return Failure(**artifact.read_json(FAILURE_FILE))
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def write_failure(artifact: Artifact, failure: Failure) -> None:
    """Leave the mark of a run that is given up."""
    artifact.write_json(FAILURE_FILE, dataclasses.asdict(failure))


def _inside(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it holds, from the outside in: what each worker raised, the controller's, the cause."""
    waiting, seen = [error], set[int]()
    while waiting:
        found = waiting.pop(0)
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        waiting += _held(found) + ([found.__cause__] if found.__cause__ else [])


def _held(error: BaseException) -> list[BaseException]:
    """What Ray Train's and Ray's errors were made around."""
    held = [getattr(error, name, None) for name in ("controller_failure", "health_check_failure", "cause")]
    held += getattr(error, "worker_failures", {}).values()
    return [one for one in held if isinstance(one, BaseException)]


def _class_names(error: BaseException) -> set[str]:
    return {base.__name__ for base in type(error).__mro__}


def _message(error: BaseException) -> str:
    """The last line of what an error says: before it stand Ray's tracebacks."""
    if isinstance(error, MixdistillError):
        return str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
