"""Operations as they stand in status, and back.

The record is the write-ahead log: what is written here before an outside call is all that a restarted operator knows.
A step's four parts are flat maps of text in status; the parameters that are numbers are named in INTEGER_PARAMETERS and
come back as numbers, all others (such as the value of a Milvus key) stay text.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from milvus_tuning.api import OperationStatus, StepStatus
from milvus_tuning.plan import Operation, Parameters, Reason, Step, StepKind, StepRecord, StepState, Verdict

INTEGER_PARAMETERS = frozenset(
    {
        "count",
        "desiredCount",
        "servingCount",
        "deadlineSeconds",
        "gracePeriodSeconds",
        "deletionCost",
        "leaseSeconds",
        "leastRows",
        "settleSeconds",
    }
)
TEXT_LENGTH = 2048  # of `api.Text`
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, as Kubernetes writes it."""
    return moment.astimezone(UTC).strftime(TIME_FORMAT)


def parse_time(text: str) -> datetime:
    """The reverse of `format_time`; takes any RFC 3339 time."""
    return datetime.fromisoformat(text).astimezone(UTC)


def time_or_none(moment: datetime | None) -> str | None:
    """`format_time`, where there is a time."""
    return None if moment is None else format_time(moment)


def parse_time_or_none(text: str | None) -> datetime | None:
    """`parse_time`, where there is a time."""
    return parse_time(text) if text else None


def operation_to_status(operation: Operation) -> OperationStatus:
    """The form that is stored in `status.history`."""
    return OperationStatus(
        id=operation.operation_id,
        reason=operation.reason,
        message=operation.message[:TEXT_LENGTH],
        started_at=format_time(operation.started_at),
        finished_at=time_or_none(operation.finished_at),
        outcome=operation.outcome,
        outcome_message=operation.outcome_message[:TEXT_LENGTH] or None,
        steps=[step_to_status(record) for record in operation.steps],
        verdict=operation.verdict,
        verdict_message=operation.verdict_message[:TEXT_LENGTH] or None,
        intent_digest=operation.intent_digest,
        gain_percent=operation.gain_percent,
    )


def operation_from_status(stored: OperationStatus) -> Operation:
    """The operation that was stored. Raises ValueError where a stored word is not one of ours (a newer operator's)."""
    return Operation(
        operation_id=stored.id,
        reason=Reason(stored.reason),
        message=stored.message,
        started_at=parse_time(stored.started_at),
        finished_at=parse_time_or_none(stored.finished_at),
        outcome=Reason(stored.outcome) if stored.outcome else None,
        outcome_message=stored.outcome_message or "",
        steps=tuple(step_from_status(step) for step in stored.steps),
        verdict=Verdict(stored.verdict) if stored.verdict else None,
        verdict_message=stored.verdict_message or "",
        intent_digest=stored.intent_digest,
        gain_percent=stored.gain_percent,
    )


def step_to_status(record: StepRecord) -> StepStatus:
    """The stored form of a step and its course."""
    step = record.step
    return StepStatus(
        kind=step.kind,
        state=record.state,
        precondition=to_flat(step.precondition),
        action=to_flat(step.action),
        verification=to_flat(step.verification),
        undo=to_flat(step.undo),
        intended_at=time_or_none(record.intended_at),
        finished_at=time_or_none(record.finished_at),
        message=record.message[:TEXT_LENGTH],
        held_since=time_or_none(record.held_since),
        held_seconds=record.held_seconds or None,
    )


def step_from_status(stored: StepStatus) -> StepRecord:
    """The step that was stored. Raises ValueError where a stored word is not one of ours."""
    step = Step(
        kind=StepKind(stored.kind),
        precondition=from_flat(stored.precondition),
        action=from_flat(stored.action),
        verification=from_flat(stored.verification),
        undo=from_flat(stored.undo),
    )
    return StepRecord(
        step=step,
        state=StepState(stored.state),
        intended_at=parse_time_or_none(stored.intended_at),
        finished_at=parse_time_or_none(stored.finished_at),
        message=stored.message,
        held_since=parse_time_or_none(stored.held_since),
        held_seconds=stored.held_seconds or 0,
    )


def to_flat(parameters: Parameters) -> dict[str, str | None]:
    """One part of a step as the flat map of text that is stored."""
    return {name: None if value is None else str(value) for name, value in parameters.items()}


def from_flat(stored: Mapping[str, str | None] | None) -> Parameters:
    """The reverse of `to_flat`."""
    return {name: _parameter(name, value) for name, value in (stored or {}).items()}


def _parameter(name: str, value: str | None) -> str | int | None:
    return int(value) if value is not None and name in INTEGER_PARAMETERS else value
