"""What is known of a model without a network: from its config, the published shapes, or the size in its name."""

from __future__ import annotations

import json

import pytest

from mixdistill.planning.shape import PUBLISHED, model_facts, num_parameters, shape_of_config

LLAMA = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 300,
    "tie_word_embeddings": False,
}


# The hub's own counts, from the safetensors metadata of each model.
@pytest.mark.parametrize(
    ("key", "size"),
    [
        ("smollm2-135m", 134_515_008),
        ("smollm2-360m", 361_821_120),
        ("qwen2.5-0.5b", 494_032_768),
        ("qwen2.5-1.5b", 1_543_714_304),
        ("qwen2.5-3b", 3_085_938_688),
        ("qwen2.5-7b", 7_615_616_512),
        ("qwen2.5-14b", 14_770_033_664),
        ("qwen2.5-32b", 32_763_876_352),
        ("qwen2.5-72b", 72_706_203_648),
        ("llama-3.2-1b", 1_235_814_400),
        ("llama-3.2-3b", 3_212_749_824),
        ("llama-3.1-8b", 8_030_261_248),
    ],
)
def test_the_parameters_that_follow_from_a_shape_are_the_published_ones(key, size):
    assert PUBLISHED[key].num_parameters == size


@pytest.mark.parametrize(
    ("model", "size", "source"),
    [
        ("bundled:smollm2-135m-instruct", 134_515_008, None),
        ("Qwen/Qwen2.5-0.5B-Instruct", 494_032_768, "published shape"),
        ("meta-llama/Llama-3.2-1B-Instruct", 1_235_814_400, "published shape"),
        ("meta-llama/Meta-Llama-3.1-8B", 8_030_261_248, "published shape"),
        ("org/Other-4B-chat", 4_000_000_000, "size in its name"),
        ("org/Tiny-90M", 90_000_000, "size in its name"),
    ],
)
def test_the_size_of_a_model_is_known_from_its_name(model, size, source):
    facts = model_facts(model)
    assert facts is not None
    assert facts.num_parameters == num_parameters(model) == size
    assert source is None or facts.source == source
    assert facts.estimated == (source == "size in its name")


def test_a_name_without_a_size_tells_nothing():
    assert model_facts("org/no-size-in-name") is None
    assert num_parameters("org/no-size-in-name") is None


def test_an_estimate_takes_the_nearest_shape_of_its_own_family():
    facts = model_facts("org/Qwen-next-8B")
    assert facts is not None
    assert facts.shape == PUBLISHED["qwen2.5-7b"]


def test_a_folder_is_read_from_its_config(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    facts = model_facts(str(tmp_path))
    assert facts is not None
    assert facts.source == "config.json"
    assert (facts.shape.query_width, facts.shape.kv_width) == (64, 32)
    attention = 64 * 64 * 2 + 64 * 32 * 2
    assert facts.num_parameters == 2 * 300 * 64 + 2 * (attention + 3 * 64 * 128 + 2 * 64) + 64


def test_a_model_of_the_hub_is_read_from_the_cache_when_it_is_there(tmp_path, monkeypatch):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(LLAMA))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repo, name, revision: str(file))
    facts = model_facts("Qwen/Qwen2.5-0.5B-Instruct", "main")
    assert facts is not None
    assert facts.source == "config.json"
    assert facts.shape.hidden == 64


def test_a_folder_of_another_kind_of_model_still_tells_its_size(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA | {"num_experts": 8}))
    (folder / "model.safetensors").write_bytes(b"0" * 1000)
    assert model_facts(str(folder)) is None
    assert num_parameters(str(folder)) == 500


def test_a_config_without_the_usual_names_is_no_shape():
    assert shape_of_config({"n_embd": 768, "n_layer": 12}) is None


def test_a_vision_models_text_part_is_its_shape():
    assert shape_of_config({"text_config": LLAMA}) == shape_of_config(LLAMA)
