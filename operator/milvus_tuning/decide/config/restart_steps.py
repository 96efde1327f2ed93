"""The two halves of a change of keys that are read at start: what stands before its SetConfig steps, and what after.

    Back Proxy, Back QueryNode, SetConfig ..., Forward QueryNode, Forward Proxy

Forward in the order of the layers, the coordinators first and the Proxy last; taken back in the same order, since the
last step is undone first. A QueryNode goes under the checks of a scale-in, for each of them in turn has to go:

    replicas    each in-memory replica has another one; else one more per replica is wanted first
    fit         the others of its replica take what it holds under the load guard (90 % of their limit)
    grace       the pod's grace period is longer than the estimated drain (size/scale_in.py)

    deadline of a roll = pods x (300 s; QueryNode: the longest estimated drain + 300 s)

Example: two QueryNodes with 1.2 GB each at 20 MB/s: drain 140 s, so 2 x 440 = 880 s; a grace period of 30 s is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from milvus_tuning.api import MilvusTuningSpec, ScaleIn
from milvus_tuning.decide.load import NodeLoad, node_loads
from milvus_tuning.decide.seen.pods import BACK, FORWARD, QUERY_NODE, pods_of
from milvus_tuning.decide.seen.serving import not_served
from milvus_tuning.decide.size.context import DEFAULT_LOAD_GUARD_PERCENT, LOAD_GUARD_KEY, load_guard_ratio
from milvus_tuning.decide.size.scale_in import estimated_drain_seconds
from milvus_tuning.decide.words import listed, percent, seconds, size
from milvus_tuning.plan import Step, StepKind
from milvus_tuning.snapshot import COORDINATORS, MIX_COORD, QueryNode, Snapshot

SECONDS_PER_POD = 300  # to be stopped (30 s of grace as a rule), scheduled, started and called ready
ORDER = (MIX_COORD, *COORDINATORS, "DataNode", "IndexNode", "StreamingNode", QUERY_NODE, "Proxy")
Bracket = tuple[tuple[Step, ...], tuple[Step, ...]]


def restart_bracket(
    components: Sequence[str], snapshot: Snapshot, spec: MilvusTuningSpec | None = None
) -> Bracket | str:
    """The steps before and after the keys that these components read at start; or why it cannot be done now.

    Components without pods are left out; a coordinator that runs inside MixCoord is MixCoord, and the reverse. spec
    gives the load guard and the loading speed that it declares; without it their defaults count.
    """
    present = [one for one in ORDER if one in _running(components, snapshot)]
    if not present:
        return f"no pod of {listed(components)} is known"
    drain_seconds = 0.0
    if QUERY_NODE in present:
        checked = longest_drain_seconds(snapshot, spec)
        if isinstance(checked, str):
            return checked
        drain_seconds = checked
    deadlines = {one: roll_deadline_seconds(one, snapshot, drain_seconds) for one in present}
    forward = tuple(_step(one, FORWARD, snapshot, deadlines[one]) for one in present)
    back = tuple(_step(one, BACK, snapshot, deadlines[one]) for one in reversed(present))
    return back, forward


def _running(components: Sequence[str], snapshot: Snapshot) -> frozenset[str]:
    """The components among these that have pods, under the name of the process that they run in."""
    there = {pod.component for pod in snapshot.components if not pod.terminating}
    asked = set(components)
    if MIX_COORD in there and asked.intersection(COORDINATORS):
        asked.add(MIX_COORD)
    if MIX_COORD in asked:
        asked.update(COORDINATORS)
    return frozenset(asked & there)


def _step(component: str, when: str, snapshot: Snapshot, deadline_seconds: int) -> Step:
    return Step(
        kind=StepKind.RESTART_COMPONENT,
        precondition={"component": component, "count": _count(component, snapshot)},
        action={"component": component, "when": when},
        verification={"component": component, "deadlineSeconds": deadline_seconds},
        undo={"component": component},
    )


def _count(component: str, snapshot: Snapshot) -> int:
    return sum(1 for pod in pods_of(component, snapshot) if not pod.terminating)


def roll_deadline_seconds(component: str, snapshot: Snapshot, drain_seconds: float) -> int:
    """How long all pods of the component may take to be replaced one after the other."""
    per_pod = SECONDS_PER_POD + (math.ceil(drain_seconds) if component == QUERY_NODE else 0)
    return per_pod * _count(component, snapshot)


# -- QueryNodes -------------------------------------------------------------------------------------------------------


def longest_drain_seconds(snapshot: Snapshot, spec: MilvusTuningSpec | None = None) -> float | str:
    """The longest drain among them, in seconds; or why they may not leave one after the other."""
    unready = [node.pod for node in snapshot.query_nodes if not node.ready or node.terminating or node.node_id is None]
    if unready or len(snapshot.members) != _count(QUERY_NODE, snapshot):
        return f"not every QueryNode is ready and known to Milvus ({listed(unready) or 'the pods do not agree'})"
    loads = {load.pod: load for load in node_loads(snapshot, snapshot.taken_at)}
    unknown = [node.pod for node in snapshot.members if not _measured(node, loads[node.pod])]
    if unknown:
        return f"the memory of {listed(unknown)} is not known: whether the others can take over cannot be told"
    obstacle = not_served(snapshot) or _alone(snapshot) or _no_room(snapshot, loads, _guard_ratio(snapshot, spec))
    return obstacle or _drain_seconds(snapshot, loads, spec)


def _measured(node: QueryNode, load: NodeLoad) -> bool:
    return bool(node.memory_limit_bytes) and load.used_bytes is not None and load.loaded_bytes is not None


def _alone(snapshot: Snapshot) -> str | None:
    names = {one.collection_id: one.full_name for one in snapshot.collections}
    alone = [replica for replica in snapshot.replicas if len(replica.node_ids) == 1]
    if not alone:
        return None
    collections = sorted({names.get(one.collection_id, str(one.collection_id)) for one in alone})
    return (
        f"an in-memory replica of {listed(collections)} has one QueryNode only, which could not hand over to anybody: "
        f"scale out first, to two for each replica"
    )


def _no_room(snapshot: Snapshot, loads: dict[str, NodeLoad], guard_ratio: float) -> str | None:
    for leaving in snapshot.members:
        for others in _receivers(leaving, snapshot):
            moved = loads[leaving.pod].loaded_bytes or 0.0
            needed = moved + math.fsum(loads[node.pod].used_bytes or 0.0 for node in others)
            room = guard_ratio * sum(node.memory_limit_bytes or 0 for node in others)
            if needed > room:
                return (
                    f"while {leaving.pod} restarts, {listed(node.pod for node in others)} would hold {size(needed)} "
                    f"with its {size(moved)}; the load guard of {percent(guard_ratio)} leaves {size(room)}: scale "
                    "out first"
                )
    return None


def _receivers(leaving: QueryNode, snapshot: Snapshot) -> list[list[QueryNode]]:
    """The nodes that take over: for each replica the others of it. Nobody, where it is in none."""
    return [
        [node for node in snapshot.members if node.node_id in replica.node_ids and node.pod != leaving.pod]
        for replica in snapshot.replicas
        if leaving.node_id in replica.node_ids
    ]


def _drain_seconds(snapshot: Snapshot, loads: dict[str, NodeLoad], spec: MilvusTuningSpec | None) -> float | str:
    rules = (spec.query_nodes.scale_in if spec and spec.query_nodes else None) or ScaleIn()
    speed, longest = rules.load_bytes_per_second, 0.0
    for node in snapshot.members:
        needed = estimated_drain_seconds(loads[node.pod].loaded_bytes or 0.0, speed)
        if needed >= node.grace_period_seconds:
            return (
                f"GracePeriodTooShort: {node.pod} has a grace period of {node.grace_period_seconds} s and its drain "
                f"may take {seconds(needed)}: it would be killed with segments on it. Set "
                "terminationGracePeriodSeconds of the QueryNode pods above that, best to 1800 s or more"
            )
        longest = max(longest, needed)
    return longest


def _guard_ratio(snapshot: Snapshot, spec: MilvusTuningSpec | None) -> float:
    if spec is not None:
        return load_guard_ratio(spec, snapshot)
    stored = snapshot.settings.get(LOAD_GUARD_KEY)
    stored_percent = float(stored.value) if stored and stored.value.isdigit() else DEFAULT_LOAD_GUARD_PERCENT
    return min(DEFAULT_LOAD_GUARD_PERCENT, stored_percent) / 100
