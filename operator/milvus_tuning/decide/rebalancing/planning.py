"""A plan from a search in each group: what the free planner and the row-neutral one have in common.

Groups share no node, so each is searched by itself; the one that is furthest above its floor is served first, as the
limits on moves are the plan's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from milvus_tuning.decide.rebalancing.arrays import Group
from milvus_tuning.decide.rebalancing.bounds import floor, lower_bound, summarise, summary
from milvus_tuning.decide.rebalancing.groups import groups
from milvus_tuning.decide.rebalancing.model import Cluster, Move
from milvus_tuning.decide.rebalancing.outcome import GroupOutcome, RebalancePlan, Refusal
from milvus_tuning.decide.rebalancing.rejections import rejections
from milvus_tuning.decide.rebalancing.state import UNLIMITED, Allowance, Budget

WORK_PER_SEGMENT = 20_000
WORK_AT_LEAST = 100_000_000
"""Array elements looked at. About 1 to 2 ns each: seconds for small clusters, minutes for a million segments."""

Search = Callable[[Group, Allowance, Budget], list[tuple[int, int]]]
"""From a group to moves (segment, destination) in the order in which they can be carried out."""


def budget_of(cluster: Cluster, out_of_time: Callable[[], bool], work: int | None) -> Budget:
    """The work that a plan for this cluster may take."""
    usual = max(WORK_AT_LEAST, WORK_PER_SEGMENT * len(cluster.segments))
    return Budget(usual if work is None else work, out_of_time)


def plan_by(cluster: Cluster, search: Search, budget: Budget, *, refused: Refusal) -> RebalancePlan:
    """Search each group. `refused` is why an obvious move is left out where no hard rule is in its way.

    Raises ConfigError where the cluster contradicts itself.
    """
    found = groups(cluster)
    limits = cluster.limits
    total = UNLIMITED if limits.max_moves is None else limits.max_moves
    per_node = UNLIMITED if limits.max_moves_per_node is None else limits.max_moves_per_node
    order = sorted(range(len(found)), key=lambda at: (-_urgency(found[at]), at))
    planned: dict[int, list[tuple[int, int]]] = {}
    left: dict[int, Allowance] = {}
    for at in order:
        group = found[at]
        allowance = Allowance(total=total, per_node=np.full(len(group.cpu), per_node, dtype=np.int64))
        planned[at] = search(group, allowance, budget)
        total -= len(planned[at])
        left[at] = allowance.after(group, planned[at])
    after = [_carried_out(group, planned[at]) for at, group in enumerate(found)]
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
            for rejection in rejections(
                cluster, group, left[at], total_left=total, otherwise=Refusal.BUDGET if budget.spent else refused
            )
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
