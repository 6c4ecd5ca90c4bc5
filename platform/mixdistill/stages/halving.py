"""The arithmetic of a search by successive halving: where the rungs stand, who is asked what, and which share is best.

In: what each candidate's student got right at each rung. Out: the figures of `search.json`. Free of Ray and torch.

Asynchronous successive halving (ASHA: Li et al. 2020, A System for Massively Parallel Hyperparameter Tuning, arXiv 1810.05934)
does not wait until all candidates have come to a rung: who comes is compared with those that came there before. So no room
of a cluster stands idle, and the first to come to a rung goes on whatever it got.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from mixdistill.config import SearchConfig
from mixdistill.errors import DataError, StageError
from mixdistill.evaluation.intervals import wilson_interval

CONFIDENCE = 0.95


class RungResult(TypedDict):
    """What one candidate's student did at one rung. A plain dict, because Ray Tune keeps it as JSON."""

    rung: int  # from 1
    steps: int
    num_correct: int
    num_questions: int


@dataclass(frozen=True)
class Candidate:
    """What is known of one share when its trial is over."""

    share: float
    num_examples: int
    num_steps: int | None  # of the whole recipe; None: it failed before it began
    steps: int = 0  # that it trained
    history: Sequence[RungResult] = ()
    seconds: float = 0.0
    num_answer_tokens: int = 0
    failure: str | None = None

    @property
    def rung(self) -> int:
        """The last rung that it reached; 0: none."""
        return self.history[-1]["rung"] if self.history else 0

    @property
    def accuracy(self) -> float:
        """The share of right answers at its last rung."""
        return self.history[-1]["num_correct"] / self.history[-1]["num_questions"]


@dataclass
class Trial:
    """What a running trial has to remember; goes into its checkpoints."""

    history: list[RungResult] = field(default_factory=list)
    seconds: float = 0.0
    num_answer_tokens: int = 0


def rung_steps(num_steps: int, search: SearchConfig) -> dict[int, int]:
    """Step -> rung: the last step, and before it `num_steps / reduction_factor ** k`, rounded up.

    In a run of so few steps that rungs fall together, the highest of them counts.
    """
    return {
        math.ceil(num_steps / search.reduction_factor ** (search.num_rungs - rung)): rung
        for rung in range(1, search.num_rungs + 1)
    }


def resource(rung: int, search: SearchConfig) -> int:
    """ASHA's unit of training at a rung: powers of the reduction factor.

    Its milestones are these very powers, so they are hit exactly, whatever the number of steps is divisible by, and mixes
    of different sizes are compared at the same part of their recipe.
    """
    return int(search.reduction_factor ** (rung - 1))


def asked_problems(held_out: Mapping[str, NDArray[np.int64]], max_questions: int, seed: int) -> list[int]:
    """Which problems are asked, as ascending places in the problem set: held-out ones, at most so many, by the seed.

    Args:
        held_out: source -> the problem of each of its held-out traces.
        max_questions: how many are asked at most.
        seed: of the choice.

    Raises:
        DataError: there is none.
    """
    known = sorted({int(problem) for problems in held_out.values() for problem in problems})
    if not known:
        raise DataError(
            "there is no validation problem to judge a search by: no selected trace is of a problem that is held out; "
            "raise mixing.validation_share, or have more problems solved"
        )
    random.Random(seed).shuffle(known)  # noqa: S311  (a repeatable choice, not a secret)
    return sorted(known[:max_questions])


def best_candidate(candidates: Sequence[Candidate]) -> Candidate:
    """The highest accuracy at the highest rung that anybody reached who did not fail; of equals, the lowest share.

    Raises:
        StageError: all failed.
    """
    alive = [one for one in candidates if one.failure is None and one.history]
    if not alive:
        reasons = "\n".join(f"  share {one.share:g}: {one.failure}" for one in candidates)
        raise StageError(f"all {len(candidates)} candidates of the search failed; mend the cause and run again:\n{reasons}")
    top = max(one.rung for one in alive)
    return min((one for one in alive if one.rung == top), key=lambda one: (-one.accuracy, one.share))


def search_figures(
    mix: str, student: str, search: SearchConfig, candidates: Sequence[Candidate], num_questions: int
) -> dict[str, Any]:
    """The content of `search.json`: the best share, the curve with Wilson's intervals, and what the search cost.

    Raises:
        StageError: all candidates failed.
    """
    best = best_candidate(candidates)
    # Who failed before its steps were known would have taken as many as the longest.
    longest = max(one.num_steps or 0 for one in candidates)
    return {
        "mix": mix,
        "student": student,
        "of": search.of,
        "best_share": best.share,
        "best_fractions": search.fractions(best.share),
        "rungs": sorted(rung_steps(longest, search)),
        "num_questions": num_questions,
        "candidates": [_candidate_figures(one, search.num_rungs) for one in candidates],
        "seconds": round(math.fsum(one.seconds for one in candidates), 3),
        "num_steps": sum(one.steps for one in candidates),
        "num_steps_full": sum(one.num_steps or longest for one in candidates),
        "num_answer_tokens": sum(one.num_answer_tokens for one in candidates),
    }


def _candidate_figures(one: Candidate, num_rungs: int) -> dict[str, Any]:
    status: Literal["finished", "stopped", "failed"] = "finished" if one.rung == num_rungs else "stopped"
    figures: dict[str, Any] = {
        "share": one.share,
        "num_examples": one.num_examples,
        "status": "failed" if one.failure else status,
        "rung": one.rung,
        "steps": one.steps,
        "num_correct": 0,
        "num_questions": 0,
        "accuracy": None,
        "ci_low": None,
        "ci_high": None,
        "history": [
            {"steps": result["steps"], "accuracy": result["num_correct"] / result["num_questions"]} for result in one.history
        ],
        "seconds": round(one.seconds, 3),
        "reason": one.failure or "",
    }
    if one.history:
        last = one.history[-1]
        low, high = wilson_interval(one.accuracy, last["num_questions"], CONFIDENCE)
        figures |= {
            "num_correct": last["num_correct"],
            "num_questions": last["num_questions"],
            "accuracy": one.accuracy,
            "ci_low": low,
            "ci_high": high,
        }
    return figures
