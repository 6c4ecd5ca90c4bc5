"""How many training workers fit on the nodes of a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from mixdistill.config import TrainConfig
from mixdistill.stages.capacity import num_worker_slots

NODES = [{"CPU": 3.0}, {"CPU": 8.0, "GPU": 2.0, "accelerator_type:H100": 1.0}, {"memory": 1e9}]


@pytest.mark.parametrize(
    ("needs", "slots"),
    [
        ({}, 11),
        ({"cpus_per_worker": 2}, 5),  # the odd CPU of the first node serves nobody
        ({"cpus_per_worker": 0.5}, 22),
        ({"gpus_per_worker": 1}, 2),
        ({"gpus_per_worker": 1, "cpus_per_worker": 5}, 1),
        ({"accelerator_type": "H100"}, 8),
        ({"accelerator_type": "A100"}, 0),
    ],
    ids=str,
)
def test_a_worker_needs_all_it_asks_for_on_one_node(needs: dict[str, Any], slots: int) -> None:
    assert num_worker_slots(NODES, TrainConfig(**needs)) == slots
