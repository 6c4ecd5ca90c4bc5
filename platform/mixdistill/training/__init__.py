"""Supervised fine-tuning of a student on one mix: plan the steps, tokenise, train, export.

What stands here is light. The training itself, which loads torch, is `mixdistill.training.sft.train`; nothing in this
room knows Ray: who runs it hands in small callables for checkpoints and logs.
"""

from mixdistill.training.plan import (
    StepPlan,
    batch_order,
    checkpoint_interval,
    deal_passes,
    padding_share,
    plan_steps,
    validation_steps,
)
from mixdistill.training.run import TrainingResult, TrainingRun

__all__ = [
    "StepPlan",
    "TrainingResult",
    "TrainingRun",
    "batch_order",
    "checkpoint_interval",
    "deal_passes",
    "padding_share",
    "plan_steps",
    "validation_steps",
]
