"""The whole pipeline on a real local Ray cluster: recorded teachers, a tiny random student, recorded answers.

Engines are recordings, so that what is tested is the pipeline: what becomes durable, reused, resumed and counted.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from mixdistill.artifacts import Journal
from mixdistill.config import ProblemsConfig, load_experiment
from mixdistill.errors import DataError, StageError, StoreError
from mixdistill.pipeline import build_graph, manifests, run
from mixdistill.problems import load_problems
from mixdistill.records import Prediction, Problem, Trace, from_table, schema_of, to_table
from mixdistill.stages.cluster import connect, disconnect
from mixdistill.stages.progress import NoProgress

SUMS = {"dataset": "chain_sum", "params": {"min_terms": 2, "max_terms": 2, "min_digits": 2, "max_digits": 2}}


@pytest.fixture(scope="module", autouse=True)
def cluster():
    connect()
    yield
    disconnect()


def problems(seed: int, size: int) -> list[Problem]:
    config = ProblemsConfig(source="reasoning_gym", options=SUMS | {"seed": seed, "size": size})
    return load_problems(config).problems


def record(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="module")
def config(tmp_path_factory, tiny_model) -> dict:
    """Every third problem is solved at once, every third on the second sample, every third never."""
    folder = tmp_path_factory.mktemp("recorded")
    taught = []
    for index, problem in enumerate(problems(seed=1000, size=24)):
        right, wrong = f"So it is \\boxed{{{problem.reference_answer}}}.", "So it is \\boxed{12345}."
        for response in ([right], [wrong, right], [wrong, wrong])[index % 3]:
            taught.append({"question": problem.question, "response": response, "num_tokens": 8})
    answered = []
    for index, problem in enumerate(problems(seed=90000, size=20)):
        right = f"\\boxed{{{problem.reference_answer}}}"
        response = [right, "I do not know.", right, "\\boxed{12345}"][index % 4]
        answered.append({"question": problem.question, "response": response})
    teacher = {
        "model": "recorded",
        "sampling": {"max_samples": 2, "max_tokens": 64},
        "engine": {"kind": "replay", "path": record(folder / "taught.jsonl", taught)},
    }
    return {
        "name": "recorded",
        "store": "set by each test",
        "problems": {"source": "reasoning_gym", "options": SUMS | {"seed": 1000, "size": 24}},
        "teachers": {"short": teacher, "long": teacher},
        "mixes": {"short": {"short": 1.0}, "mix_long": {"long": 0.2, "short": 0.8}},
        "students": {
            "tiny": {
                "model": str(tiny_model),
                "method": "full",
                "learning_rate": 1e-3,
                "num_epochs": 1,
                "global_batch_size": 4,
                "per_device_batch_size": 4,
                "max_seq_length": 500,
                "dtype": "float32",
            }
        },
        "evaluate": {
            "benchmarks": {"sums": {"source": "reasoning_gym", "options": SUMS | {"seed": 90000, "size": 20}}},
            "engine": {"kind": "replay", "path": record(folder / "answered.jsonl", answered)},
        },
        "report": {"num_bootstrap": 200},
    }


def experiment(config: dict, store: Path, *overrides: str):
    path = store.parent / f"{store.name}.yaml"
    path.write_text(yaml.safe_dump(config))
    return load_experiment(path, [f"store={store}", *overrides])


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    """An undisturbed run, shared by the tests that only look."""
    made = experiment(config, tmp_path_factory.mktemp("finished") / "store")
    return made, run(made)


def of(graph, stage: str, name: str):
    return next(graph.artifact(task) for task in graph.of(stage) if task.key.name.startswith(name))


def traces_of(graph, teacher: str) -> list[Trace]:
    return from_table(of(graph, "generate", teacher).read_table("traces.parquet"), Trace)


def test_every_artifact_is_finished_and_nothing_unfinished_is_left(finished):
    made, result = finished
    assert all(manifests(result.graph).values())
    left = [path.name for path in Path(made.store).rglob("*") if path.name in ("chunks", "running", "checkpoints")]
    assert left == []


def test_running_again_makes_nothing(finished):
    made, result = finished
    again = run(made)
    assert (again.num_made, again.num_reused) == (0, result.num_made)


def test_a_problem_is_sampled_until_it_is_solved_or_its_samples_are_used_up(finished):
    by_problem: dict[str, list[Trace]] = {}
    for trace in traces_of(finished[1].graph, "short"):
        by_problem.setdefault(trace.problem_id, []).append(trace)
    assert len(by_problem) == 24
    for traces in by_problem.values():
        assert [trace.sample_index for trace in traces] == list(range(len(traces)))
        assert traces[-1].correct or len(traces) == 2
        assert not any(trace.correct for trace in traces[:-1])


def test_the_counts_of_the_selection_reconcile_with_the_traces(finished):
    graph = finished[1].graph
    selected = of(graph, "select", "short").manifest()
    assert selected.num_rows + sum(selected.counts.values()) == selected.num_rows_in == len(traces_of(graph, "short"))
    assert selected.num_rows == 16


def column_of(graph, mix: str, file: str, column: str) -> list:
    return of(graph, "mix", mix).read_table(file).column(column).to_pylist()


def test_all_mixes_hold_the_same_problems_and_a_higher_share_swaps_teachers_alone(finished):
    graph = finished[1].graph
    pure, mixed = ({mix: column_of(graph, mix, "examples.parquet", "problem_id") for mix in ("short", "mix_long")}).values()
    assert sorted(pure) == sorted(mixed)
    assert len(set(mixed)) == len(mixed)
    teachers = column_of(graph, "mix_long", "examples.parquet", "teacher")
    assert teachers.count("long") == round(0.2 * len(mixed)) > 0


def test_no_mix_holds_a_problem_that_students_are_validated_on(finished):
    graph = finished[1].graph
    held_out = set(column_of(graph, "short", "validation.parquet", "problem_id"))
    assert len(held_out) + len(column_of(graph, "short", "examples.parquet", "problem_id")) == 16  # solved by both teachers
    assert held_out.isdisjoint(column_of(graph, "mix_long", "examples.parquet", "problem_id"))


def test_every_student_is_validated_on_each_source_from_before_the_first_step_to_the_last(finished):
    figures = of(finished[1].graph, "train", "tiny-short").manifest().figures
    assert set(figures["validation"]) == {"long", "short"}
    for curve in figures["validation"].values():
        assert (curve[0][0], curve[-1][0]) == (0, figures["num_steps"])


def test_a_student_is_safetensors_and_nothing_that_runs(finished):
    folder = Path(of(finished[1].graph, "train", "tiny-short").url) / "model"
    names = {path.name for path in folder.iterdir()}
    assert "model.safetensors" in names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl", ".py"))]


def test_every_question_is_answered_once_by_every_student_and_the_untouched_model(finished):
    graph = finished[1].graph
    for task in graph.of("evaluate"):
        rows = from_table(graph.artifact(task).read_table("predictions.parquet"), Prediction)
        assert len({row.problem_id for row in rows}) == len(rows) == 20
        assert len({row.prediction_id for row in rows}) == 20


def test_the_report_keeps_its_contract(finished):
    report = of(finished[1].graph, "report", "recorded").read_json("report.json")
    score_fields = {
        *("student", "base_model", "mix", "seed", "benchmark", "n", "correct", "accuracy", "ci_low", "ci_high"),
        *("answered", "accuracy_lenient", "mean_tokens", "truncated"),
    }
    gap_fields = {"kind", "base_model", "benchmark", "delta", "ci_low", "ci_high", "p_value", "n"}
    assert {row["mix"] for row in report["scores"]} == {"none", "short", "mix_long"}
    assert all(score_fields <= row.keys() and row["n"] == 20 and row["accuracy"] == 0.5 for row in report["scores"])
    assert {row["kind"] for row in report["gaps"]} == {"mix_long"}
    assert {row["benchmark"] for row in report["gaps"]} == {"sums", "macro", "pooled"}
    assert all(gap_fields <= row.keys() and row["delta"] == 0 for row in report["gaps"])


def test_a_manifest_leads_from_a_score_back_to_the_traces(finished):
    graph = finished[1].graph
    known = {str(key): manifest for key, manifest in manifests(graph).items()}
    at = str(graph.of("report")[0].key)
    for role in ("predictions.tiny.short.0.sums", "student", "examples", "selected.short", "traces", "problems"):
        at = known[at].inputs[role]
    assert known[at].stage == "problems"


def test_generation_goes_on_from_the_traces_that_are_durable(config, finished, tmp_path):
    """As after a kill: some traces stand in the journal, one problem stopped between its samples."""
    made = experiment(config, tmp_path / "store")
    graph = build_graph(made)
    whole = traces_of(finished[1].graph, "short")
    durable = [trace for trace in whole if trace.sample_index == 0][:15]
    marked = [dataclasses.replace(trace, response="durable") for trace in durable]
    task = next(task for task in graph.of("generate") if task.key.name == "short")
    Journal.of(graph.artifact(task), schema_of(Trace)).write(0, to_table(marked, Trace), finished=False)
    run(made, until="generate")
    again = traces_of(graph, "short")
    assert [trace.trace_id for trace in again] == [trace.trace_id for trace in whole]
    assert sum(trace.response == "durable" for trace in again) == 15


def test_a_judge_raises_the_score_by_what_it_accepts_and_its_verdicts_stand_apart(config, finished, tmp_path):
    made, _ = finished
    graph = build_graph(made)
    rejected = {}
    for task in graph.of("evaluate"):
        rows = from_table(graph.artifact(task).read_table("predictions.parquet"), Prediction)
        rejected[task.key.name] = [row for row in rows if row.extracted and not row.correct]
    problems = from_table(of(graph, "problems", "benchmark").read_table("problems.parquet"), Problem)
    questions = [{"question": problem.question, "response": "True"} for problem in problems]
    says_true = {"kind": "replay", "path": record(tmp_path / "judge.jsonl", questions)}
    judged = experiment(config, Path(made.store), f"evaluate.judge={json.dumps({'model': 'j', 'engine': says_true})}")
    graph = run(judged).graph
    for task in graph.of("judge"):
        judgements = graph.artifact(task).read_table("judgements.parquet")
        assert judgements.column("prediction_id").to_pylist() == [row.prediction_id for row in rejected[task.key.name]]
        assert set(judgements.column("verdict").to_pylist()) == {True}
    for score in of(graph, "report", "recorded").read_json("report.json")["scores"]:
        assert (score["accuracy"], score["num_judged"], score["accuracy_judged"]) == (0.5, 5, 0.75)


def test_teachers_with_different_engines_work_side_by_side(config, tmp_path):
    class Heard(NoProgress):
        told: ClassVar[list[tuple[str, str]]] = []

        def update(self, label, done, total, note=""):
            self.told.append(("update", label))

        def finish(self, label, note=""):
            self.told.append(("finish", label))

    slow = "teachers.{}.engine.latency_s={}"
    made = experiment(config, tmp_path / "store", slow.format("short", 2.0), slow.format("long", 2.5))
    run(made, until="generate", progress=Heard())
    begun = {label for what, label in Heard.told[: Heard.told.index(("finish", "generate short"))] if what == "update"}
    assert {"generate short", "generate long"} <= begun


def test_a_report_that_lost_its_manifest_is_written_again_and_nothing_else(finished):
    made, result = finished
    (Path(of(result.graph, "report", "recorded").url) / "manifest.json").unlink()
    assert run(made).num_made == 1


def test_a_selection_that_keeps_nothing_says_why(config, tmp_path):
    made = experiment(config, tmp_path / "store", "selection.min_tokens=999")
    with pytest.raises(DataError, match=r"keeps none of the .*too_short 16"):
        run(made, until="mix")
    assert of(build_graph(made), "generate", "short").finished


def test_a_student_that_fails_is_named_and_the_others_finish(config, tmp_path):
    made = experiment(config, tmp_path / "store", "train.max_failures=0", "train.per_mix.short.max_seq_length=16")
    with pytest.raises(StageError, match="1 of 2 students failed") as caught:
        run(made, until="train")
    assert "tiny-short-seed0" in str(caught.value)
    graph = build_graph(made)
    assert of(graph, "train", "tiny-mix_long").finished
    assert not of(graph, "train", "tiny-short").finished


def test_an_error_of_a_worker_comes_back_as_itself(config, tmp_path):
    made = experiment(config, tmp_path / "store", "teachers.short.engine.path=/nowhere.jsonl")
    with pytest.raises(DataError, match=r"/nowhere\.jsonl does not exist"):
        run(made, until="generate")


def test_a_broken_parquet_file_stops_the_run_and_names_the_folder(config, tmp_path):
    made = experiment(config, tmp_path / "store")
    graph = run(made, until="generate").graph
    (Path(of(graph, "generate", "short").url) / "traces.parquet").write_bytes(b"broken")
    with pytest.raises(StoreError, match="remove the folder"):
        run(made, until="mix")


def test_a_search_adds_a_found_mix_its_student_and_a_curve_to_a_finished_experiment(config, finished):
    made, before = finished
    searching = "search={mix_found: {of: long, rest: short, shares: [0.2, 0.5], num_rungs: 2}}"
    result = run(experiment(config, Path(made.store), searching))
    new = {task.key.stage for task in result.graph.tasks} & {"search", "mix", "train", "evaluate", "report"}
    assert (result.num_made, result.num_reused) == (len(new), before.num_made - 1)  # one of each; the report is made anew
    figures = of(result.graph, "search", "mix_found").manifest().figures
    assert {candidate["share"] for candidate in figures["candidates"]} == {0.2, 0.5}
    assert of(result.graph, "mix", "mix_found").manifest().figures["examples_by_teacher"].keys() == {"long", "short"}
    document = of(result.graph, "report", "recorded").read_json("report.json")
    assert document["searches"][0]["best_share"] == figures["best_share"]
    assert "mix_found" in {score["mix"] for score in document["scores"]}
