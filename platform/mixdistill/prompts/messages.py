"""Chat messages for teachers and students, as plain user and assistant turns.

There is never a system turn: some chat templates refuse one (Gemma 2 raises "System role not supported"), and others
put in their own default where none is given, which must be the same for teacher and student. A style's instruction
therefore opens the first user turn, where a system turn would have stood (its end is no place: the paper's prompt ends
with "Answer:"). Turning messages into a model's tokens is left to its chat template.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mixdistill.config import FewShotTurn
from mixdistill.prompts.styles import style_named
from mixdistill.prompts.templates import prompt_template, render_question

Message = dict[str, str]
"""{"role": "user" | "assistant", "content": text}"""

_TODAY: Final = "26 Jul 2024"
"""What Llama 3.2's template takes for today where it cannot ask: it would write the day of the call into every prompt, and a
student trained over midnight, or evaluated on another day, would see another prompt."""


def prompt_token_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """A chat's tokens up to where the answer begins, by the tokenizer's template: the same in training and in every engine."""
    token_ids = tokenizer.apply_chat_template(
        list(messages), add_generation_prompt=True, tokenize=True, return_dict=False, date_string=_TODAY
    )
    return list(token_ids)


def teacher_messages(question: str, *, prompt: str, style: str, few_shot: Sequence[FewShotTurn]) -> list[Message]:
    """Worked examples, each asked with the same prompt, then the question.

    Args:
        question: the problem's text.
        prompt: a prompt's name or a template with `{question}`.
        style: a style's name; its instruction opens the first user turn.
        few_shot: worked examples in order.

    Raises:
        ConfigError: the prompt or the style is unknown.
    """
    template = prompt_template(prompt)
    instruction = style_named(style).instruction
    messages: list[Message] = []
    for turn in few_shot:
        messages.append({"role": "user", "content": render_question(template, turn.question)})
        messages.append({"role": "assistant", "content": turn.response})
    messages.append({"role": "user", "content": render_question(template, question)})
    if instruction is not None:
        messages[0]["content"] = f"{instruction}\n\n{messages[0]['content']}"
    return messages


def student_messages(question: str, *, prompt: str) -> list[Message]:
    """One user turn, zero-shot and without a style, in training as in evaluation.

    Raises:
        ConfigError: the prompt is unknown.
    """
    return [{"role": "user", "content": render_question(prompt_template(prompt), question)}]
