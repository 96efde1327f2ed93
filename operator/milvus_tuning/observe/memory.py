"""What one pass leaves to the next about a cluster: placement, shapes, levels, what processes read, how busy each
collection was.

It belongs to one connection: with another address or other credentials another cluster may be behind the same name, and
nothing is remembered of the former one.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable, Mapping, Sequence

from milvus_tuning.clients.connect import MOST_TARGETS_KEPT
from milvus_tuning.observe.levels import CollectionNames, LevelCache
from milvus_tuning.observe.placement_cache import PlacementCache
from milvus_tuning.observe.probes import ProbeCache
from milvus_tuning.observe.read_back import ReadBackCache
from milvus_tuning.observe.shapes import ShapeCache
from milvus_tuning.snapshot import Collection, OwnedLevel


class ClusterMemory:
    """The memory of one connection. May be used from several threads."""

    def __init__(self) -> None:
        self.placement = PlacementCache()
        self.shapes = ShapeCache()
        self.levels = LevelCache()
        self.read_back = ReadBackCache()
        self.probes = ProbeCache()
        self._searches: Mapping[int, float] = {}
        self._owned_levels: CollectionNames = frozenset()

    @property
    def searches(self) -> Mapping[int, float]:
        """Searches per second by collection id in the last pass that knew them."""
        return self._searches

    def note_searches(self, collections: Iterable[Collection]) -> None:
        """Remember how busy each collection is; a pass without a single number leaves what was known."""
        found = {one.collection_id: one.searches_per_second.value for one in collections}
        known = {key: value for key, value in found.items() if value is not None}
        self._searches = known or self._searches

    @property
    def owned_levels(self) -> CollectionNames:
        """The collections whose level a policy had written as of the last pass: records in etcd tell, not the spec."""
        return self._owned_levels

    def note_owned_levels(self, owned: Mapping[str, Sequence[OwnedLevel]]) -> None:
        """Remember whose levels are ours, by policy uid, so that the next pass reads them."""
        self._owned_levels = frozenset((one.database, one.collection) for levels in owned.values() for one in levels)


class Memories:
    """The memories of all clusters that are observed, at most MOST_TARGETS_KEPT. May be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Hashable, tuple[object, ClusterMemory]] = {}

    def of(self, target: Hashable, connection: object) -> ClusterMemory:
        """The memory of a target; a new one where the connection is another than the one before."""
        with self._lock:
            kept = self._kept.pop(target, None)
            found = kept if kept is not None and kept[0] is connection else (connection, ClusterMemory())
            self._kept[target] = found
            while len(self._kept) > MOST_TARGETS_KEPT:
                self._kept.pop(next(iter(self._kept)))
            return found[1]
