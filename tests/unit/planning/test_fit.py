"""What a worker has, and the refusal of what cannot fit, with the numbers, before anything starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mixdistill.config import TrainConfig, load_experiment
from mixdistill.errors import ConfigError
from mixdistill.pipeline import build_graph
from mixdistill.planning import Machine, check_fit
from mixdistill.planning.capacity import worker_gib

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "configs" / "demo.yaml"
SMALL = "train.memory_gib_per_worker=1"


def graph_of(store: Path, *overrides: str):
    return build_graph(load_experiment(DEMO, [f"store={store}", *overrides]))


def mixdistill(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mixdistill", *words]
    env = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | environment
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, env=env)


@pytest.mark.parametrize(
    ("settings", "capacity"),
    [
        ({"memory_gib_per_worker": 7}, 7),
        ({"gpus_per_worker": 1, "accelerator_type": "H200"}, 141),
        ({"gpus_per_worker": 1, "accelerator_type": "A100-80G"}, 80),
        ({"gpus_per_worker": 0.5, "accelerator_type": "H100"}, 40),
        ({"gpus_per_worker": 2, "accelerator_type": "H100"}, 80),  # a worker uses one of them
        ({"gpus_per_worker": 1}, None),
        ({"gpus_per_worker": 1, "accelerator_type": "TPU-V4"}, None),
        ({}, 4),  # eight cores, eight runs
        ({"cpus_per_worker": 4}, 16),
        ({"max_parallel": 2}, 16),
        ({"num_workers": 2, "max_parallel": 2}, 8),
        ({"cpus_per_worker": 16}, 32),  # does not fit by its cores either; Ray says so
    ],
)
def test_a_worker_has_what_its_config_its_device_or_its_part_of_the_machine_says(settings, capacity):
    assert worker_gib(TrainConfig.model_validate(settings), Machine(32.0, 8), num_workers=100) == capacity


def test_no_more_workers_share_a_machine_than_there_are():
    assert worker_gib(TrainConfig(), Machine(32.0, 8), num_workers=2) == 16


def test_on_a_cluster_nobody_knows_what_a_cpu_worker_has():
    assert worker_gib(TrainConfig(), None, num_workers=2) is None


def test_the_refusal_names_each_run_with_its_numbers_and_what_to_change(tmp_path):
    graph = graph_of(tmp_path, SMALL, "students.smollm2-135m.method=full")
    with pytest.raises(ConfigError) as refused:
        check_fit(graph)
    said = str(refused.value)
    assert [name in said for name in ("short-seed0: needs", "long-seed0: needs", "mix_long-seed0: needs")] == [True] * 3
    assert [f"{part} " in said for part in ("weights", "gradients", "optimizer", "activations", "logits")] == [True] * 5
    assert "a worker has 1.0 GiB" in said
    assert "method: lora" in said
    assert "gradient_checkpointing: true" in said


def test_what_a_run_does_already_is_not_advised(tmp_path):
    overrides = ("students.smollm2-135m.gradient_checkpointing=true", "students.smollm2-135m.per_device_batch_size=1")
    with pytest.raises(ConfigError) as refused:
        check_fit(graph_of(tmp_path, SMALL, *overrides))
    assert "gradient_checkpointing" not in str(refused.value)
    assert "per_device_batch_size" not in str(refused.value)
    assert "method: lora" not in str(refused.value)


def test_sharing_the_model_is_advised_where_there_are_gpus_alone(tmp_path):
    full = (SMALL, "students.smollm2-135m.method=full")
    with pytest.raises(ConfigError) as on_cpu:
        check_fit(graph_of(tmp_path, *full))
    with pytest.raises(ConfigError) as on_gpu:
        check_fit(graph_of(tmp_path, *full, "train.gpus_per_worker=1"))
    assert "parallel: fsdp" not in str(on_cpu.value)
    assert "parallel: fsdp" in str(on_gpu.value)


def test_a_stage_before_training_is_not_refused(tmp_path):
    check_fit(graph_of(tmp_path, SMALL), until="mix")


def test_finished_students_are_not_refused(tmp_path):
    graph = graph_of(tmp_path, SMALL)
    for task in graph.of("train"):
        graph.artifact(task).finish(task.manifest(num_rows=1, seconds=1.0))
    check_fit(graph)


def test_unknown_capacity_never_refuses(tmp_path):
    check_fit(graph_of(tmp_path, "students.smollm2-135m.model=Qwen/Qwen2.5-72B-Instruct"), machine=None)


def test_the_demo_fits_a_machine_of_8_gb_and_two_cores():
    for config in ("demo.yaml", "matrix.yaml"):
        check_fit(build_graph(load_experiment(ROOT / "configs" / config)), machine=Machine(8e9 / 1024**3, 2))


@pytest.mark.parametrize("command", ["run", "train"])
def test_a_command_that_would_train_refuses_before_anything_is_written(tmp_path, command):
    done = mixdistill(command, str(DEMO), "--set", f"store={tmp_path}/store", "--set", SMALL)
    assert done.returncode == 2, done.stderr
    assert "a worker has 1.0 GiB" in done.stderr
    assert not (tmp_path / "store").exists()


def test_plan_shows_what_does_not_fit_and_leaves_with_2(tmp_path):
    done = mixdistill("plan", str(DEMO), "--set", f"store={tmp_path}", "--set", SMALL)
    assert done.returncode == 2
    assert done.stdout.count("does not fit") == 3
    assert "needs" in done.stderr


def test_the_json_of_a_plan_has_the_parts_even_when_it_does_not_fit(tmp_path):
    done = mixdistill("plan", str(DEMO), "--json", "--set", f"store={tmp_path}", "--set", SMALL)
    assert done.returncode == 2
    rows = [row for row in json.loads(done.stdout)["artifacts"] if row["stage"] == "train"]
    assert [row["fits"] for row in rows] == [False] * 3
    assert all(row["memory_parts_gib"]["optimizer"] > 0 for row in rows)


def test_on_the_cluster_of_ray_address_this_machines_memory_says_nothing(tmp_path):
    model = "students.smollm2-135m.model=Qwen/Qwen2.5-72B-Instruct"
    here = mixdistill("plan", str(DEMO), "--set", f"store={tmp_path}", "--set", model)
    there = mixdistill("plan", str(DEMO), "--set", f"store={tmp_path}", "--set", model, RAY_ADDRESS="10.0.0.1:6379")
    assert (here.returncode, there.returncode) == (2, 0)


def test_a_gpu_experiment_is_not_calibrated_where_there_is_none(tmp_path):
    overrides = ["--set", f"store={tmp_path}", "--set", "train.gpus_per_worker=1"]
    done = mixdistill("plan", str(DEMO), "--calibrate", *overrides, PATH=str(tmp_path))
    assert done.returncode == 2
    assert "the runs want GPUs" in done.stderr
