"""What a snapshot shows of the zone that QueryNodes prefer: the field of their owner, and what came of it.

The field is written at once; its effect is there when milvus-operator has replaced all QueryNodes: nothing rolls or
leaves any more, each ready pod was placed with the preference, Milvus knows them all, and they serve everything. What
freezes the cluster meanwhile is that very roll. It is waited for, until the deadline of the step.
"""

from __future__ import annotations

from milvus_tuning.decide.seen.pods import QUERY_NODE, pods_of
from milvus_tuning.decide.seen.serving import not_served
from milvus_tuning.decide.seen.sight import Effect, Sight, View
from milvus_tuning.decide.words import listed
from milvus_tuning.plan import Step
from milvus_tuning.snapshot import FreezeReason, Snapshot

AT_ONCE = "spec.components.imageUpdateMode is force: milvus-operator would replace all QueryNodes at once"
_ROLLING = frozenset({FreezeReason.ROLLOUT, FreezeReason.DRAINING})


def look_at_scheduling(step: Step, snapshot: Snapshot) -> View:
    """What stands in the field."""
    found = snapshot.scheduling
    if found is None:
        return View(sight=Sight.UNKNOWN, message="the Milvus object cannot be read")
    target, message = step.action.get("value"), f"the zone preference is {found.preference or 'none'}"
    if found.others and not found.ours and target is not None:
        return View(sight=Sight.FOREIGN, message="; ".join(found.others))
    if found.preference == target:
        return View(sight=Sight.AFTER, message=message)
    if found.all_at_once:
        return View(sight=Sight.FOREIGN, message=AT_ONCE)
    if found.preference == step.precondition.get("value"):
        return View(sight=Sight.BEFORE, message=message)
    return View(sight=Sight.FOREIGN, message=f"{message}: somebody else set it")


def scheduling_effect(step: Step, snapshot: Snapshot) -> Effect:
    """Whether the QueryNodes were replaced for it, and serve."""
    wanted = step.verification.get("value")
    missing = _rolling(snapshot) or _members_missing(snapshot) or not_served(snapshot) or _older(wanted, snapshot)
    if missing is not None:
        return Effect(reached=False, message=missing)
    count = len(snapshot.members)
    return Effect(reached=True, message=f"{count} QueryNodes were placed with the zone preference {wanted or 'none'}")


def scheduling_undone(step: Step, snapshot: Snapshot) -> bool | None:
    """Whether the field is as before; None where it cannot be read."""
    found = snapshot.scheduling
    return None if found is None else found.preference == step.undo.get("value")


def _rolling(snapshot: Snapshot) -> str | None:
    return "; ".join(freeze.message for freeze in snapshot.freezes if freeze.reason in _ROLLING) or None


def _members_missing(snapshot: Snapshot) -> str | None:
    workload = snapshot.workload
    if workload is None:
        return "the owner of the QueryNodes cannot be read"
    unknown = [node.pod for node in snapshot.query_nodes if not node.ready or node.node_id is None]
    if unknown:
        return f"{listed(unknown)} not ready, or not known to Milvus"
    count = len(snapshot.members)
    return None if count == workload.desired_count else f"{count} of {workload.desired_count} QueryNodes serve"


def _older(wanted: str | int | None, snapshot: Snapshot) -> str | None:
    pods = [pod for pod in pods_of(QUERY_NODE, snapshot) if not pod.terminating]
    older = [pod.pod for pod in pods if pod.zone_preference != wanted]
    if older or not pods:
        return f"{listed(older) or 'no pod'} not placed with the zone preference {wanted or 'none'} yet"
    return None
