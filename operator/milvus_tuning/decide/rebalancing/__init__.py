"""Better places for hot segments: a pure planner over one cluster as it is.

Hard, at every point while the moves are carried out one after the other in their order:

1. A segment moves only among the nodes of its replica in its resource group; pinned segments and those in flight stay.
2. Memory on a destination, which holds the segment beside all it has, is at most memory_bytes x memory_ceiling_ratio.
   A node that is above that at the start only sheds.
3. Cordoned nodes take nothing in.
4. At most max_moves moves, at most max_moves_per_node of them in or out of one node.

Then, in this order, for each group (see `groups`) by itself:

5. The lowest maximum of the node loads, down to AIM above what is possible at all (`bounds.floor`). Gains under
   WORTHWHILE_RATIO are no reason for a plan.
6. The fewest bytes moved: memory, network and warm caches are what a move costs.

Where the plan's move limit is short, groups are served in order of how far they are above their floor. Two nodes of
cpu 1, segments of heat 4, 3 and 1 on the first, none on the second: floor 4, and moving 4 or the other two reaches it;
the fewer bytes decide.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from milvus_tuning.decide.rebalancing.arrays import Group
from milvus_tuning.decide.rebalancing.bounds import floor, lower_bound, summarise, summary
from milvus_tuning.decide.rebalancing.groups import groups
from milvus_tuning.decide.rebalancing.model import Cluster, Leader, Limits, Move, Node, Replica, Segment
from milvus_tuning.decide.rebalancing.outcome import (
    GroupOutcome,
    LoadSummary,
    RebalancePlan,
    Refusal,
    Rejection,
)
from milvus_tuning.decide.rebalancing.rejections import rejections
from milvus_tuning.decide.rebalancing.search import search
from milvus_tuning.decide.rebalancing.state import UNLIMITED, Allowance, Budget

__all__ = [
    "Cluster",
    "GroupOutcome",
    "Leader",
    "Limits",
    "LoadSummary",
    "Move",
    "Node",
    "RebalancePlan",
    "Refusal",
    "Rejection",
    "Replica",
    "Segment",
    "plan_rebalance",
]

WORK_PER_SEGMENT = 20_000
WORK_AT_LEAST = 100_000_000
"""Array elements looked at. About 1 to 2 ns each: seconds for small clusters, minutes for a million segments."""


def plan_rebalance(
    cluster: Cluster, *, out_of_time: Callable[[], bool] = lambda: False, work: int | None = None
) -> RebalancePlan:
    """Plan the moves for a cluster. Raises ConfigError where the cluster contradicts itself.

    work bounds the search in array elements looked at (default: by the number of segments), so that the same input
    gives the same plan on any machine; out_of_time cuts off, and then the best so far is returned as truncated.
    """
    found = groups(cluster)
    limits = cluster.limits
    budget = Budget(
        work if work is not None else max(WORK_AT_LEAST, WORK_PER_SEGMENT * len(cluster.segments)), out_of_time
    )
    total = UNLIMITED if limits.max_moves is None else limits.max_moves
    per_node = UNLIMITED if limits.max_moves_per_node is None else limits.max_moves_per_node
    planned: dict[int, list[tuple[int, int]]] = {}
    left: dict[int, Allowance] = {}
    for at in sorted(range(len(found)), key=lambda at: (-_urgency(found[at]), at)):
        group = found[at]
        allowance = Allowance(total=total, per_node=np.full(len(group.cpu), per_node, dtype=np.int64))
        planned[at] = search(group, allowance, budget)
        total -= len(planned[at])
        left[at] = allowance.after(group, planned[at])
    after = [_carried_out(group, planned[at]) for at, group in enumerate(found)]
    order = sorted(planned, key=lambda at: (-_urgency(found[at]), at))
    return RebalancePlan(
        moves=tuple(move for at in order for move in _moves(cluster, found[at], planned[at])),
        moved_bytes=sum(int(found[at].size[segment]) for at in order for segment, _ in planned[at]),
        before=summarise(found),
        after=summarise(after),
        lower_bound=max((lower_bound(group) for group in found), default=0.0),
        truncated=budget.spent,
        rejected=tuple(
            rejection
            for at, group in enumerate(after)
            for rejection in rejections(cluster, group, left[at], total_left=total, truncated=budget.spent)
        ),
        groups=tuple(_outcome(group, after[at], planned[at]) for at, group in enumerate(found)),
    )


def _urgency(group: Group) -> float:
    bound = floor(group)
    return float(group.loads.max()) / bound if bound > 0 else 0.0


def _carried_out(group: Group, moves: list[tuple[int, int]]) -> Group:
    node = group.node.copy()
    for segment, destination in moves:
        node[segment] = destination
    return group.moved(node)


def _moves(cluster: Cluster, group: Group, moves: list[tuple[int, int]]) -> list[Move]:
    node, named = group.node.copy(), []
    for segment, destination in moves:
        named.append(
            Move(
                segment=cluster.segments[int(group.positions[segment])].id,
                source=group.node_ids[int(node[segment])],
                destination=group.node_ids[destination],
            )
        )
        node[segment] = destination
    return named


def _outcome(before: Group, after: Group, moves: list[tuple[int, int]]) -> GroupOutcome:
    return GroupOutcome(
        resource_group=before.resource_group,
        nodes=before.node_ids,
        before=summary(before),
        after=summary(after),
        lower_bound=lower_bound(before),
        moves=len(moves),
    )
