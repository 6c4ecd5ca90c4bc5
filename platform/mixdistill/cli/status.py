"""`mixdistill status`: an experiment's artifacts and their state."""

from __future__ import annotations

import json
from typing import Any

import click

from mixdistill.cli.session import experiment_options, print_table
from mixdistill.config import load_experiment


@click.command()
@experiment_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
def command(config: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """List the artifacts of the experiment CONFIG: finished, unfinished, failed or missing.

    An unfinished artifact has begun and goes on from where it stopped when the experiment is run again; so does a student
    that failed, once its reason is mended.
    """
    from mixdistill.pipeline import build_graph
    from mixdistill.stages.training_failures import read_failure

    experiment = load_experiment(config, overrides)
    graph = build_graph(experiment)
    rows: list[dict[str, Any]] = []
    for task in graph.tasks:
        artifact = graph.artifact(task)
        manifest = artifact.manifest()
        state = graph.state(task, manifest)
        failure = read_failure(artifact) if task.key.stage == "train" and state == "unfinished" else None
        rows.append(
            {
                "stage": task.key.stage,
                "name": task.key.name,
                "fingerprint": task.key.fingerprint[:12],
                "state": "failed" if failure else state,
                "reason": str(failure) if failure else None,
                "rows": manifest.num_rows if manifest else None,
                "seconds": manifest.seconds if manifest else None,
                "path": artifact.url,
            }
        )
    if as_json:
        click.echo(json.dumps({"experiment": experiment.name, "store": graph.store.url, "artifacts": rows}, indent=2))
        return
    _show(experiment.name, graph.store.url, rows)


def _show(name: str, store: str, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    styles = {"finished": "green", "unfinished": "yellow", "failed": "red", "missing": "dim"}
    table = Table(box=None, pad_edge=False)
    for column in ("stage", "name", "fingerprint", "state", "rows", "seconds"):
        table.add_column(column, justify="right" if column in ("rows", "seconds") else "left")
    for row in rows:
        table.add_row(
            row["stage"],
            row["name"],
            row["fingerprint"],
            f"[{styles[row['state']]}]{row['state']}[/]",
            "" if row["rows"] is None else f"{row['rows']:,}",
            "" if row["seconds"] is None else f"{row['seconds']:,.1f}",
        )
    print_table(table)
    for row in rows:
        if row["reason"]:
            click.echo(f"{row['name']} failed: {row['reason']}")
    num_finished = sum(row["state"] == "finished" for row in rows)
    click.echo(f"{name}: {num_finished} of {len(rows)} artifacts finished in {store}")
