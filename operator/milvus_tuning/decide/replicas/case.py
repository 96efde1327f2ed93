"""The facts of one decision about in-memory replicas, and what one copy of a collection is in them.

The bytes of a copy are those of the heat model, in the scale of what the nodes measure: where they have more loaded
than the model adds up to, each copy counts for that much more. Example: the model says 2 GiB a copy and 10 GiB for all,
the nodes have 15 GiB loaded: 3 GiB a copy.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from milvus_tuning.api import InMemoryReplicas, MilvusTuningSpec
from milvus_tuning.catalogue import ServerVersion, parse_version
from milvus_tuning.decide.heat.model import CollectionHeat, HeatMap
from milvus_tuning.decide.load import ClusterLoad
from milvus_tuning.decide.placement.planner_input import resource_groups
from milvus_tuning.decide.replicas.gain import load_factor
from milvus_tuning.plan import Reason, Rejection
from milvus_tuning.snapshot import Collection, QueryNode, Segment, SegmentState, Snapshot

GROWING_OVERHEAD: Final = 1.2  # bytes of a row over those of its vectors, as in the heat model


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """The facts and rules of one decision about in-memory replicas."""

    spec: MilvusTuningSpec
    rules: InMemoryReplicas
    snapshot: Snapshot
    heat: HeatMap
    load: ClusterLoad
    gain_of_second: float

    @property
    def version(self) -> ServerVersion | None:
        """Milvus's version, None where it cannot be read."""
        return parse_version(self.snapshot.milvus_version)

    @property
    def count(self) -> int:
        """The QueryNodes there are."""
        return len(self.snapshot.members)

    def replicas_of(self, collection_id: int) -> int:
        """In-memory replicas of a collection."""
        return sum(1 for replica in self.snapshot.replicas if replica.collection_id == collection_id)

    def heat_of(self, collection_id: int) -> CollectionHeat | None:
        """What the heat map says of a collection."""
        return next((one for one in self.heat.collections if one.collection_id == collection_id), None)

    def load_factor(self, change: ReplicaChange) -> float:
        """What becomes of computation by this change; 1 where the heat of the collection is not known."""
        hot = self.heat_of(change.collection.collection_id)
        return load_factor(
            share_ratio=hot.share_ratio if hot else 0.0,
            before=change.before,
            after=change.after,
            gain_of_second=self.gain_of_second,
        )

    def bounds(self, collection: Collection) -> tuple[int, int]:
        """Fewest and most replicas of a collection; what is said of the collection itself counts more."""
        own = next(
            (
                one
                for one in self.rules.collections or ()
                if (one.database, one.name) == (collection.database, collection.name)
            ),
            None,
        )
        least, most = own.min_count if own else None, own.max_count if own else None
        return least or self.rules.min_count, most or self.rules.max_count


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicaChange:
    """One collection and another number of replicas for it."""

    collection: Collection
    before: int
    after: int

    @property
    def alternative(self) -> str:
        """What it is called among the alternatives."""
        return f"SetReplicaNumber {self.collection.full_name} {self.before} -> {self.after}"

    def reject(self, reason: Reason, message: str) -> Rejection:
        """This change, turned down."""
        return Rejection(alternative=self.alternative, reason=reason, message=message)


def groups_of(case: Case, collection_id: int) -> tuple[str, ...]:
    """Names of the resource groups that the replicas of a collection are in, each once."""
    mine = (replica for replica in case.snapshot.replicas if replica.collection_id == collection_id)
    return tuple(sorted({replica.resource_group for replica in mine}))


def nodes_of(case: Case, groups: Sequence[str]) -> tuple[QueryNode, ...]:
    """The members that are in these resource groups."""
    groups_by_node = resource_groups(case.snapshot)
    members = case.snapshot.members
    return tuple(node for node in members if node.node_id is not None and groups_by_node.get(node.node_id) in groups)


def copy_bytes(case: Case, collection: Collection) -> float | None:
    """Memory of one copy of a collection; None where a part of it has no known size."""
    sealed, growing = segments_of(case.snapshot, collection.collection_id)
    sizes: Counter[int] = Counter()
    seen: set[int] = set()
    for segment in case.heat.segments:
        if segment.collection_id == collection.collection_id:
            sizes[segment.replica_id] += segment.memory_bytes
            seen.add(segment.segment_id)
    if not sealed.keys() <= seen:
        return None
    return memory_scale(case) * (max(sizes.values(), default=0) + _growing_bytes(collection, growing))


def memory_scale(case: Case) -> float:
    """What the nodes have loaded, over what the heat model adds up to on them; 1 at least."""
    measured = {load.pod: load.loaded_bytes for load in case.load.nodes if load.loaded_bytes is not None}
    known = {node.node_id for node in case.snapshot.members if node.pod in measured}
    modelled = math.fsum(segment.memory_bytes for segment in case.heat.segments if segment.node_id in known)
    return max(1.0, math.fsum(measured.values()) / modelled) if modelled else 1.0


def segments_of(snapshot: Snapshot, collection_id: int) -> tuple[dict[int, Segment], list[Segment]]:
    """The sealed segments by id, and the growing ones."""
    mine = [segment for segment in snapshot.segments if segment.collection_id == collection_id]
    sealed = {segment.segment_id: segment for segment in mine if segment.state is SegmentState.SEALED}
    return sealed, [segment for segment in mine if segment.state is not SegmentState.SEALED]


def _growing_bytes(collection: Collection, growing: Sequence[Segment]) -> float:
    """Bytes of what still takes inserts, on top of the sealed segments; without a shape it counts for nothing more."""
    per_row = GROWING_OVERHEAD * collection.shape.vector_bytes if collection.shape else 0.0
    return per_row * sum(segment.rows for segment in growing)
