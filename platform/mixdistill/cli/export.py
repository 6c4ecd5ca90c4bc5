"""`mixdistill export`: traces, selected traces or mixes of an experiment as a data set with its card.

In: the finished artifacts `generate`, `select` or `mix` and the problems. Out, below OUTPUT: `data/NAME.jsonl` or
`data/NAME.parquet` for each teacher or mix, and `README.md`. A row is a conversation with the fields of `_meta_types` beside
it. Traces are streamed; the problems stay in memory. A trace without a response (an engine's error) is no conversation: it is
counted as left out.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from mixdistill.cli.session import delivery_options, experiment_options
from mixdistill.config import load_experiment
from mixdistill.config.base import nearest
from mixdistill.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from mixdistill.artifacts import ArtifactKey, Manifest
    from mixdistill.interchange import Conversation, DataCard, DataFile, Teacher
    from mixdistill.pipeline import Graph
    from mixdistill.records import Problem, Trace
    from mixdistill.stages.tasks import GenerateTask, MixTask, Task

What = Literal["traces", "selected", "mix"]

_STAGE_OF = {"traces": "generate", "selected": "select", "mix": "mix"}
_KIND = {
    "traces": "All responses of the teachers to a set of problems, right and wrong, each with the verdict on its answer.",
    "selected": "Responses of the teachers to a set of problems that passed the selection.",
    "mix": "Training sets of responses in fixed shares of several teachers.",
}


@click.command()
@experiment_options
@click.argument("output")
@click.option(
    "--what",
    type=click.Choice(["traces", "selected", "mix"]),
    default="selected",
    show_default=True,
    help="All traces of the teachers, those that passed the selection, or the training mixes.",
)
@click.option(
    "--name", "names", multiple=True, help="A teacher (for --what mix: a mix); may be repeated. Default: all of them."
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["messages", "sharegpt", "alpaca", "columns"]),
    default="messages",
    show_default=True,
    help="How a row holds its question and response.",
)
@click.option("--file-type", type=click.Choice(["jsonl", "parquet"]), default="jsonl", show_default=True)
@delivery_options
def command(
    config: str,
    overrides: tuple[str, ...],
    output: str,
    what: What,
    names: tuple[str, ...],
    format_name: str,
    file_type: str,
    overwrite: bool,
    private: bool,
    as_json: bool,
) -> None:
    """Write traces of the experiment CONFIG to OUTPUT as a data set, with its data card.

    OUTPUT is a folder, a URL (s3://, gs://, abfs://) or hf://datasets/OWNER/NAME, which needs a token in HF_TOKEN.
    """
    from mixdistill.interchange import CARD_FILE, data_card, deliver, refuse_occupied
    from mixdistill.pipeline import build_graph

    experiment = load_experiment(config, overrides)
    graph = build_graph(experiment)
    tasks = _chosen(graph, what, names)
    source = _Source.of(graph, tasks, config)
    if not overwrite:
        refuse_occupied(output)
    with tempfile.TemporaryDirectory(prefix="mixdistill-export-") as scratch:
        folder = Path(scratch)
        files = [_write(source, task, folder, format_name, file_type) for task in tasks]
        card = _card(source, what, format_name, tasks, files)
        (folder / CARD_FILE).write_text(data_card(card), encoding="utf-8")
        place = deliver(folder, output, private=private, message=f"mixdistill export {what} of {experiment.name}")
    num_rows = sum(file.num_rows for file in files)
    if as_json:
        listed = [{"name": file.name, "file": file.file, "rows": file.num_rows, "left_out": file.left_out} for file in files]
        click.echo(json.dumps({"experiment": experiment.name, "output": place, "rows": num_rows, "files": listed}, indent=2))
        return
    for file in files:
        click.echo(f"{file.file:40} {file.num_rows:,} rows")
    click.echo(f"{experiment.name}: {num_rows:,} rows and {CARD_FILE} in {place}")


def _chosen(graph: Graph, what: What, names: tuple[str, ...]) -> list[Task]:
    """The tasks of the named teachers or mixes, or of all."""
    tasks = {task.key.name: task for task in graph.of(_STAGE_OF[what])}
    for name in names:
        if name not in tasks:
            known = list(tasks)
            raise ConfigError(
                f"--name {name}: --what {what} has no such {'mix' if what == 'mix' else 'teacher'}{nearest(name, known)} "
                f"(there is: {', '.join(known)})"
            )
    return [tasks[name] for name in dict.fromkeys(names or tasks)]


@dataclass(frozen=True)
class _Source:
    """Where the rows come from: the chosen tasks, everything that they follow from, and the problems."""

    graph: Graph
    tasks: Mapping[ArtifactKey, Task]  # in the graph's order
    manifests: Mapping[ArtifactKey, Manifest]
    problems: Mapping[str, Problem]

    @classmethod
    def of(cls, graph: Graph, chosen: list[Task], config: str) -> _Source:
        """Look up what the chosen tasks follow from.

        Raises:
            StoreError: something of it is not finished.
        """
        from mixdistill.pipeline import TRAIN_PROBLEMS
        from mixdistill.stages.progress import NoProgress
        from mixdistill.stages.rows import read_problems
        from mixdistill.stages.tasks import StageContext

        by_key = {task.key: task for task in graph.tasks}
        needed: set[ArtifactKey] = set()
        waiting = [task.key for task in chosen]
        while waiting:
            key = waiting.pop()
            if key not in needed:
                needed.add(key)
                waiting += by_key[key].inputs.values()
        tasks = {key: task for key, task in by_key.items() if key in needed}
        manifests = {key: graph.artifact(task).manifest() for key, task in tasks.items()}
        finished = {key: manifest for key, manifest in manifests.items() if manifest is not None}
        if missing := [key for key in tasks if key not in finished]:
            raise StoreError(
                f"{', '.join(f'{key.stage} {key.name}' for key in missing)} of {graph.experiment.name} "
                f"{'is' if len(missing) == 1 else 'are'} not finished in {graph.store.url}; run `mixdistill run {config}` first"
            )
        (problems,) = [key for key in tasks if (key.stage, key.name) == ("problems", TRAIN_PROBLEMS)]
        rows = read_problems(StageContext(graph.store, NoProgress()), problems)
        return cls(graph, tasks, finished, {problem.problem_id: problem for problem in rows})

    def rows(self, key: ArtifactKey, file: str) -> Iterator[dict[str, Any]]:
        """Stream a Parquet file of an artifact."""
        from mixdistill.interchange import read_rows

        return (row.values for row in read_rows(self.graph.artifact(self.tasks[key]).file_url(file)))

    def traces(self, key: ArtifactKey, file: str) -> Iterator[Trace]:
        """Stream the traces of an artifact."""
        from mixdistill.records import Trace, schema_of

        fields = schema_of(Trace).names
        return (Trace(**{name: row[name] for name in fields}) for row in self.rows(key, file))

    def teachers(self, tasks: Iterable[Task]) -> list[GenerateTask]:
        """The teachers whose traces these tasks hold."""
        from mixdistill.stages.tasks import GenerateTask, MixTask, SelectTask

        found: dict[ArtifactKey, GenerateTask] = {}
        for task in tasks:
            if isinstance(task, GenerateTask):
                found[task.key] = task
            elif isinstance(task, SelectTask):
                found |= {one.key: one for one in self.teachers([self.tasks[task.traces]])}
            elif isinstance(task, MixTask):
                found |= {one.key: one for one in self.teachers(self.tasks[key] for key in task.selected.values())}
        return list(found.values())


def _meta_types() -> dict[str, Any]:
    """What stands beside each conversation."""
    import pyarrow as pa

    texts = ("problem_id", "trace_id", "teacher", "source", "level", "reference_answer", "reason")
    return {name: pa.string() for name in texts} | {"correct": pa.bool_()}


def _write(source: _Source, task: Task, folder: Path, format_name: str, file_type: str) -> DataFile:
    """Write one data file."""
    from mixdistill.interchange import DataFile, write_conversations

    left_out: Counter[str] = Counter()
    if task.key.stage != "generate":  # what a selection rejects and a mix does not use is counted there
        left_out.update(source.manifests[task.key].counts)
    by_teacher: Counter[str] = Counter()
    num_tokens = 0

    def counted() -> Iterator[Conversation]:
        nonlocal num_tokens
        for conversation in _conversations(source, task, left_out):
            by_teacher[conversation.meta["teacher"]] += 1
            num_tokens += conversation.num_tokens or 0
            yield conversation

    file = f"data/{task.key.name}.{file_type}"
    num_rows = write_conversations(folder / file, counted(), format_name, _meta_types())
    return DataFile(task.key.name, file, num_rows, num_tokens, dict(by_teacher), dict(left_out.most_common()))


def _conversations(source: _Source, task: Task, left_out: Counter[str]) -> Iterator[Conversation]:
    """The rows of one teacher or mix; what cannot be a conversation is counted."""
    from mixdistill.records import reason_kind
    from mixdistill.stages.rows import SELECTED_FILE, TRACES_FILE
    from mixdistill.stages.tasks import MixTask

    if isinstance(task, MixTask):
        yield from _mix_conversations(source, task)
        return
    for trace in source.traces(task.key, TRACES_FILE if task.key.stage == "generate" else SELECTED_FILE):
        if trace.finish_reason == "error":
            left_out[reason_kind(trace.reason)] += 1
        else:
            yield _conversation(source, trace, trace.reasoning, trace.response)


def _mix_conversations(source: _Source, task: Any) -> Iterator[Conversation]:
    """The examples of a mix, in its order. The text is what the student learns; the verdict stands with the selected trace."""
    from mixdistill.interchange import split_reasoning
    from mixdistill.stages.rows import EXAMPLES_FILE, SELECTED_FILE

    teacher_of = {row["trace_id"]: row["teacher"] for row in source.rows(task.key, EXAMPLES_FILE)}
    verdicts = {
        trace.trace_id: _without_text(trace)
        for teacher in sorted(set(teacher_of.values()))
        for trace in source.traces(task.selected[teacher], SELECTED_FILE)
        if trace.trace_id in teacher_of
    }
    for row in source.rows(task.key, EXAMPLES_FILE):
        yield _conversation(source, verdicts[row["trace_id"]], *split_reasoning(row["response"]))


def _without_text(trace: Trace) -> Trace:
    import dataclasses

    return dataclasses.replace(trace, reasoning=None, response="")


def _conversation(source: _Source, trace: Trace, reasoning: str | None, response: str) -> Conversation:
    from mixdistill.interchange import Conversation

    problem = source.problems[trace.problem_id]
    meta = {
        "problem_id": trace.problem_id,
        "trace_id": trace.trace_id,
        "teacher": trace.teacher,
        "source": problem.source,
        "level": problem.level,
        "reference_answer": problem.reference_answer,
        "reason": trace.reason,
        "correct": trace.correct,
    }
    return Conversation(problem.question, response, reasoning, trace.finish_reason, trace.num_tokens, meta)


def _card(source: _Source, what: What, format_name: str, tasks: list[Task], files: list[DataFile]) -> DataCard:
    """What the manifests and the config say of the data."""
    from mixdistill.interchange import FORMATS, DataCard, Lineage, public_section
    from mixdistill.stages.tasks import MixTask

    experiment = source.graph.experiment
    packages: dict[str, str] = {}
    for manifest in source.manifests.values():
        packages |= manifest.packages
    return DataCard(
        experiment=experiment.name,
        kind=_KIND[what],
        format_name=format_name,
        fields=[*FORMATS[format_name].schema.names, "finish_reason", "num_tokens", *_meta_types()],
        files=files,
        problems=public_section(experiment.problems.shaping()),
        num_problems=len(source.problems),
        teachers=[_teacher(source, task) for task in source.teachers(tasks)],
        selection=None if what == "traces" else public_section(experiment.selection.shaping()),
        mixes={task.key.name: _fractions(source, task) for task in tasks if isinstance(task, MixTask)},
        mixing=public_section(experiment.mixing.shaping()) if what == "mix" else None,
        lineage=[
            Lineage(f"{key.stage}/{key.name}", key.fingerprint, manifest.num_rows, manifest.created)
            for key, manifest in source.manifests.items()
        ],
        packages=packages,
    )


def _fractions(source: _Source, task: MixTask) -> Mapping[str, float]:
    """The shares of a mix's teachers: the config's, or those that its search found."""
    if task.search is None:
        assert task.fractions is not None
        return task.fractions
    found: Mapping[str, float] = source.manifests[task.search].figures["best_fractions"]
    return found


def _teacher(source: _Source, task: GenerateTask) -> Teacher:
    from mixdistill.interchange import Teacher, model_licence, public_place, public_section

    config = task.teacher_config
    return Teacher(
        name=task.teacher,
        model=public_place(config.model),
        revision=config.revision,
        adapter=None if config.adapter is None else public_place(config.adapter),
        licence=model_licence(config.model, config.revision),
        engine=public_section(task.engine.config.shaping()),
        style=config.style,
        prompt=task.prompt,
        few_shot=[(turn.question, turn.response) for turn in config.few_shot],
        sampling=public_section(config.sampling.shaping()),
        num_traces_by_reason=source.manifests[task.key].counts,
    )
