"""`mixdistill plan`: what would run, what is reused, what it costs, and whether it fits. Needs no GPU and no network.

Starts nothing but, with --calibrate, a few training steps. Ends with 2 when a run cannot fit.
"""

from __future__ import annotations

import dataclasses
import json

import click

from mixdistill.cli.session import experiment_options, print_table, this_machine
from mixdistill.config import load_experiment


@click.command()
@experiment_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
@click.option("--calibrate", "calibrated", is_flag=True, help="Train a few steps of each recipe here, and use what they took.")
def command(config: str, overrides: tuple[str, ...], as_json: bool, calibrated: bool) -> None:
    """Show each stage of the experiment CONFIG: what is reused, what is new, and what it costs at most.

    Tokens are upper bounds; times are rough (a factor of a few) unless they are marked as measured. Memory is per worker:
    of an engine its weights, of a student's training all of it, at the longest row; ~ marks a model whose shape is guessed from
    the size in its name. A training that cannot fit is named with its numbers, and the exit status is then 2.
    """
    from mixdistill.pipeline import build_graph
    from mixdistill.planning import PlanRow, Trial, calibrate, plan, refuse_misfits

    experiment = load_experiment(config, overrides)
    graph = build_graph(experiment)

    def told(trial: Trial) -> None:
        click.echo(
            f"measured {trial.name}: {trial.tokens_per_s:,.0f} tokens/s at {trial.row_tokens:,} tokens a row, on this machine",
            err=as_json,
        )

    rates = calibrate(graph, told) if calibrated else None
    rows = plan(graph, machine=this_machine(experiment), rates=rates)
    num_reused = sum(row.state == "finished" for row in rows)
    tokens = {
        stage: sum(row.max_tokens or 0 for row in rows if row.stage == stage)
        for stage in ("generate", "search", "train", "evaluate", "judge")
    }
    hours = {stage: sum(row.max_device_hours or 0 for row in rows if row.stage == stage) for stage in tokens if tokens[stage]}
    if as_json:
        document = {
            "experiment": experiment.name,
            "store": graph.store.url,
            "num_artifacts": len(rows),
            "num_reused": num_reused,
            "max_tokens": tokens,
            "max_device_hours": {stage: round(number, 2) for stage, number in hours.items()},
            "artifacts": [dataclasses.asdict(row) for row in rows],
        }
        click.echo(json.dumps(document, indent=2))
        refuse_misfits(graph, rows)
        return

    from rich.table import Table

    def cells(row: PlanRow) -> list[str]:
        state = "reuse" if row.state == "finished" else "go on" if row.state == "unfinished" else "new"
        return [
            row.stage,
            row.name,
            "does not fit" if row.fits is False else state,
            "" if row.max_tokens is None else f"{row.max_tokens:,}",
            "" if row.max_seconds is None else duration(row.max_seconds) + (" measured" if row.measured else ""),
            "" if row.memory_gib is None else f"{'~' if row.estimated else ''}{row.memory_gib:.1f} GiB",
        ]

    table = Table(box=None, pad_edge=False)
    for column in ("stage", "name", "", "tokens, at most", "time, at most", "memory"):
        table.add_column(column, justify="left" if column in ("stage", "name", "") else "right")
    for row in rows:
        table.add_row(*cells(row))
    print_table(table)
    if hours:
        device = "GPU" if experiment.train.gpus_per_worker else "CPU worker"
        parts = ", ".join(f"{stage} {number:,.1f}" for stage, number in hours.items())
        click.echo(f"hours of a {device}, at most: {parts}; {sum(hours.values()):,.1f} in all")
    click.echo(f"{experiment.name}: {num_reused} of {len(rows)} artifacts are reused from {graph.store.url}")
    refuse_misfits(graph, rows)


def duration(seconds: float) -> str:
    """Seconds in the unit that a person would use."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.0f} h"
