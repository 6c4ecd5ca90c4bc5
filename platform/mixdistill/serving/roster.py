"""Which models a service offers, and which engine answers for each. Pure: names and references in, a plan out.

LoRA students share the engine of their base model, which also answers as the untouched base. A full fine-tune has an
engine of its own. Weights are fetched where the engine starts, not here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mixdistill.config import Experiment
from mixdistill.config.base import nearest
from mixdistill.errors import ConfigError, StageError

if TYPE_CHECKING:
    from mixdistill.pipeline import TrainedStudent


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One name that a client can address."""

    name: str
    engine: str  # key of the `EngineGroup` that answers
    adapter: str | None  # the LoRA adapter on that engine; None is the engine's own weights
    base_model: str  # reference of the model it was trained from (its own for the untouched base)
    untouched: bool


@dataclass(frozen=True, slots=True)
class EngineGroup:
    """One engine: either a base model with the adapters on it, or the final weights of one full fine-tune."""

    name: str
    model: str  # model reference of the base, or folder URL of a full fine-tune's weights
    revision: str | None
    is_store_url: bool  # `model` is a folder URL in the artifact store
    adapters: dict[str, str] = field(default_factory=dict)  # LoRA student -> folder URL in the artifact store


@dataclass(frozen=True, slots=True)
class Roster:
    """All models and all engines of one service."""

    models: tuple[ServedModel, ...]
    engines: tuple[EngineGroup, ...]


def build_roster(experiment: Experiment, students: Sequence[TrainedStudent], only: Collection[str] | None = None) -> Roster:
    """Plan a service.

    Args:
        experiment: its `students` section names the untouched bases: the key there is the name a client addresses.
        students: the finished students, from `pipeline.trained_students`.
        only: serve these names and nothing else; None serves all.

    Raises:
        StageError: nothing is trained yet.
        ConfigError: `only` holds a name that is not there, or two models have the same name.
    """
    if not students:
        raise StageError(
            f"the experiment {experiment.name!r} has no trained student in {experiment.store}, so there is nothing to serve; "
            "train first with `mixdistill run CONFIG`"
        )
    available = [*experiment.students, *(student.name for student in students)]
    for name in available:
        if available.count(name) > 1:
            raise ConfigError(f"two served models would have the name {name!r}; rename it in the students section")
    for name in only or ():
        if name not in available:
            raise ConfigError(
                f"there is no model {name!r} to serve{nearest(name, available)}; the models are: {', '.join(available)}"
            )
    wanted = set(available if only is None else only)

    engines: dict[str, EngineGroup] = {}
    models: list[ServedModel] = []
    # The first name of a base names its engine; a second student config on the same base shares it.
    base_engine: dict[tuple[str, str | None], str] = {}
    for name, config in experiment.students.items():
        base_engine.setdefault((config.model, config.revision), name)

    def share_base_engine(model: str, revision: str | None, fallback_name: str) -> EngineGroup:
        name = base_engine.setdefault((model, revision), fallback_name)
        return engines.setdefault(name, EngineGroup(name, model, revision, is_store_url=False))

    for name, config in experiment.students.items():
        if name in wanted:
            group = share_base_engine(config.model, config.revision, name)
            models.append(ServedModel(name, group.name, None, config.model, untouched=True))
    for student in students:
        if student.name not in wanted:
            continue
        if student.is_adapter:
            group = share_base_engine(student.base_model, student.revision, student.name)
            group.adapters[student.name] = student.url
            models.append(ServedModel(student.name, group.name, student.name, student.base_model, untouched=False))
        else:
            engines[student.name] = EngineGroup(student.name, student.url, None, is_store_url=True)
            models.append(ServedModel(student.name, student.name, None, student.base_model, untouched=False))
    return Roster(tuple(models), tuple(engines.values()))
