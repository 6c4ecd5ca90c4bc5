"""What a card may say of a config: nothing of the machine that ran it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def public_section(section: Mapping[str, Any]) -> dict[str, Any]:
    """What a section says, without what it leaves open and without places of this machine: folders, and a server's address."""
    said: dict[str, Any] = {}
    for key, value in section.items():
        if key == "path" and value is not None:
            said[key] = public_place(value)
        elif key != "base_url":
            said[key] = public_section(value) if isinstance(value, Mapping) else value
    return {key: value for key, value in said.items() if value not in (None, {}, (), [])}


def public_place(place: str) -> str:
    """A hub id or an hf:// address as it is; of any other path or URL only the last part."""
    is_path = ("://" in place and not place.startswith("hf://")) or place.startswith(("/", ".", "~"))
    return place.rstrip("/").rpartition("/")[2] if is_path else place
