"""What the rest of an experiment will cost: tokens, time and memory, one row an artifact, before anything is started.

Tokens are upper bounds that follow from the config (every sample used, every response at its limit); what is finished is left
out. Times are tokens by `rates`, memory is `memory` against `capacity`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mixdistill.artifacts import ArtifactKey, Manifest
from mixdistill.config import EngineConfig, ReplayEngineConfig, StudentConfig, TrainConfig, VllmEngineConfig
from mixdistill.pipeline import Graph, manifests
from mixdistill.planning.capacity import Machine, worker_gib
from mixdistill.planning.memory import GIB, Memory, training_memory
from mixdistill.planning.rates import Device, Rates, decoding_rate, engine_key, training_key, training_rate
from mixdistill.planning.shape import model_facts, num_parameters
from mixdistill.problems import source_named
from mixdistill.stages.tasks import (
    EvaluateTask,
    GenerateTask,
    JudgeTask,
    MixTask,
    ProblemsTask,
    SearchTask,
    Task,
    TrainTask,
)

PROMPT_TOKENS: Final = 256
"""Room for a question with its chat template, which has not been read yet: a guess, on the long side for school problems."""


@dataclass(frozen=True)
class PlanRow:
    """One artifact of the plan. None: not known before earlier stages have run, or does not apply."""

    stage: str
    name: str
    fingerprint: str
    state: str  # "finished" (reused), "unfinished" (goes on) or "missing"
    max_tokens: int | None = None  # generated or trained, at most
    max_seconds: float | None = None
    num_devices: int = 1  # that are busy for this long: GPUs, or CPU workers
    measured: bool = False  # whether the time follows from a measured speed
    memory_gib: float | None = None  # per worker
    memory_parts_gib: dict[str, float] | None = None
    estimated: bool = False  # whether the memory follows from the size in the model's name alone
    capacity_gib: float | None = None  # of a worker, where it is known
    fits: bool | None = None

    @property
    def max_device_hours(self) -> float | None:
        """What it occupies at most: GPU-hours, or hours of CPU workers."""
        return None if self.max_seconds is None else self.max_seconds * self.num_devices / 3600


def plan(graph: Graph, *, machine: Machine | None = None, rates: Rates | None = None) -> list[PlanRow]:
    """One row an artifact, in the order of the stages.

    Args:
        graph: the experiment.
        machine: this machine, where a local cluster will start; None: the runs take place elsewhere.
        rates: speeds that were measured.
    """
    return _Planner(graph, machine, rates or Rates()).rows()


def row_tokens(graph: Graph, known: Mapping[ArtifactKey, Manifest | None], task: TrainTask | SearchTask) -> tuple[int, int]:
    """Tokens of the longest row that a student gets, at most, and of its response: activations and logits follow from them.

    A packed row is full. Another one is no longer than `max_seq_length`, nor than the longest response of its mix, or what its
    teachers may write.
    """
    most = task.recipe.max_seq_length
    response = None if task.recipe.packing else _longest_response(graph, known, task)
    return (most, most) if response is None else (min(most, PROMPT_TOKENS + response), min(most, response))


def _longest_response(graph: Graph, known: Mapping[ArtifactKey, Manifest | None], task: TrainTask | SearchTask) -> int | None:
    mix = known.get(task.examples) if isinstance(task, TrainTask) else None
    if mix and (teachers := mix.figures.get("tokens_by_teacher")):
        return max(int(tokens["max"]) for tokens in teachers.values())
    names = _sources(graph, task)
    tasks = [task for task in graph.tasks if isinstance(task, GenerateTask) and task.teacher in names]
    if any(isinstance(task.engine.config, ReplayEngineConfig) for task in tasks):  # what was recorded knows no limit
        return None
    return max(task.teacher_config.sampling.max_tokens for task in tasks)


def _sources(graph: Graph, task: TrainTask | SearchTask) -> list[str]:
    """The teachers that may write the examples."""
    if isinstance(task, SearchTask):
        return task.search.teachers
    searched = graph.experiment.search.get(task.mix)
    return searched.teachers if searched else list(graph.experiment.mixes[task.mix])


class _Planner:
    def __init__(self, graph: Graph, machine: Machine | None, rates: Rates) -> None:
        self._graph = graph
        self._machine = machine
        self._rates = rates
        self._manifests = manifests(graph)
        # An experiment says that it has GPUs by training on them.
        self._device: Device = "gpu" if graph.experiment.train.gpus_per_worker else "cpu"
        self._num_rows: dict[str, int | None] = {}  # artifact -> rows, known or at most

    def rows(self) -> list[PlanRow]:
        return [self._row(task) for task in self._graph.tasks]

    def _row(self, task: Task) -> PlanRow:
        manifest = self._manifests[task.key]
        self._num_rows[str(task.key)] = manifest.num_rows if manifest else self._most_rows(task)
        state = self._graph.state(task, manifest)
        row = PlanRow(task.key.stage, task.key.name, task.key.fingerprint[:12], state)
        return row if manifest else self._cost(task, row)

    def _most_rows(self, task: Task) -> int | None:
        """How many rows an artifact that is not finished can have at most."""
        match task:
            case ProblemsTask():
                num_rows = source_named(task.problems.source).num_rows(task.problems)
                return min((number for number in (task.problems.limit, num_rows) if number is not None), default=None)
            case GenerateTask():
                problems = self._num_rows[str(task.problems)]
                return None if problems is None else problems * task.teacher_config.sampling.max_samples
            case EvaluateTask():
                problems = self._num_rows[str(task.problems)]
                return None if problems is None else problems * task.num_samples
            case MixTask() | SearchTask():
                problems = self._num_rows[str(task.problems)]
                most = None if problems is None else problems * task.mixing.max_per_problem
                return min((number for number in (task.mixing.num_examples, most) if number is not None), default=None)
            case _:
                return None

    def _cost(self, task: Task, row: PlanRow) -> PlanRow:
        match task:
            case GenerateTask():
                num_samples = self._num_rows[str(task.key)]
                sampling = task.teacher_config.sampling
                tokens = None if num_samples is None else num_samples * sampling.max_tokens
                if sampling.max_total_tokens is not None:
                    tokens = min(tokens or sampling.max_total_tokens, sampling.max_total_tokens)
                return self._decoding(row, tokens, task.teacher_config.model, task.teacher_config.revision, task.engine.config)
            case EvaluateTask():
                answers = self._num_rows[str(task.key)]
                tokens = None if answers is None else answers * task.sampling.max_tokens
                # An adapter's engine, or a student's own, is as fast as its base's, about.
                revision = task.engine.revision
                return self._decoding(row, tokens, task.base_model, revision, task.engine.config)
            case JudgeTask():
                # At most every answer is rejected and judged.
                answers = self._num_rows[str(task.predictions)]
                tokens = None if answers is None else answers * task.sampling.max_tokens
                return self._decoding(row, tokens, task.engine.model, task.engine.revision, task.engine.config)
            case TrainTask():
                return self._training(row, task, self._num_rows[str(task.examples)])
            case SearchTask():
                return self._search(row, task)
            case _:
                return row

    def _decoding(self, row: PlanRow, tokens: int | None, model: str, revision: str | None, engine: EngineConfig) -> PlanRow:
        size = num_parameters(model, revision)
        measured = self._rates.decoding.get(engine_key(model, revision, engine))
        replicas = engine.replicas if isinstance(engine.replicas, int) else engine.replicas[1]
        rate = measured or decoding_rate(size, engine, self._device)
        weights = None
        if size is not None and isinstance(engine, VllmEngineConfig):
            weights = size * 2 / engine.num_devices / GIB
        return dataclasses.replace(
            row,
            max_tokens=tokens,
            max_seconds=None if tokens is None or rate is None else tokens / (rate * (1 if measured else replicas)),
            num_devices=replicas * (engine.num_devices if isinstance(engine, VllmEngineConfig) else 1),
            measured=measured is not None,
            memory_gib=weights,
            memory_parts_gib=None if weights is None else {"weights": round(weights, 3)},
        )

    def _training(self, row: PlanRow, task: TrainTask, num_examples: int | None) -> PlanRow:
        tokens = self._trained_tokens(task, num_examples)
        row = self._with_memory(row, task, task.train)
        return self._with_training_time(row, tokens, task.recipe, task.train.num_workers)

    def _search(self, row: PlanRow, task: SearchTask) -> PlanRow:
        """All candidates trained to their ends and asked at every rung: halving can only make it less.

        A candidate trains on one worker (`stages.search`), and those that run side by side are not counted on.
        """
        candidates = len(task.search.shares)
        tokens = self._trained_tokens(task, self._num_rows[str(task.key)])
        trained = None if tokens is None else candidates * tokens
        row = self._with_training_time(self._with_memory(row, task, _one_worker(task.train)), trained, task.recipe, 1)
        size = num_parameters(task.recipe.model, task.recipe.revision)
        rate = decoding_rate(size, VllmEngineConfig(), self._device)
        answers = candidates * task.search.num_rungs * task.search.max_questions * task.sampling.max_tokens
        return dataclasses.replace(
            row,
            max_tokens=None if trained is None else trained + answers,
            max_seconds=None if row.max_seconds is None or rate is None else row.max_seconds + answers / rate,
        )

    def _trained_tokens(self, task: TrainTask | SearchTask, num_examples: int | None) -> int | None:
        """Tokens of one student's training, if every row were as long as it can be."""
        recipe = task.recipe
        longest, _ = row_tokens(self._graph, self._manifests, task)
        if recipe.num_steps is not None:
            return recipe.num_steps * recipe.global_batch_size * longest
        return None if num_examples is None else math.ceil(num_examples * recipe.num_epochs * longest)

    def _with_training_time(self, row: PlanRow, tokens: int | None, recipe: StudentConfig, num_workers: int) -> PlanRow:
        measured = self._rates.training.get(training_key(recipe))
        rate = measured or training_rate(num_parameters(recipe.model, recipe.revision), self._device)
        seconds = None if tokens is None or rate is None else tokens / (rate * num_workers)
        return dataclasses.replace(
            row, max_tokens=tokens, max_seconds=seconds, num_devices=num_workers, measured=measured is not None
        )

    def _with_memory(self, row: PlanRow, task: TrainTask | SearchTask, train: TrainConfig) -> PlanRow:
        needed = self._training_memory(task, train)
        if needed is None:
            return row
        memory, estimated = needed
        capacity = worker_gib(train, self._machine, self._num_workers_left(task, train))
        return dataclasses.replace(
            row,
            memory_gib=memory.total / GIB,
            memory_parts_gib=memory.gib(),
            estimated=estimated,
            capacity_gib=capacity,
            fits=None if capacity is None else memory.total / GIB <= capacity,
        )

    def _training_memory(self, task: TrainTask | SearchTask, train: TrainConfig) -> tuple[Memory, bool] | None:
        facts = model_facts(task.recipe.model, task.recipe.revision)
        if facts is None:
            return None
        longest, response = row_tokens(self._graph, self._manifests, task)
        memory = training_memory(
            facts,
            task.recipe,
            row_tokens=longest,
            scored_tokens=response,
            on_gpu=self._device == "gpu",
            num_workers=train.num_workers,
            parallel=train.parallel,
        )
        return memory, facts.estimated

    def _num_workers_left(self, task: TrainTask | SearchTask, train: TrainConfig) -> int:
        """Workers of all runs of this task's stage that are not finished."""
        left = [other for other in self._graph.of(task.key.stage) if not self._manifests[other.key]]
        if isinstance(task, SearchTask):
            return len(left) * len(task.search.shares)
        return len(left) * train.num_workers


def _one_worker(train: TrainConfig) -> TrainConfig:
    return train.model_copy(update={"num_workers": 1, "parallel": "ddp"})
