"""A matrix of real fine-tunes on a cluster of several nodes, where one run loses its worker, its node and its controller.

The model is tiny and random, the optimiser steps are real. Four runs share one recipe: one is left in peace, one loses its
worker and then its node, one is trained by two workers, and one diverges and is mended, only to lose its controller.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
import ray.train
from ray.cluster_utils import Cluster
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

from mixdistill.artifacts import Artifact, ArtifactKey, Store
from mixdistill.config import StudentConfig, TrainConfig
from mixdistill.errors import StageError
from mixdistill.records import Example, content_id, to_table
from mixdistill.stages.progress import NoProgress
from mixdistill.stages.rows import EXAMPLES_FILE, VALIDATION_FILE
from mixdistill.stages.tasks import StageContext, TrainTask
from mixdistill.stages.train import train
from mixdistill.stages.training_failures import FAILURE_FILE, cause_of, read_failure

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
safetensors_torch = pytest.importorskip("safetensors.torch")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NUM_STEPS = 200
INTERVAL = 40  # of five parts, four end with a checkpoint
LIMIT_S = 200.0
MIX = ArtifactKey("mix", "sums", "f" * 64)
PERILOUS, PEACEFUL = "PERILOUS", "PEACEFUL"  # kinds of nodes; Ray calls such a mark an accelerator type


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that only keeps the books, two nodes with room for one worker each, and one where the others train."""
    if ray.is_initialized():
        ray.shutdown()
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.perilous = [made.add_node(num_cpus=1, resources={f"accelerator_type:{PERILOUS}": 1}) for _ in range(2)]
    made.add_node(num_cpus=4, resources={f"accelerator_type:{PEACEFUL}": 1})
    ray.init(address=made.address, logging_level="warning", log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


def example(number: int) -> Example:
    name = content_id("example", number)
    text = f"{number} + 1 = {number + 1}. The answer is \\boxed{{{number + 1}}}."
    return Example(name, "sums", name, name, "teacher", f"{number} + 1", text, 9)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> StageContext:
    made = StageContext(Store(str(tmp_path_factory.mktemp("matrix") / "store")), NoProgress())
    mix = made.artifact(MIX)
    mix.write_table(EXAMPLES_FILE, to_table([example(number) for number in range(24)], Example))
    mix.write_table(VALIDATION_FILE, to_table([example(number) for number in range(24, 28)], Example))
    return made


def make_task(name: str, model: Path, **train_settings: Any) -> TrainTask:
    recipe = StudentConfig(
        model=str(model),
        learning_rate=1e-3,
        num_steps=NUM_STEPS,
        global_batch_size=4,
        per_device_batch_size=2,
        max_seq_length=256,
        dtype="float32",
    )
    settings = {"checkpoints_per_run": 4, "validations_per_run": 1, "accelerator_type": PEACEFUL, **train_settings}
    return TrainTask(
        key=ArtifactKey("train", name, "f" * 64),
        shaping={},
        inputs={},
        code_version=1,
        student="tiny",
        mix="sums",
        seed=0,
        recipe=recipe,
        prompt="Compute {question}",
        train=TrainConfig(**settings),
        examples=MIX,
    )


# What is killed, and when


def actors(node: Any, kind: str) -> list[psutil.Process]:
    """The actors of a class among the descendants of a node of `cluster_utils`."""
    found = []
    for info in (info for infos in node.all_processes.values() for info in infos):
        with contextlib.suppress(psutil.NoSuchProcess):
            below = psutil.Process(info.process.pid).children(recursive=True)
            found += [process for process in below if kind in " ".join(process.cmdline())]
    return found


def durable_step(artifact: Artifact) -> int:
    """The step of the last checkpoint in the store."""
    try:
        listed = artifact.read_json("checkpoints/checkpoint_manager_snapshot.json")
    except (OSError, ValueError):  # there is none yet, or it is being written
        return 0
    return int(listed["latest_checkpoint_result"]["metrics"]["step"])


def wait_until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < end, "the moment to kill never came"
        time.sleep(0.05)


class Losses:
    """Watches a run's checkpoints from beside; kills its worker after the first one, its node after another."""

    def __init__(self, cluster: Any, artifact: Artifact) -> None:
        self._cluster, self._artifact = cluster, artifact
        self.durable_at: list[int] = []  # the last durable step at each loss
        self.thread = threading.Thread(target=self._work, daemon=True)

    def _work(self) -> None:
        _, worker = self._worker_after(INTERVAL)
        os.kill(worker.pid, signal.SIGKILL)
        node, _ = self._worker_after(self.durable_at[0] + 1)
        self._cluster.remove_node(node, allow_graceful=False)

    def _worker_after(self, step: int) -> tuple[Any, psutil.Process]:
        """Wait for a checkpoint at or after a step; returns the node that the run is on, and its worker there."""
        wait_until(lambda: durable_step(self._artifact) >= step)
        ((node, worker),) = [(node, one) for node in self._cluster.perilous for one in actors(node, "RayTrainWorker")]
        self.durable_at.append(durable_step(self._artifact))
        return node, worker


def kill_controller(cluster: Any, artifact: Artifact) -> None:
    """Kill Ray Train's controller of the only run when its first checkpoint stands."""
    wait_until(lambda: durable_step(artifact) >= INTERVAL)
    (controller,) = actors(cluster.head_node, "TrainController")
    os.kill(controller.pid, signal.SIGKILL)


class Matrix:
    """What became of the runs."""

    def __init__(self, context: StageContext, losses: Losses, error: StageError, marks: dict[str, Any]) -> None:
        self.context, self.losses, self.error, self.marks = context, losses, error, marks

    def artifact(self, name: str) -> Artifact:
        return self.context.artifact(ArtifactKey("train", name, "f" * 64))

    def figures(self, name: str) -> dict[str, Any]:
        manifest = self.artifact(name).manifest()
        assert manifest is not None, f"{name} is not finished"
        return manifest.figures

    def weights(self, name: str) -> dict[str, Any]:
        return safetensors_torch.load(self.artifact(name).read_bytes("model/model.safetensors"))

    def kinds(self, name: str) -> list[str]:
        return [failure["kind"] for failure in self.figures(name)["failures"]]


@pytest.fixture(scope="module")
def matrix(cluster: Any, context: StageContext, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    broken = tmp_path_factory.mktemp("broken") / "model"
    shutil.copytree(tiny_model, broken)
    weights = safetensors_torch.load_file(broken / "model.safetensors")
    weights["model.norm.weight"].fill_(float("nan"))
    safetensors_torch.save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    bereaved = make_task("bereaved", tiny_model, accelerator_type=PERILOUS, max_failures=2)
    unruly = make_task("unruly", broken, max_failures=1)
    tasks = [bereaved, make_task("undisturbed", tiny_model), unruly, make_task("pair", tiny_model, num_workers=2)]
    losses = Losses(cluster, context.artifact(bereaved.key))
    losses.thread.start()
    with pytest.raises(StageError) as caught:
        train(tasks, context)
    losses.thread.join(timeout=5)
    assert len(losses.durable_at) == 2, "the losses did not both happen"
    marks = {task.key.name: read_failure(context.artifact(task.key)) for task in tasks}

    shutil.copy(tiny_model / "model.safetensors", broken / "model.safetensors")
    killer = threading.Thread(target=kill_controller, args=(cluster, context.artifact(unruly.key)), daemon=True)
    killer.start()
    train([unruly], context)
    killer.join(timeout=5)
    return Matrix(context, losses, caught.value, marks)


# What became of it


def test_a_run_that_lost_its_worker_and_then_its_node_ends_with_the_same_weights_as_an_undisturbed_one(matrix: Matrix) -> None:
    assert matrix.kinds("bereaved") == ["worker_lost", "worker_lost"]
    assert matrix.kinds("undisturbed") == []
    first, second = matrix.weights("undisturbed"), matrix.weights("bereaved")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_each_loss_fell_between_checkpoints_and_the_curves_are_whole_and_equal(matrix: Matrix) -> None:
    before_worker, before_node = matrix.losses.durable_at
    assert 0 < before_worker < before_node < NUM_STEPS
    assert before_worker % INTERVAL == before_node % INTERVAL == 0
    curve = matrix.figures("bereaved")["loss_curve"]
    assert curve == matrix.figures("undisturbed")["loss_curve"]
    assert [step for step, _ in curve] == list(range(1, NUM_STEPS + 1))


def test_a_run_that_lost_its_controller_ends_with_the_same_weights_too(matrix: Matrix) -> None:
    assert matrix.kinds("unruly") == ["worker_lost"]
    first, second = matrix.weights("undisturbed"), matrix.weights("unruly")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_that_diverges_is_tried_again_then_marked_and_named_and_the_others_finish(matrix: Matrix) -> None:
    mark = matrix.marks.pop("unruly")
    assert (mark.kind, mark.attempts) == ("diverged", 2)
    assert "loss nan" in mark.message
    assert set(matrix.marks.values()) == {None}
    assert str(matrix.error).startswith("1 of 4 students failed")
    assert "unruly: diverged after 2 attempts: training broke down at step 1" in str(matrix.error)


def test_a_run_that_was_mended_loses_its_mark(matrix: Matrix) -> None:
    assert read_failure(matrix.artifact("unruly")) is None
    assert not Path(matrix.artifact("unruly").file_url(FAILURE_FILE)).exists()


def test_two_workers_see_the_same_batches_and_learn_the_same_as_one(matrix: Matrix) -> None:
    one, two = matrix.figures("undisturbed"), matrix.figures("pair")
    for count in ("num_steps", "num_target_tokens", "num_input_tokens"):
        assert one[count] == two[count]
    assert [loss for _, loss in two["loss_curve"]] == pytest.approx([loss for _, loss in one["loss_curve"]], abs=2e-3)
    first, second = matrix.weights("undisturbed"), matrix.weights("pair")
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], atol=2e-3, rtol=1e-2)


def test_held_out_traces_are_handed_to_training(matrix: Matrix) -> None:
    for name in ("undisturbed", "bereaved", "pair"):
        curve = matrix.figures(name)["validation"]["teacher"]
        assert [step for step, _ in curve] == [0, NUM_STEPS]
        assert curve[-1][1] < curve[0][1]


def test_tensorboards_files_hold_every_step_once_whatever_was_lost(matrix: Matrix) -> None:
    for name in ("undisturbed", "bereaved"):
        folder = Path(matrix.artifact(name).file_url("logs"))
        steps = [step for path in folder.rglob("*tfevents*") for step in steps_with(path, "train/loss")]
        assert steps == list(range(1, NUM_STEPS + 1))


def steps_with(path: Path, tag: str) -> list[int]:
    """The steps at which a TensorBoard file has a value; its records are length (8 bytes), checksum (4), event, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    content, steps, start = path.read_bytes(), [], 0
    while start < len(content):
        length = int.from_bytes(content[start : start + 8], "little")
        event = Event.FromString(content[start + 12 : start + 12 + length])
        steps += [event.step for value in event.summary.value if value.tag == tag]
        start += 12 + length + 4
    return steps


def test_nothing_unfinished_is_left(matrix: Matrix) -> None:
    store = Path(matrix.context.store.url)
    left = {path.name for path in store.rglob("*")} & {"checkpoints", "training.json", FAILURE_FILE}
    assert left == set()


# What the libraries' own errors are taken for


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"), "out_of_memory"),
        (ray.exceptions.OutOfMemoryError("Task was killed due to the node running low on memory"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (ray.exceptions.ActorDiedError(), "worker_lost"),
        (ray.exceptions.NodeDiedError("the node died"), "worker_lost"),
        (WorkerHealthCheckFailedError("worker 0", ray.exceptions.ActorDiedError()), "worker_lost"),
        (RuntimeError("shape mismatch"), "error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_the_libraries_own_errors_are_told_apart(error: Exception, kind: str) -> None:
    assert cause_of(error).kind == kind
    assert cause_of(ray.train.WorkerGroupError("worker errors", {0: error})).kind == kind
    assert cause_of(ray.train.ControllerError(error)).kind == kind
