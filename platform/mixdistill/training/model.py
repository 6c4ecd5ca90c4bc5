"""The model that is trained: loaded from its folder, with its adapter, attention and kernels.

- Full fine-tuning loads float32 weights, LoRA a frozen base in the recipe's dtype, QLoRA a frozen base in 4 bits as in Dettmers
  et al. 2023 (arXiv 2305.14314): NormalFloat4, double quantisation, bfloat16 arithmetic, norms and embeddings in float32.
- rsLoRA and DoRA are peft's own variants. vLLM 0.29 runs rsLoRA adapters and refuses DoRA ones (`PEFTHelper.__post_init__` and
  `_validate_features` in vllm/lora/peft_helper.py), which is why a DoRA student is used merged.

What a GPU or a package is needed for is checked by `check_model` before anything is loaded.
"""

from __future__ import annotations

from importlib import import_module, util
from typing import Any

import torch
import transformers
from transformers.utils.import_utils import (
    is_bitsandbytes_available,
    is_flash_attn_2_available,
    is_liger_kernel_available,
)

from mixdistill.errors import ConfigError, ModelError
from mixdistill.training.run import TrainingRun


def check_model(run: TrainingRun) -> None:
    """See to it that this worker has what the method, the attention and the kernels of `run` need.

    Raises:
        ConfigError: it has no GPU or lacks a package.
    """
    attention_of(run)
    uses_liger(run)
    if run.recipe.method == "qlora" and not (torch.cuda.is_available() and is_bitsandbytes_available()):
        raise ConfigError(
            f"{run.run_name}: method: qlora needs a GPU and the package bitsandbytes, and this worker has "
            f"{_lacks('bitsandbytes')}; install bitsandbytes and set train.gpus_per_worker, or use method: lora"
        )


def attention_of(run: TrainingRun) -> str:
    """The attention implementation that runs here, by transformers' name.

    Raises:
        ConfigError: the recipe asks for one that does not run here.
    """
    wanted = run.recipe.attention
    # FlashAttention has kernels for 16-bit numbers alone.
    there = torch.cuda.is_available() and is_flash_attn_2_available() and run.recipe.dtype == "bfloat16"
    if wanted == "auto":
        return "flash_attention_2" if there else "sdpa"
    if wanted == "flash_attention_2" and not there:
        raise ConfigError(
            f"{run.run_name}: attention: flash_attention_2 needs a GPU, the package flash_attn and dtype: bfloat16, and this "
            f"worker has {_lacks('flash_attn')} with dtype: {run.recipe.dtype}; mend that or set attention: auto"
        )
    return wanted


def uses_liger(run: TrainingRun) -> bool:
    """Whether liger's kernels run here.

    Raises:
        ConfigError: the recipe asks for them and they do not.
    """
    wanted = run.recipe.liger_kernel
    if wanted is False:
        return False
    there = torch.cuda.is_available() and is_liger_kernel_available()
    if wanted and not there:
        raise ConfigError(
            f"{run.run_name}: liger_kernel: true needs a GPU and the package liger-kernel, and this worker has "
            f"{_lacks('liger_kernel')}; install liger-kernel on a GPU worker, or leave liger_kernel out"
        )
    if not there:
        return False
    known = import_module("liger_kernel.transformers.monkey_patch").MODEL_TYPE_TO_APPLY_LIGER_FN
    # Liger leaves a model of another type as it is and says so in a log alone.
    model_type = transformers.AutoConfig.from_pretrained(run.model_path).model_type
    if wanted and model_type not in known:
        raise ConfigError(
            f"{run.run_name}: liger_kernel: true, and the installed liger-kernel has no kernels for models of type "
            f"{model_type!r} (it has for {', '.join(sorted(known))}); leave liger_kernel out"
        )
    return model_type in known


def _lacks(module: str) -> str:
    device = "a GPU" if torch.cuda.is_available() else "no GPU"
    return f"{device} and {'the package' if util.find_spec(module) else 'no package'} {module}"


def load_model(run: TrainingRun) -> Any:
    """The base model in the precision that the recipe's method needs."""
    recipe = run.recipe
    model = transformers.AutoModelForCausalLM.from_pretrained(
        run.model_path,
        dtype=torch.float32 if recipe.method == "full" else getattr(torch, recipe.dtype),
        attn_implementation=attention_of(run),
        quantization_config=_four_bits() if recipe.method == "qlora" else None,
        use_safetensors=True,
    )
    if recipe.method == "qlora":
        import peft

        # Checkpointing is the trainer's business, see `parallel_arguments`.
        model = peft.prepare_model_for_kbit_training(  # type: ignore[no-untyped-call]
            model, use_gradient_checkpointing=False
        )
    return model


def _four_bits() -> Any:
    return transformers.BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def let_stop(model: Any, tokenizer: Any, end_of_turn: int, run: TrainingRun) -> None:
    """See to it that engines stop at the token that the student learns to end with."""
    known = model.generation_config.eos_token_id
    stops = [known] if isinstance(known, int) else list(known or [])
    if end_of_turn in stops or end_of_turn == tokenizer.eos_token_id:
        return
    if run.recipe.method != "full":  # the adapter is run with the base model's generation config
        raise ModelError(
            f"{run.recipe.model} does not stop at {tokenizer.decode([end_of_turn])!r}, which ends a turn in its chat "
            "template; use its instruction-tuned sibling, or method: full"
        )
    model.generation_config.eos_token_id = [*stops, end_of_turn]


def lora_config(run: TrainingRun) -> Any:
    """peft's config of the adapter; None for full fine-tuning."""
    if run.recipe.method == "full":
        return None
    import peft

    lora = run.recipe.lora
    return peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules if isinstance(lora.target_modules, str) else list(lora.target_modules),
        use_rslora=lora.use_rslora,
        use_dora=lora.use_dora,
    )
