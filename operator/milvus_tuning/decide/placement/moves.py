"""Moves that lower the busiest QueryNode, as far as one plan goes, with what they are expected to do.

Whether a better placement is worth it is judged without a limit of moves: the load of the busiest node has to fall by
a tenth. How much of it one plan does is another matter: the best that the limit allows, or, where so few moves lower
no maximum (four nodes equally hot, two moves), the first moves of the whole plan, whose order can be cut anywhere.

Example: nodes at 90, 40 and 40 %, segments of 0.5 % each. 66 moves would give 57 %, which is worth it; with a limit of
four the plan moves four and the next passes go on.

Row-neutral moves come in pairs (out, back), after them what is small enough to go alone; they are cut after a pair.
"""

from __future__ import annotations

import math
from collections.abc import Collection as Several
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from milvus_tuning.decide.placement.planner_input import in_runs, loads, moved
from milvus_tuning.decide.placement.steps import Relocation, move_steps, within_room
from milvus_tuning.decide.rebalancing import (
    Cluster,
    Move,
    RebalancePlan,
    Rejection,
    plan_rebalance,
    row_neutral_moves,
)
from milvus_tuning.decide.rebalancing.model import Identity
from milvus_tuning.plan import Outlook, Step
from milvus_tuning.snapshot import Snapshot

WORTHWHILE_RATIO = 0.10  # less than the model's usual error is no reason to move data
MOST_WORK = 200_000_000  # array elements, about 0.3 s: a pass every few seconds has no more for it
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Moves in their order, and the loads of the nodes before and after them; no moves where none are to be made.

    needed: how many moves the whole cure takes, 0 where it is not worth it. reach: the busiest node after all of them,
    worth it or not; bound: no placement has a lower one. rejected: obvious moves that are not made.
    """

    cluster: Cluster
    moves: tuple[Move, ...]
    needed: int
    reach: float
    bound: float
    rejected: tuple[Rejection, ...]
    members: frozenset[Identity]
    before: Mapping[Identity, float]
    after: Mapping[Identity, float]

    @property
    def rows(self) -> int:
        """Rows of what is moved."""
        return sum(segment.rows for segment in moved(self.cluster, self.moves))

    @property
    def bytes(self) -> int:
        """Memory of what is moved; Milvus's figure or an estimate."""
        return sum(segment.memory_bytes for segment in moved(self.cluster, self.moves))

    @property
    def outlook(self) -> Outlook:
        """What is expected of the moves."""
        return Outlook(
            moved_segments=len(self.moves),
            moved_rows=self.rows,
            moved_bytes=self.bytes,
            busiest_percent_before=round(100 * busiest(self.before)),
            busiest_percent_after=round(100 * busiest(self.after)),
            skew_percent_before=_skew_percent(self.before, self.members),
            skew_percent_after=_skew_percent(self.after, self.members),
        )

    def relocations(self) -> tuple[Relocation, ...]:
        """The moves with their collections."""
        return tuple(
            Relocation(
                collection_id=int(segment.collection),
                segment_id=int(move.segment),
                source_node_id=int(move.source),
                destination_node_id=int(move.destination),
            )
            for move, segment in zip(self.moves, moved(self.cluster, self.moves), strict=True)
        )


def free_placement(cluster: Cluster, members: Several[Identity]) -> Placement:
    """The best moves within the limits where nobody undoes them."""
    whole = plan_rebalance(_unlimited(cluster), work=MOST_WORK)
    if not worth_it(whole.moves, cluster):
        return _placement(cluster, members, whole, (), needed=0)
    within = plan_rebalance(cluster, work=MOST_WORK)
    return _chosen(cluster, members, whole=whole, within=within, pairs=False)


def neutral_placement(cluster: Cluster, members: Several[Identity]) -> Placement:
    """The same with moves that leave the rows of each node as they are."""
    whole = row_neutral_moves(_unlimited(cluster), work=MOST_WORK)
    if not worth_it(whole.moves, cluster):
        return _placement(cluster, members, whole, (), needed=0)
    within = row_neutral_moves(cluster, work=MOST_WORK)
    return _chosen(cluster, members, whole=whole, within=within, pairs=True)


def filled_placement(cluster: Cluster, moves: Sequence[Move], members: Several[Identity]) -> Placement:
    """The moves that fill new nodes. Nothing leaves those, so the moves can be made in any order."""
    before, after = loads(cluster), loads(cluster, moves)
    return Placement(
        cluster=cluster,
        moves=in_runs(cluster, moves),
        needed=len(moves),
        reach=busiest(after),
        bound=0.0,
        rejected=(),
        members=frozenset(members),
        before=before,
        after=after,
    )


def as_steps(placement: Placement, snapshot: Snapshot, *, hold_balancer: bool) -> tuple[Placement, tuple[Step, ...]]:
    """The placement cut to what one plan has room for, and its steps."""
    room = len(within_room(placement.relocations(), hold_balancer=hold_balancer))
    moves = placement.moves[:room]
    cut = replace(placement, moves=moves, after=loads(placement.cluster, moves))
    return cut, move_steps(cut.relocations(), snapshot, hold_balancer=hold_balancer)


def worth_it(moves: Sequence[Move], cluster: Cluster) -> bool:
    """Whether the busiest node falls by a tenth or more."""
    before = busiest(loads(cluster))
    return bool(moves) and busiest(loads(cluster, moves)) <= before * (1 - WORTHWHILE_RATIO)


def busiest(loads_: Mapping[Identity, float]) -> float:
    """The highest load."""
    return max(loads_.values(), default=0.0)


def mean(loads_: Mapping[Identity, float] | Mapping[int, float], members: Several[Identity]) -> float:
    """The mean load of the nodes that serve and stay."""
    known = sorted(load for node_id, load in loads_.items() if node_id in members)
    return math.fsum(known) / len(known) if known else 0.0


def _chosen(
    cluster: Cluster, members: Several[Identity], *, whole: RebalancePlan, within: RebalancePlan, pairs: bool
) -> Placement:
    """The best within the limits, else the first of the whole; none where those would make the busiest node busier."""
    plan = within if within.moves else whole
    limit = cluster.limits.max_moves if cluster.limits.max_moves is not None else len(plan.moves)
    count = min(limit, len(plan.moves))
    if pairs:
        moves = plan.moves[: count if count == len(plan.moves) else count - count % 2]
    else:
        moves = in_runs(cluster, plan.moves[:count])
    if busiest(loads(cluster, moves)) > busiest(loads(cluster)) * (1 + _ROUNDING):
        moves = ()
    found = _placement(cluster, members, whole, moves, needed=len(whole.moves))
    return replace(found, rejected=plan.rejected)


def _placement(
    cluster: Cluster, members: Several[Identity], whole: RebalancePlan, moves: Sequence[Move], *, needed: int
) -> Placement:
    return Placement(
        cluster=cluster,
        moves=tuple(moves),
        needed=needed,
        reach=busiest(loads(cluster, whole.moves)),
        bound=whole.lower_bound,
        rejected=whole.rejected,
        members=frozenset(members),
        before=loads(cluster),
        after=loads(cluster, moves),
    )


def _unlimited(cluster: Cluster) -> Cluster:
    return replace(cluster, limits=replace(cluster.limits, max_moves=None))


def _skew_percent(loads_: Mapping[Identity, float], members: Several[Identity]) -> int | None:
    even = mean(loads_, members)
    return round(100 * (busiest(loads_) / even - 1)) if even > 0 else None
