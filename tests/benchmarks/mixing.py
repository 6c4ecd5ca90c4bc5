"""Controlled mixing of many traces: what it costs in time and memory, at a hundred thousand and at a million.

The stage runs as in an experiment: a problem set and two selections on disk (a trace of a thousand characters for each
problem and teacher), two mixes in two artifacts. Each measurement is a process of its own, so that one's memory is not the
other's.
"""

from __future__ import annotations

import functools
import json
import tempfile

from run import Row, run_script

FEW, MANY = 100_000, 1_000_000

_WRITE = """
import sys
import numpy as np, pyarrow as pa
from mixdistill.artifacts import ArtifactKey, Store
from mixdistill.records import Problem, Trace, schema_of

folder, num_problems = sys.argv[1], int(sys.argv[2]) // 2
rng = np.random.default_rng(0)
store = Store(folder)
letters = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz      ", dtype=np.uint8)

def ids(kind, start, stop):
    numbers = np.arange(start, stop, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(kind)
    return [format(number, "016x") for number in numbers.tolist()]

def texts(num, length):
    spread = letters[rng.integers(0, 32, num * length, dtype=np.uint8)].tobytes().decode()
    return [spread[at : at + length] for at in range(0, num * length, length)]

def problems():
    for start in range(0, num_problems, 1024):
        stop = min(start + 1024, num_problems)
        num = stop - start
        yield pa.table({"problem_id": ids(0, start, stop), "question": texts(num, 100), "reference_answer": ["1"] * num,
                        "source": ["made-up"] * num, "level": [f"Level {i % 5}" for i in range(num)]}, schema_of(Problem))

def traces(teacher, kind):
    for start in range(0, num_problems, 1024):
        stop = min(start + 1024, num_problems)
        num = stop - start
        same = {"round": 0, "sample_index": 0, "seed": 0, "teacher": teacher, "reasoning": None, "finish_reason": "stop",
                "num_prompt_tokens": 50, "extracted": "1", "correct": True, "reason": ""}
        yield pa.table({"trace_id": ids(kind, start, stop), "problem_id": ids(0, start, stop), "response": texts(num, 1000),
                        "num_tokens": rng.integers(100, 1000, num)} | {name: [value] * num for name, value in same.items()}
                       ).select(schema_of(Trace).names).cast(schema_of(Trace))

store.artifact(ArtifactKey("problems", "p", "0" * 12)).write_tables("problems.parquet", problems(), schema_of(Problem))
for kind, teacher in enumerate(("long", "short"), start=1):
    made = store.artifact(ArtifactKey("select", teacher, "0" * 12))
    made.write_tables("selected.parquet", traces(teacher, kind), schema_of(Trace))
"""

_MIX = """
import json, resource, sys, time
from mixdistill.artifacts import ArtifactKey, Store
from mixdistill.config import MixingConfig
from mixdistill.stages.mix import mix_examples
from mixdistill.stages.progress import NoProgress
from mixdistill.stages.tasks import MixTask, StageContext

context = StageContext(Store(sys.argv[1]), NoProgress())
mixes = {"mix_long": {"long": 0.2, "short": 0.8}, "short": {"short": 1.0}}
tasks = [MixTask(key=ArtifactKey("mix", name, "0" * 12), shaping={}, inputs={}, code_version=1, mix=name, fractions=fractions,
                 mixes=mixes, mixing=MixingConfig(match="tokens"), problems=ArtifactKey("problems", "p", "0" * 12),
                 selected={teacher: ArtifactKey("select", teacher, "0" * 12) for teacher in ("long", "short")})
         for name, fractions in mixes.items()]
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # Linux counts KiB
before_mib, started, cpu = peak(), time.perf_counter(), time.process_time()
mix_examples(tasks, context)
seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu
taken = sum(context.artifact(task.key).manifest().num_rows for task in tasks)
print(json.dumps({"seconds": seconds, "cpu_s": cpu_s, "taken": taken, "before_mib": before_mib, "peak_mib": peak()}))
"""


def mixing_throughput() -> Row:
    """Traces a second at a million, over those at a hundred thousand: 1 where the cost grows linearly."""
    few, many = _mix(FEW), _mix(MANY)
    per_s = [num / measured["cpu_s"] for num, measured in ((FEW, few), (MANY, many))]
    return Row(
        "mixing_throughput",
        per_s[1] / per_s[0],
        "traces per CPU second at 1,000,000 over those at 100,000",
        0.9,
        f"{per_s[1]:,.0f} and {per_s[0]:,.0f} traces per CPU second; {many['seconds']:,.0f} and {few['seconds']:,.1f} s of "
        f"wall time for two mixes of {many['taken']:,.0f} and {few['taken']:,.0f} examples in all, with match: tokens",
    )


def mixing_memory() -> Row:
    """Size of the million traces' texts, over the memory that mixing them needed."""
    few, many = _mix(FEW), _mix(MANY)
    grown = {num: measured["peak_mib"] - measured["before_mib"] for num, measured in ((FEW, few), (MANY, many))}
    texts_mib = MANY * 1000 / 2**20
    bytes_per_trace = (many["peak_mib"] - few["peak_mib"]) * 2**20 / (MANY - FEW)
    return Row(
        "mixing_memory",
        texts_mib / grown[MANY],
        "response texts of 1,000,000 traces over the peak above the start",
        2.0,
        f"{texts_mib:,.0f} MiB of responses mixed in {grown[MANY]:,.0f} MiB above the {many['before_mib']:,.0f} at the start "
        f"({grown[FEW]:,.0f} at 100,000 traces): {bytes_per_trace:,.0f} bytes for each further trace, however long its text",
    )


@functools.cache
def _mix(num_traces: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        run_script(_WRITE, folder, str(num_traces))
        measured: dict[str, float] = json.loads(run_script(_MIX, folder))
        return measured
