"""The shape of a model: what its memory and its arithmetic follow from, found without a network and without torch.

Known from the `config.json` of a folder, of a bundled model or of the hub's cache; else from the published shapes below, by the
model's name; else estimated from the size in its name, with the nearest of these shapes, and marked as an estimate.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from mixdistill.models import BUNDLED
from mixdistill.models.bundled import bundled_folder


@dataclass(frozen=True)
class ModelShape:
    """A decoder of the Llama kind: grouped-query attention, SwiGLU, RMSNorm (Llama, Qwen, SmolLM, Mistral)."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocab: int
    tied: bool  # one matrix for embeddings and head
    head_size: int = 0  # 0: hidden / heads
    qkv_bias: bool = False

    @property
    def query_width(self) -> int:
        """Width of all query heads."""
        return self.heads * (self.head_size or self.hidden // self.heads)

    @property
    def kv_width(self) -> int:
        """Width of all key heads, and of all value heads."""
        return self.kv_heads * (self.head_size or self.hidden // self.heads)

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """The matrices of one layer by their module name below `model.layers.N`: (inputs, outputs)."""
        return {
            "self_attn.q_proj": (self.hidden, self.query_width),
            "self_attn.k_proj": (self.hidden, self.kv_width),
            "self_attn.v_proj": (self.hidden, self.kv_width),
            "self_attn.o_proj": (self.query_width, self.hidden),
            "mlp.gate_proj": (self.hidden, self.intermediate),
            "mlp.up_proj": (self.hidden, self.intermediate),
            "mlp.down_proj": (self.intermediate, self.hidden),
        }

    @property
    def layer_parameters(self) -> int:
        """Parameters of one layer."""
        bias = self.query_width + 2 * self.kv_width if self.qkv_bias else 0
        return sum(inputs * outputs for inputs, outputs in self.linears.values()) + 2 * self.hidden + bias

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the embeddings and of the head."""
        return self.vocab * self.hidden * (1 if self.tied else 2)

    @property
    def num_parameters(self) -> int:
        """All parameters."""
        return self.embedding_parameters + self.layers * self.layer_parameters + self.hidden


# From the config.json of each model on the hub (Qwen/Qwen2.5-*, meta-llama/Llama-3.*, HuggingFaceTB/SmolLM2-*); the parameters
# that follow equal the published ones, which a test compares.
PUBLISHED: Final = {
    "smollm2-135m": ModelShape(576, 30, 9, 3, 1536, 49_152, tied=True),
    "smollm2-360m": ModelShape(960, 32, 15, 5, 2560, 49_152, tied=True),
    "qwen2.5-0.5b": ModelShape(896, 24, 14, 2, 4864, 151_936, tied=True, qkv_bias=True),
    "qwen2.5-1.5b": ModelShape(1536, 28, 12, 2, 8960, 151_936, tied=True, qkv_bias=True),
    "qwen2.5-3b": ModelShape(2048, 36, 16, 2, 11_008, 151_936, tied=True, qkv_bias=True),
    "qwen2.5-7b": ModelShape(3584, 28, 28, 4, 18_944, 152_064, tied=False, qkv_bias=True),
    "qwen2.5-14b": ModelShape(5120, 48, 40, 8, 13_824, 152_064, tied=False, qkv_bias=True),
    "qwen2.5-32b": ModelShape(5120, 64, 40, 8, 27_648, 152_064, tied=False, qkv_bias=True),
    "qwen2.5-72b": ModelShape(8192, 80, 64, 8, 29_568, 152_064, tied=False, qkv_bias=True),
    "llama-3.2-1b": ModelShape(2048, 16, 32, 8, 8192, 128_256, tied=True),
    "llama-3.2-3b": ModelShape(3072, 28, 24, 8, 8192, 128_256, tied=True),
    "llama-3.1-8b": ModelShape(4096, 32, 32, 8, 14_336, 128_256, tied=False),
}


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model."""

    shape: ModelShape
    num_parameters: int
    source: Literal["config.json", "published shape", "size in its name"]

    @property
    def estimated(self) -> bool:
        """Whether the shape is only that of a model of about this size."""
        return self.source == "size in its name"


def model_facts(model: str, revision: str | None = None) -> ModelFacts | None:
    """What can be known of a model at once; None: neither its shape nor its size."""
    config_file = _config_file(model, revision)
    shape = shape_of_config(json.loads(config_file.read_text())) if config_file else None
    if shape:
        return ModelFacts(shape, shape.num_parameters, "config.json")
    name = re.split("[/:]", model.rstrip("/"))[-1].lower()
    for key, published in PUBLISHED.items():
        if f"-{key}-" in f"-{name}-":
            return ModelFacts(published, published.num_parameters, "published shape")
    size = _size_in_name(name)
    return ModelFacts(_nearest_shape(name, size), size, "size in its name") if size else None


def num_parameters(model: str, revision: str | None = None) -> int | None:
    """Parameters of a model, without a network; None: neither its files nor its name tell them."""
    facts = model_facts(model, revision)
    if facts:
        return facts.num_parameters
    folder = Path(model).expanduser()
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) // 2 or None  # bfloat16


def shape_of_config(config: dict[str, Any]) -> ModelShape | None:
    """The shape that a `config.json` of transformers tells; None where the model is of another kind (experts, say)."""
    config = config.get("text_config", config)
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    if any(not isinstance(config.get(name), int) for name in names) or any("expert" in name for name in config):
        return None
    hidden, layers, heads, intermediate, vocab = (config[name] for name in names)
    return ModelShape(
        hidden,
        layers,
        heads,
        config.get("num_key_value_heads") or heads,
        intermediate,
        vocab,
        tied=bool(config.get("tie_word_embeddings", True)),  # transformers' own default
        head_size=config.get("head_dim") or 0,
        qkv_bias=config.get("model_type") == "qwen2" or bool(config.get("attention_bias")),
    )


def _config_file(model: str, revision: str | None) -> Path | None:
    prefix, _, name = model.partition(":")
    if prefix == "bundled" and name in BUNDLED:
        file = bundled_folder(model) / "config.json"
    elif Path(model).expanduser().is_dir():
        file = Path(model).expanduser() / "config.json"
    elif "://" in model or model.count("/") != 1:
        return None
    else:
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(model, "config.json", revision=revision)
        if not isinstance(cached, str):
            return None
        file = Path(cached)
    return file if file.is_file() else None


def _size_in_name(name: str) -> int | None:
    size = re.search(r"(\d+(?:\.\d+)?)\s*([bm])(?![a-z])", name)
    return round(float(size[1]) * {"b": 1e9, "m": 1e6}[size[2]]) if size else None


def _nearest_shape(name: str, size: int) -> ModelShape:
    """The published shape of about this size, of the same family where the name tells one."""
    family = [shape for key, shape in PUBLISHED.items() if key.partition("-")[0].rstrip("0123456789.") in name]
    return min(family or PUBLISHED.values(), key=lambda shape: abs(math.log(shape.num_parameters / size)))
