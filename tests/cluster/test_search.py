"""A search on a real local Ray cluster: a tiny random student, traces written by hand, and a kill in the middle.

Every problem's answer is 7. One teacher ends with 7, the other with 3, so a student that learns from the first is right and one
that learns from the second is wrong: the best share of the second is 0.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixdistill.artifacts import ArtifactKey, Store
from mixdistill.config import MixingConfig, SamplingConfig, SearchConfig, StudentConfig, TrainConfig
from mixdistill.errors import DataError, StageError
from mixdistill.records import Problem, Trace, content_id, to_table
from mixdistill.stages.cluster import connect, disconnect
from mixdistill.stages.progress import NoProgress
from mixdistill.stages.rows import PROBLEMS_FILE, SELECTED_FILE
from mixdistill.stages.search import search
from mixdistill.stages.search_trial import SCRATCH_PREFIX
from mixdistill.stages.tasks import SearchTask, StageContext

pytest.importorskip("torch")

PROBLEMS = ArtifactKey("problems", "train", "0" * 64)
SELECTED = {teacher: ArtifactKey("select", teacher, "0" * 64) for teacher in ("right", "wrong")}
NUM_STEPS = 96
LIMIT_S = 100.0

# The same stage in a process that can be killed.
DRIVER = """
import pickle, sys
task, context = pickle.load(open(sys.argv[1], "rb"))
from mixdistill.stages.search import search
search([task], context)
"""


def write_inputs(store: Store) -> None:
    context = StageContext(store, NoProgress())
    problems = [Problem.of(f"what is {number}", "7", "by hand") for number in range(64)]
    context.artifact(PROBLEMS).write_table(PROBLEMS_FILE, to_table(problems, Problem))
    for teacher, response in (("right", "\\boxed{7}"), ("wrong", "\\boxed{3}")):
        traces = [
            Trace(
                trace_id=content_id(teacher, problem.problem_id),
                problem_id=problem.problem_id,
                teacher=teacher,
                round=0,
                sample_index=0,
                seed=0,
                reasoning=None,
                response=response,
                finish_reason="stop",
                num_prompt_tokens=5,
                num_tokens=10,
                extracted="7",
                correct=True,
                reason="",
            )
            for problem in problems
        ]
        context.artifact(SELECTED[teacher]).write_table(SELECTED_FILE, to_table(traces, Trace))


def search_task(model: Path, **changes: Any) -> SearchTask:
    recipe = {
        "model": str(model),
        "method": "full",
        "learning_rate": 1e-2,
        "num_steps": NUM_STEPS,
        "global_batch_size": 8,
        "per_device_batch_size": 8,
        "max_seq_length": 256,
        "dtype": "float32",
    }
    settings: dict[str, Any] = {
        "key": ArtifactKey("search", "found-for-tiny", "1" * 64),
        "shaping": {"made": "by hand"},
        "inputs": {"problems": PROBLEMS},
        "code_version": 1,
        "student": "tiny",
        "mix": "found",
        "search": SearchConfig(of="wrong", rest="right", shares=(1.0, 0.0, 0.9), max_questions=8),
        "mixing": MixingConfig(validation_share=0.25),
        "recipe": StudentConfig.model_validate(recipe),
        "prompt": "{question}",
        "seed": 0,
        "train": TrainConfig(max_parallel=1, checkpoints_per_run=11, max_failures=0),
        "sampling": SamplingConfig(max_tokens=12),
        "grading_timeout_s": 5.0,
        "problems": PROBLEMS,
        "selected": SELECTED,
    }
    return SearchTask(**settings | changes)


def run_and_kill(task: SearchTask, store: Store, moment: Callable[[], bool], folder: Path) -> None:
    """Start the search in a process group of its own, and kill that at the moment."""
    (folder / "task.pkl").write_bytes(pickle.dumps((task, StageContext(store, NoProgress()))))
    with (folder / "driver.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(folder / "task.pkl")], stdout=log, stderr=log, start_new_session=True
        )
    end = time.monotonic() + LIMIT_S
    while not moment():
        said = (folder / "driver.log").read_text()
        assert process.poll() is None, f"the search ended before the moment to kill it came:\n{said}"
        assert time.monotonic() < end, f"the moment to kill the search never came:\n{said}"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def recorded(trials: Path) -> dict[float, dict[str, Any]]:
    """Share -> what Tune has on record of its trial, so that a resumed search knows it."""
    files = sorted(trials.glob("experiment_state-*.json"))
    try:
        state = json.loads(files[-1].read_text()) if files else {"trial_data": []}
    except json.JSONDecodeError:  # being written
        return {}
    pairs = [(json.loads(trial), json.loads(metadata)) for trial, metadata in state["trial_data"]]
    return {trial["config"]["share"]: trial | metadata for trial, metadata in pairs}


def scratch_folders() -> set[Path]:
    """Those of a trial that is killed stay, as a killed process cannot clear up."""
    return set(Path(tempfile.gettempdir()).glob(f"{SCRATCH_PREFIX}*"))


@pytest.fixture(scope="module")
def killed(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, SearchTask, dict[float, dict[str, Any]]]:
    """A search that was killed while its second candidate trained, and run to its end; and what was on record in between."""
    folder = tmp_path_factory.mktemp("search")
    store, task = Store(str(folder / "store")), search_task(tiny_model)
    write_inputs(store)
    trials = Path(store.path(str(task.key))) / "trials"

    def second_is_past_its_first_rung() -> bool:
        return len(recorded(trials).get(0.0, {}).get("last_result", {}).get("history", [])) >= 1

    run_and_kill(task, store, second_is_past_its_first_rung, folder)
    before = recorded(trials)
    # The mark shows in the end that the trial went on from this checkpoint.
    for state in trials.glob("*share=0.0*/checkpoint_*/search-trial.json"):
        remembered = json.loads(state.read_text())
        state.write_text(json.dumps(remembered | {"num_answer_tokens": remembered["num_answer_tokens"] + 10**6}))
    scratch = scratch_folders()
    connect()
    try:
        search([task], StageContext(store, NoProgress()))
    finally:
        disconnect()
    assert scratch_folders() <= scratch, "a trial that Tune ended left its scratch folder"
    return store, task, before


@pytest.fixture(scope="module")
def found(killed: Any) -> dict[str, Any]:
    store, task, _ = killed
    result: dict[str, Any] = store.artifact(task.key).read_json("search.json")
    return result


def candidate(found: dict[str, Any], share: float) -> dict[str, Any]:
    (one,) = [one for one in found["candidates"] if one["share"] == share]
    return one


def test_the_share_that_learns_the_right_answer_is_found(found: dict[str, Any]) -> None:
    assert (found["best_share"], found["best_fractions"]) == (0.0, {"right": 1.0})
    assert candidate(found, 0.0)["accuracy"] == 1.0
    assert candidate(found, 1.0)["accuracy"] == 0.0


def test_the_manifest_tells_what_the_file_tells(killed: Any, found: dict[str, Any]) -> None:
    store, task, _ = killed
    manifest = store.artifact(task.key).manifest()
    assert manifest.figures == found
    assert manifest.counts == {"finished": 2, "stopped": 1}


def test_candidates_are_told_in_the_order_of_the_config(found: dict[str, Any]) -> None:
    assert [one["share"] for one in found["candidates"]] == [1.0, 0.0, 0.9]
    assert found["rungs"] == [NUM_STEPS // 4, NUM_STEPS // 2, NUM_STEPS]
    assert [[judged["steps"] for judged in one["history"]] for one in found["candidates"][:2]] == [found["rungs"]] * 2


def test_a_trial_that_was_finished_before_the_kill_is_not_trained_again(killed: Any, found: dict[str, Any]) -> None:
    _, _, before = killed
    assert before[1.0]["status"] == "TERMINATED"
    assert candidate(found, 1.0)["seconds"] == round(before[1.0]["last_result"]["seconds"], 3)


def test_the_trial_that_was_killed_goes_on_from_its_checkpoint(found: dict[str, Any]) -> None:
    assert found["num_answer_tokens"] > 10**6


def test_who_comes_after_the_kill_is_compared_with_those_before_it(found: dict[str, Any]) -> None:
    """Nobody has come to the first rung since the kill, so by itself the third would be the first there, and go on."""
    assert candidate(found, 0.9)["status"] == "stopped"
    assert candidate(found, 0.9)["rung"] == 1


def test_the_cost_counts_what_was_trained(found: dict[str, Any]) -> None:
    assert found["num_steps"] == NUM_STEPS + NUM_STEPS + NUM_STEPS // 4
    assert found["num_steps_full"] == 3 * NUM_STEPS


def test_the_trials_are_not_left_behind(killed: Any, found: dict[str, Any]) -> None:
    store, task, _ = killed
    assert {path.name for path in Path(store.path(str(task.key))).iterdir()} == {"search.json", "manifest.json"}


def test_a_search_of_which_every_trial_fails_tells_why(tiny_model: Path, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    write_inputs(store)
    too_short = search_task(tiny_model).recipe.model_copy(update={"max_seq_length": 16})
    task = search_task(tiny_model, recipe=too_short, train=TrainConfig(max_failures=0))
    connect()
    try:
        with pytest.raises(StageError, match=r"(?s)all 3 candidates of the search failed.*share 0\.9: no example is left"):
            search([task], StageContext(store, NoProgress()))
        with pytest.raises(DataError, match=r"raise mixing\.validation_share"):
            nothing_held_out = MixingConfig(validation_share=1e-9)
            search([search_task(tiny_model, mixing=nothing_held_out)], StageContext(store, NoProgress()))
    finally:
        disconnect()
    assert not store.artifact(task.key).finished
