"""The default consistency level of a collection, changed by AlterCollection with that one property.

What it was before is recorded in etcd first (clients/collection_levels.py); without etcd nothing is changed.

    level is the target                 nothing to do
    level is as decided                 recorded, then written
    anything else                       PreconditionChanged: somebody else changes it
    handing back, level is ours         the former level, then the record goes
    handing back, level is not ours     left as it is, and the record goes; likewise where the collection is gone
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pymilvus.grpc_gen import milvus_pb2

from milvus_tuning.apply.config import connected
from milvus_tuning.apply.context import (
    ApplyContext,
    PreconditionChanged,
    connected_milvus,
    etcd_errors,
    milvus_errors,
    text_of,
)
from milvus_tuning.catalogue import LEVEL_PROPERTY, level_is_fixed, parse_version
from milvus_tuning.clients.collection_levels import (
    LevelRecord,
    level_of,
    level_record_key,
    parse_level_record,
    property_value,
    read_level_records,
)
from milvus_tuning.clients.etcd import Delete, EtcdClient, EtcdEntry, Put, Unchanged
from milvus_tuning.clients.milvus import MilvusClient, MilvusError, MilvusFailure
from milvus_tuning.errors import ApplyError
from milvus_tuning.plan import Step

_OUTCOME_UNKNOWN = frozenset({MilvusFailure.UNREACHABLE, MilvusFailure.BUSY})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Level:
    """The level of a collection (described is None where it is gone) and our record of it, as they stand."""

    database: str
    collection: str
    described: milvus_pb2.DescribeCollectionResponse | None
    record_path: str
    entry: EtcdEntry | None
    record: LevelRecord | None

    @property
    def name(self) -> str:
        return f"{self.database}.{self.collection}"

    @property
    def level(self) -> str | None:
        return None if self.described is None else level_of(self.described)

    @property
    def ours(self) -> bool:
        """Whether the level that is there now is one that we wrote."""
        return self.record is not None and self.level in self.record.written


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sides:
    """The two that a change is made in."""

    milvus: MilvusClient
    etcd: EtcdClient
    root_path: str
    context: ApplyContext


def set_collection_property(step: Step, *, undo: bool, context: ApplyContext) -> str:
    """Carry out (or take back) a SetCollectionProperty step; what was done, in words."""
    parameters = step.undo if undo else step.action
    target = text_of(parameters, "value")
    expected = text_of(step.action if undo else step.precondition, "value")
    if text_of(parameters, "property") != LEVEL_PROPERTY:
        raise ApplyError(f"{parameters['property']} is no property that is changed here", retryable=False)
    database, collection = text_of(parameters, "database"), text_of(parameters, "collection")
    what = f"setting the consistency level of {database}.{collection} to {target}"
    with etcd_errors(what), milvus_errors(what):
        sides = _sides(context)
        _check_version(sides.milvus)
        now = _read(sides, database, collection)
        if now.record is not None and now.record.previous == target and (undo or _lets_go(step, now)):
            return _hand_back(sides, now, now.record)
        if now.level == target:
            _settle(sides, now, now.record, target)
            return f"the consistency level of {now.name} is {target} already"
        if now.level is None or now.level != expected:
            raise _changed(now, expected, target)
        return _write(sides, now, now.level, target)


def _lets_go(step: Step, now: _Level) -> bool:
    """Whether nothing of others is to be replaced: the level is ours, or at its target, or is to stay as it is."""
    return now.ours or now.level in {None, step.action.get("value"), step.verification.get("value")}


def release_levels(context: ApplyContext) -> list[str]:
    """Hand back the level of every collection that this policy holds; what was done, in words."""
    etcd, root_path = connected(context)
    with etcd_errors("handing back consistency levels"), milvus_errors("handing back consistency levels"):
        records = read_level_records(etcd, root_path, context.policy_uid)
        if not records:
            return []
        sides = _sides(context)
        return [_hand_back(sides, _read(sides, one.database, one.collection), one) for one in records]


def _sides(context: ApplyContext) -> _Sides:
    etcd, root_path = connected(context)
    return _Sides(milvus=connected_milvus(context), etcd=etcd, root_path=root_path, context=context)


def _check_version(client: MilvusClient) -> None:
    text = client.version()
    version = parse_version(text)
    why = f"Milvus {text} names no release" if version is None else level_is_fixed(version)
    if why is not None:
        raise ApplyError(why, retryable=False)


def _read(sides: _Sides, database: str, collection: str) -> _Level:
    path = level_record_key(sides.root_path, sides.context.policy_uid, database, collection)
    entry = sides.etcd.get(path)
    return _Level(
        database=database,
        collection=collection,
        described=_described(sides.milvus, database, collection),
        record_path=path,
        entry=entry,
        record=None if entry is None else parse_level_record(entry),
    )


def _described(client: MilvusClient, database: str, collection: str) -> milvus_pb2.DescribeCollectionResponse | None:
    try:
        return client.collection(database, collection)
    except MilvusError as error:
        if error.failure is MilvusFailure.NOT_LOADED:  # of this call: there is no such collection
            return None
        raise


def _write(sides: _Sides, now: _Level, level: str, target: str) -> str:
    """Record the level, then change it. Where Milvus refuses for good, the record is as it was before."""
    previous = now.record.previous if now.record is not None and now.ours else level
    written = (level, target) if now.ours else (target,)
    record = LevelRecord(database=now.database, collection=now.collection, previous=previous, written=written)
    recorded = _keep(sides, now, record)
    try:
        _alter(sides, now, target)
    except MilvusError as error:
        if error.failure not in _OUTCOME_UNKNOWN:
            _keep(sides, recorded, now.record)
        raise
    _settle(sides, recorded, record, target)
    return f"the consistency level of {now.name} set from {level} to {target}"


def _hand_back(sides: _Sides, now: _Level, record: LevelRecord) -> str:
    """Restore what was there before us, if what is there now is still ours; otherwise leave it and say so."""
    name, previous = f"the consistency level of {now.name}", record.previous
    restores = now.ours and now.level != previous
    if restores:
        _alter(sides, now, previous)
    _keep(sides, now, None)
    if now.level is None:
        return f"{name}: the collection is gone, and nothing is to be handed back"
    if not restores and now.level != previous:
        return f"{name} is {now.level}, set by somebody else after us, and stays"
    return f"{name} handed back: {previous}, as before us"


def _alter(sides: _Sides, now: _Level, target: str) -> None:
    assert now.described is not None, "a level that was read is of a collection that is there"
    sides.context.require_lease()
    value = property_value(now.described, target)
    sides.milvus.set_collection_property(now.database, now.collection, LEVEL_PROPERTY, value)


def _settle(sides: _Sides, now: _Level, record: LevelRecord | None, target: str) -> None:
    """Of two levels that were ours while one replaced the other, the one that is there remains."""
    if record is not None and len(record.written) > 1 and target in record.written:
        settled = LevelRecord(
            database=record.database, collection=record.collection, previous=record.previous, written=(target,)
        )
        _keep(sides, now, settled)


def _keep(sides: _Sides, now: _Level, record: LevelRecord | None) -> _Level:
    """Store this record (None: delete it) over the one that was read; the level with the record as it is then."""
    if record == now.record:
        return now
    sides.context.require_lease()
    guard = Unchanged(key=now.record_path, mod_revision=now.entry.mod_revision if now.entry else 0)
    write = Delete(key=now.record_path) if record is None else Put(key=now.record_path, value=record.text())
    if not sides.etcd.transaction(compare=[guard], then=[write]):
        raise ApplyError(f"{now.record_path} changed in etcd while it was being written", retryable=True)
    return replace(now, entry=sides.etcd.get(now.record_path), record=record)


def _changed(now: _Level, expected: str, target: str) -> PreconditionChanged:
    if now.level is None:
        return PreconditionChanged(f"there is no collection {now.name} any more")
    return PreconditionChanged(
        f"the consistency level of {now.name} is {now.level}, neither {expected} nor {target}: somebody else set it"
    )
