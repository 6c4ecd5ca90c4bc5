"""What commands that do work share: live progress, a quiet terminal, and a log of everything else.

While a session is open, this process's stdout and stderr go to a log file: Ray, vLLM and their many processes talk
there, below Python, so nothing less than the file descriptors will do. The session keeps the terminal for itself.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from mixdistill.artifacts import Store
from mixdistill.config import Experiment
from mixdistill.errors import MixdistillError, StoreError
from mixdistill.models.cache import cache_root

if TYPE_CHECKING:
    from mixdistill.planning import Machine

PLAIN_INTERVAL_S = 15.0  # In a log, a piece of work that goes on tells so this often.


def experiment_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument and options of every command that takes an experiment: `config`, `overrides`."""
    command = click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one value, e.g. --set problems.limit=100."
    )(command)
    return click.argument("config", type=click.Path(dir_okay=False))(command)


def delivery_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that writes something for others to OUTPUT: `overwrite`, `private`, `as_json`."""
    command = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a list of files.")(
        command
    )
    command = click.option(
        "--private/--public", default=True, show_default=True, help="Of a repository that is made on the hub."
    )(command)
    return click.option("--overwrite", is_flag=True, help="Replace files of the same name where OUTPUT holds files already.")(
        command
    )


def print_table(table: Table) -> None:
    """Print a table on stdout: folded into a terminal, never cut in a pipe."""
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def this_machine(experiment: Experiment) -> Machine | None:
    """This machine, if the experiment's runs take place on it; None: on a cluster, whose machines nobody knows here."""
    if os.environ.get("RAY_ADDRESS") or "://" in experiment.store:
        return None
    import psutil

    from mixdistill.cli.checks.machine import CGROUP_MEMBERSHIP, CGROUP_ROOT, GIB, cgroup_memory_limits, num_cores
    from mixdistill.planning import Machine

    memory = min([psutil.virtual_memory().total, *cgroup_memory_limits(CGROUP_ROOT, CGROUP_MEMBERSHIP)])
    return Machine(memory / GIB, max(1, int(num_cores(CGROUP_ROOT, CGROUP_MEMBERSHIP))))


def refuse_what_cannot_fit(experiment: Experiment, until: str = "report") -> None:
    """Look, before anything starts, whether all that is left to train fits into its workers' memory.

    Raises:
        ConfigError: it does not; the numbers are told.
    """
    from mixdistill.pipeline import build_graph
    from mixdistill.planning import check_fit

    check_fit(build_graph(experiment), until=until, machine=this_machine(experiment))


class Session:
    """Progress on the terminal; implements `stages.progress.Progress`."""

    def __init__(self, terminal: Console) -> None:
        self.terminal = terminal
        self._started = time.monotonic()
        self._bars: dict[str, TaskID] = {}
        self._told: dict[str, float] = {}
        self._live = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}", markup=False, style="dim"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=terminal,
            transient=True,
            # They go to the log; rich would bring what Python prints back to the terminal.
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Session:
        if self.terminal.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.terminal.is_terminal:  # stopping what never started would still print an empty line
            self._live.stop()
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._line(" ", "stopping: the engines and the cluster take a few seconds to end")

    def update(self, label: str, done: float, total: float, note: str = "") -> None:
        """Show how far a piece of work is."""
        if self.terminal.is_terminal:
            if label not in self._bars:
                self._bars[label] = self._live.add_task(label, total=total, note=note)
            self._live.update(self._bars[label], completed=done, total=total, note=note)
        elif time.monotonic() - self._told.get(label, -PLAIN_INTERVAL_S) >= PLAIN_INTERVAL_S:
            self._told[label] = time.monotonic()
            self._line(" ", f"{label}: {done:.0f} of {total:.0f}" + (f", {note}" if note else ""))

    def finish(self, label: str, note: str = "") -> None:
        """Say that a piece of work is done."""
        if label in self._bars:
            self._live.remove_task(self._bars.pop(label))
        self._line("✓", label + (f": {note}" if note else ""))

    def _line(self, mark: str, text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        self.terminal.print(f"{mark} {minutes:2d}:{seconds:02d}  {text}", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def open_session(experiment: Experiment) -> Iterator[Session]:
    """Open a session that logs beside the experiment's artifacts.

    Raises:
        MixdistillError: as the work inside did; its message then also names the log.
    """
    log = _log_file(experiment)
    terminal_fd = os.dup(sys.stderr.fileno())
    kept = [(stream, os.dup(stream.fileno())) for stream in (sys.stdout, sys.stderr)]
    with os.fdopen(terminal_fd, "w") as terminal_stream, log.open("ab") as log_stream:
        try:
            for stream, _ in kept:
                stream.flush()
                os.dup2(log_stream.fileno(), stream.fileno())
            with Session(Console(file=terminal_stream)) as session:
                yield session
        except MixdistillError as error:
            if log.stat().st_size:
                error.args = (f"{error}\n(what Ray and the engines said: {log})", *error.args[1:])
            raise
        finally:
            _disconnect()
            for stream, fd in kept:
                stream.flush()
                os.dup2(fd, stream.fileno())
                os.close(fd)
    if not log.stat().st_size:
        log.unlink()


def _disconnect() -> None:
    """Leave the cluster while its farewells still go to the log."""
    cluster = sys.modules.get("mixdistill.stages.cluster")
    if cluster is not None:
        cluster.disconnect()


def _log_file(experiment: Experiment) -> Path:
    url = Store(experiment.store).url
    folder = cache_root() / "logs" / experiment.name if "://" in url else Path(url) / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"the store {url} cannot be written ({error}); choose another `store:`") from error
    return folder / f"{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}.log"
