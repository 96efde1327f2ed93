"""What was done for a policy, and what it was good for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from milvus_tuning.cli import steps as step_words
from milvus_tuning.cli.fields import Body, at, entries, mapping, moment, name, number, text
from milvus_tuning.cli.layout import Fact, age, facts, grouped, hanging, plural, table
from milvus_tuning.cli.plans import NOT_SEEN, heading
from milvus_tuning.status import format_time

SECONDS_PER_MINUTE = 60
SECONDS_PER_HOUR = 3600


def document(policy: Body) -> dict[str, object]:
    """What `history -o json` says; the newest plan is the last one, as in the object."""
    status = mapping(policy, "status")
    return {"name": name(policy), "history": at(status, "history") or [], "benefit": at(status, "benefit")}


def render(policy: Body, now: datetime, width: int) -> list[str]:
    """Finished plans, newest first, each with what was measured; and the account of benefits."""
    finished = entries(policy, "status", "history")[::-1]
    if not mapping(policy, "status"):
        return [heading(policy)]
    lines = _plans(finished, now, width) if finished else ["No plan has been carried out yet."]
    return [heading(policy), "", *lines, "", *_benefit(mapping(policy, "status", "benefit"), now, width)]


def _plans(finished: list[Body], now: datetime, width: int) -> list[str]:
    rows = [
        (
            text(entry, "id") or "-",
            age(moment(entry, "startedAt"), now),
            text(entry, "risk") or "-",
            text(entry, "outcome") or "-",
            text(entry, "verdict") or "-",
            step_words.in_short(entries(entry, "steps")) or text(entry, "message"),
        )
        for entry in finished
    ]
    header, *lines = _rows_apart(rows, width)
    found = [*header]
    for own, entry in zip(lines, finished, strict=True):
        found += [*own, *_details(entry, width)]
    return found


def _rows_apart(rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """The lines of the header and of each row, all with the same columns."""
    headers = ("PLAN", "STARTED", "RISK", "OUTCOME", "VERDICT", "CHANGE")
    whole = table(headers, rows, width=width)
    starts = [index for index, line in enumerate(whole) if line and not line.startswith(" ")]
    return [whole[start:end] for start, end in zip(starts, [*starts[1:], len(whole)], strict=True)]


def _details(entry: Body, width: int) -> list[str]:
    found = [
        Fact(label="before", text=text(entry, "measuredBefore")),
        Fact(label="after", text=text(entry, "measuredAfter")),
        Fact(label="verdict", text=text(entry, "verdictMessage")),
        Fact(label="outcome", text=text(entry, "outcomeMessage")),
    ]
    return facts(found, width=width, indent="    ")


def _benefit(benefit: Body, now: datetime, width: int) -> list[str]:
    if not benefit:
        return [f"Benefit: {NOT_SEEN}."]
    since = moment(benefit, "since")
    begun = f"Since {format_time(since)} ({age(since, now)}):" if since else "So far:"
    sentences = (_objective(benefit), _node_hours(benefit), _counts(benefit))
    indent = "  "
    return [begun, *(line for part in sentences for line in hanging(part, first=indent, rest=indent, width=width))]


def _objective(benefit: Body) -> str:
    met, measured = number(benefit, "objectiveSecondsMet") or 0, number(benefit, "objectiveSecondsMeasured") or 0
    if measured < SECONDS_PER_MINUTE:
        return "Objective: not measured (none declared, or no searches)."
    # Rounded down: 100 % is said of nothing less.
    minutes = plural(measured // SECONDS_PER_MINUTE, "measured minute")
    return f"Objective met in {100 * met // measured} % of {minutes}."


def _node_hours(benefit: Body) -> str:
    used, full = number(benefit, "nodeSeconds") or 0, number(benefit, "nodeSecondsAtMaximum") or 0
    hours = f"{used / SECONDS_PER_HOUR:,.1f} node-hours"
    if not full:
        return f"{hours} of QueryNodes."
    return f"{hours} of QueryNodes instead of {full / SECONDS_PER_HOUR:,.1f} at the maximum."


def _counts(benefit: Body) -> str:
    kept, undone = number(benefit, "plansKept") or 0, number(benefit, "plansRolledBack") or 0
    moved, returned = number(benefit, "movesKept") or 0, number(benefit, "movesUndone") or 0
    moves = f"; {plural(moved, 'segment move')} kept, {grouped(returned)} undone" if moved or returned else ""
    return f"{plural(kept, 'plan')} kept, {grouped(undone)} rolled back{moves}."
