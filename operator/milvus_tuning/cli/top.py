"""What is hot: QueryNodes, collections and segments by what searching them costs, as status has it. An estimate."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile
from typing import Final, TypeAlias

from milvus_tuning.api import HotSegmentsMode
from milvus_tuning.cli.fields import Body, at, entries, mapping, moment, name, number, text, words
from milvus_tuning.cli.layout import Fact, facts, grouped, hanging, table, when
from milvus_tuning.cli.plans import NOT_SEEN
from milvus_tuning.errors import ConfigError

NODES, COLLECTIONS, SEGMENTS = SUBJECTS = ("nodes", "collections", "segments")
UNBROKEN: Final = 10_000  # columns: a row of a table stays one line, as kubectl leaves it
ABSENT: Final = "-"
Row: TypeAlias = tuple[str, ...]

_HEADERS: dict[str, Row] = {
    NODES: ("POD", "COMPUTATION %", "HEAT %", "CAPACITY %", "SEGMENTS", "ROWS", "GROUP"),
    COLLECTIONS: ("COLLECTION", "QPS", "CORES", "SHARE %", "REPLICAS", "SEGMENTS", "BUSIEST"),
    SEGMENTS: ("SEGMENT", "COLLECTION", "POD", "ROWS", "CORES"),
}
_POD_COLUMN = {NODES: 0, COLLECTIONS: 6, SEGMENTS: 2}


def document(policy: Body, subject: str) -> dict[str, object]:
    """What `top -o json` says: fields as in status, the hottest first."""
    return {
        "name": name(policy),
        "estimate": True,
        "errorPercent": at(policy, "status", "heat", "errorPercent"),
        "skewPercent": at(policy, "status", "heat", "skewPercent"),
        "dataTime": at(policy, "status", "observed", "dataTime"),
        "gaps": at(policy, "status", "heat", "gaps") or [],
        subject: _hottest(policy, subject),
    }


def render(policy: Body, subject: str, now: datetime, width: int) -> list[str]:
    """One table for people, below what its numbers are worth."""
    skew = number(policy, "status", "heat", "skewPercent")
    data = when(moment(policy, "status", "observed", "dataTime"), now)
    return [
        *hanging(
            f"{_place(policy)}   {worth(policy)}{f'; data of {data}' if data else ''}", first="", rest="  ", width=width
        ),
        *facts(
            [
                Fact(label="skew", text="" if skew is None else f"the hottest QueryNode is {skew} % above the mean"),
                Fact(label="missing", text="; ".join(words(policy, "status", "heat", "gaps"))),
            ],
            width=width,
        ),
        "",
        *heat_table(policy, subject, width),
        *_rest(policy, subject),
    ]


def heat_table(policy: Body, subject: str, width: int, *, most: int | None = None) -> list[str]:
    """The hottest of the subject, at most so many; where a row is too wide, pods by the ends of their names."""
    headers, rows, column = _HEADERS[subject], _rows(policy, subject)[:most], _POD_COLUMN[subject]
    lines = table(headers, rows, width=UNBROKEN)
    shared = _shared([row[column] for row in rows if row[column] != ABSENT])
    if not shared or max(map(len, lines)) <= width:
        return lines
    cut = [(*row[:column], row[column].replace(shared, "*", 1), *row[column + 1 :]) for row in rows]
    note = hanging(f"* stands for {shared}", first="", rest="", width=width)
    return [*note, *table(headers, cut, width=UNBROKEN)]


def worth(policy: Body) -> str:
    """What the numbers are worth, in words."""
    error = number(policy, "status", "heat", "errorPercent")
    if error is None:
        return "heat is an estimate; how far from the CPU measured it is, is not known"
    return f"heat is an estimate, on the mean within {error} % of the CPU measured"


def has_heat(policy: Body) -> bool:
    """Whether there is an estimate to show."""
    heat = mapping(policy, "status", "heat")
    return bool(entries(heat, "collections") or entries(heat, "segments"))


def require_heat(policy: Body) -> None:
    """Raise ConfigError where there is no estimate, with what is in the way and how to have one."""
    if has_heat(policy):
        return
    place, gaps = _place(policy), words(policy, "status", "heat", "gaps")
    if text(policy, "spec", "loadBalancing", "hotSegments", "mode") in ("", HotSegmentsMode.OFF):
        line = "declare spec.loadBalancing.hotSegments.mode: Observe, which shows heat and moves nothing"
        raise ConfigError(f"the heat of {place} is not estimated: {line}; it needs spec.connections.prometheus")
    if gaps:
        raise ConfigError(f"the heat of {place} cannot be estimated: {'; '.join(gaps)}")
    if not mapping(policy, "status"):
        raise ConfigError(f"{place} was {NOT_SEEN}")
    reason, message = (text(policy, "status", "decision", field) for field in ("reason", "message"))
    raise ConfigError(f"the heat of {place} is not estimated yet; the last decision was {reason}: {message}")


def the_only(policies: Sequence[Body], namespace: str) -> Body:
    """The policy that is meant where none is named. Raises ConfigError where there is none, or a choice."""
    if not policies:
        raise ConfigError(f"no MilvusTuning in namespace {namespace}")
    if len(policies) > 1:
        raise ConfigError(f"which one? MilvusTunings in namespace {namespace}: {', '.join(map(name, policies))}")
    return policies[0]


def _place(policy: Body) -> str:
    return f"{text(policy, 'metadata', 'namespace')}/{name(policy)}".removeprefix("/")


def _hottest(policy: Body, subject: str) -> list[Body]:
    """The entries of status, sorted by heat; those without any last."""
    if subject == NODES:
        found = entries(policy, "status", "observed", "queryNodes")
        return sorted(found, key=lambda one: (-_or_less(one, "heatPercent"), text(one, "pod")))
    found = entries(policy, "status", "heat", subject)
    return sorted(found, key=lambda one: -_or_less(one, "coresThousandths"))


def _or_less(entry: Body, field: str) -> int:
    found = number(entry, field)
    return -1 if found is None else found


def _rows(policy: Body, subject: str) -> list[Row]:
    row = {NODES: _node, COLLECTIONS: _collection, SEGMENTS: _segment}[subject]
    return [row(entry) for entry in _hottest(policy, subject)]


def _node(entry: Body) -> Row:
    fields = ("computationPercent", "heatPercent", "capacityPercent", "segments", "rows")
    counts = (_count(entry, field) for field in fields)
    return (text(entry, "pod") or ABSENT, *counts, text(entry, "resourceGroups") or ABSENT)


def _collection(entry: Body) -> Row:
    return (
        f"{text(entry, 'database')}.{text(entry, 'name')}",
        _count(entry, "searchesPerSecond"),
        _cores(entry),
        *(_count(entry, field) for field in ("sharePercent", "replicas", "segments")),
        text(entry, "busiestPod") or ABSENT,
    )


def _segment(entry: Body) -> Row:
    collection = f"{text(entry, 'database')}.{text(entry, 'collection')}".removeprefix(".")
    return (text(entry, "segment"), collection, text(entry, "pod") or ABSENT, _count(entry, "rows"), _cores(entry))


def _count(entry: Body, field: str) -> str:
    found = number(entry, field)
    return ABSENT if found is None else grouped(found)


def _cores(entry: Body) -> str:
    found = number(entry, "coresThousandths")
    return ABSENT if found is None else f"{found / 1000:.3f}"


def _shared(names: Sequence[str]) -> str:
    """The words before the last one that all names begin with: "rag-querynode-a", "rag-querynode-b": rag-querynode."""
    columns = zip(*(name.split("-")[:-1] for name in names), strict=False)
    return "-".join(words[0] for words in takewhile(lambda words: len(set(words)) == 1, columns))


def _rest(policy: Body, subject: str) -> list[str]:
    """How many there are besides those that status has room for."""
    shown, total = len(_hottest(policy, subject)), _total(policy, subject)
    return ["", f"the {shown} hottest of {grouped(total)}"] if total > shown else []


def _total(policy: Body, subject: str) -> int:
    """How many there are, as far as status tells; copies of a segment count each."""
    observed = mapping(policy, "status", "observed")
    if subject == NODES:
        return number(observed, "servingCount") or 0
    if subject == COLLECTIONS:
        return number(observed, "collections") or 0
    return sum(number(node, "segments") or 0 for node in entries(observed, "queryNodes"))
