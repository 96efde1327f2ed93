"""Settings that were taken back because searches got worse under them, and are not tried again at once.

A roll-back counts for a day, for the same value of the same key or collection, and while the parts of the spec that the
plan was made from are the same: whoever changes the value, or anything else that the decision rests on, asks anew.
Worked example:

    12:00  common.gracefultime absent -> 0 is rolled back
    12:01  the same spec                    not proposed: rolled back at 12:00
    12:02  stalenessMilliseconds 1000       proposed
    next day, 12:00, 0 again                proposed
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from milvus_tuning.plan import Operation, Step, StepKind, Verdict

ROLL_BACK_COUNTS = timedelta(hours=24)


def recent_rollbacks(operations: Sequence[Operation], intent_digest: str, now: datetime) -> tuple[Operation, ...]:
    """The operations that were rolled back within the last day under these parts of the spec."""
    return tuple(
        operation
        for operation in operations
        if operation.verdict is Verdict.ROLLED_BACK
        and operation.intent_digest == intent_digest
        and now - ended_at(operation) < ROLL_BACK_COUNTS
    )


def rollback_of(step: Step, rollbacks: Sequence[Operation]) -> Operation | None:
    """The newest of these operations that wrote the same value to the same key or collection, or None."""
    wanted = _written(step)
    return max(
        (operation for operation in rollbacks if any(_written(record.step) == wanted for record in operation.steps)),
        key=ended_at,
        default=None,
    )


def restart_rollback(components: Sequence[str], rollbacks: Sequence[Operation]) -> Operation | None:
    """The newest of these operations that did nothing but restart, one of these components among others, or None."""
    found = (
        operation
        for operation in rollbacks
        if all(record.step.kind is StepKind.RESTART_COMPONENT for record in operation.steps)
        and any(record.step.action.get("component") in components for record in operation.steps)
    )
    return max(found, key=ended_at, default=None)


def ended_at(operation: Operation) -> datetime:
    """When the operation ended; one that does not say so counts from its start."""
    return operation.finished_at or operation.started_at


def _written(step: Step) -> tuple[str | int | None, ...]:
    return tuple(step.action.get(name) for name in ("key", "database", "collection", "property", "value"))
