"""Writes a finished student: safetensors, config, tokenizer and chat template, and no pickle.

- `student/`: LoRA gives `adapter_model.safetensors` (float32, as trained) and `adapter_config.json`, which names the base model
  by its reference and never by this machine's folder. Full fine-tuning gives an ordinary model folder in the recipe's dtype.
- `merged/`, where the recipe wants it and for DoRA always: the base with the adapter added in, an ordinary model folder in the
  recipe's dtype. The sum is made in float32 and rounded once. QLoRA's adapter is added to the base as it was before it was
  rounded to 4 bits, so its merged student differs from the one that was trained by that rounding.

All load into transformers, peft and vLLM (which takes no DoRA adapter, see `model`). Cards are left to the report.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from mixdistill.errors import StageError
from mixdistill.training.model import load_model, lora_config
from mixdistill.training.parallel import whole_state
from mixdistill.training.run import TrainingRun


@dataclass(frozen=True, slots=True)
class Exported:
    """What `export_student` wrote; nothing on every worker but the first."""

    student_dir: Path | None = None
    merged_dir: Path | None = None
    files: tuple[str, ...] = ()  # in student_dir


def export_student(trainer: Any, tokenizer: Any, run: TrainingRun) -> Exported:
    """Write the student below `run.output_dir`. All workers must call it; the trainer must not train on.

    Args:
        trainer: has trained.
        tokenizer: the base model's.
        run: names the base, the dtype and the folder.

    Raises:
        StageError: the weights that the workers shared do not make up the whole model.
    """
    model = _whole_model(trainer, run)
    if model is None:
        return Exported()
    student_dir = Path(run.output_dir) / "student"
    merged_dir = None
    if run.recipe.method == "full":
        _write_model(model, tokenizer, run, student_dir)
    else:
        _write_adapter(model, tokenizer, run, student_dir)
        if run.recipe.is_merged:
            merged_dir = Path(run.output_dir) / "merged"
            _write_model(_merge(student_dir, run), tokenizer, run, merged_dir)
    return Exported(student_dir, merged_dir, tuple(sorted(path.name for path in student_dir.iterdir())))


def _whole_model(trainer: Any, run: TrainingRun) -> Any:
    """The trained model as an ordinary one, on the first worker; None on the others."""
    if run.parallel == "ddp":
        return trainer.model if trainer.is_world_process_zero() else None
    state = whole_state(trainer, run)
    if state is None:
        return None
    model = load_model(run)
    model.generation_config = trainer.model.generation_config  # see `let_stop`
    expected = set(model.state_dict())
    if run.recipe.method != "full":
        import peft

        model = peft.get_peft_model(model, lora_config(run))
        expected = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    if state.keys() != expected:
        raise StageError(
            f"{run.run_name}: the workers' shares make up {len(state)} tensors, expected {len(expected)}; they differ in "
            f"{sorted(state.keys() ^ expected)[:3]}; use parallel: ddp"
        )
    model.load_state_dict(state, strict=False)
    return model


def _merge(student_dir: Path, run: TrainingRun) -> Any:
    import peft

    base = transformers.AutoModelForCausalLM.from_pretrained(run.model_path, dtype=torch.float32, use_safetensors=True)
    return peft.PeftModel.from_pretrained(base, student_dir).merge_and_unload()


def _write_model(model: Any, tokenizer: Any, run: TrainingRun, folder: Path) -> None:
    folder.mkdir(parents=True)
    model.to(getattr(torch, run.recipe.dtype)).save_pretrained(folder)
    _write_rest(tokenizer, folder)


def _write_adapter(model: Any, tokenizer: Any, run: TrainingRun, folder: Path) -> None:
    folder.mkdir(parents=True)
    settings = model.peft_config["default"]
    settings.base_model_name_or_path = run.recipe.model
    settings.revision = run.recipe.revision
    # "auto" would ask the hub whether the vocabulary grew; nothing here makes it grow.
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty card
    _sort_target_modules(folder / "adapter_config.json")
    _write_rest(tokenizer, folder)


def _write_rest(tokenizer: Any, folder: Path) -> None:
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors makes its files readable by their owner only


def _sort_target_modules(config_file: Path) -> None:
    """peft keeps the module names in a set and writes them in an order that differs from process to process."""
    settings = json.loads(config_file.read_text())
    if isinstance(settings["target_modules"], list):
        settings["target_modules"].sort()
    config_file.write_text(json.dumps(settings, indent=2, sort_keys=True))
