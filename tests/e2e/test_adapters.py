"""Adapters of a tiny random Llama: rsLoRA, DoRA, QLoRA, merging; attention and kernels; what needs a GPU."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
safetensors_torch = pytest.importorskip("safetensors.torch")

from mixdistill.config import StudentConfig  # noqa: E402
from mixdistill.errors import ConfigError  # noqa: E402
from mixdistill.records import Example, content_id  # noqa: E402
from mixdistill.training import TrainingResult, TrainingRun  # noqa: E402
from mixdistill.training import model as training_model  # noqa: E402
from mixdistill.training.sft import train  # noqa: E402


def example(number: int) -> Example:
    name = content_id("example", number)
    text = f"{number} + 1 = {number + 1}. The answer is \\boxed{{{number + 1}}}."
    return Example(name, "short", name, name, "teacher", f"{number} + 1", text, 9)


EXAMPLES = [example(number) for number in range(8)]
IDS = torch.tensor([list(range(3, 60))])


def make_run(base_model: Path, output_dir: Path, **recipe: Any) -> TrainingRun:
    settings = {
        "model": "example-org/tiny-llama",
        "learning_rate": 1e-2,
        "num_epochs": 2,
        "global_batch_size": 4,
        "per_device_batch_size": 2,
        "max_seq_length": 256,
        "method": "lora",
        "dtype": "float32",
        **recipe,
    }
    return TrainingRun(
        "short-0", str(base_model), StudentConfig.model_validate(settings), "Compute {question}", 0, str(output_dir)
    )


def logits(model: Any) -> Any:
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def load(folder: Path, **settings: Any) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, **settings)


# The variants, as they are written

VARIANTS = {"plain": {}, "rslora": {"use_rslora": True}, "dora": {"use_dora": True}}


@pytest.fixture(scope="module", params=VARIANTS)
def trained(
    request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, TrainingResult]:
    run = make_run(tiny_model, tmp_path_factory.mktemp(request.param), merge=True, lora={"r": 4, **VARIANTS[request.param]})
    return request.param, train(run, EXAMPLES)


def test_the_merged_student_answers_as_base_and_adapter_do(trained: Any, tiny_model: Path) -> None:
    _, result = trained
    base = load(tiny_model, dtype=torch.float32)
    untrained = logits(base)
    adapted = logits(peft.PeftModel.from_pretrained(base, result.student_dir))
    merged = logits(load(result.merged_dir, dtype=torch.float32))
    torch.testing.assert_close(merged, adapted, atol=1e-4, rtol=1e-4)
    assert (merged - untrained).abs().max() > 0.1


def test_the_merged_folder_is_an_ordinary_model_without_a_pickle(trained: Any, tiny_tokenizer: Any) -> None:
    _, result = trained
    assert {path.name for path in result.merged_dir.iterdir()} == {
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert transformers.AutoTokenizer.from_pretrained(result.merged_dir).chat_template == tiny_tokenizer.chat_template
    assert load(result.merged_dir).generation_config.eos_token_id == 2


def test_the_adapter_says_which_variant_it_is(trained: Any) -> None:
    variant, result = trained
    settings = json.loads((result.student_dir / "adapter_config.json").read_text())
    assert (settings["use_rslora"], settings["use_dora"]) == (variant == "rslora", variant == "dora")


@pytest.mark.slow
def test_vllm_runs_rslora_at_its_own_scale_and_refuses_dora(trained: Any) -> None:
    peft_helper = pytest.importorskip("vllm.lora.peft_helper")
    config_lora = pytest.importorskip("vllm.config.lora")
    variant, result = trained
    helper = peft_helper.PEFTHelper.from_dict(json.loads((result.student_dir / "adapter_config.json").read_text()))
    limits = config_lora.LoRAConfig(max_lora_rank=8)
    if variant == "dora":
        with pytest.raises(ValueError, match="DoRA"):
            helper.validate_legal(limits)
    else:
        helper.validate_legal(limits)
        assert helper.vllm_lora_scaling_factor == {"plain": 32 / 4, "rslora": 32 / 2}[variant]


def test_nothing_is_merged_unless_the_recipe_says_so_or_the_adapter_is_dora(tiny_model: Path, tmp_path: Path) -> None:
    plain = train(make_run(tiny_model, tmp_path / "plain"), EXAMPLES)
    dora = train(make_run(tiny_model, tmp_path / "dora", lora={"use_dora": True}), EXAMPLES)
    assert plain.merged_dir is None
    assert not (tmp_path / "plain" / "merged").exists()
    assert dora.merged_dir == tmp_path / "dora" / "merged"


def test_a_merged_student_has_the_dtype_of_the_recipe(tiny_model: Path, tmp_path: Path) -> None:
    result = train(make_run(tiny_model, tmp_path, merge=True, dtype="bfloat16"), EXAMPLES)
    assert result.merged_dir is not None
    assert result.student_dir is not None
    merged = safetensors_torch.load_file(result.merged_dir / "model.safetensors")
    adapter = safetensors_torch.load_file(result.student_dir / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in merged.values()} == {torch.bfloat16}
    assert {tensor.dtype for tensor in adapter.values()} == {torch.float32}
    assert load(result.merged_dir).dtype == torch.bfloat16


def test_activation_checkpointing_changes_no_gradient_of_an_adapter(tiny_model: Path, tmp_path: Path) -> None:
    lora = {"dropout": 0.2}  # activations that are computed again must meet the same dropout
    plain = train(make_run(tiny_model, tmp_path / "a", lora=lora), EXAMPLES)
    saving = train(make_run(tiny_model, tmp_path / "b", lora=lora, gradient_checkpointing=True), EXAMPLES)
    assert saving.loss_curve == plain.loss_curve
    assert plain.final_loss < plain.loss_curve[0][1]


# Attention and kernels


@pytest.mark.parametrize(("wanted", "runs"), [("auto", "sdpa"), ("sdpa", "sdpa"), ("eager", "eager")])
def test_the_attention_that_runs_is_the_one_that_is_told(wanted: str, runs: str, tiny_model: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("auto may mean FlashAttention here")
    run = make_run(tiny_model, tmp_path, attention=wanted)
    assert training_model.attention_of(run) == runs
    assert training_model.load_model(run).config._attn_implementation == runs


def test_flash_attention_is_chosen_for_16_bits_on_a_gpu_alone(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(training_model, "is_flash_attn_2_available", lambda: True)
    assert training_model.attention_of(make_run(tiny_model, tmp_path, dtype="bfloat16")) == "flash_attention_2"
    assert training_model.attention_of(make_run(tiny_model, tmp_path, dtype="float32")) == "sdpa"


def test_a_cpu_runs_without_ligers_kernels(tiny_model: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert not training_model.uses_liger(make_run(tiny_model, tmp_path))


# What a machine without a GPU refuses


@pytest.mark.parametrize(
    ("recipe", "workers", "message"),
    [
        ({"method": "qlora"}, {}, "qlora needs a GPU and the package bitsandbytes, and this worker has no GPU"),
        ({"attention": "flash_attention_2"}, {}, "flash_attention_2 needs a GPU"),
        ({"liger_kernel": True}, {}, "liger_kernel: true needs a GPU"),
        ({}, {"parallel": "fsdp", "num_workers": 2}, "parallel: fsdp needs a GPU on every worker"),
        ({}, {"parallel": "deepspeed", "num_workers": 2}, "parallel: deepspeed needs a GPU on every worker"),
        ({}, {"parallel": "fsdp"}, "num_workers is 1"),
    ],
)
def test_what_cannot_run_here_is_refused_before_anything_is_loaded(
    recipe: dict[str, Any], workers: dict[str, Any], message: str, tmp_path: Path
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    run = dataclasses.replace(make_run(tmp_path / "no-such-model", tmp_path, **recipe), **workers)
    with pytest.raises(ConfigError, match=message):
        train(run, EXAMPLES)


def test_qlora_is_not_shared_among_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(training_model, "is_bitsandbytes_available", lambda: True)
    run = dataclasses.replace(
        make_run(tmp_path / "no-such-model", tmp_path, method="qlora", attention="sdpa", liger_kernel=False),
        parallel="fsdp",
        num_workers=2,
    )
    with pytest.raises(ConfigError, match="cannot be shared"):
        train(run, EXAMPLES)


def test_qlora_trains_float32_adapters_on_a_base_in_four_bits(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bitsandbytes 0.49 computes on CPUs too, slowly: enough for a test."""
    bitsandbytes = pytest.importorskip("bitsandbytes")
    monkeypatch.setattr("mixdistill.training.sft.check_run", lambda run: None)
    run = make_run(tiny_model, tmp_path, method="qlora", dtype="bfloat16", merge=True, lora={"r": 4})
    layers = [module for module in training_model.load_model(run).modules() if isinstance(module, bitsandbytes.nn.Linear4bit)]
    assert len(layers) == 14
    assert {layer.weight.quant_type for layer in layers} == {"nf4"}
    assert {layer.weight.compress_statistics for layer in layers} == {True}

    result = train(run, EXAMPLES)
    assert result.final_loss < result.loss_curve[0][1] - 0.1
    assert result.student_dir is not None
    assert result.merged_dir is not None
    adapter = safetensors_torch.load_file(result.student_dir / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in adapter.values()} == {torch.float32}
    assert any((tensor != tensor.bfloat16().float()).any() for tensor in adapter.values())  # were not rounded at each step
    adapted = logits(peft.PeftModel.from_pretrained(load(tiny_model, dtype=torch.float32), result.student_dir))
    torch.testing.assert_close(logits(load(result.merged_dir, dtype=torch.float32)), adapted, atol=0.2, rtol=0.05)
