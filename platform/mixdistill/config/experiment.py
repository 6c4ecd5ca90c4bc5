"""One YAML file is one experiment: the root model and the checks that cross sections."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from mixdistill.config.base import NAME_PATTERN, OPERATIONAL, Config, nearest
from mixdistill.config.engines import EngineConfig, VllmEngineConfig
from mixdistill.config.evaluate import EvaluateConfig
from mixdistill.config.judge import JudgeConfig
from mixdistill.config.mixes import Fractions, MixingConfig, expand_sweeps
from mixdistill.config.problems import ProblemsConfig
from mixdistill.config.report import ReportConfig
from mixdistill.config.search import SearchConfig
from mixdistill.config.selection import SelectionConfig
from mixdistill.config.students import RecipeConfig, StudentConfig, TrainConfig
from mixdistill.config.teachers import TeacherConfig

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
UNTOUCHED_MIX = "none"
"""The mix name that reports give to the untouched student; no mix of a config may have it."""


class Experiment(Config):
    """Everything that one run of the pipeline needs to know."""

    name: Name
    store: Annotated[str, OPERATIONAL] = Field(description="Folder or URL (s3://, gs://, abfs://) of the artifacts.")
    prompt: str = Field(
        "paper", description="How students are asked, in training and evaluation: a name or {question} template."
    )
    engine: EngineConfig = VllmEngineConfig()
    problems: ProblemsConfig
    teachers: dict[Name, TeacherConfig] = Field(min_length=1)
    selection: SelectionConfig = SelectionConfig()
    mixes: dict[Name, Fractions] = Field(min_length=1)
    mixing: MixingConfig = MixingConfig()
    search: dict[Name, SearchConfig] = Field(default_factory=dict, description="Mixes whose share is found, by name.")
    students: dict[Name, StudentConfig] = Field(min_length=1)
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig
    report: ReportConfig = ReportConfig()

    @field_validator("mixes", mode="before")
    @classmethod
    def _sweeps_written_out(cls, mixes: Any) -> Any:
        return expand_sweeps(mixes)

    @model_validator(mode="after")
    def _steps_are_given(self) -> Experiment:
        if self.mixing.match == "steps":
            for student in self.students:
                steps = {self.recipe(student, mix).num_steps for mix in self.mixes}
                if None in steps or len(steps) > 1:
                    raise ValueError(
                        f"mixing.match: steps needs the same num_steps for every mix of students.{student}, got "
                        f"{sorted(steps, key=str)}; set num_steps"
                    )
        return self

    @model_validator(mode="after")
    def _mixes_name_teachers(self) -> Experiment:
        named = {f"mixes.{mix}": list(fractions) for mix, fractions in self.mixes.items()}
        named |= {f"search.{mix}": search.teachers for mix, search in self.search.items()}
        for where, teachers in named.items():
            if where.partition(".")[2] == UNTOUCHED_MIX:
                raise ValueError(f"{where}: this name stands for the untouched student; choose another")
            for teacher in teachers:
                if teacher not in self.teachers:
                    known = list(self.teachers)
                    raise ValueError(
                        f"{where} names the teacher {teacher!r}, which is not among the teachers "
                        f"({', '.join(known)}){nearest(teacher, known)}"
                    )
        return self

    @model_validator(mode="after")
    def _searches_can_be_judged(self) -> Experiment:
        if self.search and self.mixing.joint:
            raise ValueError(
                "search needs mixes whose size does not depend on each other, got mixing "
                f"problems: {self.mixing.problems}, match: {self.mixing.match}; set problems: intersection, and num_tokens "
                "where match is tokens"
            )
        for mix in self.search:
            if mix in self.mixes:
                raise ValueError(f"search.{mix}: there is a mix of this name under mixes; rename one of them")
            if not self.mixing.validation_share:
                raise ValueError(
                    f"search.{mix} is judged on validation problems, and mixing.validation_share is 0; set it to 0.1, say"
                )
        return self

    @property
    def all_mixes(self) -> list[str]:
        """The names of all mixes that students are trained on, found ones last."""
        return [*self.mixes, *self.search]

    @property
    def sources(self) -> list[str]:
        """The teachers that some mix names, in alphabetical order: whose traces mixes are made of."""
        named = {teacher for fractions in self.mixes.values() for teacher in fractions}
        return sorted(named | {teacher for search in self.search.values() for teacher in search.teachers})

    @model_validator(mode="after")
    def _per_mix_recipes_are_valid(self) -> Experiment:
        for mix in self.train.per_mix:
            if mix not in self.all_mixes:
                known = ", ".join(self.all_mixes)
                raise ValueError(f"train.per_mix names the mix {mix!r}, which is not among the mixes ({known})")
            for student in self.students:
                self.recipe(student, mix)
        return self

    def recipe(self, student: str, mix: str) -> StudentConfig:
        """The student's config with the mix's own recipe fields put over it.

        Raises:
            ValueError: `train.per_mix` names a field that is not a recipe's, or gives it a value out of bounds.
        """
        changes: dict[str, Any] = dict(self.train.per_mix.get(mix, {}))
        for field in changes:
            if field not in RecipeConfig.model_fields:
                known = list(RecipeConfig.model_fields)
                raise ValueError(f"train.per_mix.{mix}: unknown recipe field {field!r}{nearest(field, known)}")
        try:
            return StudentConfig.model_validate({**self.students[student].model_dump(), **changes})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"train.per_mix.{mix}.{where}: {first['msg']}, got {first['input']!r}") from error

    def engine_of(self, section: TeacherConfig | EvaluateConfig | JudgeConfig) -> EngineConfig:
        """The section's own engine, or the experiment's."""
        return section.engine if section.engine is not None else self.engine
