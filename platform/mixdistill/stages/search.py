"""Before the mixes: the best share of one for one student, by asynchronous successive halving with Ray Tune.

In: the selections of all sources and the problem set. Out: `SEARCH_FILE`, one JSON object: the share that is best on validation
problems, which no mix holds, and every candidate's results with intervals; the manifest's figures are the same.

Each candidate is a trial: its student trains by the full recipe on its mix and answers the validation problems at each rung;
ASHA (see `halving`) stops it there when it is worse than the best `1 / reduction_factor` of those that came there before.
Trials run side by side as the cluster has room, each on one worker whatever `train.num_workers` says: the global batch stays
exact by accumulation. Where there is room for one only, the first share trains to its end, and the order of the shares decides
who is compared with whom; that order is the config's.

Tune keeps its state, and the trials their checkpoints, in the unfinished artifact (`TRIALS_FOLDER`): a search that was
killed goes on where it was, finished trials are not trained again, and those that failed begin anew.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import ASHAScheduler

from mixdistill.artifacts import Store
from mixdistill.errors import MixdistillError, StageError
from mixdistill.mixing import draw_mix, validation_rows
from mixdistill.stages.board import Board
from mixdistill.stages.cluster import connect, remote_errors
from mixdistill.stages.halving import Candidate, asked_problems, resource, search_figures
from mixdistill.stages.mix import MixSources
from mixdistill.stages.progress import NoProgress
from mixdistill.stages.rows import SEARCH_FILE, read_problem_chunks
from mixdistill.stages.search_trial import ACCURACY, RESOURCE, SHARE, Question, TrialData, run_trial, trial_name
from mixdistill.stages.tasks import SearchTask, StageContext
from mixdistill.stages.training_failures import cause_of

TRIALS_FOLDER: Final = "trials"

# Two, because Tune's own record of a trial may be one checkpoint behind when it is killed (ray.tune 2.60 writes it out
# after every `num_to_keep` checkpoints of a trial, and the checkpoint that it names must still be there).
_CHECKPOINTS_KEPT: Final = 2

_TUNE_SETTINGS: Final = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # a model may be a relative folder
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a checkpoint between two rungs comes without an accuracy
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # what trials report is read from Tune's own record
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # reasons are told in the end
    "RAY_AIR_NEW_OUTPUT": "0",  # the new one prints a table at verbosity 0 as well (ray 2.60)
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


def search(tasks: Sequence[SearchTask], context: StageContext) -> None:
    """Find the best share of each task; searches share the cluster, or follow each other where `train.max_parallel` is set.

    Raises:
        DataError: a candidate's mix cannot be drawn, or no validation problem is left.
        StageError: all candidates of a search failed, or Ray Tune did; the other searches are finished and kept.
    """
    connect()
    board = Board()
    waiting = list(tasks)
    running: dict[Any, tuple[SearchTask, float]] = {}
    failed: dict[str, MixdistillError] = {}
    while waiting or running:
        while waiting and (not running or waiting[0].train.max_parallel is None):
            task = waiting.pop(0)
            running[_tune.remote(task, context.store.url, board)] = (task, time.monotonic())
            context.progress.update(_label(task), 0, 1, "starting")
        done, _ = ray.wait(list(running), timeout=1.0)
        states = board.read()
        for task, _ in running.values():
            _show(task, states, context)
        for future in done:
            task, began = running.pop(future)
            try:
                with remote_errors(f"the search {task.key.name}"):
                    figures = ray.get(future)
            except MixdistillError as error:
                failed[task.key.name] = error
                context.progress.finish(_label(task), "failed")
            else:
                _finish(task, figures, time.monotonic() - began, context)
    if len(failed) == 1:
        raise next(iter(failed.values()))
    if failed:
        reasons = "\n".join(f"  {name}: {error}" for name, error in failed.items())
        raise StageError(f"{len(failed)} of {len(tasks)} searches failed; mend the cause and run again:\n{reasons}")


def _label(task: SearchTask) -> str:
    return f"search {task.key.name}"


def _show(task: SearchTask, states: dict[str, dict[str, float]], context: StageContext) -> None:
    """All candidates' steps of those that none would take if nobody was stopped, and the best so far."""
    begun = {share: states[name] for share in task.search.shares if (name := trial_name(task, share)) in states}
    if not begun:
        return
    judged = {share: state for share, state in begun.items() if ACCURACY in state}
    note = f"{len(begun)} of {len(task.search.shares)} shares begun"
    if judged:
        share, state = max(judged.items(), key=lambda item: (item[1]["rung"], item[1][ACCURACY]))
        note += f", {share:g} has {state[ACCURACY]:.0%} at rung {state['rung']:.0f}"
    total = max(state["num_steps"] for state in begun.values()) * len(task.search.shares)
    context.progress.update(_label(task), sum(state["step"] for state in begun.values()), total, note)


def _finish(task: SearchTask, figures: dict[str, Any], seconds: float, context: StageContext) -> None:
    artifact = context.artifact(task.key)
    artifact.write_json(SEARCH_FILE, figures)
    statuses = [candidate["status"] for candidate in figures["candidates"]]
    counts = {status: statuses.count(status) for status in sorted(set(statuses))}
    artifact.finish(task.manifest(num_rows=len(statuses), counts=counts, figures=figures, seconds=seconds))
    artifact.remove(TRIALS_FOLDER)
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    context.progress.finish(_label(task), f"best share {figures['best_share']:g} ({told})")


# A process of its own: Tune takes its settings from the environment and Ctrl-C to itself.
@ray.remote(num_cpus=0, max_retries=0, runtime_env={"env_vars": _TUNE_SETTINGS})
def _tune(task: SearchTask, store_url: str, board: Board) -> dict[str, Any]:
    """Run or resume the trials of one search; returns the content of `SEARCH_FILE`."""
    data = _trial_data(task, StageContext(Store(store_url), NoProgress()), board)
    results = _tuner(task, data, f"{store_url}/{task.key}").fit()
    candidates = [_candidate(results[index], data) for index in range(len(results))]
    candidates.sort(key=lambda one: task.search.shares.index(one.share))
    return search_figures(task.mix, task.student, task.search, candidates, len(data.questions))


def _trial_data(task: SearchTask, context: StageContext, board: Board) -> TrialData:
    """Draw every candidate's mix and choose the questions, so that what cannot be drawn is known before anything trains."""
    sources = MixSources.read(context, task.problems, task.selected)
    mixes = {trial_name(task, share): task.search.fractions(share) for share in task.search.shares}
    rows = {}
    for share, (name, fractions) in zip(task.search.shares, mixes.items(), strict=True):
        rows[share] = draw_mix(name, fractions, mixes, sources.sources, sources.problems, task.mixing).rows
    held_out = {
        teacher: sources.sources[teacher].problem[places]
        for teacher, places in validation_rows(sources.sources, sources.problems, task.mixing).items()
    }
    asked = set(asked_problems(held_out, task.search.max_questions, task.mixing.seed))
    problems = (problem for chunk in read_problem_chunks(context, task.problems) for problem in chunk)
    questions = [
        Question(problem.question, problem.reference_answer) for place, problem in enumerate(problems) if place in asked
    ]
    return TrialData(task, context.store.url, board, rows, questions)


def _tuner(task: SearchTask, data: TrialData, artifact_url: str) -> tune.Tuner:
    """A new Tuner, or the one of the run that was killed."""
    train = task.train
    bundle = {"CPU": train.cpus_per_worker}
    if train.gpus_per_worker:
        bundle["GPU"] = train.gpus_per_worker
    if train.accelerator_type:
        bundle[f"accelerator_type:{train.accelerator_type}"] = 0.001  # as Ray asks for a kind of device
    trainable = tune.with_resources(tune.with_parameters(run_trial, data=data), tune.PlacementGroupFactory([bundle]))
    space = {SHARE: tune.grid_search(list(task.search.shares))}
    folder = f"{artifact_url}/{TRIALS_FOLDER}"
    if tune.Tuner.can_restore(folder):
        return tune.Tuner.restore(folder, trainable, resume_unfinished=True, restart_errored=True, param_space=space)
    return tune.Tuner(
        trainable,
        param_space=space,
        tune_config=tune.TuneConfig(
            metric=ACCURACY,
            mode="max",
            scheduler=Halving(
                time_attr=RESOURCE,
                max_t=resource(task.search.num_rungs, task.search),
                grace_period=1,
                reduction_factor=task.search.reduction_factor,
            ),
            max_concurrent_trials=train.max_parallel,
        ),
        run_config=tune.RunConfig(
            # A run that goes on finds this one by its name and place.
            name=TRIALS_FOLDER,
            storage_path=artifact_url,
            failure_config=tune.FailureConfig(max_failures=train.max_failures),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=_CHECKPOINTS_KEPT),
            verbose=0,
        ),
    )


class Halving(ASHAScheduler):
    """ASHA that knows after a kill what trials got before it: Tune restores the trials, but not its scheduler's memory."""

    def on_trial_add(self, tune_controller: Any, trial: TuneTrial) -> None:
        """Take in what a restored trial has reported."""
        super().on_trial_add(tune_controller, trial)
        for judged in trial.last_result.get("history", []):
            accuracy = judged["num_correct"] / judged["num_questions"]
            earlier = {RESOURCE: self._reduction_factor ** (judged["rung"] - 1), ACCURACY: accuracy}
            self.on_trial_result(tune_controller, trial, earlier)


def _candidate(result: Any, data: TrialData) -> Candidate:
    """What Tune knows of a trial that is over."""
    known = result.metrics or {}
    share = result.config[SHARE]
    return Candidate(
        share=share,
        num_examples=sum(map(len, data.rows[share].values())),
        num_steps=known.get("num_steps"),
        steps=known.get("steps", 0),
        history=known.get("history", ()),
        seconds=known.get("seconds", 0.0),
        num_answer_tokens=known.get("num_answer_tokens", 0),
        # Ray's error is of the cause's class too, with a traceback for its message; the cause itself stands in it.
        failure=cause_of(getattr(result.error, "cause", None) or result.error).message if result.error else None,
    )
