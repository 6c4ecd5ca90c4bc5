"""The generator behind every draw."""

from __future__ import annotations

import numpy as np

from mixdistill.mixing.hashing import hashed, splitmix64, uniform


def test_the_generator_gives_the_published_numbers():
    # The first outputs for the seed 1234567; the state grows by the golden gamma: https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64
    gamma = 0x9E3779B97F4A7C15
    states = np.array([(1234567 + step * gamma) % 2**64 for step in range(5)], dtype=np.uint64)
    assert splitmix64(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_purposes_seeds_and_ids_give_numbers_of_their_own():
    ids = np.arange(1000, dtype=np.uint64)
    numbers = np.concatenate([hashed(seed, purpose, ids) for seed in (0, 1, 2**63) for purpose in (1, 2)])
    assert len(np.unique(numbers)) == 6000


def test_uniform_numbers_lie_strictly_between_0_and_1():
    ends = uniform(np.array([0, 2**64 - 1], dtype=np.uint64))
    assert 0 < ends[0] < 1e-15 and 1 - 1e-15 < ends[1] < 1
