"""What `status` shows of a student that failed, and what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mixdistill.cli.status import command
from mixdistill.config import load_experiment
from mixdistill.pipeline import build_graph
from mixdistill.stages.training_failures import Failure, write_failure

DEMO = str(Path(__file__).resolve().parents[3] / "configs" / "demo.yaml")


def status(store: Path, *words: str) -> str:
    done = CliRunner().invoke(command, [DEMO, "--set", f"store={store}", *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


@pytest.fixture
def students(tmp_path: Path) -> list[str]:
    """Of the students of the demo, the first has failed and the second is unfinished."""
    graph = build_graph(load_experiment(DEMO, [f"store={tmp_path}"]))
    first, second = graph.of("train")[:2]
    write_failure(graph.artifact(first), Failure("diverged", "loss nan at step 3", 2))
    graph.artifact(second).write_json("training.json", {})
    return [first.key.name, second.key.name]


def test_a_failed_student_is_told_from_an_unfinished_one(tmp_path: Path, students: list[str]) -> None:
    rows = {row["name"]: row for row in json.loads(status(tmp_path, "--json"))["artifacts"]}
    failed, unfinished = (rows[name] for name in students)
    assert (failed["state"], failed["reason"]) == ("failed", "diverged after 2 attempts: loss nan at step 3")
    assert (unfinished["state"], unfinished["reason"]) == ("unfinished", None)


def test_the_table_says_why_a_student_failed(tmp_path: Path, students: list[str]) -> None:
    assert f"{students[0]} failed: diverged after 2 attempts: loss nan at step 3\n" in status(tmp_path)


def test_a_student_that_is_finished_has_not_failed(tmp_path: Path, students: list[str]) -> None:
    graph = build_graph(load_experiment(DEMO, [f"store={tmp_path}"]))
    first = graph.of("train")[0]
    graph.artifact(first).finish(first.manifest(num_rows=1, seconds=1.0))
    states = {row["name"]: row["state"] for row in json.loads(status(tmp_path, "--json"))["artifacts"]}
    assert states[students[0]] == "finished"
