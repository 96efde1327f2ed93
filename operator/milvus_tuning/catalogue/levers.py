"""Intents of the policy and the real Milvus keys that carry them, per exact server version.

A lever is one row of `levers.yaml`: the key, how the intent's number or word becomes the key's text, whether it is in
force without a restart, what it does, the safe range with the harm outside of it, and the evidence. An intent that has
no lever in a version gets a `NoLever` with the reason and what comes nearest; nothing is ever mapped by the likeness of
its name, and no dead key is written. The table is read with the catalogue of keys beside it: a row whose key is not
there, does nothing, is not live as said or cannot have the values of its safe range is a LeverError.

Worked example: balanceIntervalSeconds 60 on 2.5.27 is `queryCoord.autoBalanceInterval` = "60000", live; on 2.3.5 it
is `queryCoord.checkChannelInterval` = "60000", in force after a restart of the coordinator only.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

import yaml

from milvus_tuning.catalogue.keys import normalised
from milvus_tuning.catalogue.loader import FAST_LOADER
from milvus_tuning.catalogue.reading import catalogue
from milvus_tuning.catalogue.registry import Catalogue, ConfigKey, Evidence
from milvus_tuning.catalogue.values import range_error, type_error
from milvus_tuning.catalogue.version import ServerVersion, parse_version

EVERY_COMPONENT = "every component"
_COORDINATORS = ("QueryCoord", "RootCoord", "DataCoord")
COMPONENTS = (*_COORDINATORS, "Proxy", "QueryNode", "DataNode", "IndexNode", "StreamingNode", EVERY_COMPONENT)
"""What a row may say must restart."""
_MERGED_SINCE = ServerVersion(2, 6, 0)
"""From here on the coordinators are one MixCoord, IndexNode is in DataNode, and StreamingNode has the log."""
_ALL_BEFORE = ("Proxy", "MixCoord", *_COORDINATORS, "IndexCoord", "QueryNode", "DataNode", "IndexNode")
_ALL_SINCE = ("Proxy", "MixCoord", "QueryNode", "DataNode", "StreamingNode")
_NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


class LeverError(ValueError):
    """levers.yaml says something that cannot be; the message names the intent, the row and what is wrong."""


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
    NUMBER = "Number"  # 10 -> "10"
    DURATION_MILLISECONDS = "DurationMilliseconds"  # 200 -> "200ms"
    WORD = "Word"  # by the lever's words: "LeastLoaded" -> "look_aside"

    def text(self, number: int) -> str:
        """The key's value for the intent's number."""
        match self:
            case Conversion.SECONDS_TO_MILLISECONDS:
                return str(number * 1000)
            case Conversion.MILLISECONDS | Conversion.PERCENT | Conversion.SECONDS:
                return str(number)
            case Conversion.BYTES | Conversion.NUMBER:
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
        """Whether Milvus reads the same value from both: "0.050" is 0.05, "F" is false, "0.2s" is 200ms (Go's)."""
        if self is Conversion.SWITCH:
            return left == right or _boolean(left) is _boolean(right) is not None
        if self is Conversion.DURATION_MILLISECONDS:
            return left == right or _duration(left) == _duration(right) is not None
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
    """What happens outside of the safe range; of a switch or a word, what each costs."""
    words: Mapping[str, str] = field(default_factory=dict)
    """For Conversion.WORD: the field's word -> the key's text. A word that is missing has no lever here."""
    why_restart: str = ""
    """Why it counts as in force after a restart only, although a running component reads the key again."""
    run_on: tuple[ServerVersion, ...] = ()
    """Releases on which the effect was seen; there `find_lever` gives Evidence.RUN as the ground."""

    def text(self, value: int | str) -> str | None:
        """The key's text for the field's number or word; None for a word that this version has no text for."""
        return self.words.get(value) if isinstance(value, str) else self.conversion.text(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class NoLever:
    """Why an intent cannot be carried out in a version, and what comes nearest."""

    intent: Intent
    reason: str
    nearest: str = ""


@lru_cache(maxsize=1024)  # asked for every key and intent in each pass; the table never changes
def find_lever(intent: Intent, version: ServerVersion) -> Lever | NoLever:
    """The lever of an intent in exactly this version."""
    if not version.released:
        return NoLever(intent=intent, reason=f"{version} is not a release; levers are known for releases only")
    levers, gaps = _table().get(intent, ((), ()))
    for lever in levers:
        if lever.since <= version < lever.until:
            return replace(lever, ground=Evidence.RUN) if version in lever.run_on else lever
    for since, until, gap in gaps:
        if since <= version < until:
            return gap
    if not levers:
        return NoLever(intent=intent, reason="no lever is known")
    newest = max(lever.until for lever in levers)
    reason = f"{version} is newer than what is known (below {newest})" if version >= newest else "no lever is known"
    return NoLever(intent=intent, reason=reason)


@lru_cache(maxsize=1024)
def lever_with_key(key: str, version: ServerVersion) -> Lever | None:
    """The lever whose key is this one in exactly this version, in whichever spelling; the first in order of intents."""
    found = (find_lever(intent, version) for intent in Intent)
    return next((one for one in found if isinstance(one, Lever) and normalised(one.key) == normalised(key)), None)


def levers_of(intent: Intent) -> tuple[Lever, ...]:
    """All levers of an intent, oldest first."""
    return _table().get(intent, ((), ()))[0]


def gaps_of(intent: Intent) -> tuple[tuple[ServerVersion, ServerVersion, NoLever], ...]:
    """The spans in which it is known that an intent has no lever: since, until and the reason, oldest first."""
    return _table().get(intent, ((), ()))[1]


def _processes(component: str, version: ServerVersion) -> tuple[str, ...]:
    """The processes that are meant in this version; a coordinator before 2.6 runs by itself or inside of MixCoord."""
    merged = version >= _MERGED_SINCE
    if component == EVERY_COMPONENT:
        return _ALL_SINCE if merged else _ALL_BEFORE
    if component in _COORDINATORS:
        return ("MixCoord",) if merged else ("MixCoord", component)
    return (component,)


_Gap = tuple[ServerVersion, ServerVersion, NoLever]
_Table = Mapping[Intent, tuple[tuple[Lever, ...], tuple[_Gap, ...]]]
_NEEDED = frozenset(
    {"since", "until", "key", "conversion", "live", "component", "evidence", "ground", "mechanism", "harm"}
)
_MORE = frozenset({"minimum", "maximum", "words", "why_restart", "run_on"})


@cache
def _table() -> _Table:
    return read_levers(files("milvus_tuning.catalogue").joinpath("levers.yaml").read_text(encoding="utf-8"))


def read_levers(text: str) -> _Table:
    """The table that a text of levers.yaml describes; raises LeverError where it is broken."""
    try:
        raw: dict[str, dict[str, list[dict[str, Any]]]] = yaml.load(text, Loader=FAST_LOADER)
    except yaml.YAMLError as error:
        raise LeverError(f"levers.yaml is not YAML: {error}") from error
    table: dict[Intent, tuple[tuple[Lever, ...], tuple[_Gap, ...]]] = {}
    for name, entry in raw.items():
        try:
            table[Intent(name)] = _rows(Intent(name), entry)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LeverError(f"levers.yaml: {name}: {error}") from error
    missing = [intent.value for intent in Intent if intent not in table]
    if missing:
        raise LeverError(f"levers.yaml: nothing is said of {', '.join(missing)}")
    return table


def _rows(intent: Intent, entry: dict[str, list[dict[str, Any]]]) -> tuple[tuple[Lever, ...], tuple[_Gap, ...]]:
    levers = tuple(sorted((_lever(intent, row) for row in entry["levers"]), key=lambda lever: lever.since))
    gaps = tuple(sorted((_gap(intent, row) for row in entry.get("gaps", ())), key=lambda gap: gap[:2]))
    spans = sorted([*((lever.since, lever.until) for lever in levers), *(gap[:2] for gap in gaps)])
    for (_, until), (since, _) in pairwise(spans):
        if since < until:
            raise LeverError(f"the span from {since} on begins inside of the one before it")
    return levers, gaps


def _lever(intent: Intent, row: dict[str, Any]) -> Lever:
    where = f"{row.get('key', '?')} from {row.get('since', '?')}"
    lacking = [name for name in sorted(_NEEDED) if row.get(name) in (None, "")]
    if lacking or set(row) - _NEEDED - _MORE:
        raise LeverError(f"{where}: lacks {lacking}, does not know {sorted(set(row) - _NEEDED - _MORE)}")
    lever = Lever(
        intent=intent,
        key=row["key"],
        conversion=Conversion(row["conversion"]),
        live=row["live"],
        component=row["component"],
        since=_version(row["since"]),
        until=_version(row["until"]),
        evidence=row["evidence"],
        ground=Evidence(row["ground"]),
        mechanism=row["mechanism"],
        minimum=row.get("minimum"),
        maximum=row.get("maximum"),
        harm=row["harm"],
        words=row.get("words", {}),
        why_restart=row.get("why_restart", ""),
        run_on=tuple(_version(text) for text in row.get("run_on", ())),
    )
    trouble = _trouble(lever) or _disagreement(lever, catalogue())
    if trouble:
        raise LeverError(f"{where}: {trouble}")
    return lever


def _trouble(lever: Lever) -> str | None:
    """What is wrong with a row by itself."""
    bounds = (lever.minimum, lever.maximum)
    unbounded = lever.conversion in {Conversion.WORD, Conversion.SWITCH}
    empty = lever.minimum is None or lever.maximum is None or lever.minimum > lever.maximum
    elsewhere = [version for version in lever.run_on if not lever.since <= version < lever.until]
    checks = (
        (lever.until <= lever.since, f"ends at {lever.until}, before it starts"),
        (lever.component not in COMPONENTS, f"{lever.component!r} is nothing that restarts: {', '.join(COMPONENTS)}"),
        (lever.ground is Evidence.RUN, "what was run is said by run_on, for exactly those releases"),
        (bool(elsewhere), "run_on names a release outside of the row"),
        (
            (lever.conversion is Conversion.WORD) is not bool(lever.words),
            "words and the conversion Word belong together",
        ),
        (unbounded and bounds != (None, None), "a word or a switch has no minimum and no maximum"),
        (not unbounded and empty, f"the safe range {bounds} is none"),
    )
    return next((trouble for wrong, trouble in checks if wrong), None)


def _disagreement(lever: Lever, known: Catalogue) -> str | None:
    """What the catalogue of keys says otherwise, in any release of the row."""
    key = known.find(lever.key)
    if key is None:
        return "no such key is in the catalogue"
    return next((trouble for at in _turns(lever, key) if (trouble := _disagreement_at(lever, key, at))), None)


def _disagreement_at(lever: Lever, key: ConfigKey, version: ServerVersion) -> str | None:
    effect = key.effect(version)
    if not key.certain(version):
        return f"the catalogue does not have the key in {version} for certain"
    if effect is not None:
        return f"the catalogue says of {version}: {effect.state}, {effect.reason}"
    if lever.live and not key.is_live(version):
        return f"the catalogue says that {version} reads it at start only"
    if (not lever.live and key.is_live(version)) is not bool(lever.why_restart):
        return f"{version} reads it again: why_restart must say why a restart is needed, and is for nothing else"
    named = {name for word in key.restarts(version).split(" and ") for name in _processes(word, version)}
    ours = set(_processes(lever.component, version))
    if not (named & ours if lever.live else named <= ours):
        return f"the catalogue says that {key.restarts(version)} reads it in {version}"
    wrong = (type_error(key, text) or range_error(key, text, version) for text in _extremes(lever))
    return next((text for text in wrong if text), None)


def _turns(lever: Lever, key: ConfigKey) -> list[ServerVersion]:
    """The first release of the row, and each in it from which on something may be otherwise: that is all of them."""
    spans = (*key.present, *key.unsure, *key.live, *(effect.span for effect in key.effects))
    ends = {end for span in spans for end in (span.since, span.until) if end is not None} | {_MERGED_SINCE}
    return sorted({lever.since} | {end for end in ends if lever.since <= end < lever.until})


def _extremes(lever: Lever) -> Iterable[str]:
    """The texts at the ends of the safe range, or all there are."""
    if lever.conversion is Conversion.WORD:
        return lever.words.values()
    ends = (0, 1) if lever.minimum is None or lever.maximum is None else (lever.minimum, lever.maximum)
    return [lever.conversion.text(end) for end in ends]


def _gap(intent: Intent, row: dict[str, Any]) -> _Gap:
    since, until = _version(row["since"]), _version(row["until"])
    if until <= since or not row["reason"] or not row["nearest"]:
        raise LeverError(f"gap from {since}: must end after it starts, with a reason and what is nearest")
    return since, until, NoLever(intent=intent, reason=row["reason"], nearest=row["nearest"])


def _version(text: str) -> ServerVersion:
    version = parse_version(text)
    if version is None:
        raise LeverError(f"{text!r} is not a version")
    return version


def _boolean(text: str) -> bool | None:
    if text in {"1", "t", "T", "TRUE", "true", "True"}:
        return True
    return False if text in {"0", "f", "F", "FALSE", "false", "False"} else None


def _duration(text: str) -> Decimal | None:
    """Nanoseconds of a duration as Go writes it, such as 1.5s or 1m30s."""
    parts = re.findall(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)", text)
    if not parts or "".join(map("".join, parts)) != text:
        return None
    return sum((Decimal(number) * _NANOSECONDS[unit] for number, unit in parts), Decimal(0))


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None
