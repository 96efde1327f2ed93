"""The consistency level of a collection as Milvus tells and takes it, and the record of what it was before us.

The record is kept in etcd beside those of configuration keys (handback.py), written before Milvus is called, because a
level and a key of etcd cannot change in one transaction:

    <rootPath>/milvustuning/<policy uid>/handback/collection/default/products/consistency_level
        {"key": "collection/default/products/consistency_level", "value": "Bounded", "written": "Strong"}

While a level of ours is replaced by another one, `written` names both ("Strong Session"): whichever of them is found
after a crash is ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pymilvus.grpc_gen import common_pb2, milvus_pb2

from milvus_tuning.catalogue import LEVEL_PROPERTY
from milvus_tuning.clients.etcd import EtcdClient, EtcdEntry, EtcdError, EtcdFailure
from milvus_tuning.clients.handback import LEVELS, policy_records, record_prefix
from milvus_tuning.snapshot import OwnedLevel


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelRecord:
    """What the level of a collection was before us, and which levels found there are ours."""

    database: str
    collection: str
    previous: str
    written: tuple[str, ...]

    @property
    def owned(self) -> OwnedLevel:
        """The record as facts for a decision."""
        return OwnedLevel(
            database=self.database, collection=self.collection, previous=self.previous, written=self.written
        )

    def text(self) -> str:
        """The record as stored."""
        key = _key(self.database, self.collection)
        return json.dumps({"key": key, "value": self.previous, "written": " ".join(self.written)})


def level_of(described: milvus_pb2.DescribeCollectionResponse) -> str:
    """The level in Milvus's word ("Bounded"); the number where it has none."""
    number = int(described.consistency_level)
    known = number in common_pb2.ConsistencyLevel.values()
    return str(common_pb2.ConsistencyLevel.Name(number)) if known else str(number)


def property_value(described: milvus_pb2.DescribeCollectionResponse, level: str) -> str:
    """What to write for a level: its name, or its number where the name is in the properties already.

    Before 2.6 Milvus keeps the property beside the level, and passes over a call that changes no property, even where
    the level is another one: as it is after an upgrade from a version that stored the property only.
    """
    stored = {pair.key: pair.value for pair in described.properties}
    return level if stored.get(LEVEL_PROPERTY) != level else str(common_pb2.ConsistencyLevel.Value(level))


def level_record_key(root_path: str, policy_uid: str, database: str, collection: str) -> str:
    """Where the record of a collection's level is."""
    return record_prefix(root_path, policy_uid) + _key(database, collection)


def parse_level_record(entry: EtcdEntry) -> LevelRecord:
    """The record of a stored entry. EtcdError when somebody else's text is there: nothing is handed back by guess."""
    try:
        raw = json.loads(entry.value)
        _, database, collection, _ = str(raw["key"]).split("/")
        previous, written = str(raw["value"]), tuple(str(raw["written"]).split())
    except (ValueError, TypeError, KeyError) as error:
        text = f"{entry.key} in etcd is no record of a collection's level: {entry.value[:200]!r}"
        raise EtcdError(text, EtcdFailure.REFUSED, sent=True) from error
    return LevelRecord(database=database, collection=collection, previous=previous, written=written)


def read_level_records(client: EtcdClient, root_path: str, policy_uid: str) -> tuple[LevelRecord, ...]:
    """All records of levels of one policy, by collection."""
    entries = client.get_prefix(record_prefix(root_path, policy_uid) + LEVELS)
    return tuple(parse_level_record(entry) for entry in entries)


def read_owned_levels(client: EtcdClient, root_path: str) -> Mapping[str, tuple[OwnedLevel, ...]]:
    """The records of all policies on this Milvus, as in `Snapshot.owned_levels`."""
    found: dict[str, tuple[OwnedLevel, ...]] = {}
    for policy_uid, name, entry in policy_records(client, root_path):
        if name.startswith(LEVELS):
            found[policy_uid] = (*found.get(policy_uid, ()), parse_level_record(entry).owned)
    return found


def _key(database: str, collection: str) -> str:
    return f"{LEVELS}{database}/{collection}/{LEVEL_PROPERTY}"
