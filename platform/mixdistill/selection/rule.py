"""What a selection rule is: a function from a trace and its problem to None (it passes) or the reason against it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mixdistill.config import SelectionConfig
from mixdistill.questions import question_words
from mixdistill.records import Problem, Trace

Rule = Callable[[Trace, Problem], str | None]
"""None: the trace passes. A string: the reason why it may not teach, which is counted."""


@dataclass(frozen=True, slots=True)
class RuleContext:
    """What rules may know beside the row."""

    config: SelectionConfig
    benchmark_questions: Mapping[str, Sequence[str]]  # benchmark name -> its questions


def written_parts(trace: Trace) -> tuple[str, ...]:
    """What the model wrote, in order: its reasoning, where that stands apart, and its response."""
    return (trace.response,) if trace.reasoning is None else (trace.reasoning, trace.response)


def written_words(trace: Trace) -> list[str]:
    """The `question_words` of all that the model wrote. Not to be changed: the rules that meet a trace share them."""
    return _words_of("\n".join(written_parts(trace)))


_words_of = lru_cache(maxsize=1)(question_words)


RuleFactory = Callable[[RuleContext], Rule | None]
"""Makes a rule; None when the config switches it off."""
