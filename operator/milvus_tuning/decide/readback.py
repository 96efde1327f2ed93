"""What a snapshot shows of a step: whether it may start, whether it has been written, whether it had its effect.

Milvus node ids change with every restart, so nothing here remembers one: a drain is over when the pod is gone and every
sealed segment is served by the nodes that stayed, replica by replica, with the rows that were there before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from milvus_tuning.catalogue import normalised
from milvus_tuning.decide.config.road import ETCD, RESOURCE, not_rendered, settings_on
from milvus_tuning.decide.seen.level import level_effect, look_at_level
from milvus_tuning.decide.seen.placement import (
    look_at_moves,
    look_at_replicas,
    moves_effect,
    moves_undone,
    replicas_effect,
    replicas_undone,
)
from milvus_tuning.decide.seen.pods import leads_back, look_at_component
from milvus_tuning.decide.seen.scheduling import look_at_scheduling, scheduling_effect, scheduling_undone
from milvus_tuning.decide.seen.serving import UNTRUSTED, not_served
from milvus_tuning.decide.seen.sight import Effect, Sight, View, find_pod, integer
from milvus_tuning.decide.size.steps import served_rows
from milvus_tuning.decide.words import listed
from milvus_tuning.plan import Step, StepKind, on_resource
from milvus_tuning.snapshot import QueryNode, Snapshot

__all__ = [
    "KEY_STEPS",
    "Effect",
    "Sight",
    "View",
    "effect",
    "find_pod",
    "integer",
    "is_undone",
    "look",
    "obstacle",
    "other_pod_left",
]

# A key in etcd has a record of what was before us beside it: a value that is in place already says nothing about the
# record, so these writes are always made (they are idempotent, and one transaction). So is the level of a collection,
# whose record is in etcd too.
KEY_STEPS = frozenset(
    {
        StepKind.SET_CONFIG,
        StepKind.TAKE_PLACEMENT,
        StepKind.RETURN_PLACEMENT,
        StepKind.SET_COLLECTION_PROPERTY,
    }
)


_Look = Callable[[Step, Snapshot], View]


def look(step: Step, snapshot: Snapshot) -> View:
    """What the outside shows of the step's own write."""
    return _LOOKS[step.kind](step, snapshot)


def obstacle(step: Step, snapshot: Snapshot) -> str | None:
    """What beside the written value forbids to start the step now, or None."""
    if snapshot.freezes:
        return "; ".join(f"{freeze.reason}: {freeze.message}" for freeze in snapshot.freezes)
    pod, untrusted = step.verification.get("pod"), snapshot.problem(*UNTRUSTED)
    if step.kind is not StepKind.SCALE_QUERY_NODES or pod is None:
        return None
    if untrusted is not None:
        return untrusted.message
    victim = find_pod(snapshot, pod, step.verification.get("podUid"))
    if victim is None or victim.terminating or not victim.ready:
        return f"{pod} is not a ready pod any more"
    if any((other.deletion_cost or 0) <= (victim.deletion_cost or 0) for other in _others(snapshot, victim)):
        return f"{pod} does not carry the lowest deletion cost: Kubernetes might remove another pod"
    return None


def effect(step: Step, snapshot: Snapshot) -> Effect:
    """Whether the step had its effect, beyond its write being in place."""
    if step.kind is StepKind.SCALE_QUERY_NODES:
        return _drained(step, snapshot) if step.verification.get("pod") is not None else _grown(step, snapshot)
    if step.kind in _EFFECTS:
        return _EFFECTS[step.kind](step, snapshot)
    view = look(step, snapshot)
    if step.kind in KEY_STEPS and view.sight is not Sight.UNKNOWN:
        reached = _stored_value(step, snapshot) == _text(step.verification.get("value"))
        left = not_rendered(step, snapshot) if reached and on_resource(step) else None
        return Effect(reached=reached and left is None, message=left or view.message)
    return Effect(reached=view.sight is Sight.AFTER, message=view.message)


def other_pod_left(step: Step, snapshot: Snapshot) -> bool:
    """Whether the count is as asked, nobody is leaving, and the marked pod is still there: Kubernetes took another."""
    if step.kind is not StepKind.SCALE_QUERY_NODES:
        return False
    victim = find_pod(snapshot, step.verification.get("pod"), step.verification.get("podUid"))
    workload = snapshot.workload
    if victim is None or workload is None or any(node.terminating for node in snapshot.query_nodes):
        return False
    return workload.ready_count == len(snapshot.query_nodes) == integer(step.action, "count")


def is_undone(step: Step, snapshot: Snapshot) -> bool | None:
    """Whether the value of the undo is in place (or there is nothing left to undo); None where it cannot be read.

    Of a restart on the way back the times tell, which are not in the step: running/restarting.py.
    """
    match step.kind:
        case StepKind.DRAIN_QUERY_NODE:
            return _mark_is_off(step, snapshot)
        case StepKind.SCALE_QUERY_NODES:
            workload = snapshot.workload
            return None if workload is None else workload.desired_count == integer(step.undo, "count")
        case StepKind.RESTART_COMPONENT:
            return None if leads_back(step) else True
        case kind if kind in _UNDONE:
            return _UNDONE[kind](step, snapshot)
        case _:  # the write also settles the record kept beside the key
            return None if _unreadable(step, snapshot) else False


def _mark_is_off(step: Step, snapshot: Snapshot) -> bool | None:
    victim = find_pod(snapshot, step.undo.get("pod"), step.precondition.get("podUid"))
    if snapshot.workload is None:
        return None
    return victim is None or victim.terminating or victim.deletion_cost == integer(step.undo, "deletionCost")


# -- what was written ------------------------------------------------------------------------------------------------


def _look_at_count(step: Step, snapshot: Snapshot) -> View:
    if snapshot.workload is None:
        return View(sight=Sight.UNKNOWN, message="the owner of the QueryNodes cannot be read")
    desired = snapshot.workload.desired_count
    message = f"{desired} QueryNodes are asked for"
    if desired == integer(step.action, "count"):
        return View(sight=Sight.AFTER, message=message)
    before = integer(step.precondition, "desiredCount")
    if desired == before:
        return View(sight=Sight.BEFORE, message=message)
    return View(sight=Sight.FOREIGN, message=f"{message}, not {before}: somebody else changed the number")


def _look_at_mark(step: Step, snapshot: Snapshot) -> View:
    if snapshot.workload is None:
        return View(sight=Sight.UNKNOWN, message="the pods cannot be read")
    pod, expected = step.precondition.get("pod"), step.precondition
    victim = find_pod(snapshot, pod, expected.get("podUid"))
    if victim is None or victim.terminating or not victim.ready:
        return View(sight=Sight.FOREIGN, message=f"{pod} is not a ready pod any more")
    if victim.grace_period_seconds != integer(expected, "gracePeriodSeconds"):
        message = f"the grace period of {pod} changed to {victim.grace_period_seconds} s"
        return View(sight=Sight.FOREIGN, message=message)
    marked = victim.deletion_cost == integer(step.action, "deletionCost")
    message = f"{pod} carries deletion cost {victim.deletion_cost}"
    return View(sight=Sight.AFTER if marked else Sight.BEFORE, message=message)


def _look_at_key(step: Step, snapshot: Snapshot) -> View:
    key, unreadable = step.action.get("key"), _unreadable(step, snapshot)
    if unreadable is not None:
        return View(sight=Sight.UNKNOWN, message=unreadable)
    value = _stored_value(step, snapshot)
    message = f"{key} is {'absent' if value is None else value}"
    if value == _text(step.action.get("value")):
        return View(sight=Sight.AFTER, message=message)
    if value == _text(step.precondition.get("value")):
        return View(sight=Sight.BEFORE, message=message)
    return View(sight=Sight.FOREIGN, message=f"{message}: somebody else changed it")


def _unreadable(step: Step, snapshot: Snapshot) -> str | None:
    if on_resource(step):
        return "the Milvus object cannot be read" if snapshot.resource_config is None else None
    return None if snapshot.settings_readable else "Milvus's etcd cannot be read"


def _stored_value(step: Step, snapshot: Snapshot) -> str | None:
    setting = settings_on(RESOURCE if on_resource(step) else ETCD, snapshot).get(
        normalised(str(step.action.get("key")))
    )
    return None if setting is None else setting.value


def _text(value: str | int | None) -> str | None:
    return None if value is None else str(value)


_LOOKS: Mapping[StepKind, _Look] = MappingProxyType(
    {
        StepKind.SCALE_QUERY_NODES: _look_at_count,
        StepKind.DRAIN_QUERY_NODE: _look_at_mark,
        StepKind.SET_CONFIG: _look_at_key,
        StepKind.TAKE_PLACEMENT: _look_at_key,
        StepKind.RETURN_PLACEMENT: _look_at_key,
        StepKind.MOVE_SEGMENTS: look_at_moves,
        StepKind.SET_REPLICA_NUMBER: look_at_replicas,
        StepKind.SET_COLLECTION_PROPERTY: look_at_level,
        StepKind.RESTART_COMPONENT: look_at_component,
        StepKind.SET_SCHEDULING: look_at_scheduling,
    }
)


_EFFECTS: Mapping[StepKind, Callable[[Step, Snapshot], Effect]] = MappingProxyType(
    {
        StepKind.MOVE_SEGMENTS: moves_effect,
        StepKind.SET_REPLICA_NUMBER: replicas_effect,
        StepKind.SET_COLLECTION_PROPERTY: level_effect,
        StepKind.SET_SCHEDULING: scheduling_effect,
    }
)
_UNDONE: Mapping[StepKind, Callable[[Step, Snapshot], bool | None]] = MappingProxyType(
    {
        StepKind.MOVE_SEGMENTS: moves_undone,
        StepKind.SET_REPLICA_NUMBER: replicas_undone,
        StepKind.SET_SCHEDULING: scheduling_undone,
    }
)


# -- what came of it -------------------------------------------------------------------------------------------------


def _grown(step: Step, snapshot: Snapshot) -> Effect:
    missing = _count_missing(step, snapshot)
    unknown = [node.pod for node in snapshot.members if node.node_id is None]
    pending = [f"{node.pod} {node.pending_reason or 'not ready'}" for node in snapshot.query_nodes if not node.ready]
    if missing is None and not unknown:
        return Effect(reached=True, message=f"{len(snapshot.members)} QueryNodes serve")
    notes = [missing, f"Milvus node of {listed(unknown)} unknown" if unknown else None, listed(pending) or None]
    return Effect(reached=False, message="; ".join(note for note in notes if note))


def _drained(step: Step, snapshot: Snapshot) -> Effect:
    pod = step.verification.get("pod")
    if find_pod(snapshot, pod, step.verification.get("podUid")) is not None:
        return Effect(reached=False, message=f"{pod} is still there{_held_by(snapshot, str(pod))}")
    missing = _count_missing(step, snapshot) or _placement_missing(step, snapshot)
    if missing is not None:
        return Effect(reached=False, message=missing)
    message = f"{pod} is gone and {served_rows(snapshot)} rows are served by the {len(snapshot.members)} that stayed"
    return Effect(reached=True, message=message)


def _count_missing(step: Step, snapshot: Snapshot) -> str | None:
    workload, wanted = snapshot.workload, integer(step.verification, "servingCount")
    if workload is None:
        return "the owner of the QueryNodes cannot be read"
    counts = (workload.desired_count, workload.ready_count, workload.serving_count, len(snapshot.members))
    if all(count == wanted for count in counts):
        return None
    serving = "unknown" if workload.serving_count is None else workload.serving_count
    return f"{workload.desired_count} desired, {workload.ready_count} ready, {serving} serving, {wanted} wanted"


def _placement_missing(step: Step, snapshot: Snapshot) -> str | None:
    """What of the collections is not served by the members, or None."""
    missing = not_served(snapshot)
    if missing is not None:
        return missing
    least, served = integer(step.verification, "leastRows"), served_rows(snapshot)
    return f"{served} rows are served, {least} expected" if least is not None and served < least else None


def _held_by(snapshot: Snapshot, pod: str) -> str:
    node = next((one for one in snapshot.query_nodes if one.pod == pod), None)
    if node is None or node.node_id is None:
        return ""
    held = sum(1 for segment in snapshot.segments if node.node_id in segment.node_ids)
    return f" with {held} segments{', leaving' if node.terminating else ''}"


def _others(snapshot: Snapshot, victim: QueryNode) -> list[QueryNode]:
    return [node for node in snapshot.query_nodes if node.pod_uid != victim.pod_uid and not node.terminating]
