"""Problems that are held out for validation: in no mix, by their ids alone, over the same problems for all sources."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mixdistill.config import MixingConfig
from mixdistill.errors import DataError
from mixdistill.mixing import Problems, draw_mix, held_out, validation_rows

MIXES = {"m": {"a": 0.5, "b": 0.5}}
PROTOCOLS = [{"protocol": "controlled"}, {"problems": "union"}, {"protocol": "paper"}]

traces = st.dictionaries(st.integers(0, 40), st.integers(1, 3), min_size=8)


@settings(max_examples=80, deadline=None)
@given(of_a=traces, of_b=traces, seed=st.integers(0, 9), protocol=st.sampled_from(PROTOCOLS))
def test_no_mix_holds_a_validation_problem(columns_of, of_a, of_b, seed, protocol):
    sources, problems = columns_of({"a": of_a, "b": of_b})
    config = MixingConfig(validation_share=0.3, seed=seed, **protocol)
    held = held_out(problems, config)
    for teacher, rows in validation_rows(sources, problems, config).items():
        assert held[sources[teacher].problem[rows]].all()
        assert len(np.unique(sources[teacher].problem[rows])) == len(rows)
    try:
        drawn = draw_mix("m", MIXES["m"], MIXES, sources, problems, config)
    except DataError:
        assume(False)
    for teacher, rows in drawn.rows.items():
        assert not held[sources[teacher].problem[rows]].any()


@settings(max_examples=80, deadline=None)
@given(of_a=traces, of_b=traces, seed=st.integers(0, 9))
def test_every_source_is_judged_on_the_same_problems_where_there_are_such(columns_of, of_a, of_b, seed):
    sources, problems = columns_of({"a": of_a, "b": of_b}, num_problems=41)
    config = MixingConfig(validation_share=0.3, seed=seed)
    held = set(np.flatnonzero(held_out(problems, config)).tolist())
    both = held & of_a.keys() & of_b.keys()
    judged = {t: set(sources[t].problem[rows].tolist()) for t, rows in validation_rows(sources, problems, config).items()}
    assert judged == ({"a": both, "b": both} if both else {"a": held & of_a.keys(), "b": held & of_b.keys()})


def test_what_is_held_out_does_not_depend_on_the_traces_or_on_other_problems():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 2**63, 1000, dtype=np.uint64)
    config = MixingConfig(validation_share=0.1)

    def held(some):
        return set(some[held_out(Problems(some, np.full(len(some), -1), ()), config)].tolist())

    assert held(ids[:500]) == held(ids) & set(ids[:500].tolist())
    assert held(rng.permutation(ids)) == held(ids)


def test_a_further_trace_changes_no_validation_problem_that_all_sources_solved(columns_of):
    before, problems = columns_of({"a": dict.fromkeys(range(90), 1), "b": dict.fromkeys(range(100), 1)})
    after, _ = columns_of({"a": dict.fromkeys(range(90), 2), "b": dict.fromkeys(range(100), 1)})
    config = MixingConfig(validation_share=0.2)
    first, second = (validation_rows(sources, problems, config) for sources in (before, after))
    assert len(first["a"]) > 5
    assert (before["a"].problem[first["a"]] == after["a"].problem[second["a"]]).all()
    assert (first["b"] == second["b"]).all()


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.05, 400, 600), (0.5, 4800, 5200)])
def test_about_the_share_asked_for_is_held_out(share, low, high):
    problems = Problems(np.arange(10_000, dtype=np.uint64), np.full(10_000, -1), ())
    assert low <= held_out(problems, MixingConfig(validation_share=share)).sum() <= high


def test_another_seed_holds_out_other_problems():
    problems = Problems(np.arange(1000, dtype=np.uint64), np.full(1000, -1), ())
    chosen = {held_out(problems, MixingConfig(validation_share=0.1, seed=seed)).tobytes() for seed in range(10)}
    assert len(chosen) == 10
