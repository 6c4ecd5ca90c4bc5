"""Pure arithmetic of a fine-tune: how many steps, of which batches, with how many checkpoints. No torch.

The order of the examples is drawn here and not by a data loader, so that step k trains on the same examples however
many workers share it, however small the forward passes are, and however often the run was interrupted.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mixdistill.config import RecipeConfig
from mixdistill.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class StepPlan:
    """The optimiser steps of one run. Every step sees exactly `global_batch_size` rows."""

    num_rows: int  # of the training set: examples, or packed rows
    num_steps: int
    num_warmup_steps: int
    global_batch_size: int  # = per_device_batch_size x num_workers x accumulation_steps
    per_device_batch_size: int
    num_workers: int
    accumulation_steps: int


def plan_steps(num_rows: int, recipe: RecipeConfig, num_workers: int) -> StepPlan:
    """Lay out the steps of `recipe.num_epochs` passes over `num_rows` rows, or `recipe.num_steps` steps where that is set.

    The last step is filled up from the next pass, so that no batch is smaller and no worker waits for rows: the run
    exceeds `num_epochs` by less than one batch. (transformers.Trainer ends each epoch with a smaller batch instead.)

    Raises:
        ConfigError: the global batch cannot be made of equal forward passes on all workers.
        DataError: there is nothing to train on.
    """
    if num_rows < 1:
        raise DataError("there is no example to train on; got 0, expected at least 1")
    per_pass = recipe.per_device_batch_size * num_workers
    if recipe.global_batch_size % per_pass:
        raise ConfigError(
            f"global_batch_size {recipe.global_batch_size} is not a multiple of per_device_batch_size "
            f"{recipe.per_device_batch_size} x num_workers {num_workers} = {per_pass}; set global_batch_size to "
            f"{math.ceil(recipe.global_batch_size / per_pass) * per_pass}, or change one of the other two"
        )
    num_steps = recipe.num_steps or max(1, math.ceil(num_rows * recipe.num_epochs / recipe.global_batch_size))
    return StepPlan(
        num_rows=num_rows,
        num_steps=num_steps,
        num_warmup_steps=math.ceil(recipe.warmup_ratio * num_steps),
        global_batch_size=recipe.global_batch_size,
        per_device_batch_size=recipe.per_device_batch_size,
        num_workers=num_workers,
        accumulation_steps=recipe.global_batch_size // per_pass,
    )


Order = Literal["shuffled", "short_first", "long_first"]


def batch_order(plan: StepPlan, lengths: Sequence[int], seed: int, order: Order = "shuffled") -> list[int]:
    """Row numbers of all steps in order, `global_batch_size` per step.

    Each pass over the rows is a shuffle; a curriculum then sorts it by length, so that rows of one length stand in another
    order in each pass. Inside one batch, which is one sum of gradients, rows stand by falling length whatever the
    curriculum: forward passes then pad little, and a batch that does not fit into memory fails early. (Sorting a shuffled
    pass across batches, as transformers' group_by_length does, would give a mixture of long and short reasoning all-long and
    all-short steps.)

    Args:
        plan: the steps.
        lengths: tokens of each row, by the student's own tokenizer.
        seed: of the shuffles.
        order: shuffled, or the curriculum of each pass.
    """
    assert len(lengths) == plan.num_rows
    num_drawn = plan.num_steps * plan.global_batch_size
    drawn: list[int] = []
    epoch = 0
    while len(drawn) < num_drawn:
        rows = list(range(plan.num_rows))
        random.Random(f"{seed}/{epoch}").shuffle(rows)  # noqa: S311  (a repeatable order, not a secret)
        if order != "shuffled":
            rows.sort(key=lambda row: lengths[row], reverse=order == "long_first")
        drawn += rows
        epoch += 1
    in_order: list[int] = []
    for start in range(0, num_drawn, plan.global_batch_size):
        batch = drawn[start : start + plan.global_batch_size]
        in_order += sorted(batch, key=lambda row: (-lengths[row], row))
    return in_order


def padding_share(order: Sequence[int], lengths: Sequence[int], per_device_batch_size: int) -> float:
    """Which share of the tokens that go through the model is padding, when each forward pass is as wide as its longest row.

    Args:
        order: of `batch_order`; a forward pass takes the next `per_device_batch_size` rows, on whichever worker.
        lengths: tokens of each row.
        per_device_batch_size: rows of a forward pass.
    """
    passes = [order[start : start + per_device_batch_size] for start in range(0, len(order), per_device_batch_size)]
    num_passed = sum(len(rows) * max(lengths[row] for row in rows) for rows in passes)
    return 1 - sum(lengths[row] for row in order) / num_passed


def validation_steps(num_steps: int, validations_per_run: int) -> list[int]:
    """After which steps the loss on held-out traces is taken: evenly spaced, the last one among them."""
    return sorted({-(-num_steps * turn // validations_per_run) for turn in range(1, validations_per_run + 1)})


def deal_passes(lengths: Sequence[int], batch_size: int, num_workers: int, worker: int) -> list[tuple[list[int], bool]]:
    """One worker's forward passes over rows that are seen once: equally many on every worker.

    Rows of about the same length share a pass, and passes are dealt in turn. Where they do not come out even, a worker
    repeats the last one, marked False: it is made for the others' sake and does not count.

    Args:
        lengths: tokens of each row.
        batch_size: rows of a pass.
        num_workers: that share the rows.
        worker: which one's passes to give, from 0.
    """
    rows = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    passes = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    return [
        (passes[min(turn + worker, len(passes) - 1)], turn + worker < len(passes))
        for turn in range(0, len(passes), num_workers)
    ]


def checkpoint_interval(num_steps: int, checkpoints_per_run: int) -> int:
    """Steps between checkpoints, for `checkpoints_per_run` points strictly inside the run (fewer in a very short one)."""
    return max(1, math.ceil(num_steps / (checkpoints_per_run + 1)))
