"""FSDP2: two workers that each hold a half of the model learn the same as one that holds it all.

accelerate takes FSDP2 to GPU-like devices alone, so the workers here tell it that gloo on CPUs is one; torch, the checkpoints
and the export are the real ones. Each worker has a scratch folder of its own, as in Ray Train, which keeps the first one's
checkpoint.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
safetensors_torch = pytest.importorskip("safetensors.torch")

from mixdistill.config import StudentConfig  # noqa: E402
from mixdistill.records import Example, content_id  # noqa: E402
from mixdistill.training import TrainingRun  # noqa: E402
from mixdistill.training.sft import train  # noqa: E402

pytestmark = pytest.mark.slow

_WORKER = """
import json, os, sys
from pathlib import Path
import torch, torch.distributed
from accelerate.state import PartialState
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor
from mixdistill.config import StudentConfig
from mixdistill.records import Example
from mixdistill.training import TrainingRun, sft

run, examples, options = json.loads(sys.argv[1])
run["recipe"] = StudentConfig.model_validate(run["recipe"])
run["output_dir"] += "-" + os.environ["RANK"]
run = TrainingRun(**run)
examples = [Example(**row) for row in examples]

sft.check_run = lambda run: None  # refuses FSDP2 without a GPU
if options["accelerate_takes_cpus"]:
    begin = PartialState.__init__

    def begin_as_gpus(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        if self._shared_state["distributed_type"] == DistributedType.MULTI_CPU:
            self._shared_state["distributed_type"] = DistributedType.MULTI_GPU

    PartialState.__init__ = begin_as_gpus
if options["loss_of_gpus"]:
    sft._Trainer.compute_loss = sft.SFTTrainer.compute_loss

export = sft.export_student

def count_and_export(trainer, *args):
    parameters = trainer.model.state_dict().values()
    print("HOLDS", sum(p.to_local().numel() if isinstance(p, DTensor) else p.numel() for p in parameters),
          "OF", sum(p.numel() for p in parameters))
    return export(trainer, *args)

sft.export_student = count_and_export

def die(folder, metrics):
    if metrics["step"] == options["die_at"]:
        torch.distributed.barrier()
        os._exit(9)

resume_from = Path(options["resume_from"]) if options["resume_from"] else None
result = sft.train(run, examples, validation=examples[:3], on_checkpoint=die, resume_from=resume_from)
print("RESULT", json.dumps([str(result.student_dir), result.loss_curve, result.validation]))
torch.distributed.destroy_process_group()  # as Ray Train does; else gloo's threads may abort the interpreter's end
"""


def example(number: int) -> Example:
    name = content_id("example", number)
    text = f"{number} + 1 = {number + 1}. The answer is \\boxed{{{number + 1}}}."
    return Example(name, "short", name, name, "teacher", f"{number} + 1", text, 9)


EXAMPLES = [example(number) for number in range(12)]


def make_run(base_model: Path, output_dir: Path, **recipe: Any) -> TrainingRun:
    settings = {
        "model": "example-org/tiny-llama",
        "learning_rate": 5e-3,
        "num_epochs": 2,
        "global_batch_size": 4,
        "per_device_batch_size": 1,
        "max_seq_length": 256,
        "dtype": "float32",
        "gradient_checkpointing": True,
        **recipe,
    }
    return TrainingRun(
        "short-0",
        str(base_model),
        StudentConfig.model_validate(settings),
        "Compute {question}",
        0,
        str(output_dir / "run"),
        validations_per_run=1,
    )


def train_shared(two_workers: Any, run: TrainingRun, **options: Any) -> tuple[list[int], list[str]]:
    """Exit codes and output of two workers with FSDP2."""
    run = dataclasses.replace(run, num_workers=2, parallel="fsdp")
    payload = [
        dataclasses.asdict(run) | {"recipe": run.recipe.model_dump(mode="json")},
        [dataclasses.asdict(row) for row in EXAMPLES],
        {"accelerate_takes_cpus": True, "loss_of_gpus": False, "die_at": None, "resume_from": None, **options},
    ]
    return two_workers(_WORKER, payload)


def said(printed: str, word: str) -> str:
    (line,) = [line for line in printed.splitlines() if line.startswith(word)]
    return line.removeprefix(word).strip()


def assert_same_weights(first: Path, second: Path) -> None:
    one, other = (safetensors_torch.load_file(next(folder.glob("*.safetensors"))) for folder in (first, second))
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], atol=2e-4, rtol=1e-3)


METHODS: dict[str, dict[str, Any]] = {
    "full": {"method": "full"},
    "dora": {"method": "lora", "lora": {"r": 4, "use_dora": True}},
}


@pytest.mark.parametrize("method", METHODS)
def test_two_workers_with_half_the_model_each_learn_the_same_as_one(
    two_workers: Any, method: str, tiny_model: Path, tmp_path: Path
) -> None:
    run = make_run(tiny_model, tmp_path, **METHODS[method])
    alone = train(run, EXAMPLES, validation=EXAMPLES[:3])
    codes, printed = train_shared(two_workers, run, loss_of_gpus=method == "full")
    assert codes == [0, 0], printed
    for worker in printed:
        held, _, whole = said(worker, "HOLDS").partition(" OF ")
        assert int(held) == pytest.approx(int(whole) / 2, rel=0.01)
    student_dir, curve, validation = json.loads(said(printed[0], "RESULT"))
    assert curve == [[step, pytest.approx(loss, abs=2e-4)] for step, loss in alone.loss_curve]
    assert validation == {"teacher": [[step, pytest.approx(loss, abs=2e-4)] for step, loss in alone.validation["teacher"]]}
    assert alone.student_dir is not None
    assert_same_weights(alone.student_dir, Path(student_dir))
    assert {path.name for path in Path(student_dir).iterdir()} == set(alone.files)
    if alone.merged_dir:
        assert_same_weights(alone.merged_dir, Path(student_dir).with_name("merged"))

    assert json.loads(said(printed[1], "RESULT"))[0] == "None"  # one worker writes
    assert not (tmp_path / "run-1" / "student").exists()


def test_a_shared_run_in_bfloat16_exports_bfloat16(two_workers: Any, tiny_model: Path, tmp_path: Path) -> None:
    codes, printed = train_shared(two_workers, make_run(tiny_model, tmp_path, method="full", dtype="bfloat16"))
    assert codes == [0, 0], printed
    student_dir, curve, _ = json.loads(said(printed[0], "RESULT"))
    assert curve[-1][1] < curve[0][1] - 0.3
    assert transformers.AutoModelForCausalLM.from_pretrained(student_dir).dtype == torch.bfloat16


@pytest.mark.parametrize("method", METHODS)
def test_a_shared_run_goes_on_from_the_first_workers_checkpoint(
    two_workers: Any, method: str, tiny_model: Path, tmp_path: Path
) -> None:
    run = make_run(tiny_model, tmp_path, **METHODS[method])
    alone = train(run, EXAMPLES, validation=EXAMPLES[:3])
    codes, printed = train_shared(two_workers, run, die_at=4)
    assert codes == [9, 9], printed
    kept = shutil.copytree(tmp_path / "run-0" / "checkpoint-4", tmp_path / "kept")
    for rank in range(2):
        shutil.rmtree(tmp_path / f"run-{rank}")

    codes, printed = train_shared(two_workers, run, resume_from=str(kept))
    assert codes == [0, 0], printed
    student_dir, curve, _ = json.loads(said(printed[0], "RESULT"))
    assert [step for step, _ in curve] == list(range(1, 7))
    assert alone.student_dir is not None
    assert_same_weights(alone.student_dir, Path(student_dir))


def test_a_run_that_accelerate_would_not_share_is_stopped(two_workers: Any, tiny_model: Path, tmp_path: Path) -> None:
    """As long as this passes, accelerate takes no FSDP2 to CPUs, and `check_run` is right to refuse it there."""
    codes, printed = train_shared(two_workers, make_run(tiny_model, tmp_path, method="full"), accelerate_takes_cpus=False)
    assert codes == [1, 1]
    assert "asked for parallel: fsdp, and accelerate has set up DistributedType.MULTI_CPU" in printed[0]
