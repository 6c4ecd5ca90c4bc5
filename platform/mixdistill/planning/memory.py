"""What one training worker needs of memory, part by part, in bytes. Arithmetic on a model's shape; no torch.

- Weights, gradients and AdamW's moments: float32, 16 bytes a trained parameter (Rajbhandari et al. 2020, ZeRO, arXiv
  1910.02054, section 3.1, with float32 gradients), and 2 more for the bfloat16 copies that autocast keeps for the backward
  pass. A LoRA base is bfloat16 and frozen. QLoRA's matrices are 4 bits with one float32 constant for 64 of them, itself
  quantised to 0.127 bits a parameter (Dettmers et al. 2023, arXiv 2305.14314, section 3); peft makes embeddings, head and
  norms float32.
- Activations: Korthikanti et al. 2022 (arXiv 2205.05198, section 4.1) count what each operation keeps for the backward pass,
  34 sbh + 5 as^2 b bytes a layer for a GPT. `_layer_bytes` counts the same way for grouped-query attention that keeps
  no score matrix (Dao et al. 2022, arXiv 2205.14135), SwiGLU and RMSNorm as transformers has them. With full recomputation a
  layer keeps its input alone (section 5), and one layer at a time is whole.
- Sharded (FSDP2, ZeRO-3): the first line is divided by the workers, and one layer is gathered whole.

Against real fine-tunes of SmolLM2-135M on a CPU, without the margin (predicted, measured, in GiB): full at 256 tokens 2.68,
2.79; full at 2,048 tokens 5.64, 5.60; LoRA at 256 tokens 0.68, 0.82; LoRA at 2,048 tokens 3.41, 3.92
(`tests/e2e/test_calibration.py` says how). On GPUs nothing has been compared yet.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Final, Literal

from mixdistill.config import LoraSettings, StudentConfig
from mixdistill.planning.shape import ModelFacts, ModelShape

GIB: Final = 1024**3

_QUANTISED_BYTES: Final = 0.5 + 0.127 / 8
_HEAD_TILE: Final = (4096, 32_768)  # tokens and words that trl scores at once on a GPU (trl 1.16, kernels/chunked_logprob.py)
_ADAM_BYTES: Final = 8  # two float32 moments
# On a CPU, Python with torch, transformers and trl takes 0.53 GiB (measured), and Ray some more; on a GPU the context, kernels
# and cuBLAS' workspaces are taken to be as much (not measured).
_PROCESS_BYTES: Final = 0.75 * GIB
_FRAGMENTATION: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of one worker, by what they are for."""

    weights: float
    adapter: float = 0.0
    gradients: float = 0.0
    optimizer: float = 0.0
    activations: float = 0.0
    logits: float = 0.0
    margin: float = 0.0  # the process itself, its libraries' workspaces, fragmentation

    @property
    def total(self) -> float:
        """All of it."""
        return math.fsum(dataclasses.asdict(self).values())

    def gib(self) -> dict[str, float]:
        """The parts in GiB."""
        return {part: round(size / GIB, 3) for part, size in dataclasses.asdict(self).items()}

    def words(self) -> str:
        """The parts that are not zero, as `weights 1.2, gradients 0.8`, in GiB."""
        return ", ".join(f"{part} {size / GIB:.1f}" for part, size in dataclasses.asdict(self).items() if size)


def training_memory(
    facts: ModelFacts,
    recipe: StudentConfig,
    *,
    row_tokens: int,
    scored_tokens: int | None = None,
    on_gpu: bool = False,
    num_workers: int = 1,
    parallel: Literal["ddp", "fsdp", "deepspeed"] = "ddp",
) -> Memory:
    """What one worker needs at the peak of a step.

    Args:
        facts: the base model.
        recipe: method, precision, batch.
        row_tokens: of the longest row.
        scored_tokens: of them, those with a loss; None: all.
        on_gpu: whether it trains on a GPU, where the head never scores all tokens at once.
        num_workers: data-parallel workers of the run.
        parallel: whether each worker holds all or its share.
    """
    shape = facts.shape
    sharded = parallel != "ddp" and num_workers > 1
    share = 1 / num_workers if sharded else 1.0
    adapter = adapter_parameters(shape, recipe.lora) if recipe.method != "full" else 0
    trained = adapter or facts.num_parameters
    weights = _weight_bytes(facts, recipe)
    gathered = 2 * weights * shape.layer_parameters / facts.num_parameters if sharded else 0.0  # this layer and the next
    # DDP reduces gradients in buckets of their own (torch.nn.parallel.DistributedDataParallel, gradient_as_bucket_view).
    gradient_bytes = 8 if parallel == "ddp" and num_workers > 1 else 4
    tokens = recipe.per_device_batch_size * row_tokens
    needed = Memory(
        weights=weights * share + gathered,
        adapter=4 * adapter * share,
        gradients=gradient_bytes * trained * share,
        optimizer=_ADAM_BYTES * trained * share,
        activations=tokens * _activation_bytes(shape, recipe, row_tokens),
        logits=_logit_bytes(shape, recipe.per_device_batch_size * (scored_tokens or row_tokens), on_gpu=on_gpu),
    )
    return dataclasses.replace(needed, margin=_PROCESS_BYTES + _FRAGMENTATION * needed.total)


def adapter_parameters(shape: ModelShape, lora: LoraSettings) -> int:
    """Trained parameters of a LoRA adapter: r x (inputs + outputs) of each matrix that peft's rules for the targets match."""
    modules = {f"model.layers.{layer}.{name}": size for layer in range(shape.layers) for name, size in shape.linears.items()}
    if lora.target_modules != "all-linear":
        modules["lm_head"] = (shape.hidden, shape.vocab)
    magnitudes = 1 if lora.use_dora else 0  # one number an output (Liu et al. 2024)
    return sum(
        lora.r * (inputs + outputs) + magnitudes * outputs
        for name, (inputs, outputs) in modules.items()
        if _is_target(name, lora.target_modules)
    )


def _is_target(module: str, targets: str | tuple[str, ...]) -> bool:
    if isinstance(targets, str):
        return targets == "all-linear" or re.fullmatch(targets, module) is not None
    return any(module == target or module.endswith(f".{target}") for target in targets)


def _weight_bytes(facts: ModelFacts, recipe: StudentConfig) -> float:
    """The base model's weights on one worker that holds all of them."""
    match recipe.method:
        case "full":
            return facts.num_parameters * (6 if recipe.dtype == "bfloat16" else 4)
        case "lora":
            return facts.num_parameters * (2 if recipe.dtype == "bfloat16" else 4)
        case "qlora":
            embeddings = facts.shape.embedding_parameters
            return 4 * embeddings + _QUANTISED_BYTES * max(0, facts.num_parameters - embeddings)


def _activation_bytes(shape: ModelShape, recipe: StudentConfig, row_tokens: int) -> float:
    """Bytes a token that all layers keep for the backward pass."""
    layer = _layer_bytes(shape, recipe)
    if recipe.attention == "eager":
        # Softmax in float32, its result in the precision of the product, for each key: Korthikanti's 5as^2 without dropout.
        layer += (4 + _compute_bytes(recipe)) * shape.heads * row_tokens
    if recipe.gradient_checkpointing:
        return shape.layers * _stream_bytes(recipe) * shape.hidden + layer
    return shape.layers * layer


def _layer_bytes(shape: ModelShape, recipe: StudentConfig) -> float:
    """Bytes a token that one layer keeps for the backward pass, without a score matrix."""
    width = _compute_bytes(recipe)
    targets = "all-linear" if recipe.method == "full" else recipe.lora.target_modules
    trained = [size for name, size in shape.linears.items() if _is_target(f"model.layers.0.{name}", targets)]
    # Each trained matrix keeps its input, a bfloat16 copy of its own under autocast; a frozen one keeps nothing.
    inputs = sum(num_inputs for num_inputs, _ in trained)
    attention = 4 * shape.query_width  # queries, the result, keys and values (repeated for each query head)
    mlp = 3 * shape.intermediate  # gate, its SiLU, up
    # RMSNorm computes in float32: it keeps its input, and where its weight is trained the normalised one.
    norms = 2 * 4 * shape.hidden * (2 if recipe.method == "full" else 1)
    if recipe.method != "full" and recipe.lora.use_dora:  # results of base and adapter, which the magnitudes weigh
        inputs += 2 * sum(num_outputs for _, num_outputs in trained)
    return width * (inputs + attention + mlp) + norms


def _compute_bytes(recipe: StudentConfig) -> int:
    """Of a number in a matrix product."""
    return 2 if recipe.dtype == "bfloat16" else 4


def _stream_bytes(recipe: StudentConfig) -> int:
    """Of a number between layers: float32 where the embeddings are, for autocast leaves sums alone."""
    return 4 if recipe.method == "full" else _compute_bytes(recipe)


def _logit_bytes(shape: ModelShape, tokens: int, *, on_gpu: bool) -> float:
    """Bytes of the loss of so many scored tokens: float32 logits, their log-softmax, and the gradients of both."""
    if not on_gpu:
        return 16.0 * shape.vocab * tokens
    # A float32 tile and its bfloat16 copy; of all tokens only the gradient of the head's input, float32 and bfloat16.
    tile = min(tokens, _HEAD_TILE[0]) * min(shape.vocab, _HEAD_TILE[1])
    return 6.0 * (tile + shape.hidden * tokens)
