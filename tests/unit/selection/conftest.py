"""Factories for selection's tests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mixdistill.config import SelectionConfig
from mixdistill.records import Problem, Trace, content_id, from_table, to_table
from mixdistill.selection import Selector, cut, judge, kept_rows, rejected_rows, repeated_problems, settle

SHARED_DATA = Path(__file__).resolve().parents[3] / "../shared/data"

PROBLEM = Problem.of("What is 1 + 1?", "2", "made-up")


@pytest.fixture(scope="session")
def problem() -> Problem:
    return PROBLEM


@pytest.fixture(scope="session")
def trace_of() -> Callable[..., Trace]:
    """A trace that passes every rule; keyword arguments change fields."""

    def make(sample_index: int = 0, *, problem: Problem = PROBLEM, teacher: str = "short", **fields: object) -> Trace:
        values: dict[str, object] = {
            "trace_id": content_id(problem.problem_id, teacher, sample_index, 7),
            "problem_id": problem.problem_id,
            "teacher": teacher,
            "round": 0,
            "sample_index": sample_index,
            "seed": 7,
            "reasoning": None,
            "response": f"Reasoning {sample_index}. \\boxed{{2}}",
            "finish_reason": "stop",
            "num_prompt_tokens": 20,
            "num_tokens": 10,
            "extracted": "2",
            "correct": True,
            "reason": "",
        }
        return Trace(**{**values, **fields})  # type: ignore[arg-type]

    return make


@dataclass(frozen=True)
class Selection:
    """What became of each trace."""

    kept: list[Trace]  # in the order of the problems, those of a problem in the order of their sampling
    rejected: list[tuple[str, str]]  # (trace_id, reason), in the same order
    counts: dict[str, int]  # reason -> rejected traces


@pytest.fixture(scope="session")
def select_with() -> Callable[..., Selection]:
    """Selects as the stage does, in slices of so many traces, with the config's fields as keyword arguments."""

    def run(
        traces: list[Trace],
        problems: list[Problem] | None = None,
        benchmark_questions: dict[str, list[str]] | None = None,
        *,
        slice_traces: int = 1000,
        **fields: object,
    ) -> Selection:
        problems = problems or [PROBLEM]
        config = SelectionConfig(**fields)
        place = {problem.problem_id: number for number, problem in enumerate(problems)}
        table = to_table(sorted(traces, key=lambda trace: (place[trace.problem_id], trace.sample_index)), Trace)
        selector = Selector(config, benchmark_questions or {})
        parts = []
        for one in cut(table.to_batches(), place, slice_traces):
            of_slice = to_table(problems[one.problems.start : one.problems.stop], Problem)
            parts.append(judge(table.slice(one.traces.start, len(one.traces)), of_slice, selector))
        passed = {trace.problem_id for part in parts for trace in from_table(kept_rows(part), Trace)}
        repeated: set[str] = set()
        if config.near_duplicate_jaccard is not None:
            passing = [problem for problem in problems if problem.problem_id in passed]
            repeated = repeated_problems(lambda: passing, config.near_duplicate_jaccard)
        settled = [settle(part, repeated) for part in parts]
        rejected = [(row["trace_id"], row["reason"]) for part in settled for row in rejected_rows(part).to_pylist()]
        kept = [trace for part in settled for trace in from_table(kept_rows(part), Trace)]
        return Selection(kept, rejected, dict(Counter(reason for _, reason in rejected)))

    return run


@pytest.fixture(scope="session")
def real_rows() -> Callable[[str], list[dict[str, Any]]]:
    """The rows of a publisher's file; skips where the file is absent."""

    def read(file: str) -> list[dict[str, Any]]:
        path = SHARED_DATA / file
        if not path.exists():
            pytest.skip(f"{path} is not here")
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    return read


@pytest.fixture(scope="session")
def real_solutions(real_rows) -> list[str]:
    """2,030 solutions in English: of GSM8K by four models and by its authors, of MATH-500 and AIME 2024 by people."""
    solutions = [row["solution"] for file in ("math500.jsonl", "aime24.jsonl") for row in real_rows(file)]
    for row in real_rows("gsm8k_model_solutions_300.jsonl"):
        solutions.append(row["ground_truth"])
        solutions += [value["solution"] for value in row.values() if isinstance(value, dict)]
    return solutions
