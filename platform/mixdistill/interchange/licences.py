"""The licence of a model, as far as its own card says so and is at hand without a network; nothing is ever guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def model_licence(model: str, revision: str | None) -> str | None:
    """The name of the licence in a model's card: in its folder, or in the local cache of the hub. None where it is not at hand.

    Args:
        model: a model reference (hub id, folder, URL, `bundled:NAME`) or a server's name for a model.
        revision: of a hub model.
    """
    found = licence_metadata(model, revision)
    named = found.get("license_name") if found.get("license") == "other" else found.get("license")
    return ", ".join(named) if isinstance(named, list) else named


def licence_metadata(model: str, revision: str | None) -> dict[str, Any]:
    """What a model's card says of its licence, under the hub's names `license`, `license_name` and `license_link`."""
    card = _at_hand(model, revision, "README.md")
    if card is None:
        return {}
    from huggingface_hub import ModelCard

    try:
        data = ModelCard.load(card, ignore_metadata_errors=True).data
    except (OSError, ValueError, yaml.YAMLError):  # a card that cannot be read says nothing
        return {}
    said = {name: data.get(name) for name in ("license", "license_name", "license_link")}
    return {name: value for name, value in said.items() if value}


def licence_file(model: str, revision: str | None) -> Path | None:
    """A model's LICENSE file, where it is at hand."""
    return next(
        (found for name in ("LICENSE", "LICENSE.txt", "LICENSE.md") if (found := _at_hand(model, revision, name))), None
    )


def _at_hand(model: str, revision: str | None, file: str) -> Path | None:
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder / file if (folder / file).is_file() else None
    if model.count("/") != 1 or ":" in model:  # not a hub id
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(model, file, revision=revision)
    except HFValidationError:
        return None
    return Path(cached) if isinstance(cached, str) else None
