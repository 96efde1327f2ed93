"""Text for a terminal: aligned columns, hanging indents, ages and sizes. Plain characters, no colours."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from milvus_tuning.status import format_time

GAP = "   "
NARROWEST = 60
WIDEST = 160  # longer lines are hard to read
LEAST_LAST_COLUMN = 30
"""With less room than this the last column of a table goes below its row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """A labelled paragraph; with `verbatim` its lines are kept as they are, for copying."""

    label: str
    text: str
    verbatim: bool = False


def fit(columns: int) -> int:
    """The width to write for, on a terminal of so many columns."""
    return max(NARROWEST, min(WIDEST, columns))


def hanging(paragraph: str, *, first: str, rest: str, width: int) -> list[str]:
    """A paragraph with its own indent for the first line; words are never broken."""
    lines = textwrap.wrap(
        paragraph,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.rstrip() for line in lines] or [first.rstrip()]


def facts(found: Iterable[Fact], *, width: int, indent: str = "  ") -> list[str]:
    """Labelled paragraphs, one below the other; those without text are left out, an empty label goes on the former."""
    shown = [fact for fact in found if fact.text]
    column = max((len(fact.label) for fact in shown), default=0)
    lines: list[str] = []
    for fact in shown:
        first, rest = f"{indent}{fact.label:{column}}{GAP}", indent + " " * column + GAP
        if fact.verbatim:
            lines += [f"{first}{fact.text}"]
        else:
            lines += hanging(fact.text, first=first, rest=rest, width=width)
    return lines


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, width: int, indent: str = "") -> list[str]:
    """Aligned columns. The last one is wrapped; where there is no room for it, it follows below its row."""
    columns = [max(len(cell) for cell in cells) for cells in zip(headers, *rows, strict=True)]
    ahead = len(indent) + sum(columns[:-1]) + len(GAP) * (len(columns) - 1)
    below = width - ahead < min(LEAST_LAST_COLUMN, columns[-1])
    lines: list[str] = []
    for row in (headers, *rows):
        cells = [f"{cell:{column}}" for cell, column in zip(row, columns, strict=True)][:-1]
        first = indent + "".join(cell + GAP for cell in cells)
        if below:
            own = hanging(row[-1], first=f"{indent}    ", rest=f"{indent}    ", width=width) if row[-1] else []
            lines += [first.rstrip(), *own]
        else:
            lines += hanging(row[-1], first=first, rest=" " * ahead, width=width)
    return lines


def age(since: datetime | None, now: datetime) -> str:
    """How long ago (or ahead), as kubectl says it: "45s", "3m", "5h", "2d"; "unknown" where there is no time."""
    if since is None:
        return "unknown"
    seconds = int(abs((now - since).total_seconds()))
    for unit, size, until in (("s", 1, 120), ("m", 60, 7200), ("h", 3600, 172_800)):
        if seconds < until:
            return f"{seconds // size}{unit}"
    return f"{seconds // 86_400}d"


def when(moment: datetime | None, now: datetime) -> str:
    """A time as age and in UTC: "3m ago (2026-01-05T11:57:00Z)", "in 52m (...)"."""
    if moment is None:
        return ""
    distance = f"in {age(moment, now)}" if moment > now else f"{age(moment, now)} ago"
    return f"{distance} ({format_time(moment)})"


def grouped(count: int) -> str:
    """48000 -> "48,000"."""
    return f"{count:,}"


def plural(count: int, word: str) -> str:
    """1 plan, 2 plans."""
    return f"{grouped(count)} {word}" if count == 1 else f"{grouped(count)} {word}s"
