"""The data card: README.md of an exported data set, with the YAML front matter that the Hugging Face hub reads.

In: what is known of the files, the teachers and the artifacts behind them, as plain values. Out: the card's text
(`card.md.j2`). Collecting these values is left to the command.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_TEMPLATE = Path(__file__).with_name("card.md.j2")
_SEE_CARD = "see the model's card"


@dataclass(frozen=True, slots=True)
class DataFile:
    """One data file of the set."""

    name: str  # of the teacher or mix; also the name of its configuration on the hub
    file: str  # below the card's folder
    num_rows: int
    num_tokens: int
    num_rows_by_teacher: Mapping[str, int]
    left_out: Mapping[str, int]  # reason -> traces that are not in the file


@dataclass(frozen=True, slots=True)
class Teacher:
    """Who wrote the responses, and how it was asked."""

    name: str
    model: str
    revision: str | None
    adapter: str | None
    licence: str | None  # None: not at hand
    engine: Mapping[str, Any]
    style: str
    prompt: str  # the template
    few_shot: Sequence[tuple[str, str]]  # (question, response)
    sampling: Mapping[str, Any]
    num_traces_by_reason: Mapping[str, int]  # of all its traces; "right" where there is nothing against one


@dataclass(frozen=True, slots=True)
class Lineage:
    """One artifact that the data follow from."""

    artifact: str
    fingerprint: str
    num_rows: int
    created: str


@dataclass(frozen=True, slots=True)
class DataCard:
    """Everything that a card says."""

    experiment: str
    kind: str  # what the rows are, in one sentence
    format_name: str
    fields: Sequence[str]
    files: Sequence[DataFile]
    problems: Mapping[str, Any]  # the problem set's config
    num_problems: int
    teachers: Sequence[Teacher]
    selection: Mapping[str, Any] | None  # None: the traces are not selected
    mixes: Mapping[str, Mapping[str, float]]  # mix -> shares of its teachers; empty unless mixes are exported
    mixing: Mapping[str, Any] | None
    lineage: Sequence[Lineage]
    packages: Mapping[str, str]


def data_card(card: DataCard) -> str:
    """The card's text: YAML front matter and Markdown.

    The front matter names no licence: which one the data may carry follows from the problems' and the models' licences, and is
    for their publisher to say.
    """
    from huggingface_hub import DatasetCard, DatasetCardData

    total = sum(file.num_rows for file in card.files)
    data = DatasetCardData(
        pretty_name=f"{card.experiment}: reasoning traces",
        task_categories=["text-generation"],
        tags=["reasoning", "distillation", "chain-of-thought", "synthetic", "mixdistill"],
        size_categories=[_size_category(total)],
        configs=[
            {"config_name": file.name, "data_files": [{"split": "train", "path": file.file}]}
            | ({"default": True} if file is card.files[0] else {})
            for file in card.files
        ],
    )
    rendered = DatasetCard.from_template(
        data,
        template_path=str(_TEMPLATE),
        card=card,
        total=total,
        see_card=_SEE_CARD,
        fenced=fenced,
        cell=cell,
        as_yaml=as_yaml,
    )
    return str(rendered).rstrip("\n") + "\n"


def _size_category(num_rows: int) -> str:
    """The hub's classes: https://github.com/huggingface/hub-docs/blob/main/datasetcard.md."""
    bounds = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    return next((name for bound, name in bounds if num_rows < bound), "n>1M" if num_rows >= 10_000_000 else "1M<n<10M")


def fenced(text: str, language: str = "text") -> str:
    """A code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def as_yaml(values: Any) -> str:
    """Values as a block of YAML."""
    return fenced(yaml.safe_dump(_plain(values), sort_keys=False, allow_unicode=True), "yaml")


def cell(text: object) -> str:
    """Text in a cell of a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def _plain(value: Any) -> Any:
    """Only what YAML has: dicts, lists and scalars."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
