"""How often somebody else changed the number of QueryNodes after we had written it.

Told from the record alone, so that a restart forgets nothing: each finished change of size left a number; what the next
one found, or what is asked for now, is compared with it. Worked example, three writes within the hour:

    we left 3, the next operation found 2     put back
    we left 3, the next operation found 3     kept
    we left 4, the Deployment now asks for 2  put back          two of three
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from milvus_tuning.plan import Operation, Reason, StepKind, StepRecord, StepState
from milvus_tuning.snapshot import Snapshot

HOUR = timedelta(hours=1)
_WRITTEN = frozenset({StepState.APPLIED, StepState.DONE})


def with_reverts(snapshot: Snapshot, operations: Sequence[Operation], now: datetime) -> Snapshot:
    """The snapshot with its workload's foreign_reverts filled in from the finished operations, newest last."""
    workload = snapshot.workload
    if workload is None:
        return snapshot
    counted = foreign_reverts(operations, desired_count=workload.desired_count, now=now)
    return replace(snapshot, workload=replace(workload, foreign_reverts=max(counted, workload.foreign_reverts)))


def foreign_reverts(operations: Sequence[Operation], *, desired_count: int, now: datetime) -> int:
    """How many of the numbers that we wrote within the last hour somebody else changed."""
    writes = [(operation, record) for operation in operations if (record := _size_record(operation)) is not None]
    found = [*(record.step.precondition.get("desiredCount") for _, record in writes[1:]), desired_count]
    return sum(
        1
        for (operation, record), after in zip(writes, found, strict=False)
        if _is_recent(operation, now) and after not in {None, _left_count(operation, record)}
    )


def _size_record(operation: Operation) -> StepRecord | None:
    """The change of size that was written, or None."""
    records = (record for record in operation.steps if record.step.kind is StepKind.SCALE_QUERY_NODES)
    return next((record for record in records if _left_count(operation, record) is not None), None)


def _left_count(operation: Operation, record: StepRecord) -> str | int | None:
    """The number that stood when the operation ended, as far as we wrote it; None where nothing was written."""
    if record.state is StepState.UNDONE:
        return record.step.undo.get("count")
    skipped_after_write = record.state is StepState.SKIPPED and record.intended_at is not None
    if record.state in _WRITTEN or skipped_after_write or operation.outcome is Reason.DRAIN_STUCK:
        return record.step.action.get("count")
    return None


def _is_recent(operation: Operation, now: datetime) -> bool:
    return operation.finished_at is not None and now - operation.finished_at < HOUR
