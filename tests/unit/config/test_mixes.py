"""Mixes: fractions, sweeps that stand for several of them, and what the `mixing` section may say."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixdistill.config import MixingConfig, SweepConfig, fractions_of, load_experiment
from mixdistill.errors import ConfigError


def mixes_of(full, written, mixes):
    full["mixes"] = mixes
    full["train"]["per_mix"] = {}
    return load_experiment(written(full)).mixes


def test_a_sweep_is_one_mix_a_share(full, written):
    mixes = mixes_of(full, written, {"ratio": {"of": "long", "rest": "short", "sweep": [0.0, 0.1, 1.0]}})
    assert mixes == {
        "ratio-0": {"short": 1.0},
        "ratio-0.1": {"long": 0.1, "short": 0.9},
        "ratio-1": {"long": 1.0},
    }


def test_the_rest_of_a_sweep_may_be_several_teachers(full, written):
    mixes = mixes_of(full, written, {"m": {"of": "long", "rest": {"short": 0.75, "other": 0.25}, "sweep": [0.2]}})
    assert mixes == {"m-0.2": {"long": 0.2, "short": 0.6, "other": 0.2}}


def test_sweeps_stand_beside_mixes_that_are_written_out(full, written):
    mixes = mixes_of(full, written, {"long": {"long": 1.0}, "r": {"of": "long", "rest": "short", "sweep": [0.5]}})
    assert list(mixes) == ["long", "r-0.5"]


@pytest.mark.parametrize(
    ("sweep", "says"),
    [
        ({"of": "long", "rest": "short", "sweep": [0.1, 0.1]}, "must differ"),
        ({"of": "long", "rest": "long", "sweep": [0.1]}, "rest names the teacher 'long'"),
        ({"of": "long", "rest": "short", "sweep": [1.5]}, "less than or equal to 1"),
        ({"of": "long", "rest": "shrot", "sweep": [0.5]}, "did you mean 'short'"),
        ({"of": "long", "rset": "short", "sweep": [0.5]}, "did you mean 'rest'"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(full, written, sweep, says):
    with pytest.raises(ConfigError, match=says):
        mixes_of(full, written, {"ratio": sweep})


def test_a_sweep_may_not_make_a_mix_that_is_there_already(full, written):
    sweep = {"of": "long", "rest": "short", "sweep": [0.5]}
    with pytest.raises(ConfigError, match=r"ratio-0\.5.*rename"):
        mixes_of(full, written, {"ratio-0.5": {"long": 1.0}, "ratio": sweep})


@given(
    share=st.integers(0, 100).map(lambda percent: percent / 100),
    parts=st.lists(st.integers(1, 9), min_size=1, max_size=4),
)
def test_the_fractions_of_a_share_add_up_to_one_and_name_nobody_with_nothing(share, parts):
    rest = {f"t{number}": part / sum(parts) for number, part in enumerate(parts)}
    fractions = fractions_of("long", rest, share)
    assert math.isclose(math.fsum(fractions.values()), 1, abs_tol=1e-6)
    assert all(fraction > 0 for fraction in fractions.values())
    assert fractions.get("long", 0) == share


def test_a_share_reads_as_a_person_would_have_written_it():
    assert fractions_of("long", "short", 0.9) == {"long": 0.9, "short": 0.1}
    assert SweepConfig(of="a", rest="b", sweep=(0.30000000000000004,)).mixes("m").keys() == {"m-0.3"}


@pytest.mark.parametrize("setting", [{"match": "tokens"}, {"problems": "union"}])
def test_the_papers_protocol_controls_nothing(setting):
    with pytest.raises(ValueError, match="protocol: controlled"):
        MixingConfig(protocol="paper", **setting)


def test_a_number_of_tokens_needs_mixes_that_match_by_tokens():
    with pytest.raises(ValueError, match="set match: tokens"):
        MixingConfig(num_tokens=5)


def test_equal_steps_need_the_same_number_of_steps_for_every_mix(full, written):
    full["mixing"]["match"] = "steps"
    with pytest.raises(ConfigError, match="set num_steps"):
        load_experiment(written(full))
    full["students"]["tiny-0.5b"]["num_steps"] = 30
    assert load_experiment(written(full)).recipe("tiny-0.5b", "long").num_steps == 30
    full["train"]["per_mix"] = {"mix_long": {"num_steps": 31}}
    with pytest.raises(ConfigError, match=r"30, 31"):
        load_experiment(written(full))


def test_a_search_needs_problems_to_judge_by(full, written):
    full["mixing"]["validation_share"] = 0
    with pytest.raises(ConfigError, match=r"validation_share.*set it to 0\.1"):
        load_experiment(written(full))


@pytest.mark.parametrize("setting", [{"packing": True, "order": "short_first"}, {"method": "full", "merge": True}])
def test_recipes_that_contradict_themselves_are_refused(full, written, setting):
    full["students"]["tiny-0.5b"] |= setting
    with pytest.raises(ConfigError, match=r"drop one|no adapter"):
        load_experiment(written(full))


@pytest.mark.parametrize("mixing", [{"problems": "union"}, {"match": "tokens"}])
def test_a_search_needs_mixes_that_do_not_depend_on_each_other(full, written, mixing):
    full["mixing"] |= mixing
    with pytest.raises(ConfigError, match="set problems: intersection"):
        load_experiment(written(full))
