"""What a worker needs, part by part: each part follows the one thing that it depends on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixdistill.config import LoraSettings, StudentConfig
from mixdistill.planning.memory import GIB, Memory, adapter_parameters, training_memory
from mixdistill.planning.shape import PUBLISHED, ModelFacts

SHAPE = PUBLISHED["qwen2.5-7b"]
FACTS = ModelFacts(SHAPE, SHAPE.num_parameters, "published shape")
SIZE = FACTS.num_parameters


def needed(
    *, row_tokens: int = 1024, num_workers: int = 1, parallel: Any = "ddp", on_gpu: bool = True, **recipe: Any
) -> Memory:
    config = StudentConfig.model_validate({"model": "m", "method": "full", **recipe})
    return training_memory(FACTS, config, row_tokens=row_tokens, num_workers=num_workers, parallel=parallel, on_gpu=on_gpu)


def test_full_training_takes_16_bytes_a_parameter_and_the_bfloat16_copies():
    memory = needed()
    assert memory.weights + memory.gradients + memory.optimizer == pytest.approx(18 * SIZE)
    in_float32 = needed(dtype="float32")
    assert in_float32.weights + in_float32.gradients + in_float32.optimizer == pytest.approx(16 * SIZE)


def test_lora_takes_2_bytes_a_frozen_parameter_and_16_a_trained_one():
    memory = needed(method="lora")
    trained = adapter_parameters(SHAPE, LoraSettings())
    assert memory.weights == pytest.approx(2 * SIZE)
    assert memory.adapter + memory.gradients + memory.optimizer == pytest.approx(16 * trained)


def test_qlora_takes_about_half_a_byte_of_each_matrix():
    memory = needed(method="qlora")
    matrices = SIZE - SHAPE.embedding_parameters
    assert 0.5 * matrices < memory.weights - 4 * SHAPE.embedding_parameters < 0.55 * matrices


# Computed by hand from the shapes in Qwen2.5-7B's config.json: 28 layers, hidden 3584, key-value width 512.
@pytest.mark.parametrize(
    ("targets", "per_layer"),
    [
        (("q_proj", "v_proj"), 3584 + 3584 + 3584 + 512),
        (r"model\.layers\.\d+\.mlp\.down_proj", 18_944 + 3584),
        ("all-linear", 2 * (3584 + 3584) + 2 * (3584 + 512) + 3 * (3584 + 18_944)),
    ],
)
def test_an_adapter_has_r_times_inputs_and_outputs_of_each_target(targets, per_layer):
    assert adapter_parameters(SHAPE, LoraSettings(r=8, target_modules=targets)) == 28 * 8 * per_layer


def test_a_regular_expression_may_name_some_layers_only():
    some = adapter_parameters(SHAPE, LoraSettings(r=8, target_modules=r".*\.[01]\.self_attn\.q_proj"))
    assert some == 2 * 8 * (3584 + 3584)


def test_dora_trains_one_number_more_for_each_output():
    plain, dora = (adapter_parameters(SHAPE, LoraSettings(target_modules=("q_proj",), use_dora=use)) for use in (False, True))
    assert dora - plain == 28 * 3584


@pytest.mark.parametrize("parallel", ["fsdp", "deepspeed"])
def test_shards_are_divided_by_the_workers_and_activations_are_not(parallel):
    alone, shared = needed(), needed(num_workers=4, parallel=parallel)
    assert shared.gradients == pytest.approx(alone.gradients / 4)
    assert shared.optimizer == pytest.approx(alone.optimizer / 4)
    assert alone.weights / 4 < shared.weights < alone.weights / 2  # a gathered layer comes on top
    assert shared.activations == alone.activations
    assert shared.logits == alone.logits


def test_ddp_keeps_everything_on_every_worker_and_gradients_twice():
    alone, shared = needed(), needed(num_workers=4)
    assert shared.weights == alone.weights
    assert shared.gradients == 2 * alone.gradients


def test_recomputation_keeps_less_than_a_tenth_of_the_activations():
    assert needed(gradient_checkpointing=True).activations < needed().activations / 10


@settings(max_examples=30)
@given(tokens=st.integers(16, 16_384), batch=st.integers(1, 8))
def test_activations_and_logits_grow_with_the_tokens_of_a_pass(tokens, batch):
    one = needed(row_tokens=tokens, on_gpu=False)
    many = needed(row_tokens=tokens, per_device_batch_size=batch, on_gpu=False)
    assert many.activations == pytest.approx(batch * one.activations)
    assert many.logits == pytest.approx(batch * one.logits)
    assert many.weights == one.weights


def test_eager_attention_grows_with_the_square_of_the_length():
    def scores(tokens: int) -> float:
        return needed(row_tokens=tokens, attention="eager").activations - needed(row_tokens=tokens).activations

    assert scores(2048) == pytest.approx(4 * scores(1024))


def test_a_gpu_never_holds_the_logits_of_all_tokens():
    on_cpu, on_gpu = needed(row_tokens=16_384, on_gpu=False), needed(row_tokens=16_384)
    assert on_cpu.logits == 16 * 16_384 * SHAPE.vocab
    assert on_gpu.logits < on_cpu.logits / 20


def test_the_whole_is_the_sum_of_its_parts():
    memory = needed(method="lora")
    assert sum(memory.gib().values()) == pytest.approx(memory.total / GIB, abs=0.01)


# Measured: by how much the peak resident size of a process grew over three steps of real fine-tunes of SmolLM2-135M-Instruct on
# two cores, two rows of so many tokens in passes of one (bf16, all-linear LoRA of rank 8). To measure again:
# MIXDISTILL_MEASURE_MEMORY=1 python -m pytest tests/e2e/test_calibration.py -k prediction -s
@pytest.mark.parametrize(
    ("method", "row_tokens", "measured_gib"),
    [("full", 256, 2.79), ("full", 2048, 5.60), ("lora", 256, 0.82), ("lora", 2048, 3.92)],
)
def test_the_prediction_is_near_what_was_measured(method, row_tokens, measured_gib):
    shape = PUBLISHED["smollm2-135m"]
    recipe = StudentConfig.model_validate({"model": "m", "method": method, "lora": {"r": 8}})
    memory = training_memory(ModelFacts(shape, shape.num_parameters, "published shape"), recipe, row_tokens=row_tokens)
    assert (memory.total - memory.margin) / GIB == pytest.approx(measured_gib, rel=0.2)
