"""What the published chat templates of three model families make of an example: the prompt of inference, then the response.

The templates of Qwen2.5 and Llama 3 are read as trl ships them (`trl/chat_templates/README.md` names their models), and so is
Llama 3.2's, which writes a date; SmolLM2's stands in `tests/conftest.py`.
"""

from __future__ import annotations

import copy
from importlib import resources
from typing import Any

import pytest

pytest.importorskip("transformers")
pytest.importorskip("trl")

from mixdistill.config import StudentConfig
from mixdistill.prompts import prompt_token_ids, student_messages
from mixdistill.records import Example
from mixdistill.training.tokens import IGNORED, prepare_examples

PROMPT = "Compute {question}"
RECIPE = StudentConfig(model="m", max_seq_length=2048)
LLAMA_TOKENS = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
FAMILIES = {
    "smollm2": (None, None, "<|im_end|>"),
    "qwen2_5": ("qwen2_5.jinja", None, "<|im_end|>"),
    "llama3": ("llama3.jinja", LLAMA_TOKENS, "<|eot_id|>"),
    "llama3_1": ("llama3_1.jinja", LLAMA_TOKENS, "<|eot_id|>"),
    "llama3_2": ("llama3_2.jinja", LLAMA_TOKENS, "<|eot_id|>"),
}
RESPONSES = [
    "1 + 1 = 2.\n\nThe answer is \\boxed{2}.",
    "<think>\nOne and one.\n</think>\n\nIt is \\boxed{2}.",
    "Zwei, 二, ½ of 4.",
]


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest, tiny_tokenizer: Any) -> tuple[Any, str]:
    """The tiny tokenizer with this family's template and special tokens, and the token that ends a turn."""
    template, special, end_of_turn = FAMILIES[request.param]
    tokenizer = copy.deepcopy(tiny_tokenizer)
    if special:
        tokenizer.add_special_tokens({"bos_token": special[0], "additional_special_tokens": special[1:]})
    if template:
        tokenizer.chat_template = (resources.files("trl") / "chat_templates" / template).read_text()
    return tokenizer, end_of_turn


def example(response: str) -> Example:
    return Example("e", "m", "p", "t", "teacher", "1 + 1", response, 9)


@pytest.mark.parametrize("response", RESPONSES)
def test_the_labels_are_the_response_and_the_end_of_its_turn(family: tuple[Any, str], response: str) -> None:
    tokenizer, end_of_turn = family
    prepared = prepare_examples([example(response)], tokenizer, RECIPE, PROMPT)
    (one,) = prepared.kept
    assert tokenizer.decode([label for label in one.labels if label != IGNORED]) == response + end_of_turn
    assert prepared.end_of_turn == tokenizer.convert_tokens_to_ids(end_of_turn)
    assert one.input_ids.count(prepared.end_of_turn) == one.input_ids[: one.num_prompt_tokens].count(prepared.end_of_turn) + 1


@pytest.mark.parametrize("response", RESPONSES)
def test_the_whole_is_the_conversation_as_the_template_writes_it_up_to_the_end_of_the_turn(
    family: tuple[Any, str], response: str
) -> None:
    tokenizer, end_of_turn = family
    (one,) = prepare_examples([example(response)], tokenizer, RECIPE, PROMPT).kept
    messages = [*student_messages("1 + 1", prompt=PROMPT), {"role": "assistant", "content": response}]
    conversation = tokenizer.apply_chat_template(messages, return_dict=False, date_string="26 Jul 2024")
    assert conversation[: len(one.input_ids)] == one.input_ids
    assert tokenizer.decode(conversation[len(one.input_ids) :]).strip() == ""
    assert tokenizer.decode(one.input_ids).endswith(response + end_of_turn)


def test_the_prompt_is_what_inference_puts_before_the_response(family: tuple[Any, str]) -> None:
    tokenizer, _ = family
    (one,) = prepare_examples([example(RESPONSES[0])], tokenizer, RECIPE, PROMPT).kept
    asked = prompt_token_ids(tokenizer, student_messages("1 + 1", prompt=PROMPT))  # as every engine does
    assert one.input_ids[: one.num_prompt_tokens] == asked
    if tokenizer.bos_token == "<|begin_of_text|>":
        assert one.input_ids.count(tokenizer.bos_token_id) == 1
