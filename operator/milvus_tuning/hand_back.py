"""What a policy gives back when it goes: marks on pods, settings in etcd, and the ownership of the replica count."""

from __future__ import annotations

from datetime import datetime

from milvus_tuning import apply, status
from milvus_tuning.api import MilvusTuningStatus
from milvus_tuning.errors import ObserveError
from milvus_tuning.plan import Operation, StepKind, StepState
from milvus_tuning.snapshot import ProblemKind, Snapshot
from milvus_tuning.store import StoredTuning


def give_back(stored: MilvusTuningStatus, snapshot: Snapshot, context: apply.ApplyContext) -> list[str]:
    """Give everything back; what was done, in words.

    Raises ApplyError or ObserveError where it could not be done or is not known; all of it is safe to do again.
    """
    running = running_operation(stored)
    outcomes = [] if running is None else _take_back_marks(running, context)
    if _has_written_size(stored):
        outcomes.append(apply.release_replicas(context))
    return outcomes + _hand_back_keys(snapshot, context)


def raise_unless_gone(snapshot: Snapshot) -> None:
    """A target that is gone has nothing to be handed back; one that could not be looked for is another matter."""
    if snapshot.problem(ProblemKind.TARGET_NOT_FOUND) is None:
        raise ObserveError("; ".join(problem.message for problem in snapshot.problems) or "the target was not read")


def _take_back_marks(operation: Operation, context: apply.ApplyContext) -> list[str]:
    """Undo what only marks a pod; a size that was written stays, as it is a good one to stay at."""
    return [
        apply.perform(record.step, undo=True, context=context)
        for record in operation.steps
        if record.step.kind is StepKind.DRAIN_QUERY_NODE and record.state is not StepState.PENDING
    ]


def _has_written_size(stored: MilvusTuningStatus) -> bool:
    operations = [*(stored.history or []), *([stored.operation] if stored.operation else [])]
    return any(step.kind == StepKind.SCALE_QUERY_NODES for operation in operations for step in operation.steps)


def _hand_back_keys(snapshot: Snapshot, context: apply.ApplyContext) -> list[str]:
    if not snapshot.owned_keys.get(context.policy_uid):
        if context.etcd is not None and not snapshot.settings_readable:
            raise ObserveError("etcd could not be read: whether there are keys to hand back is not known")
        return []
    return [apply.release_hand_back(context)]


def deleted_at(stored: StoredTuning) -> datetime:
    """When the deletion of the object was asked for."""
    return status.parse_time(stored.body["metadata"]["deletionTimestamp"])


def running_operation(stored: MilvusTuningStatus) -> Operation | None:
    """The operation under way, or None. ValueError where a newer operator wrote it in words unknown here."""
    if stored.operation is None:
        return None
    operation = status.operation_from_status(stored.operation)
    return operation if operation.running else None
