"""What a policy gives back when it goes.

Marks on pods, settings, the zone that QueryNodes prefer, and the ownership of the replica count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from milvus_tuning import apply, status
from milvus_tuning.api import ConfigDelivery, MilvusTuningSpec, MilvusTuningStatus
from milvus_tuning.decide.config.dropped import acting_at_restart, keeping
from milvus_tuning.decide.config.keys import hand_back_steps
from milvus_tuning.decide.config.road import owned_on
from milvus_tuning.decide.readback import KEY_STEPS
from milvus_tuning.errors import ObserveError
from milvus_tuning.plan import MILVUS_RESOURCE, ROAD, Parameters, StepKind, StepState
from milvus_tuning.plan_store import StoredPlan
from milvus_tuning.snapshot import ProblemKind, Snapshot
from milvus_tuning.store import StoredTuning

WAY_OUT = (
    "what may be left in etcd or in the Milvus object, and how to undo it by hand: docs/operations.md, section "
    '"The operator is already gone"'
)


def give_back(
    stored: StoredTuning,
    plans: Sequence[StoredPlan],
    snapshot: Snapshot,
    context: apply.ApplyContext,
    *,
    sole: bool,
) -> list[str]:
    """Give everything back; what was done, in words. sole: no older policy has the say on the same target.

    Raises ApplyError or ObserveError where it could not be done or is not known; all of it is safe to do again.
    """
    outcomes = _take_back_marks(plans, context)
    if _has_written_size(stored.status, plans):
        outcomes.append(apply.release_replicas(context))
    if sole and _has_set_scheduling(stored, plans):
        outcomes += filter(None, [apply.release_scheduling(context)])
    return outcomes + _hand_back_keys(stored, plans, snapshot, context)


def readable_spec(raw: Mapping[str, Any]) -> tuple[MilvusTuningSpec | None, bool]:
    """As much of a spec as leads to the target and its etcd, and whether that is all of it; None without a target.

    An object may be deleted while its spec cannot be read, after another version of the operator acted on it. Only
    parts that are valid as they stand are used: credentials never go anywhere but to the address beside them.
    """
    reference = raw.get("targetRef") or {}
    target = {name: reference.get(name) for name in ("kind", "name")} if isinstance(reference, Mapping) else {}
    connections = raw.get("connections")
    etcd = connections.get("etcd") if isinstance(connections, Mapping) else None
    whole = _parsed(raw)
    found = whole or _parsed({"targetRef": target, "connections": {"etcd": etcd}}) or _parsed({"targetRef": target})
    return found, whole is not None


def _parsed(raw: Mapping[str, Any]) -> MilvusTuningSpec | None:
    try:
        return MilvusTuningSpec.model_validate(raw)
    except ValidationError:
        return None


def raise_if_anything_was_done(stored: StoredTuning, plans: Sequence[StoredPlan], why: str) -> None:
    """ObserveError, to be called again and in the end told, unless nothing was ever begun for this object."""
    if stored.status.history or any(one.unreadable is not None or one.plan.begun for one in plans):
        raise ObserveError(why)


def raise_unless_gone(snapshot: Snapshot) -> None:
    """A target that is gone has nothing to be handed back; one that could not be looked for is another matter."""
    if snapshot.problem(ProblemKind.TARGET_NOT_FOUND) is None:
        raise ObserveError("; ".join(problem.message for problem in snapshot.problems) or "the target was not read")


def _take_back_marks(plans: Sequence[StoredPlan], context: apply.ApplyContext) -> list[str]:
    """Undo what only marks a pod; a size that was written stays, as it is a good one to stay at."""
    outcomes = [
        f"plan {one.body['metadata']['name']} cannot be read ({one.unreadable}): a deletion cost may remain on a pod"
        for one in plans
        if one.unreadable is not None
    ]
    records = [
        record
        for one in plans
        if one.unreadable is None and one.plan.open and one.plan.course.operation is not None
        for record in one.plan.course.operation.steps
    ]
    return outcomes + [
        apply.perform(record.step, undo=True, context=context)
        for record in records
        if record.step.kind is StepKind.DRAIN_QUERY_NODE and record.state is not StepState.PENDING
    ]


def _has_written_size(before: MilvusTuningStatus, plans: Sequence[StoredPlan]) -> bool:
    return _has_made(StepKind.SCALE_QUERY_NODES, before, plans)


def _has_set_scheduling(stored: StoredTuning, plans: Sequence[StoredPlan]) -> bool:
    """Whether what stands in the field may be of this policy: it declares it still, or wrote it once."""
    nodes = stored.body["spec"].get("queryNodes")
    declared = isinstance(nodes, Mapping) and nodes.get("zonePreference") is not None
    return declared or _has_made(StepKind.SET_SCHEDULING, stored.status, plans)


def _has_made(kind: StepKind, before: MilvusTuningStatus, plans: Sequence[StoredPlan]) -> bool:
    return any(made == kind for made, _ in _made(before, plans))


def _made(before: MilvusTuningStatus, plans: Sequence[StoredPlan]) -> Iterator[tuple[str, Parameters]]:
    """Kind and action of each step that may have been made: of finished changes, and of plans that have begun."""
    for finished in before.history or []:
        yield from ((step.kind, step.action or {}) for step in finished.steps)
    for plan in (one.plan for one in plans if one.unreadable is None and one.plan.begun):
        yield from ((step.kind, step.action) for step in plan.change.steps)


def _hand_back_keys(
    stored: StoredTuning, plans: Sequence[StoredPlan], snapshot: Snapshot, context: apply.ApplyContext
) -> list[str]:
    outcomes = _hand_back_leaves(snapshot, context)
    keys = snapshot.owned_keys.get(context.policy_uid, {})
    if not keys and not snapshot.owned_levels.get(context.policy_uid):
        if context.etcd is not None and not snapshot.settings_readable and _may_be_in_etcd(stored, plans):
            why = "etcd could not be read: whether there are keys to hand back is not known"
            raise_if_anything_was_done(stored, plans, why)
        return outcomes
    later = acting_at_restart(keys, snapshot)
    return [*outcomes, apply.release_hand_back(context), *([] if later is None else [later])]


def _hand_back_leaves(snapshot: Snapshot, context: apply.ApplyContext) -> list[str]:
    """Give back what is held in the Milvus object. Nothing is restarted for it: pods that keep a value are named."""
    road = ConfigDelivery.MILVUS_RESOURCE
    leaves = owned_on(road, snapshot, context.policy_uid)
    told = (
        keeping(hand_back_steps(leaves, snapshot, road), leaves, snapshot),
        acting_at_restart(leaves, snapshot, road),
    )
    return [*apply.release_leaves(context), *(text for text in told if text is not None)]


def _may_be_in_etcd(stored: StoredTuning, plans: Sequence[StoredPlan]) -> bool:
    """Whether anything of ours may be in etcd: not of a policy that writes elsewhere, as far as its steps are known."""
    if stored.body["spec"].get("configDelivery") != ConfigDelivery.MILVUS_RESOURCE:
        return True
    writes = (action for kind, action in _made(stored.status, plans) if kind in KEY_STEPS)
    unreadable = any(one.unreadable is not None for one in plans)
    return unreadable or any(action.get(ROAD) != MILVUS_RESOURCE for action in writes)


def deleted_at(stored: StoredTuning) -> datetime:
    """When the deletion of the object was asked for."""
    return status.parse_time(stored.body["metadata"]["deletionTimestamp"])
