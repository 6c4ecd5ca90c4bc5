"""What the report says of each teacher: pass rate by round, what its accepted traces cost, and what it never solved.

In: `TeacherFigures`. Out: the bars of the page's figure, the cells of the tables that page and Markdown share, and the
sentences about one teacher. It counts nothing: the figures come from the generation's manifest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mixdistill.report.data import MixFigures, TeacherFigures, TeacherLevel, TeacherRound
from mixdistill.report.wording import count, percent, plural, printable

_DIFFERENT_PROBLEMS: Final = (
    "A student learns only from problems that its teachers solved. Students of different mixes may therefore differ because "
    "their teachers solved different problems, and not only because the reasoning is written differently."
)
_SAME_PROBLEMS: Final = (
    "A student learns only from problems that its teachers solved. All mixes hold the same ones, those that every source "
    "solved, so that their students differ in who wrote the solutions alone; these problems are easier than the others."
)
_MAX_BARS: Final = 6
"""Rounds that are shown by themselves; late rounds are many, hold few problems and look alike, so they share one bar."""


@dataclass(frozen=True)
class RoundBar:
    """The accepted share of one round's samples, or of several late ones'."""

    label: str
    temperature: str
    width: float  # in percent of the track, which is 100 % of the samples
    text: str
    counts: str


def selection_bias(mixes: Sequence[MixFigures]) -> str:
    """What follows from learning only what was solved, by the protocol that the mixes were drawn by."""
    same = mixes and all((mix.protocol, mix.problems) == ("controlled", "intersection") for mix in mixes)
    return _SAME_PROBLEMS if same else _DIFFERENT_PROBLEMS


def round_bars(teacher: TeacherFigures) -> list[RoundBar]:
    """The bars of one teacher, in the order of the rounds."""
    rounds = [row for row in teacher.rounds if row.asked]
    cut = len(rounds) if len(rounds) <= _MAX_BARS else _MAX_BARS - 1
    shown: list[Sequence[TeacherRound]] = [*([row] for row in rounds[:cut]), *([rounds[cut:]] if rounds[cut:] else [])]
    bars = []
    for joined in shown:
        asked, accepted = sum(row.asked for row in joined), sum(row.accepted for row in joined)
        first, last = joined[0].round + 1, joined[-1].round + 1
        bars.append(
            RoundBar(
                f"round {first}" if first == last else f"rounds {first} to {last}",
                temperatures(joined),
                100 * accepted / asked,
                percent(accepted / asked),
                f"{count(accepted)} of {count(asked)}",
            )
        )
    return bars


def temperatures(rounds: Sequence[TeacherRound]) -> str:
    """The temperature of some rounds, or between which ones it rose."""
    lowest, highest = (f"{pick(row.temperature for row in rounds):.3g}" for pick in (min, max))
    return lowest if lowest == highest else f"{lowest} to {highest}"


def level_rows(teachers: Sequence[TeacherFigures]) -> list[tuple[str, list[TeacherLevel | None]]]:
    """Each difficulty level with every teacher's figures for it; empty when the problems have no levels."""
    found = {row.level for teacher in teachers for row in teacher.levels}
    if found <= {None}:
        return []
    by_teacher = [{row.level: row for row in teacher.levels} for teacher in teachers]
    return [
        ("no level" if level is None else printable(level), [rows.get(level) for rows in by_teacher])
        for level in sorted(found, key=natural_order)
    ]


def level_text(row: TeacherLevel | None) -> tuple[str, str]:
    """The solved share of a level, and its counts."""
    if row is None or not row.problems:
        return "none asked", ""
    return percent(row.solved / row.problems), f"{count(row.solved)} of {count(row.problems)}"


def tokens_per_accepted(teacher: TeacherFigures) -> str:
    """All generated tokens for each accepted trace."""
    return "none accepted" if teacher.tokens_per_accepted is None else count(teacher.tokens_per_accepted)


def saved(teacher: TeacherFigures) -> str | None:
    """What adaptive sampling saved, as an estimate."""
    if teacher.saved_share is None:
        return None
    return f"saved {100 * teacher.saved_share:.0f} % of the tokens of fixed-{teacher.fixed_num_samples} sampling (estimate)"


def sentences(teacher: TeacherFigures) -> list[str]:
    """What a reader needs to know of one teacher beside the table; a figure of nothing is left out."""
    problems = f"{count(teacher.num_problems)} problem{'s' if teacher.num_problems != 1 else ''}"
    said = [f"{count(teacher.num_unsolved)} of {problems} never solved"]
    if teacher.num_solved_alone is not None:
        said.append(f"{count(teacher.num_solved_alone)} solved by no other teacher")
    if (words := saved(teacher)) is not None:
        said.append(words)
    if teacher.num_unasked:
        said.append(f"the token budget was used up before {plural(teacher.num_unasked, 'problem')} got all samples")
    if teacher.num_requests_repeated:
        causes = [
            plural(number, what)
            for number, what in ((teacher.num_engine_deaths, "engine death"), (teacher.num_workers_lost, "lost worker"))
            if number
        ]
        after = f" ({', '.join(causes)})" if causes else ""
        said.append(f"{plural(teacher.num_requests_repeated, 'request')} repeated after a kill{after}")
    if any(teacher.quarantined.values()):
        parts = ", ".join(
            f"{count(number)} {reason.replace('_', ' ')}" for reason, number in teacher.quarantined.items() if number
        )
        said.append(f"{plural(sum(teacher.quarantined.values()), 'request')} quarantined: {parts}")
    return said


def natural_order(level: str | None) -> tuple[bool, list[str | int]]:
    """ "Level 2" before "Level 10"; problems without a level last."""
    parts = re.split(r"(\d+)", level or "")
    return level is None, [int(part) if index % 2 else part for index, part in enumerate(parts)]
