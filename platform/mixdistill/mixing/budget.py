"""What a budget leaves of a mix: how many examples fit a number of tokens, and what is said when too few are left."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mixdistill.config import MixingConfig
from mixdistill.errors import ConfigError, DataError


def longest_within(num_tokens: Callable[[int], int], size: int, limit: int) -> int:
    """The size, at most `size`, whose tokens do not exceed `limit` while those of one more would.

    By bisection, so about log2(size) calls of `num_tokens`, which says what a size costs. Where an example more moves another
    one to a shorter source, a size beyond the next one may happen to fit again; it is not looked for.
    """
    if num_tokens(size) <= limit:
        return size
    fits, breaks = 0, size
    while breaks - fits > 1:
        middle = (fits + breaks) // 2
        fits, breaks = (middle, breaks) if num_tokens(middle) <= limit else (fits, middle)
    return fits


def check_quotas(
    name: str,
    fractions: Mapping[str, float],
    quotas: Mapping[str, int],
    config: MixingConfig,
    *,
    tokens_limit: int | None = None,
) -> None:
    """Refuse a mix in which a teacher has no example: it would not be what its name says.

    Args:
        name: the mix's.
        fractions: teacher -> share.
        quotas: teacher -> number of examples.
        config: the `mixing` section.
        tokens_limit: given when it is what made the mix so small.

    Raises:
        ConfigError: a number of the config made the mix so small.
        DataError: there are no more traces.
    """
    for teacher, quota in quotas.items():
        if quota:
            continue
        told = f"no example for teacher {teacher!r} (fraction {fractions[teacher]:g}), expected at least 1"
        if tokens_limit is not None and config.num_tokens is None:
            raise DataError(
                f"mix {name!r}: the mix with the fewest tokens has {tokens_limit}, which leaves {told}; generate more "
                "traces or set mixing.match: examples"
            )
        if tokens_limit is not None:
            raise ConfigError(
                f"mix {name!r}: mixing.num_tokens: {tokens_limit} leaves {told}; raise num_tokens or the fraction"
            )
        size = sum(quotas.values())
        if config.num_examples == size:
            raise ConfigError(f"mix {name!r}: mixing.num_examples: {size} leaves {told}; raise num_examples or the fraction")
        raise DataError(
            f"mix {name!r}: {size} examples can be had, which leaves {told}; generate more traces or raise the fraction"
        )
