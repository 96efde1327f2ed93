"""The default consistency level of the collections that a policy declares one for, or has written one of.

One call per collection, at most MOST_LEVELS_PER_PASS a pass, those asked for the longest ago first; with more, what was
read counts as known for KEPT_SECONDS. Example: 100 collections and a pass every 15 s: each is read every 75 s.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from milvus_tuning.clients.collection_levels import level_of
from milvus_tuning.clients.milvus import MilvusClient, MilvusError, MilvusFailure
from milvus_tuning.snapshot import Collection

MOST_LEVELS_PER_PASS: Final = 20
KEPT_SECONDS: Final = 100.0  # above the 75 s of the example, below the 120 s in which a written level must be seen
_SILENT: Final = frozenset({MilvusFailure.UNREACHABLE, MilvusFailure.CREDENTIALS_REJECTED})

CollectionNames = frozenset[tuple[str, str]]
"""Databases and names of collections."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    level: str | None  # None: Milvus refused to describe the collection
    asked_at: float


class LevelCache:
    """The levels of one cluster by collection id. May be used from several threads.

    All times are of one clock that only goes forward, in seconds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: dict[int, _Asked] = {}

    def due(self, collections: Sequence[Collection]) -> tuple[Collection, ...]:
        """What to ask for now, those asked for the longest ago first; all others are forgotten."""
        wanted = {found.collection_id for found in collections}
        with self._lock:
            self._asked = {key: one for key, one in self._asked.items() if key in wanted}
            asked_at = {key: one.asked_at for key, one in self._asked.items()}
        oldest = sorted(collections, key=lambda found: asked_at.get(found.collection_id, -math.inf))
        return tuple(oldest[:MOST_LEVELS_PER_PASS])

    def keep(self, collection: Collection, level: str | None, now: float) -> None:
        """Keep what was read at `now`; None where it could not be."""
        with self._lock:
            self._asked[collection.collection_id] = _Asked(level=level, asked_at=now)

    def level(self, collection: Collection, now: float) -> str | None:
        """The level, None where it is not known or was read too long ago."""
        with self._lock:
            found = self._asked.get(collection.collection_id)
        return None if found is None or now - found.asked_at > KEPT_SECONDS else found.level


def with_levels(
    client: MilvusClient,
    collections: Sequence[Collection],
    names: CollectionNames,
    cache: LevelCache,
    *,
    deadline: float,
    monotonic: Callable[[], float],
) -> tuple[Collection, ...]:
    """The same collections, the named ones with their levels as far as they are known by the deadline.

    A collection that cannot be described has no level, and a Milvus that does not answer is asked no more in this pass.
    """
    wanted = [found for found in collections if (found.database, found.name) in names]
    for collection in cache.due(wanted):
        if monotonic() >= deadline:
            break
        try:
            cache.keep(collection, _level(client, collection), monotonic())
        except MilvusError as error:
            cache.keep(collection, None, monotonic())
            if error.failure in _SILENT:
                break
    now, known = monotonic(), {found.collection_id for found in wanted}
    return tuple(
        replace(found, consistency_level=cache.level(found, now)) if found.collection_id in known else found
        for found in collections
    )


def _level(client: MilvusClient, collection: Collection) -> str | None:
    """The level as Milvus tells it; None where the name belongs to another collection by now."""
    described = client.collection(collection.database, collection.name)
    return level_of(described) if described.collectionID == collection.collection_id else None
