"""A config with every section filled, as plain data and as a file."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

FULL: dict[str, Any] = {
    "name": "full",
    "store": "runs",
    "prompt": "paper",
    "engine": {"kind": "vllm", "replicas": [1, 2]},
    "problems": {"source": "file", "path": "p.jsonl", "fields": {"question": "q"}, "filters": {"levels": ["1"]}},
    "teachers": {
        "long": {"model": "m", "few_shot": [{"question": "q", "response": "r"}], "sampling": {"want": 1}},
        "short": {"model": "m", "style": "short", "engine": {"kind": "openai", "base_url": "http://localhost/v1"}},
        "other": {"model": "m", "engine": {"kind": "replay", "path": "r.jsonl"}},
    },
    "selection": {"answer_form": "boxed"},
    "mixes": {"long": {"long": 1.0}, "mix_long": {"long": 0.2, "short": 0.8}},
    "mixing": {"seed": 0},
    "search": {"mix_found": {"of": "long", "rest": "short", "shares": [0.1, 0.4]}},
    "students": {"tiny-0.5b": {"model": "s", "method": "lora", "lora": {"r": 8}}},
    "train": {"seeds": [0, 1], "per_mix": {"mix_long": {"global_batch_size": 80}}},
    "evaluate": {
        "benchmarks": {"held": {"source": "gsm8k"}},
        "sampling": {"max_tokens": 9},
        "engine": {"kind": "vllm"},
        "judge": {"model": "j"},
    },
    "report": {"title": "t"},
}


@pytest.fixture
def full() -> dict[str, Any]:
    """A fresh copy of a valid config that fills every section."""
    return copy.deepcopy(FULL)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Any], Path]:
    """Write data (or text) as a config file."""

    def write(data: Any) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(data if isinstance(data, str) else yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
        return path

    return write
