"""Real fine-tunes of a tiny random Llama, in seconds: what it learns from, what it writes, how it resumes and stops."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
safetensors_torch = pytest.importorskip("safetensors.torch")

from mixdistill.config import StudentConfig  # noqa: E402
from mixdistill.errors import DataError, ModelError, StageError  # noqa: E402
from mixdistill.prompts import student_messages  # noqa: E402
from mixdistill.records import Example, content_id  # noqa: E402
from mixdistill.training import TrainingRun  # noqa: E402
from mixdistill.training.sft import train  # noqa: E402
from mixdistill.training.tokens import IGNORED, prepare_examples  # noqa: E402

PROMPT = "Compute {question}"


def example(number: int, response: str | None = None) -> Example:
    name = content_id("example", number, response)
    text = response or f"{number} + 1 = {number + 1}. The answer is \\boxed{{{number + 1}}}."
    return Example(name, "short", name, name, "teacher", f"{number} + 1", text, 9)


EXAMPLES = [example(number) for number in range(12)]


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer: Any) -> Any:
    return tiny_tokenizer


@pytest.fixture(scope="module")
def base_model(tiny_model: Path) -> Path:
    return tiny_model


def make_run(base_model: Path, output_dir: Path, *, num_workers: int = 1, **recipe: Any) -> TrainingRun:
    settings = {
        "model": "example-org/tiny-llama",
        "learning_rate": 5e-3,
        "num_epochs": 2,
        "global_batch_size": 4,
        "per_device_batch_size": 2,
        "max_seq_length": 256,
        "method": "full",
        **recipe,
    }
    return TrainingRun(
        "short-0", str(base_model), StudentConfig.model_validate(settings), PROMPT, 0, str(output_dir), num_workers=num_workers
    )


def tensors(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in folder.glob("*.safetensors"):
        found |= safetensors_torch.load_file(path)
    return found


def recipe_of(max_seq_length: int) -> StudentConfig:
    return StudentConfig(model="m", max_seq_length=max_seq_length)


# What the student sees


def test_labels_are_the_response_and_its_end_of_turn_and_nothing_else(tokenizer: Any) -> None:
    (one,) = prepare_examples(EXAMPLES[:1], tokenizer, recipe_of(512), PROMPT).kept
    assert tokenizer.decode([label for label in one.labels if label != IGNORED]) == EXAMPLES[0].response + "<|im_end|>"
    whole = tokenizer.apply_chat_template(
        [*student_messages(EXAMPLES[0].question, prompt=PROMPT), {"role": "assistant", "content": EXAMPLES[0].response}],
        tokenize=False,
    )
    assert tokenizer.decode(one.input_ids) + "\n" == whole


def test_the_prompt_is_token_for_token_what_inference_puts_before_the_response(tokenizer: Any) -> None:
    (one,) = prepare_examples(EXAMPLES[:1], tokenizer, recipe_of(512), PROMPT).kept
    asked = tokenizer.apply_chat_template(
        student_messages(EXAMPLES[0].question, prompt=PROMPT), add_generation_prompt=True, return_dict=False
    )
    assert one.input_ids[: one.num_prompt_tokens] == asked


def test_examples_that_are_too_long_or_break_the_chat_are_dropped_and_counted(tokenizer: Any) -> None:
    rows = [EXAMPLES[0], example(1, "long " * 100), example(2, "Done.<|im_end|> more"), EXAMPLES[3]]
    prepared = prepare_examples(rows, tokenizer, recipe_of(256), PROMPT)
    assert prepared.dropped == {"too_long": 1, "special_token": 1}
    assert [one.example_id for one in prepared.kept] == [EXAMPLES[0].example_id, EXAMPLES[3].example_id]


def test_the_length_limit_counts_prompt_response_and_end_of_turn(tokenizer: Any) -> None:
    (one,) = prepare_examples(EXAMPLES[:1], tokenizer, recipe_of(512), PROMPT).kept
    exact = len(one.input_ids)
    assert prepare_examples(EXAMPLES[:1], tokenizer, recipe_of(exact), PROMPT).dropped == {}
    with pytest.raises(DataError, match="no example is left"):
        prepare_examples(EXAMPLES[:1], tokenizer, recipe_of(exact - 1), PROMPT)


def test_a_cut_example_keeps_what_fits_and_does_not_learn_to_stop_there(tokenizer: Any) -> None:
    cut = StudentConfig(model="m", max_seq_length=200, too_long="cut")
    rows = [EXAMPLES[0], example(1, "long " * 100)]
    prepared = prepare_examples(rows, tokenizer, cut, PROMPT)
    whole, shortened = prepared.kept
    assert (prepared.num_cut, prepared.dropped) == (1, {})
    assert tokenizer.decode(whole.labels[-1:]) == "<|im_end|>"
    assert len(shortened.input_ids) == 200
    text = tokenizer.decode([label for label in shortened.labels if label != IGNORED])
    assert rows[1].response.startswith(text)
    assert len(text) == 200 - shortened.num_prompt_tokens


def test_an_example_at_the_limit_loses_its_end_of_turn_alone(tokenizer: Any) -> None:
    (one,) = prepare_examples(EXAMPLES[:1], tokenizer, recipe_of(512), PROMPT).kept
    exact = len(one.input_ids)
    for limit, num_cut in [(exact, 0), (exact - 1, 1)]:
        recipe = StudentConfig(model="m", max_seq_length=limit, too_long="cut")
        prepared = prepare_examples(EXAMPLES[:1], tokenizer, recipe, PROMPT)
        assert prepared.num_cut == num_cut
        assert prepared.kept[0].input_ids == one.input_ids[:limit]


def test_a_prompt_that_leaves_no_room_is_dropped_and_not_cut(tokenizer: Any) -> None:
    (one,) = prepare_examples(EXAMPLES[:1], tokenizer, recipe_of(512), PROMPT).kept
    full = StudentConfig(model="m", max_seq_length=one.num_prompt_tokens, too_long="cut")
    with pytest.raises(DataError, match="too_long"):
        prepare_examples(EXAMPLES[:1], tokenizer, full, PROMPT)
    one_more = StudentConfig(model="m", max_seq_length=one.num_prompt_tokens + 1, too_long="cut")
    assert prepare_examples(EXAMPLES[:1], tokenizer, one_more, PROMPT).num_cut == 1


def test_a_tokenizer_without_a_chat_template_is_refused(tokenizer: Any) -> None:
    class NoTemplate:
        chat_template = None

    with pytest.raises(ModelError, match="chat template"):
        prepare_examples(EXAMPLES, NoTemplate(), recipe_of(256), PROMPT)


# What is trained and written


@pytest.fixture(scope="module", params=["full", "lora"])
def trained(request: pytest.FixtureRequest, base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    logs: list[dict[str, float]] = []
    run = make_run(
        base_model,
        tmp_path_factory.mktemp(f"run-{request.param}"),
        method=request.param,
        num_epochs=8,
        gradient_checkpointing=True,
    )
    result = train(run, EXAMPLES, on_log=logs.append)
    yield run, result, logs


def test_the_loss_falls_and_is_logged_at_every_step(trained: Any) -> None:
    _, result, logs = trained
    assert result.num_steps == 24
    assert [step for step, _ in result.loss_curve] == list(range(1, 25)) == [log["step"] for log in logs]
    assert result.final_loss < result.loss_curve[0][1] - 0.3
    assert set(logs[0]) == {"step", "num_steps", "loss", "learning_rate", "grad_norm", "elapsed_s"}


def test_token_counts_cover_all_steps(trained: Any, tokenizer: Any) -> None:
    run, result, _ = trained
    kept = prepare_examples(EXAMPLES, tokenizer, run.recipe, PROMPT).kept
    assert result.num_input_tokens == 8 * sum(len(one.input_ids) for one in kept)
    assert result.num_target_tokens == 8 * sum(len(one.input_ids) - one.num_prompt_tokens for one in kept)


def test_what_was_cut_and_padded_is_counted(base_model: Path, tmp_path: Path) -> None:
    rows = [*EXAMPLES[:7], example(1, "long " * 100)]
    one_each = {"per_device_batch_size": 1, "max_seq_length": 200, "too_long": "cut", "num_steps": 3}
    result = train(make_run(base_model, tmp_path, **one_each), rows)
    assert (result.num_examples, result.num_rows, result.num_cut, result.num_steps) == (8, 8, 1, 3)
    assert result.padding_share == 0.0
    in_fours = train(make_run(base_model, tmp_path / "4", **one_each | {"per_device_batch_size": 4}), rows)
    assert 0.0 < in_fours.padding_share < 0.5


def test_the_first_loss_is_the_mean_over_the_target_tokens_of_that_batch(
    trained: Any, base_model: Path, tokenizer: Any
) -> None:
    from mixdistill.training import batch_order, plan_steps

    run, result, _ = trained
    kept = prepare_examples(EXAMPLES, tokenizer, run.recipe, PROMPT).kept
    lengths = [len(one.input_ids) for one in kept]
    rows = batch_order(plan_steps(len(kept), run.recipe, 1), lengths, run.seed)[:4]
    model = transformers.AutoModelForCausalLM.from_pretrained(base_model, dtype=torch.float32)
    total, count = 0.0, 0
    for row in rows:
        ids, labels = torch.tensor([kept[row].input_ids]), torch.tensor([kept[row].labels])
        num_targets = int((labels != IGNORED).sum())
        with torch.no_grad():
            total += float(model(input_ids=ids, labels=labels).loss) * num_targets
        count += num_targets
    assert result.loss_curve[0][1] == pytest.approx(total / count, rel=2e-3)  # trained in bfloat16


def test_the_exported_folder_is_complete_and_holds_no_pickle_and_no_local_path(trained: Any) -> None:
    run, result, _ = trained
    weights = {
        "full": {"model.safetensors", "config.json", "generation_config.json"},
        "lora": {"adapter_model.safetensors", "adapter_config.json"},
    }[run.recipe.method]
    assert set(result.files) == weights | {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    for name in result.files:
        content = (result.student_dir / name).read_bytes()
        assert run.model_path.encode() not in content
        assert run.output_dir.encode() not in content
    if run.recipe.method == "lora":
        assert (
            json.loads((result.student_dir / "adapter_config.json").read_text())["base_model_name_or_path"] == run.recipe.model
        )


def test_the_exported_student_loads_and_scores_the_responses_as_well_as_at_the_end_of_training(
    trained: Any, base_model: Path, tokenizer: Any
) -> None:
    run, result, _ = trained
    if run.recipe.method == "lora":
        base = transformers.AutoModelForCausalLM.from_pretrained(base_model)
        model = peft.PeftModel.from_pretrained(base, result.student_dir)
    else:
        model = transformers.AutoModelForCausalLM.from_pretrained(result.student_dir)
        assert model.dtype == torch.bfloat16
    (one,) = prepare_examples(
        EXAMPLES[:1], transformers.AutoTokenizer.from_pretrained(result.student_dir), run.recipe, PROMPT
    ).kept
    with torch.no_grad():
        loss = model(input_ids=torch.tensor([one.input_ids]), labels=torch.tensor([one.labels])).loss
    assert float(loss) == pytest.approx(result.final_loss, abs=0.3)


# How it resumes and stops


class KilledError(Exception):
    pass


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_resumed_run_ends_with_the_same_weights_as_an_undisturbed_one(method: str, base_model: Path, tmp_path: Path) -> None:
    dropout = {"lora": {"dropout": 0.2}}  # random numbers are drawn in each forward pass
    undisturbed = train(make_run(base_model, tmp_path / "a", method=method, **dropout), EXAMPLES)

    seen: list[tuple[Path | None, dict[str, float]]] = []

    def die_at_second_checkpoint(folder: Path | None, metrics: dict[str, float]) -> None:
        seen.append((folder, metrics))
        if len(seen) == 2:
            raise KilledError

    run = make_run(base_model, tmp_path / "b", method=method, **dropout)
    with pytest.raises(KilledError):
        train(run, EXAMPLES, on_checkpoint=die_at_second_checkpoint)
    checkpoint, metrics = seen[-1]
    assert checkpoint is not None
    assert not (checkpoint / "training_args.bin").exists()
    assert metrics["step"] == 4

    resumed = train(run, EXAMPLES, resume_from=checkpoint)
    assert resumed.student_dir is not None
    assert undisturbed.student_dir is not None
    first, second = tensors(undisturbed.student_dir), tensors(resumed.student_dir)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert resumed.loss_curve == undisturbed.loss_curve
    steps = [step for step, _ in resumed.loss_curve]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_the_same_seed_gives_the_same_student_and_another_seed_another(base_model: Path, tmp_path: Path) -> None:
    import dataclasses

    results = []
    for index, seed in enumerate([0, 0, 1]):
        run = make_run(base_model, tmp_path / str(index), method="lora", num_epochs=1)
        results.append(train(dataclasses.replace(run, seed=seed), EXAMPLES))
    files = [(result.student_dir / "adapter_model.safetensors").read_bytes() for result in results]
    assert files[0] == files[1] != files[2]


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_step(base_model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    model = transformers.AutoModelForCausalLM.from_pretrained(base_model)
    model.model.norm.weight.data.fill_(float("nan"))
    model.save_pretrained(broken)
    transformers.AutoTokenizer.from_pretrained(base_model).save_pretrained(broken)
    checkpoints: list[Path | None] = []
    with pytest.raises(StageError, match="step 1 of 6: loss nan"):
        train(make_run(broken, tmp_path / "out"), EXAMPLES, on_checkpoint=lambda folder, _: checkpoints.append(folder))
    assert checkpoints == []
    assert not (tmp_path / "out" / "student").exists()


def test_a_process_group_of_another_size_is_refused(base_model: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="expected 2 workers, got a process group of 1"):
        train(make_run(base_model, tmp_path, num_workers=2), EXAMPLES)
