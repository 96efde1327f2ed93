"""Three ways to relieve the busiest QueryNode, with what each costs and is expected to do.

    Rebalance    segments change places      costs the bytes that move        effect: what the planner predicts
    Replica      a copy more of what is hot  costs its memory once more       busiest x (1 - share + share x gain ratio)
    QueryNode    a node more                 costs a pod                      busiest x n / (n + 1)

A new node takes its part of everything, but a segment is not split: the busiest cannot fall below what its hottest
segment takes. `replicas.gain` has the gain ratio.

Example: two QueryNodes, the busiest at 92 %, the mean at 75 %; one collection makes 90 % of the heat.

    Rebalance    4 moves                                    92 % -> 78 %
    Replica      SetReplicaNumber default.products 1 -> 2   92 x (0.1 + 0.9 / 1.7) = 58 %
    QueryNode    ScaleOut 2 -> 3                            92 x 2 / 3 = 61 %

They are told beside what choice.py chose, the cheapest first. A replica counts as possible only where QueryNodes do
not come first, as in the rules for nodes and replicas; before Milvus 2.4.13 it never does.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.catalogue import parse_version
from milvus_tuning.decide.gates import closed_size_gate
from milvus_tuning.decide.heat.model import HeatMap
from milvus_tuning.decide.load import ClusterLoad, cluster_load
from milvus_tuning.decide.replicas.case import Case, ReplicaChange, copy_bytes
from milvus_tuning.decide.replicas.checks import find_growth, hottest, next_node_count
from milvus_tuning.decide.replicas.gain import GAIN_OF_SECOND
from milvus_tuning.decide.words import size
from milvus_tuning.plan import Decision, Outlook, Reason, Rejection
from milvus_tuning.snapshot import Snapshot


class RemedyKind(enum.StrEnum):
    """The three ways, the cheapest first."""

    REBALANCE = "Rebalance"
    REPLICA = "Replica"
    QUERY_NODE = "QueryNode"


_WISH: Final[Mapping[RemedyKind, Reason]] = MappingProxyType(
    {
        RemedyKind.REBALANCE: Reason.HOT_NODE,
        RemedyKind.REPLICA: Reason.HOT_COLLECTION,
        RemedyKind.QUERY_NODE: Reason.SCALE_OUT_COMPUTATION,
    }
)

_NO_MOVES: Final = frozenset(
    {Reason.NO_BETTER_PLACEMENT, Reason.NO_NEUTRAL_SWAP, Reason.MOVES_UNDONE, Reason.ROLLED_BACK}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Remedy:
    """One way, what it costs, and what it is expected to do to the busiest QueryNode (in percent of its computation).

    capacity_gain_ratio: how much more load the busiest carries before it is where it is now (1.5: half as much again).
    What is not known is None. reason and why_not say what is in the way where it is not possible; otherwise the reason
    is the one that the change would have.
    """

    kind: RemedyKind
    description: str
    possible: bool
    reason: Reason
    cost: str
    why_not: str = ""
    busiest_percent_before: int | None = None
    busiest_percent_after: int | None = None
    capacity_gain_ratio: float | None = None

    @property
    def helps(self) -> bool:
        """Whether it can be done and is expected to do any good."""
        return self.possible and (self.capacity_gain_ratio or 0.0) > 1.0


def remedies(
    spec: MilvusTuningSpec,
    snapshot: Snapshot,
    heat: HeatMap,
    now: datetime,
    *,
    rebalance: Outlook | Rejection | None = None,
    gain_of_second: float = GAIN_OF_SECOND,
) -> tuple[Remedy, ...]:
    """The three ways, the cheapest first.

    rebalance is what a better placement is expected to do, or why there is none; None: nobody looked.
    """
    load = cluster_load(snapshot, now)
    return (
        _rebalance(rebalance),
        _replica(spec, snapshot, heat, load, gain_of_second),
        _query_node(spec, snapshot, heat, load),
    )


def rebalance_of(placement: Decision | None) -> Outlook | Rejection | None:
    """What the decision on the placement says about the first way: its outlook, or that there is nothing better."""
    if placement is None:
        return None
    if placement.outlook is not None and (placement.steps or placement.reason is Reason.HOT_NODE):
        return placement.outlook
    if placement.reason not in _NO_MOVES:
        return None
    return Rejection(alternative=str(RemedyKind.REBALANCE), reason=placement.reason, message=placement.message)


def as_rejections(remedies: Sequence[Remedy], chosen: Remedy | None) -> tuple[Rejection, ...]:
    """The ways that were not chosen, with what each would have done."""
    return tuple(
        Rejection(alternative=one.description, reason=_reason_against(one, chosen), message=_against(one, chosen))
        for one in remedies
        if chosen is None or one.kind is not chosen.kind
    )


# -- the three ways ---------------------------------------------------------------------------------------------------


def _rebalance(rebalance: Outlook | Rejection | None) -> Remedy:
    if isinstance(rebalance, Outlook):
        before, after = rebalance.busiest_percent_before, rebalance.busiest_percent_after
        moved = f"{size(rebalance.moved_bytes)} moved" if rebalance.moved_bytes is not None else "moves"
        return Remedy(
            kind=RemedyKind.REBALANCE,
            description=f"{rebalance.moved_segments} move{'' if rebalance.moved_segments == 1 else 's'}",
            possible=True,
            reason=Reason.HOT_NODE,
            cost=moved,
            busiest_percent_before=before,
            busiest_percent_after=after,
            capacity_gain_ratio=before / after if before and after else None,
        )
    none = Rejection(alternative="", reason=Reason.NO_BETTER_PLACEMENT, message="no better placement is known")
    against = rebalance or none
    return Remedy(
        kind=RemedyKind.REBALANCE,
        description=str(RemedyKind.REBALANCE),
        possible=False,
        reason=against.reason,
        cost="moves",
        why_not=against.message,
    )


def _replica(
    spec: MilvusTuningSpec, snapshot: Snapshot, heat: HeatMap, load: ClusterLoad, gain_of_second: float
) -> Remedy:
    if spec.in_memory_replicas is None:
        return _no_replica(Reason.NOT_MANAGED, "inMemoryReplicas is not declared")
    if heat.gaps:
        return _no_replica(Reason.HEAT_UNKNOWN, heat.gaps[0])
    case = Case(
        spec=spec,
        rules=spec.in_memory_replicas,
        snapshot=snapshot,
        heat=heat,
        load=load,
        gain_of_second=gain_of_second,
    )
    change, rejected = find_growth(case)
    shown = change or hottest(case)
    if shown is None:
        return _no_replica(Reason.STEADY, "no collection makes a fifth of the heat")
    remedy = replica_remedy(case, shown)
    if change is not None:
        return remedy
    return replace(remedy, possible=False, reason=rejected[0].reason, why_not=rejected[0].message)


def _no_replica(reason: Reason, why_not: str) -> Remedy:
    return Remedy(
        kind=RemedyKind.REPLICA,
        description=str(RemedyKind.REPLICA),
        possible=False,
        reason=reason,
        cost="memory of a copy more",
        why_not=why_not,
    )


def replica_remedy(case: Case, change: ReplicaChange) -> Remedy:
    """One replica more of a collection, as a remedy."""
    factor, busiest = case.load_factor(change), case.load.signal.computation_ratio
    copy = copy_bytes(case, change.collection)
    return Remedy(
        kind=RemedyKind.REPLICA,
        description=change.alternative,
        possible=True,
        reason=Reason.HOT_COLLECTION,
        cost="memory of a copy more" if copy is None else f"{size(copy)} of memory",
        busiest_percent_before=_percent(busiest),
        busiest_percent_after=_percent(None if busiest is None else busiest * factor),
        capacity_gain_ratio=1 / factor,
    )


def _query_node(spec: MilvusTuningSpec, snapshot: Snapshot, heat: HeatMap, load: ClusterLoad) -> Remedy:
    before = len(snapshot.members)
    after = next_node_count(snapshot, parse_version(snapshot.milvus_version))
    against = _why_no_node(spec, snapshot, after)
    busiest = load.signal.computation_ratio
    floor = _hottest_segment_ratio(snapshot, heat)
    lowered = None if busiest is None else min(busiest, max(busiest * before / after, floor))
    return Remedy(
        kind=RemedyKind.QUERY_NODE,
        description=f"ScaleOut {before} -> {after}",
        possible=against is None,
        reason=against[0] if against else Reason.SCALE_OUT_COMPUTATION,
        cost=_pods(snapshot, after - before),
        why_not=against[1] if against else "",
        busiest_percent_before=_percent(busiest),
        busiest_percent_after=_percent(lowered),
        capacity_gain_ratio=busiest / lowered if busiest and lowered else None,
    )


def _why_no_node(spec: MilvusTuningSpec, snapshot: Snapshot, after: int) -> tuple[Reason, str] | None:
    rules = spec.query_nodes
    if rules is None:
        return Reason.NOT_MANAGED, "queryNodes is not declared"
    closed = closed_size_gate(spec, snapshot)
    if closed is not None:
        return closed.reason, closed.message
    if after > rules.max_count:
        return Reason.AT_MAXIMUM, f"maxCount of the QueryNodes is {rules.max_count}"
    return None


def _hottest_segment_ratio(snapshot: Snapshot, heat: HeatMap) -> float:
    """What the hottest segment takes of the CPU of its QueryNode: no node more lowers that."""
    limits = {node.node_id: node.cpu_limit_cores for node in snapshot.members}
    return max((one.cores / limit for one in heat.segments if (limit := limits.get(one.node_id))), default=0.0)


def _pods(snapshot: Snapshot, added: int) -> str:
    """What the nodes more cost, in the size of the largest that there is."""
    cores = max((node.cpu_limit_cores or 0.0 for node in snapshot.members), default=0.0)
    limit_bytes = max((node.memory_limit_bytes or 0 for node in snapshot.members), default=0)
    each = ", ".join(
        part for part in (f"{cores:g} CPU" if cores else "", size(limit_bytes) if limit_bytes else "") if part
    )
    named = "a pod" if added == 1 else f"{added} pods"
    return f"{named} of {each}" if each else named


# -- in words ---------------------------------------------------------------------------------------------------------


def _reason_against(one: Remedy, chosen: Remedy | None) -> Reason:
    return one.reason if chosen is None or not one.possible else _WISH[chosen.kind]


def _against(one: Remedy, chosen: Remedy | None) -> str:
    effect = f"busiest {_effect(one)} for {one.cost}" if one.busiest_percent_after is not None else ""
    if not one.possible:
        return f"{effect}; not possible: {one.why_not}" if effect else one.why_not
    effect = effect or f"effect unknown, for {one.cost}"
    if chosen is None:
        return f"{effect}; it would not help" if not one.helps else effect
    reached = f"{_shown(chosen.busiest_percent_after)} with {chosen.description}, for {chosen.cost}"
    return f"{effect}; not chosen: {reached}"


def _effect(one: Remedy) -> str:
    return f"{_shown(one.busiest_percent_before)} -> {_shown(one.busiest_percent_after)}"


def _shown(value: int | None) -> str:
    return "unknown" if value is None else f"{value} %"


def _percent(ratio: float | None) -> int | None:
    return None if ratio is None or not math.isfinite(ratio) else round(ratio * 100)
