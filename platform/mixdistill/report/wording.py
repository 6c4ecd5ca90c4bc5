"""Numbers and names as text, the same in every format; model text made safe to show."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from mixdistill.config.experiment import UNTOUCHED_MIX
from mixdistill.report.data import TrainingFigures

UNTOUCHED: Final = "untouched"
KIND_LABELS: Final[Mapping[str, str]] = {
    "long": "long - short",
    "large": "large - small",
    "mix_long": "mix_long - short",
    "mix_large": "mix_large - small",
}
TONE_MARKS: Final[Mapping[str, str]] = {"better": "▲", "worse": "▼", "mixed": "◆", "unclear": "○"}

_TOO_LONG_CHARS: Final = 6000
"""A response beyond this is cut in the page (about 1,500 tokens): a page of 16k-token responses would not load on a phone."""

# C0 and C1 controls but tab and newline; surrogates, which UTF-8 cannot write; bidirectional overrides and isolates,
# which can make the page around a response read backwards (Unicode TR 36; CVE-2021-42574).
_UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]")

_HOLDS_TOGETHER: Final = re.compile(r"(?<=\d) (?=%|points)|(?<=\bp) (?=[<=])|(?<=[<=]) (?=\d)|(?<=\d,) (?=[-+\d.]+\])")


def mix_label(mix: str) -> str:
    """The mix as readers know it."""
    return UNTOUCHED if mix == UNTOUCHED_MIX else mix


def run_label(row: Mapping[str, Any], rows: list[Mapping[str, Any]]) -> str:
    """The shortest name that tells this student run from the others: the mix, with student and seed where they differ."""
    label = mix_label(row["mix"])
    if len({(other["student"], other["base_model"]) for other in rows}) > 1:
        label = f"{row['student']} {label}"
    if len({other["seed"] for other in rows if other["mix"] == row["mix"] and other["student"] == row["student"]}) > 1:
        label = f"{label} (seed {row['seed']})"
    return label


def percent(fraction: float) -> str:
    """0.313 -> "31.3 %"."""
    return f"{100 * fraction:.1f} %"


def points(fraction: float) -> str:
    """A difference of fractions in percentage points, with its sign; never a negative zero."""
    rounded = round(100 * fraction, 1)
    return f"{rounded:+.1f}" if rounded else "0.0"


def interval(low: float, high: float, *, signed: bool = False) -> str:
    """The interval in percent, or in signed points."""
    return f"[{points(low)}, {points(high)}]" if signed else f"[{100 * low:.1f}, {100 * high:.1f}]"


def p_value(value: float) -> str:
    """Two significant digits, as far down as a sampled p-value can tell."""
    return "< 0.001" if value < 0.001 else f"{value:.2g}"


def count(number: float) -> str:
    """12345 -> "12,345"."""
    return f"{number:,.0f}"


def plural(number: int, what: str) -> str:
    """1 -> "1 example", 2 -> "2 examples"."""
    return f"{count(number)} {what}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds as the two largest units: "42 s", "3 min 5 s", "2 h 10 min"."""
    if not math.isfinite(seconds):
        return "unknown"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def dropped(student: TrainingFigures) -> str:
    """Which examples did not teach, by reason, and how many lost their end."""
    parts = [f"{count(number)} {reason.replace('_', ' ')}" for reason, number in student.dropped.items() if number]
    return ", ".join([*parts, *([f"{count(student.num_cut)} cut"] if student.num_cut else [])]) or "none"


def printable(text: str) -> str:
    """Model text with the characters that break a page or a terminal shown as the replacement character."""
    return _UNSAFE.sub("\ufffd", text)


def unbroken(text: str) -> str:
    """The text with no line break inside "p = 0.02", "31.3 %", "-30.0 points" or an interval."""
    return _HOLDS_TOGETHER.sub("\u00a0", text)


def shortened(text: str) -> str:
    """`printable` text, cut where it is too long to read in a page, with the number of characters left out."""
    text = printable(text)
    if len(text) <= _TOO_LONG_CHARS:
        return text
    return f"{text[:_TOO_LONG_CHARS]}\n[... {len(text) - _TOO_LONG_CHARS:,} more characters ...]"
