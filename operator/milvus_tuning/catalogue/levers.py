"""Intents of the policy and the real Milvus keys that carry them, per exact server version.

A lever is one row of `levers.yaml`: the key, how the intent's number becomes the key's text, whether a running
component reads it again, and the evidence for that. An intent that has no lever in a version gets a `NoLever` with
the reason and what comes nearest; nothing is ever mapped by the likeness of its name, and no dead key is written.

Worked example: balanceIntervalSeconds 60 on 2.5.27 is `queryCoord.autoBalanceInterval` = "60000", live; on 2.3.5 it
is `queryCoord.checkChannelInterval` = "60000", in force after a restart of the coordinator only.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from milvus_tuning.catalogue.registry import Evidence
from milvus_tuning.catalogue.version import ServerVersion, parse_version


class Intent(enum.StrEnum):
    """The fields of the policy that a Milvus key carries; the value is the path of the field below spec.

    A field that two keys carry together has two intents: the second says in brackets what it is for.
    """

    BALANCE_INTERVAL = "loadBalancing.balanceIntervalSeconds"
    BALANCE_TOLERANCE = "loadBalancing.balanceTolerancePercent"
    OVERLOADED_MEMORY = "loadBalancing.overloadedMemoryPercent"
    PLACEMENT_OWNER = "loadBalancing.placementOwner"
    STALENESS = "consistency.stalenessMilliseconds"
    PING_PONG = "loadBalancing.pingPong"
    PING_PONG_OVERSHOOT = "loadBalancing.pingPong (overshoot)"
    ROUTING = "loadBalancing.routing"
    READ_CONCURRENCY = "queryNodes.readConcurrencyPercent"
    COMPRESSION = "network.compression"
    POOL_OF_PROXIES = "network.connectionPoolSize"
    POOL_OF_LEADERS = "network.connectionPoolSize (shard leaders)"
    MESSAGE_SIZE = "network.maxMessageSize"
    KEEPALIVE = "network.keepaliveSeconds"
    WAL_FLUSH = "storage.wal.flushIntervalMilliseconds"
    WAL_FLUSH_LOCAL = "storage.wal.flushIntervalMilliseconds (local storage)"
    INSERT_BUFFER = "storage.wal.insertBufferSize"
    MEMORY_SYNC = "storage.wal.memorySyncPercent"
    COMPACTION = "storage.compaction"
    WARMUP = "storage.cache.warmup"
    WARMUP_VECTOR_FIELD = "storage.cache.warmup (vector field)"
    WARMUP_SCALAR_INDEX = "storage.cache.warmup (scalar index)"
    WARMUP_SCALAR_FIELD = "storage.cache.warmup (scalar field)"
    MMAP = "storage.cache.mmap"
    MMAP_VECTOR_FIELD = "storage.cache.mmap (vector field)"
    EVICTION = "storage.cache.eviction"
    EVICTION_LOW = "storage.cache.eviction (low watermark)"
    EVICTION_HIGH = "storage.cache.eviction (high watermark)"

    @property
    def field(self) -> str:
        """The path of the field alone."""
        return self.value.partition(" ")[0]


class Conversion(enum.StrEnum):
    """How the number of an intent becomes the text of a key."""

    SECONDS_TO_MILLISECONDS = "SecondsToMilliseconds"  # 60 -> "60000"
    MILLISECONDS = "Milliseconds"  # 5000 -> "5000"
    PERCENT = "Percent"  # 90 -> "90"
    PERCENT_TO_RATIO = "PercentToRatio"  # 5 -> "0.05"
    SWITCH = "Switch"  # 0 -> "false", 1 -> "true"
    SECONDS = "Seconds"  # 5 -> "5"
    BYTES = "Bytes"  # 67108864 -> "67108864"
    DURATION_MILLISECONDS = "DurationMilliseconds"  # 200 -> "200ms"
    WORD = "Word"  # by the lever's words: "LeastLoaded" -> "look_aside"

    def text(self, number: int) -> str:
        """The key's value for the intent's number."""
        match self:
            case Conversion.SECONDS_TO_MILLISECONDS:
                return str(number * 1000)
            case Conversion.MILLISECONDS | Conversion.PERCENT | Conversion.SECONDS | Conversion.BYTES:
                return str(number)
            case Conversion.DURATION_MILLISECONDS:
                return f"{number}ms"
            case Conversion.WORD:
                raise ValueError("words are the lever's own: Lever.text")
            case Conversion.PERCENT_TO_RATIO:
                return format((Decimal(number) / 100).normalize(), "f")
            case Conversion.SWITCH:
                return "true" if number else "false"

    def same(self, left: str, right: str) -> bool:
        """Whether Milvus reads the same value from both: "0.050" is 0.05, "F" is false (Go's strconv.ParseBool)."""
        if self is Conversion.SWITCH:
            return left == right or _boolean(left) is _boolean(right) is not None
        return left == right or _number(left) == _number(right) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lever:
    """The key that carries an intent in the versions from since up to, not including, until."""

    intent: Intent
    key: str
    conversion: Conversion
    live: bool
    component: str
    since: ServerVersion
    until: ServerVersion
    evidence: str
    """What the row rests on, in words."""
    ground: Evidence = Evidence.SOURCE
    """The kind of that evidence, of effect and safe range together; what is inferred never acts in mode Auto."""
    mechanism: str = ""
    """What the key does there, in a sentence."""
    minimum: int | None = None
    maximum: int | None = None
    """The safe range, in the unit of the field."""
    harm: str = ""
    """What happens outside of the safe range."""
    words: Mapping[str, str] = field(default_factory=dict)
    """For Conversion.WORD: the field's word -> the key's text. A word that is missing has no lever here."""

    def text(self, value: int | str) -> str | None:
        """The key's text for the field's number or word; None for a word that this version has no text for."""
        return self.words.get(value) if isinstance(value, str) else self.conversion.text(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class NoLever:
    """Why an intent cannot be carried out in a version, and what comes nearest."""

    intent: Intent
    reason: str
    nearest: str = ""


def find_lever(intent: Intent, version: ServerVersion) -> Lever | NoLever:
    """The lever of an intent in exactly this version."""
    if not version.released:
        return NoLever(intent=intent, reason=f"{version} is not a release; levers are known for releases only")
    levers, gaps = _table().get(intent, ((), ()))
    for lever in levers:
        if lever.since <= version < lever.until:
            return lever
    for since, until, gap in gaps:
        if since <= version < until:
            return gap
    if not levers:
        return NoLever(intent=intent, reason="no lever is known")
    newest = max(lever.until for lever in levers)
    reason = f"{version} is newer than what is known (below {newest})" if version >= newest else "no lever is known"
    return NoLever(intent=intent, reason=reason)


def levers_of(intent: Intent) -> tuple[Lever, ...]:
    """All levers of an intent, oldest first."""
    return _table().get(intent, ((), ()))[0]


_Gap = tuple[ServerVersion, ServerVersion, NoLever]


@cache
def _table() -> Mapping[Intent, tuple[tuple[Lever, ...], tuple[_Gap, ...]]]:
    raw: dict[str, dict[str, list[dict[str, Any]]]] = yaml.safe_load(
        files("milvus_tuning.catalogue").joinpath("levers.yaml").read_text(encoding="utf-8")
    )
    return {Intent(name): _rows(Intent(name), entry) for name, entry in raw.items()}


def _rows(intent: Intent, entry: dict[str, list[dict[str, Any]]]) -> tuple[tuple[Lever, ...], tuple[_Gap, ...]]:
    levers = tuple(_lever(intent, row) for row in entry["levers"])
    gaps = tuple((_version(row["since"]), _version(row["until"]), _gap(intent, row)) for row in entry.get("gaps", ()))
    return tuple(sorted(levers, key=lambda lever: lever.since)), gaps


def _lever(intent: Intent, row: dict[str, Any]) -> Lever:
    return Lever(
        intent=intent,
        key=row["key"],
        conversion=Conversion(row["conversion"]),
        live=row["live"],
        component=row["component"],
        since=_version(row["since"]),
        until=_version(row["until"]),
        evidence=row["evidence"],
    )


def _gap(intent: Intent, row: dict[str, Any]) -> NoLever:
    return NoLever(intent=intent, reason=row["reason"], nearest=row["nearest"])


def _version(text: str) -> ServerVersion:
    version = parse_version(text)
    if version is None:
        raise ValueError(f"levers.yaml: {text!r} is not a version")
    return version


def _boolean(text: str) -> bool | None:
    if text in {"1", "t", "T", "TRUE", "true", "True"}:
        return True
    return False if text in {"0", "f", "F", "FALSE", "false", "False"} else None


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None
