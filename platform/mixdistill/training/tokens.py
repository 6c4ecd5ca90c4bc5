"""Turns examples into token ids with labels: loss on the response and its end of turn, and on nothing else.

In: `records.Example`. Out: `input_ids` and `labels` of the same length, label -100 where there is no loss. Needs a
tokenizer, not torch.

The prompt is what the chat template gives with a generation prompt, so it is token for token what an engine puts before
the first generated token. The response is tokenised by itself, as generation would have made it; what a template
writes after the end of turn (SmolLM2 and Qwen2.5: a newline) is never generated and never trained.

An example that is longer than `max_seq_length` is dropped, or cut: it then loses the end of its response and has no end of
turn, so that a student does not learn to stop in mid-thought. Either way it is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from mixdistill.config import RecipeConfig
from mixdistill.errors import DataError, ModelError
from mixdistill.prompts import prompt_token_ids, student_messages
from mixdistill.records import Example

IGNORED: Final = -100
"""The label that torch's cross entropy leaves out."""

TOO_LONG: Final = "too_long"
SPECIAL_TOKEN: Final = "special_token"  # noqa: S105  (a reason, not a password)


@dataclass(frozen=True, slots=True)
class TokenisedExample:
    """One training sequence."""

    example_id: str
    source: str  # the teacher whose response it is
    input_ids: list[int]
    num_prompt_tokens: int

    @property
    def labels(self) -> list[int]:
        """The input ids, with the prompt's ignored."""
        return [IGNORED] * self.num_prompt_tokens + self.input_ids[self.num_prompt_tokens :]


@dataclass(frozen=True, slots=True)
class PreparedExamples:
    """The sequences that teach, in the order of the examples, and how many were left out for which reason."""

    kept: list[TokenisedExample]
    dropped: dict[str, int]
    num_cut: int  # of those kept, how many lost the end of their response
    end_of_turn: int  # the token a student must be stopped by


def prepare_examples(examples: Iterable[Example], tokenizer: Any, recipe: RecipeConfig, prompt: str) -> PreparedExamples:
    """Tokenise examples; drop and count those that hold a special token; drop or cut, and count, those that are too long.

    A response with a special token in its text (an end of turn, say) would teach to break the chat's form.

    Args:
        examples: the rows of a mix.
        tokenizer: the student's, with a chat template.
        recipe: gives `max_seq_length` and `too_long`.
        prompt: name or template.

    Raises:
        ModelError: the tokenizer has no chat template, or one that does not end an assistant's turn.
        DataError: no example is left.
    """
    prepared = tokenise_examples(examples, tokenizer, recipe, prompt)
    if not prepared.kept:
        raise DataError(
            f"no example is left to train on: dropped {prepared.dropped} with max_seq_length {recipe.max_seq_length}; "
            "raise max_seq_length or look at the mix"
        )
    return prepared


def tokenise_examples(examples: Iterable[Example], tokenizer: Any, recipe: RecipeConfig, prompt: str) -> PreparedExamples:
    """`prepare_examples`, where none may be left, as with the held-out examples of a small mix.

    Raises:
        ModelError: the tokenizer has no chat template, or one that does not end an assistant's turn.
    """
    turn_end = _turn_end(tokenizer)
    special = _special_ids(tokenizer)
    kept: list[TokenisedExample] = []
    dropped: Counter[str] = Counter()
    num_cut = 0
    for example in examples:
        prompt_ids = prompt_token_ids(tokenizer, student_messages(example.question, prompt=prompt))
        response_ids = list(tokenizer(example.response, add_special_tokens=False, verbose=False)["input_ids"])
        if not special.isdisjoint(response_ids):
            dropped[SPECIAL_TOKEN] += 1
            continue
        input_ids = prompt_ids + response_ids + turn_end
        if len(input_ids) > recipe.max_seq_length:
            # A prompt that leaves no room for a response has nothing to teach.
            if recipe.too_long == "drop" or len(prompt_ids) >= recipe.max_seq_length:
                dropped[TOO_LONG] += 1
                continue
            # Where only the end of turn is too much, the response stays whole; no part of a longer end of turn does.
            input_ids = (prompt_ids + response_ids)[: recipe.max_seq_length]
            num_cut += 1
        kept.append(TokenisedExample(example.example_id, example.teacher, input_ids, len(prompt_ids)))
    return PreparedExamples(kept, dict(dropped), num_cut, turn_end[-1])


def _special_ids(tokenizer: Any) -> set[int]:
    added = {token_id for token_id, token in tokenizer.added_tokens_decoder.items() if token.special}
    return added | set(tokenizer.all_special_ids)


def _turn_end(tokenizer: Any) -> list[int]:
    """What the chat template writes after an assistant's text, up to the special token that ends the turn."""
    if not tokenizer.chat_template:
        raise ModelError("the student's tokenizer has no chat template; use an instruction-tuned model")
    marker = "RESPONSE"
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "question"}, {"role": "assistant", "content": marker}], tokenize=False
    )
    tail = list(tokenizer(text.rpartition(marker)[2], add_special_tokens=False)["input_ids"])
    special = _special_ids(tokenizer)
    for position, token_id in enumerate(tail):
        if token_id in special:
            return tail[: position + 1]
    raise ModelError(
        "the student's chat template does not end an assistant's turn with a special token, so it could not learn to "
        "stop; use a model whose template does"
    )
