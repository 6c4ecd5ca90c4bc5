"""The mix stage on artifacts on disk: the right texts in the right order, and manifests whose counts add up."""

from __future__ import annotations

import pytest

from mixdistill.artifacts import ArtifactKey, Store
from mixdistill.config import MixingConfig
from mixdistill.errors import DataError
from mixdistill.mixing import draw_mix
from mixdistill.records import Example, Problem, Trace, content_id, from_table, schema_of, to_table
from mixdistill.stages.mix import MixSources, mix_examples
from mixdistill.stages.progress import NoProgress
from mixdistill.stages.rows import EXAMPLES_FILE, PROBLEMS_FILE, SEARCH_FILE, SELECTED_FILE, VALIDATION_FILE
from mixdistill.stages.tasks import MixTask, StageContext

NUM_PROBLEMS = 3000  # three row groups
MIXES = {"mix_long": {"long": 0.2, "short": 0.8}, "short": {"short": 1.0}}
PROBLEMS = ArtifactKey("problems", "train", "a" * 64)
SELECTED = {teacher: ArtifactKey("select", teacher, "b" * 64) for teacher in ("long", "short")}
SEARCH = ArtifactKey("search", "best-for-s", "c" * 64)


class Spoken(NoProgress):
    def __init__(self):
        self.told = {}

    def finish(self, label, note=""):
        self.told[label] = note


def trace(problem, teacher, index=0):
    return Trace(
        trace_id=content_id(problem.problem_id, teacher, index),
        problem_id=problem.problem_id,
        teacher=teacher,
        round=0,
        sample_index=index,
        seed=0,
        reasoning="Let me see." if teacher == "long" else None,
        response=f"{teacher} says of {problem.question}",
        finish_reason="stop",
        num_prompt_tokens=5,
        num_tokens=100 if teacher == "long" else 10,
        extracted="1",
        correct=True,
        reason="",
    )


@pytest.fixture
def problems():
    return [Problem.of(f"Question {number}", "1", "made-up", ("easy", None)[number % 2]) for number in range(NUM_PROBLEMS)]


@pytest.fixture
def context(tmp_path, problems):
    """Finished inputs: long solved two of three problems, short all but every fifth, its sevenths twice."""
    context = StageContext(Store(str(tmp_path)), Spoken())
    context.artifact(PROBLEMS).write_table(PROBLEMS_FILE, to_table(problems, Problem))
    long = [trace(problem, "long") for number, problem in enumerate(problems) if number % 3]
    short = [
        trace(problem, "short", index)
        for number, problem in enumerate(problems)
        if number % 5
        for index in range(1 + (number % 7 == 0))
    ]
    # Row groups of odd sizes, as journals leave them.
    tables = (to_table(long[start : start + 700], Trace) for start in range(0, len(long), 700))
    context.artifact(SELECTED["long"]).write_tables(SELECTED_FILE, tables, schema_of(Trace))
    context.artifact(SELECTED["short"]).write_table(SELECTED_FILE, to_table(short, Trace))
    return context


def task(mix, fractions, *, mixing=None, search=None, selected=SELECTED):
    return MixTask(
        key=ArtifactKey("mix", mix, "d" * 64),
        shaping={},
        inputs={},
        code_version=1,
        mix=mix,
        fractions=fractions,
        mixes=MIXES,
        mixing=mixing or MixingConfig(),
        problems=PROBLEMS,
        selected=selected,
        search=search,
    )


def examples_of(context, mix, file=EXAMPLES_FILE):
    return from_table(context.artifact(ArtifactKey("mix", mix, "d" * 64)).read_table(file), Example)


def test_examples_have_their_own_texts_in_the_order_of_the_files(context, problems):
    mix_examples([task(name, parts) for name, parts in MIXES.items()], context)
    number_of = {problem.problem_id: number for number, problem in enumerate(problems)}
    for mix in MIXES:
        rows = examples_of(context, mix)
        assert rows
        for row in rows:
            question = f"Question {number_of[row.problem_id]}"
            thought = "<think>\nLet me see.\n</think>\n\n" if row.teacher == "long" else ""
            assert row.question == question and row.response == f"{thought}{row.teacher} says of {question}"
            assert row.num_tokens == (100 if row.teacher == "long" else 10)
            assert row.trace_id in {content_id(row.problem_id, row.teacher, index) for index in (0, 1)}
            assert (row.example_id, row.mix) == (content_id(mix, row.trace_id), mix)
        assert [(row.teacher, number_of[row.problem_id]) for row in rows] == sorted(
            (row.teacher, number_of[row.problem_id]) for row in rows
        )


def test_mixes_hold_the_same_problems_and_the_others_are_for_validation(context):
    mix_examples([task(name, parts) for name, parts in MIXES.items()], context)
    held = {mix: {row.problem_id for row in examples_of(context, mix)} for mix in MIXES}
    assert held["mix_long"] == held["short"]
    for mix in MIXES:
        by_source = {}
        for row in examples_of(context, mix, VALIDATION_FILE):
            assert row.mix == mix
            by_source.setdefault(row.teacher, set()).add(row.problem_id)
        assert by_source["long"] == by_source["short"]
        assert len(held[mix]) + len(by_source["long"]) == NUM_PROBLEMS * 2 // 3 * 4 // 5  # what both solved


def test_manifests_add_up_and_progress_tells_the_teachers(context):
    mix_examples([task("mix_long", MIXES["mix_long"], mixing=MixingConfig(num_examples=1000))], context)
    manifest = context.artifact(ArtifactKey("mix", "mix_long", "d" * 64)).manifest()
    assert manifest.num_rows == len(examples_of(context, "mix_long")) == 1000
    assert manifest.num_rows + sum(manifest.counts.values()) == manifest.num_rows_in
    assert manifest.figures["examples_by_teacher"] == {"long": 200, "short": 800}
    assert manifest.figures["num_tokens"] == 200 * 100 + 800 * 10
    assert manifest.figures["validation"]["long"] == sum(
        row.teacher == "long" for row in examples_of(context, "mix_long", VALIDATION_FILE)
    )
    assert context.progress.told == {"mix mix_long": "1000 examples (200 long, 800 short)"}


def test_a_found_mix_takes_the_fractions_of_its_search(context):
    context.artifact(SEARCH).write_json(SEARCH_FILE, {"best_fractions": {"long": 0.5, "short": 0.5}})
    mix_examples([task("best", None, search=SEARCH, mixing=MixingConfig(num_examples=100))], context)
    rows = examples_of(context, "best")
    assert (len(rows), sum(row.teacher == "long" for row in rows)) == (100, 50)


def test_the_columns_are_read_once_for_all_mixes_of_the_same_sources(context, monkeypatch):
    reads = []
    read = MixSources.read.__func__
    monkeypatch.setattr(MixSources, "read", classmethod(lambda cls, *args: reads.append(1) or read(cls, *args)))
    mix_examples([task(name, parts) for name, parts in MIXES.items()], context)
    assert len(reads) == 1
    paper = MixingConfig(protocol="paper", validation_share=0)
    one = {"short": SELECTED["short"]}
    mix_examples([task("a", {"short": 1.0}, mixing=paper, selected=one), task("b", MIXES["mix_long"], mixing=paper)], context)
    assert len(reads) == 3


def test_rows_out_of_the_problems_order_get_their_own_questions_too(context, problems):
    shuffled = [trace(problem, "short") for problem in problems[::-7]]
    context.artifact(SELECTED["short"]).write_table(SELECTED_FILE, to_table(shuffled, Trace))
    sources = MixSources.read(context, PROBLEMS, SELECTED)
    drawn = draw_mix("m", {"short": 1.0}, {}, sources.sources, sources.problems, MixingConfig())
    rows = [row for table in sources.examples("m", drawn.rows) for row in from_table(table, Example)]
    assert rows and all(row.response == f"short says of {row.question}" for row in rows)


def test_a_trace_of_an_unknown_problem_is_refused(context):
    lost = trace(Problem.of("never asked", "1", "made-up"), "short")
    context.artifact(SELECTED["short"]).write_table(SELECTED_FILE, to_table([lost], Trace))
    with pytest.raises(
        DataError,
        match=rf"of teacher 'short' answers problem {lost.problem_id}, which is not among the {NUM_PROBLEMS} problems",
    ):
        mix_examples([task("short", {"short": 1.0})], context)


@pytest.mark.parametrize("malformed", ["p1", "x" * 16])
def test_an_id_that_is_none_is_refused(context, malformed):
    problem = Problem(malformed, "q", "1", "made-up")
    context.artifact(PROBLEMS).write_table(PROBLEMS_FILE, to_table([problem], Problem))
    with pytest.raises(DataError, match=rf"not 16 hex digits \(the first of the batch is '{malformed}'\)"):
        mix_examples([task("short", {"short": 1.0})], context)
