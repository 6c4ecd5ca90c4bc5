"""Measures how fast this machine trains an experiment's students: a few optimiser steps of each recipe that is left.

Each trial runs in a process of its own (`trial`), so that planning stays light and an interrupt ends it; it writes to a
temporary folder alone. What is finished already is not tried: its manifests tell (`rates.finished_rates`). How fast a
teacher writes is known from finished teachers only, for starting an engine would take longer than the answer is worth.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mixdistill.artifacts import ArtifactKey, Manifest
from mixdistill.config import TrainConfig
from mixdistill.errors import ConfigError, StageError
from mixdistill.pipeline import Graph, manifests
from mixdistill.planning.rates import Rates, finished_rates, training_key
from mixdistill.planning.rows import PROMPT_TOKENS, row_tokens
from mixdistill.stages.tasks import SearchTask, TrainTask

NUM_STEPS: Final = 4  # the first one warms up and is not counted
_MAX_PASSES: Final = 4  # forward passes in a step: enough for the optimiser's share of it to be small
_MAX_ROW_TOKENS: Final = {"cpu": 512, "gpu": 4096}  # where no mix tells how long examples are
_TIMEOUT_S: Final = 3600
_GPU_TOOLS: Final = ("nvidia-smi", "rocm-smi", "amd-smi")  # torch is not asked, for it takes seconds


@dataclass(frozen=True)
class Trial:
    """A recipe at a realistic length, and what it came to."""

    name: str  # the first run that it stands for
    row_tokens: int
    tokens_per_s: float  # input tokens, of one worker
    peak_gib: float  # how much the process grew, on a CPU


def calibrate(graph: Graph, on_trial: Callable[[Trial], None]) -> Rates:
    """Measured speeds of everything that is left and can be measured at once.

    Args:
        graph: the experiment.
        on_trial: told of each trial when it is over.

    Raises:
        ConfigError: the runs want a GPU, and this machine has none.
        StageError: a trial failed, with what it said last.
    """
    if graph.experiment.train.gpus_per_worker and not any(map(shutil.which, _GPU_TOOLS)):
        raise ConfigError(
            "--calibrate measures this machine, and the runs want GPUs, of which it has none; plan on a machine like the "
            "cluster's, or without --calibrate"
        )
    known = manifests(graph)
    rates = finished_rates(graph, known)
    training = dict(rates.training)
    for task in graph.tasks:
        if not isinstance(task, TrainTask | SearchTask) or known[task.key]:
            continue
        key = training_key(task.recipe)
        if key in training:
            continue
        trial = _try(task, _typical_tokens(graph, known, task))
        training[key] = trial.tokens_per_s
        on_trial(trial)
    return Rates(training, rates.decoding)


def _typical_tokens(graph: Graph, known: Mapping[ArtifactKey, Manifest | None], task: TrainTask | SearchTask) -> int:
    """How long a row is on average: by the finished mix, else the longest one, within reason."""
    longest, _ = row_tokens(graph, known, task)
    mix = known.get(task.examples) if isinstance(task, TrainTask) else None
    if mix and mix.num_rows and "num_tokens" in mix.figures and not task.recipe.packing:
        num_tokens: int = mix.figures["num_tokens"]
        return min(longest, math.ceil(num_tokens / mix.num_rows) + PROMPT_TOKENS // 2)
    return min(longest, _MAX_ROW_TOKENS["gpu" if task.train.gpus_per_worker else "cpu"])


def _try(task: TrainTask | SearchTask, num_tokens: int) -> Trial:
    recipe = task.recipe
    passes = min(_MAX_PASSES, max(1, recipe.global_batch_size // recipe.per_device_batch_size))
    with tempfile.TemporaryDirectory(prefix="mixdistill-calibrate-") as folder:
        measured = _run_trial(
            {
                "model": recipe.model,
                "revision": recipe.revision,
                "recipe": recipe.model_dump(mode="json")
                | {"global_batch_size": passes * recipe.per_device_batch_size, "packing": False, "merge": False},
                "prompt": task.prompt,
                "row_tokens": num_tokens,
                "num_steps": NUM_STEPS,
                "folder": folder,
            },
            task.key.name,
            task.train,
        )
    return Trial(task.key.name, num_tokens, measured["tokens_per_s"], measured["peak_bytes"] / 1024**3)


def _run_trial(asked: Mapping[str, Any], name: str, train: TrainConfig) -> dict[str, float]:
    """Run a trial in a process of its own, which dies with this one's interrupt."""
    environment = os.environ | {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    if not train.gpus_per_worker:
        environment["OMP_NUM_THREADS"] = str(max(1, int(train.cpus_per_worker)))  # as a worker has it
    command = [sys.executable, "-m", "mixdistill.planning.trial"]
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            command, input=json.dumps(asked), capture_output=True, text=True, env=environment, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StageError(
            f"calibrating {name}: {NUM_STEPS} steps took longer than {_TIMEOUT_S} s; plan without --calibrate"
        ) from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise StageError(f"calibrating {name} failed: {last}; plan without --calibrate, or mend the recipe")
    measured: dict[str, float] = json.loads(done.stdout)
    return measured
