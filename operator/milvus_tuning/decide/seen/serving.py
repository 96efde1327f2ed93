"""Whether the QueryNodes that are ready and stay serve everything: each shard and sealed segment of each replica."""

from __future__ import annotations

from milvus_tuning.decide.words import listed
from milvus_tuning.snapshot import ProblemKind, SegmentState, Snapshot

UNTRUSTED = (
    ProblemKind.MILVUS_UNREACHABLE,
    ProblemKind.MILVUS_CREDENTIALS_REJECTED,
    ProblemKind.NODE_IDENTITY_UNKNOWN,
)


def not_served(snapshot: Snapshot) -> str | None:
    """What of the collections is not served by the members, or not known to be; None where everything is."""
    untrusted = snapshot.problem(*UNTRUSTED)
    if untrusted is not None:
        return f"the placement is not known: {untrusted.message}"
    if snapshot.placement_coverage < 1:
        return f"the placement is known of {snapshot.placement_coverage * 100:.0f} % of the collections"
    loading = [collection.name for collection in snapshot.collections if collection.load_percent < 100]
    if loading:
        return f"{listed(loading)} not fully loaded"
    homeless = _homeless_segments(snapshot)
    if homeless:
        return f"{len(homeless)} segments are not served by the QueryNodes that stayed ({listed(map(str, homeless))})"
    leaderless = _leaderless_shards(snapshot)
    return f"the QueryNodes that stayed do not lead {listed(leaderless)}" if leaderless else None


def _leaderless_shards(snapshot: Snapshot) -> list[str]:
    """Channels whose shard leader is another node than a member: searches of them fail, or are about to move."""
    members = {node.node_id for node in snapshot.members}
    return [channel for one in snapshot.replicas for channel, leader in one.leaders if leader not in members]


def _homeless_segments(snapshot: Snapshot) -> list[int]:
    """Sealed segments that some replica of their collection does not serve from a member, or that others still hold."""
    members = {node.node_id for node in snapshot.members}
    homeless = []
    for segment in snapshot.segments:
        if segment.state is not SegmentState.SEALED:
            continue
        copies = [set(one.node_ids) for one in snapshot.replicas if one.collection_id == segment.collection_id]
        holders = members.intersection(segment.node_ids)
        elsewhere = set(segment.node_ids) - members
        if elsewhere or not holders or not all(holders & copy for copy in copies):
            homeless.append(segment.segment_id)
    return homeless
