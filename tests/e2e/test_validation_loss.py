"""The loss on each source's held-out traces: right, the same after a kill, and without a trace in the student."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors_torch = pytest.importorskip("safetensors.torch")

from mixdistill.config import StudentConfig  # noqa: E402
from mixdistill.records import Example, content_id  # noqa: E402
from mixdistill.training import TrainingRun  # noqa: E402
from mixdistill.training.sft import train  # noqa: E402
from mixdistill.training.tokens import IGNORED, prepare_examples  # noqa: E402


def example(number: int, teacher: str, text: str) -> Example:
    name = content_id(number, teacher)
    return Example(name, "mix", name, name, teacher, f"{number} + 1", text, 9)


EXAMPLES = [example(number, "short", f"It is {number + 1}.") for number in range(12)]
HELD_OUT = [example(number, "short", f"It is {number + 1}.") for number in range(20, 25)] + [
    example(number, "long", f"I add {number} and 1. First comes {number}, and then {number + 1}.") for number in range(20, 23)
]


def make_run(base_model: Path, output_dir: Path, *, validations: int = 2, num_workers: int = 1, **recipe: Any) -> TrainingRun:
    values = {
        "model": "example-org/tiny",
        "learning_rate": 5e-3,
        "num_epochs": 2,
        "global_batch_size": 4,
        "per_device_batch_size": 2,
        "max_seq_length": 256,
        **recipe,
    }
    return TrainingRun(
        "mix-0",
        str(base_model),
        StudentConfig.model_validate(values),
        "Compute {question}",
        0,
        str(output_dir),
        num_workers=num_workers,
        validations_per_run=validations,
        report_to=("tensorboard",),
    )


def tensors(folder: Path | None) -> dict[str, Any]:
    assert folder is not None
    return {name: tensor for path in folder.glob("*.safetensors") for name, tensor in safetensors_torch.load_file(path).items()}


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard would draw: name -> (step, value), of all its files."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    import struct

    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content = path.read_bytes()
        while content:  # a record: length, its checksum, the event, its checksum
            (length,) = struct.unpack("<Q", content[:8])
            event = event_pb2.Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def mean_loss(model: Any, tokenizer: Any, run: TrainingRun, teacher: str) -> float:
    total, count = 0.0, 0
    for one in prepare_examples([row for row in HELD_OUT if row.teacher == teacher], tokenizer, run.recipe, run.prompt).kept:
        ids, labels = torch.tensor([one.input_ids]), torch.tensor([one.labels])
        num_targets = int((labels != IGNORED).sum())
        with torch.no_grad():
            total += float(model(input_ids=ids, labels=labels).loss) * num_targets
        count += num_targets
    return total / count


def test_each_source_has_its_mean_loss_per_target_token_before_the_first_and_after_the_last_step(
    tiny_model: Path, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    run = make_run(tiny_model, tmp_path, dtype="float32")
    result = train(run, EXAMPLES, validation=HELD_OUT)
    assert {source: [step for step, _ in curve] for source, curve in result.validation.items()} == {
        "long": [0, 3, 6],
        "short": [0, 3, 6],
    }
    load = transformers.AutoModelForCausalLM.from_pretrained
    for model, point in [(load(tiny_model, dtype=torch.float32), 0), (load(result.student_dir, dtype=torch.float32), -1)]:
        for source, curve in result.validation.items():
            assert curve[point][1] == pytest.approx(mean_loss(model, tiny_tokenizer, run, source), rel=1e-4)
    assert result.validation["short"][-1][1] < result.validation["short"][0][1] - 0.1


@pytest.mark.parametrize("recipe", [{"method": "full"}, {"method": "lora", "lora": {"dropout": 0.2}}, {"packing": True}])
def test_validation_leaves_no_trace_in_the_student(recipe: dict[str, Any], tiny_model: Path, tmp_path: Path) -> None:
    watched = train(make_run(tiny_model, tmp_path / "a", validations=6, **recipe), EXAMPLES, validation=HELD_OUT)
    unwatched = train(make_run(tiny_model, tmp_path / "b", validations=0, **recipe), EXAMPLES, validation=HELD_OUT)
    assert unwatched.validation == {}
    assert len(watched.validation["long"]) == min(watched.num_steps, 6) + 1
    assert watched.loss_curve == unwatched.loss_curve
    first, second = tensors(watched.student_dir), tensors(unwatched.student_dir)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


class KilledError(Exception):
    pass


@pytest.mark.parametrize("packing", [False, True])
def test_a_killed_and_resumed_run_has_the_whole_curve_and_the_same_weights(
    packing: bool, tiny_model: Path, tmp_path: Path
) -> None:
    recipe = {"packing": packing, "num_steps": 6, "global_batch_size": 2, "method": "lora", "lora": {"dropout": 0.2}}
    undisturbed = train(make_run(tiny_model, tmp_path / "a", validations=6, **recipe), EXAMPLES, validation=HELD_OUT)
    seen: list[Path | None] = []

    def die_at_second_checkpoint(folder: Path | None, metrics: dict[str, float]) -> None:
        seen.append(folder)
        if len(seen) == 2:
            raise KilledError

    with pytest.raises(KilledError):
        train(
            make_run(tiny_model, tmp_path / "b", validations=6, **recipe),
            EXAMPLES,
            validation=HELD_OUT,
            on_checkpoint=die_at_second_checkpoint,
        )
    logs: list[dict[str, float]] = []
    resumed = train(
        make_run(tiny_model, tmp_path / "c", validations=6, **recipe),
        EXAMPLES,
        validation=HELD_OUT,
        resume_from=seen[-1],
        on_log=logs.append,
    )
    assert logs[0]["step"] == 5
    assert len(resumed.validation["long"]) == 7
    assert resumed.validation == undisturbed.validation
    first, second = tensors(undisturbed.student_dir), tensors(resumed.student_dir)
    assert all(torch.equal(first[name], second[name]) for name in first)
    # The tracker of the last attempt has what was drawn before the kill, too.
    drawn, expected = scalars(tmp_path / "c" / "logs"), scalars(tmp_path / "a" / "logs")
    for name in ("train/loss", "eval/long_loss", "eval/short_loss"):
        assert drawn[name] == expected[name]
    assert [step for step, _ in drawn["eval/long_loss"]] == [0, 1, 2, 3, 4, 5, 6]
    assert [step for step, _ in drawn["train/loss"]] == [1, 2, 3, 4, 5, 6]


def test_logs_carry_the_newest_validation(tiny_model: Path, tmp_path: Path) -> None:
    logs: list[dict[str, float]] = []
    result = train(make_run(tiny_model, tmp_path), EXAMPLES, validation=HELD_OUT, on_log=logs.append)
    assert [(log["step"], log["validation_step"]) for log in logs] == [(1, 0), (2, 0), (3, 3), (4, 3), (5, 3), (6, 6)]
    assert logs[-1]["validation/long"] == result.validation["long"][-1][1]
    assert logs[0]["validation/short"] == result.validation["short"][0][1]


def test_trackers_get_no_path_of_this_machine(tiny_model: Path, tmp_path: Path) -> None:
    train(make_run(tiny_model, tmp_path, num_steps=1), EXAMPLES, validation=HELD_OUT)
    (file,) = (tmp_path / "logs").iterdir()
    assert str(tmp_path).encode() not in file.read_bytes()


_WORKER = """
import json, sys
import torch.distributed
from mixdistill.config import StudentConfig
from mixdistill.records import Example
from mixdistill.training import TrainingRun
from mixdistill.training.sft import train

run, examples, held_out = json.loads(sys.argv[1])
run["recipe"] = StudentConfig.model_validate(run["recipe"])
result = train(TrainingRun(**run), [Example(**row) for row in examples], validation=[Example(**row) for row in held_out])
print("CURVES", json.dumps(result.validation))
torch.distributed.destroy_process_group()  # as Ray Train does; else gloo's threads may abort the interpreter's end
"""


@pytest.mark.slow
def test_two_workers_share_the_rows_and_find_the_same_losses(two_workers: Any, tiny_model: Path, tmp_path: Path) -> None:
    recipe = {"dtype": "float32", "per_device_batch_size": 1, "num_steps": 2, "packing": True, "global_batch_size": 2}
    alone = train(make_run(tiny_model, tmp_path / "alone", **recipe), EXAMPLES, validation=HELD_OUT[:7])
    run = make_run(tiny_model, tmp_path / "pair", num_workers=2, **recipe)
    payload = [
        dataclasses.asdict(run) | {"recipe": run.recipe.model_dump(mode="json")},
        [dataclasses.asdict(row) for row in EXAMPLES],
        [dataclasses.asdict(row) for row in HELD_OUT[:7]],  # an odd number: one worker repeats a pass
    ]
    codes, printed = two_workers(_WORKER, payload)
    assert codes == [0, 0]
    for text in printed:
        (line,) = [line for line in text.splitlines() if line.startswith("CURVES ")]
        curves = json.loads(line.removeprefix("CURVES "))
        for source, curve in alone.validation.items():
            assert [step for step, _ in curves[source]] == [0, 1, 2]
            assert [loss for _, loss in curves[source]] == pytest.approx([loss for _, loss in curve], rel=1e-3)
