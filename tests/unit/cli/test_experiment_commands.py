"""What a person meets who gives `run`, `plan` and `status` a config: a clear message, or one JSON document."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DEMO = "configs/demo.yaml"


def mixdistill(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mixdistill", *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("override", "code", "said"),
    [
        ("teachers.short.sampling.temprature=1", 2, "did you mean 'temperature'"),
        ("mixes.short={shrt: 1.0}", 2, "did you mean 'short'"),
        ("mixes.short={short: 0.5}", 2, "add up to 1"),
        ("problems.limit=0", 2, "greater than or equal to 1"),
        ("problems.source=reasoning_gim", 2, "did you mean 'reasoning_gym'"),
        ("prompt=papr", 2, "paper"),
        ("students.smollm2-135m.model=/no/such/folder", 1, "/no/such/folder does not exist"),
        ("students.smollm2-135m.model=nonsense", 1, "names no model"),
        ("teachers.short.model=bundled:nonsense", 1, "no bundled model"),
        ("problems={source: file, path: /no/such.jsonl, fields: {question: q, answer: a}}", 1, "/no/such.jsonl"),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_mistake_gets_one_clear_message_and_no_traceback(tmp_path, command, override, code, said):
    done = mixdistill(command, DEMO, "--set", f"store={tmp_path}", "--set", override)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_missing_config_is_wrong_usage():
    done = mixdistill("run", "no/such.yaml")
    assert done.returncode == 2
    assert "no/such.yaml" in done.stderr


def test_a_search_of_nothing_says_what_is_missing(tmp_path):
    done = mixdistill("search", DEMO, "--set", f"store={tmp_path}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "no `search` section" in done.stderr


def test_debug_shows_the_traceback(tmp_path):
    done = mixdistill("run", DEMO, "--set", f"store={tmp_path}", "--set", "prompt=papr", "--debug")
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_an_empty_problem_set_is_named(tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    override = f"problems={{source: file, path: {tmp_path}/empty.jsonl, fields: {{question: q, answer: a}}}}"
    done = mixdistill("run", DEMO, "--set", f"store={tmp_path}/store", "--set", override)
    assert done.returncode == 1
    assert "empty.jsonl" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc").is_dir(), reason="needs a folder that root cannot write")
def test_a_store_that_cannot_be_written_says_so():
    done = mixdistill("run", DEMO, "--set", "store=/proc/no-store-here")
    assert done.returncode == 1
    assert "choose another `store:`" in done.stderr
    assert "Traceback" not in done.stderr


def test_plan_and_status_print_one_json_document_and_nothing_else(tmp_path):
    for command in ("plan", "status"):
        done = mixdistill(command, DEMO, "--json", "--set", f"store={tmp_path}")
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        document = json.loads(done.stdout)
        assert len(document["artifacts"]) == 17
        assert {row["state"] for row in document["artifacts"]} == {"missing"}


def test_status_has_the_promised_fields(tmp_path):
    document = json.loads(mixdistill("status", DEMO, "--json", "--set", f"store={tmp_path}").stdout)
    promised = {"stage", "name", "fingerprint", "state", "rows", "seconds", "path"}
    assert all(promised <= row.keys() for row in document["artifacts"])


def test_a_plan_of_the_papers_experiments_needs_neither_gpu_nor_network(tmp_path):
    for config in sorted((ROOT / "configs" / "paper").glob("*.yaml")):
        done = mixdistill("plan", str(config), "--set", f"store={tmp_path}")
        assert done.returncode == 0, done.stderr
