"""The model in training answers questions, by transformers' own generation: for a judgement in the middle of a run.

In: the model and tokenizer that a trainer holds, and questions. Out: one `Answer` a question, in their order. The training goes
on as if nobody had asked: no random number is taken from it, and the model is left in the mode that it was in.

This is for a few hundred questions at a time. A finished student answers benchmarks in an engine, which is many times faster;
asked greedily, both answer alike up to the last bits of bfloat16.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
import transformers

from mixdistill.config import SamplingConfig
from mixdistill.prompts import prompt_token_ids, student_messages


@dataclass(frozen=True, slots=True)
class Answer:
    """One response."""

    text: str  # without special tokens, as an engine gives it
    num_tokens: int  # generated, the end of turn included
    finish_reason: Literal["stop", "length"]


def ask(
    model: Any, tokenizer: Any, questions: Sequence[str], *, prompt: str, sampling: SamplingConfig, at_once: int, bfloat16: bool
) -> list[Answer]:
    """Answer questions, `at_once` of them side by side.

    Args:
        model: a causal language model or a `PeftModel`, on its device.
        tokenizer: the model's, with a chat template.
        questions: problems' texts.
        prompt: name or template, as the student is trained with.
        sampling: how responses are drawn. Above temperature 0 they repeat only with the same `at_once`: the rows of a
            batch draw from one stream of random numbers.
        at_once: rows of a batch.
        bfloat16: compute in bfloat16, as a student with these weights is run later.
    """
    prompts = [prompt_token_ids(tokenizer, student_messages(question, prompt=prompt)) for question in questions]
    by_length = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))  # so that a batch pads little
    answers: dict[int, Answer] = {}
    with _only_answering(model, sampling.seed, bfloat16):
        for start in range(0, len(by_length), at_once):
            batch = by_length[start : start + at_once]
            made = _generate(model, tokenizer, [prompts[index] for index in batch], sampling)
            answers |= dict(zip(batch, made, strict=True))
    return [answers[index] for index in range(len(prompts))]


@contextmanager
def _only_answering(model: Any, seed: int, bfloat16: bool) -> Iterator[None]:
    """Evaluation mode and random numbers of its own. One autocast around all, so that each weight is rounded once."""
    was_training = model.training
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.autocast(model.device.type, torch.bfloat16, enabled=bfloat16):
        torch.manual_seed(seed)
        model.eval()
        try:
            yield
        finally:
            model.train(was_training)


def _generate(model: Any, tokenizer: Any, prompts: Sequence[list[int]], sampling: SamplingConfig) -> list[Answer]:
    ends = _end_tokens(model, tokenizer)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else ends[0]
    width = max(map(len, prompts))
    # On the left, so that all responses begin in the same column.
    input_ids = torch.tensor([[pad] * (width - len(ids)) + ids for ids in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts], device=model.device)
    rows = model.generate(
        input_ids=input_ids,
        attention_mask=mask,
        generation_config=_generation_config(sampling, ends, pad),
        tokenizer=tokenizer,  # for stop strings
    )
    return [_answer(row, tokenizer, ends, pad, sampling) for row in rows[:, width:].tolist()]


def _end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """What ends a response: the model's own list, which training has made to hold the end of turn, and the tokenizer's."""
    known = model.generation_config.eos_token_id
    ends = [known] if isinstance(known, int) else list(known or [])
    return list(dict.fromkeys([*ends, *([] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id])]))


def _generation_config(sampling: SamplingConfig, ends: list[int], pad: int) -> Any:
    """All that the model's own generation config could set otherwise: engines are told to ignore that one, too."""
    drawn = sampling.temperature > 0
    return transformers.GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=sampling.max_tokens,
        do_sample=drawn,
        temperature=sampling.temperature if drawn else 1.0,
        top_p=sampling.top_p if drawn else 1.0,
        top_k=sampling.top_k if drawn else 0,
        repetition_penalty=1.0,
        num_beams=1,
        use_cache=True,
        stop_strings=list(sampling.stop) or None,
        eos_token_id=ends,
        pad_token_id=pad,
    )


def _answer(row: list[int], tokenizer: Any, ends: list[int], pad: int, sampling: SamplingConfig) -> Answer:
    """What stands in one row of new tokens, up to its end of turn or stop string; what follows is padding."""
    end = next((place for place, token in enumerate(row) if token in ends), None)
    if end is not None:
        row = row[: end + 1]
    else:
        while row and row[-1] == pad:
            row = row[:-1]
    text = tokenizer.decode(row, skip_special_tokens=True)
    cut = min((place for stop in sampling.stop if (place := text.find(stop)) >= 0), default=None)
    ended = end is not None or cut is not None
    return Answer(text=text[:cut], num_tokens=len(row), finish_reason="stop" if ended else "length")
