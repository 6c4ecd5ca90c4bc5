"""Refuses what cannot fit into a worker's memory, with the numbers, before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mixdistill.config import StudentConfig, TrainConfig
from mixdistill.errors import ConfigError
from mixdistill.pipeline import Graph
from mixdistill.planning.capacity import Machine
from mixdistill.planning.rows import PlanRow, plan
from mixdistill.stages.tasks import SearchTask, TrainTask


def check_fit(graph: Graph, *, until: str = "report", machine: Machine | None = None) -> None:
    """Refuse an experiment when a run that is left, up to a stage, needs more memory than its worker has.

    Where it is not known what a worker has, nothing is refused.

    Raises:
        ConfigError: it names each such run with its numbers, and what to change.
    """
    wanted = {task.key for task in graph.until(until) if isinstance(task, TrainTask | SearchTask)}
    if all(graph.store.artifact(key).finished for key in wanted):
        return
    rows = plan(graph, machine=machine)
    refuse_misfits(graph, [row for row, task in zip(rows, graph.tasks, strict=True) if task.key in wanted])


def refuse_misfits(graph: Graph, rows: Sequence[PlanRow]) -> None:
    """Refuse rows that do not fit.

    Raises:
        ConfigError: see `check_fit`.
    """
    misfits = [row for row in rows if row.fits is False]
    if not misfits:
        return
    tasks = {(task.key.stage, task.key.name): task for task in graph.tasks}
    first = tasks[misfits[0].stage, misfits[0].name]
    assert isinstance(first, TrainTask | SearchTask)
    runs = "\n".join(f"  {row.stage} {row.name}: {_numbers(row)}" for row in misfits)
    raise ConfigError(
        f"training does not fit into the memory of a worker:\n{runs}\n"
        f"Change one of these: {'; '.join(advice(first.recipe, first.train, row=misfits[0]))}. If a worker has more than this "
        "says, set train.memory_gib_per_worker"
    )


def _numbers(row: PlanRow) -> str:
    assert row.memory_gib is not None and row.capacity_gib is not None and row.memory_parts_gib is not None
    parts = ", ".join(f"{part} {size:.1f}" for part, size in row.memory_parts_gib.items() if size >= 0.05)
    about = "about " if row.estimated else ""
    return f"needs {about}{row.memory_gib:.1f} GiB ({parts}) and a worker has {row.capacity_gib:.1f} GiB"


def advice(recipe: StudentConfig, train: TrainConfig, *, row: PlanRow) -> Iterator[str]:
    """What makes a run smaller, of what it does not do already; what helps most comes first."""
    parts = row.memory_parts_gib or {}
    by_weights = sum(parts.get(part, 0) for part in ("weights", "gradients", "optimizer"))
    smaller_model = []
    if recipe.method == "full":
        smaller_model.append("method: lora")
    elif recipe.method == "lora" and train.gpus_per_worker:
        smaller_model.append("method: qlora")
    if train.gpus_per_worker and recipe.method != "qlora":
        more = "parallel: fsdp with more num_workers" if train.parallel == "ddp" else "more num_workers, which share the model"
        smaller_model.append(more)
    smaller_batch = [] if recipe.gradient_checkpointing else ["gradient_checkpointing: true"]
    if recipe.per_device_batch_size > 1:
        smaller_batch.append(f"per_device_batch_size below {recipe.per_device_batch_size}")
    smaller_batch.append(f"max_seq_length below {recipe.max_seq_length}")
    heavy = by_weights > parts.get("activations", 0) + parts.get("logits", 0)
    yield from smaller_model + smaller_batch if heavy else smaller_batch + smaller_model
    if not train.gpus_per_worker and train.memory_gib_per_worker is None and train.max_parallel != 1:
        yield "train.max_parallel: 1, so that no runs share this machine"
