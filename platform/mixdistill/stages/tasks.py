"""What each stage is asked to do: one task an artifact, with everything that the stage works from.

Plain frozen dataclasses, free of Ray, so that the graph of an experiment is built (and a finished one recognised)
without loading it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mixdistill.artifacts import Artifact, ArtifactKey, Manifest, Store
from mixdistill.config import (
    EngineConfig,
    Experiment,
    Fractions,
    MixingConfig,
    ProblemsConfig,
    SamplingConfig,
    SearchConfig,
    SelectionConfig,
    StudentConfig,
    TeacherConfig,
    TrainConfig,
)
from mixdistill.stages.progress import Progress


@dataclass(frozen=True)
class StageContext:
    """What every stage has at hand."""

    store: Store
    progress: Progress

    def artifact(self, key: ArtifactKey) -> Artifact:
        """The artifact of a key."""
        return self.store.artifact(key)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One artifact to make."""

    key: ArtifactKey
    shaping: Mapping[str, Any]  # what shapes the rows, JSON-ready; goes into fingerprint and manifest
    inputs: Mapping[str, ArtifactKey]
    code_version: int

    def manifest(
        self,
        *,
        num_rows: int,
        seconds: float,
        num_rows_in: int | None = None,
        counts: Mapping[str, int] | None = None,
        figures: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """The manifest of the finished artifact."""
        return Manifest(
            stage=self.key.stage,
            name=self.key.name,
            fingerprint=self.key.fingerprint,
            config=dict(self.shaping),
            inputs={role: str(key) for role, key in self.inputs.items()},
            code_version=self.code_version,
            num_rows=num_rows,
            num_rows_in=num_rows_in,
            counts=dict(counts or {}),
            figures=dict(figures or {}),
            seconds=round(seconds, 3),
        )


@dataclass(frozen=True)
class EngineSpec:
    """Which engine a pool runs: everything that `create_engine` needs, picklable."""

    config: EngineConfig
    model: str
    revision: str | None = None
    adapters: Mapping[str, str] = field(default_factory=dict)  # LoRA adapters by name: model references or store folders


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter: its name in the engine, and the model reference or store folder where it stands."""

    name: str
    url: str


@dataclass(frozen=True, kw_only=True)
class EngineTask(Task):
    """One artifact whose rows an engine writes."""

    engine: EngineSpec  # without adapters: those of all tasks with an equal engine are joined
    adapter: Adapter | None = None  # asked instead of the model itself

    @property
    def adapter_name(self) -> str | None:
        """What requests name."""
        return self.adapter.name if self.adapter else None


def joint_engine(tasks: Sequence[EngineTask]) -> EngineSpec:
    """The engine of tasks that share one, with the adapters of all of them."""
    return dataclasses.replace(
        tasks[0].engine, adapters={task.adapter.name: task.adapter.url for task in tasks if task.adapter}
    )


@dataclass(frozen=True, kw_only=True)
class ProblemsTask(Task):
    """One problem set."""

    problems: ProblemsConfig
    held_out: Sequence[ArtifactKey] = ()  # problem sets that must not overlap with this one


@dataclass(frozen=True, kw_only=True)
class GenerateTask(EngineTask):
    """The traces of one teacher for one problem set."""

    teacher: str
    teacher_config: TeacherConfig
    prompt: str
    selection: SelectionConfig  # how an answer counts as right
    problems: ArtifactKey


@dataclass(frozen=True, kw_only=True)
class SelectTask(Task):
    """The selection among one teacher's traces."""

    selection: SelectionConfig
    problems: ArtifactKey
    traces: ArtifactKey
    benchmarks: Mapping[str, ArtifactKey]


@dataclass(frozen=True, kw_only=True)
class SearchTask(Task):
    """The search for the best share of a mix for one student."""

    student: str
    mix: str
    search: SearchConfig
    mixing: MixingConfig
    recipe: StudentConfig
    prompt: str
    seed: int
    train: TrainConfig
    sampling: SamplingConfig  # of the answers to the validation problems
    grading_timeout_s: float
    problems: ArtifactKey
    selected: Mapping[str, ArtifactKey]  # every source -> its selection


@dataclass(frozen=True, kw_only=True)
class MixTask(Task):
    """One mix."""

    mix: str
    fractions: Fractions | None  # None: those that `search` found
    mixes: Mapping[str, Fractions]  # all mixes of the experiment that are not searched, this one among them
    mixing: MixingConfig
    problems: ArtifactKey
    selected: Mapping[str, ArtifactKey]  # source -> its selection: of all mixes where they are drawn over the same problems
    search: ArtifactKey | None = None


@dataclass(frozen=True, kw_only=True)
class TrainTask(Task):
    """One student: a base model, a mix and a seed."""

    student: str
    mix: str
    seed: int
    recipe: StudentConfig
    prompt: str
    train: TrainConfig
    examples: ArtifactKey


@dataclass(frozen=True, kw_only=True)
class EvaluateTask(EngineTask):
    """The answers of one student (or untouched model) to one benchmark."""

    student: str  # the run's name, e.g. "smollm2-mix_long-seed0"
    base_model: str
    benchmark: str
    problems: ArtifactKey
    prompt: str
    sampling: SamplingConfig
    num_samples: int
    grading_timeout_s: float


@dataclass(frozen=True, kw_only=True)
class JudgeTask(EngineTask):
    """The judgements on the rejected answers of one evaluation."""

    predictions: ArtifactKey
    problems: ArtifactKey
    sampling: SamplingConfig


@dataclass(frozen=True)
class StudentAnswers:
    """Where the predictions of one student (mix "none": untouched) on one benchmark stand, and the judgements on them."""

    student: str
    base_model: str
    mix: str
    seed: int
    benchmark: str
    predictions: ArtifactKey
    judgements: ArtifactKey | None  # None: there is no judge


@dataclass(frozen=True, kw_only=True)
class ReportTask(Task):
    """The report of an experiment."""

    experiment: Experiment
    benchmarks: Mapping[str, ArtifactKey]
    traces: Mapping[str, ArtifactKey]  # by teacher
    selected: Mapping[str, ArtifactKey]  # by teacher
    searches: Sequence[SearchTask]
    mixes: Mapping[str, ArtifactKey]  # by mix, found ones by mix and student
    students: Sequence[TrainTask]
    answers: Sequence[StudentAnswers]
