"""Which collections' replicas and segments to read in a pass, and what is known of the others.

Replicas and segments cost two calls per collection. Up to MOST_COLLECTIONS_PER_PASS loaded collections, all are read in
every pass; what a pass had no time for counts as known while its last reading is younger than FRESH_SECONDS.

With more, the pass reads in turn: the BUSIEST_PER_PASS with the most searches per second, as those of yesterday's heat
are of no use today, and then those whose last try is the longest ago. What was read before is kept for KEPT_SECONDS,
and the coverage of the snapshot is the share of the loaded collections that were read within RECENT_SECONDS.

Example: 800 collections and a pass every 15 s. Each pass reads 50 busy ones and 150 of the others, so that all are read
after 5 passes, 75 s, and again every 75 s: coverage is 25 %, 44 %, 63 %, 81 % and then stays 100 %. With 4000 it takes
27 passes, 400 s: coverage stays near 76 %, which keeps everything from being done that needs the whole placement.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from milvus_tuning.snapshot import Collection, Replica, Segment

MOST_COLLECTIONS_PER_PASS: Final = 200
BUSIEST_PER_PASS: Final = 50
FRESH_SECONDS: Final = 60.0
RECENT_SECONDS: Final = 300.0
KEPT_SECONDS: Final = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """The replicas and segments of one collection; none of both where it was released meanwhile."""

    replicas: tuple[Replica, ...] = ()
    segments: tuple[Segment, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownPlacement:
    """What is known of the loaded collections together, in their order; coverage as the module explains it."""

    replicas: tuple[Replica, ...]
    segments: tuple[Segment, ...]
    coverage: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reading:
    placement: Placement
    read_at: float


def next_to_read(
    collections: Sequence[Collection], searches: Mapping[int, float], tried_at: Mapping[int, float]
) -> tuple[Collection, ...]:
    """The collections to read in a pass, those whose last try is the longest ago first.

    searches are searches per second by collection id where they are known; tried_at is when a collection was last
    tried, on the caller's clock. A try that failed counts as well, so that one bad collection blocks no other.
    """
    oldest = sorted(collections, key=lambda found: tried_at.get(found.collection_id, -math.inf))
    if len(oldest) <= MOST_COLLECTIONS_PER_PASS:
        return tuple(oldest)
    busiest = sorted(collections, key=lambda found: -searches.get(found.collection_id, 0.0))[:BUSIEST_PER_PASS]
    chosen = {found.collection_id for found in busiest if searches.get(found.collection_id, 0.0) > 0}
    for found in oldest:
        if len(chosen) == MOST_COLLECTIONS_PER_PASS:
            break
        chosen.add(found.collection_id)
    return tuple(found for found in oldest if found.collection_id in chosen)


class PlacementCache:
    """The readings of one cluster, by collection id. May be used from several threads: a pass may outlast its time.

    All times are of one clock that only goes forward, in seconds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tried_at: dict[int, float] = {}
        self._readings: dict[int, _Reading] = {}

    def due(self, collections: Sequence[Collection], searches: Mapping[int, float]) -> tuple[Collection, ...]:
        """The collections to read now; what is not among the loaded ones any more is forgotten."""
        loaded = {found.collection_id for found in collections}
        with self._lock:
            self._tried_at = {key: at for key, at in self._tried_at.items() if key in loaded}
            self._readings = {key: reading for key, reading in self._readings.items() if key in loaded}
            return next_to_read(collections, searches, self._tried_at)

    def tried(self, collection: Collection, now: float) -> None:
        """Note that a collection is being asked for."""
        with self._lock:
            self._tried_at[collection.collection_id] = now

    def keep(self, collection: Collection, placement: Placement, now: float) -> None:
        """Keep what was read at `now`."""
        with self._lock:
            self._readings[collection.collection_id] = _Reading(placement=placement, read_at=now)

    def known(self, collections: Sequence[Collection], now: float) -> KnownPlacement:
        """What is known of these collections at `now`."""
        many = len(collections) > MOST_COLLECTIONS_PER_PASS
        kept_seconds, counted_seconds = (KEPT_SECONDS, RECENT_SECONDS) if many else (FRESH_SECONDS, FRESH_SECONDS)
        with self._lock:
            self._readings = {key: one for key, one in self._readings.items() if now - one.read_at <= KEPT_SECONDS}
            found = [self._readings.get(collection.collection_id) for collection in collections]
        readings = [one for one in found if one is not None and now - one.read_at <= kept_seconds]
        counted = sum(1 for one in readings if now - one.read_at <= counted_seconds)
        return KnownPlacement(
            replicas=tuple(replica for one in readings for replica in one.placement.replicas),
            segments=tuple(segment for one in readings for segment in one.placement.segments),
            coverage=counted / len(collections) if collections else 1.0,
        )
