"""The `search` section: mixes whose share is found for each student, by successive halving on validation problems."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from mixdistill.config.base import OPERATIONAL, Config
from mixdistill.config.mixes import Fractions, Share, fractions_of


class SearchConfig(Config):
    """One mix with the best of some shares, for each student by itself.

    Every share's student trains by the full recipe, with the first of `train.seeds`, on one worker. At each rung it answers the
    validation problems (`mixing.validation_share`); who is worse there than the best `1 / reduction_factor` of those that came
    so far stops. Rungs stand at the last step and at that divided by `reduction_factor`, again and again: with 3 rungs and
    factor 2 at a quarter, a half and all of the steps.
    """

    of: str = Field(description="The teacher whose share is searched.")
    rest: str | Fractions = Field(description="Who writes the other examples: a teacher, or teachers with shares of them.")
    shares: tuple[Share, ...] = Field(min_length=2, description="The candidates, in the order in which they begin.")
    num_rungs: int = Field(3, ge=1, description="How often a student is judged, its last step included; 1: nobody is stopped.")
    reduction_factor: int = Field(2, ge=2, description="One of this many goes on at each rung.")
    max_questions: int = Field(200, ge=1, description="Validation problems that are asked at each rung, at most.")
    questions_at_once: Annotated[int, OPERATIONAL] = Field(
        16,
        ge=1,
        description="Questions that one student answers side by side; memory for their tokens stands beside the training's.",
    )

    @model_validator(mode="after")
    def _candidates_can_be_told_apart(self) -> SearchConfig:
        if len(set(self.shares)) != len(self.shares):
            raise ValueError(f"shares must differ, got {list(self.shares)}")
        if self.of in self.teachers[1:]:
            raise ValueError(f"rest names the teacher {self.of!r}, whose share is searched; name others")
        return self

    @property
    def teachers(self) -> list[str]:
        """All teachers that a candidate may name."""
        return [self.of, *([self.rest] if isinstance(self.rest, str) else self.rest)]

    def fractions(self, share: float) -> dict[str, float]:
        """Teacher -> its part of the mix of a candidate; nobody at 0."""
        return fractions_of(self.of, self.rest, share)
