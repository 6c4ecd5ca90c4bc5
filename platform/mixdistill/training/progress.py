"""Hands logs and checkpoints out of the trainer, and stops a run whose loss is no longer a number."""

from __future__ import annotations

import copy
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import transformers
from transformers.integrations.integration_utils import TensorBoardCallback

from mixdistill.errors import DivergedError
from mixdistill.training.validation import losses_by_source

OnCheckpoint = Callable[[Path | None, dict[str, float]], None]
"""Gets the checkpoint's folder and {"step", "loss"}. Called on all workers, so it may be a barrier; when it returns, the folder
may be deleted. Workers but the first get None, unless each has a part of the checkpoint (DeepSpeed)."""

OnLog = Callable[[dict[str, float]], None]
"""Gets {"step", "num_steps", "loss", "learning_rate", "grad_norm", "elapsed_s"} after every step, on the first worker; where
there is validation, also the newest one: "validation_step" and a "validation/<source>" for each source."""

OnStep = Callable[[int, int, Any, Any], bool]
"""Gets step, num_steps, the model in training and its tokenizer after every step, before the step is logged; says whether a
checkpoint is to follow at once. It may end the run by raising SystemExit, as Ray Tune does."""


class Progress(transformers.TrainerCallback):
    """Hands logs and checkpoints out, and stops a run whose loss is no longer a number."""

    def __init__(
        self,
        on_checkpoint: OnCheckpoint | None,
        on_log: OnLog | None,
        on_step: OnStep | None = None,
        *,
        parts_on_all_workers: bool = False,
    ) -> None:
        """Take what is called; with `parts_on_all_workers`, no worker has the whole of a checkpoint."""
        self._on_checkpoint = on_checkpoint
        self._on_log = on_log
        self._on_step = on_step
        self._parts_on_all_workers = parts_on_all_workers
        self._validation: dict[str, float] = {}
        self._loss = math.nan
        self._earlier_s = 0.0  # of the attempts before a resume
        self._began = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._earlier_s = max((float(row["elapsed_s"]) for row in state.log_history if "elapsed_s" in row), default=0.0)
        for row in state.log_history:
            self._validation = _validation(row) or self._validation
        self._began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # The trainer also saves after the last step, just before the student itself is exported.
        if state.global_step >= state.max_steps:
            control.should_save = False
        if self._on_step and self._on_step(state.global_step, state.max_steps, kwargs["model"], kwargs["processing_class"]):
            control.should_save = True

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        logs = state.log_history[-1]  # kept in checkpoints
        self._validation = _validation(logs) or self._validation
        if "loss" not in logs:  # of a validation, or the summary at the end
            return
        logs["elapsed_s"] = round(self._earlier_s + time.monotonic() - self._began, 3)
        self._loss = logs["loss"]
        if not math.isfinite(logs["loss"]) or not math.isfinite(logs["grad_norm"]):
            raise DivergedError(
                f"training broke down at step {state.global_step} of {state.max_steps}: loss {logs['loss']}, gradient norm "
                f"{logs['grad_norm']}; expected finite numbers; lower learning_rate, raise warmup_ratio or use "
                "dtype: float32"
            )
        if self._on_log and state.is_world_process_zero:
            names = ("loss", "learning_rate", "grad_norm", "elapsed_s")
            row = {"step": state.global_step, "num_steps": state.max_steps} | {name: logs[name] for name in names}
            self._on_log(row | self._validation)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        has_part = state.is_world_process_zero or self._parts_on_all_workers
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}" if has_part else None
        if folder:
            (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle that a resume does not read
        if self._on_checkpoint:
            self._on_checkpoint(folder, {"step": state.global_step, "loss": self._loss})
        if folder and not state.is_world_process_zero:
            shutil.rmtree(folder)  # the trainer clears up after the first worker alone


def _validation(row: dict[str, float]) -> dict[str, float]:
    """The validation in a row of the trainer's log, by the names of `OnLog`; empty where there is none."""
    named = {f"validation/{source}": loss for source, loss in losses_by_source(row).items()}
    return {"validation_step": row["step"]} | named if named else {}


class TensorBoard(TensorBoardCallback):
    """Writes TensorBoard's files to `folder`: the whole curve, also after a resume in a new folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.logging_dir = str(folder)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # transformers would write its arguments here, which name this machine's folders.
        for row in state.log_history:
            earlier = copy.copy(state)
            earlier.global_step = row["step"]
            logs = {name: value for name, value in row.items() if name not in ("step", "elapsed_s")}
            self.on_log(args, earlier, control, logs=logs)  # type: ignore[no-untyped-call]
