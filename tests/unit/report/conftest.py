"""Report data that resembles the demo: SmolLM2-135M on sums, with the accuracies of a trial of its recipe."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mixdistill.config.report import ReportConfig
from mixdistill.evaluation import analyse
from mixdistill.records import Prediction, Problem, StudentRun, content_id
from mixdistill.report import (
    Artifact,
    MixBudget,
    MixFigures,
    MixLevel,
    ProblemCounts,
    Report,
    ReportData,
    SearchCandidate,
    SearchFigures,
    SearchRung,
    TeacherFigures,
    TeacherLevel,
    TeacherRound,
    TokenSpread,
    TrainingFigures,
    build_report,
)

BASE = "bundled:smollm2-135m-instruct"
# mix -> (right in form, right whatever the form, answered in form, cut off, median tokens)
SHARES = {
    "none": (0.0, 0.29, 0.07, 0.03, 48),
    "short": (0.313, 0.32, 0.99, 0.0, 34),
    "long": (0.013, 0.05, 0.21, 0.58, 190),
    "mix_long": (0.193, 0.22, 0.86, 0.09, 52),
}


def sums(num_questions: int, name: str) -> list[Problem]:
    rng = np.random.default_rng(5)
    terms = rng.integers(1, 10, size=(num_questions, 3))
    return [
        Problem.of(f"State the final answer to this arithmetic problem (no. {i}): {a} + {b} - {c} =", str(a + b - c), name)
        for i, (a, b, c) in enumerate(terms)
    ]


def answers(mix: str, benchmark: str, problems: list[Problem], text: str, scale: float = 1.0) -> list[Prediction]:
    strict, lenient, answered, cut_off, tokens = SHARES[mix]
    rng = np.random.default_rng([len(mix), len(benchmark)])
    draw = (rng.permutation(len(problems)) + 0.5) / len(problems)  # exact shares, not drawn ones
    lengths = rng.lognormal(math.log(tokens), 0.35, len(problems))
    rows = []
    for problem, place, length in zip(problems, draw, lengths, strict=True):
        right, right_lenient, in_form = place < strict * scale, place < lenient * scale, place < answered
        truncated = place > 1 - cut_off
        wrong = str(int(problem.reference_answer) + 2)
        said = problem.reference_answer if right_lenient else wrong
        working = "First, add the first two numbers. Then subtract the third. " * (1 + int(length) // 40)
        rows.append(
            Prediction(
                prediction_id=content_id(mix, benchmark, problem.problem_id),
                student=f"smollm2-{mix}",
                benchmark=benchmark,
                problem_id=problem.problem_id,
                sample_index=0,
                seed=0,
                response=text or f"{working}\nFinal Answer: " + (f"\\boxed{{{said}}}" if in_form else said),
                finish_reason="length" if truncated else "stop",
                num_prompt_tokens=60,
                num_tokens=int(length),
                answered=bool(in_form),
                extracted=said if in_form else None,
                correct=bool(right),
                extracted_lenient=said,
                correct_lenient=bool(right_lenient),
                reason="" if right else "wrong_answer" if in_form else "no_answer",
            )
        )
    return rows


def teacher_figures(name: str, rounds: list[tuple[int, int, int]], alone: int | None, **fields: Any) -> TeacherFigures:
    """A teacher of 250 problems from its (asked, accepted, tokens) by round; one accepted trace a problem is enough."""
    asked, accepted, tokens = (sum(column) for column in zip(*rounds, strict=True))
    figures = {
        "name": name,
        "model": BASE,
        "style": name,
        "num_problems": 250,
        "num_solved": accepted,
        "num_unasked": 0,
        "num_solved_alone": alone,
        "num_samples": asked,
        "num_accepted": accepted,
        "num_selected": accepted - 2,
        "num_tokens": tokens,
        "num_prompt_tokens": 60 * asked,
        "num_truncated": 12,
        "seconds": 185.0,
        "reasons": {"wrong_answer": asked - accepted - 40, "no_answer": 28, "truncated": 12, "surplus": 2},
        "quarantined": {"prompt_too_long": 0, "refused": 0, "failed": 0, "engine_killed": 0},
        "rounds": [TeacherRound(i, *row, temperature=0.7) for i, row in enumerate(rounds)],
        "levels": [TeacherLevel(None, 250, accepted)],
        "fixed_num_samples": len(rounds),
        "fixed_num_tokens": round(tokens * 250 * len(rounds) / asked),
    }
    return TeacherFigures(**{**figures, **fields})


def mix_figures(name: str, parts: dict[str, tuple[int, int]], **fields: Any) -> MixFigures:
    """A mix from its sources' (examples, mean tokens)."""
    num_examples = sum(number for number, _ in parts.values())
    num_tokens = sum(number * mean for number, mean in parts.values())
    figures = {
        "name": name,
        "num_examples": num_examples,
        "by_teacher": {source: number for source, (number, _) in parts.items()},
        "num_tokens": num_tokens,
        "mix": name,
        "found_for": None,
        "protocol": "controlled",
        "problems": "intersection",
        "match": "examples",
        "tokens": {
            source: TokenSpread(number * mean, float(mean), 0.6 * mean, 0.95 * mean, 1.5 * mean, round(2.8 * mean))
            for source, (number, mean) in parts.items()
        },
        "levels": [MixLevel(None, {source: number for source, (number, _) in parts.items()})],
        "left_out": {"held_out_for_validation": 9, "not_all_sources": 31, "surplus": 0},
        "num_problems": ProblemCounts({"long": 103, "short": 128}, 94, 137, 4),
        "budget": MixBudget(num_examples, num_examples, num_tokens, None),
        "num_validation": {"long": 4, "short": 4},
    }
    return MixFigures(**{**figures, **fields})


def candidate(share: float, status: str, rung: int, right: list[int], **fields: Any) -> SearchCandidate:
    """A candidate of a search with rungs at 20, 40 and 60 steps and 80 questions, from its right answers at each rung."""
    accuracy = right[-1] / 80 if right else None
    figures = {
        "share": share,
        "num_examples": 900,
        "status": status,
        "rung": rung,
        "steps": 20 * rung,
        "num_correct": right[-1] if right else 0,
        "num_questions": 80,
        "accuracy": accuracy,
        "ci_low": None if accuracy is None else max(0.0, accuracy - 0.1),
        "ci_high": None if accuracy is None else min(1.0, accuracy + 0.11),
        "history": [SearchRung(20 * (index + 1), number / 80) for index, number in enumerate(right)],
        "seconds": 61.0 * rung,
        "reason": None,
    }
    return SearchCandidate(**{**figures, **fields})


def search_data(**fields: Any) -> SearchFigures:
    figures = {
        "name": "found-for-smollm2",
        "mix": "found",
        "student": "smollm2",
        "of": "long",
        "best_share": 0.2,
        "best_fractions": {"long": 0.2, "short": 0.8},
        "rungs": [20, 40, 60],
        "num_questions": 80,
        "candidates": (
            candidate(0.0, "finished", 3, [20, 24, 25]),
            candidate(0.1, "stopped", 2, [19, 23]),
            candidate(0.2, "finished", 3, [21, 27, 30]),
            candidate(0.4, "stopped", 1, [12]),
            candidate(1.0, "failed", 0, [], reason="out of memory"),
        ),
        "seconds": 549.0,
        "num_steps": 180,
        "num_steps_full": 300,
        "num_answer_tokens": 41_300,
    }
    return SearchFigures(**{**figures, **fields})


def demo_data(
    *,
    num_questions: int = 150,
    benchmarks: tuple[str, ...] = ("sums",),
    seeds: tuple[int, ...] = (0,),
    text: str = "",
    **fields: Any,
) -> ReportData:
    problems = {name: sums(num_questions // (index + 1), name) for index, name in enumerate(benchmarks)}
    runs = {
        StudentRun("smollm2", BASE, mix, seed): [
            row for index, name in enumerate(benchmarks) for row in answers(mix, name, problems[name], text, 1 / (index + 1))
        ]
        for mix in SHARES
        for seed in (seeds if mix != "none" else (0,))
    }
    steps = range(2, 46, 2)
    start = {"short": 1.4, "long": 1.9}
    data = {
        "experiment": "demo",
        "findings": analyse(runs, ReportConfig(num_bootstrap=1000)).as_json(),
        "predictions": runs,
        "problems": {problem.problem_id: problem for rows in problems.values() for problem in rows},
        "benchmarks": dict.fromkeys(benchmarks, "reasoning-gym chain_sum, 2 to 3 one-digit terms, seed 1000"),
        "prompts": {
            "students": "Solve the following math problem. Present the final answer in the format: Final Answer: "
            "\\boxed{your_answer}.\nProblem: {question}\nAnswer:"
        },
        "teachers": (
            teacher_figures("short", [(250, 70, 9_000), (180, 30, 6_512), (150, 20, 5_400), (130, 8, 3_100)], 51),
            teacher_figures("long", [(250, 40, 21_000), (210, 10, 11_400), (200, 5, 9_000), (195, 0, 7_000)], 13),
        ),
        "mixes": (
            mix_figures("short", {"short": (90, 34)}),
            mix_figures("long", {"long": (90, 175)}),
            mix_figures("mix_long", {"long": (18, 176), "short": (72, 34)}),
        ),
        "students": tuple(
            TrainingFigures(
                run,
                44,
                12_650,
                91.4,
                0.31,
                tuple((s, start.get(run.mix, 1.6) * math.exp(-s / 16) + 0.25 + 0.04 * math.sin(s)) for s in steps),
                {
                    source: [
                        (s, floor + (1.2 - floor) * math.exp(-s / (12 if source in run.mix else 60))) for s in range(0, 45, 11)
                    ]
                    for source, floor in (("long", 0.41), ("short", 0.22))
                },
                num_examples=88,
                num_cut=0,
                dropped={"too_long": 2},
                padding_share=0.031,
                attention="sdpa",
            )
            for run in runs
            if run.mix != "none"
        ),
        "lineage": (
            Artifact("problems", "train", content_id("a"), 1.2),
            Artifact("generate", "short", content_id("b"), 185.0),
            Artifact("train", "smollm2-mix_long-0", content_id("c"), 91.4),
        ),
        "settings": {"name": "demo", "students": {"smollm2": {"model": BASE, "learning_rate": 5e-5}}},
        "hardware": "2 CPU cores, 24 GiB",
        "seconds": 568.0,
    }
    return ReportData(**{**data, **fields})


@pytest.fixture
def demo() -> Callable[..., ReportData]:
    """`demo(num_questions=150, benchmarks=("sums",), seeds=(0,), text="", **fields)`."""
    return demo_data


@pytest.fixture
def mix() -> Callable[..., MixFigures]:
    """`mix(name, {source: (examples, mean tokens)}, **fields)`."""
    return mix_figures


@pytest.fixture
def search() -> Callable[..., SearchFigures]:
    """`search(**fields)`: five shares, of which two were trained to the end, two were stopped and one failed."""
    return search_data


@pytest.fixture(scope="session")
def report() -> Report:
    """The demo's report."""
    return build_report(demo_data(), ReportConfig(num_bootstrap=1000))
