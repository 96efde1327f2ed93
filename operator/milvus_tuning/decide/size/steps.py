"""The steps of a change of size, with all four parts filled in."""

from __future__ import annotations

from milvus_tuning.api import QueryNodes
from milvus_tuning.plan import Step, StepKind
from milvus_tuning.snapshot import QueryNode, Replica, Segment, SegmentState, Snapshot

VICTIM_COST_BELOW_OTHERS = 1000  # far enough below to be no accident
_LOWEST_COST = -(2**31)  # pod-deletion-cost is an int32
ROW_SHRINKAGE = 0.01  # compaction may drop deleted rows while a node drains


def scale_out_steps(rules: QueryNodes, *, before: int, after: int) -> tuple[Step, ...]:
    """Ask for more QueryNodes; the former count comes back when they do not serve in time."""
    verification = {"servingCount": after, "deadlineSeconds": rules.scale_out.ready_deadline_seconds}
    return (_scale(before=before, after=after, verification=verification),)


def scale_in_steps(rules: QueryNodes, snapshot: Snapshot, victim: QueryNode, *, moved_rows: int) -> tuple[Step, ...]:
    """Mark the victim for Kubernetes, then ask for one QueryNode fewer and watch its segments arrive elsewhere."""
    before = len(snapshot.members)
    verification: dict[str, str | int | None] = {
        "servingCount": before - 1,
        "deadlineSeconds": rules.scale_in.drain_deadline_seconds,
        "pod": victim.pod,
        "podUid": victim.pod_uid,
        "leastRows": least_rows(snapshot, moved_rows),
    }
    return (_drain(snapshot, victim), _scale(before=before, after=before - 1, verification=verification))


def served_segments(snapshot: Snapshot) -> tuple[Segment, ...]:
    """Sealed segments served by members, each once per in-memory replica that has it."""
    members = {node.node_id for node in snapshot.members}
    replicas = _by_collection(snapshot.replicas)
    return tuple(
        segment
        for segment in snapshot.segments
        if segment.state is SegmentState.SEALED
        for _ in range(
            min(len(members.intersection(segment.node_ids)), len(replicas.get(segment.collection_id, ())) or 1)
        )
    )


def served_rows(snapshot: Snapshot) -> int:
    """Sealed rows served by members, each counted once per in-memory replica that has them."""
    return sum(segment.rows for segment in served_segments(snapshot))


def segments_held_by(node: QueryNode, snapshot: Snapshot) -> tuple[Segment, ...]:
    """Sealed segments that this node serves."""
    return tuple(
        segment
        for segment in snapshot.segments
        if segment.state is SegmentState.SEALED and node.node_id in segment.node_ids
    )


def least_rows(snapshot: Snapshot, moved_rows: int) -> int:
    """The rows that must be served after a drain: nearly all, and never so few that the victim's could be missing."""
    total = served_rows(snapshot)
    return total - int(min(ROW_SHRINKAGE * total, moved_rows / 2))


def _by_collection(replicas: tuple[Replica, ...]) -> dict[int, list[Replica]]:
    grouped: dict[int, list[Replica]] = {}
    for replica in replicas:
        grouped.setdefault(replica.collection_id, []).append(replica)
    return grouped


def _scale(*, before: int, after: int, verification: dict[str, str | int | None] | dict[str, int]) -> Step:
    return Step(
        kind=StepKind.SCALE_QUERY_NODES,
        precondition={"desiredCount": before},
        action={"count": after},
        verification={**verification},
        undo={"count": before},
    )


def _drain(snapshot: Snapshot, victim: QueryNode) -> Step:
    cost = _victim_cost(snapshot, victim)
    return Step(
        kind=StepKind.DRAIN_QUERY_NODE,
        precondition={
            "pod": victim.pod,
            "podUid": victim.pod_uid,
            "gracePeriodSeconds": victim.grace_period_seconds,
        },
        action={"pod": victim.pod, "deletionCost": cost},
        verification={"pod": victim.pod, "deletionCost": cost},
        undo={"pod": victim.pod, "deletionCost": victim.deletion_cost},
    )


def _victim_cost(snapshot: Snapshot, victim: QueryNode) -> int:
    """Below what any other QueryNode carries, whoever set it: Kubernetes removes the lowest first."""
    others = (node.deletion_cost or 0 for node in snapshot.query_nodes if node.pod != victim.pod)
    return max(_LOWEST_COST, min(0, min(others, default=0)) - VICTIM_COST_BELOW_OTHERS)
