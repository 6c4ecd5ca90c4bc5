"""`mixdistill export-student`: which files of a finished student leave, what its card says, and what is refused."""

from __future__ import annotations

import json

import huggingface_hub
import pytest
import yaml
from click.testing import CliRunner

from mixdistill.cli import main
from mixdistill.config import load_experiment
from mixdistill.pipeline import build_graph
from mixdistill.records import Prediction, Problem, content_id, to_table

PROBLEMS = [Problem.of(f"What is {i} + {i}?", str(2 * i), "file/problems.jsonl") for i in range(40)]
FIGURES = {
    "num_examples": 3,
    "dropped": {"too_long": 1},
    "num_cut": 0,
    "padding_share": 0.02,
    "num_steps": 12,
    "num_target_tokens": 480,
    "final_loss": 0.31,
    "attention": "sdpa",
    "loss_curve": [[1, 1.2]],
    "validation": {"long": [[0, 1.25], [12, 1.125]], "short": [[0, 1.0], [12, 0.5]]},
}


@pytest.fixture
def base(tmp_path):
    """The folder of a base model with a card and a licence."""
    folder = tmp_path / "models" / "tiny"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"base")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    (folder / "LICENSE").write_text("Apache License")
    return folder


@pytest.fixture
def config(tmp_path, base):
    problems = tmp_path / "problems.jsonl"
    problems.write_text("".join(json.dumps({"question": p.question, "answer": p.reference_answer}) + "\n" for p in PROBLEMS))
    (tmp_path / "recording.jsonl").touch()
    experiment = {
        "name": "sums",
        "store": str(tmp_path / "store"),
        "engine": {"kind": "replay", "path": str(tmp_path / "recording.jsonl")},
        "problems": {"source": "file", "path": str(problems)},
        "teachers": {
            "long": {"model": "Qwen/QwQ-32B-Preview", "revision": "abc123"},
            "short": {"model": "a-server's-name", "style": "short"},
        },
        "mixes": {"short": {"short": 1.0}, "mix_long": {"long": 0.25, "short": 0.75}},
        "students": {"tiny": {"model": str(base), "method": "lora", "merge": True, "lora": {"r": 12}, "learning_rate": 3e-4}},
        "evaluate": {"benchmarks": {"held_out": {"source": "file", "path": str(problems)}}},
    }
    path = tmp_path / "sums.yaml"
    path.write_text(yaml.safe_dump(experiment))
    return path


def task_of(graph, stage, name):
    (task,) = [task for task in graph.of(stage) if task.key.name == name]
    return task


def finish(graph, task, num_rows, **told):
    graph.artifact(task).finish(task.manifest(num_rows=num_rows, seconds=1.0, **told))


def finish_student(graph, name, base):
    task = task_of(graph, "train", name)
    artifact = graph.artifact(task)
    settings = {"base_model_name_or_path": str(base), "r": 12}
    artifact.write_json("model/adapter_config.json", settings)
    artifact.write_bytes("model/adapter_model.safetensors", b"adapter")
    artifact.write_json("merged/config.json", {"_name_or_path": str(base), "hidden_size": 8})
    artifact.write_bytes("merged/model.safetensors", b"merged")
    for folder in ("model", "merged"):
        artifact.write_json(f"{folder}/tokenizer_config.json", {})
        artifact.write_bytes(f"{folder}/chat_template.jinja", b"{{ messages }}")
        artifact.write_bytes(f"{folder}/training_args.bin", b"a pickle")
        artifact.write_bytes(f"{folder}/optimizer.pt", b"a pickle")
    finish(graph, task, 4, figures=FIGURES)


@pytest.fixture
def finished(config, base):
    """The config of an experiment of which one student and everything before it is finished."""
    graph = build_graph(load_experiment(config))
    finish(graph, task_of(graph, "problems", "benchmark-held_out"), 40)
    finish(graph, task_of(graph, "problems", "train"), 40)
    for teacher in ("long", "short"):
        finish(graph, task_of(graph, "generate", teacher), 40)
        finish(graph, task_of(graph, "select", teacher), 30, counts={"wrong_answer": 9, "too | long": 1})
    spread = {"mean": 1.0, "p10": 1.0, "p50": 1.0, "p90": 1.0, "max": 1}
    figures = {
        "examples_by_teacher": {"long": 1, "short": 3},
        "tokens_by_teacher": {"long": {"total": 1500} | spread, "short": {"total": 310} | spread},
    }
    finish(graph, task_of(graph, "mix", "mix_long"), 4, figures=figures)
    finish_student(graph, "tiny-mix_long-seed0", base)
    return config


def answer(student, problem, correct):
    return Prediction(
        prediction_id=content_id(student, problem.problem_id),
        student=student,
        benchmark="held_out",
        problem_id=problem.problem_id,
        sample_index=0,
        seed=0,
        response="",
        finish_reason="stop",
        num_prompt_tokens=5,
        num_tokens=10,
        answered=True,
        extracted="",
        correct=correct,
        extracted_lenient="",
        correct_lenient=correct,
        reason="" if correct else "wrong_answer",
    )


def evaluate(config, *students):
    """Finish the evaluations of these: every second question is right, every fourth for the untouched base."""
    graph = build_graph(load_experiment(config))
    for task in graph.of("evaluate"):
        if task.student in students:
            every = 4 if "none" in task.student else 2
            rows = [answer(task.student, problem, i % every == 0) for i, problem in enumerate(PROBLEMS)]
            graph.artifact(task).write_table("predictions.parquet", to_table(rows, Prediction))
            finish(graph, task, len(rows))


def export(*words, code=0):
    done = CliRunner().invoke(main, ["export-student", *map(str, words)])
    assert done.exit_code == code, done.output
    return done.output


def front_matter(output):
    return yaml.safe_load((output / "README.md").read_text().split("---\n")[1])


def test_what_loads_an_adapter_leaves_and_no_pickle_does(finished, tmp_path):
    export(finished, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "LICENSE",
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "tokenizer_config.json",
    ]
    assert (tmp_path / "out" / "adapter_model.safetensors").read_bytes() == b"adapter"


@pytest.mark.parametrize(
    ("words", "file", "key"),
    [((), "adapter_config.json", "base_model_name_or_path"), (("--merged",), "config.json", "_name_or_path")],
)
def test_nothing_that_leaves_names_a_folder_of_this_machine(finished, tmp_path, words, file, key):
    output = tmp_path / "out"
    export(finished, output, *words)
    assert json.loads((output / file).read_text())[key] == "tiny"
    assert not [path.name for path in output.iterdir() if str(tmp_path).encode() in path.read_bytes()]


def test_merged_weights_are_an_ordinary_model(finished, tmp_path):
    export(finished, tmp_path / "out", "--merged")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == b"merged"
    assert not (tmp_path / "out" / "adapter_config.json").exists()
    assert front_matter(tmp_path / "out")["library_name"] == "transformers"


def test_weights_that_were_not_merged_are_refused_with_the_setting_that_merges_them(finished, base, tmp_path):
    words = ("--set", "students.tiny.merge=false")
    finish_unmerged = build_graph(load_experiment(finished, (words[1],)))
    finish_student(finish_unmerged, "tiny-mix_long-seed0", base)
    assert "students.tiny.merge: true" in export(finished, tmp_path / "out", "--merged", *words, code=2)
    assert not (tmp_path / "out").exists()


def test_a_fully_tuned_student_has_nothing_to_merge(finished, base, tmp_path):
    words = ("--set", "students.tiny.merge=false", "--set", "students.tiny.method=full")
    graph = build_graph(load_experiment(finished, words[1::2]))
    finish_student(graph, "tiny-mix_long-seed0", base)
    assert "leave out --merged" in export(finished, tmp_path / "out", "--merged", *words, code=2)


def test_the_card_tells_base_recipe_data_and_lineage(finished, tmp_path):
    export(finished, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    fingerprints = {task.key.name: task.key.fingerprint for task in build_graph(load_experiment(finished)).tasks}
    for words in (
        "# tiny-mix_long-seed0",
        "learning_rate: 0.0003",
        "global_batch_size: 16",
        "  r: 12",
        "seed: 0",
        "| long | 0.25 | Qwen/QwQ-32B-Preview at abc123 | ",
        " | 1 | 1,500 | 30 | wrong_answer 9, too \\| long 1 |",
        "final_loss: 0.31",
        "| long | 1.250 | 1.125 |",
        "Problem: {question}",
        "was not evaluated",
        "the licence apache-2.0; its text stands in `LICENSE`",
        fingerprints["tiny-mix_long-seed0"],
        fingerprints["mix_long"],
    ):
        assert words in card, words
    assert front_matter(tmp_path / "out") == {
        "library_name": "peft",
        "license": "apache-2.0",
        "pipeline_tag": "text-generation",
        "tags": ["mixdistill", "reasoning", "distillation", "chain-of-thought", "lora"],
    }


def test_scores_stand_beside_the_untouched_base(finished, tmp_path):
    evaluate(finished, "tiny-mix_long-seed0", "tiny-none")
    said = json.loads(export(finished, tmp_path / "out", "--json"))
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| held_out | 40 | 50.0 % [35.2, 64.8] | 25.0 % [14.2, 40.2] | +25.0 [" in card
    assert said["accuracy"] == {"held_out": 0.5}


def test_a_student_is_not_scored_without_its_untouched_base(finished, tmp_path):
    evaluate(finished, "tiny-mix_long-seed0")
    export(finished, tmp_path / "out")
    assert "was not evaluated" in (tmp_path / "out" / "README.md").read_text()


def test_several_finished_students_are_listed(finished, base, tmp_path):
    graph = build_graph(load_experiment(finished))
    finish(graph, task_of(graph, "mix", "short"), 4)
    finish_student(graph, "tiny-short-seed0", base)
    said = export(finished, tmp_path / "out", code=2)
    assert "--student with one of them: tiny-mix_long-seed0, tiny-short-seed0" in said
    export(finished, tmp_path / "out", "--student", "tiny-mix_long-seed0")


def test_an_unknown_student_is_answered_with_the_nearest(finished, tmp_path):
    assert "did you mean 'tiny-mix_long-seed0'" in export(
        finished, tmp_path / "out", "--student", "tiny-mix-long-seed0", code=2
    )


def test_an_unfinished_student_is_named_with_the_command_that_trains_it(finished, tmp_path):
    said = export(finished, tmp_path / "out", "--student", "tiny-short-seed0", code=1)
    assert "the student tiny-short-seed0 is not finished" in said
    assert f"mixdistill train {finished}" in said


def test_what_a_student_follows_from_must_be_there(config, base, tmp_path):
    graph = build_graph(load_experiment(config))
    finish_student(graph, "tiny-mix_long-seed0", base)
    said = export(config, tmp_path / "out", code=1)
    assert "mix mix_long" in said
    assert f"mixdistill run {config}" in said


def test_a_student_without_safetensors_does_not_leave(finished, tmp_path):
    graph = build_graph(load_experiment(finished))
    graph.artifact(task_of(graph, "train", "tiny-mix_long-seed0")).remove("model/adapter_model.safetensors")
    assert "holds no safetensors" in export(finished, tmp_path / "out", code=1)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_files_is_refused_unless_they_may_be_replaced(finished, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / "README.md").write_text("somebody else's")
    assert "--overwrite" in export(finished, output, code=2)
    assert (output / "README.md").read_text() == "somebody else's"
    export(finished, output, "--overwrite")
    assert "tiny-mix_long-seed0" in (output / "README.md").read_text()


def test_the_hub_gets_a_model_repository(finished, monkeypatch):
    pushed = {}

    class FakeHub:
        def __init__(self, token):
            pushed["token"] = token

        def repo_exists(self, repo_id, *, repo_type):
            return False

        def create_repo(self, repo_id, *, repo_type, private, **_):
            pushed["made"] = (repo_id, repo_type, private)

        def upload_folder(self, *, repo_id, folder_path, repo_type, commit_message):
            pushed["files"] = sorted(path.name for path in folder_path.iterdir())
            pushed["card"] = (folder_path / "README.md").read_text()
            return huggingface_hub.CommitInfo("https://huggingface.co/o/n/commit/1", "", "", "1")

    monkeypatch.setattr(huggingface_hub, "HfApi", FakeHub)
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert "commit/1" in export(finished, "hub:o/n", "--public")
    assert (pushed["token"], pushed["made"]) == ("secret", ("o/n", "model", False))
    assert "adapter_model.safetensors" in pushed["files"]
    assert 'from_pretrained("o/n")' in pushed["card"]


@pytest.mark.parametrize("output", ["hf://datasets/o/n", "hub:o", "hub:o/n/m"])
def test_another_hub_address_is_refused(finished, output):
    assert "hub:OWNER/NAME" in export(finished, output, code=2)
