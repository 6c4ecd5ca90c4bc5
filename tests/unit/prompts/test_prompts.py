"""Prompts and messages: the paper's prompt to the letter, plain user and assistant turns, a style in the first of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixdistill.config import FewShotTurn
from mixdistill.errors import ConfigError
from mixdistill.prompts import PROMPTS, STYLES, prompt_template, prompt_token_ids, student_messages, teacher_messages

SHOTS = (
    FewShotTurn(question="1 + 1?", response=r"Final Answer: \boxed{2}"),
    FewShotTurn(question="2 + 2?", response=r"\boxed{4}"),
)


def test_the_papers_prompt_is_verbatim():
    [message] = student_messages("What is $1+1$?", prompt="paper")
    assert message == {
        "role": "user",
        "content": "Solve the following math problem. "
        "Present the final answer in the format: Final Answer: \\boxed{your_answer}.\n"
        "Problem: What is $1+1$?\n"
        "Answer:",
    }


@given(question=st.text(max_size=40))
def test_a_question_passes_through_with_all_its_braces(question):
    [message] = student_messages(question, prompt="Q: {question} \\boxed{x}")
    assert message["content"] == "Q: " + question + " \\boxed{x}"


@given(question=st.text(max_size=20), style=st.sampled_from(sorted(STYLES)), num_shots=st.integers(0, 2))
def test_turns_alternate_and_end_with_the_question(question, style, num_shots):
    messages = teacher_messages(question, prompt="{question}", style=style, few_shot=SHOTS[:num_shots])
    assert [m["role"] for m in messages] == ["user", "assistant"] * num_shots + ["user"]
    assert messages[-1]["content"].endswith(question)


def test_worked_examples_are_asked_like_the_question():
    messages = teacher_messages("3 + 3?", prompt="paper", style="native", few_shot=SHOTS)
    assert messages[0] == student_messages("1 + 1?", prompt="paper")[0]
    assert messages[1] == {"role": "assistant", "content": r"Final Answer: \boxed{2}"}
    assert messages[-1] == student_messages("3 + 3?", prompt="paper")[0]


@pytest.mark.parametrize("style", ["short", "long"])
@pytest.mark.parametrize("few_shot", [(), SHOTS])
def test_a_styles_instruction_stands_once_and_first(style, few_shot):
    plain = teacher_messages("3 + 3?", prompt="paper", style="native", few_shot=few_shot)
    styled = teacher_messages("3 + 3?", prompt="paper", style=style, few_shot=few_shot)
    assert styled[0]["content"] == f"{STYLES[style].instruction}\n\n{plain[0]['content']}"
    assert styled[1:] == plain[1:]


def test_native_adds_nothing_and_students_never_see_a_style():
    assert STYLES["native"].instruction is None
    assert teacher_messages("q", prompt="paper", style="native", few_shot=()) == student_messages("q", prompt="paper")


def test_a_template_of_ones_own_needs_the_question():
    assert prompt_template("Ask: {question}") == "Ask: {question}"
    assert prompt_template("paper") == PROMPTS["paper"]
    with pytest.raises(ConfigError, match="did you mean 'paper'"):
        prompt_template("papr")
    with pytest.raises(ConfigError, match=r"contains \{question\}"):
        prompt_template("Solve this.")


def test_an_unknown_style_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'short'"):
        teacher_messages("q", prompt="paper", style="shrt", few_shot=())


def test_a_prompt_does_not_change_from_one_day_to_the_next():
    class Llama32:  # its template writes `date_string`, and the day of the call where none is given
        def apply_chat_template(self, messages, *, date_string=None, **_):
            return [len(messages), date_string or "the day of the call"]

    assert prompt_token_ids(Llama32(), [{"role": "user", "content": "q"}]) == [1, "26 Jul 2024"]
