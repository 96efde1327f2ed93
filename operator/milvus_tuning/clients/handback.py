"""The hand-back record: what a configuration key of Milvus was before us, kept in etcd beside the key itself.

It is written in the same transaction as the key, outside of what Milvus reads, so that nobody finds the one without
the other, not even after a crash of ours:

    <rootPath>/config/querycoord.autobalance                                the key that Milvus reads
    <rootPath>/milvustuning/<policy uid>/handback/querycoordautobalance     {"key": ..., "value": before us or null,
                                                                             "written": what we wrote,
                                                                             "writtenAt": when, ISO 8601}

`written` tells whether the value that is there now is still ours, and so may be taken back; `writtenAt`,
which older records do not have, which processes have read it at their start. A record that hangs on a
lease goes together with its key when we are gone for good.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from milvus_tuning.catalogue import normalised, stored_spelling
from milvus_tuning.clients.etcd import EtcdClient, EtcdEntry, EtcdError, EtcdFailure
from milvus_tuning.snapshot import OwnedKey

FOLDER = "milvustuning"
RECORDS = "handback/"
LEVELS = "collection/"  # below RECORDS: levels of collections, which are no keys (collection_levels.py)


@dataclass(frozen=True, kw_only=True, slots=True)
class HandBack:
    """What a key was before us (None: absent) and what we wrote (None: we removed it)."""

    key: str
    previous: str | None
    written: str | None
    lease_id: int = 0
    written_at: datetime | None = None

    @property
    def owned(self) -> OwnedKey:
        """The record as facts for a decision."""
        return OwnedKey(previous=self.previous, written=self.written, written_at=self.written_at)

    def text(self) -> str:
        """The record as stored."""
        record = {"key": self.key, "value": self.previous, "written": self.written}
        return json.dumps(record | ({"writtenAt": self.written_at.isoformat()} if self.written_at else {}))


def record_prefix(root_path: str, policy_uid: str) -> str:
    """Where the records of one policy are."""
    return f"{root_path.strip('/')}/{FOLDER}/{policy_uid}/{RECORDS}"


def record_key(root_path: str, policy_uid: str, key: str) -> str:
    """Where the record of one configuration key is."""
    return record_prefix(root_path, policy_uid) + normalised(key)


def parse_record(entry: EtcdEntry) -> HandBack:
    """The record of a stored entry. EtcdError when somebody else's text is there: nothing is handed back by guess."""
    try:
        raw = json.loads(entry.value)
        key, previous, written = raw["key"], raw["value"], raw["written"]
        written_at = datetime.fromisoformat(raw["writtenAt"]) if "writtenAt" in raw else None
    except (ValueError, TypeError, KeyError) as error:
        text = f"{entry.key} in etcd is no hand-back record of ours: {entry.value[:200]!r}"
        raise EtcdError(text, EtcdFailure.REFUSED, sent=True) from error
    return HandBack(
        key=stored_spelling(str(key)),
        previous=previous,
        written=written,
        lease_id=entry.lease_id,
        written_at=written_at,
    )


def read_records(client: EtcdClient, root_path: str, policy_uid: str) -> tuple[HandBack, ...]:
    """All records of configuration keys of one policy, by key."""
    prefix = record_prefix(root_path, policy_uid)
    entries = (entry for entry in client.get_prefix(prefix) if not entry.key.startswith(prefix + LEVELS))
    return tuple(parse_record(entry) for entry in entries)


def read_owned_keys(client: EtcdClient, root_path: str) -> Mapping[str, Mapping[str, OwnedKey]]:
    """The records of all policies on this Milvus: policy uid -> key -> record, as in `Snapshot.owned_keys`."""
    found: dict[str, dict[str, OwnedKey]] = {}
    for policy_uid, name, entry in policy_records(client, root_path):
        if not name.startswith(LEVELS):
            record = parse_record(entry)
            found.setdefault(policy_uid, {})[record.key] = record.owned
    return found


def policy_records(client: EtcdClient, root_path: str) -> Iterator[tuple[str, str, EtcdEntry]]:
    """Every record on this Milvus: the uid of its policy, its name, and the entry."""
    prefix = f"{root_path.strip('/')}/{FOLDER}/"
    for entry in client.get_prefix(prefix):
        policy_uid, _, rest = entry.key.removeprefix(prefix).partition("/")
        if rest.startswith(RECORDS):
            yield policy_uid, rest.removeprefix(RECORDS), entry
