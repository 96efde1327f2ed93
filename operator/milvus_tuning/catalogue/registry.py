"""Every known Milvus configuration key: where it exists, what it takes, whether it acts and how it comes into force.

The facts are in `keys.yaml`, these are its types, and `reading` loads it. A fact that cannot be (a span that ends
before it starts, a default outside its own range, two names that Milvus takes for one) is a CatalogueError that names
the key.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from milvus_tuning.catalogue.keys import normalised
from milvus_tuning.catalogue.version import ServerVersion

LINES = ("2.3", "2.4", "2.5", "2.6")


class CatalogueError(ValueError):
    """keys.yaml says something that cannot be; the message names the key and the field."""


class ValueType(enum.StrEnum):
    """What Milvus parses a value as."""

    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    DURATION = "duration"  # Go's: 200ms, 10s, 1h30m
    SIZE = "size"  # bytes, or with a unit: 16M, 5g
    STRING = "string"


class Evidence(enum.StrEnum):
    """What a fact rests on."""

    RUN = "run"  # seen on a running server
    SOURCE = "source"  # read in the source of the releases named in `read`
    INFERRED = "inferred"  # neither; never acted upon by itself


class EffectState(enum.StrEnum):
    """Why a key that exists does nothing."""

    DEAD = "dead"  # declared, read by nothing
    NOOP = "noop"  # read, without effect


@dataclass(frozen=True, slots=True)
class Span:
    """Releases from `since` up to, not including, `until`; None is open."""

    since: ServerVersion
    until: ServerVersion | None

    def __contains__(self, version: ServerVersion) -> bool:
        return self.since <= version and (self.until is None or version < self.until)


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """What a value may be; the bounds belong to the range."""

    minimum: Decimal | None = None
    """In the key's own unit; of a duration in milliseconds, of a size in bytes (`values.amount`)."""
    maximum: Decimal | None = None
    choices: Mapping[str, ServerVersion | None] | None = None
    """Each word with the release that brought it, None for as long as the key is there."""
    harm: str = ""
    """What happens outside; empty where the bounds follow from the unit alone."""
    evidence: Evidence
    """What the bounds rest on: inferred where they follow from the unit alone (a time is not negative)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """What a person who sets the key must know in these releases, beside its state."""

    span: Span
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """Releases in which a key that exists does nothing."""

    state: EffectState
    span: Span
    reason: str
    instead: tuple[str, ...]
    evidence: Evidence


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigKey:
    """One key in all releases."""

    name: str
    subject: str
    type: ValueType
    unit: str
    present: tuple[Span, ...]
    unsure: tuple[Span, ...]
    """Part of `present` where the patch that brought the key is not known."""
    defaults: Mapping[str, str]
    """By line, of the last release read of it; "" is an empty text."""
    earlier_defaults: tuple[tuple[Span, str], ...]
    """Where a default changed inside a line."""
    live: tuple[Span, ...]
    component: str
    component_from_2_6: str
    evidence: Evidence
    fallbacks: tuple[str, ...]
    """Names that are read where this one is absent."""
    renamed: str
    range: Range | None
    effects: tuple[Effect, ...]
    notes: tuple[Note, ...]

    def default(self, version: ServerVersion) -> str | None:
        """What Milvus takes where nobody sets the key; None where that is not known."""
        earlier = next((text for span, text in self.earlier_defaults if version in span), None)
        return earlier if earlier is not None else self.defaults.get(f"{version.major}.{version.minor}")

    def note(self, version: ServerVersion) -> str:
        """What is to be known of the key in this release; "" where nothing is."""
        return "; ".join(note.text for note in self.notes if version in note.span)

    def evidence_in(self, version: ServerVersion, ran: ServerVersion) -> Evidence:
        """What is known of the key rests on this in a release; a run holds for the release that ran, `ran`."""
        return Evidence.SOURCE if self.evidence is Evidence.RUN and version != ran else self.evidence

    def exists(self, version: ServerVersion) -> bool:
        """Whether the release declares the key."""
        return any(version in span for span in self.present)

    def certain(self, version: ServerVersion) -> bool:
        """Whether it is known of exactly this patch that it has the key."""
        return self.exists(version) and not any(version in span for span in self.unsure)

    def is_live(self, version: ServerVersion) -> bool:
        """Whether a running component reads the key again."""
        return any(version in span for span in self.live)

    def effect(self, version: ServerVersion) -> Effect | None:
        """Why the key does nothing in this release; None where it acts."""
        return next((effect for effect in self.effects if version in effect.span), None)

    def restarts(self, version: ServerVersion) -> str:
        """What must restart for a new value. From 2.6 the coordinators are one MixCoord, IndexNode is in DataNode."""
        if (version.major, version.minor) < (2, 6):
            return self.component
        return self.component_from_2_6 or _MERGED.get(self.component, self.component)

    def since(self, version: ServerVersion) -> ServerVersion:
        """The release that brought the key: to the version asked about, else to a later one, else at all."""
        for span in self.present:
            if span.until is None or version < span.until:
                return span.since
        return self.present[0].since

    def removed(self, version: ServerVersion) -> ServerVersion | None:
        """The release that took the key away from the version asked about, or had before it."""
        holding = next((span for span in self.present if version in span), None)
        if holding is not None:
            return holding.until
        gone = [span.until for span in self.present if span.until is not None and span.until <= version]
        return gone[-1] if gone else None


_MERGED = {
    "QueryCoord": "MixCoord",
    "DataCoord": "MixCoord",
    "RootCoord": "MixCoord",
    "RootCoord and Proxy": "MixCoord and Proxy",
    "IndexNode": "DataNode",
    "QueryNode, DataNode and IndexNode": "QueryNode and DataNode",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class NotAKey:
    """A name that circulates and is a key of no release."""

    name: str
    reason: str
    instead: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Managed:
    """Keys that the install decides, as patterns in lower case."""

    owner: str
    patterns: tuple[str, ...]
    names: frozenset[str]
    """The patterns without a star, as Milvus matches names."""
    below: re.Pattern[str]
    """The patterns with a star, as one, of a name in lower case with dots."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalogue:
    """All keys, by what Milvus matches by (`normalised`)."""

    keys: Mapping[str, ConfigKey]
    old_names: Mapping[str, str]
    """A name that is read where another key is absent -> that key's name; without names that are keys themselves."""
    never: Mapping[str, NotAKey]
    managed: tuple[Managed, ...]
    sections: frozenset[str]
    outside: frozenset[str]
    unchecked: tuple[str, ...]
    other: frozenset[str]
    read: Mapping[str, ServerVersion]
    ran: ServerVersion
    """The release on which what has the evidence run was seen; in others that rests on their source."""
    newest: Mapping[str, ServerVersion]

    def find(self, name: str) -> ConfigKey | None:
        """The key of this name in any of the spellings that Milvus takes for one."""
        return self.keys.get(normalised(name))
