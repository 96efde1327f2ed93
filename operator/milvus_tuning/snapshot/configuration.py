"""Milvus's configuration: what is stored, what of it is ours, and what running processes say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class EtcdSetting:
    """A key under `<rootPath>/config/` in Milvus's etcd, as stored; or a leaf of `spec.config` of a Milvus object.

    spellings lists every stored spelling of the same key (Milvus ignores case, dots, slashes and underscores); more
    than one makes the effective value a matter of chance.
    """

    key: str
    value: str
    spellings: tuple[str, ...]
    revision: int
    leased: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnedKey:
    """A configuration key that a policy of ours wrote: what it was before (None: absent), and what was written.

    written_at is the moment before the write; None where the record does not say. A process that started later than
    that has read what was written.
    """

    previous: str | None
    written: str | None
    written_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ResourceConfig:
    """The leaves of `spec.config` of the Milvus object, and what policies of ours wrote there.

    Both by key as in Snapshot. rendered is what the ConfigMap that milvus-operator makes of it says, as text, None
    where it could not be read. trouble: why nothing may be written there, None where it may.
    """

    settings: Mapping[str, EtcdSetting] = field(default_factory=dict)
    owned_keys: Mapping[str, Mapping[str, OwnedKey]] = field(default_factory=dict)
    rendered: Mapping[str, str] | None = None
    trouble: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnedLevel:
    """The default consistency level of a collection that a policy of ours wrote: what it was before.

    written are the levels that are ours where they are found; two while the one is being replaced by the other.
    """

    database: str
    collection: str
    previous: str
    written: tuple[str, ...]

    @property
    def full_name(self) -> str:
        """Database and name, as people write it."""
        return f"{self.database}.{self.collection}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadBack:
    """What a running process says of its configuration: values by normalised key, of the sources that it reads.

    A key of its code's defaults alone is not in there. asked are the keys, normalised, that it was asked for: one of
    them without a value is one that it does not have; of others nothing is known. acting are those whose value was seen
    in what the process does (a probe): it is in force, also where the key is read at start.
    """

    pod: str
    values: Mapping[str, str]
    asked: tuple[str, ...] = ()
    acting: tuple[str, ...] = ()

    def tells(self, key: str) -> bool:
        """Whether it said anything of a normalised key, if only that it has none; older recordings have values only."""
        return key in self.values or key in self.asked
