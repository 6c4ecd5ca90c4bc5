"""How many training workers a cluster has room for. Free of Ray: it is given what each node has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from mixdistill.config import TrainConfig


def num_worker_slots(nodes: Iterable[Mapping[str, float]], train: TrainConfig) -> int:
    """Workers that fit on these nodes at once; none is split between two.

    Args:
        nodes: the resources of each node as Ray names them: "CPU", "GPU", "accelerator_type:H100".
        train: what a worker needs.
    """
    return sum(_slots_of(node, train) for node in nodes)


def _slots_of(node: Mapping[str, float], train: TrainConfig) -> int:
    if train.accelerator_type and f"accelerator_type:{train.accelerator_type}" not in node:
        return 0
    slots = math.floor(node.get("CPU", 0) / train.cpus_per_worker)
    if train.gpus_per_worker:
        slots = min(slots, math.floor(node.get("GPU", 0) / train.gpus_per_worker))
    return slots
