"""The selection stage: in slices on a real local Ray cluster as in one slice without Ray; a killed one goes on."""

from __future__ import annotations

import dataclasses

import pytest
import ray

from mixdistill.artifacts import ArtifactKey, Store
from mixdistill.config import SelectionConfig
from mixdistill.errors import DataError
from mixdistill.records import Problem, Trace, content_id, from_table, to_table
from mixdistill.stages.cluster import connect, disconnect
from mixdistill.stages.progress import NoProgress
from mixdistill.stages.rows import PROBLEMS_FILE, REJECTED_FILE, SELECTED_FILE, TRACES_FILE
from mixdistill.stages.select import select_traces
from mixdistill.stages.select_slices import Parts, SliceJob
from mixdistill.stages.tasks import SelectTask, StageContext

NUM_PROBLEMS = 120
QUESTION = (
    "A farmer keeps {n} hens in the yard behind the {place} next to the mill by the river; how many legs have they together?"
)
# Two like questions of every number, 60 problems apart: so they fall into different slices.
PROBLEMS = [
    Problem.of(QUESTION.format(n=n % 60, place="old barn" if n < 60 else "barn"), str(2 * (n % 60)), "made-up")
    for n in range(NUM_PROBLEMS)
]


def trace_of(number: int, problem: Problem, sample_index: int) -> Trace:
    correct = (number + sample_index) % 3 > 0
    return Trace(
        trace_id=content_id(problem.problem_id, sample_index),
        problem_id=problem.problem_id,
        teacher="short",
        round=0,
        sample_index=sample_index,
        seed=7,
        reasoning="They have two legs each." if number % 2 else None,
        response=f"{number} and {sample_index}: \\boxed{{{problem.reference_answer}}}",
        finish_reason="stop",
        num_prompt_tokens=20,
        num_tokens=10 + sample_index,
        extracted=problem.reference_answer,
        correct=correct,
        reason="" if correct else "wrong_answer",
    )


TRACES = [trace_of(number, problem, index) for number, problem in enumerate(PROBLEMS) for index in range(number % 5)]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    connect()
    yield
    disconnect()


@pytest.fixture
def context(tmp_path) -> StageContext:
    return StageContext(Store(str(tmp_path / "store")), NoProgress())


@pytest.fixture
def task(context) -> SelectTask:
    problems, traces, benchmark = (ArtifactKey(stage, stage, "0" * 64) for stage in ("problems", "generate", "benchmark"))
    context.artifact(problems).write_table(PROBLEMS_FILE, to_table(PROBLEMS, Problem))
    context.artifact(benchmark).write_table(PROBLEMS_FILE, to_table(PROBLEMS[7:8], Problem))
    context.artifact(traces).write_table(TRACES_FILE, to_table(TRACES, Trace))
    return SelectTask(
        key=ArtifactKey("select", "short", "1" * 64),
        shaping={},
        inputs={},
        code_version=1,
        selection=SelectionConfig(max_per_problem=2, near_duplicate_jaccard=0.5),
        problems=problems,
        traces=traces,
        benchmarks={"held_out": benchmark},
    )


def again(task: SelectTask) -> SelectTask:
    return dataclasses.replace(task, key=ArtifactKey("select", "again", "2" * 64))


def files(context, task):
    artifact = context.artifact(task.key)
    return [artifact.read_table(file) for file in (SELECTED_FILE, REJECTED_FILE)]


def test_slices_on_a_cluster_give_the_files_of_one_slice_without_ray(context, task, monkeypatch):
    select_traces([again(task)], context, slice_traces=16)
    monkeypatch.setattr(ray.data, "from_items", None)
    select_traces([task], context)
    assert files(context, task) == files(context, again(task))
    one, many = (context.artifact(each.key).manifest() for each in (task, again(task)))
    assert (one.counts, one.num_rows, one.figures) == (many.counts, many.num_rows, many.figures)
    assert set(one.counts) == {"wrong_answer", "surplus", "near_duplicate", "contaminated", "contaminated_ngram"}
    assert one.num_rows + sum(one.counts.values()) == one.num_rows_in == len(TRACES)


def test_the_files_are_in_the_order_of_the_traces(context, task):
    select_traces([task], context, slice_traces=16)
    selected, rejected = files(context, task)
    order = [trace.trace_id for trace in TRACES]
    kept, gone = selected.column("trace_id").to_pylist(), rejected.column("trace_id").to_pylist()
    assert [trace_id for trace_id in order if trace_id in set(kept)] == kept
    assert [trace_id for trace_id in order if trace_id not in set(kept)] == gone
    assert set(from_table(selected, Trace)) <= set(TRACES)


def test_finished_slices_of_a_killed_selection_are_not_judged_again(context, task, monkeypatch):
    """As after a kill: the parts of the first slices are durable, the files are not written."""
    monkeypatch.setattr(Parts, "remove", lambda parts: None)
    select_traces([task], context, slice_traces=16)
    done, parts = SliceJob.of(task, context).parts, SliceJob.of(again(task), context).parts
    for number in (0, 1, 3):
        part = done.columns(number)
        marked = part.set_column(part.schema.get_field_index("extracted"), "extracted", [["durable"] * len(part)])
        parts.write(number, marked, finished=True)
    select_traces([again(task)], context, slice_traces=16)
    selected = files(context, again(task))[0]
    durable = {trace.trace_id for trace in from_table(selected, Trace) if trace.extracted == "durable"}
    expected = {trace_id for number in (0, 1, 3) for trace_id in done.columns(number).column("trace_id").to_pylist()}
    assert durable == expected & set(selected.column("trace_id").to_pylist()) != set()
    assert selected.drop_columns("extracted") == files(context, task)[0].drop_columns("extracted")


def test_nothing_unfinished_is_left(context, task):
    select_traces([task], context, slice_traces=16)
    assert SliceJob.of(task, context).parts.finished() == set()


def test_an_error_in_a_slice_comes_back_as_itself(context, task):
    nameless = dataclasses.replace(TRACES[-1], correct=False, reason="")
    context.artifact(task.traces).write_table(TRACES_FILE, to_table([*TRACES[:-1], nameless], Trace))
    with pytest.raises(DataError, match="gives no reason"):
        select_traces([task], context, slice_traces=16)


def test_a_selection_that_keeps_nothing_says_why(context, task):
    strict = dataclasses.replace(task, selection=SelectionConfig(min_tokens=999))
    with pytest.raises(DataError, match=rf"keeps none of the {len(TRACES)} traces of teacher 'short' \(too_short \d+, wrong"):
        select_traces([strict], context, slice_traces=16)
    assert not context.artifact(task.key).finished
