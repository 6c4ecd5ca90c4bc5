"""`mixdistill export-student`: one finished student, as a folder or a repository that others can load, with its model card.

In: the finished artifact `train` of a student and everything that it follows from; its predictions and the untouched base's,
where they are finished. Out, at OUTPUT: safetensors, configs, tokenizer and chat template, `README.md`, and the base model's
`LICENSE` where it is at hand. Nothing else leaves: no pickle, no optimiser state, no log.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

from mixdistill.cli.session import delivery_options, experiment_options
from mixdistill.config import UNTOUCHED_MIX, load_experiment
from mixdistill.config.base import nearest
from mixdistill.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from mixdistill.artifacts import ArtifactKey, Manifest
    from mixdistill.interchange import Score, Source, StudentCard
    from mixdistill.pipeline import Graph
    from mixdistill.stages.tasks import TrainTask

Form = Literal["adapter", "merged", "full"]

_FILES: Final = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.txt", "*.model")
"""What a model's folder may hold to be loaded; weights are safetensors only."""
_NAMED_PLACES: Final = ("base_model_name_or_path", "_name_or_path", "name_or_path")
"""Keys of a model's JSON files under which transformers and peft note where the base stood: maybe a folder of this machine."""
_JSON_FILES: Final = ("adapter_config.json", "config.json", "tokenizer_config.json")
_TRAINING_FIGURES: Final = (
    "num_examples",
    "dropped",
    "num_cut",
    "num_rows",
    "padding_share",
    "num_steps",
    "num_target_tokens",
    "num_input_tokens",
    "seconds",
    "final_loss",
    "attention",
    "liger_kernel",
)


@click.command()
@experiment_options
@click.argument("output")
@click.option(
    "--student", "name", metavar="RUN_NAME", help="Which student, such as NAME-MIX-seed0. Default: the only finished one."
)
@click.option("--merged", is_flag=True, help="The adapter merged into its base, as an ordinary model, instead of the adapter.")
@delivery_options
def command(
    config: str,
    overrides: tuple[str, ...],
    output: str,
    name: str | None,
    merged: bool,
    overwrite: bool,
    private: bool,
    as_json: bool,
) -> None:
    """Write a finished student of the experiment CONFIG to OUTPUT, with its model card.

    OUTPUT is a folder, a URL (s3://, gs://, abfs://) or hub:OWNER/NAME, which needs a token in HF_TOKEN.
    """
    from mixdistill.interchange import CARD_FILE, deliver, refuse_occupied, student_card
    from mixdistill.pipeline import build_graph

    experiment = load_experiment(config, overrides)
    graph = build_graph(experiment)
    task = _chosen(graph, name, config)
    form = _form(task, merged)
    if not overwrite:
        refuse_occupied(output, "model")
    manifests = _followed(graph, task, config)
    with tempfile.TemporaryDirectory(prefix="mixdistill-export-") as scratch:
        folder = Path(scratch)
        files = _copy(graph, task, form, folder)
        card = _card(graph, task, form, manifests, place=_place(output), licence_copied="LICENSE" in files)
        (folder / CARD_FILE).write_text(student_card(card), encoding="utf-8")
        message = f"mixdistill export-student {task.key.name} of {experiment.name}"
        place = deliver(folder, output, private=private, message=message, kind="model")
    if as_json:
        document = {"experiment": experiment.name, "student": task.key.name, "form": form, "output": place}
        scores = {score.benchmark: score.accuracy[0] for score in card.scores}
        click.echo(json.dumps(document | {"files": [CARD_FILE, *files], "accuracy": scores}, indent=2))
        return
    for file in files:
        click.echo(file)
    click.echo(f"{task.key.name}: {'adapter' if form == 'adapter' else 'weights'} and {CARD_FILE} in {place}")


def _chosen(graph: Graph, name: str | None, config: str) -> TrainTask:
    """The finished student of that name, or the only one."""
    from mixdistill.stages.tasks import TrainTask

    students = {task.key.name: task for task in graph.of("train") if isinstance(task, TrainTask)}
    if name is not None and name not in students:
        known = list(students)
        raise ConfigError(
            f"--student {name}: the experiment has no such student{nearest(name, known)} (there is: {', '.join(known)})"
        )
    finished = [run for run, task in students.items() if graph.artifact(task).finished]
    listed = ", ".join(finished) or "none"
    if name is None and len(finished) > 1:
        raise ConfigError(f"{len(finished)} students are finished, expected --student with one of them: {listed}")
    if not finished or (name is not None and name not in finished):
        what = "no student is finished" if name is None else f"the student {name} is not finished"
        raise StoreError(f"{what} in {graph.store.url} (finished: {listed}); run `mixdistill train {config}` first")
    return students[name if name is not None else finished[0]]


def _form(task: TrainTask, merged: bool) -> Form:
    """What leaves: the adapter, merged weights, or a fully tuned model."""
    if task.recipe.method == "full":
        if merged:
            raise ConfigError(f"{task.key.name} was fine-tuned in full, so it has no adapter to merge; leave out --merged")
        return "full"
    if merged and not task.recipe.is_merged:
        raise ConfigError(
            f"{task.key.name} has no merged weights, as its recipe says merge: false; set students.{task.student}.merge: true "
            "and train again, or leave out --merged"
        )
    return "merged" if merged else "adapter"


def _followed(graph: Graph, task: TrainTask, config: str) -> dict[ArtifactKey, Manifest]:
    """The manifests of the student and of everything that it follows from, in the graph's order."""
    by_key = {one.key: one for one in graph.tasks}
    needed: set[ArtifactKey] = set()
    waiting = [task.key]
    while waiting:
        key = waiting.pop()
        if key not in needed:
            needed.add(key)
            waiting += by_key[key].inputs.values()
    found = {one.key: graph.artifact(one).manifest() for one in graph.tasks if one.key in needed}
    missing = [key for key, manifest in found.items() if manifest is None]
    if missing:
        raise StoreError(
            f"{', '.join(f'{key.stage} {key.name}' for key in missing)}, which the student {task.key.name} follows from, "
            f"{'is' if len(missing) == 1 else 'are'} not in {graph.store.url}; run `mixdistill run {config}` first"
        )
    return {key: manifest for key, manifest in found.items() if manifest is not None}


def _copy(graph: Graph, task: TrainTask, form: Form, folder: Path) -> list[str]:
    """Copy the student's files and the base model's licence into the folder; returns their names."""
    from mixdistill.interchange import licence_file, public_place
    from mixdistill.models import fetch_folder
    from mixdistill.stages.rows import MERGED_FOLDER, MODEL_FOLDER

    url = graph.artifact(task).file_url(MERGED_FOLDER if form == "merged" else MODEL_FOLDER)
    source = fetch_folder(url)
    names = sorted(
        path.name for path in source.glob("*") if path.is_file() and any(fnmatch(path.name, kind) for kind in _FILES)
    )
    if not any(name.endswith(".safetensors") for name in names):
        raise StoreError(f"{url} holds no safetensors; remove the folder {graph.artifact(task).url} and train again")
    for name in names:
        shutil.copyfile(source / name, folder / name)
        if name in _JSON_FILES:
            _without_places(folder / name, public_place(task.recipe.model))
    licence = licence_file(task.recipe.model, task.recipe.revision)
    if licence is not None:
        shutil.copyfile(licence, folder / "LICENSE")
    return names if licence is None else [*names, "LICENSE"]


def _without_places(file: Path, base_model: str) -> None:
    """Let a model's JSON file name its base by what others know it by."""
    values = json.loads(file.read_text(encoding="utf-8"))
    named = {key: base_model for key in _NAMED_PLACES if isinstance(values.get(key), str)}
    if named:
        file.write_text(json.dumps(values | named, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _place(output: str) -> str:
    """What a program loads the student by."""
    return output.removeprefix("hub:") if output.startswith("hub:") else output.rstrip("/").rpartition("/")[2]


def _card(
    graph: Graph, task: TrainTask, form: Form, manifests: Mapping[ArtifactKey, Manifest], *, place: str, licence_copied: bool
) -> StudentCard:
    """What the manifests, the config and the predictions say of the student."""
    from mixdistill.interchange import Lineage, StudentCard, licence_metadata, public_place, public_section
    from mixdistill.models.bundled import PREFIX
    from mixdistill.models.identity import is_folder, is_url

    experiment, recipe, model = graph.experiment, task.recipe, task.recipe.model
    mix, trained = manifests[task.examples], manifests[task.key]
    searched = next((manifest for key, manifest in manifests.items() if key.stage == "search"), None)
    fractions = searched.figures["best_fractions"] if searched else mix.config["fractions"]
    (problems,) = [manifest for key, manifest in manifests.items() if key.stage == "problems" and key.name == "train"]
    hyper_parameters = recipe.model_dump(mode="json", exclude={"model", "revision"} | ({"lora"} if form == "full" else set()))
    packages: dict[str, str] = {}
    for manifest in manifests.values():
        packages |= manifest.packages
    return StudentCard(
        name=task.key.name,
        experiment=experiment.name,
        form=form,
        place=place,
        base_model=public_place(model),
        base_revision=recipe.revision,
        base_on_hub=not (model.startswith(PREFIX) or is_url(model) or is_folder(model)),
        licence=licence_metadata(model, recipe.revision),
        has_licence_file=licence_copied,
        recipe=hyper_parameters | {"seed": task.seed, "num_workers": task.train.num_workers, "parallel": task.train.parallel},
        prompt=task.prompt,
        training={name: trained.figures[name] for name in _TRAINING_FIGURES if name in trained.figures},
        validation=trained.figures["validation"],
        mix=task.mix,
        fractions=fractions,
        sources=_sources(graph, task, manifests),
        num_examples=mix.num_rows,
        problems=public_section(experiment.problems.shaping()),
        num_problems=problems.num_rows,
        mixing=public_section(experiment.mixing.shaping()),
        selection=public_section(experiment.selection.shaping()),
        scores=_scores(graph, task),
        confidence=experiment.report.confidence,
        lineage=[
            Lineage(f"{key.stage}/{key.name}", key.fingerprint, manifest.num_rows, manifest.created)
            for key, manifest in manifests.items()
        ],
        packages=packages,
    )


def _sources(graph: Graph, task: TrainTask, manifests: Mapping[ArtifactKey, Manifest]) -> list[Source]:
    """Who wrote the examples of the student's mix."""
    from mixdistill.interchange import Source, model_licence, public_place

    figures = manifests[task.examples].figures
    selections = {key.name: manifest for key, manifest in manifests.items() if key.stage == "select"}
    found = []
    for name, num_examples in figures["examples_by_teacher"].items():
        if not num_examples:
            continue
        teacher = graph.experiment.teachers[name]
        found.append(
            Source(
                teacher=name,
                model=public_place(teacher.model),
                revision=teacher.revision,
                style=teacher.style,
                licence=model_licence(teacher.model, teacher.revision),
                num_examples=num_examples,
                num_tokens=figures["tokens_by_teacher"][name]["total"],
                num_selected=selections[name].num_rows,
                rejected=selections[name].counts,
            )
        )
    return found


def _scores(graph: Graph, task: TrainTask) -> list[Score]:
    """The student beside its untouched base, on each benchmark that both have answered."""
    from mixdistill.evaluation import analyse
    from mixdistill.interchange import Score
    from mixdistill.records import Prediction, StudentRun, from_table
    from mixdistill.stages.rows import PREDICTIONS_FILE
    from mixdistill.stages.tasks import ReportTask

    (report,) = graph.of("report")
    assert isinstance(report, ReportTask)
    own, untouched = (
        StudentRun(task.student, task.recipe.model, *rest) for rest in ((task.mix, task.seed), (UNTOUCHED_MIX, 0))
    )
    answers: dict[str, dict[StudentRun, list[Prediction]]] = {}
    for row in report.answers:
        run = StudentRun(row.student, row.base_model, row.mix, row.seed)
        artifact = graph.store.artifact(row.predictions)
        if run in (own, untouched) and artifact.finished:
            answers.setdefault(row.benchmark, {})[run] = from_table(artifact.read_table(PREDICTIONS_FILE), Prediction)
    both = [runs for runs in answers.values() if len(runs) == 2]
    if not both:
        return []
    predictions = {run: [row for runs in both for row in runs[run]] for run in (own, untouched)}
    findings = analyse(predictions, graph.experiment.report)
    gains = {gain.benchmark: gain.strict for gain in findings.gains}
    found = []
    for (run, benchmark), score in findings.scores.items():
        if run == own:
            base, gain = findings.scores[untouched, benchmark], gains[benchmark]
            found.append(
                Score(
                    benchmark,
                    score.n,
                    (score.accuracy, score.ci_low, score.ci_high),
                    (base.accuracy, base.ci_low, base.ci_high),
                    (gain.delta, gain.ci_low, gain.ci_high),
                )
            )
    return found
