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

from milvus_tuning.decide.rebalancing.milvus_balancer import balancer_moves
from milvus_tuning.decide.rebalancing.model import Cluster, Leader, Limits, Move, Node, Replica, Segment
from milvus_tuning.decide.rebalancing.outcome import (
    GroupOutcome,
    LoadSummary,
    RebalancePlan,
    Refusal,
    Rejection,
)
from milvus_tuning.decide.rebalancing.planning import budget_of, plan_by
from milvus_tuning.decide.rebalancing.search import search
from milvus_tuning.decide.rebalancing.swaps import row_neutral_moves

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
    "balancer_moves",
    "plan_rebalance",
    "row_neutral_moves",
]


def plan_rebalance(
    cluster: Cluster, *, out_of_time: Callable[[], bool] = lambda: False, work: int | None = None
) -> RebalancePlan:
    """Plan the moves for a cluster. Raises ConfigError where the cluster contradicts itself.

    work bounds the search in array elements looked at (default: by the number of segments), so that the same input
    gives the same plan on any machine; out_of_time cuts off, and then the best so far is returned as truncated.
    """
    return plan_by(cluster, search, budget_of(cluster, out_of_time, work), refused=Refusal.NOT_WORTH_IT)
