"""Reason `contaminated_ngram`: the question, or the trace's text, says most of a benchmark question in the same words.

Question and text are taken as words (`questions.question_words`: words, numbers and operators; no punctuation). A benchmark
question of at least `ngram_size` words is matched when both hold:

- More than `ngram_share` of its n-grams stand in the text. Only n-grams of its own count: one that also stands in a
  benchmark question with other numbers is a template's or an exam's wording ("Express your answer as a common fraction"),
  as GPT-3's authors passed over n-grams that were met often (Brown et al. 2020, arXiv 2005.14165, appendix C).
- All its numbers stand in the text, as often. `3 + 5 + 2 =` and `3 + 5 + 4 =` after the same ten words are two questions.

A question with fewer words, or without an n-gram of its own, is matched only by a problem whose question has the same words:
`compute sin 60` in the midst of a trace is no leak.

The defaults follow Tülu 3 (Lambert et al. 2024, arXiv 2411.15124, section 3.2): 8-grams that cover more than half of
the benchmark question. GPT-3 used 13-grams and s1 (Muennighoff et al. 2025, arXiv 2501.19393) 8-grams, each with a single
one as enough: `ngram_share: 0`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from mixdistill.questions import numbers_in, question_words
from mixdistill.records import Problem, Trace
from mixdistill.selection.rule import Rule, RuleContext, written_words


def contaminated_ngram(context: RuleContext) -> Rule | None:
    """Reject traces whose question or text overlaps with a benchmark question."""
    size = context.config.ngram_size
    if size is None or not context.config.decontaminate:
        return None
    questions = {tuple(question_words(text)) for texts in context.benchmark_questions.values() for text in texts} - {()}
    if not questions:
        return None
    index = _Index(questions, size, context.config.ngram_share)

    @lru_cache(maxsize=1)  # traces come problem by problem
    def question_leaks(question: str) -> bool:
        words = tuple(question_words(question))
        return words in questions or index.matches(words)

    def rule(trace: Trace, problem: Problem) -> str | None:
        leaks = question_leaks(problem.question) or index.matches(written_words(trace))
        return "contaminated_ngram" if leaks else None

    return rule


class _Index:
    """The n-grams of the benchmark questions, each pointing to the questions that it stands in."""

    def __init__(self, questions: Iterable[tuple[str, ...]], size: int, share: float) -> None:
        self._size = size
        self._share = share
        self._numbers: list[Counter[str]] = []
        self._owners: dict[tuple[str, ...], list[int]] = {}
        for owner, words in enumerate(sorted(questions)):
            self._numbers.append(Counter(numbers_in(words)))
            for ngram in set(_ngrams(words, size)):
                self._owners.setdefault(ngram, []).append(owner)
        shared = [
            ngram
            for ngram, owners in self._owners.items()
            if any(self._numbers[owner] != self._numbers[owners[0]] for owner in owners)
        ]
        for ngram in shared:
            del self._owners[ngram]
        self._totals = Counter(owner for owners in self._owners.values() for owner in owners)

    def matches(self, words: list[str] | tuple[str, ...]) -> bool:
        found = {ngram for ngram in _ngrams(words, self._size) if ngram in self._owners}
        if not found:
            return False
        hits = Counter(owner for ngram in found for owner in self._owners[ngram])
        numbers = Counter(numbers_in(words))
        return any(
            count > self._share * self._totals[owner] and self._numbers[owner] <= numbers for owner, count in hits.items()
        )


def _ngrams(words: list[str] | tuple[str, ...], size: int) -> Iterable[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(size)), strict=False)
