"""Calibration: a trial trains a real model for a few steps in a process of its own, and leaves nothing behind.

How near the memory prediction comes to a real fine-tune was measured by the same trial, SmolLM2-135M-Instruct on two cores:

    MIXDISTILL_MEASURE_MEMORY=1 python -m pytest tests/e2e/test_calibration.py -k prediction -s
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from mixdistill.config import StudentConfig, load_experiment
from mixdistill.errors import StageError
from mixdistill.pipeline import Graph, build_graph
from mixdistill.planning import Rates, Trial, calibrate, plan
from mixdistill.planning.memory import GIB, training_memory
from mixdistill.planning.shape import model_facts

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "configs" / "demo.yaml"
BUNDLED = "bundled:smollm2-135m-instruct"


def overrides_of(store: Path, model: object, *more: str) -> list[str]:
    student = f'{{"model": "{model}", "method": "full", "max_seq_length": 300, "global_batch_size": 4}}'
    return [f"store={store}", f"students={{tiny: {student}}}", *more]


def graph_of(store: Path, model: object, *more: str) -> Graph:
    return build_graph(load_experiment(DEMO, overrides_of(store, model, *more)))


def calibrated(graph: Graph) -> tuple[Rates, list[Trial]]:
    trials: list[Trial] = []
    return calibrate(graph, trials.append), trials


def test_runs_of_one_recipe_share_a_trial_whose_speed_gives_their_times(tmp_path: Path, tiny_model: Path) -> None:
    graph = graph_of(tmp_path / "store", tiny_model, "train.seeds=[0, 1]")
    rates, trials = calibrated(graph)
    assert len(trials) == 1
    assert trials[0].row_tokens == 300
    rows = [row for row in plan(graph, rates=rates) if row.stage == "train"]
    assert len(rows) == 6
    assert all(row.measured for row in rows)
    assert {round(row.max_tokens / row.max_seconds) for row in rows if row.max_tokens and row.max_seconds} == {
        round(trials[0].tokens_per_s)
    }


def test_recipes_that_differ_in_speed_are_tried_each(tmp_path: Path, tiny_model: Path) -> None:
    graph = graph_of(tmp_path / "store", tiny_model, "train.per_mix.long.per_device_batch_size=2")
    assert len(calibrated(graph)[1]) == 2


def test_a_calibration_writes_nothing_to_the_store_and_leaves_no_folder(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    calibrated(graph_of(tmp_path / "store", tiny_model))
    assert not (tmp_path / "store").exists()
    assert list(scratch.iterdir()) == []


def test_a_trial_that_fails_tells_why(tmp_path: Path, tiny_model: Path) -> None:
    graph = graph_of(tmp_path / "store", tiny_model, "students.tiny.method=qlora")
    with pytest.raises(StageError, match="needs a GPU"):
        calibrated(graph)


def test_an_interrupt_ends_the_trial_and_removes_its_folder(tmp_path: Path, tiny_model: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    options = [word for value in overrides_of(tmp_path / "store", tiny_model) for word in ("--set", value)]
    planning = subprocess.Popen(
        [sys.executable, "-m", "mixdistill", "plan", str(DEMO), "--calibrate", *options],
        env=os.environ | {"TMPDIR": str(scratch)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,  # as a terminal does, which interrupts the whole group
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background inherits that it is ignored
    )
    deadline = time.monotonic() + 60
    while not list(scratch.glob("mixdistill-calibrate-*")):
        assert time.monotonic() < deadline, "no trial began"
        time.sleep(0.05)
    os.killpg(planning.pid, signal.SIGINT)
    said = planning.communicate(timeout=60)[1].decode()
    assert planning.returncode == 130
    assert "interrupted" in said
    assert list(scratch.glob("mixdistill-calibrate-*")) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(planning.pid, 0)  # the trial's process is gone too


@pytest.mark.skipif("MIXDISTILL_MEASURE_MEMORY" not in os.environ, reason="takes minutes; set MIXDISTILL_MEASURE_MEMORY=1")
@pytest.mark.parametrize("row_tokens", [256, 2048])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_prediction_is_within_30_percent_of_a_real_fine_tune(tmp_path: Path, method: str, row_tokens: int) -> None:
    recipe = StudentConfig.model_validate(
        {"model": BUNDLED, "method": method, "lora": {"r": 8, "alpha": 16}, "global_batch_size": 2}
    )
    asked: dict[str, Any] = {
        "model": BUNDLED,
        "revision": None,
        "recipe": recipe.model_dump(mode="json"),
        "prompt": "{question}",
        "row_tokens": row_tokens,
        "num_steps": 3,
        "folder": str(tmp_path),
    }
    command = [sys.executable, "-m", "mixdistill.planning.trial"]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout)["peak_bytes"] / GIB
    facts = model_facts(BUNDLED)
    assert facts is not None
    memory = training_memory(facts, recipe, row_tokens=row_tokens)
    predicted = (memory.total - memory.margin) / GIB
    print(f"{method} at {row_tokens} tokens: predicted {predicted:.2f} GiB, measured {measured:.2f} GiB")
    assert predicted == pytest.approx(measured, rel=0.3)
