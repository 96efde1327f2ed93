"""Which QueryNode may leave, if any.

Milvus 2.3 has no way to empty a node that stays: the pod is told to stop, hands over what it holds within its grace
period, and cannot be called back. So everything is checked first:

    multiple    the smaller number still suits the in-memory replicas
    replicas    every replica the node belongs to keeps a node, and no resource group has fewer nodes than replicas
    overload    computation and memory, spread over the others, stay at their targets and under what would call for
                growth: a size that was computed for the target is not taken back
    fit         the others take what it holds under the load guard (90 % of their limit), replica by replica
    N-1 fit     they would still do with one more of them lost; with one node left there is nothing to lose to, and that
                minCount allows one node is the user's word
    grace       the pod's grace period is longer than the estimated drain

    estimated drain = max(60 s, 2 x bytes to move / loadBytesPerSecond + 20 s)

Example: 1.2 GB at 20 MB/s: 2 x 60 + 20 = 140 s; Kubernetes' usual 30 s are too short. The floor holds for empty nodes
too: channels are handed over and the session (common.session.ttl, 30 s) has to run out; a node of a real 2.3.5 cluster
with a shard leader and 70,000 small rows took 18 s, and loading speed varies by a factor of two.

The victim is the node with the fewest bytes to move (compared in tenths of the mean), rather one without a shard
leader, rather the newest, then by name; the first that passes all checks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from milvus_tuning.decide.load import NodeLoad
from milvus_tuning.decide.size.context import Context
from milvus_tuning.decide.size.steps import segments_held_by
from milvus_tuning.decide.words import percent, seconds, size
from milvus_tuning.plan import Reason, Rejection
from milvus_tuning.snapshot import QueryNode, Replica

LEAST_DRAIN_SECONDS = 60.0
HANDOVER_SECONDS = 20.0
DRAIN_SAFETY_FACTOR = 2.0
_ROUNDING = 1e-9
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """The node that leaves, and what that means."""

    victim: QueryNode
    moved_bytes: float
    moved_rows: int
    drain_seconds: float
    computation_after: float
    capacity_after: float
    rejected: tuple[Rejection, ...] = ()

    def __str__(self) -> str:
        return (
            f"by {self.victim.pod}, which holds {size(self.moved_bytes)} and {self.moved_rows} rows (drain estimated "
            f"at {seconds(self.drain_seconds)}, grace period {self.victim.grace_period_seconds} s); afterwards "
            f"computation {percent(self.computation_after)}, memory {percent(self.capacity_after)}"
        )

    def inputs(self) -> Mapping[str, float | int | str | None]:
        """The numbers of this choice."""
        return {
            "victim": self.victim.pod,
            "movedBytes": int(self.moved_bytes),
            "movedRows": self.moved_rows,
            "estimatedDrainSeconds": round(self.drain_seconds),
            "computationRatioAfter": self.computation_after,
            "capacityRatioAfter": self.capacity_after,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class _Candidate:
    """A node that could leave, with the loads of all members by pod."""

    node: QueryNode
    loads: Mapping[str, NodeLoad]
    others: tuple[QueryNode, ...]

    @property
    def moved_bytes(self) -> float:
        return self.loads[self.node.pod].loaded_bytes or 0.0

    def used(self, nodes: Collection[QueryNode]) -> float:
        return math.fsum(self.loads[node.pod].used_bytes or 0.0 for node in nodes)

    def remaining_of(self, replica: Replica) -> tuple[QueryNode, ...]:
        return tuple(node for node in self.others if node.node_id in replica.node_ids)


_Check = Callable[[Context, _Candidate], Rejection | None]


def find_removal(context: Context, *, keep_multiple: bool) -> Removal | tuple[Rejection, ...]:
    """The first candidate that passes all checks, or why none does (never empty).

    Needs complete loads: the caller has turned down anything else.
    """
    general = _multiple(context) if keep_multiple else None
    if general is not None:
        return (general,)
    rejected: list[Rejection] = []
    for candidate in _candidates(context):
        rejection = _first_rejection(context, candidate)
        if rejection is None:
            return replace(_removal(context, candidate), rejected=tuple(rejected))
        rejected.append(rejection)
    return tuple(rejected) or (_no_victim(context),)


def estimated_drain_seconds(moved_bytes: float, load_bytes_per_second: int) -> float:
    """How long a node may take to hand over what it holds."""
    return max(LEAST_DRAIN_SECONDS, DRAIN_SAFETY_FACTOR * moved_bytes / load_bytes_per_second + HANDOVER_SECONDS)


def _candidates(context: Context) -> list[_Candidate]:
    loads = {load.pod: load for load in context.load.nodes}
    members = context.snapshot.members
    candidates = [
        _Candidate(node=node, loads=loads, others=tuple(other for other in members if other.pod != node.pod))
        for node in members
        if node.node_id is not None and loads[node.pod].loaded_bytes is not None and len(members) > 1
    ]
    mean_bytes = math.fsum(candidate.moved_bytes for candidate in candidates) / max(1, len(candidates))
    leaders = {node_id for replica in context.snapshot.replicas for _, node_id in replica.leaders}
    return sorted(
        candidates,
        key=lambda candidate: (
            round(10 * candidate.moved_bytes / mean_bytes) if mean_bytes else 0,
            candidate.node.node_id in leaders,
            -((candidate.node.created_at or _LONG_AGO) - _LONG_AGO).total_seconds(),
            candidate.node.pod,
        ),
    )


def _first_rejection(context: Context, candidate: _Candidate) -> Rejection | None:
    checks: tuple[_Check, ...] = (_replicas, _overload, _fit, _fit_with_node_lost, _grace)
    return next((found for check in checks if (found := check(context, candidate)) is not None), None)


def _removal(context: Context, candidate: _Candidate) -> Removal:
    moved_bytes = candidate.moved_bytes
    return Removal(
        victim=candidate.node,
        moved_bytes=moved_bytes,
        moved_rows=sum(segment.rows for segment in segments_held_by(candidate.node, context.snapshot)),
        drain_seconds=estimated_drain_seconds(moved_bytes, context.rules.scale_in.load_bytes_per_second),
        computation_after=_computation_after(context),
        capacity_after=_capacity_after(candidate),
    )


# -- checks -----------------------------------------------------------------------------------------------------------


def _multiple(context: Context) -> Rejection | None:
    after, multiple = context.count - 1, context.node_multiple
    if after % multiple == 0:
        return None
    message = (
        f"{after} is not a multiple of the {multiple} in-memory replicas, and QueryNodes leave one at a time: set "
        f"maxCount to the size you want, or use a Milvus from 2.4.13 on"
    )
    return Rejection(alternative=_alternative(context), reason=Reason.REPLICA_MULTIPLE, message=message)


def _replicas(context: Context, candidate: _Candidate) -> Rejection | None:
    for replica in context.snapshot.replicas:
        if candidate.node.node_id in replica.node_ids and not candidate.remaining_of(replica):
            message = (
                f"{candidate.node.pod} is the only QueryNode of replica {replica.replica_id} of collection "
                f"{replica.collection_id}: it could not hand over to anybody"
            )
            return _reject(context, candidate, Reason.REPLICA_NEEDS_NODES, message)
    return _groups(context, candidate)


def _groups(context: Context, candidate: _Candidate) -> Rejection | None:
    """No resource group may have fewer nodes than a collection has replicas in it."""
    replicas = context.snapshot.replicas
    for group in sorted({replica.resource_group for replica in replicas}):
        inside = [replica for replica in replicas if replica.resource_group == group]
        nodes = {node.pod for replica in inside for node in candidate.remaining_of(replica)}
        collections = [replica.collection_id for replica in inside]
        most = max(collections.count(collection) for collection in collections)
        if most > len(nodes):
            message = f"resource group {group} would have {len(nodes)} QueryNodes for {most} in-memory replicas"
            return _reject(context, candidate, Reason.REPLICA_NEEDS_NODES, message)
    return None


def _overload(context: Context, candidate: _Candidate) -> Rejection | None:
    """What is left must call for growth neither by its threshold less the tolerance nor by its target."""
    rules = context.rules
    out, slack = rules.scale_out, 1 - rules.tolerance_percent / 100
    predictions = (
        ("computation", _computation_after(context), out.computation_above_percent, rules.computation_target_percent),
        ("memory", _capacity_after(candidate), out.capacity_above_percent, rules.capacity_target_percent),
    )
    for name, after, above_percent, target_percent in predictions:
        most = min(above_percent * slack, target_percent) / 100
        if after > most + _ROUNDING:
            message = (
                f"{context.count - 1} QueryNodes would be at {percent(after)} of their {name}, above {percent(most)} "
                f"(the lower of the target {target_percent} % and scale-out at {above_percent} % less the tolerance)"
            )
            return _reject(context, candidate, Reason.WOULD_OVERLOAD, message)
    return None


def _computation_after(context: Context) -> float:
    even = context.signal.even_computation_ratio or 0.0
    return even * context.count / (context.count - 1)


def _capacity_after(candidate: _Candidate) -> float:
    return (candidate.used(candidate.others) + candidate.moved_bytes) / _limit_bytes(candidate.others)


def _fit(context: Context, candidate: _Candidate) -> Rejection | None:
    for nodes in _receivers(context, candidate):
        room = context.load_guard_ratio * _limit_bytes(nodes)
        needed = candidate.used(nodes) + candidate.moved_bytes
        if needed > room:
            message = (
                f"{_names(nodes)} would hold {size(needed)} with the {size(candidate.moved_bytes)} of "
                f"{candidate.node.pod}; the load guard of {percent(context.load_guard_ratio)} leaves {size(room)}"
            )
            return _reject(context, candidate, Reason.WOULD_NOT_FIT, message)
    return None


def _fit_with_node_lost(context: Context, candidate: _Candidate) -> Rejection | None:
    for nodes in _receivers(context, candidate):
        for lost in nodes if len(nodes) > 1 else ():
            left = tuple(node for node in nodes if node.pod != lost.pod)
            room = context.load_guard_ratio * _limit_bytes(left)
            needed = candidate.used(left) + (candidate.loads[lost.pod].loaded_bytes or 0.0) + candidate.moved_bytes
            if needed > room:
                message = (
                    f"with {lost.pod} lost as well, {_names(left)} would hold {size(needed)}; the load guard of "
                    f"{percent(context.load_guard_ratio)} leaves {size(room)}"
                )
                return _reject(context, candidate, Reason.WOULD_NOT_FIT_WITH_NODE_LOST, message)
    return None


def _grace(context: Context, candidate: _Candidate) -> Rejection | None:
    node, speed = candidate.node, context.rules.scale_in.load_bytes_per_second
    needed_seconds = estimated_drain_seconds(candidate.moved_bytes, speed)
    if needed_seconds < node.grace_period_seconds:
        return None
    message = (
        f"{node.pod} has a grace period of {node.grace_period_seconds} s and its drain may take "
        f"{seconds(needed_seconds)} ({size(candidate.moved_bytes)} at {size(speed)}/s, times two, plus the handover): "
        f"it would be killed with segments on it. Set terminationGracePeriodSeconds of the QueryNode pods above "
        f"{seconds(needed_seconds)}, best to 1800 s or more (Milvus's own graceful stop timeout)"
    )
    return _reject(context, candidate, Reason.GRACE_PERIOD_TOO_SHORT, message)


# -- helpers ----------------------------------------------------------------------------------------------------------


def _receivers(context: Context, candidate: _Candidate) -> tuple[tuple[QueryNode, ...], ...]:
    """The sets of nodes that would take over: those of each replica the node belongs to, without repetition.

    Bytes are known per node, not per replica, so each set is asked to take all of them: with one replica per collection
    that is exact, with several it is on the safe side. A node without a replica hands over to anybody.
    """
    sets = [
        candidate.remaining_of(replica)
        for replica in context.snapshot.replicas
        if candidate.node.node_id in replica.node_ids
    ]
    return tuple(dict.fromkeys(sets)) or (candidate.others,)


def _limit_bytes(nodes: Collection[QueryNode]) -> int:
    return sum(node.memory_limit_bytes or 0 for node in nodes)


def _names(nodes: Collection[QueryNode]) -> str:
    return ", ".join(node.pod for node in nodes)


def _alternative(context: Context) -> str:
    return f"ScaleIn {context.count} -> {context.count - 1}"


def _reject(context: Context, candidate: _Candidate, reason: Reason, message: str) -> Rejection:
    alternative = f"{_alternative(context)} by {candidate.node.pod}"
    return Rejection(alternative=alternative, reason=reason, message=message)


def _no_victim(context: Context) -> Rejection:
    message = "no QueryNode is known well enough to be taken away"
    return Rejection(alternative=_alternative(context), reason=Reason.NO_VICTIM, message=message)
