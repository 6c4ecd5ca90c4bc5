"""`mixdistill generate|select|search|mix|train|evaluate|report`: one stage and what it needs."""

from __future__ import annotations

import click

from mixdistill.cli.session import experiment_options, open_session, refuse_what_cannot_fit
from mixdistill.config import load_experiment
from mixdistill.errors import ConfigError


def _run_until(config: str, overrides: tuple[str, ...], *stages: str) -> None:
    """Run up to the last of the stages, and tell what stands in each."""
    from mixdistill.pipeline import run

    experiment = load_experiment(config, overrides)
    refuse_what_cannot_fit(experiment, stages[-1])
    with open_session(experiment) as session:
        result = run(experiment, until=stages[-1], progress=session)
    for task in (task for stage in stages for task in result.graph.of(stage)):
        click.echo(f"{task.key.name:40} {result.graph.artifact(task).url}")
    if "report" in stages:
        for file, url in result.publish_report().items():
            click.echo(f"{file:40} {url}")


@click.command()
@experiment_options
def generate(config: str, overrides: tuple[str, ...]) -> None:
    """Let the teachers of CONFIG write reasoning for its problems."""
    _run_until(config, overrides, "generate")


@click.command()
@experiment_options
def select(config: str, overrides: tuple[str, ...]) -> None:
    """Keep the traces of CONFIG that may teach, and count why the others may not."""
    _run_until(config, overrides, "select")


@click.command()
@experiment_options
def search(config: str, overrides: tuple[str, ...]) -> None:
    """Find the best share of each mix under `search` of CONFIG, for each student."""
    experiment = load_experiment(config, overrides)
    if not experiment.search:
        raise ConfigError(f"{config} has no `search` section, expected a mix whose share is to be found; see docs/mixes.md")
    _run_until(config, overrides, "search")


@click.command()
@experiment_options
def mix(config: str, overrides: tuple[str, ...]) -> None:
    """Build the training mixes of CONFIG."""
    _run_until(config, overrides, "mix")


@click.command()
@experiment_options
def train(config: str, overrides: tuple[str, ...]) -> None:
    """Fine-tune the students of CONFIG on its mixes."""
    _run_until(config, overrides, "train")


@click.command()
@experiment_options
def evaluate(config: str, overrides: tuple[str, ...]) -> None:
    """Measure the students of CONFIG and the untouched models on its benchmarks; ask the judge, if there is one."""
    _run_until(config, overrides, "evaluate", "judge")


@click.command()
@experiment_options
def report(config: str, overrides: tuple[str, ...]) -> None:
    """Write the report of CONFIG."""
    _run_until(config, overrides, "report")
