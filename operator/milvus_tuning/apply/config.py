"""Milvus's configuration keys: set with a record of what was there before, handed back from it.

A key goes by one of two roads, which the step names: a key in etcd, whose record (clients/handback.py) changes in one
transaction with it, guarded by the revision each was read at; or a leaf of the Milvus object (resource_config.py). The
rules are those of both:

    another spelling of the key is stored       refused: which of the two acts would be a matter of chance
    the value is neither as decided nor ours    PreconditionChanged
    a value of somebody else                    recorded, then replaced; it comes back when the policy lets go
    taking back, and the value is not ours      left as it is; only the record goes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from milvus_tuning.apply.context import (
    ApplyContext,
    PreconditionChanged,
    etcd_errors,
    optional_text,
    text_of,
)
from milvus_tuning.apply.resource_config import read_leaf
from milvus_tuning.catalogue import config_key, config_prefix, normalised, stored_spelling
from milvus_tuning.clients.etcd import Delete, EtcdClient, EtcdEntry, Put, Unchanged
from milvus_tuning.clients.handback import HandBack, parse_record, record_key
from milvus_tuning.errors import ApplyError
from milvus_tuning.plan import Step, on_resource
from milvus_tuning.snapshot import OwnedKey


class KeyInPlace(Protocol):
    """A key as it stands on its road, with our record of it; each write fails where that changed meanwhile."""

    @property
    def path(self) -> str:
        """Where it is, in words."""

    @property
    def value(self) -> str | None:
        """The value that Milvus reads there, None where it is absent."""

    @property
    def record(self) -> OwnedKey | HandBack | None:
        """What it was before us, None where it is not ours."""

    @property
    def ours(self) -> bool:
        """Whether what is there now is what we wrote."""

    def set(self, text: str | None) -> None:
        """Write the value (None: remove it) and the record."""

    def restore(self) -> None:
        """Put back what was there before us, and remove the record."""

    def forget(self) -> None:
        """Remove the record alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredKey:
    """A configuration key and our record of it, as they stand in etcd."""

    context: ApplyContext
    etcd: EtcdClient
    key: str
    path: str
    record_path: str
    entry: EtcdEntry | None
    record_entry: EtcdEntry | None
    record: HandBack | None

    @property
    def value(self) -> str | None:
        """The value that Milvus reads, None where the key is absent."""
        return None if self.entry is None else self.entry.value

    @property
    def ours(self) -> bool:
        """Whether what is there now is what we wrote."""
        return self.record is not None and self.record.written == self.value

    def change(self, then: Sequence[Put | Delete]) -> None:
        """Write, provided that key and record are still as they were read; ApplyError otherwise."""
        guards = [
            Unchanged(key=self.path, mod_revision=self.entry.mod_revision if self.entry else 0),
            Unchanged(key=self.record_path, mod_revision=self.record_entry.mod_revision if self.record_entry else 0),
        ]
        if not self.etcd.transaction(compare=guards, then=then):
            raise ApplyError(f"{self.path} changed in etcd while it was being written", retryable=True)

    def set(self, text: str | None) -> None:
        """Write the value (None: remove it) and the record."""
        previous = self.record.previous if self.record is not None and self.ours else self.value
        self.context.require_lease()
        written_at = self.context.clock() if self.context.clock is not None else None
        record = HandBack(key=self.key, previous=previous, written=text, written_at=written_at)
        self.change([self._setting(text), Put(key=self.record_path, value=record.text())])

    def restore(self) -> None:
        """Put back what was there before us, and remove the record."""
        self.context.require_lease()
        previous = None if self.record is None else self.record.previous
        self.change([self._setting(previous), Delete(key=self.record_path)])

    def forget(self) -> None:
        """Remove the record alone."""
        self.context.require_lease()
        self.change([Delete(key=self.record_path)])

    def _setting(self, value: str | None) -> Put | Delete:
        return Delete(key=self.path) if value is None else Put(key=self.path, value=value)


def connected(context: ApplyContext) -> tuple[EtcdClient, str]:
    """etcd and the proven root path; ApplyError where either is missing."""
    if context.etcd is None:
        raise ApplyError("etcd is not connected: no configuration key can be written", retryable=True)
    if context.root_path is None:
        raise ApplyError("the root path of Milvus in etcd is not proven: nothing is written by guess", retryable=False)
    return context.etcd, context.root_path


def read_key(context: ApplyContext, key: str) -> StoredKey:
    """The key and its record now. ApplyError where the key is stored in another spelling as well, or instead."""
    etcd, root_path = connected(context)
    path, prefix = config_key(root_path, key), config_prefix(root_path)
    entries = [
        entry for entry in etcd.get_prefix(prefix) if normalised(entry.key.removeprefix(prefix)) == normalised(key)
    ]
    others = [entry.key for entry in entries if entry.key != path]
    if others:
        text = f"{key} is stored in another spelling ({', '.join(others)}): which one acts would be a matter of chance"
        raise ApplyError(f"{text}; remove it first", retryable=False)
    record_path = record_key(root_path, context.policy_uid, key)
    record_entry = etcd.get(record_path)
    return StoredKey(
        context=context,
        etcd=etcd,
        key=stored_spelling(key),
        path=path,
        record_path=record_path,
        entry=entries[0] if entries else None,
        record_entry=record_entry,
        record=None if record_entry is None else parse_record(record_entry),
    )


def set_config(step: Step, *, undo: bool, context: ApplyContext) -> str:
    """Carry out (or take back) a SetConfig step; what was done, in words."""
    key = text_of(step.action, "key")
    target = optional_text(step.undo if undo else step.action, "value")
    expected = optional_text(step.action if undo else step.precondition, "value")
    with etcd_errors(f"setting {key}"):
        stored: KeyInPlace = (read_leaf if on_resource(step) else read_key)(context, key)
        if stored.record is not None and stored.record.previous == target:
            return hand_back(stored)
        if stored.value == target:
            return f"{stored.path} is {words(target)} already"
        if stored.value != expected:
            raise PreconditionChanged(
                f"{stored.path} is {words(stored.value)}, neither {words(expected)} nor {words(target)}: "
                "somebody else set it"
            )
        stored.set(target)
        return f"{stored.path} set from {words(stored.value)} to {words(target)}"


def hand_back(stored: KeyInPlace) -> str:
    """Restore what was there before us, if what is there now is still ours; otherwise leave it and say so."""
    if stored.record is None:
        return f"{stored.path} is not ours"
    previous = stored.record.previous
    if not stored.ours and stored.value != previous:
        stored.forget()
        return f"{stored.path} is {words(stored.value)}, set by somebody else after us, and stays"
    stored.restore()
    return f"{stored.path} handed back: {words(previous)}, as before us"


def words(value: str | None) -> str:
    """A value in words."""
    return "unset" if value is None else repr(value)
