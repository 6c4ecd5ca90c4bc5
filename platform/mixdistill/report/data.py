"""What a report is made from, as plain frozen rows; the stage that reports fills it from the artifacts' manifests.

The statistics come in as `findings`, the JSON document of `evaluation.Findings.as_json()` (keys scores, averages, gaps,
gains, verdicts; accuracies as fractions): a report renders numbers, it does not compute them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mixdistill.records import Prediction, Problem, StudentRun


@dataclass(frozen=True)
class TeacherRound:
    """One round of a teacher: one sample for each accepted trace that a problem still lacked."""

    round: int  # 0-based
    asked: int  # samples
    accepted: int
    tokens: int
    temperature: float


@dataclass(frozen=True)
class TeacherLevel:
    """The problems of one difficulty level."""

    level: str | None  # the publisher's label; None where there is none
    problems: int
    solved: int


@dataclass(frozen=True)
class TeacherFigures:
    """What one teacher wrote. A trace is accepted when its answer is right and the model ended it itself."""

    name: str
    model: str
    style: str
    num_problems: int
    num_solved: int  # problems with at least one accepted trace
    num_unasked: int  # problems that were not done when the token budget was used up
    num_solved_alone: int | None  # problems that no other teacher solved; None when there is no other
    num_samples: int  # traces written, those without a response included
    num_accepted: int
    num_selected: int  # traces that the selection kept
    num_tokens: int  # generated
    num_prompt_tokens: int
    num_truncated: int  # traces that met the token limit
    seconds: float
    reasons: Mapping[str, int]  # why the selection did not keep the other traces
    quarantined: Mapping[str, int]  # requests without a response, by reason
    rounds: Sequence[TeacherRound]
    levels: Sequence[TeacherLevel]
    fixed_num_samples: int  # samples of every problem, had the teacher not stopped at the accepted ones
    fixed_num_tokens: int  # estimate of what they would have cost: each problem's own mean tokens per sample times their number
    num_requests_repeated: int = 0  # were in flight when something died
    num_engine_deaths: int = 0
    num_workers_lost: int = 0

    @property
    def num_unsolved(self) -> int:
        """Problems without an accepted trace."""
        return self.num_problems - self.num_solved

    @property
    def tokens_per_accepted(self) -> float | None:
        """All generated tokens, those of the other traces too, for each accepted trace; None without one."""
        return self.num_tokens / self.num_accepted if self.num_accepted else None

    @property
    def saved_share(self) -> float | None:
        """The estimated share of fixed-N sampling's tokens that was not generated; None when there is nothing to save."""
        if self.fixed_num_samples < 2 or not self.fixed_num_tokens:
            return None
        return 1 - self.num_tokens / self.fixed_num_tokens


@dataclass(frozen=True)
class TokenSpread:
    """How long one source's responses in one mix are."""

    total: int
    mean: float
    p10: float
    p50: float
    p90: float
    max: int


@dataclass(frozen=True)
class MixLevel:
    """The examples of one difficulty level in one mix."""

    level: str | None  # the publisher's label; None where there is none
    examples: Mapping[str, int]  # by source


@dataclass(frozen=True)
class MixBudget:
    """What the size of a mix was cut to. Slots stand for examples where all mixes are drawn over the same problems."""

    available: int  # examples that the mix could have had
    taken: int
    tokens_available: int
    tokens_limit: int | None  # None: tokens are not limited


@dataclass(frozen=True)
class ProblemCounts:
    """Over which problems a mix was drawn."""

    solved_by: Mapping[str, int]  # source -> problems with a trace that was kept
    all_sources: int  # solved by every source
    any_source: int
    held_out: int  # for validation: in no mix


@dataclass(frozen=True)
class MixFigures:
    """What one mix holds, and what it was cut to."""

    name: str
    num_examples: int
    by_teacher: Mapping[str, int]
    num_tokens: int
    mix: str  # the name under which students are compared: the searched mix's, where a search found this one
    found_for: str | None  # the student whose search found it
    protocol: str  # controlled or paper
    problems: str  # intersection or union
    match: str  # examples, tokens or steps
    tokens: Mapping[str, TokenSpread]  # by source
    levels: Sequence[MixLevel]
    left_out: Mapping[str, int]  # reason -> traces of its sources that are no example
    num_problems: ProblemCounts
    budget: MixBudget
    num_validation: Mapping[str, int]  # source -> held-out traces


@dataclass(frozen=True)
class TrainingFigures:
    """How one student was trained."""

    run: StudentRun
    num_steps: int
    num_tokens: int
    seconds: float
    final_loss: float | None
    losses: Sequence[tuple[int, float]] = ()  # (step, loss)
    validation: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)  # source -> (step, loss)
    num_examples: int | None = None  # that taught
    num_cut: int = 0  # of those, how many lost the end of their response
    dropped: Mapping[str, int] = field(default_factory=dict)  # reason -> examples that did not teach
    padding_share: float | None = None  # of the tokens that went through the model
    attention: str | None = None  # the implementation that ran


@dataclass(frozen=True)
class SearchRung:
    """How a candidate did at one point of its training."""

    steps: int
    accuracy: float


@dataclass(frozen=True)
class SearchCandidate:
    """One share that a search tried; the counts are those of the last rung that it reached."""

    share: float
    num_examples: int
    status: str  # finished, stopped or failed
    rung: int  # 1-based; 0: none was reached
    steps: int
    num_correct: int
    num_questions: int
    accuracy: float | None  # None: it was never judged
    ci_low: float | None
    ci_high: float | None
    history: Sequence[SearchRung]
    seconds: float
    reason: str | None  # why it failed


@dataclass(frozen=True)
class SearchFigures:
    """The search for the best share of one mix for one student."""

    name: str
    mix: str
    student: str
    of: str  # the source whose share was searched
    best_share: float
    best_fractions: Mapping[str, float]
    rungs: Sequence[int]  # optimiser steps after which candidates were judged
    num_questions: int  # validation problems that each was asked at a rung
    candidates: Sequence[SearchCandidate]
    seconds: float  # of all trials together
    num_steps: int  # optimiser steps that were spent
    num_steps_full: int  # what training every candidate to its end would have taken
    num_answer_tokens: int


@dataclass(frozen=True)
class Artifact:
    """One finished step of the pipeline."""

    stage: str
    name: str
    fingerprint: str
    seconds: float


@dataclass(frozen=True)
class ReportData:
    """Everything that the report of one experiment shows."""

    experiment: str
    findings: Mapping[str, Sequence[Mapping[str, Any]]]
    predictions: Mapping[StudentRun, Sequence[Prediction]]  # the untouched student has the mix "none"
    problems: Mapping[str, Problem]  # by problem_id, at least those that were evaluated
    benchmarks: Mapping[str, str] = field(default_factory=dict)  # name -> where its questions come from
    prompts: Mapping[str, str] = field(default_factory=dict)  # who is asked -> the template
    teachers: Sequence[TeacherFigures] = ()
    searches: Sequence[SearchFigures] = ()
    mixes: Sequence[MixFigures] = ()
    students: Sequence[TrainingFigures] = ()
    lineage: Sequence[Artifact] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)  # the resolved config
    hardware: str = ""  # in words, e.g. "2 CPU cores, 24 GiB"
    seconds: float = 0.0  # of the whole experiment, added over its artifacts
