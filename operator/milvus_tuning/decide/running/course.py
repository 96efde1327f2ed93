"""The parts that the course of every operation is made of: a call, a move, and the change of one record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from milvus_tuning.plan import Operation, Reason, Step, StepRecord, StepState
from milvus_tuning.snapshot import Snapshot

INTENT_DEADLINE_SECONDS = 300.0  # a write that does not go through, or cannot be read back, for so long is given up


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One outside call: the action of the step, or its undo.

    step is what is to be carried out where that is more than the record says: which pod a restart replaces now.
    """

    step_index: int
    undo: bool
    step: Step | None = None

    def of(self, operation: Operation) -> Step:
        """What is to be carried out."""
        return self.step or operation.steps[self.step_index].step


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """The operation to write now, and the call to make after that (None: wait for the next pass)."""

    operation: Operation
    call: Call | None = None


def is_fresh(record: StepRecord, snapshot: Snapshot) -> bool:
    """Whether the snapshot was taken after the intent: an older one shows the world before the call."""
    return record.intended_at is None or snapshot.taken_at > record.intended_at


def passed_seconds(since: datetime | None, now: datetime) -> float:
    """How long ago that was; 0 where it is not known."""
    return 0.0 if since is None else (now - since).total_seconds()


def with_record(operation: Operation, index: int, **changes: object) -> Operation:
    """The operation with one of its records changed."""
    record = replace(operation.steps[index], **changes)  # type: ignore[arg-type]
    return replace(operation, steps=(*operation.steps[:index], record, *operation.steps[index + 1 :]))


def skipped(operation: Operation, index: int, now: datetime, message: str) -> Operation:
    """The step as one that is not begun, which ends the operation."""
    return with_record(operation, index, state=StepState.SKIPPED, finished_at=now, message=message)


def finished(operation: Operation, now: datetime, outcome: Reason, message: str) -> Operation:
    """The operation at its end."""
    return replace(operation, finished_at=now, outcome=outcome, outcome_message=message)
