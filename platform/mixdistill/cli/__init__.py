"""The command line: one click group, one file a command.

The group knows its commands by name, place and one line of help, and imports a command's file when that command is asked
for: `mixdistill --help` loads nothing heavy. A new command is one file and one line in `COMMANDS`.

Errors end here. One that a user can mend (`MixdistillError`) is printed without a traceback and sets the exit code: 1 failed,
2 wrong usage or config. Anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
import importlib
import traceback
from typing import Any, Final, NamedTuple

import click

from mixdistill import __version__
from mixdistill.errors import MixdistillError

EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it


class CommandEntry(NamedTuple):
    """Where a command lives, and what it does in one line."""

    target: str  # "module:attribute" of a click command
    help: str


COMMANDS: Final = {
    "run": CommandEntry("mixdistill.cli.run:command", "Run what is missing of an experiment, from problems to the report."),
    "plan": CommandEntry("mixdistill.cli.plan:command", "Show each stage, what is reused and what the rest will cost."),
    "generate": CommandEntry("mixdistill.cli.stage:generate", "Let the teachers write reasoning for the problems."),
    "select": CommandEntry("mixdistill.cli.stage:select", "Keep the traces that may teach, count why the others may not."),
    "search": CommandEntry("mixdistill.cli.stage:search", "Find the best share of a mix for each student."),
    "mix": CommandEntry("mixdistill.cli.stage:mix", "Build the training mixes."),
    "train": CommandEntry("mixdistill.cli.stage:train", "Fine-tune the students on the mixes."),
    "evaluate": CommandEntry("mixdistill.cli.stage:evaluate", "Measure the students and the untouched models."),
    "report": CommandEntry("mixdistill.cli.stage:report", "Write the report of an experiment."),
    "status": CommandEntry("mixdistill.cli.status:command", "List an experiment's artifacts and their state."),
    "export": CommandEntry("mixdistill.cli.export:command", "Write an experiment's traces as a data set, with its data card."),
    "export-student": CommandEntry(
        "mixdistill.cli.export_student:command", "Write a finished student for others to load, with its model card."
    ),
    "grade": CommandEntry("mixdistill.cli.grade:command", "Grade a file of answers against their reference answers."),
    "doctor": CommandEntry("mixdistill.cli.doctor:command", "Say what this machine can do and how to mend what is missing."),
    "serve": CommandEntry("mixdistill.cli.serve:command", "Serve an experiment's students."),
    "submit": CommandEntry("mixdistill.cli.submit:command", "Run an experiment on a Ray cluster."),
}
"""In the order in which a person meets them."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for, and where errors become messages and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the registry's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Like click's own, and an unknown command is answered with the nearest known one."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], COMMANDS, n=1, cutoff=0.5)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command list of --help, from the registry alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let --debug stand anywhere, for it is thought of after a command failed; not behind `--`, which ends options."""
        end = args.index("--") if "--" in args else len(args)
        if "--debug" in args[:end]:
            args = ["--debug", *(word for word in args[:end] if word != "--debug"), *args[end:]]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; the only place where errors are turned into messages."""
        try:
            return super().invoke(ctx)
        except MixdistillError as error:
            if ctx.params["debug"]:
                traceback.print_exc()
            else:
                click.echo(f"{click.style('error:', fg='red', bold=True)} {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("\ninterrupted: what is finished is kept, the same command goes on from there", err=True)
            ctx.exit(EXIT_INTERRUPTED)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="mixdistill")
@click.option("--debug", is_flag=True, help="Show the traceback of an error; may stand anywhere in the command.")
def main(debug: bool) -> None:
    """Distil reasoning into small language models with mixtures of long and short chains of thought.

    One YAML file is one experiment. Begin with `mixdistill run configs/demo.yaml`.
    """
