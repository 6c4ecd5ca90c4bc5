"""Runs the benchmarks and writes build/bench.json: `python tests/benchmarks/run.py [NAME]` or `make bench BENCH=NAME`.

A benchmark is a function that measures us and what a user would use instead in one run, and returns the ratio; times of
one machine mean nothing on another. A row: {name, value, unit, goal, met, detail}.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))


@dataclass(frozen=True)
class Row:
    """One measured ratio."""

    name: str
    value: float
    unit: str  # what is divided by what
    goal: float  # the least value that is good enough
    detail: str  # the two sides, and on what they were measured

    @property
    def met(self) -> bool:
        return self.value >= self.goal


def run_script(script: str, *arguments: str) -> str:
    """Run a script in a process of its own, whose memory and libraries are nobody else's; returns what it printed.

    It is run from a file, for vLLM's processes import the main module again.

    Raises:
        RuntimeError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "benchmark.py"
        file.write_text(script)
        done = subprocess.run(
            [sys.executable, str(file), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "RAY_DEDUP_LOGS": "0"},
        )
    if done.returncode:
        raise RuntimeError(f"the benchmark's process failed:\n{done.stderr[-3000:]}")
    return done.stdout


def benchmarks() -> dict[str, Callable[[], Row]]:
    """All benchmarks by name."""
    from adaptive import (
        adaptive_fixed4_demo,
        adaptive_fixed4_easy,
        adaptive_fixed4_published,
        adaptive_fixed8_demo,
        adaptive_fixed8_easy,
    )
    from generation import generation_stage, generation_throughput
    from grading import grading_adversarial, grading_scaling, grading_throughput
    from matrix import matrix_makespan
    from mixing import mixing_memory, mixing_throughput
    from orchestration import orchestration_memory, orchestration_scaling
    from selecting import selection_memory, selection_scaling
    from training import packing_efficiency, train_throughput

    measures = (
        generation_throughput,
        generation_stage,
        adaptive_fixed4_easy,
        adaptive_fixed8_easy,
        adaptive_fixed4_demo,
        adaptive_fixed8_demo,
        adaptive_fixed4_published,
        grading_throughput,
        grading_scaling,
        grading_adversarial,
        orchestration_scaling,
        orchestration_memory,
        selection_scaling,
        selection_memory,
        mixing_throughput,
        mixing_memory,
        train_throughput,
        packing_efficiency,
        matrix_makespan,
    )
    return {measure.__name__: measure for measure in measures}


def main(names: list[str]) -> int:
    known = benchmarks()
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"there is no benchmark {unknown[0]!r}; there is: {', '.join(known)}", file=sys.stderr)
        return 2
    rows = [known[name]() for name in names or known]
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    (folder / "bench.json").write_text(json.dumps([asdict(row) | {"met": row.met} for row in rows], indent=2) + "\n")
    table = Table("benchmark", "value", "unit", "goal", "met", "detail")
    for row in rows:
        table.add_row(row.name, f"{row.value:.2f}", row.unit, f"{row.goal:g}", "yes" if row.met else "no", row.detail)
    Console(width=160).print(table)
    return 0


if __name__ == "__main__":
    sys.modules["run"] = sys.modules["__main__"]  # the benchmarks import Row from here
    raise SystemExit(main(sys.argv[1:]))
