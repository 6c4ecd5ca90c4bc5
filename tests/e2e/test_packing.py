"""Packed examples teach exactly what they teach by themselves, and a model that mixes them up is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from mixdistill.config import StudentConfig  # noqa: E402
from mixdistill.errors import ConfigError  # noqa: E402
from mixdistill.records import Example, content_id  # noqa: E402
from mixdistill.training import TrainingRun  # noqa: E402
from mixdistill.training.loss import row_losses  # noqa: E402
from mixdistill.training.packing import PackedRows, check_packing, pack, packed_collator  # noqa: E402
from mixdistill.training.sft import train  # noqa: E402
from mixdistill.training.tokens import IGNORED  # noqa: E402

VOCABULARY = 61
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
}
ARCHITECTURES = {
    "llama": lambda: transformers.LlamaConfig(**SIZES, tie_word_embeddings=True),
    "qwen2": lambda: transformers.Qwen2Config(**SIZES),
    "qwen2-sliding": lambda: transformers.Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=5, max_window_layers=1),
}


def make_model(architecture: str, attention: str) -> Any:
    torch.manual_seed(1)
    return transformers.AutoModelForCausalLM.from_config(ARCHITECTURES[architecture](), attn_implementation=attention).train()


def token_rows(lengths: list[int]) -> list[dict[str, list[int]]]:
    """Random rows of which the first third is a prompt."""
    draw = torch.Generator().manual_seed(2)
    rows = []
    for length in lengths:
        ids = torch.randint(VOCABULARY, (length,), generator=draw).tolist()
        rows.append({"input_ids": ids, "labels": [IGNORED] * max(1, length // 3) + ids[max(1, length // 3) :]})
    return rows


def packed(rows: list[dict[str, list[int]]]) -> dict[str, Any]:
    """The rows in one packed row."""
    return {
        "input_ids": [token for row in rows for token in row["input_ids"]],
        "labels": [label for row in rows for label in row["labels"]],
        "seq_lengths": [len(row["input_ids"]) for row in rows],
    }


def loss_and_gradients(model: Any, batch: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    model.zero_grad()
    loss = row_losses(model, batch).sum()
    loss.backward()
    return loss.detach(), {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def alone(model: Any, row: dict[str, list[int]]) -> tuple[Any, dict[str, Any]]:
    ids = torch.tensor([row["input_ids"]])
    return loss_and_gradients(
        model, {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.tensor([row["labels"]])}
    )


def assert_same(one: tuple[Any, dict[str, Any]], other: tuple[Any, dict[str, Any]]) -> None:
    torch.testing.assert_close(one[0], other[0], rtol=1e-5, atol=1e-5)
    for name, gradient in one[1].items():
        torch.testing.assert_close(
            gradient, other[1][name], rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_each_packed_example_has_the_loss_and_the_gradients_that_it_has_alone(architecture: str, attention: str) -> None:
    model = make_model(architecture, attention)
    rows = token_rows([17, 9, 23])
    for index, row in enumerate(rows):
        # All stand in the row; only this one's targets count.
        others = [
            one if position == index else one | {"labels": [IGNORED] * len(one["labels"])} for position, one in enumerate(rows)
        ]
        assert_same(loss_and_gradients(model, PackedRows(0)([packed(others)])), alone(model, row))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_batch_of_packed_rows_has_the_loss_and_the_gradients_of_its_examples(architecture: str, attention: str) -> None:
    model = make_model(architecture, attention)
    rows = token_rows([17, 9, 23, 2, 11, 30])
    batch = PackedRows(0)([packed(rows[:3]), packed(rows[3:4]), packed(rows[4:])])  # rows of 49, 2 and 41 tokens
    apart = [alone(model, row) for row in rows]
    total = sum(loss for loss, _ in apart)
    gradients = {name: sum(one[name] for _, one in apart) for name in apart[0][1]}
    assert_same(loss_and_gradients(model, batch), (total, gradients))


@given(rows=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=4), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_positions_begin_again_with_each_example_and_no_first_token_is_a_target(rows: list[list[int]]) -> None:
    content = [
        {"input_ids": [7] * sum(lengths), "labels": [7] * sum(lengths), "seq_lengths": lengths}  # no prompt: all are targets
        for lengths in rows
    ]
    batch = PackedRows(pad_token_id=5)(content)
    for index, lengths in enumerate(rows):
        expected = [position for length in lengths for position in range(length)]
        padding = batch["input_ids"].shape[1] - len(expected)
        assert batch["position_ids"][index].tolist() == expected + list(range(padding))
        assert batch["input_ids"][index].tolist() == [7] * len(expected) + [5] * padding
        targets = [IGNORED if position == 0 else 7 for position in expected]
        assert batch["labels"][index].tolist() == targets + [IGNORED] * padding


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=30))
@settings(max_examples=30, deadline=None)
def test_packing_neither_loses_nor_cuts_an_example(lengths: list[int]) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    rows = [{"input_ids": [number] * length, "labels": [number] * length} for number, length in enumerate(lengths)]
    result = pack(datasets.Dataset.from_list(rows), 40)
    seen: list[tuple[int, int]] = []
    for row in result:
        assert len(row["input_ids"]) == sum(row["seq_lengths"]) <= 40
        start = 0
        for length in row["seq_lengths"]:
            (number,) = set(row["input_ids"][start : start + length])
            assert row["labels"][start : start + length] == [number] * length
            seen.append((number, length))
            start += length
    assert sorted(seen) == list(enumerate(lengths))


def test_flash_attention_gets_all_rows_in_one_line_with_their_borders() -> None:
    batch = packed_collator(0, "flash_attention_2")([packed(token_rows([4, 3])), packed(token_rows([5]))])
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 0, 1, 2, 0, 1, 2, 3, 4]]
    assert batch["cu_seq_lens_q"].tolist() == [0, 4, 7, 12]
    assert (batch["labels"][batch["position_ids"] == 0] == IGNORED).all()
    assert "attention_mask" not in batch


# What is refused


def make_run(base_model: Path, output_dir: Path, **recipe: Any) -> TrainingRun:
    values = {"model": "example-org/tiny", "learning_rate": 5e-3, "max_seq_length": 256, "dtype": "float32", **recipe}
    return TrainingRun("mix-0", str(base_model), StudentConfig.model_validate(values), "Compute {question}", 0, str(output_dir))


def example(number: int) -> Example:
    name = content_id("example", number)
    return Example(name, "mix", name, name, "teacher", f"{number} + 1", f"It is {number + 1}." + " So." * (number % 3), 9)


EXAMPLES = [example(number) for number in range(8)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_attention_that_lets_packed_examples_see_each_other_is_refused(
    dtype: str, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers.masking_utils, "find_packed_sequence_indices", lambda position_ids: None)
    with pytest.raises(ConfigError, match=r"does not keep packed examples apart .* set packing: false"):
        train(make_run(tiny_model, tmp_path, packing=True, dtype=dtype), EXAMPLES)
    assert not (tmp_path / "student").exists()


def test_a_recurrent_model_is_refused(tiny_tokenizer: Any, tmp_path: Path) -> None:
    config = transformers.MambaConfig(
        vocab_size=len(tiny_tokenizer), hidden_size=16, state_size=4, num_hidden_layers=2, eos_token_id=2, pad_token_id=2
    )
    torch.manual_seed(0)
    transformers.MambaForCausalLM(config).save_pretrained(tmp_path / "mamba")
    tiny_tokenizer.save_pretrained(tmp_path / "mamba")
    with pytest.raises(ConfigError, match="does not keep packed examples apart"):
        train(make_run(tmp_path / "mamba", tmp_path / "out", packing=True, attention="eager"), EXAMPLES)


class _CountsOn(torch.nn.Module):  # type: ignore[misc,name-defined]
    """Keeps examples apart, but gives them the positions that they have in the row."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.positions = torch.nn.Embedding(256, VOCABULARY)

    def forward(self, input_ids: Any, **kwargs: Any) -> Any:
        outputs = self.model(input_ids=input_ids, **kwargs)
        outputs.logits = outputs.logits + self.positions(torch.arange(input_ids.shape[1]))
        return outputs


def test_positions_that_run_on_through_the_row_are_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, tmp_path, packing=True)
    right = make_model("llama", "sdpa")
    arguments = (PackedRows(0), torch.arange(VOCABULARY), "cpu", run)
    check_packing(right, *arguments)
    with pytest.raises(ConfigError, match="packed examples apart"):
        check_packing(_CountsOn(right), *arguments)


def test_the_check_draws_no_random_number_and_leaves_the_model_in_its_mode(tmp_path: Path) -> None:
    model = make_model("llama", "sdpa")
    before = torch.get_rng_state()
    check_packing(model, PackedRows(0), torch.arange(VOCABULARY), "cpu", make_run(tmp_path, tmp_path, packing=True))
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training


# A whole fine-tune


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_packed_fine_tune_learns_what_an_unpacked_one_learns(method: str, tiny_model: Path, tmp_path: Path) -> None:
    """Each step sees all examples in both, so that only packing differs."""
    plain = train(
        make_run(tiny_model, tmp_path / "plain", method=method, num_steps=4, global_batch_size=8, per_device_batch_size=4),
        EXAMPLES,
    )
    probe = train(make_run(tiny_model, tmp_path / "probe", method=method, num_steps=1, packing=True), EXAMPLES)
    recipe = {"num_steps": 4, "global_batch_size": probe.num_rows, "per_device_batch_size": probe.num_rows, "packing": True}
    in_rows = train(make_run(tiny_model, tmp_path / "packed", method=method, **recipe), EXAMPLES)
    assert 1 < in_rows.num_rows < len(EXAMPLES) == in_rows.num_examples == plain.num_rows
    assert in_rows.num_target_tokens == plain.num_target_tokens
    assert [step for step, _ in in_rows.loss_curve] == [1, 2, 3, 4]
    for (_, one), (_, other) in zip(in_rows.loss_curve, plain.loss_curve, strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    assert plain.loss_curve[-1][1] < plain.loss_curve[0][1] - 0.05


def test_packing_runs_in_bfloat16_and_with_activation_checkpointing(tiny_model: Path, tmp_path: Path) -> None:
    recipe = {"packing": True, "dtype": "bfloat16", "gradient_checkpointing": True, "global_batch_size": 2, "num_steps": 2}
    result = train(make_run(tiny_model, tmp_path, **recipe), EXAMPLES)
    assert result.num_steps == 2
    assert dataclasses.asdict(result)["attention"] in {"sdpa", "flash_attention_2"}
