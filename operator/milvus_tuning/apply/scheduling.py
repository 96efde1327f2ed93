"""The zone that QueryNodes prefer, written as one field of the Milvus object: a list that is owned whole.

By forced server-side apply under a field manager of its own (clients/scheduling.py says why), with the resourceVersion
that was read. Nothing of somebody else is overwritten: what stands beside it, or in it, refuses the write. To take the
field away is to apply without it; then milvus-operator replaces the QueryNodes again.
"""

from __future__ import annotations

from milvus_tuning.apply.context import (
    CONFLICT_RETRIES,
    ApplyContext,
    PreconditionChanged,
    kubernetes_errors,
    optional_text,
    unless_conflict,
    workload_name,
)
from milvus_tuning.apply.milvus_object import apply_milvus, read_milvus
from milvus_tuning.catalogue import SCHEDULING_FIELD, zone_terms
from milvus_tuning.clients.scheduling import SCHEDULING_MANAGER, scheduling_of
from milvus_tuning.clients.trees import nested
from milvus_tuning.errors import ApplyError
from milvus_tuning.plan import Step
from milvus_tuning.snapshot import Scheduling, WorkloadKind


def set_scheduling(step: Step, *, undo: bool, context: ApplyContext) -> str:
    """Carry out (or take back) a SetScheduling step; what was done, in words."""
    target = optional_text(step.undo if undo else step.action, "value")
    expected = optional_text(step.action if undo else step.precondition, "value")
    if context.workload.kind is not WorkloadKind.MILVUS:
        raise ApplyError(f"{workload_name(context)} has no {SCHEDULING_FIELD}", retryable=False)
    return _set(context, target, expected)


def release_scheduling(context: ApplyContext) -> str | None:
    """Take the preference away that we wrote, with its policy; None where there is none of ours."""
    if context.workload.kind is not WorkloadKind.MILVUS:
        return None
    found = scheduling_of(read_milvus(context, "the zone preference"))
    if found.ours and found.all_at_once:
        return (
            f"{workload_name(context)}: the zone preference {_word(found.preference)} stays, as spec.components."
            f"imageUpdateMode is force: without it all QueryNodes would be replaced at once; remove {SCHEDULING_FIELD}"
        )
    return _set(context, None, found.preference) if found.ours else None


def _set(context: ApplyContext, target: str | None, expected: str | None) -> str:
    name = workload_name(context)
    for _ in range(CONFLICT_RETRIES):
        milvus = read_milvus(context, "the zone preference")
        found = scheduling_of(milvus)
        if found.preference == target and not _held_for_nothing(found, target):
            return f"{name} has the zone preference {_word(target)} already"
        _refuse_others(found, target, expected, name)
        if found.all_at_once:
            raise PreconditionChanged(f"{name}: imageUpdateMode is force: all QueryNodes would be replaced at once")
        if _written(context, target, milvus["metadata"]["resourceVersion"]):
            return f"{name}: zone preference {_word(expected)} -> {_word(target)}, the QueryNodes are replaced for it"
    raise ApplyError(f"{name} changed during each of {CONFLICT_RETRIES} tries to write to it", retryable=True)


def _held_for_nothing(found: Scheduling, target: str | None) -> bool:
    """Whether we own terms that say nothing any more: an apply without them lets them go."""
    return target is None and found.ours


def _refuse_others(found: Scheduling, target: str | None, expected: str | None, name: str) -> None:
    foreign = found.preference != expected or (found.preference is not None and not found.ours)
    if foreign or (found.others and not found.ours and target is not None):
        there = "; ".join(found.others) or f"{SCHEDULING_FIELD} is {_word(found.preference)}"
        raise PreconditionChanged(f"{name}: {there}: somebody else set it")


def _written(context: ApplyContext, target: str | None, resource_version: str) -> bool:
    """Write over exactly this version of the object; False when it has changed."""
    context.require_lease()
    with kubernetes_errors(f"setting the zone preference of {workload_name(context)} to {_word(target)}"):
        return unless_conflict(lambda: _apply(context, target, resource_version))


def _apply(context: ApplyContext, target: str | None, resource_version: str) -> None:
    path, name = SCHEDULING_FIELD.split("."), context.workload.name
    field = {} if target is None else nested(path, zone_terms(target, name))
    apply_milvus(context, field, resource_version, manager=SCHEDULING_MANAGER)


def _word(preference: str | None) -> str:
    return preference or "none"
