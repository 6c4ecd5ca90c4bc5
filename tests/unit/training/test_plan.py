"""The arithmetic of a fine-tune: exact batches, the same rows at each step on any number of workers."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixdistill.config import RecipeConfig
from mixdistill.errors import ConfigError, DataError
from mixdistill.training import (
    batch_order,
    checkpoint_interval,
    deal_passes,
    padding_share,
    plan_steps,
    validation_steps,
)


def recipe(**changes: object) -> RecipeConfig:
    return RecipeConfig.model_validate({"global_batch_size": 8, "num_epochs": 2, **changes})


@given(
    per_device=st.integers(1, 5),
    num_workers=st.integers(1, 4),
    accumulation=st.integers(1, 4),
    num_rows=st.integers(1, 60),
    num_epochs=st.floats(0.1, 4),
    seed=st.integers(0, 3),
)
@settings(max_examples=60)
def test_every_step_is_one_exact_global_batch_and_every_row_is_seen_equally_often(
    per_device: int, num_workers: int, accumulation: int, num_rows: int, num_epochs: float, seed: int
) -> None:
    batch = per_device * num_workers * accumulation
    settings_ = recipe(global_batch_size=batch, per_device_batch_size=per_device, num_epochs=num_epochs)
    plan = plan_steps(num_rows, settings_, num_workers)
    assert plan.per_device_batch_size * plan.num_workers * plan.accumulation_steps == plan.global_batch_size == batch
    order = batch_order(plan, [row * 7 % 11 for row in range(num_rows)], seed)
    assert len(order) == plan.num_steps * batch
    assert num_rows * num_epochs <= len(order) + 1e-6
    assert len(order) < num_rows * num_epochs + batch
    seen = Counter(order)
    assert max(seen.values()) - min(seen[row] for row in range(num_rows)) <= 1


def test_an_uneven_batch_is_refused_with_the_nearest_size_that_works() -> None:
    with pytest.raises(ConfigError, match=r"global_batch_size 8 .* 3 x num_workers 2 = 6; set global_batch_size to 12"):
        plan_steps(100, recipe(per_device_batch_size=3), 2)


def test_no_row_is_an_error_and_not_an_empty_run() -> None:
    with pytest.raises(DataError, match="no example"):
        plan_steps(0, recipe(), 1)


def test_the_rows_of_a_step_depend_neither_on_workers_nor_on_the_forward_pass() -> None:
    lengths = [row * 13 % 29 for row in range(50)]
    orders = [
        batch_order(plan_steps(50, recipe(per_device_batch_size=per_device), num_workers), lengths, seed=3)
        for per_device, num_workers in [(1, 1), (4, 1), (2, 2), (1, 8)]
    ]
    assert all(order == orders[0] for order in orders)


def test_rows_are_sorted_by_length_inside_a_batch_and_shuffled_across_batches() -> None:
    lengths = list(range(64))
    order = batch_order(plan_steps(64, recipe(), 1), lengths, seed=0)
    batches = [order[start : start + 8] for start in range(0, len(order), 8)]
    assert all(batch == sorted(batch, reverse=True) for batch in batches)
    # A shuffled batch of 8 from 0..63 spans far more than the 8 neighbours that global sorting would give.
    assert sum(max(batch) - min(batch) for batch in batches) / len(batches) > 32


@pytest.mark.parametrize(("order", "falling"), [("short_first", False), ("long_first", True)])
def test_a_curriculum_goes_by_length_through_each_pass(order: str, falling: bool) -> None:
    lengths = [row * 13 % 29 for row in range(48)]
    steps = plan_steps(48, recipe(), 2)
    rows = batch_order(steps, lengths, 3, order)  # type: ignore[arg-type]
    for one_pass in (rows[:48], rows[48:]):
        assert sorted(one_pass) == list(range(48))
        batches = [sorted(lengths[row] for row in one_pass[start : start + 8]) for start in range(0, 48, 8)]
        if falling:
            batches.reverse()
        assert all(one[-1] <= other[0] for one, other in itertools.pairwise(batches))


def test_a_curriculum_is_the_same_on_any_number_of_workers_and_shuffles_rows_of_one_length() -> None:
    lengths = [row % 3 for row in range(48)]
    orders = [
        batch_order(plan_steps(48, recipe(per_device_batch_size=size), workers), lengths, 3, "short_first")
        for size, workers in [(1, 1), (2, 2), (1, 8)]
    ]
    assert all(order == orders[0] for order in orders)
    assert orders[0][:48] != orders[0][48:]


def test_a_number_of_steps_stands_above_the_number_of_passes() -> None:
    for num_rows in (3, 1000):
        plan = plan_steps(num_rows, recipe(num_steps=7), 1)
        assert plan.num_steps == 7
        assert len(batch_order(plan, [1] * num_rows, 0)) == 56


def test_padding_is_counted_by_the_widest_row_of_each_forward_pass() -> None:
    assert padding_share([0, 1, 2, 3], [4, 2, 3, 3], 2) == pytest.approx(1 - 12 / 14)
    assert padding_share([0, 1, 2, 3], [4, 2, 3, 3], 1) == 0.0


@pytest.mark.parametrize(("num_steps", "times", "steps"), [(100, 4, [25, 50, 75, 100]), (3, 4, [1, 2, 3]), (7, 2, [4, 7])])
def test_validations_are_spaced_evenly_and_end_with_the_run(num_steps: int, times: int, steps: list[int]) -> None:
    assert validation_steps(num_steps, times) == steps


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=40), batch_size=st.integers(1, 5), num_workers=st.integers(1, 5)
)
@settings(max_examples=60)
def test_workers_make_equally_many_passes_and_each_row_counts_once(
    lengths: list[int], batch_size: int, num_workers: int
) -> None:
    dealt = [deal_passes(lengths, batch_size, num_workers, worker) for worker in range(num_workers)]
    assert len({len(passes) for passes in dealt}) == 1
    assert all(0 < len(rows) <= batch_size for passes in dealt for rows, _ in passes)
    counted = [row for passes in dealt for rows, counts in passes if counts for row in rows]
    assert sorted(counted) == list(range(len(lengths)))


def test_another_seed_gives_another_order_and_the_same_seed_the_same() -> None:
    plan = plan_steps(40, recipe(), 1)
    lengths = [1] * 40
    assert batch_order(plan, lengths, 1) == batch_order(plan, lengths, 1) != batch_order(plan, lengths, 2)


def test_warm_up_is_a_share_of_the_steps() -> None:
    assert plan_steps(80, recipe(warmup_ratio=0.1), 1).num_warmup_steps == 2  # of 20
    assert plan_steps(80, recipe(warmup_ratio=0.0), 1).num_warmup_steps == 0


@pytest.mark.parametrize(("num_steps", "wanted", "points"), [(40, 4, [8, 16, 24, 32]), (3, 4, [1, 2]), (1, 4, []), (10, 0, [])])
def test_checkpoints_lie_strictly_inside_the_run(num_steps: int, wanted: int, points: list[int]) -> None:
    interval = checkpoint_interval(num_steps, wanted)
    assert list(range(interval, num_steps, interval)) == points
