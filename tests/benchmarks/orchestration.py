"""What the machinery itself costs, without a model: a recording that answers after a fixed time, on a local Ray cluster.

The generation stage runs as in an experiment (Ray Data, worker actors, notes, journal, grading); only the tokens are not
computed. Each measurement is a process of its own, so that one's memory is not the other's.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from run import Row, run_script

LATENCY_S = 2.0
CONCURRENCY = 32
ROWS_PER_REPLICA = 1280  # 80 s of work: the start and the tail are a small part of it

_GENERATE = """
import json, logging, os, sys, threading, time
from pathlib import Path
import psutil, pyarrow as pa, pyarrow.parquet as pq, ray
from mixdistill.artifacts import Store
from mixdistill.config import load_experiment
from mixdistill.pipeline import build_graph
from mixdistill.records import Problem, schema_of, to_table
from mixdistill.stages.generate import generate
from mixdistill.stages.progress import NoProgress
from mixdistill.stages.tasks import StageContext

folder, num_rows, replicas, latency_s, concurrency = Path(sys.argv[1]), *map(float, sys.argv[2:6])
num_rows, replicas, concurrency = int(num_rows), int(replicas), int(concurrency)

def problems(start, stop):
    return [Problem.of(f"What is {i} + 1?", str(i + 1), "numbers") for i in range(start, stop)]

blocks = range(0, num_rows, 1024)
answers = pa.schema([("question", pa.string()), ("response", pa.string())])
with pq.ParquetWriter(folder / "recording.parquet", answers) as recording:
    for start in blocks:
        rows = range(start, min(start + 1024, num_rows))
        texts = [f"{i} and one more is \\\\boxed{{{i + 1}}}" for i in rows]
        recording.write_table(pa.table({"question": [f"What is {i} + 1?" for i in rows], "response": texts}, schema=answers))
(folder / "problems.jsonl").write_text(json.dumps({"question": "What is 0 + 1?", "answer": "1"}) + chr(10))
(folder / "experiment.yaml").write_text(json.dumps({
    "name": "orchestration", "store": str(folder / "store"),
    "problems": {"source": "file", "path": str(folder / "problems.jsonl")},
    "engine": {"kind": "replay", "path": str(folder / "recording.parquet"), "latency_s": latency_s,
               "concurrency": concurrency, "replicas": replicas},
    "teachers": {"t": {"model": "recorded", "prompt": "{question}", "sampling": {"max_samples": 2}}},
    "mixes": {"m": {"t": 1.0}},
    "students": {"s": {"model": "bundled:smollm2-135m-instruct"}},
    "evaluate": {"benchmarks": {"b": {"source": "file", "path": str(folder / "problems.jsonl")}}},
}))
graph = build_graph(load_experiment(folder / "experiment.yaml"))
task = graph.of("generate")[0]
made = graph.store.artifact(task.problems)
tables = (to_table(problems(start, min(start + 1024, num_rows)), Problem) for start in blocks)
made.write_tables("problems.parquet", tables, schema_of(Problem))

class Clock(NoProgress):
    begun = ended = 0.0
    def update(self, label, done, total, note=""):
        if done and not self.begun:
            self.begun, self.done_then = time.perf_counter(), done
        if done < total:
            self.last, self.done_last = time.perf_counter(), done
    def finish(self, label, note=""):
        self.ended = self.ended or time.perf_counter()

me, peak, stop = psutil.Process(), [0], threading.Event()
def watch():
    while not stop.wait(0.2):
        peak[0] = max(peak[0], me.memory_info().rss)

ray.init(num_cpus=replicas + 2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
clock = Clock()
before = me.memory_info().rss
threading.Thread(target=watch, daemon=True).start()
generate([task], StageContext(graph.store, clock))
stop.set()
manifest = graph.artifact(task).manifest()
assert manifest.num_rows == num_rows and manifest.figures["num_problems_solved"] == num_rows, manifest.counts
steady = (clock.done_last - clock.done_then) / (clock.last - clock.begun)
Path(sys.argv[6]).write_text(json.dumps({"rows_per_s": steady, "seconds": clock.ended - clock.begun,
                                         "peak_mib": peak[0] / 2**20, "before_mib": before / 2**20}))
"""


def orchestration_scaling() -> Row:
    """Rows a second of 16 recorded replicas, over 16 times those of one."""
    one = _generate(ROWS_PER_REPLICA, 1)
    many = _generate(16 * ROWS_PER_REPLICA, 16)
    return Row(
        "orchestration_scaling",
        many["rows_per_s"] / (16 * one["rows_per_s"]),
        "rows/s of 16 replicas over 16 times one's",
        0.9,
        f"{many['rows_per_s']:,.0f} and {one['rows_per_s']:,.1f} rows/s; {LATENCY_S:g} s a request, {CONCURRENCY} at once a "
        f"replica, so {CONCURRENCY / LATENCY_S:g} rows/s at best; {16 * ROWS_PER_REPLICA:,} and {ROWS_PER_REPLICA:,} rows",
    )


def orchestration_memory() -> Row:
    """Peak memory of the driver at 10 thousand rows, over that at a million."""
    few, many = (_generate(rows, 4, latency_s=0.0) for rows in (10_000, 1_000_000))
    return Row(
        "orchestration_memory",
        few["peak_mib"] / many["peak_mib"],
        "driver's peak at 10,000 rows over that at 1,000,000",
        0.9,
        f"{few['peak_mib']:,.0f} and {many['peak_mib']:,.0f} MiB ({few['before_mib']:,.0f} before the stage); 4 replicas "
        f"without latency, {many['rows_per_s']:,.0f} rows/s, {many['seconds']:,.0f} s",
    )


def _generate(num_rows: int, replicas: int, *, latency_s: float = LATENCY_S) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        run_script(_GENERATE, folder, str(num_rows), str(replicas), str(latency_s), str(CONCURRENCY), str(result))
        measured: dict[str, float] = json.loads(result.read_text())
        return measured
