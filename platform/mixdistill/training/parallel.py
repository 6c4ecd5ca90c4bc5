"""How the workers of one fine-tune share it: DDP, FSDP2 (through accelerate) or DeepSpeed ZeRO-3, and activation checkpointing.

| parallel | each worker holds | a checkpoint is | needs |
|---|---|---|---|
| ddp | the whole model | the first worker's folder | nothing |
| fsdp | a share of weights, gradients and optimiser states, by decoder layer | the first worker's folder: whole states | GPUs |
| deepspeed | the same, by ZeRO-3 | all workers' folders together | GPUs, the package deepspeed |

FSDP2 is refused without GPUs: accelerate 1.15 looks at its FSDP settings for GPU-like devices alone
(`AcceleratorState.__init__`), so on CPUs every worker would silently keep the whole model. (torch's FSDP2 itself runs on CPUs;
the tests use that.) DeepSpeed has never run in this repository's tests.
"""

from __future__ import annotations

from importlib import util
from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import MixedPrecisionPolicy

from mixdistill.errors import ConfigError, StageError
from mixdistill.training.model import check_model, uses_liger
from mixdistill.training.run import TrainingRun


def check_run(run: TrainingRun) -> None:
    """See to it that this worker can do what `run` asks for, before anything is loaded.

    Raises:
        ConfigError: it cannot.
    """
    check_model(run)
    if run.parallel == "ddp":
        return
    if run.num_workers < 2:
        raise ConfigError(
            f"{run.run_name}: parallel: {run.parallel} shares the model among workers, and train.num_workers is "
            f"{run.num_workers}; set it to 2 or more, or use parallel: ddp"
        )
    if run.recipe.method == "qlora":
        raise ConfigError(
            f"{run.run_name}: method: qlora keeps its 4-bit base whole on every worker and cannot be shared by parallel: "
            f"{run.parallel}; use parallel: ddp, or method: lora"
        )
    if not torch.cuda.is_available():
        raise ConfigError(
            f"{run.run_name}: parallel: {run.parallel} needs a GPU on every worker, and this one has none; "
            "set train.gpus_per_worker, or use parallel: ddp"
        )
    if run.parallel == "deepspeed" and util.find_spec("deepspeed") is None:
        raise ConfigError(
            f"{run.run_name}: parallel: deepspeed needs the package deepspeed, which is not installed; "
            "install it on the workers, or use parallel: fsdp"
        )


def parallel_arguments(run: TrainingRun) -> dict[str, Any]:
    """What `SFTConfig` is told about workers, activation checkpointing and kernels."""
    arguments: dict[str, Any] = {
        "gradient_checkpointing": run.recipe.gradient_checkpointing,
        "use_liger_kernel": uses_liger(run),
    }
    if run.parallel == "deepspeed":
        # trl chooses the kind of checkpointing that ZeRO-3 takes.
        return arguments | {"deepspeed": _zero3()}
    # transformers' own checkpointing, with FSDP2 as well: accelerate's would draw dropout anew when it computes activations
    # again (`preserve_rng_state=False` in `fsdp2_apply_ac`), and gradients would belong to another forward pass.
    arguments["gradient_checkpointing_kwargs"] = {"use_reentrant": False}
    if run.parallel == "ddp":
        return arguments | {"ddp_find_unused_parameters": False}
    return arguments | {
        "fsdp": True,
        "fsdp_config": {
            "version": 2,
            "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",  # by the model's own `_no_split_modules`: its decoder layers
            "reshard_after_forward": True,
            "state_dict_type": "FULL_STATE_DICT",  # checkpoints leave the first worker only
        },
    }


def _zero3() -> dict[str, Any]:
    """DeepSpeed's settings; transformers fills "auto" in from the trainer's."""
    return {
        "zero_optimization": {
            "stage": 3,
            "overlap_comm": True,
            "contiguous_gradients": True,
            "stage3_gather_16bit_weights_on_model_save": True,
        },
        "bf16": {"enabled": "auto"},
        "gradient_clipping": "auto",
        "gradient_accumulation_steps": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "train_batch_size": "auto",
    }


def adjust_trainer(trainer: Any, run: TrainingRun) -> None:
    """What cannot be said in `SFTConfig`; call it between making the trainer and training.

    Raises:
        StageError: the trainer would not share the model as `run` asks.
    """
    shares = {"fsdp": trainer.is_fsdp_enabled, "deepspeed": trainer.is_deepspeed_enabled}
    if not shares.get(run.parallel, True):
        raise StageError(
            f"{run.run_name}: asked for parallel: {run.parallel}, and accelerate has set up "
            f"{trainer.accelerator.distributed_type}; use parallel: ddp on this machine"
        )
    if run.recipe.method == "qlora":
        # trl rounds the adapters over a 4-bit base to bfloat16, where small steps are lost.
        for parameter in trainer.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    if run.parallel == "fsdp" and run.recipe.dtype == "bfloat16":
        # Gradients are summed over the workers in float32, as DDP does; accelerate would sum them in bfloat16.
        trainer.accelerator.state.fsdp_plugin.mixed_precision_policy = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16, reduce_dtype=torch.float32
        )


def whole_state(trainer: Any, run: TrainingRun) -> dict[str, Any] | None:
    """The trained weights of a model that workers share, on the first worker; None on the others. All workers must call it.

    Only what was trained: an adapter's weights without its base.
    """
    if run.parallel == "deepspeed":
        state = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    else:
        state = get_model_state_dict(trainer.model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if not trainer.is_world_process_zero():
        return None
    if run.recipe.method == "full":
        return dict(state)
    trained = {name for name, parameter in trainer.model.named_parameters() if parameter.requires_grad}
    return {name: tensor for name, tensor in state.items() if name in trained}
