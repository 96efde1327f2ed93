"""How often each in-memory replica is searched, smoothed by half-life.

    weight of a new measurement = 1 - 2^(-seconds since the last one / 60)

From 100 to 200 searches/s: 150 after a minute, 175 after two, whatever the number of passes between. A rate that is not
measured keeps its value for two half-lives; after that it is a gap, not 0. A measured 0 is 0.

A search goes to one replica and there to every QueryNode that holds segments of it, so the busiest node tells the rate
of its replica. The counters of a QueryNode (from Milvus 2.4) count one request per channel and one more for growing
segments, the proxies count searches; so nodes tell the shares of the replicas and the proxies the total. Without the
proxies' figure the nodes' is divided by the channels; without the nodes' (2.3) the replicas share evenly, which is what
Milvus aims at. 90 searches/s, two replicas whose busiest nodes count 80 and 40: 60 and 30.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from milvus_tuning.decide.heat.model import HeatMemory
from milvus_tuning.decide.load import Reader
from milvus_tuning.snapshot import Collection, Replica, Sample, Snapshot

RATE_HALF_LIFE_SECONDS = 60.0  # two of the usual one-minute rate windows: follows a shift in minutes, not a burst
KEPT_HALF_LIVES = 2.0  # by then a true change would have come through to three quarters

Key = tuple[int, int]
"""Collection id, replica id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """Smoothed searches per second by replica, when each was measured, and what is missing."""

    by_replica: Mapping[Key, float]
    rated_at: Mapping[Key, datetime]
    gaps: tuple[str, ...] = ()


def weight(passed_seconds: float, half_life_seconds: float) -> float:
    """The weight (0 to 1) of a measurement made so long after the one before."""
    return -math.expm1(-max(0.0, passed_seconds) / half_life_seconds * math.log(2))


def smoothed_rates(snapshot: Snapshot, memory: HeatMemory | None, now: datetime) -> Rates:
    """The rate of every replica of a loaded collection; a replica without one is absent, and then a gap says why.

    A collection without a segment leaves no gap: it has nothing that could be hot.
    """
    remembered = memory or HeatMemory(at=now)
    by_node = _rates_of_nodes(snapshot, now)
    filled = {segment.collection_id for segment in snapshot.segments}
    replicas: dict[int, list[Replica]] = {}
    for replica in sorted(snapshot.replicas, key=lambda one: (one.collection_id, one.replica_id)):
        replicas.setdefault(replica.collection_id, []).append(replica)
    rates: dict[Key, float] = {}
    rated_at: dict[Key, datetime] = {}
    gaps: list[str] = []
    for collection in sorted(snapshot.collections, key=lambda one: one.collection_id):
        reader = _reader(collection.full_name, snapshot, now)
        held = replicas.get(collection.collection_id, [])
        measured = _measured(collection, held, by_node, reader)
        for replica in held:
            key = (collection.collection_id, replica.replica_id)
            _remember(key, measured.get(replica.replica_id), remembered, now, rates=rates, rated_at=rated_at)
        unknown = any((collection.collection_id, replica.replica_id) not in rates for replica in held)
        if unknown and collection.collection_id in filled:
            gaps += [str(gap) for gap in reader.gaps] or [f"{collection.full_name}: searches per second missing"]
    return Rates(by_replica=rates, rated_at=rated_at, gaps=tuple(gaps))


def _remember(
    key: Key,
    measured: float | None,
    memory: HeatMemory,
    now: datetime,
    *,
    rates: dict[Key, float],
    rated_at: dict[Key, datetime],
) -> None:
    """Put the smoothed rate of one replica into rates and rated_at, or nothing where it is unknown."""
    old, at = memory.rates.get(key), memory.rated_at.get(key)
    passed = (now - at).total_seconds() if at is not None else 0.0
    if measured is not None:
        before = measured if old is None or at is None else old
        rates[key] = before + weight(passed, RATE_HALF_LIFE_SECONDS) * (measured - before)
        rated_at[key] = now
    elif old is not None and at is not None and passed <= KEPT_HALF_LIVES * RATE_HALF_LIFE_SECONDS:
        rates[key], rated_at[key] = old, at


def _measured(
    collection: Collection, replicas: Sequence[Replica], by_node: Mapping[Key, float], reader: Reader
) -> dict[int, float]:
    """Searches per second by replica id, as far as they were measured."""
    total = reader.read("searches per second", collection.searches_per_second)
    counted = {replica.replica_id: _busiest(replica, by_node) for replica in replicas}
    known = {replica_id: rate for replica_id, rate in counted.items() if rate is not None}
    if total is None:
        return {
            replica.replica_id: known[replica.replica_id] / max(1, len(replica.leaders))
            for replica in replicas
            if replica.replica_id in known
        }
    summed = math.fsum(known.values())
    if len(known) < len(replicas) or summed <= 0:
        return {replica.replica_id: total / len(replicas) for replica in replicas}
    return {replica_id: total * rate / summed for replica_id, rate in known.items()}


def _busiest(replica: Replica, by_node: Mapping[Key, float]) -> float | None:
    rates = [by_node[key] for node_id in replica.node_ids if (key := (replica.collection_id, node_id)) in by_node]
    return max(rates, default=None)


def _rates_of_nodes(snapshot: Snapshot, now: datetime) -> dict[Key, float]:
    """Requests per second by (collection id, node id), where the measurement is usable."""
    rates: dict[Key, float] = {}
    for searches in snapshot.node_searches:
        rate = usable(searches.searches_per_second, snapshot, now)
        if rate is not None:
            rates[searches.collection_id, searches.node_id] = rate
    return rates


def usable(sample: Sample, snapshot: Snapshot, now: datetime) -> float | None:
    """The value where it is fresh and complete at `now`, by the same measure as the load of the nodes."""
    return _reader("", snapshot, now).read("", sample)


def _reader(name: str, snapshot: Snapshot, now: datetime) -> Reader:
    return Reader(pod=name, passed_seconds=max(0.0, (now - snapshot.taken_at).total_seconds()))
