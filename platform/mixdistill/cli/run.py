"""`mixdistill run`: what is missing of an experiment, from problems to the report."""

from __future__ import annotations

import click

from mixdistill.cli.session import experiment_options, open_session, refuse_what_cannot_fit
from mixdistill.config import load_experiment


@click.command()
@experiment_options
def command(config: str, overrides: tuple[str, ...]) -> None:
    """Run what is missing of the experiment CONFIG, from problems to the report.

    What is finished is reused; what was interrupted goes on from where it stopped.
    """
    from mixdistill.pipeline import run

    experiment = load_experiment(config, overrides)
    refuse_what_cannot_fit(experiment)
    with open_session(experiment) as session:
        result = run(experiment, progress=session)
    files = result.publish_report()
    click.echo(result.terminal_report())
    if not result.num_made:
        click.echo(f"Nothing to do: all {result.num_reused} artifacts are finished.")
    for file, url in files.items():
        click.echo(f"{file:12} {url}")
