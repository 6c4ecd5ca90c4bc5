"""The config of an experiment: pydantic models, one file a section, and the YAML loader. Imports pydantic and yaml only."""

from mixdistill.config.engines import (
    EngineConfig,
    OpenAIEngineConfig,
    ReplayEngineConfig,
    SamplingConfig,
    VllmEngineConfig,
)
from mixdistill.config.evaluate import EvaluateConfig
from mixdistill.config.experiment import UNTOUCHED_MIX, Experiment
from mixdistill.config.judge import JudgeConfig
from mixdistill.config.loader import load_experiment
from mixdistill.config.mixes import Fractions, MixingConfig, SweepConfig, fractions_of
from mixdistill.config.problems import FiltersConfig, ProblemsConfig
from mixdistill.config.report import ReportConfig
from mixdistill.config.search import SearchConfig
from mixdistill.config.selection import SelectionConfig
from mixdistill.config.students import LoraSettings, RecipeConfig, StudentConfig, TrainConfig
from mixdistill.config.teachers import FewShotTurn, TeacherConfig, TeacherSamplingConfig

__all__ = [
    "UNTOUCHED_MIX",
    "EngineConfig",
    "EvaluateConfig",
    "Experiment",
    "FewShotTurn",
    "FiltersConfig",
    "Fractions",
    "JudgeConfig",
    "LoraSettings",
    "MixingConfig",
    "OpenAIEngineConfig",
    "ProblemsConfig",
    "RecipeConfig",
    "ReplayEngineConfig",
    "ReportConfig",
    "SamplingConfig",
    "SearchConfig",
    "SelectionConfig",
    "StudentConfig",
    "SweepConfig",
    "TeacherConfig",
    "TeacherSamplingConfig",
    "TrainConfig",
    "VllmEngineConfig",
    "fractions_of",
    "load_experiment",
]
