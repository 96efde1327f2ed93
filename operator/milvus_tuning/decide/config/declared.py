"""What each declared intent is to be now: the values of fields, and what is reckoned from measurements.

Nothing here looks for a key to write, except to find the safe range of its lever: what carries an intent in a version,
whether it may be written now and how it stands is judged by `settings`.

    spec                                      declared                              value
    loadBalancing.balanceIntervalSeconds: 60  BALANCE_INTERVAL                      60
    loadBalancing.placementOwner: Milvus      PLACEMENT_OWNER                       1
    network.maxMessageSize: 64Mi              MESSAGE_SIZE                          67108864
    network.compression: Auto                 COMPRESSION, by compression.choose    1, or not given
    storage.cache.eviction: Enabled           EVICTION_LOW, EVICTION_HIGH, EVICTION 47, 52, 1: by cache.eviction

A field that two keys carry gives its second intent only where the version has a lever for it; the first is given
always, so that it can be reported as Unsupported. `pingPong` is not here: its keys are written for a time (damping.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from milvus_tuning.api import (
    Compaction,
    Compression,
    LoadBalancing,
    MilvusTuningSpec,
    Network,
    PlacementOwner,
    Switch,
    Wal,
    number_of,
)
from milvus_tuning.catalogue import Intent, ServerVersion
from milvus_tuning.decide.config import cache, compression
from milvus_tuning.decide.config.guard import load_guard_objection
from milvus_tuning.decide.config.intents import Declared, lever_of, within_range
from milvus_tuning.plan import SettingStatus
from milvus_tuning.snapshot import Snapshot

__all__ = ["Declared", "declared", "unsupported"]

_WARMUP = (Intent.WARMUP, Intent.WARMUP_VECTOR_FIELD, Intent.WARMUP_SCALAR_INDEX, Intent.WARMUP_SCALAR_FIELD)


def declared(
    spec: MilvusTuningSpec, snapshot: Snapshot, version: ServerVersion | None, now: datetime
) -> tuple[Declared, ...]:
    """Every declared intent, safe or not; each intent once.

    With version None no lever is known, and so no safe range. What cannot be told now is not given: `unsupported`
    says what is missing.
    """
    single = (
        *_balancing(spec.load_balancing or LoadBalancing(), snapshot, version, now),
        *_consistency(spec),
        *_query_nodes(spec),
        *_network(spec.network or Network(), snapshot),
        *_wal(spec),
        *_compaction(spec),
        *_cache(spec, snapshot, now),
    )
    block = _eviction(spec, snapshot, version, now)
    return tuple(within_range(one, version) for one in (*_carried(single, version), *block))


def unsupported(spec: MilvusTuningSpec, snapshot: Snapshot, version: ServerVersion | None) -> tuple[SettingStatus, ...]:
    """How what is declared stands that no key carries, or that is not given for want of a measurement."""
    statuses: list[SettingStatus | None] = []
    if spec.network is not None and spec.network.compression is Compression.AUTO:
        choice = compression.choose(spec.network, snapshot)
        statuses.append(compression.undecided(choice) if choice.enabled is None else None)
    if spec.storage is not None and spec.storage.cache is not None:
        statuses.append(cache.budget_status(spec.storage.cache, snapshot))
        statuses.append(cache.eviction_trouble(spec, spec.storage.cache, snapshot, version))
    return tuple(status for status in statuses if status is not None)


def _carried(found: Iterable[Declared], version: ServerVersion | None) -> Iterator[Declared]:
    """The first intent of each field, and those further ones that have a lever."""
    return (one for one in found if one.intent.value == one.intent.field or lever_of(one.intent, version) is not None)


def _balancing(
    balancing: LoadBalancing, snapshot: Snapshot, version: ServerVersion | None, now: datetime
) -> Iterator[Declared]:
    if balancing.placement_owner is not None:
        yield Declared(intent=Intent.PLACEMENT_OWNER, value=int(balancing.placement_owner is PlacementOwner.MILVUS))
    yield from _number(Intent.BALANCE_INTERVAL, balancing.balance_interval_seconds)
    yield from _number(Intent.BALANCE_TOLERANCE, balancing.balance_tolerance_percent)
    guard = balancing.overloaded_memory_percent
    if guard is not None:
        loaded = load_guard_objection(snapshot, now, percent=guard)
        objection = loaded or cache.watermark_objection(snapshot, version, percent=guard)
        yield Declared(intent=Intent.OVERLOADED_MEMORY, value=guard, objection=objection)
    if balancing.routing is not None:
        yield Declared(intent=Intent.ROUTING, value=balancing.routing.value)


def _consistency(spec: MilvusTuningSpec) -> Iterator[Declared]:
    yield from _number(Intent.STALENESS, spec.consistency.staleness_milliseconds if spec.consistency else None)


def _query_nodes(spec: MilvusTuningSpec) -> Iterator[Declared]:
    yield from _number(Intent.READ_CONCURRENCY, spec.query_nodes.read_concurrency_percent if spec.query_nodes else None)


def _network(network: Network, snapshot: Snapshot) -> Iterator[Declared]:
    if network.compression is Compression.AUTO:
        choice = compression.choose(network, snapshot)
        if choice.enabled is not None:
            yield Declared(intent=Intent.COMPRESSION, value=int(choice.enabled), note=choice.note)
    elif network.compression is not None:
        yield Declared(intent=Intent.COMPRESSION, value=int(network.compression is Compression.ENABLED))
    yield from _number(Intent.POOL_OF_PROXIES, network.connection_pool_size)
    yield from _number(Intent.POOL_OF_LEADERS, network.connection_pool_size)
    yield from _quantity(Intent.MESSAGE_SIZE, network.max_message_size)
    yield from _number(Intent.KEEPALIVE, network.keepalive_seconds)


def _wal(spec: MilvusTuningSpec) -> Iterator[Declared]:
    wal = (spec.storage.wal if spec.storage else None) or Wal()
    yield from _number(Intent.WAL_FLUSH, wal.flush_interval_milliseconds)
    yield from _number(Intent.WAL_FLUSH_LOCAL, wal.flush_interval_milliseconds)
    yield from _quantity(Intent.INSERT_BUFFER, wal.insert_buffer_size)
    yield from _number(Intent.MEMORY_SYNC, wal.memory_sync_percent)


def _compaction(spec: MilvusTuningSpec) -> Iterator[Declared]:
    compaction = spec.storage.compaction if spec.storage else None
    if compaction is not None:
        yield Declared(intent=Intent.COMPACTION, value=int(compaction is Compaction.AUTOMATIC))


def _cache(spec: MilvusTuningSpec, snapshot: Snapshot, now: datetime) -> Iterator[Declared]:
    found = spec.storage.cache if spec.storage else None
    if found is None:
        return
    if found.warmup is not None:
        for intent in _WARMUP:
            yield Declared(intent=intent, value=found.warmup.value)
    if found.mmap is not None:
        on = found.mmap is Switch.ENABLED
        objection = None if on else cache.mmap_objection(spec, snapshot, now)
        for intent in (Intent.MMAP, Intent.MMAP_VECTOR_FIELD):
            yield Declared(intent=intent, value=int(on), objection=objection)


def _eviction(
    spec: MilvusTuningSpec, snapshot: Snapshot, version: ServerVersion | None, now: datetime
) -> tuple[Declared, ...]:
    found = spec.storage.cache if spec.storage else None
    return () if found is None else cache.eviction(spec, found, snapshot, version, now)


def _number(intent: Intent, number: int | None) -> Iterator[Declared]:
    if number is not None:
        yield Declared(intent=intent, value=number)


def _quantity(intent: Intent, quantity: str | None) -> Iterator[Declared]:
    if quantity is not None:
        yield Declared(intent=intent, value=number_of(quantity))
