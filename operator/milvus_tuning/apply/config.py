"""Milvus's configuration keys in etcd: set with a record of what was there before, handed back from it.

Key and record (clients/handback.py) change in one transaction, guarded by the revision each was read at. The rules:

    another spelling of the key is stored       refused: which of the two acts would be a matter of chance
    the value is neither as decided nor ours    PreconditionChanged
    a value of somebody else                    recorded, then replaced; it comes back when the policy lets go
    taking back, and the value is not ours      left as it is; only the record goes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from milvus_tuning.apply.context import (
    ApplyContext,
    PreconditionChanged,
    etcd_errors,
    optional_text,
    text_of,
)
from milvus_tuning.catalogue import config_key, config_prefix, normalised, stored_spelling
from milvus_tuning.clients.etcd import Delete, EtcdClient, EtcdEntry, Put, Unchanged
from milvus_tuning.clients.handback import HandBack, parse_record, record_key
from milvus_tuning.errors import ApplyError
from milvus_tuning.plan import Step


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredKey:
    """A configuration key and our record of it, as they stand in etcd."""

    etcd: EtcdClient
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
        etcd=etcd,
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
        stored = read_key(context, key)
        if stored.record is not None and stored.record.previous == target:
            return hand_back(context, stored)
        if stored.value == target:
            return f"{stored.path} is {words(target)} already"
        if stored.value != expected:
            raise PreconditionChanged(
                f"{stored.path} is {words(stored.value)}, neither {words(expected)} nor {words(target)}: "
                "somebody else set it"
            )
        return _write(context, stored, key, target)


def hand_back(context: ApplyContext, stored: StoredKey) -> str:
    """Restore what was there before us, if what is there now is still ours; otherwise leave it and say so."""
    if stored.record is None:
        return f"{stored.path} is not ours"
    previous = stored.record.previous
    context.require_lease()
    if not stored.ours and stored.value != previous:
        stored.change([Delete(key=stored.record_path)])
        return f"{stored.path} is {words(stored.value)}, set by somebody else after us, and stays"
    stored.change([_setting(stored, previous), Delete(key=stored.record_path)])
    return f"{stored.path} handed back: {words(previous)}, as before us"


def words(value: str | None) -> str:
    """A value in words."""
    return "unset" if value is None else repr(value)


def _write(context: ApplyContext, stored: StoredKey, key: str, target: str | None) -> str:
    previous = stored.record.previous if stored.record is not None and stored.ours else stored.value
    context.require_lease()
    written_at = context.clock() if context.clock is not None else None
    record = HandBack(key=stored_spelling(key), previous=previous, written=target, written_at=written_at)
    stored.change([_setting(stored, target), Put(key=stored.record_path, value=record.text())])
    return f"{stored.path} set from {words(stored.value)} to {words(target)}"


def _setting(stored: StoredKey, value: str | None) -> Put | Delete:
    return Delete(key=stored.path) if value is None else Put(key=stored.path, value=value)
