"""Trains one student with trl's SFTTrainer, full or LoRA, on one worker or several (data parallel).

In: a `TrainingRun` and the examples of its mix. Out: an exported student and a `TrainingResult`. Under a distributed
launcher (Ray Train, torchrun) every worker calls `train`; world size and rank are read from the process group.

- bfloat16 is mixed precision: full fine-tuning keeps float32 weights and optimiser states, because a step of 1e-5 is below
  the spacing of bfloat16 numbers near a typical weight of 0.02 (6e-5 to 1.2e-4) and would be rounded away. LoRA keeps
  a frozen bfloat16 base and float32 adapters.
- With packing, each example stands in a row with others and sees none of them: see `packing`. A batch then counts rows.
- A checkpoint is scratch for resuming and never leaves as part of a student: its optimiser and random states are torch
  files (pickles), which are read with `weights_only=True`.
- One worker that is resumed ends with the same weights, bit by bit, as one that was not interrupted. With several
  workers only the first one's random state is kept, which matters for LoRA dropout alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from mixdistill.errors import StageError
from mixdistill.records import Example
from mixdistill.training.export import export_student
from mixdistill.training.loss import row_losses
from mixdistill.training.model import attention_of, let_stop, load_model, lora_config, uses_liger
from mixdistill.training.packing import PackingCheck, pack, packed_collator
from mixdistill.training.parallel import adjust_trainer, check_run, parallel_arguments
from mixdistill.training.plan import StepPlan, batch_order, checkpoint_interval, padding_share, plan_steps, validation_steps
from mixdistill.training.progress import OnCheckpoint, OnLog, OnStep, Progress, TensorBoard
from mixdistill.training.run import TrainingResult, TrainingRun
from mixdistill.training.tokens import IGNORED, PreparedExamples, TokenisedExample, prepare_examples, tokenise_examples
from mixdistill.training.validation import Validation


def train(
    run: TrainingRun,
    examples: Iterable[Example],
    *,
    validation: Iterable[Example] = (),
    resume_from: Path | None = None,
    on_checkpoint: OnCheckpoint | None = None,
    on_log: OnLog | None = None,
    on_step: OnStep | None = None,
) -> TrainingResult:
    """Fine-tune the student of `run` on `examples`.

    Args:
        run: recipe, base model, seed, scratch folder.
        examples: the mix, in the same order on every worker and every attempt.
        validation: held-out traces of each source (`Example.teacher`), in the same order on every worker.
        resume_from: a checkpoint folder that `on_checkpoint` got in an earlier attempt.
        on_checkpoint: see `OnCheckpoint`.
        on_log: see `OnLog`.
        on_step: see `OnStep`.

    Raises:
        ConfigError: the batch cannot be split evenly, the worker lacks what the recipe needs, or the model does not keep
            packed examples apart.
        ModelError: the model has no usable chat template.
        DataError: no example is left.
        DivergedError: the loss is no longer a number.
        StageError: the number of workers is not the promised one.
    """
    _quiet_libraries()
    check_run(run)
    tokenizer = transformers.AutoTokenizer.from_pretrained(run.model_path)
    prepared = prepare_examples(examples, tokenizer, run.recipe, run.prompt)
    rows = _rows(prepared, run)
    lengths = [len(ids) for ids in rows["input_ids"]]
    plan = plan_steps(len(rows), run.recipe, run.num_workers)
    order = batch_order(plan, lengths, run.seed, run.recipe.order)

    transformers.set_seed(run.seed)
    model = load_model(run)
    let_stop(model, tokenizer, prepared.end_of_turn, run)
    progress = Progress(on_checkpoint, on_log, on_step, parts_on_all_workers=run.parallel == "deepspeed")
    trainer = _Trainer(
        model=model,
        args=_trainer_arguments(run, plan),
        train_dataset=rows,
        processing_class=tokenizer,
        peft_config=lora_config(run),
        callbacks=[progress, *_tensorboard(run)],
        row_order=order,
    )
    trainer.remove_callback(transformers.PrinterCallback)  # prints every log to stdout
    if trainer.args.world_size != run.num_workers:
        raise StageError(
            f"{run.run_name}: expected {run.num_workers} workers, got a process group of {trainer.args.world_size}; "
            "start one process per worker"
        )
    adjust_trainer(trainer, run)
    padded = trainer.data_collator
    if run.recipe.packing:
        trainer.data_collator = packed_collator(tokenizer.pad_token_id, attention_of(run))
        trainer.add_callback(PackingCheck(trainer, run, rows[0]["input_ids"]))
    watched = validation if run.validations_per_run else ()
    held_out = tokenise_examples(watched, tokenizer, run.recipe, run.prompt).kept
    validated = _validate_on(held_out, trainer, padded, plan, run) if held_out else None
    trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)

    exported = export_student(trainer, tokenizer, run)
    num_targets = [sum(label != IGNORED for label in labels) for labels in rows["labels"]]
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    curve = [(int(entry["step"]), float(entry["loss"])) for entry in history]
    tail = [loss for _, loss in curve[-max(1, len(curve) // 10) :]]
    return TrainingResult(
        num_examples=len(prepared.kept),
        dropped=prepared.dropped,
        num_cut=prepared.num_cut,
        num_rows=len(rows),
        padding_share=_padding_share(order, lengths, run),
        num_steps=plan.num_steps,
        num_target_tokens=sum(num_targets[row] for row in order),
        num_input_tokens=sum(lengths[row] for row in order),
        seconds=float(history[-1]["elapsed_s"]),
        loss_curve=curve,
        final_loss=math.fsum(tail) / len(tail),
        validation=validated.curves(trainer.state.log_history) if validated else {},
        attention=attention_of(run),
        liger_kernel=uses_liger(run),
        student_dir=exported.student_dir,
        merged_dir=exported.merged_dir,
        files=list(exported.files),
    )


def _quiet_libraries() -> None:
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    datasets.disable_progress_bars()


def _rows(prepared: PreparedExamples, run: TrainingRun) -> Any:
    """A `datasets.Dataset` with `input_ids` and `labels` (and `seq_lengths` when packed)."""
    rows = datasets.Dataset.from_dict(
        {"input_ids": [one.input_ids for one in prepared.kept], "labels": [one.labels for one in prepared.kept]}
    )
    return pack(rows, run.recipe.max_seq_length) if run.recipe.packing else rows


def _validate_on(held_out: list[TokenisedExample], trainer: Any, collator: Any, plan: StepPlan, run: TrainingRun) -> Validation:
    """The callback that measures; held-out examples are padded and not packed, which changes no loss and needs no proof."""
    steps = validation_steps(plan.num_steps, run.validations_per_run)
    validation = Validation(trainer, collator, held_out, steps, plan.per_device_batch_size)
    trainer.add_callback(validation)
    return validation


def _padding_share(order: list[int], lengths: list[int], run: TrainingRun) -> float:
    if run.recipe.packing and attention_of(run) == "flash_attention_2":
        return 0.0  # its rows stand in one line
    return padding_share(order, lengths, run.recipe.per_device_batch_size)


def _tensorboard(run: TrainingRun) -> list[TensorBoard]:
    return [TensorBoard(Path(run.output_dir) / "logs")] if "tensorboard" in run.report_to else []


def _trainer_arguments(run: TrainingRun, plan: StepPlan) -> Any:
    recipe = run.recipe
    on_cpu = not torch.cuda.is_available()
    return SFTConfig(
        output_dir=run.output_dir,
        # One "epoch" is the whole run: `_Trainer` feeds all steps from the plan's own order.
        num_train_epochs=1,
        per_device_train_batch_size=plan.per_device_batch_size,
        gradient_accumulation_steps=plan.accumulation_steps,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.lr_scheduler,
        warmup_steps=plan.num_warmup_steps,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        optim="adamw_torch_fused",
        bf16=recipe.dtype == "bfloat16",
        seed=run.seed,
        max_length=recipe.max_seq_length,
        dataset_kwargs={"skip_prepare_dataset": True},
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        logging_steps=1,
        logging_nan_inf_filter=False,  # else a loss that is not a number is replaced by an average
        save_strategy="steps",
        save_steps=checkpoint_interval(plan.num_steps, run.checkpoints_per_run),
        save_total_limit=1,
        report_to=[tracker for tracker in run.report_to if tracker != "tensorboard"],  # which `TensorBoard` writes for
        disable_tqdm=True,
        **parallel_arguments(run),
    )


class _RowOrder(torch.utils.data.Sampler[int]):
    """Feeds the plan's order; accelerate deals its forward passes out to the workers in turn."""

    def __init__(self, order: list[int]) -> None:
        self._order = order

    def __iter__(self) -> Iterator[int]:
        return iter(self._order)

    def __len__(self) -> int:
        return len(self._order)


class _Trainer(SFTTrainer):
    """SFTTrainer with the plan's order of rows, and a leaner loss on a CPU."""

    def __init__(self, *args: Any, row_order: list[int], **kwargs: Any) -> None:
        self._row_order = row_order
        super().__init__(*args, **kwargs)

    def _get_train_sampler(self, train_dataset: Any = None) -> _RowOrder:
        return _RowOrder(self._row_order)

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """Mean negative log-likelihood per target token of the whole batch; see `row_losses` for what it spares a CPU."""
        if self.args.device.type != "cpu" or self.aux_loss_enabled:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # type: ignore[no-untyped-call]
        assert not return_outputs  # only transformers' own evaluation, which never runs, asks for them
        # num_items_in_batch counts the targets of all workers, and DDP averages gradients over them.
        return row_losses(model, inputs).sum() / num_items_in_batch * self.accelerator.num_processes

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """No card in checkpoints."""
