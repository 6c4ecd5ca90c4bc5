"""The `mixes` and `mixing` sections: which fraction of a student's training data each teacher writes, and of which problems.

The names long, short, large, small, mix_long and mix_large carry meaning: the report compares them as the paper
does (Delta_long = long - short, Delta_large = large - small, each mixture against its shorter or smaller source).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from mixdistill.config.base import Config


def _fractions_add_up(fractions: dict[str, float]) -> dict[str, float]:
    for teacher, fraction in fractions.items():
        if not 0 < fraction <= 1:
            raise ValueError(f"the fraction of {teacher!r} must lie in (0, 1], got {fraction}")
    total = math.fsum(fractions.values())
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        written = " + ".join(f"{name} {fraction:g}" for name, fraction in fractions.items()) or "no teacher"
        raise ValueError(f"fractions must add up to 1, got {written} = {total:g}; change them so that they do")
    return fractions


Fractions = Annotated[dict[str, float], AfterValidator(_fractions_add_up)]
"""Teacher name -> share of the examples; the shares add up to 1."""

Share = Annotated[float, Field(ge=0, le=1)]


class SweepConfig(Config):
    """Stands for one mix a share: `{of: long, rest: short, sweep: [0.0, 0.2, 1.0]}`."""

    of: str = Field(description="The teacher whose share is swept.")
    rest: str | Fractions = Field(description="Who writes the other examples: a teacher, or teachers with shares of them.")
    sweep: tuple[Share, ...] = Field(min_length=1, description="The shares; each gives a mix NAME-SHARE.")

    @model_validator(mode="after")
    def _shares_differ(self) -> SweepConfig:
        if len(set(self.sweep)) != len(self.sweep):
            raise ValueError(f"the shares of a sweep must differ, got {list(self.sweep)}")
        return self

    @model_validator(mode="after")
    def _rest_is_others(self) -> SweepConfig:
        if self.of in ([self.rest] if isinstance(self.rest, str) else self.rest):
            raise ValueError(f"rest names the teacher {self.of!r}, whose share is swept; name others")
        return self

    def mixes(self, name: str) -> dict[str, dict[str, float]]:
        """The mixes that this stands for, by name."""
        return {f"{name}-{share:g}": fractions_of(self.of, self.rest, share) for share in self.sweep}


def fractions_of(of: str, rest: str | Mapping[str, float], share: float) -> dict[str, float]:
    """The fractions of a mix of which `of` writes `share`, and the rest its part of what is left; nobody at 0."""
    others = {rest: 1.0} if isinstance(rest, str) else rest
    # Ten digits: 1 - 0.9 is 0.1 to a person, who may have written the same mix out.
    parts = {of: share} | {teacher: round((1 - share) * part, 10) for teacher, part in others.items()}
    return {teacher: part for teacher, part in parts.items() if part > 0}


def expand_sweeps(mixes: Any) -> Any:
    """The `mixes` section with each sweep written out; anything malformed is left for the section's own checks."""
    if not isinstance(mixes, dict):
        return mixes
    expanded: dict[str, Any] = {}
    for name, mix in mixes.items():
        made = SweepConfig.model_validate(mix).mixes(name) if isinstance(mix, dict) and "sweep" in mix else {name: mix}
        for key in made.keys() & (expanded.keys() | mixes.keys()) - {name}:
            raise ValueError(f"mixes.{name}: its sweep makes a mix {key!r}, and there is one of that name; rename one of them")
        expanded |= made
    return expanded


class MixingConfig(Config):
    """Over which problems mixes are drawn, and how large they are.

    `controlled`: all mixes of an experiment hold the same problems; a higher share swaps the source of some problems' traces
    and changes nothing else. `paper`: each mix is drawn from its own sources by itself, as published.
    """

    protocol: Literal["controlled", "paper"] = "controlled"
    problems: Literal["intersection", "union"] = Field(
        "intersection", description="Of the controlled protocol: problems that all sources of all mixes solved, or any source."
    )
    match: Literal["examples", "tokens", "steps"] = Field(
        "examples", description="What all controlled mixes have alike; steps: what their students' num_steps says."
    )
    num_examples: int | None = Field(None, ge=1, description="Examples per mix; None: as many as can be had.")
    num_tokens: int | None = Field(
        None, ge=1, description="For match: tokens, response tokens per mix; None: as many as the mix with the fewest has."
    )
    max_per_problem: int = Field(1, ge=1, description="Examples of one problem in one mix, over all teachers.")
    level_weights: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict, description="Difficulty level -> weight of its problems; 1 where none is given, 0: left out."
    )
    length_weight: float = Field(
        0.0, description="A problem's weight is its traces' mean tokens to this power: 1 prefers long ones, -1 short ones."
    )
    validation_share: float = Field(
        0.05,
        ge=0,
        le=0.5,
        description="Share of the problems that no mix holds: they tell what a student fails to learn.",
    )
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _paper_is_as_published(self) -> MixingConfig:
        if self.protocol == "paper" and (self.match != "examples" or self.problems != "intersection"):
            raise ValueError(
                "protocol: paper draws each mix by itself, so match and problems say nothing; leave them out or set "
                "protocol: controlled"
            )
        return self

    @model_validator(mode="after")
    def _tokens_with_match_only(self) -> MixingConfig:
        if self.num_tokens is not None and self.match != "tokens":
            raise ValueError(f"num_tokens is {self.num_tokens} with match: {self.match}; set match: tokens or leave it out")
        return self

    @property
    def joint(self) -> bool:
        """Whether one mix's size depends on the fractions of the others."""
        by_smallest = self.match == "tokens" and self.num_tokens is None
        return self.protocol == "controlled" and (self.problems == "union" or by_smallest)
