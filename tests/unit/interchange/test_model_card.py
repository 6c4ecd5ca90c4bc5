"""The model card: front matter that the hub takes, and directions that fit what was exported."""

from __future__ import annotations

import ast
import dataclasses
import re

import huggingface_hub
import pytest
import yaml

from mixdistill.interchange import Source, StudentCard, licence_metadata, model_licence, student_card
from mixdistill.interchange.model_card import Score

CARD = StudentCard(
    name="qwen-mix_long-seed0",
    experiment="sums",
    form="adapter",
    place="owner/student",
    base_model="Qwen/Qwen2.5-0.5B-Instruct",
    base_revision="main",
    base_on_hub=True,
    licence={"license": "apache-2.0"},
    has_licence_file=False,
    recipe={"method": "lora", "lora": {"r": 48, "use_dora": False}},
    prompt='Say "it"\\n in ```boxed```: {question}',
    training={"num_steps": 12},
    validation={},
    mix="mix_long",
    fractions={"long": 1.0},
    sources=[Source("long", "Qwen/QwQ-32B", None, "long", None, 4, 900, 30, {"wrong_answer": 9})],
    num_examples=4,
    problems={"source": "gsm8k"},
    num_problems=40,
    mixing={"protocol": "controlled"},
    selection={},
    scores=[Score("math500", 500, (0.31, 0.27, 0.35), (0.29, 0.25, 0.33), (0.02, -0.01, 0.05))],
    confidence=0.95,
    lineage=[],
    packages={"mixdistill": "0.1"},
)


def card(**fields):
    return student_card(dataclasses.replace(CARD, **fields))


def front_matter(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_the_hub_reads_base_library_and_licence(tmp_path):
    (tmp_path / "README.md").write_text(card())
    data = huggingface_hub.ModelCard.load(tmp_path / "README.md").data
    assert (data.base_model, data.library_name, data.license) == ("Qwen/Qwen2.5-0.5B-Instruct", "peft", "apache-2.0")


@pytest.mark.parametrize("form", ["merged", "full"])
def test_ordinary_weights_are_for_transformers(form):
    text = card(form=form)
    assert front_matter(text)["library_name"] == "transformers"
    assert "peft" not in text
    assert "vllm serve owner/student" in text


def test_a_base_without_an_address_is_not_given_one():
    text = card(base_model="tiny", base_on_hub=False)
    assert "base_model" not in front_matter(text)
    assert "AutoPeftModelForCausalLM" not in text
    assert "vllm serve path/to/the/base/model --enable-lora" in text


@pytest.mark.parametrize("fields", [{}, {"form": "merged"}, {"form": "full"}, {"base_on_hub": False}])
def test_the_code_that_loads_it_is_python_with_the_prompt_as_it_is(fields):
    ((_, code),) = re.findall(r"(`{3,})python\n(.*?)\n\1", card(**fields), re.DOTALL)
    (prompt,) = [
        node.value
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "prompt"
    ]
    assert ast.literal_eval(prompt) == CARD.prompt


def test_vllm_is_told_a_rank_that_it_takes():
    assert "--max-lora-rank 64 --lora-modules qwen-mix_long-seed0=owner/student" in card()


def test_a_dora_adapter_is_not_offered_to_vllm():
    text = card(recipe={"method": "lora", "lora": {"r": 8, "use_dora": True}})
    assert "vllm serve" not in text
    assert "export-student --merged" in text


def test_a_licence_of_its_own_name_has_a_link_that_works():
    own = {"license": "other", "license_name": "qwen-research", "license_link": "LICENSE"}
    text = card(licence=own)
    link = "https://huggingface.co/Qwen/Qwen2.5-0.5B-Instruct/blob/main/LICENSE"
    assert {name: front_matter(text)[name] for name in own} == own | {"license_link": link}
    assert "the licence qwen-research" in text
    assert "license_link" not in front_matter(card(licence=own, base_on_hub=False))


def test_a_licence_that_is_not_at_hand_is_not_made_up():
    text = card(licence={})
    assert "license" not in front_matter(text)
    assert "see the base model" in text


def test_scores_have_intervals_and_a_paired_difference():
    assert "| math500 | 500 | 31.0 % [27.0, 35.0] | 29.0 % [25.0, 33.0] | +2.0 [-1.0, +5.0] |" in card()
    assert "was not evaluated" in card(scores=[])


def test_tables_have_one_width_and_no_gap_whatever_the_names():
    text = card(
        sources=[dataclasses.replace(CARD.sources[0], style="a | b\nc")],
        validation={"long": [(0, 1.2), (6, None), (12, 0.9)], "short": [(0, 1.0), (6, 0.5), (12, 0.4)]},
    )
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.M)
    assert [len(table.splitlines()) for table in tables] == [3, 3, 4, 2]
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_a_licence_by_several_names_stays_a_list(tmp_path):
    (tmp_path / "README.md").write_text("---\nlicense:\n- mit\n- apache-2.0\n---\n")
    assert licence_metadata(str(tmp_path), None) == {"license": ["mit", "apache-2.0"]}
    assert model_licence(str(tmp_path), None) == "mit, apache-2.0"
