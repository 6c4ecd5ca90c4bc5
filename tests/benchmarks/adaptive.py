"""Tokens until every solvable problem has an accepted trace: adaptive sampling against a fixed number of samples.

Each teacher's responses are real: the demo's teacher writes eight for every problem (which is fixed-8, its first four are
fixed-4), or they were published. Adaptive sampling then runs over the same responses through the generation stage, asking
for one more only while a problem lacks an accepted trace. Both solve the same problems, since sample i is the same response.
"""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from run import ROOT, Row, run_script

NUM_PROBLEMS = 100
GSM8K = ROOT.parent / "shared" / "data" / "gsm8k_model_solutions_300.jsonl"

_RUN = """
import json, logging, sys
from pathlib import Path
import ray
from mixdistill.config import load_experiment
from mixdistill.pipeline import run
config, overrides, out = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
ray.init(include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
graph = run(load_experiment(config, overrides), until="generate").graph
task = next(task for task in graph.of("generate") if task.key.name == "short")
problems = graph.store.artifact(task.problems).read_table("problems.parquet").to_pylist()
by_id = {row["problem_id"]: row for row in problems}
rows = graph.artifact(task).read_table("traces.parquet").to_pylist()
for row in rows:
    row["question"], row["answer"] = (by_id[row["problem_id"]][name] for name in ("question", "reference_answer"))
Path(out).write_text(json.dumps(rows))
"""


def adaptive_fixed4_demo() -> Row:
    """The demo's teacher and problems; it is right once in four or five samples."""
    return _row("adaptive_fixed4_demo", _demo_traces(easy=False), 4)


def adaptive_fixed8_demo() -> Row:
    """The demo's teacher and problems, against eight samples."""
    return _row("adaptive_fixed8_demo", _demo_traces(easy=False), 8)


def adaptive_fixed4_easy() -> Row:
    """The demo's teacher on sums of two digits from 1 to 9, cooler: problems that it mostly solves."""
    return _row("adaptive_fixed4_easy", _demo_traces(easy=True), 4)


def adaptive_fixed8_easy() -> Row:
    """The same, against eight samples."""
    return _row("adaptive_fixed8_easy", _demo_traces(easy=True), 8)


def adaptive_fixed4_published() -> Row:
    """The four solutions that were published with GSM8K for each of 300 test questions, as four samples of one teacher."""
    rows = []
    for line in GSM8K.read_text().splitlines():
        published = json.loads(line)
        for model in ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"):
            answer = published["ground_truth"].rpartition("A:")[2].strip()
            rows.append({"question": published["question"], "answer": answer, "response": published[model]["solution"]})
    return _row("adaptive_fixed4_published", rows, 4)


def _row(name: str, recorded: list[dict[str, Any]], num_samples: int) -> Row:
    """Replay the first samples of every problem, fixed and adaptively."""
    fixed = _replay(recorded, num_samples, want=num_samples)
    adaptive = _replay(recorded, num_samples, want=1)
    solved = [{row["question"] for row in rows if _accepted(row)} for rows in (fixed, adaptive)]
    assert solved[0] == solved[1], "both must solve the same problems"
    tokens = [sum(row["num_tokens"] for row in rows) for rows in (fixed, adaptive)]
    pass_rate = sum(map(_accepted, fixed)) / len(fixed)
    goal = {4: 2.0, 8: 3.5}[num_samples] if pass_rate > 0.8 else 1.0
    num_problems = len({row["question"] for row in fixed})
    return Row(
        name,
        tokens[0] / tokens[1],
        f"tokens of fixed-{num_samples} over adaptive's",
        goal,
        f"{tokens[0]:,} against {tokens[1]:,} tokens, both solve {len(solved[0])} of {num_problems} problems; "
        f"pass rate {pass_rate:.2f}",
    )


def _accepted(row: dict[str, Any]) -> bool:
    return bool(row["correct"]) and row["finish_reason"] == "stop"


@cache
def _demo_traces(*, easy: bool) -> Any:
    """Eight samples of the demo's short teacher for each problem, written by the real engine."""
    if easy:
        with tempfile.TemporaryDirectory() as folder:
            problems = Path(folder) / "additions.jsonl"
            asked = "State the final answer to the following arithmetic problem: {} + {} ="
            pairs = [(a, b) for a in range(1, 10) for b in range(1, 10)]
            problems.write_text("".join(json.dumps({"question": asked.format(a, b), "answer": a + b}) + "\n" for a, b in pairs))
            source = {"source": "file", "path": str(problems)}
            return _demo([f"problems={json.dumps(source)}", "teachers.short.sampling.temperature=0.3"])
    return _demo([f"problems.limit={NUM_PROBLEMS}"])


def _demo(overrides: list[str]) -> Any:
    overrides = [*overrides, 'mixes={"short": {"short": 1.0}}', "selection.answer_form=boxed"]
    overrides += ["teachers.short.sampling.want=8", "teachers.short.sampling.max_samples=8"]
    overrides += ['teachers.long.sampling={"max_samples": 1, "max_tokens": 1, "temperature": 0}']
    return _run(str(ROOT / "configs" / "demo.yaml"), overrides)


def _replay(recorded: list[dict[str, Any]], num_samples: int, *, want: int) -> Any:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        fields = ("question", "response", "num_tokens", "finish_reason")
        kept = [{name: row[name] for name in fields if name in row} for row in recorded]
        (folder / "recording.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
        answers = {row["question"]: row["answer"] for row in recorded}
        lines = (json.dumps({"question": question, "answer": answer}) + "\n" for question, answer in answers.items())
        (folder / "problems.jsonl").write_text("".join(lines))
        unused = {"source": "reasoning_gym", "options": {"dataset": "chain_sum", "seed": 1, "size": 2}}
        sampling = {"want": want, "max_samples": num_samples, "temperature": 0.7}
        document = {
            "name": "replayed",
            "store": "set below",
            "problems": {"source": "file", "path": str(folder / "problems.jsonl")},
            "engine": {"kind": "replay", "path": str(folder / "recording.jsonl")},
            "selection": {"answer_form": "last"},
            "teachers": {"short": {"model": "recorded", "prompt": "{question}", "sampling": sampling}},
            "mixes": {"short": {"short": 1.0}},
            "students": {"s": {"model": "bundled:smollm2-135m-instruct"}},
            "evaluate": {"benchmarks": {"b": unused}},
        }
        (folder / "experiment.yaml").write_text(json.dumps(document))
        return _run(str(folder / "experiment.yaml"), [])


def _run(config: str, overrides: list[str]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "traces.json"
        run_script(_RUN, config, json.dumps([*overrides, f"store={folder}/store"]), str(out))
        return json.loads(out.read_text())
