"""What one fine-tune needs, and what it gives back. Both pickle, and neither needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mixdistill.config import StudentConfig


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """One student on one mix with one seed. The examples travel beside it."""

    run_name: str
    model_path: str  # local folder with the base model, on the machine that trains
    recipe: StudentConfig
    prompt: str  # name or template, as the student is asked later
    seed: int
    output_dir: str  # local scratch: checkpoints, then `student/`
    num_workers: int = 1
    parallel: Literal["ddp", "fsdp", "deepspeed"] = "ddp"
    checkpoints_per_run: int = 4
    validations_per_run: int = 0  # beside the one before the first step; 0: none at all
    report_to: tuple[str, ...] = ()  # transformers' names of trackers; TensorBoard writes to output_dir/logs


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What was trained. Counts cover the whole run, also the part before a resume."""

    num_examples: int  # that taught, after dropping
    dropped: dict[str, int]  # reason -> examples
    num_cut: int  # of the examples that taught, those that lost the end of their response
    num_rows: int  # examples, or packed rows
    padding_share: float  # of the tokens that went through the model, over all steps
    num_steps: int
    num_target_tokens: int  # tokens with a loss, over all steps
    num_input_tokens: int  # prompt and response tokens, over all steps, without padding
    seconds: float  # in the training loop with its validations, over all attempts up to their last kept step
    loss_curve: list[tuple[int, float]]  # (step, mean loss per target token of that step's batch)
    final_loss: float  # mean over the last tenth of the steps
    validation: dict[str, list[tuple[int, float]]]  # source -> (step, mean loss per target token of its held-out traces)
    attention: str  # the implementation that ran, such as "sdpa"
    liger_kernel: bool  # whether liger's kernels ran
    student_dir: Path | None  # the exported student; None on every worker but the first
    merged_dir: Path | None  # the adapter merged into its base, where the recipe wants it
    files: list[str]  # in student_dir
