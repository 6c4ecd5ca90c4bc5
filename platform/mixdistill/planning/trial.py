"""A few optimiser steps of one recipe on made-up examples: what `mixdistill plan --calibrate` runs in a process of its own.

In: one JSON document on stdin, {"model", "revision", "recipe", "prompt", "row_tokens", "num_steps", "folder"}. Out: one on
stdout, {"tokens_per_s", "peak_bytes"}: input tokens a second without the first step, which warms up, and by how much this
process grew over what its libraries take. Reads the model from the cache, writes to `folder` alone.

The examples are as long as `row_tokens`, all of them; what they say does not matter for time or memory.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

from mixdistill.config import StudentConfig
from mixdistill.models import fetch_model
from mixdistill.records import Example, content_id
from mixdistill.training import TrainingRun


def main() -> None:
    """Read the trial, run it, print what was measured."""
    asked = json.load(sys.stdin)
    answer_fd = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever libraries print is no part of the answer
    measured = _measure(asked)
    with os.fdopen(answer_fd, "w") as answer:
        json.dump(measured, answer)


def _measure(asked: dict[str, Any]) -> dict[str, float]:
    from mixdistill.training.sft import train  # imports torch

    recipe = StudentConfig.model_validate(
        {
            **asked["recipe"],
            "num_steps": asked["num_steps"],
            "max_seq_length": asked["row_tokens"],
            "too_long": "cut",
        }
    )
    run = TrainingRun(
        run_name="trial",
        model_path=str(fetch_model(asked["model"], asked["revision"])),
        recipe=recipe,
        prompt=asked["prompt"],
        seed=0,
        output_dir=asked["folder"],
    )
    before = _peak_bytes()
    elapsed: list[float] = []
    train(run, _examples(recipe), on_log=lambda state: elapsed.append(state["elapsed_s"]))
    tokens_per_step = recipe.global_batch_size * asked["row_tokens"]
    return {
        "tokens_per_s": tokens_per_step * (len(elapsed) - 1) / (elapsed[-1] - elapsed[0]),
        "peak_bytes": _peak_bytes() - before,
    }


def _examples(recipe: StudentConfig) -> list[Example]:
    """One batch of examples, each longer than a row, which cuts it."""
    response = " step" * recipe.max_seq_length
    return [
        Example(name, "trial", name, name, "trial", f"Question {number}?", response, recipe.max_seq_length)
        for number in range(recipe.global_batch_size)
        for name in [content_id("trial", number)]
    ]


def _peak_bytes() -> int:
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else 1024 * size  # kilobytes on Linux


if __name__ == "__main__":
    main()
