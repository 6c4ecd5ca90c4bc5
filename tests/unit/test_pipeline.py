"""The graph: what an experiment needs, and what a change of the config makes anew."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mixdistill.config import load_experiment
from mixdistill.pipeline import build_graph
from mixdistill.prompts import PROMPTS

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "configs" / "demo.yaml"


def keys(*overrides, config=DEMO):
    graph = build_graph(load_experiment(config, overrides))
    return {(task.key.stage, task.key.name): task.key.fingerprint for task in graph.tasks}


def changed(*overrides):
    """Stage and name of what another value makes anew; names that are new or gone count."""
    before, after = keys(), keys(*overrides)
    return {which for which in before.keys() | after.keys() if before.get(which) != after.get(which)}


def stages(which):
    return {stage for stage, _ in which}


def test_the_demo_has_one_artifact_for_everything_that_it_names():
    assert len(keys()) == 17


def test_the_same_config_has_the_same_fingerprints_in_another_process():
    script = (
        "from mixdistill.config import load_experiment\nfrom mixdistill.pipeline import build_graph\n"
        f"for task in build_graph(load_experiment({str(DEMO)!r})).tasks: print(task.key.fingerprint)"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert set(printed.stdout.split()) == set(keys().values())


def test_another_title_makes_only_the_report_anew():
    assert changed("report.title=Another") == {("report", "demo")}


WARMER = "teachers.long.sampling.temperature=0.5"


def test_another_temperature_makes_that_teachers_traces_anew_and_leaves_the_others():
    which = changed(WARMER)
    assert {("generate", "long"), ("select", "long")} <= which
    assert not {("generate", "short"), ("select", "short")} & which


def test_controlled_mixes_follow_all_sources_for_they_hold_the_problems_that_all_of_them_solved():
    assert {("mix", "short"), ("mix", "long"), ("mix", "mix_long")} <= changed(WARMER)


def test_the_papers_mixes_follow_their_own_sources_alone():
    paper = ("mixing.protocol=paper", "mixing.validation_share=0")
    before, after = keys(*paper), keys(*paper, WARMER)
    assert {name for (stage, name) in before if stage == "mix" and before[stage, name] != after[stage, name]} == {
        "long",
        "mix_long",
    }
    assert not any(
        "-short-" in name for stage, name in before if stage == "train" and before[stage, name] != after[stage, name]
    )


def test_another_mix_leaves_the_mixes_that_are_there():
    assert not {("mix", "short"), ("mix", "long"), ("mix", "mix_long")} & changed("mixes.half={long: 0.5, short: 0.5}")


def test_another_mix_may_change_how_many_tokens_all_mixes_are_cut_to():
    tokens = ("mixing.match=tokens",)
    before, after = keys(*tokens), keys(*tokens, "mixes.half={long: 0.5, short: 0.5}")
    assert before["mix", "short"] != after["mix", "short"]


def test_a_sweep_trains_a_student_on_each_of_its_shares():
    trained = {name for stage, name in keys("mixes.ratio={of: long, rest: short, sweep: [0, 0.1, 1]}") if stage == "train"}
    assert {f"smollm2-135m-ratio-{share}-seed0" for share in ("0", "0.1", "1")} <= trained


def test_a_search_finds_a_mix_for_each_student_and_trains_it():
    made = keys("search.found={of: long, rest: short, shares: [0.1, 0.4]}", "mixing.validation_share=0.1")
    assert {
        ("search", "found-for-smollm2-135m"),
        ("mix", "found-for-smollm2-135m"),
        ("train", "smollm2-135m-found-seed0"),
    } <= made.keys()


@pytest.mark.parametrize(
    "override",
    [
        "engine.concurrency=7",
        "engine.kv_cache_gib=4",
        "engine.replicas=[1, 8]",
        "engine.max_failure_share=0.5",
        "store=elsewhere",
        "train.max_failures=9",
        "selection.grading_timeout_s=9",
    ],
)
def test_operational_settings_make_nothing_anew(override):
    assert changed(override) == set()


def test_another_training_seed_makes_students_and_their_answers_anew_but_no_traces():
    assert stages(changed("train.seeds=[1]")) == {"train", "evaluate", "report"}


def test_a_judge_makes_judgements_on_every_evaluation_and_nothing_but_the_report_anew():
    which = changed('evaluate.judge={"model": "org/judge-7b"}')
    assert stages(which) == {"judge", "report"}
    assert {name for stage, name in which if stage == "judge"} == {name for stage, name in keys() if stage == "evaluate"}


@pytest.mark.parametrize("setting", ["adapter=org/adapter", "sampling.temperature_rise=0.1", "sampling.max_total_tokens=9"])
def test_what_shapes_a_teachers_traces_makes_them_anew(setting):
    assert ("generate", "short") in changed(f"teachers.short.{setting}")


def test_a_recording_that_changes_under_the_same_name_makes_its_traces_anew(tmp_path):
    recording = tmp_path / "recording.jsonl"
    override = f'teachers.short.engine={{"kind": "replay", "path": "{recording}"}}'
    recording.write_text('{"question": "q", "response": "r"}\n')
    before = keys(override)
    recording.write_text('{"question": "q", "response": "another"}\n')
    assert keys(override)["generate", "short"] != before["generate", "short"]
    assert keys(override)["generate", "long"] == before["generate", "long"]


def test_another_recipe_leaves_the_untouched_students_answers():
    which = changed("students.smollm2-135m.num_epochs=9")
    assert stages(which) == {"train", "evaluate", "report"}
    assert not any("none" in name for _, name in which)


def test_another_prompt_text_counts_but_its_name_does_not():
    assert changed("prompt=" + json.dumps(PROMPTS["paper"])) == set()
    assert "generate" in stages(changed("prompt='Question: {question}'"))


def test_every_input_is_made_by_an_earlier_stage():
    graph = build_graph(load_experiment(DEMO))
    made = set()
    for task in graph.tasks:
        assert set(task.inputs.values()) <= made, task.key
        made.add(task.key)


def test_building_and_planning_loads_nothing_heavy():
    script = (
        "import sys\nfrom mixdistill.config import load_experiment\nfrom mixdistill.pipeline import build_graph\n"
        f"from mixdistill.planning import plan\nplan(build_graph(load_experiment({str(DEMO)!r})))\n"
        "print([name for name in ('ray', 'torch', 'vllm', 'transformers', 'pandas') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert printed.stdout.strip() == "[]"
