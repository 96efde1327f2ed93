"""Why a node stays hot: the obvious moves off it, each with the rule that is in their way."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from milvus_tuning.decide.rebalancing.arrays import Group
from milvus_tuning.decide.rebalancing.bounds import lower_bound
from milvus_tuning.decide.rebalancing.groups import STAYS
from milvus_tuning.decide.rebalancing.model import Cluster
from milvus_tuning.decide.rebalancing.outcome import Refusal, Rejection
from milvus_tuning.decide.rebalancing.search import AIM, WORTHWHILE_RATIO
from milvus_tuning.decide.rebalancing.state import Allowance

SEGMENTS_PER_GROUP = 5


def rejections(
    cluster: Cluster, group: Group, left: Allowance, *, total_left: int, otherwise: Refusal
) -> Iterator[Rejection]:
    """For the hottest node of a group that is not balanced: its hottest segments, to the coolest node of each.

    `otherwise` is the reason where no hard rule is in the way.
    """
    loads = group.loads
    hottest = int(loads.argmax())
    if loads[hottest] * (1 - WORTHWHILE_RATIO) < lower_bound(group) * AIM:
        return
    mine = np.flatnonzero((group.node == hottest) & (group.heat > 0))
    for segment in mine[np.argsort(-group.heat[mine], kind="stable")][:SEGMENTS_PER_GROUP].tolist():
        others = group.member[group.row[segment]].copy()
        others[hottest] = False
        coolest = int(np.where(others, loads, np.inf).argmin()) if others.any() else -1
        yield Rejection(
            segment=cluster.segments[int(group.positions[segment])].id,
            destination=group.node_ids[coolest] if coolest >= 0 else None,
            reason=_reason(group, segment, coolest, left, total_left) or otherwise,
        )


def _reason(group: Group, segment: int, to: int, left: Allowance, total_left: int) -> Refusal | None:
    """The first rule in the way, in the order of their hardness; None where none is."""
    source = int(group.node[segment])
    if group.stays[segment]:
        return STAYS[int(group.stays[segment]) - 1]
    if to < 0:
        return Refusal.NO_OTHER_NODE
    load_there = float((group.node_heat[to] + group.heat[segment]) / group.cpu[to])
    rules = (
        (bool(group.cordoned[to]), Refusal.CORDONED),
        (bool(group.above_ceiling[to]), Refusal.OVER_CEILING),
        (group.used_bytes[to] + group.size[segment] > group.ceiling_bytes[to], Refusal.MEMORY),
        (total_left < 1, Refusal.MOVE_LIMIT),
        (min(left.per_node[source], left.per_node[to]) < 1, Refusal.NODE_MOVE_LIMIT),
        (load_there >= group.loads[source], Refusal.NO_GAIN),
    )
    return next((refusal for broken, refusal in rules if broken), None)
