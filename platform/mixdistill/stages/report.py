"""Stage 7: gathers predictions and manifests, has them analysed, and writes the report in every format."""

from __future__ import annotations

import dataclasses
import io
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import pyarrow.compute as pc
from rich.console import Console

from mixdistill.artifacts import ArtifactKey, Manifest
from mixdistill.config import ProblemsConfig
from mixdistill.errors import StoreError
from mixdistill.evaluation import analyse
from mixdistill.prompts import prompt_template
from mixdistill.records import Prediction, Problem, StudentRun
from mixdistill.report import (
    Artifact,
    MixBudget,
    MixFigures,
    MixLevel,
    ProblemCounts,
    ReportData,
    SearchCandidate,
    SearchFigures,
    SearchRung,
    TeacherFigures,
    TeacherLevel,
    TeacherRound,
    TokenSpread,
    TrainingFigures,
    build_report,
    figure_png,
    report_html,
    report_json,
    report_md,
    terminal_table,
)
from mixdistill.stages.rows import (
    REPORT_HTML,
    REPORT_JSON,
    REPORT_MD,
    REPORT_PNG,
    REPORT_TXT,
    TRACES_FILE,
    read_judgements,
    read_predictions,
    read_problems,
)
from mixdistill.stages.tasks import ReportTask, SearchTask, StageContext

Row = TypeVar("Row")

_TERMINAL_WIDTH: Final = 116
_QUARANTINED: Final = ("prompt_too_long", "refused", "failed", "engine_killed")
"""Reasons of traces whose request got no response (engines.base.ErrorKind), but for the end of a recording."""


def report(tasks: Sequence[ReportTask], context: StageContext) -> None:
    """Write the report of each experiment."""
    for task in tasks:
        started = time.monotonic()
        config = task.experiment.report
        made = build_report(_gather(task, context), config)
        artifact = context.artifact(task.key)
        artifact.write_json(REPORT_JSON, report_json(made))
        artifact.write_bytes(REPORT_MD, report_md(made).encode())
        artifact.write_bytes(REPORT_HTML, report_html(made).encode())
        artifact.write_bytes(REPORT_PNG, figure_png(made))
        terminal = Console(file=io.StringIO(), width=_TERMINAL_WIDTH, force_terminal=True, color_system="standard")
        with terminal.capture() as captured:
            terminal.print(terminal_table(made))
        artifact.write_bytes(REPORT_TXT, captured.get().encode())
        artifact.finish(task.manifest(num_rows=len(made.document["scores"]), seconds=time.monotonic() - started))
        context.progress.finish(f"report {task.key.name}")


def _gather(task: ReportTask, context: StageContext) -> ReportData:
    experiment = task.experiment
    problems: dict[str, Problem] = {}
    for key in task.benchmarks.values():
        problems |= {problem.problem_id: problem for problem in read_problems(context, key)}
    predictions: dict[StudentRun, list[Prediction]] = {}
    for row in task.answers:
        run = StudentRun(row.student, row.base_model, row.mix, row.seed)
        predictions.setdefault(run, []).extend(read_predictions(context, row.predictions))
    solved_alone = count_solved_alone({name: _solved_problems(context, key) for name, key in task.traces.items()})
    verdicts: dict[str, bool | None] | None = None
    if experiment.evaluate.judge is not None:
        keys = {row.judgements for row in task.answers if row.judgements}
        verdicts = {row.prediction_id: row.verdict for key in keys for row in read_judgements(context, key)}
    story = {key: _manifest(context, key) for key in task.inputs.values()}
    searches = {search.key.name: search for search in task.searches}  # a mix that was found has its search's name
    hardware = story[next(iter(task.benchmarks.values()))].hardware
    return ReportData(
        experiment=experiment.name,
        findings=analyse(predictions, experiment.report, verdicts).as_json(),
        predictions=predictions,
        problems=problems,
        benchmarks={name: _origin(config) for name, config in experiment.evaluate.benchmarks.items()},
        prompts=_prompts(task),
        teachers=[_teacher(task, name, story, solved_alone.get(name)) for name in task.traces],
        searches=[search_figures(search, story[search.key]) for search in task.searches],
        mixes=[mix_figures(name, story[key], searches.get(name)) for name, key in task.mixes.items()],
        students=[
            training_figures(StudentRun(row.student, row.recipe.model, row.mix, row.seed), story[row.key])
            for row in task.students
        ],
        lineage=[Artifact(key.stage, key.name, key.fingerprint, story[key].seconds) for key in story],
        settings=experiment.model_dump(mode="json"),
        hardware=f"{hardware.get('num_cpus')} CPU cores ({hardware.get('machine')})",
        seconds=_wall_seconds(story),
    )


def _manifest(context: StageContext, key: ArtifactKey) -> Manifest:
    manifest = context.artifact(key).manifest()
    if manifest is None:
        raise StoreError(f"{key} has lost its manifest; run again to make it anew")
    return manifest


def _origin(config: ProblemsConfig) -> str:
    """Where a benchmark's questions come from, in a few words."""
    details = ", ".join(f"{name} {value}" for name, value in config.options.items() if not isinstance(value, dict))
    return config.source + (f" ({details})" if details else "") + (f" from {config.path}" if config.path else "")


def _prompts(task: ReportTask) -> dict[str, str]:
    experiment = task.experiment
    prompts = {"students": prompt_template(experiment.prompt)}
    for name, teacher in experiment.teachers.items():
        if teacher.prompt is not None:
            prompts[f"teacher {name}"] = prompt_template(teacher.prompt)
    return prompts


def _teacher(task: ReportTask, name: str, story: dict[ArtifactKey, Manifest], num_solved_alone: int | None) -> TeacherFigures:
    teacher = task.experiment.teachers[name]
    traces, selected = story[task.traces[name]], story[task.selected[name]]
    figures = traces.figures
    return TeacherFigures(
        name=name,
        model=teacher.model,
        style=teacher.style + (f", {len(teacher.few_shot)} worked examples" if teacher.few_shot else ""),
        num_problems=figures["num_problems"],
        num_solved=figures["num_problems_solved"],
        num_unasked=figures["num_problems_unasked"],
        num_solved_alone=num_solved_alone,
        num_samples=traces.num_rows,
        num_accepted=figures["num_accepted"],
        num_selected=selected.num_rows,
        num_tokens=figures["num_tokens"],
        num_prompt_tokens=figures["num_prompt_tokens"],
        num_truncated=figures["num_truncated"],
        seconds=traces.seconds,
        reasons=selected.counts,
        quarantined={reason: traces.counts[reason] for reason in _QUARANTINED if reason in traces.counts},
        rounds=[TeacherRound(**row) for row in figures["rounds"]],
        levels=[TeacherLevel(**row) for row in figures["levels"]],
        fixed_num_samples=figures["fixed"]["num_samples"],
        fixed_num_tokens=figures["fixed"]["num_tokens"],
        num_requests_repeated=figures["resume"]["requests_repeated"],
        num_engine_deaths=figures["resume"]["engine_deaths"],
        num_workers_lost=figures["resume"]["workers_lost"],
    )


def count_solved_alone(solved: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """How many problems only this teacher solved.

    Args:
        solved: teacher -> ids of the problems with an accepted trace, which may repeat.

    Returns:
        teacher -> number of problems; nothing for a lone teacher, of whom it would say nothing.
    """
    if len(solved) < 2:
        return {}
    only: dict[str, str | None] = {}  # problem_id -> its one solver; None when there are several
    for teacher, problem_ids in solved.items():
        for problem_id in problem_ids:
            if only.setdefault(problem_id, teacher) != teacher:
                only[problem_id] = None
    counts = Counter(only.values())
    return {teacher: counts[teacher] for teacher in solved}


def _solved_problems(context: StageContext, key: ArtifactKey) -> Iterator[str]:
    """Problem of each accepted trace (`records.Trace.accepted`); reads three columns, a row group at a time."""
    for batch in context.artifact(key).read_batches(TRACES_FILE, ["problem_id", "correct", "finish_reason"]):
        accepted = pc.and_(batch["correct"], pc.equal(batch["finish_reason"], "stop"))
        yield from batch["problem_id"].filter(accepted).to_pylist()


def mix_figures(name: str, manifest: Manifest, search: SearchTask | None = None) -> MixFigures:
    """What the manifest of a mix says.

    Args:
        name: the mix's name in the graph.
        manifest: of the finished mix.
        search: the search that found the mix's fractions, if one did.
    """
    figures = manifest.figures
    written = figures["examples_by_teacher"]
    return MixFigures(
        name=name,
        num_examples=manifest.num_rows,
        by_teacher=written,
        num_tokens=figures["num_tokens"],
        mix=search.mix if search else name,
        found_for=search.student if search else None,
        protocol=figures["protocol"],
        problems=figures["problems"],
        match=figures["match"],
        tokens={name: _row(TokenSpread, spread) for name, spread in figures["tokens_by_teacher"].items() if written.get(name)},
        levels=[_row(MixLevel, row) for row in figures["levels"]],
        left_out=manifest.counts,
        num_problems=_row(ProblemCounts, figures["num_problems"]),
        budget=_row(MixBudget, figures["budget"]),
        num_validation=figures["validation"],
    )


def search_figures(task: SearchTask, manifest: Manifest) -> SearchFigures:
    """What the manifest of a search says."""
    figures = manifest.figures
    candidates = [
        _row(SearchCandidate, row | {"history": [_row(SearchRung, rung) for rung in row["history"]]})
        for row in figures["candidates"]
    ]
    return _row(SearchFigures, figures | {"name": task.key.name, "candidates": candidates})


def training_figures(run: StudentRun, manifest: Manifest) -> TrainingFigures:
    """What the manifest of a student says."""
    figures = manifest.figures
    return TrainingFigures(
        run=run,
        num_steps=figures["num_steps"],
        num_tokens=figures["num_target_tokens"],
        seconds=figures["seconds"],
        final_loss=figures["final_loss"],
        losses=_curve(figures["loss_curve"]),
        validation={source: _curve(points) for source, points in figures["validation"].items()},
        num_examples=figures["num_examples"],
        num_cut=figures["num_cut"],
        dropped=figures["dropped"],
        padding_share=figures["padding_share"],
        attention=figures["attention"],
    )


def _row(kind: type[Row], values: Mapping[str, Any]) -> Row:
    """A row of the report from a part of a manifest, which may say more than the report shows."""
    return kind(**{field.name: values[field.name] for field in dataclasses.fields(kind)})  # type: ignore[arg-type]


def _curve(points: Sequence[tuple[int, float | None]]) -> list[tuple[int, float]]:
    """(step, loss); JSON has no NaN, so a loss that diverged is null there."""
    return [(step, math.nan if loss is None else loss) for step, loss in points]


def _wall_seconds(story: dict[ArtifactKey, Manifest]) -> float:
    """Work time of the experiment. Artifacts made in one engine share its time, so each shared time counts once."""
    return sum(seconds for _, seconds in {(key.stage, manifest.seconds) for key, manifest in story.items()})
