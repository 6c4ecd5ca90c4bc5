"""What the report reads from the manifests of mixes, searches and students."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from mixdistill.artifacts import Manifest
from mixdistill.config import MixingConfig
from mixdistill.mixing import Problems, Source, draw_mix
from mixdistill.records import StudentRun
from mixdistill.stages.report import mix_figures, search_figures, training_figures

RUN = StudentRun("smollm2", "base", "mix_long", 0)


def manifest(figures, *, num_rows=10, counts=None) -> Manifest:
    return Manifest(
        stage="x", name="x", fingerprint="f", config={}, inputs={}, code_version=1, num_rows=num_rows, counts=counts or {},
        figures=figures, seconds=1.0,
    )  # fmt: skip


@pytest.fixture
def drawn() -> Manifest:
    """The manifest of a mix that the mixing room drew."""
    problems = Problems(np.arange(1, 41, dtype=np.uint64), np.arange(40) % 2, ("Level 1", "Level 2"))
    sources = {
        teacher: Source(teacher, np.arange(num), np.arange(num).astype(np.uint64) + first, np.full(num, tokens))
        for teacher, num, first, tokens in (("long", 30, 100, 90), ("short", 40, 1000, 20))
    }
    fractions = {"long": 0.5, "short": 0.5}
    config = MixingConfig(num_examples=10, validation_share=0.1)
    draw = draw_mix("mix_long", fractions, {"mix_long": fractions}, sources, problems, config)
    return manifest(draw.figures, counts=draw.left_out)


def test_a_mix_is_told_as_the_mixing_drew_it(drawn):
    figures = mix_figures("mix_long", drawn)
    assert (figures.mix, figures.found_for, figures.protocol) == ("mix_long", None, "controlled")
    assert figures.by_teacher == {"long": 5, "short": 5}
    assert figures.num_tokens == 5 * 90 + 5 * 20
    assert (figures.tokens["long"].p50, figures.tokens["short"].max) == (90, 20)
    assert sum(sum(row.examples.values()) for row in figures.levels) == 10
    assert (figures.num_problems.any_source, figures.num_problems.all_sources) == (40, 30)
    assert (figures.budget.taken, figures.budget.tokens_limit) == (10, None)
    assert sum(figures.left_out.values()) == 70 - 10
    assert figures.num_validation.keys() == {"long", "short"}


def test_a_found_mix_goes_by_its_searched_name(drawn):
    search = SimpleNamespace(mix="found", student="smollm2")
    figures = mix_figures("found-for-smollm2", drawn, search)
    assert (figures.name, figures.mix, figures.found_for) == ("found-for-smollm2", "found", "smollm2")


def test_a_search_may_say_more_than_the_report_shows():
    candidate = {
        "share": 0.2, "num_examples": 9, "status": "finished", "rung": 1, "steps": 5, "num_correct": 3, "num_questions": 4,
        "accuracy": 0.75, "ci_low": 0.3, "ci_high": 0.95, "history": [{"steps": 5, "accuracy": 0.75}], "seconds": 1.0,
        "reason": "", "more": 1,
    }  # fmt: skip
    told = {
        "mix": "found", "student": "smollm2", "of": "long", "best_share": 0.2, "best_fractions": {"long": 0.2, "short": 0.8},
        "rungs": [5], "num_questions": 4, "candidates": [candidate], "seconds": 1.0, "num_steps": 5, "num_steps_full": 5,
        "num_answer_tokens": 40, "more": 1,
    }  # fmt: skip
    figures = search_figures(SimpleNamespace(key=SimpleNamespace(name="found-for-smollm2")), manifest(told))
    assert (figures.name, figures.best_share, figures.candidates[0].history[0].accuracy) == ("found-for-smollm2", 0.2, 0.75)


def test_a_loss_that_json_could_not_hold_is_not_a_number():
    told = {
        "num_examples": 3, "dropped": {}, "num_cut": 0, "padding_share": 0.0, "num_steps": 2, "num_target_tokens": 9,
        "seconds": 1.0, "final_loss": None, "loss_curve": [[1, 1.5], [2, None]], "validation": {"long": [[0, None]]},
        "attention": "sdpa",
    }  # fmt: skip
    figures = training_figures(RUN, manifest(told))
    assert figures.losses[0] == (1, 1.5)
    assert math.isnan(figures.losses[1][1])
    assert math.isnan(figures.validation["long"][0][1])
