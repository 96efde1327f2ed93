"""Whether the memory of the QueryNodes takes one more copy of a collection, also with one of them lost.

Milvus deals the nodes of a group out to the replicas and does not say how; so each node is taken to be in the replica
with the fewest nodes:

    share = max(copy bytes / floor(nodes / replicas), largest segment)
    needed on a node = used - what it holds of the collection now + share

Example: 3 nodes, 6 GiB of data, 2 GiB on each of them beside 1 GiB of other collections, limit 8 GiB, load guard 90 %
(7.2 GiB). With two replicas one of them may have a single node: 1 + 6 = 7 GiB, which fits. With one node lost each of
the two others holds a whole copy and half of what the third had beside it: 1 + 0.5 + 6 = 7.5 GiB, which does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from milvus_tuning.decide.replicas.case import Case, ReplicaChange, copy_bytes, groups_of, memory_scale, nodes_of
from milvus_tuning.decide.size.context import load_guard_ratio
from milvus_tuning.decide.words import listed, percent, size
from milvus_tuning.plan import Reason, Rejection
from milvus_tuning.snapshot import QueryNode


def why_no_room(case: Case, change: ReplicaChange) -> Rejection | None:
    """Why a copy more does not fit, or None; what is not measured is no room."""
    nodes = nodes_of(case, groups_of(case, change.collection.collection_id))
    needed_bytes = copy_bytes(case, change.collection)
    unknown = _unmeasured(case, nodes)
    if needed_bytes is None or unknown:
        what = f"the memory of {listed(unknown)}" if unknown else f"the size of {change.collection.full_name}"
        return change.reject(Reason.METRICS_MISSING, f"{what} is not known: whether a copy more fits cannot be told")
    room = _room(case, change, nodes, needed_bytes)
    return room.objection(None) or room.objection_with_node_lost()


def _unmeasured(case: Case, nodes: Sequence[QueryNode]) -> list[str]:
    loads = {load.pod: load for load in case.load.nodes}
    return [
        node.pod
        for node in nodes
        if not node.memory_limit_bytes or loads[node.pod].used_bytes is None or loads[node.pod].loaded_bytes is None
    ]


def _room(case: Case, change: ReplicaChange, nodes: Sequence[QueryNode], needed_bytes: float) -> _Room:
    scale, loads = memory_scale(case), {load.pod: load for load in case.load.nodes}
    mine = [one for one in case.heat.segments if one.collection_id == change.collection.collection_id]
    listed_bytes: dict[int | None, float] = {}
    for segment in mine:
        listed_bytes[segment.node_id] = listed_bytes.get(segment.node_id, 0.0) + scale * segment.memory_bytes
    loaded = {node.pod: loads[node.pod].loaded_bytes or 0.0 for node in nodes}
    held = {node.pod: min(listed_bytes.get(node.node_id, 0.0), loaded[node.pod]) for node in nodes}
    return _Room(
        change=change,
        nodes=tuple(nodes),
        guard_ratio=load_guard_ratio(case.spec, case.snapshot),
        copy_bytes=needed_bytes,
        largest_bytes=scale * max((segment.memory_bytes for segment in mine), default=0),
        other_used={node.pod: (loads[node.pod].used_bytes or 0.0) - held[node.pod] for node in nodes},
        other_loaded={node.pod: loaded[node.pod] - held[node.pod] for node in nodes},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Room:
    """The memory of the nodes of a resource group, all of it measured, and the change that is to fit into it.

    other_used and other_loaded are bytes by pod beside the collection: all that is in use, and what is loaded.
    """

    change: ReplicaChange
    nodes: tuple[QueryNode, ...]
    guard_ratio: float
    copy_bytes: float
    largest_bytes: float
    other_used: Mapping[str, float]
    other_loaded: Mapping[str, float]

    def objection_with_node_lost(self) -> Rejection | None:
        """The two nodes that hold most of other collections are the worst to lose: each for the other at least."""
        worst = sorted(self.nodes, key=lambda node: (-self.other_loaded[node.pod], node.pod))[:2]
        return next((found for lost in worst if (found := self.objection(lost)) is not None), None)

    def objection(self, lost: QueryNode | None) -> Rejection | None:
        """The first node that would have to hold more than the load guard leaves it, or None."""
        left = [node for node in self.nodes if node != lost]
        if not left:
            return None
        share = self._share(len(left))
        passed_on = self.other_loaded[lost.pod] / len(left) if lost else 0.0
        for node in left:
            needed = self.other_used[node.pod] + passed_on + share
            room = self.guard_ratio * (node.memory_limit_bytes or 0)
            if needed > room:
                return self._rejection(node, lost, share=share, needed=needed, room=room)
        return None

    def _rejection(
        self, node: QueryNode, lost: QueryNode | None, *, share: float, needed: float, room: float
    ) -> Rejection:
        when = f"with {lost.pod} lost, " if lost else ""
        message = (
            f"{when}{node.pod} may have to hold {size(needed)}, {size(share)} of them of the {size(self.copy_bytes)} "
            f"of {self.change.collection.full_name}; the load guard of {percent(self.guard_ratio)} leaves {size(room)}"
        )
        reason = Reason.WOULD_NOT_FIT_WITH_NODE_LOST if lost else Reason.WOULD_NOT_FIT
        return self.change.reject(reason, message)

    def _share(self, nodes: int) -> float:
        """Bytes of the collection on a node of the replica with the fewest; segments are not split."""
        fewest = nodes // min(self.change.after, nodes)
        return max(self.copy_bytes / fewest, self.largest_bytes)
