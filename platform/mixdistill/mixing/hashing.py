"""Seeded random numbers that belong to ids, not to positions: a further row leaves those of the others as they are.

The generator is splitmix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"; constants of
https://prng.di.unimi.it/splitmix64.c): a bijection, so rows that differ in one id never share a number.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

# What a number is for: draws with different purposes do not depend on each other.
VALIDATION: Final = 1  # which problems are held out
TRACES_OF_A_PROBLEM: Final = 2  # which trace of a problem comes first
CUT: Final = 3  # which problems stay when a budget cuts
SHARING: Final = 4  # which teacher a place goes to
VISIT: Final = 5  # when the paper's draw comes to a trace

_MASK: Final = 2**64 - 1


def splitmix64(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The generator's output for each state."""
    mixed = state + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def hashed(seed: int, purpose: int, *columns: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """64 random bits for each row of the columns."""
    state = splitmix64(np.array([seed & _MASK], dtype=np.uint64)) ^ np.uint64(purpose)
    for column in columns:
        state = splitmix64(state) ^ column
    return splitmix64(state)


def uniform(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Numbers in (0, 1) of which neither end is reached: the middle of one of 2^52 equal parts."""
    parts: NDArray[np.float64] = (bits >> np.uint64(12)).astype(np.float64)
    return (parts + 0.5) * 2.0**-52
