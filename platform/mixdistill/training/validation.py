"""Loss on held-out traces of each source while a student learns: what it fails to learn, and from whom.

Taken before the first step and at evenly spaced steps, on all workers at once: each has its share of the rows and makes as
many forward passes as every other, since a sharded model needs them all in each. Neither the weights nor the random state
are touched, so the student is the same, bit by bit, as without it. Results stand in the trainer's log as
`eval_<source>_loss`, which trackers know, and travel in its checkpoints: a resumed run has the whole curve.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
import transformers

from mixdistill.training.loss import num_targets, row_losses
from mixdistill.training.plan import deal_passes
from mixdistill.training.tokens import TokenisedExample

_ENTRY: Final = re.compile(r"eval_(.+)_loss")
"""A source's loss in the trainer's log."""


def losses_by_source(row: Mapping[str, float]) -> dict[str, float]:
    """Source -> loss, of a row of the trainer's log; empty where the row is of no validation."""
    return {found[1]: loss for name, loss in row.items() if (found := _ENTRY.fullmatch(name))}


class Validation(transformers.TrainerCallback):
    """Takes the mean loss per target token of each source's held-out examples."""

    def __init__(
        self, trainer: Any, collator: Any, examples: Sequence[TokenisedExample], steps: Sequence[int], batch_size: int
    ) -> None:
        """Lay out the forward passes.

        Args:
            trainer: whose model is measured.
            collator: makes a batch of unpacked rows.
            examples: held out, of all sources.
            steps: after which the loss is taken; it always is before the first one.
            batch_size: rows of a forward pass.
        """
        self._trainer = trainer
        self._collator = collator
        self._examples = examples
        self._steps = frozenset(steps)
        self.sources = sorted({one.source for one in examples})
        lengths = [len(one.input_ids) for one in examples]
        workers = trainer.accelerator
        self._passes = deal_passes(lengths, batch_size, workers.num_processes, workers.process_index)

    def curves(self, log_history: list[dict[str, float]]) -> dict[str, list[tuple[int, float]]]:
        """Source -> (step, loss), out of the trainer's log."""
        measured = [(row, losses_by_source(row)) for row in log_history]
        return {
            source: [(int(row["step"]), float(losses[source])) for row, losses in measured if source in losses]
            for source in self.sources
        }

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 0:
            self._measure(args.device, control)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step in self._steps:
            self._measure(args.device, control)

    def _measure(self, device: Any, control: Any) -> None:
        model = self._trainer.model_wrapped
        was_training = model.training
        model.eval()
        totals = torch.zeros(len(self.sources), 2, dtype=torch.float64, device=device)  # loss, targets
        # No DataLoader: each draws a seed from the global random state.
        with torch.no_grad(), self._trainer.compute_loss_context_manager():
            for rows, counted in self._passes:
                examples = [self._examples[row] for row in rows]
                batch = self._collator([{"input_ids": one.input_ids, "labels": one.labels} for one in examples])
                batch = {name: value.to(device) for name, value in batch.items()}
                sums = torch.stack([row_losses(model, batch), num_targets(batch)], dim=1).double()
                if counted:
                    sources = [self.sources.index(one.source) for one in examples]
                    totals.index_add_(0, torch.tensor(sources, device=device), sums)
        totals = self._trainer.accelerator.reduce(totals)
        losses = {
            f"eval_{source}_loss": float(loss / count) for source, (loss, count) in zip(self.sources, totals, strict=True)
        }
        should_log = control.should_log
        self._trainer.log(losses)  # still in evaluation mode, which tells trl that these are no figures of a training step
        control.should_log = should_log  # logging takes it back, but the step's own loss is still to be logged
        model.train(was_training)
