"""What selecting a million traces costs: the stage as in an experiment, on a local Ray cluster, over made-up traces.

Four traces a problem, of about 2,000 characters, a third of them wrong; against 400 benchmark questions. Each measurement is a
process of its own, so that one's memory is not the other's.
"""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path

from run import Row, run_script

FEW = 100_000
MANY = 1_000_000

_SELECT = """
import json, logging, os, random, sys, threading, time
from pathlib import Path
import psutil, ray
from mixdistill.artifacts import ArtifactKey, Store
from mixdistill.config import SelectionConfig
from mixdistill.records import Problem, Trace, content_id, schema_of, to_table
from mixdistill.stages.cluster import connect
from mixdistill.stages.progress import NoProgress
from mixdistill.stages.select import select_traces
from mixdistill.stages.tasks import SelectTask, StageContext

folder, num_traces = Path(sys.argv[1]), int(sys.argv[2])
random.seed(0)
words = ["".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=random.randint(2, 9))) for _ in range(3000)]

def text(num_words):
    return " ".join(random.choices(words, k=num_words))

def problem(number):
    return Problem.of(f"There are {number} {text(25)}, and {number % 97} more; how many is it?", str(number), "numbers")

def response(number):
    lines = [f"Step {n}: {n} + {number % 89 + n} = {number % 89 + 2 * n}, {text(20)}." for n in range(14)]
    return chr(10).join(lines)

context = StageContext(Store(str(folder)), NoProgress())
keys = [ArtifactKey(stage, "t", "0" * 64) for stage in ("problems", "generate", "benchmark", "select")]
# Texts are drawn for some thousand problems; the others have them again, with numbers of their own in the question.
made = [(problem(number).question, [response(4 * number + index) for index in range(4)]) for number in range(2048)]

def block(start):
    for number in range(start, min(start + 256, num_traces // 4)):
        question, responses = made[number % len(made)]
        question = question.replace(f"There are {number % len(made)} ", f"There are {number} ", 1)
        mine = Problem.of(question, str(number), "numbers")
        yield mine, [Trace(content_id(mine.problem_id, index), mine.problem_id, "t", 0, index, 7, None, text, "stop", 50,
                           500 + index, str(number), (number + index) % 3 > 0, "" if (number + index) % 3 else "wrong_answer")
                     for index, text in enumerate(responses)]

starts = range(0, num_traces // 4, 256)
tables = (to_table([one for one, _ in block(start)], Problem) for start in starts)
context.artifact(keys[0]).write_tables("problems.parquet", tables, schema_of(Problem))
tables = (to_table([trace for _, some in block(start) for trace in some], Trace) for start in starts)
context.artifact(keys[1]).write_tables("traces.parquet", tables, schema_of(Trace))
context.artifact(keys[2]).write_table("problems.parquet", to_table([problem(10**9 + n) for n in range(400)], Problem))
del made

me, peak, stop = psutil.Process(), [0], threading.Event()
def watch():
    while not stop.wait(0.05):
        peak[0] = max(peak[0], me.memory_info().rss)

ray.init(include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
connect()
ray.data.range(100).map_batches(lambda batch: batch).materialize()  # Ray's own start and imports belong to neither side
before = me.memory_info().rss
threading.Thread(target=watch, daemon=True).start()
started = time.perf_counter()
select_traces([SelectTask(key=keys[3], shaping={}, inputs={}, code_version=1, selection=SelectionConfig(),
                          problems=keys[0], traces=keys[1], benchmarks={"b": keys[2]})], context)
seconds = time.perf_counter() - started
stop.set()
manifest = context.artifact(keys[3]).manifest()
assert manifest.num_rows == num_traces // 4 and manifest.num_rows_in == num_traces, manifest.counts
Path(sys.argv[3]).write_text(json.dumps({"seconds": seconds, "rows_per_s": num_traces / seconds, "peak_mib": peak[0] / 2**20,
                                         "before_mib": before / 2**20, "cpus": ray.cluster_resources()["CPU"]}))
"""


def selection_scaling() -> Row:
    """Traces a second of a million, over those of a tenth."""
    few, many = _select(FEW), _select(MANY)
    return Row(
        "selection_scaling",
        many["rows_per_s"] / few["rows_per_s"],
        f"traces/s of {MANY:,} over those of {FEW:,}",
        0.9,
        f"{many['rows_per_s']:,.0f} and {few['rows_per_s']:,.0f} traces/s, {many['seconds']:,.0f} and {few['seconds']:,.0f} s "
        f"on {many['cpus']:g} CPUs; all rules of the default config",
    )


def selection_memory() -> Row:
    """Peak memory of the driver (all of it: interpreter, Ray and Arrow) for a tenth, over that for a million."""
    few, many = _select(FEW), _select(MANY)
    return Row(
        "selection_memory",
        few["peak_mib"] / many["peak_mib"],
        f"driver's peak at {FEW:,} traces over that at {MANY:,}",
        0.9,
        f"{few['peak_mib']:,.0f} and {many['peak_mib']:,.0f} MiB resident ({few['before_mib']:,.0f} and "
        f"{many['before_mib']:,.0f} before the stage); a worker holds one slice whatever the number",
    )


@cache
def _select(num_traces: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        run_script(_SELECT, f"{folder}/store", str(num_traces), str(result))
        measured: dict[str, float] = json.loads(result.read_text())
        return measured
