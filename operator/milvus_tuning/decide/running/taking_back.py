"""The way back of an operation: what was done is undone, the last step first; then the operation is over.

Nothing is remembered but the states of the steps, so a restart in the middle changes nothing. What cannot be restored
is left as it is, with that said, and a person must look. It is not given up before it was tried: where nobody was there
in the meantime, it gets its time anew.

    12:00  Undoing, and the operator is gone
    12:10  it is back: begun late, asked for
    12:10  the API server times out, and goes on doing so
    12:15  given up
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from milvus_tuning.decide.config.road import not_rendered
from milvus_tuning.decide.readback import is_undone
from milvus_tuning.decide.running.course import (
    INTENT_DEADLINE_SECONDS,
    Call,
    Move,
    finished,
    passed_seconds,
    with_record,
)
from milvus_tuning.decide.running.moving import ASK_AGAIN_SECONDS, is_move, may_take_back
from milvus_tuning.decide.running.restarting import is_restart, restarts_back, roll_back_on
from milvus_tuning.plan import Operation, Reason, StepKind, StepRecord, StepState, on_resource
from milvus_tuning.snapshot import Snapshot

GIVEN_UP = frozenset({StepState.FAILED, StepState.SKIPPED, StepState.UNDOING, StepState.UNDONE})
_TRIED, _MOST_OF_A_CAUSE = "taken back: ", 1024  # characters: a record has room for twice as many
_TO_UNDO = frozenset({StepState.APPLIED, StepState.DONE, StepState.UNDOING})


def take_back(operation: Operation, snapshot: Snapshot, now: datetime) -> Move:
    """Undo what was done, the last first; then the operation is over."""
    index = _last_to_undo(operation)
    if index is None:
        return Move(operation=_given_up(operation, now))
    go_back = roll_back_on if restarts_back(operation.steps[index]) else _take_one_back
    return go_back(operation, index, snapshot, now)


def _take_one_back(operation: Operation, index: int, snapshot: Snapshot, now: datetime) -> Move:
    record = operation.steps[index]
    if record.state is not StepState.UNDOING:
        undoing = with_record(operation, index, state=StepState.UNDOING, intended_at=now, finished_at=None)
        return Move(operation=undoing)
    known = not is_move(record) or may_take_back(operation, record, snapshot, now)
    undone = is_undone(record.step, snapshot) if known else None
    called = record.finished_at is not None and on_resource(record.step)
    if undone or (called and not_rendered(record.step, snapshot, back=True) is None):
        return Move(operation=with_record(operation, index, state=StepState.UNDONE, finished_at=now))
    if passed_seconds(record.intended_at, now) > INTENT_DEADLINE_SECONDS:
        if not _tried(record):
            begun = with_try(record, f"begun late, at {now:%H:%M:%S} UTC")
            return Move(operation=with_record(operation, index, intended_at=now, message=begun))
        return Move(operation=undo_failed(operation, index, now, record.message))
    asked = called or (record.finished_at is not None and passed_seconds(record.finished_at, now) < ASK_AGAIN_SECONDS)
    if undone is None or asked:
        return Move(operation=operation)
    return Move(operation=operation, call=Call(step_index=index, undo=True))


def with_try(record: StepRecord, message: str) -> str:
    """Why the step is taken back, and how the last try to do so went; both are short enough to stay on record."""
    cause = record.message.split(_TRIED)[0].removesuffix("; ")[:_MOST_OF_A_CAUSE]
    return f"{cause}; {_TRIED}{message}" if cause else f"{_TRIED}{message}"


def _tried(record: StepRecord) -> bool:
    return _TRIED in record.message


def _last_to_undo(operation: Operation) -> int | None:
    """Where a move could not be taken back the earlier ones stay too, but not what was held for them."""
    stuck = any(is_move(record) and record.state is StepState.FAILED for record in operation.steps)
    places = [
        place
        for place, record in enumerate(operation.steps)
        if record.state in _TO_UNDO and not (stuck and is_move(record))
    ]
    return places[-1] if places else None


def _given_up(operation: Operation, now: datetime) -> Operation:
    outcome = _outcome(operation.steps)
    given_up = [record for record in reversed(operation.steps) if record.state in GIVEN_UP and record.message]
    stuck = [record.message for record in given_up if record.state is StepState.FAILED]
    told = [*dict.fromkeys([*(record.message for record in given_up[:1]), *stuck])]
    return finished(operation, now, outcome, "; ".join(told))


def _outcome(records: Sequence[StepRecord]) -> Reason:
    """Why it was given up, told from the states alone so that a restart in the middle changes nothing."""
    states = {record.state for record in records}
    if StepState.SKIPPED in states:
        return Reason.PRECONDITION_CHANGED
    sizes = [record for record in records if record.step.kind is StepKind.SCALE_QUERY_NODES]
    if any(record.state in {StepState.UNDONE, StepState.UNDOING} for record in sizes):
        return Reason.INSUFFICIENT_CAPACITY
    return Reason.UNDONE


def undo_failed(operation: Operation, index: int, now: datetime, message: str) -> Operation:
    """What was done stays; a person must look. What was held for a move is still let go, other components roll back."""
    record = operation.steps[index]
    outcome, told = _outcome(operation.steps), f"{dict(record.step.undo)} could not be restored: {message}"
    failed = with_record(operation, index, state=StepState.FAILED, finished_at=now, message=told)
    return failed if is_move(record) or is_restart(record) else finished(failed, now, outcome, told)
