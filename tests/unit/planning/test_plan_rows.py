"""The rows of a plan: bounds of tokens, times and memory that follow from the config and from what is finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mixdistill.config import load_experiment
from mixdistill.pipeline import Graph, build_graph, manifests
from mixdistill.planning import Machine, PlanRow, Rates, plan
from mixdistill.planning.rates import engine_key, finished_rates, training_key
from mixdistill.planning.rows import PROMPT_TOKENS, row_tokens

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "configs" / "demo.yaml"
SEARCH = ("search.found={of: long, rest: short, shares: [0.1, 0.4, 0.8], num_rungs: 2}", "mixing.validation_share=0.1")


def graph_of(store: Path, *overrides: str, config: Path = DEMO) -> Graph:
    return build_graph(load_experiment(config, [f"store={store}", *overrides]))


def rows_of(graph: Graph, **settings: Any) -> dict[tuple[str, str], PlanRow]:
    return {(row.stage, row.name): row for row in plan(graph, **settings)}


def finish(graph: Graph, stage: str, name: str, *, num_rows: int, seconds: float = 10.0, **figures: Any) -> None:
    task = next(task for task in graph.of(stage) if task.key.name == name)
    graph.artifact(task).finish(task.manifest(num_rows=num_rows, seconds=seconds, figures=figures))


def task_of(graph: Graph, stage: str, name: str) -> Any:
    return next(task for task in graph.of(stage) if task.key.name == name)


# Tokens


def test_a_teacher_writes_at_most_every_sample_to_its_limit(tmp_path):
    graph = graph_of(tmp_path, "problems.limit=10", "teachers.short.sampling.max_samples=3")
    row = rows_of(graph)["generate", "short"]
    assert row.state == "missing"
    assert row.max_tokens == 10 * 3 * graph.experiment.teachers["short"].sampling.max_tokens


def test_a_teacher_is_bounded_by_its_token_budget_and_a_judge_by_the_answers(tmp_path):
    graph = graph_of(tmp_path, "teachers.short.sampling.max_total_tokens=1000", 'evaluate.judge={"model": "org/judge-7b"}')
    rows = rows_of(graph)
    assert rows["generate", "short"].max_tokens == 1000
    assert {row.max_tokens for (stage, _), row in rows.items() if stage == "judge"} == {160 * 20}


def test_published_problem_sets_are_bounded_by_their_published_sizes(tmp_path):
    graph = graph_of(tmp_path, config=ROOT / "configs" / "paper" / "mix_long_qwen2.5.yaml")
    rows = rows_of(graph)
    sampling = graph.experiment.teachers["long"].sampling
    assert rows["generate", "long"].max_tokens == 7_500 * sampling.max_samples * sampling.max_tokens
    assert all(row.max_tokens and row.max_seconds and row.memory_gib for row in rows.values() if row.stage == "train")


def test_a_mix_holds_no_more_than_its_problems_give_whatever_num_examples_says(tmp_path):
    few = rows_of(graph_of(tmp_path, "problems.limit=10", "mixing.num_examples=1000"))
    many = rows_of(graph_of(tmp_path, "problems.limit=10"))
    name = ("train", "smollm2-135m-long-seed0")
    assert few[name].max_tokens == many[name].max_tokens


def test_steps_bound_a_training_whatever_the_number_of_examples(tmp_path):
    graph = graph_of(tmp_path, "students.smollm2-135m.num_steps=7")
    row = rows_of(graph)["train", "smollm2-135m-long-seed0"]
    longest = PROMPT_TOKENS + graph.experiment.teachers["long"].sampling.max_tokens
    assert row.max_tokens == 7 * graph.experiment.students["smollm2-135m"].global_batch_size * longest


def test_a_search_costs_at_most_all_its_candidates_trained_to_the_end_and_asked_at_every_rung(tmp_path):
    graph = graph_of(tmp_path, *SEARCH)
    rows = rows_of(graph)
    found = graph.experiment.search["found"]
    asked = 3 * found.num_rungs * found.max_questions * graph.experiment.evaluate.sampling.max_tokens
    trained = rows["train", "smollm2-135m-found-seed0"].max_tokens
    search = rows["search", "found-for-smollm2-135m"]
    assert search.max_tokens == 3 * trained + asked
    assert search.max_seconds > 3 * rows["train", "smollm2-135m-found-seed0"].max_seconds
    assert search.memory_gib == rows["train", "smollm2-135m-found-seed0"].memory_gib


def test_a_candidate_trains_on_one_worker_whatever_its_student_does(tmp_path):
    one = rows_of(graph_of(tmp_path, *SEARCH))["search", "found-for-smollm2-135m"]
    four = rows_of(graph_of(tmp_path, *SEARCH, "train.num_workers=4"))["search", "found-for-smollm2-135m"]
    assert four.memory_parts_gib == one.memory_parts_gib


# The longest row


def length_of(graph: Graph, name: str = "smollm2-135m-mix_long-seed0") -> tuple[int, int]:
    return row_tokens(graph, manifests(graph), task_of(graph, "train", name))


def test_a_row_is_as_long_as_the_longest_teacher_of_its_mix_may_write(tmp_path):
    graph = graph_of(tmp_path, "teachers.long.sampling.max_tokens=90", "teachers.short.sampling.max_tokens=50")
    assert length_of(graph) == (PROMPT_TOKENS + 90, 90)
    assert length_of(graph, "smollm2-135m-short-seed0") == (PROMPT_TOKENS + 50, 50)


@pytest.mark.parametrize("setting", ["packing=true", "max_seq_length=100"])
def test_a_row_is_never_longer_than_max_seq_length_and_a_packed_one_is_full(tmp_path, setting):
    graph = graph_of(tmp_path, f"students.smollm2-135m.{setting}")
    assert length_of(graph)[0] == graph.experiment.students["smollm2-135m"].max_seq_length


def test_a_recording_may_hold_responses_of_any_length(tmp_path):
    recording = tmp_path / "recording.jsonl"
    recording.write_text('{"question": "q", "response": "r"}\n')
    graph = graph_of(tmp_path, f'teachers.long.engine={{"kind": "replay", "path": "{recording}"}}')
    assert length_of(graph) == (512, 512)


def test_a_finished_mix_tells_its_longest_response(tmp_path):
    graph = graph_of(tmp_path)
    finish(graph, "mix", "mix_long", num_rows=50, tokens_by_teacher={"long": {"max": 90}, "short": {"max": 30}})
    assert length_of(graph) == (PROMPT_TOKENS + 90, 90)


# Memory


def test_each_part_of_the_memory_is_told_and_they_add_up(tmp_path):
    row = rows_of(graph_of(tmp_path))["train", "smollm2-135m-long-seed0"]
    parts = {"weights", "adapter", "gradients", "optimizer", "activations", "logits", "margin"}
    assert row.memory_parts_gib.keys() == parts
    assert sum(row.memory_parts_gib.values()) == pytest.approx(row.memory_gib, abs=0.01)
    assert not row.estimated


def test_a_model_of_which_only_the_size_is_known_is_marked(tmp_path):
    graph = graph_of(tmp_path, "students.smollm2-135m.model=org/Other-1B")
    assert rows_of(graph)["train", "smollm2-135m-long-seed0"].estimated


def test_without_a_known_capacity_nothing_is_said_to_fit_or_not(tmp_path):
    row = rows_of(graph_of(tmp_path))["train", "smollm2-135m-long-seed0"]
    assert row.capacity_gib is None
    assert row.fits is None


def test_runs_that_are_finished_leave_their_memory_to_the_others(tmp_path):
    graph, machine = graph_of(tmp_path), Machine(memory_gib=12.0, num_cpus=2)
    assert rows_of(graph, machine=machine)["train", "smollm2-135m-long-seed0"].capacity_gib == 6.0
    for name in ("short", "mix_long"):
        finish(graph, "train", f"smollm2-135m-{name}-seed0", num_rows=1)
    assert rows_of(graph, machine=machine)["train", "smollm2-135m-long-seed0"].capacity_gib == 12.0


# Times


def test_what_is_finished_costs_nothing(tmp_path):
    graph = graph_of(tmp_path)
    finish(graph, "generate", "short", num_rows=20)
    row = rows_of(graph)["generate", "short"]
    assert (row.state, row.max_tokens, row.max_seconds, row.memory_gib) == ("finished", None, None, None)


def test_a_measured_speed_gives_the_time_and_is_marked(tmp_path):
    graph = graph_of(tmp_path)
    recipe = task_of(graph, "train", "smollm2-135m-long-seed0").recipe
    row = rows_of(graph, rates=Rates(training={training_key(recipe): 100.0}))["train", "smollm2-135m-long-seed0"]
    assert row.measured
    assert row.max_seconds == pytest.approx(row.max_tokens / 100)
    assert not rows_of(graph)["train", "smollm2-135m-long-seed0"].measured


def test_a_finished_teacher_tells_how_fast_its_engine_writes(tmp_path):
    graph = graph_of(tmp_path)
    finish(graph, "generate", "short", num_rows=20, seconds=10.0, num_tokens=3000)
    rates = finished_rates(graph, manifests(graph))
    row = rows_of(graph, rates=rates)["generate", "long"]
    assert row.measured
    assert row.max_seconds == pytest.approx(row.max_tokens / 300)


def test_teachers_that_shared_an_engine_share_its_time(tmp_path):
    graph = graph_of(tmp_path)
    for name in ("short", "long"):
        finish(graph, "generate", name, num_rows=20, seconds=10.0, num_tokens=3000)
    engine = task_of(graph, "generate", "long").engine
    rates = finished_rates(graph, manifests(graph))
    assert rates.decoding == {engine_key(engine.model, engine.revision, engine.config): 600.0}


def test_an_interrupted_teacher_tells_no_speed(tmp_path):
    graph = graph_of(tmp_path)
    waste = {"requests_repeated": 3, "engine_deaths": 0, "workers_lost": 1}
    finish(graph, "generate", "short", num_rows=20, seconds=10.0, num_tokens=3000, resume=waste)
    assert finished_rates(graph, manifests(graph)).decoding == {}


def test_a_finished_student_tells_how_fast_others_of_its_recipe_train(tmp_path):
    graph = graph_of(tmp_path)
    finish(graph, "train", "smollm2-135m-short-seed0", num_rows=9, num_input_tokens=5000, seconds=10.0)
    row = rows_of(graph, rates=finished_rates(graph, manifests(graph)))["train", "smollm2-135m-long-seed0"]
    assert row.measured
    assert row.max_seconds == pytest.approx(row.max_tokens / (5000 / 10.0))


def test_another_learning_rate_trains_as_fast_and_another_batch_does_not(tmp_path):
    recipe = graph_of(tmp_path).experiment.students["smollm2-135m"]
    assert training_key(recipe.model_copy(update={"learning_rate": 1e-6})) == training_key(recipe)
    assert training_key(recipe.model_copy(update={"per_device_batch_size": 1})) != training_key(recipe)
