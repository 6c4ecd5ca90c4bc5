"""Stage 4: the training set of each mix, as one Parquet file of `Example` rows, and its validation examples as another.

Two passes. The first reads the columns that mixing needs, 24 bytes a trace, once for all mixes of an experiment; the second
streams the texts of the chosen rows from the selections into the examples, one row group in memory at a time. Both are one
process without Ray: a million traces become two mixes of half a million examples each in 20 seconds on one core (`make bench
BENCH=mixing_throughput`), against hours to days for writing them or training on them, and rows that workers had written
would have to be joined in order again.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mixdistill.artifacts import ArtifactKey, Slices
from mixdistill.config import Fractions
from mixdistill.errors import DataError
from mixdistill.interchange import with_reasoning
from mixdistill.mixing import Draw, Problems, Source, draw_mix
from mixdistill.records import Example, content_id, schema_of
from mixdistill.stages.rows import EXAMPLES_FILE, PROBLEMS_FILE, SEARCH_FILE, SELECTED_FILE, VALIDATION_FILE
from mixdistill.stages.tasks import MixTask, StageContext

SLICE_ROWS = 1024
"""Rows whose texts are in memory at once: a row group of the store."""


def mix_examples(tasks: Sequence[MixTask], context: StageContext) -> None:
    """Draw each mix.

    Raises:
        DataError: a teacher has no selected trace, nothing is left over the problems of all sources, or there are fewer
            examples than asked for.
        ConfigError: a budget is so small that a teacher of a mix has no example.
    """
    alike: defaultdict[tuple[object, ...], list[MixTask]] = defaultdict(list)
    for task in tasks:
        alike[task.problems, *sorted(task.selected.items())].append(task)
    for group in alike.values():
        sources = MixSources.read(context, group[0].problems, group[0].selected)
        for task in group:
            _write_mix(task, sources, context)


def _write_mix(task: MixTask, sources: MixSources, context: StageContext) -> None:
    started = time.monotonic()
    fractions = _fractions(task, context)
    drawn = draw_mix(task.key.name, fractions, task.mixes, sources.sources, sources.problems, task.mixing)
    artifact = context.artifact(task.key)
    artifact.write_tables(EXAMPLES_FILE, sources.examples(task.mix, drawn.rows), schema_of(Example))
    artifact.write_tables(VALIDATION_FILE, sources.examples(task.mix, drawn.validation), schema_of(Example))
    artifact.finish(
        task.manifest(
            num_rows=_num_examples(drawn),
            num_rows_in=sum(len(sources.sources[teacher]) for teacher in fractions),
            counts=drawn.left_out,
            figures=drawn.figures,
            seconds=time.monotonic() - started,
        )
    )
    of = ", ".join(f"{len(rows)} {teacher}" for teacher, rows in drawn.rows.items())
    context.progress.finish(f"mix {task.key.name}", f"{_num_examples(drawn)} examples ({of})")


def _num_examples(drawn: Draw) -> int:
    return sum(len(rows) for rows in drawn.rows.values())


def _fractions(task: MixTask, context: StageContext) -> Fractions:
    """The config's fractions, or those that the mix's search found best."""
    if task.fractions is not None:
        return task.fractions
    assert task.search is not None, f"{task.key} has neither fractions nor a search"
    best: Fractions = context.artifact(task.search).read_json(SEARCH_FILE)["best_fractions"]
    return best


@dataclass(frozen=True)
class MixSources:
    """The columns of the problem set and of all sources, and the way to their texts."""

    problems: Problems
    sources: Mapping[str, Source]
    _questions: str  # URLs of the files with the texts
    _traces: Mapping[str, str]

    @classmethod
    def read(cls, context: StageContext, problems: ArtifactKey, selected: Mapping[str, ArtifactKey]) -> MixSources:
        """Read the columns of finished selections and of the problems they answer.

        Raises:
            DataError: a trace answers a problem that is not in the set, or an id is malformed.
        """
        problem_set = context.artifact(problems)
        read = _read_problems(problem_set.read_batches(PROBLEMS_FILE, ["problem_id", "level"]))
        by_id = np.argsort(read.ids)
        columns = ["problem_id", "trace_id", "num_tokens"]
        sources = {
            teacher: _read_source(teacher, context.artifact(key).read_batches(SELECTED_FILE, columns), read, by_id)
            for teacher, key in sorted(selected.items())
        }
        traces = {teacher: context.artifact(key).file_url(SELECTED_FILE) for teacher, key in selected.items()}
        return cls(read, sources, problem_set.file_url(PROBLEMS_FILE), traces)

    def examples(self, mix_name: str, rows: Mapping[str, NDArray[np.int64]]) -> Iterator[pa.Table]:
        """The examples of a mix: these rows (ascending) of its sources, teacher by teacher in alphabetical order.

        Problems and selections stand in the same order, so that both files are read once from front to back.
        """
        for teacher in sorted(rows):
            traces, questions = Slices(self._traces[teacher]), Slices(self._questions)
            for start in range(0, len(self.sources[teacher]), SLICE_ROWS):
                first, last = np.searchsorted(rows[teacher], (start, start + SLICE_ROWS))
                if first == last:
                    continue
                chosen = rows[teacher][first:last]
                problem = self.sources[teacher].problem[chosen]
                asked = questions.read(int(problem.min()), int(problem.max()) + 1)
                yield _example_table(
                    mix_name,
                    traces.read(start, start + SLICE_ROWS).take(pa.array(chosen - start)),
                    asked["question"].take(pa.array(problem - problem.min())),
                )


def _example_table(mix_name: str, traces: pa.Table, questions: pa.ChunkedArray) -> pa.Table:
    responses = zip(traces["reasoning"].to_pylist(), traces["response"].to_pylist(), strict=True)
    columns = {
        "example_id": [content_id(mix_name, trace_id) for trace_id in traces["trace_id"].to_pylist()],
        "mix": [mix_name] * len(traces),
        "problem_id": traces["problem_id"],
        "trace_id": traces["trace_id"],
        "teacher": traces["teacher"],
        "question": questions,
        "response": [with_reasoning(reasoning, response) for reasoning, response in responses],
        "num_tokens": traces["num_tokens"],
    }
    return pa.table(columns, schema=schema_of(Example))


def _read_problems(batches: Iterable[pa.RecordBatch]) -> Problems:
    ids, levels = [np.empty(0, dtype=np.uint64)], [np.empty(0, dtype=np.int64)]
    index_of: dict[str, int] = {}  # in the order in which they are met
    for batch in batches:
        ids.append(_numbers(batch["problem_id"]))
        named = batch["level"].to_pylist()
        for level in named:
            if level is not None:
                index_of.setdefault(level, len(index_of))
        levels.append(np.array([-1 if level is None else index_of[level] for level in named], dtype=np.int64))
    names = sorted(index_of)
    renamed = np.array([names.index(level) for level in index_of] + [-1], dtype=np.int64)  # the last is that of -1
    return Problems(np.concatenate(ids), renamed[np.concatenate(levels)], tuple(names))


def _read_source(teacher: str, batches: Iterable[pa.RecordBatch], problems: Problems, by_id: NDArray[np.int64]) -> Source:
    empty = np.empty(0, dtype=np.int64)
    parts: list[tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]] = [(empty, empty.astype(np.uint64), empty)]
    for batch in batches:
        ids = _numbers(batch["problem_id"])
        place = np.searchsorted(problems.ids, ids, sorter=by_id)
        index = by_id[np.minimum(place, len(problems) - 1)]
        for row in np.flatnonzero(problems.ids[index] != ids):
            raise DataError(
                f"trace {batch['trace_id'][int(row)]} of teacher {teacher!r} answers problem {batch['problem_id'][int(row)]}, "
                f"which is not among the {len(problems)} problems given; mix traces with the problems they were generated from"
            )
        parts.append((index, _numbers(batch["trace_id"]), batch["num_tokens"].to_numpy()))
    problem, trace, tokens = zip(*parts, strict=True)
    return Source(teacher, np.concatenate(problem), np.concatenate(trace), np.concatenate(tokens))


def _numbers(ids: pa.Array) -> NDArray[np.uint64]:
    """Content ids as numbers."""
    try:
        digits = ids.cast(pa.binary()).cast(pa.binary(16))
        numbers = np.frombuffer(bytes.fromhex(b"".join(digits.to_pylist()).decode()), dtype=">u8")
    except ValueError as error:  # pyarrow's errors are ValueErrors, too
        raise DataError(
            f"an id is not 16 hex digits (the first of the batch is {ids[0].as_py()!r}); ids are made by records.content_id: "
            "make the traces or problems again"
        ) from error
    return numbers.astype(np.uint64)
