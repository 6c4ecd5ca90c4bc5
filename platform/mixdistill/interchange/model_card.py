"""The model card: README.md of an exported student, with the YAML front matter that the Hugging Face hub reads.

In: what is known of the student, its data and its scores, as plain values. Out: the card's text (`model_card.md.j2`).
Collecting these values is left to the command.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from mixdistill.interchange.card import Lineage, as_yaml, cell, fenced

_TEMPLATE = Path(__file__).with_name("model_card.md.j2")
_LORA_RANKS: Final = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM's --max-lora-rank takes (vllm.config.lora, vLLM 0.29)."""


@dataclass(frozen=True, slots=True)
class Source:
    """Who wrote a part of what the student learned."""

    teacher: str
    model: str
    revision: str | None
    style: str
    licence: str | None  # None: not at hand
    num_examples: int
    num_tokens: int
    num_selected: int  # traces that the selection kept
    rejected: Mapping[str, int]  # reason -> traces that it did not


@dataclass(frozen=True, slots=True)
class Score:
    """The student beside the untouched base on one benchmark; all numbers are fractions."""

    benchmark: str
    num_questions: int
    accuracy: tuple[float, float, float]  # value and interval
    untouched: tuple[float, float, float]
    gain: tuple[float, float, float]  # paired by question


@dataclass(frozen=True, slots=True)
class StudentCard:
    """Everything that a card says."""

    name: str
    experiment: str
    form: Literal["adapter", "merged", "full"]
    place: str  # what a program loads it by: the hub's id, or a folder's name
    base_model: str
    base_revision: str | None
    base_on_hub: bool  # whether base_model is a hub id
    licence: Mapping[str, Any]  # the base model's, under the hub's names; empty: not at hand
    has_licence_file: bool  # whether the base model's LICENSE stands beside the card
    recipe: Mapping[str, Any]  # all hyper-parameters, with method, seed and workers
    prompt: str  # the template
    training: Mapping[str, Any]  # counts of the fine-tune
    validation: Mapping[str, Sequence[tuple[int, float | None]]]  # source -> (step, loss)
    mix: str
    fractions: Mapping[str, float]
    sources: Sequence[Source]
    num_examples: int  # of the mix
    problems: Mapping[str, Any]  # the problem set's config
    num_problems: int
    mixing: Mapping[str, Any]
    selection: Mapping[str, Any]
    scores: Sequence[Score]  # empty: not evaluated
    confidence: float
    lineage: Sequence[Lineage]
    packages: Mapping[str, str]

    @property
    def lora_rank(self) -> int:
        """The smallest rank that vLLM can be told for this adapter."""
        return next((rank for rank in _LORA_RANKS if rank >= self.recipe["lora"]["r"]), _LORA_RANKS[-1])

    @property
    def is_dora(self) -> bool:
        """Whether the adapter is one that vLLM does not take."""
        return self.form == "adapter" and bool(self.recipe["lora"]["use_dora"])


def student_card(card: StudentCard) -> str:
    """The card's text: YAML front matter and Markdown."""
    from huggingface_hub import ModelCard, ModelCardData

    data = ModelCardData(
        base_model=card.base_model if card.base_on_hub else None,
        library_name="peft" if card.form == "adapter" else "transformers",
        pipeline_tag="text-generation",
        tags=["mixdistill", "reasoning", "distillation", "chain-of-thought", str(card.recipe["method"])],
        **_licence(card),
    )
    rendered = ModelCard.from_template(
        data,
        template_path=str(_TEMPLATE),
        card=card,
        licence=card.licence.get("license_name") or card.licence.get("license"),
        fenced=fenced,
        cell=cell,
        as_yaml=as_yaml,
        quoted=repr,
        percent=_percent,
        points=_points,
    )
    return str(rendered).rstrip("\n") + "\n"


def _licence(card: StudentCard) -> dict[str, Any]:
    """The base model's licence for the front matter; a link that is a file of its repository gets the repository's address."""
    found = dict(card.licence)
    link = found.get("license_link")
    if isinstance(link, str) and "://" not in link:
        if card.base_on_hub:
            found["license_link"] = f"https://huggingface.co/{card.base_model}/blob/{card.base_revision or 'main'}/{link}"
        else:
            del found["license_link"]
    return found


def _percent(value: tuple[float, float, float]) -> str:
    """A fraction and its interval in percent."""
    middle, low, high = (100 * part for part in value)
    return f"{middle:.1f} % [{low:.1f}, {high:.1f}]"


def _points(value: tuple[float, float, float]) -> str:
    """A difference of fractions and its interval in percentage points."""
    middle, low, high = (100 * part for part in value)
    return f"{middle:+.1f} [{low:+.1f}, {high:+.1f}]"
