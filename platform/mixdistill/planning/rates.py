"""Tokens a second: measured where something has run, else arithmetic divided by a sustained speed.

2 FLOPs a parameter for a generated token, 6 for a trained one (Kaplan et al. 2020, arXiv 2001.08361, section 2.1). The speeds
are rough, so a time that follows from them is good to a factor of a few.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from mixdistill.artifacts import ArtifactKey, Manifest
from mixdistill.config import EngineConfig, StudentConfig, VllmEngineConfig
from mixdistill.pipeline import Graph
from mixdistill.stages.tasks import GenerateTask, TrainTask

Device = Literal["cpu", "gpu"]

# Sustained FLOP/s. CPU: SmolLM2-135M on two AVX512 cores decodes about 250 and trains about 290 tokens/s. GPU: 10 % of an
# A100's 312 dense bf16 TFLOP/s (NVIDIA's data sheet) when decoding in large batches, 40 % when training.
_DECODE_FLOPS: Final[Mapping[Device, float]] = {"cpu": 0.07e12, "gpu": 31e12}
_TRAIN_FLOPS: Final[Mapping[Device, float]] = {"cpu": 0.23e12, "gpu": 125e12}

# Recipe fields that change neither the arithmetic of a token nor its memory.
_NOT_SPEED: Final = frozenset(
    [
        "learning_rate",
        "num_epochs",
        "num_steps",
        "order",
        "lr_scheduler",
        "warmup_ratio",
        "weight_decay",
        "max_grad_norm",
        "merge",
    ]
)


@dataclass(frozen=True)
class Rates:
    """Measured tokens a second: of one training worker by `training_key`, of one engine by `engine_key`."""

    training: Mapping[str, float] = field(default_factory=dict)
    decoding: Mapping[str, float] = field(default_factory=dict)


def training_key(recipe: StudentConfig) -> str:
    """The same for recipes that train equally fast."""
    return recipe.model_dump_json(exclude=set(_NOT_SPEED))


def engine_key(model: str, revision: str | None, engine: EngineConfig) -> str:
    """The same for what one engine serves."""
    return json.dumps([model, revision, engine.model_dump(mode="json")])


def finished_rates(graph: Graph, manifests: Mapping[ArtifactKey, Manifest | None]) -> Rates:
    """What finished teachers and students took, by their manifests.

    A teacher that was interrupted tells the seconds of its last run alone, so its engine's rate is not known.
    """
    training: dict[str, float] = {}
    tokens: dict[str, int] = defaultdict(int)
    seconds: dict[str, set[float]] = defaultdict(set)  # teachers that shared an engine share its time
    interrupted = set()
    for task in graph.tasks:
        manifest = manifests[task.key]
        if manifest is None:
            continue
        figures = manifest.figures
        match task:
            case TrainTask() if figures.get("num_input_tokens") and manifest.seconds:
                rate = figures["num_input_tokens"] / manifest.seconds / task.train.num_workers
                training[training_key(task.recipe)] = rate
            case GenerateTask() if figures.get("num_tokens") and manifest.seconds:
                key = engine_key(task.engine.model, task.engine.revision, task.engine.config)
                tokens[key] += figures["num_tokens"]
                seconds[key].add(manifest.seconds)
                if any(figures.get("resume", {}).values()):
                    interrupted.add(key)
            case _:
                pass
    return Rates(training, {key: tokens[key] / sum(seconds[key]) for key in tokens.keys() - interrupted})


def training_rate(size: int | None, device: Device) -> float | None:
    """Rough tokens a second of one worker."""
    return None if size is None else _TRAIN_FLOPS[device] / (6 * size)


def decoding_rate(size: int | None, engine: EngineConfig, device: Device) -> float | None:
    """Rough tokens a second of one engine; None: it runs elsewhere."""
    if size is None or not isinstance(engine, VllmEngineConfig):
        return None
    return _DECODE_FLOPS[device] * engine.num_devices / (2 * size)
