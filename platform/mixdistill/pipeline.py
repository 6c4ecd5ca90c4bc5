"""The stages as one graph: what an experiment needs, what is finished, what is missing, and running it.

    problems -> generate -> select (-> search) -> mix -> train -> evaluate (-> judge) -> report

Building the graph loads neither Ray nor torch: fingerprints follow from the config, the sources' identities and the
stages' code versions alone, so `plan` and a finished experiment answer at once.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mixdistill.artifacts import Artifact, ArtifactKey, Manifest, Store, fingerprint
from mixdistill.config import (
    UNTOUCHED_MIX,
    EngineConfig,
    Experiment,
    OpenAIEngineConfig,
    ProblemsConfig,
    ReplayEngineConfig,
)
from mixdistill.interchange import files_identity
from mixdistill.models import check_model, model_identity
from mixdistill.problems import source_identity
from mixdistill.prompts import prompt_template
from mixdistill.stages.progress import NoProgress, Progress
from mixdistill.stages.rows import REPORT_FILES, REPORT_TXT, weights_folder
from mixdistill.stages.tasks import (
    Adapter,
    EngineSpec,
    EvaluateTask,
    GenerateTask,
    JudgeTask,
    MixTask,
    ProblemsTask,
    ReportTask,
    SearchTask,
    SelectTask,
    StageContext,
    StudentAnswers,
    Task,
    TrainTask,
)

# Where each stage's work is done; imported only when there is work.
_RUNNERS = {
    "problems": "mixdistill.stages.problems:load",
    "generate": "mixdistill.stages.generate:generate",
    "select": "mixdistill.stages.select:select_traces",
    "search": "mixdistill.stages.search:search",
    "mix": "mixdistill.stages.mix:mix_examples",
    "train": "mixdistill.stages.train:train",
    "evaluate": "mixdistill.stages.evaluate:evaluate",
    "judge": "mixdistill.stages.judge:judge",
    "report": "mixdistill.stages.report:report",
}
STAGES = tuple(_RUNNERS)

# Raised when a stage's code starts to make other rows from the same config: what it made before is then made anew.
CODE_VERSIONS = {
    "problems": 1,
    "generate": 2,
    "select": 3,
    "search": 1,
    "mix": 3,
    "train": 2,
    "evaluate": 2,
    "judge": 1,
    "report": 3,
}

TRAIN_PROBLEMS = "train"


@dataclass(frozen=True)
class Graph:
    """All tasks of an experiment, in the order of the stages."""

    experiment: Experiment
    store: Store
    tasks: tuple[Task, ...]

    def of(self, stage: str) -> list[Task]:
        """The tasks of one stage."""
        return [task for task in self.tasks if task.key.stage == stage]

    def until(self, stage: str) -> Iterator[Task]:
        """The tasks of this stage and of all stages before it."""
        last = STAGES.index(stage)
        return (task for task in self.tasks if STAGES.index(task.key.stage) <= last)

    def state(self, task: Task, manifest: Manifest | None) -> Literal["finished", "unfinished", "missing"]:
        """What the artifact of a task is, given the manifest that was read: unfinished ones have begun."""
        if manifest:
            return "finished"
        return "unfinished" if self.artifact(task).started else "missing"

    def artifact(self, task: Task) -> Artifact:
        """The artifact of a task."""
        return self.store.artifact(task.key)


@dataclass(frozen=True)
class RunResult:
    """What a run did."""

    graph: Graph
    num_made: int
    num_reused: int

    def publish_report(self) -> dict[str, str]:
        """Copy the report's files to the root of the store, where a person looks; returns file name -> URL."""
        artifact = self.graph.artifact(self.graph.of("report")[0])
        return {file: self.graph.store.publish(file, artifact.read_bytes(file)) for file in REPORT_FILES}

    def terminal_report(self) -> str:
        """The report's table for the terminal, with ANSI colours."""
        return self.graph.artifact(self.graph.of("report")[0]).read_bytes(REPORT_TXT).decode()


@dataclass(frozen=True)
class TrainedStudent:
    """A student that is ready to be served or evaluated."""

    name: str
    base_model: str
    revision: str | None
    is_adapter: bool  # else an ordinary model
    url: str  # folder of the adapter or of the full weights, in the store


def run(experiment: Experiment, *, until: str = "report", progress: Progress | None = None) -> RunResult:
    """Make what is missing of an experiment, up to a stage; what is finished is reused.

    Raises:
        MixdistillError: something that a person can mend; everything that was finished stays.
    """
    graph = build_graph(experiment)
    context = StageContext(graph.store, progress or NoProgress())
    num_made = num_reused = 0
    if all(graph.artifact(task).finished for task in graph.until(until)):
        return RunResult(graph, 0, len(list(graph.until(until))))
    with graph.store.exclusive():
        for stage in STAGES[: STAGES.index(until) + 1]:
            missing = [task for task in graph.of(stage) if not graph.artifact(task).finished]
            num_reused += len(graph.of(stage)) - len(missing)
            if missing:
                module, function = _RUNNERS[stage].split(":")
                getattr(importlib.import_module(module), function)(missing, context)
                num_made += len(missing)
    return RunResult(graph, num_made, num_reused)


def manifests(graph: Graph) -> dict[ArtifactKey, Manifest | None]:
    """The manifest of each artifact, None where it is unfinished."""
    return {task.key: graph.artifact(task).manifest() for task in graph.tasks}


def trained_students(experiment: Experiment) -> list[TrainedStudent]:
    """The finished students of an experiment."""
    graph = build_graph(experiment)
    return [
        TrainedStudent(
            task.key.name,
            task.recipe.model,
            task.recipe.revision,
            task.recipe.is_adapter,
            graph.artifact(task).file_url(weights_folder(task.recipe)),
        )
        for task in graph.of("train")
        if isinstance(task, TrainTask) and graph.artifact(task).finished
    ]


def build_graph(experiment: Experiment) -> Graph:
    """All tasks of an experiment with their fingerprints.

    Raises:
        ConfigError, DataError, ModelError: a source, file, prompt or model that the config names does not exist.
    """
    builder = _GraphBuilder(experiment)
    return Graph(experiment, Store(experiment.store), tuple(builder.build()))


class _GraphBuilder:
    """Builds tasks stage by stage; each needs the keys of those before it."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._store = Store(experiment.store)
        self._prompt = prompt_template(experiment.prompt)

    def build(self) -> list[Task]:
        experiment = self._experiment
        benchmarks = {
            name: self._problems(f"benchmark-{name}", config) for name, config in experiment.evaluate.benchmarks.items()
        }
        same_source = [
            benchmarks[name].key
            for name, config in experiment.evaluate.benchmarks.items()
            if config.source == experiment.problems.source
        ]
        problems = self._problems(TRAIN_PROBLEMS, experiment.problems, same_source)
        traces = {teacher: self._generate(teacher, problems) for teacher in experiment.teachers}
        selected = {teacher: self._select(teacher, problems, traces[teacher], benchmarks) for teacher in experiment.teachers}
        searches = {
            (mix, student): self._search(mix, student, problems, selected)
            for mix in experiment.search
            for student in experiment.students
        }
        mixes = {mix: self._mix(mix, problems, selected) for mix in experiment.mixes}
        found = {(mix, student): self._mix(mix, problems, selected, search=task) for (mix, student), task in searches.items()}
        students = [
            self._train(student, mix, seed, found.get((mix, student)) or mixes[mix])
            for student in experiment.students
            for mix in experiment.all_mixes
            for seed in experiment.train.seeds
        ]
        mixes |= {task.key.name: task for task in found.values()}
        evaluations, judgements, answers = self._evaluate_all(students, benchmarks)
        report = self._report(problems, benchmarks, traces, selected, list(searches.values()), mixes, students, answers)
        return [
            *benchmarks.values(),
            problems,
            *traces.values(),
            *selected.values(),
            *searches.values(),
            *mixes.values(),
            *students,
            *evaluations,
            *judgements,
            report,
        ]

    def _common(self, stage: str, name: str, shaping: dict[str, Any], inputs: Mapping[str, ArtifactKey]) -> dict[str, Any]:
        """The fields that every task has."""
        code_version = CODE_VERSIONS[stage]
        digest = fingerprint(shaping, {role: key.fingerprint for role, key in inputs.items()}, code_version)
        key = ArtifactKey(stage, name, digest)
        return {"key": key, "shaping": shaping, "inputs": dict(inputs), "code_version": code_version}

    def _problems(self, name: str, config: ProblemsConfig, held_out: list[ArtifactKey] | None = None) -> ProblemsTask:
        shaping = {"problems": config.shaping(), "source": source_identity(config)}
        inputs = {f"held_out.{key.name}": key for key in held_out or []}
        return ProblemsTask(**self._common("problems", name, shaping, inputs), problems=config, held_out=tuple(held_out or []))

    def _generate(self, teacher: str, problems: ProblemsTask) -> GenerateTask:
        config = self._experiment.teachers[teacher]
        engine = self._experiment.engine_of(config)
        prompt = prompt_template(config.prompt) if config.prompt is not None else self._prompt
        shaping = {
            "teacher": config.shaping() | {"prompt": prompt, "engine": engine.shaping()},
            "model": self._model_identity(config.model, config.revision, engine),
            "answer_form": self._experiment.selection.answer_form,
        }
        if config.adapter is not None:
            shaping["adapter"] = self._model_identity(config.adapter, None, engine)
        return GenerateTask(
            **self._common("generate", teacher, shaping, {"problems": problems.key}),
            teacher=teacher,
            teacher_config=config,
            prompt=prompt,
            engine=EngineSpec(engine, config.model, config.revision),
            adapter=Adapter(teacher, config.adapter) if config.adapter else None,
            selection=self._experiment.selection,
            problems=problems.key,
        )

    def _select(
        self, teacher: str, problems: ProblemsTask, traces: GenerateTask, benchmarks: Mapping[str, ProblemsTask]
    ) -> SelectTask:
        selection = self._experiment.selection
        held_out = {name: task.key for name, task in benchmarks.items()} if selection.decontaminate else {}
        inputs = {"problems": problems.key, "traces": traces.key}
        inputs |= {f"benchmark.{name}": key for name, key in held_out.items()}
        return SelectTask(
            **self._common("select", teacher, {"selection": selection.shaping()}, inputs),
            selection=selection,
            problems=problems.key,
            traces=traces.key,
            benchmarks=held_out,
        )

    def _search(self, mix: str, student: str, problems: ProblemsTask, selected: Mapping[str, SelectTask]) -> SearchTask:
        experiment = self._experiment
        search, recipe, evaluate = experiment.search[mix], experiment.recipe(student, mix), experiment.evaluate
        seed = experiment.train.seeds[0]
        shaping = {
            "mix": mix,
            "search": search.shaping(),
            "mixing": experiment.mixing.shaping(),
            "recipe": recipe.shaping(),
            "model": self._model_identity(recipe.model, recipe.revision),
            "prompt": self._prompt,
            "seed": seed,
            "num_workers": experiment.train.num_workers,
            "parallel": experiment.train.parallel,
            "sampling": evaluate.sampling.shaping(),
        }
        sources = self._sources(experiment.sources, selected)
        return SearchTask(
            **self._common("search", f"{mix}-for-{student}", shaping, self._mix_inputs(problems, sources)),
            student=student,
            mix=mix,
            search=search,
            mixing=experiment.mixing,
            recipe=recipe,
            prompt=self._prompt,
            seed=seed,
            train=experiment.train,
            sampling=evaluate.sampling,
            grading_timeout_s=evaluate.grading_timeout_s,
            problems=problems.key,
            selected=sources,
        )

    def _mix(
        self,
        mix: str,
        problems: ProblemsTask,
        selected: Mapping[str, SelectTask],
        *,
        search: SearchTask | None = None,
    ) -> MixTask:
        experiment = self._experiment
        mixing = experiment.mixing
        fractions = None if search else experiment.mixes[mix]
        # Over which problems the mixes are drawn, and what is held out, depends on all sources.
        alone = mixing.protocol == "paper" and not mixing.validation_share
        sources = self._sources(sorted(fractions) if alone and fractions else experiment.sources, selected)
        shaping: dict[str, Any] = {"mix": mix, "fractions": fractions, "mixing": mixing.shaping()}
        if mixing.joint:
            shaping["mixes"] = experiment.mixes
        inputs = self._mix_inputs(problems, sources) | ({"search": search.key} if search else {})
        return MixTask(
            **self._common("mix", search.key.name if search else mix, shaping, inputs),
            mix=mix,
            fractions=fractions,
            mixes=experiment.mixes,
            mixing=mixing,
            problems=problems.key,
            selected=sources,
            search=search.key if search else None,
        )

    def _sources(self, teachers: list[str], selected: Mapping[str, SelectTask]) -> dict[str, ArtifactKey]:
        return {teacher: selected[teacher].key for teacher in teachers}

    def _mix_inputs(self, problems: ProblemsTask, sources: Mapping[str, ArtifactKey]) -> dict[str, ArtifactKey]:
        return {"problems": problems.key} | {f"selected.{teacher}": key for teacher, key in sources.items()}

    def _train(self, student: str, mix: str, seed: int, examples: MixTask) -> TrainTask:
        experiment = self._experiment
        recipe = experiment.recipe(student, mix)
        shaping = {
            "recipe": recipe.shaping(),
            "model": self._model_identity(recipe.model, recipe.revision),
            "prompt": self._prompt,
            "num_workers": experiment.train.num_workers,
            "parallel": experiment.train.parallel,
            "seed": seed,
        }
        return TrainTask(
            **self._common("train", f"{student}-{mix}-seed{seed}", shaping, {"examples": examples.key}),
            student=student,
            mix=mix,
            seed=seed,
            recipe=recipe,
            prompt=self._prompt,
            train=experiment.train,
            examples=examples.key,
        )

    def _evaluate_all(
        self, students: list[TrainTask], benchmarks: Mapping[str, ProblemsTask]
    ) -> tuple[list[EvaluateTask], list[JudgeTask], list[StudentAnswers]]:
        """Every student and every untouched base on every benchmark; students that share a base share its answers."""
        evaluations: dict[ArtifactKey, EvaluateTask] = {}
        judgements: dict[ArtifactKey, JudgeTask] = {}
        answers = []

        def add(evaluation: EvaluateTask, student: str, mix: str, seed: int) -> None:
            evaluations[evaluation.key] = evaluation
            judged = self._judge(evaluation)
            if judged is not None:
                judgements[evaluation.key] = judged
            key = judged.key if judged else None
            answers.append(StudentAnswers(student, evaluation.base_model, mix, seed, evaluation.benchmark, evaluation.key, key))

        for name, benchmark in benchmarks.items():
            for student, config in self._experiment.students.items():
                add(self._evaluate(benchmark, name, config.model, config.revision, None), student, UNTOUCHED_MIX, 0)
            for task in students:
                evaluation = self._evaluate(benchmark, name, task.recipe.model, task.recipe.revision, task)
                add(evaluation, task.student, task.mix, task.seed)
        return list(evaluations.values()), list(judgements.values()), answers

    def _judge(self, evaluation: EvaluateTask) -> JudgeTask | None:
        judge = self._experiment.evaluate.judge
        if judge is None:
            return None
        engine = self._experiment.engine_of(judge)
        shaping = {
            "model": self._model_identity(judge.model, judge.revision, engine),
            "engine": engine.shaping(),
            "sampling": judge.sampling.shaping(),
        }
        inputs = {"predictions": evaluation.key, "problems": evaluation.problems}
        return JudgeTask(
            **self._common("judge", evaluation.key.name, shaping, inputs),
            predictions=evaluation.key,
            problems=evaluation.problems,
            engine=EngineSpec(engine, judge.model, judge.revision),
            sampling=judge.sampling,
        )

    def _evaluate(
        self, benchmark: ProblemsTask, name: str, model: str, revision: str | None, student: TrainTask | None
    ) -> EvaluateTask:
        config = self._experiment.evaluate
        engine = self._experiment.engine_of(config)
        run_name = student.key.name if student else f"{re.split('[/:]', model)[-1]}-{UNTOUCHED_MIX}"
        shaping: dict[str, Any] = {
            "model": self._model_identity(model, revision, engine),
            "engine": engine.shaping(),
            "prompt": self._prompt,
            "sampling": config.sampling.shaping(),
            "num_samples": config.num_samples,
        }
        inputs = {"problems": benchmark.key} | ({"student": student.key} if student else {})
        spec, adapter = EngineSpec(engine, model, revision), None
        if student:
            weights = self._store.artifact(student.key).file_url(weights_folder(student.recipe))
            if student.recipe.is_adapter:
                adapter = Adapter(run_name, weights)
            else:
                spec = EngineSpec(engine, weights)
        return EvaluateTask(
            **self._common("evaluate", f"{run_name}-on-{name}", shaping, inputs),
            student=run_name,
            base_model=model,
            benchmark=name,
            problems=benchmark.key,
            engine=spec,
            adapter=adapter,
            prompt=self._prompt,
            sampling=config.sampling,
            num_samples=config.num_samples,
            grading_timeout_s=config.grading_timeout_s,
        )

    def _report(
        self,
        problems: ProblemsTask,
        benchmarks: Mapping[str, ProblemsTask],
        traces: Mapping[str, GenerateTask],
        selected: Mapping[str, SelectTask],
        searches: list[SearchTask],
        mixes: Mapping[str, MixTask],
        students: list[TrainTask],
        answers: list[StudentAnswers],
    ) -> ReportTask:
        shaping = {"report": self._experiment.report.shaping(), "name": self._experiment.name}
        inputs = {"problems": problems.key}
        for role, tasks in (("benchmark", benchmarks), ("traces", traces), ("selected", selected), ("mix", mixes)):
            inputs |= {f"{role}.{name}": task.key for name, task in tasks.items()}
        inputs |= {f"search.{task.key.name}": task.key for task in searches}
        inputs |= {f"student.{task.key.name}": task.key for task in students}
        inputs |= {f"predictions.{row.student}.{row.mix}.{row.seed}.{row.benchmark}": row.predictions for row in answers}
        inputs |= {
            f"judgements.{row.student}.{row.mix}.{row.seed}.{row.benchmark}": row.judgements
            for row in answers
            if row.judgements
        }
        return ReportTask(
            **self._common("report", self._experiment.name, shaping, inputs),
            experiment=self._experiment,
            benchmarks={name: task.key for name, task in benchmarks.items()},
            traces={name: task.key for name, task in traces.items()},
            selected={name: task.key for name, task in selected.items()},
            searches=tuple(searches),
            mixes={name: task.key for name, task in mixes.items()},
            students=tuple(students),
            answers=tuple(answers),
        )

    def _model_identity(self, model: str, revision: str | None, engine: EngineConfig | None = None) -> dict[str, Any]:
        """Weights are told apart as far as can be; a server's model is only a name here, and a recording is its files."""
        match engine:
            case ReplayEngineConfig():
                return {"model": model, "recording": files_identity(engine.path)}
            case OpenAIEngineConfig():
                return {"model": model}
            case _:
                check_model(model)
                return model_identity(model, revision)
