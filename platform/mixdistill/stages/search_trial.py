"""One trial of a search, as Ray Tune runs it: trains one share's student and asks it the validation problems at each rung.

In: the places of the share's examples, and the questions. Out: reports to Tune, one a rung with the accuracy that halving goes
by, and one with each checkpoint. Whatever a trial has to remember goes into its checkpoints, so one that was killed goes on
from its last checkpoint and tells the same story. Tune ends a trial inside a report (by SystemExit), so nothing is exported.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from ray import tune

from mixdistill.artifacts import Store
from mixdistill.grading import Grader
from mixdistill.models import fetch_model
from mixdistill.records import Example, from_table
from mixdistill.stages.board import Board
from mixdistill.stages.halving import RungResult, Trial, resource, rung_steps
from mixdistill.stages.mix import MixSources
from mixdistill.stages.progress import NoProgress
from mixdistill.stages.tasks import SearchTask, StageContext
from mixdistill.stages.training_worker import local_checkpoint, scratch_folder
from mixdistill.training import TrainingRun

SHARE: Final = "share"
ACCURACY: Final = "accuracy"
RESOURCE: Final = "resource"  # see `halving.resource`
SCRATCH_PREFIX: Final = "mixdistill-search-"
_TRIAL_FILE: Final = "search-trial.json"  # in a checkpoint


@dataclass(frozen=True)
class Question:
    """One validation problem."""

    question: str
    reference_answer: str


@dataclass(frozen=True)
class TrialData:
    """What the trials of one search have in common. Ray keeps it once a node."""

    task: SearchTask
    store_url: str
    board: Board
    rows: Mapping[float, Mapping[str, NDArray[np.int64]]]  # share -> source -> rows of its selection
    questions: Sequence[Question]


def trial_name(task: SearchTask, share: float) -> str:
    """What a candidate is called on the board and in messages."""
    return f"{task.key.name}-{share:g}"


def run_trial(config: Mapping[str, float], data: TrialData) -> None:
    """Train the student of `config["share"]` as far as Tune lets it."""
    task, share = data.task, config[SHARE]
    # Ray sets one OpenMP thread a worker; use the cores that the worker was given.
    os.environ["OMP_NUM_THREADS"] = str(max(1, int(task.train.cpus_per_worker)))
    logging.getLogger("ray.train").setLevel(logging.WARNING)  # it names every checkpoint
    from mixdistill.training.sft import train

    with (
        scratch_folder(SCRATCH_PREFIX) as scratch,
        local_checkpoint(tune.get_checkpoint()) as resume_from,
        Grader(task.grading_timeout_s) as grader,
    ):
        judged = _JudgedTraining(data, share, grader, _remembered(resume_from))
        train(
            TrainingRun(
                run_name=trial_name(task, share),
                model_path=str(fetch_model(task.recipe.model, task.recipe.revision)),
                recipe=task.recipe,
                prompt=task.prompt,
                seed=task.seed,
                output_dir=str(scratch),
                checkpoints_per_run=task.train.checkpoints_per_run,
            ),
            _examples(data, share),
            resume_from=resume_from,
            on_checkpoint=judged.on_checkpoint,
            on_step=judged.on_step,
        )


class _JudgedTraining:
    """The hooks of one training: asks at its rungs, and hands results and checkpoints to Tune."""

    def __init__(self, data: TrialData, share: float, grader: Grader, trial: Trial) -> None:
        self._data = data
        self._name = trial_name(data.task, share)
        self._num_examples = sum(map(len, data.rows[share].values()))
        self._grader = grader
        self._trial = trial
        self._earlier_s = trial.seconds
        self._began = time.monotonic()
        self._num_steps = 0
        self._judgement: RungResult | None = None  # not reported yet

    def on_step(self, step: int, num_steps: int, model: Any, tokenizer: Any) -> bool:
        """Judge the student where a rung stands; whether the trainer is to write a checkpoint now."""
        self._num_steps = num_steps
        rung = rung_steps(num_steps, self._data.task.search).get(step)
        if rung is not None:
            self._judge(rung, step, model, tokenizer)
        self._tell(step)
        if step == num_steps:  # Tune ends the trial here
            self._report(step, None)
        return rung is not None and step < num_steps

    def on_checkpoint(self, folder: Path | None, state: dict[str, float]) -> None:
        """Hand a checkpoint to Tune, with the judgement if it was made at a rung."""
        assert folder is not None  # one worker
        self._trial.seconds = self._seconds()
        (folder / _TRIAL_FILE).write_text(json.dumps(dataclasses.asdict(self._trial)))
        self._report(int(state["step"]), folder)

    def _judge(self, rung: int, step: int, model: Any, tokenizer: Any) -> None:
        from mixdistill.training.ask import ask

        task, questions = self._data.task, self._data.questions
        answers = ask(
            model,
            tokenizer,
            [one.question for one in questions],
            prompt=task.prompt,
            sampling=task.sampling,
            at_once=task.search.questions_at_once,
            bfloat16=task.recipe.dtype == "bfloat16",
        )
        num_correct = sum(
            self._grader.grade(one.reference_answer, answer.text, "boxed").correct  # as benchmarks are graded
            for one, answer in zip(questions, answers, strict=True)
        )
        self._judgement = RungResult(rung=rung, steps=step, num_correct=num_correct, num_questions=len(questions))
        self._trial.history.append(self._judgement)
        self._trial.num_answer_tokens += sum(answer.num_tokens for answer in answers)

    def _report(self, step: int, folder: Path | None) -> None:
        """Tune ends the trial in here when halving stops it."""
        metrics: dict[str, Any] = {
            **dataclasses.asdict(self._trial),
            "seconds": self._seconds(),
            "steps": step,
            "num_steps": self._num_steps,
            "num_examples": self._num_examples,
        }
        if self._judgement is not None:
            metrics[ACCURACY] = self._judgement["num_correct"] / self._judgement["num_questions"]
            metrics[RESOURCE] = resource(self._judgement["rung"], self._data.task.search)
            self._judgement = None
        tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder) if folder is not None else None)

    def _tell(self, step: int) -> None:
        last = self._trial.history[-1] if self._trial.history else None
        state: dict[str, float] = {"step": step, "num_steps": self._num_steps}
        if last is not None:
            state |= {"rung": last["rung"], ACCURACY: last["num_correct"] / last["num_questions"]}
        self._data.board.write(self._name, state)

    def _seconds(self) -> float:
        return self._earlier_s + time.monotonic() - self._began


def _examples(data: TrialData, share: float) -> Iterator[Example]:
    context = StageContext(Store(data.store_url), NoProgress())
    sources = MixSources.read(context, data.task.problems, data.task.selected)
    for table in sources.examples(trial_name(data.task, share), data.rows[share]):
        yield from from_table(table, Example)


def _remembered(checkpoint: Path | None) -> Trial:
    return Trial(**json.loads((checkpoint / _TRIAL_FILE).read_text())) if checkpoint else Trial()
