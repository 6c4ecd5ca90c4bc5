"""What one training worker has of memory: what the config says, what its accelerator has, or its part of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mixdistill.config import TrainConfig
from mixdistill.stages.capacity import num_worker_slots

# GiB of one device, by the name that Ray gives it (`ray.util.accelerators`). From the vendors' data sheets; a plain A100 or
# V100 may have twice as much and counts as the smaller one. A driver shows a few percent less, see the prediction's margin.
ACCELERATOR_GIB: Final = {
    "T4": 16,
    "V100": 16,
    "A10G": 24,
    "L4": 24,
    "A100": 40,
    "A100-40G": 40,
    "L40S": 48,
    "A100-80G": 80,
    "H100": 80,
    "H20": 96,
    "RTX-PRO-6000": 96,
    "H200": 141,
    "B200": 180,
    "AMD-Instinct-MI300X-OAM": 192,
}


@dataclass(frozen=True)
class Machine:
    """The machine where a local cluster starts."""

    memory_gib: float
    num_cpus: int


def worker_gib(train: TrainConfig, machine: Machine | None, num_workers: int) -> float | None:
    """GiB that one worker may fill; None where nobody can tell.

    Args:
        train: what a worker gets.
        machine: this machine, where the runs take place on it; None: on a cluster.
        num_workers: workers of all runs that are left, which share the machine as far as they run at once.
    """
    if train.memory_gib_per_worker is not None:
        return train.memory_gib_per_worker
    if train.gpus_per_worker:
        device = ACCELERATOR_GIB.get(train.accelerator_type or "")
        # A worker uses one device, whole or in part.
        return None if device is None else device * min(1.0, train.gpus_per_worker)
    if machine is None:
        return None
    most = train.max_parallel * train.num_workers if train.max_parallel else num_workers
    at_once = min(num_worker_slots([{"CPU": machine.num_cpus}], train), most, num_workers)
    return machine.memory_gib / max(1, at_once)
