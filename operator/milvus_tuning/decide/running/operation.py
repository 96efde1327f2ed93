"""The course of an operation: a pure state machine over its record in the plan's status and the outside.

    Pending --intent written--> Intended --called--> Applied --effect seen--> Done            all Done: COMPLETED
       |                           |                    |
       | world changed             | refused            | deadline of a scale-out, or the world changed
       v                           v                    v
    Skipped                      Failed             Undoing --called--> Undone                then the earlier steps

`next_move` returns the operation as it is to be written and, if something is to be called, the call: the record is
written first, the call made after it. A call is made from Intended or Undoing only, so a record in any other state
needs none. After a crash the same function reads back: what is already in place is not written again, what is not is
written again (every write is absolute), and a value that is neither the old nor the new one is somebody else's and ends
the operation.

A scale-out that does not arrive is taken back to the former number, or to what arrived where that is more: taking away
a node that serves would be a scale-in without its checks. A drain that takes too long is reported and left alone: a pod
that is leaving cannot be called back.

Moves of segments are different in four ways (moving.py). An answer is not their effect, so they wait for it, and so do
their undoings. One that fails may have moved a part, so it is taken back and not only given up. One that cannot be
begun is left out with those after it, while those before it stay, where they are good without it. And while searches
suffer (hold) the next one waits, for ten minutes at most: what was moved until then is measured and judged as ever.

A leaf of the Milvus object is undone once milvus-operator's ConfigMap has followed: who restarts before reads it again.

A restart of a component takes one call for each of its pods (restarting.py), so it stays Intended, or Undoing, until no
pod is left to be replaced, and its deadline is that of the whole roll. A pause holds it between two pods (holding.py).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.decide.readback import KEY_STEPS, Sight, effect, integer, look, obstacle, other_pod_left
from milvus_tuning.decide.running.course import (
    INTENT_DEADLINE_SECONDS,
    Call,
    Move,
    finished,
    is_fresh,
    passed_seconds,
    skipped,
    with_record,
)
from milvus_tuning.decide.running.holding import counted_seconds, in_a_roll, let_go_on, stopped, stopped_before
from milvus_tuning.decide.running.moving import (
    PATIENT_KINDS,
    TASK_SECONDS,
    THROTTLE_SECONDS,
    balancer_at_large,
    has_moved,
    is_move,
    may_stop_before,
    settled,
)
from milvus_tuning.decide.running.restarting import is_restart, restarts_back, roll_on, too_young
from milvus_tuning.decide.running.taking_back import GIVEN_UP, take_back, undo_failed, with_try
from milvus_tuning.decide.words import seconds
from milvus_tuning.plan import Change, Decision, Operation, Reason, StepKind, StepRecord, StepState, on_resource
from milvus_tuning.snapshot import Snapshot

__all__ = ["Call", "Move", "begin", "call_failed", "call_succeeded", "cancel", "next_move", "roll_back"]

EFFECT_DEADLINE_SECONDS = 120.0  # where the step names none: marks and keys are seen with the next observation
_WAITS = "waits: "
_OVER = frozenset({StepState.DONE, StepState.LEFT_OUT})


def begin(decision: Decision | Change, *, operation_id: str, now: datetime) -> Operation:
    """The operation that carries out the decision; nothing has been done yet."""
    return Operation(
        operation_id=operation_id,
        reason=decision.reason,
        message=decision.message,
        started_at=now,
        steps=tuple(StepRecord(step=step) for step in decision.steps),
    )


def next_move(
    operation: Operation, snapshot: Snapshot, spec: MilvusTuningSpec, now: datetime, *, hold: str | None = None
) -> Move:
    """How the operation goes on, given what the outside shows. hold: why no further segments may be moved now."""
    move = Move(operation=let_go_on(operation, spec, now) if operation.running else operation)
    while move.call is None and move.operation.running:
        after = _one_move(move.operation, snapshot, spec, now, hold)
        if after == move:
            break
        move = after
    return move


def call_succeeded(operation: Operation, call: Call, now: datetime, message: str) -> Operation:
    """The call came back without error."""
    record = operation.steps[call.step_index]
    if is_restart(record):  # the pods tell whether there is another one
        return with_record(operation, call.step_index, message=message)
    if call.undo:
        told = with_try(record, message)
        later = is_move(record) or on_resource(record.step)  # the placement, or the ConfigMap, tells when it is
        state = StepState.UNDOING if later else StepState.UNDONE
        return with_record(operation, call.step_index, state=state, finished_at=now, message=told)
    # Milvus gets its time from the answer on: a failed try may have delayed it.
    since = now if is_move(record) or "settleSeconds" in record.step.verification else record.intended_at
    return with_record(operation, call.step_index, state=StepState.APPLIED, intended_at=since, message=message)


def call_failed(operation: Operation, call: Call, now: datetime, message: str, retryable: bool) -> Operation:
    """The call failed: try again with the next pass, or give up for good."""
    if retryable:
        record = operation.steps[call.step_index]
        told = with_try(record, message) if call.undo and not is_restart(record) else message
        return with_record(operation, call.step_index, message=told)
    if call.undo:
        return undo_failed(operation, call.step_index, now, message)
    return _given_up_midway(operation, call.step_index, now, message, StepState.FAILED)


def cancel(operation: Operation, snapshot: Snapshot, now: datetime, why: str) -> Operation:
    """The operation as it goes on after somebody called it off: no further step begins, what was done is taken back.

    A drain that has begun cannot be called back: Kubernetes has told the pod to stop. It is watched to its end.
    """
    index = _next_index(operation)
    if index is None or any(record.state in GIVEN_UP for record in operation.steps):
        return operation
    record = operation.steps[index]
    if record.state is StepState.PENDING:
        return skipped(operation, index, now, why)
    if record.step.kind is StepKind.SCALE_QUERY_NODES and record.step.verification.get("pod") is not None:
        return operation
    return _too_late(operation, index, snapshot, now, why)


def roll_back(operation: Operation, now: datetime, why: str) -> Operation:
    """A completed operation on its way back, the last step first."""
    reopened = replace(operation, finished_at=None, outcome=None, outcome_message="")
    last = max(place for place, record in enumerate(operation.steps) if record.state is StepState.DONE)
    return with_record(reopened, last, state=StepState.UNDOING, intended_at=now, finished_at=None, message=why)


def _one_move(
    operation: Operation, snapshot: Snapshot, spec: MilvusTuningSpec, now: datetime, hold: str | None
) -> Move:
    if any(record.state in GIVEN_UP for record in operation.steps):
        return take_back(operation, snapshot, now)
    index = _next_index(operation)
    if index is None:
        return Move(operation=finished(operation, now, Reason.COMPLETED, operation.steps[-1].message))
    record = operation.steps[index]
    if record.state is StepState.PENDING:
        return _begin_or_wait(operation, index, snapshot, spec, now, hold=hold)
    if not is_fresh(record, snapshot):
        return Move(operation=operation)
    return _go_on(operation, index, snapshot, spec, now)


def _go_on(operation: Operation, index: int, snapshot: Snapshot, spec: MilvusTuningSpec, now: datetime) -> Move:
    """A step whose intent is on record."""
    if operation.steps[index].state is StepState.APPLIED:
        return _verify(operation, index, snapshot, now)
    if is_restart(operation.steps[index]):
        return roll_on(operation, index, snapshot, now, why_held=stopped(spec))
    return _resume(operation, index, snapshot, now)


def _begin_or_wait(
    operation: Operation, index: int, snapshot: Snapshot, spec: MilvusTuningSpec, now: datetime, *, hold: str | None
) -> Move:
    if hold is not None and _is_further_move(operation, index):
        return _wait_for_searches(operation, index, now, hold)
    return _start(operation, index, snapshot, spec, now)


def _next_index(operation: Operation) -> int | None:
    """The step that the operation is at, None after the last one."""
    return next((place for place, record in enumerate(operation.steps) if record.state not in _OVER), None)


# -- forward ---------------------------------------------------------------------------------------------------------


def _start(operation: Operation, index: int, snapshot: Snapshot, spec: MilvusTuningSpec, now: datetime) -> Move:
    """Check the precondition afresh and write the intent, or leave it."""
    step, lets_go, why = operation.steps[index].step, _lets_go(operation, index), stopped(spec)
    if why is not None and not lets_go:
        return Move(operation=stopped_before(operation, index, now, why))
    view = look(step, snapshot)
    if view.sight is Sight.UNKNOWN:
        return _wait_for_sight(operation, index, now, view.message)
    in_the_way = None if lets_go else obstacle(step, snapshot)
    if view.sight is not Sight.FOREIGN and is_restart(operation.steps[index]):
        return _start_restart(operation, index, snapshot, now, in_the_way)
    if in_the_way is None and is_move(operation.steps[index]):
        in_the_way = balancer_at_large(operation, index, snapshot)
    if view.sight is Sight.FOREIGN or in_the_way is not None:
        return Move(operation=_not_begun(operation, index, now, in_the_way or view.message))
    if view.sight is Sight.AFTER and step.kind not in KEY_STEPS:
        return Move(
            operation=with_record(operation, index, state=StepState.APPLIED, intended_at=now, message=view.message)
        )
    intended = with_record(operation, index, state=StepState.INTENDED, intended_at=now)
    return Move(operation=intended, call=Call(step_index=index, undo=False))


def _start_restart(operation: Operation, index: int, snapshot: Snapshot, now: datetime, in_the_way: str | None) -> Move:
    """Nothing is to be done now for the way back; forward the first pod is replaced, with the intent on record."""
    step = operation.steps[index].step
    if in_the_way is not None and not in_a_roll(operation, index):
        return Move(operation=skipped(operation, index, now, in_the_way))
    if restarts_back(operation.steps[index]):
        message = "replaces pods on the way back only"
        return Move(operation=with_record(operation, index, state=StepState.DONE, finished_at=now, message=message))
    waits_for = in_the_way or too_young(step, snapshot, now)
    if waits_for is not None:
        return _wait_for_sight(operation, index, now, waits_for)
    intended = with_record(operation, index, state=StepState.INTENDED, intended_at=now, held_seconds=0)
    return roll_on(intended, index, snapshot, now, why_held=None)


def _lets_go(operation: Operation, index: int) -> bool:
    """Whether the step returns what this very operation took: that is done in a pause and under a freeze too."""
    returns = operation.steps[index].step.kind is StepKind.RETURN_PLACEMENT
    return returns and any(one.step.kind is StepKind.TAKE_PLACEMENT for one in operation.steps[:index])


def _not_begun(operation: Operation, index: int, now: datetime, message: str) -> Operation:
    """A step that is not begun ends the operation; a move leaves what was moved before it, where that is good."""
    if not _is_further_move(operation, index):
        return skipped(operation, index, now, message)
    records = (
        replace(record, state=StepState.LEFT_OUT, finished_at=now, message=f"left out: {message}")
        if is_move(record) and record.state is StepState.PENDING
        else record
        for record in operation.steps
    )
    return replace(operation, steps=tuple(records))


def _is_further_move(operation: Operation, index: int) -> bool:
    """Whether it is a move after others that are good without it, so that it may wait, or be left out.

    The first move does not wait for searches: it is the cure of what they suffer from.
    """
    return is_move(operation.steps[index]) and has_moved(operation, index) and may_stop_before(operation, index)


def _wait_for_searches(operation: Operation, index: int, now: datetime, hold: str) -> Move:
    """Wait until searches have recovered, but not for ever; the first reason stays on record."""
    if _waited_seconds(operation, index, now) >= THROTTLE_SECONDS:
        message = f"searches did not recover within {seconds(THROTTLE_SECONDS)}: {hold}"
        return Move(operation=_not_begun(operation, index, now, message))
    if operation.steps[index].message.startswith(_WAITS):
        return Move(operation=operation)
    return Move(operation=with_record(operation, index, message=f"{_WAITS}{hold}"))


def _wait_for_sight(operation: Operation, index: int, now: datetime, message: str) -> Move:
    """The outside cannot be read: wait, but not for ever."""
    if _waited_seconds(operation, index, now) < INTENT_DEADLINE_SECONDS:
        return Move(operation=operation)
    return Move(operation=_not_begun(operation, index, now, message))


def _waited_seconds(operation: Operation, index: int, now: datetime) -> float:
    """Since the step before this one was over."""
    before = operation.steps[index - 1].finished_at if index else None
    return counted_seconds(operation.steps[index], before or operation.started_at, now)


def _resume(operation: Operation, index: int, snapshot: Snapshot, now: datetime) -> Move:
    """The intent is on record, the call may or may not have been made: look."""
    record = operation.steps[index]
    view, late = look(record.step, snapshot), passed_seconds(record.intended_at, now) > INTENT_DEADLINE_SECONDS
    if view.sight is Sight.AFTER and record.step.kind not in KEY_STEPS:
        return Move(operation=with_record(operation, index, state=StepState.APPLIED, message=view.message))
    if view.sight is Sight.FOREIGN:
        return Move(operation=_given_up_midway(operation, index, now, view.message, StepState.SKIPPED))
    if late:
        message = f"not written within {seconds(INTENT_DEADLINE_SECONDS)}: {record.message or view.message}"
        return Move(operation=_given_up_midway(operation, index, now, message, StepState.FAILED))
    if view.sight is Sight.UNKNOWN:
        return Move(operation=operation)
    return Move(operation=operation, call=Call(step_index=index, undo=False))


def _given_up_midway(operation: Operation, index: int, now: datetime, message: str, state: StepState) -> Operation:
    """A step that was asked for and is given up; of moves a part may be made, so they are taken back."""
    if not is_move(operation.steps[index]):
        return with_record(operation, index, state=state, finished_at=now, message=message)
    return _withdrawn(operation, index, now, message)


def _withdrawn(operation: Operation, index: int, now: datetime, message: str) -> Operation:
    """On the way back; of a move that was not seen to be made from when Milvus cannot be at work on it any more.

    An answer proves nothing: it may be that of a second call, while the first one, whose answer was lost, goes on.
    """
    record, since = operation.steps[index], now
    if is_move(record) and record.state is not StepState.DONE:
        last_asked = now if record.state is StepState.INTENDED else record.intended_at or now
        since = max(now, last_asked + timedelta(seconds=TASK_SECONDS))
    changes = {"state": StepState.UNDOING, "intended_at": since, "finished_at": None, "message": message}
    return with_record(operation, index, **changes)


def _verify(operation: Operation, index: int, snapshot: Snapshot, now: datetime) -> Move:
    """The write was made: wait for its effect, until the deadline."""
    record = operation.steps[index]
    seen = effect(record.step, snapshot)
    if seen.reached:
        done = with_record(operation, index, state=StepState.DONE, finished_at=now, message=seen.message)
        return Move(operation=done if settled(record.step.verification, record.intended_at, now) else operation)
    view = look(record.step, snapshot)
    if view.sight is Sight.FOREIGN or (view.sight is Sight.BEFORE and record.step.kind not in PATIENT_KINDS):
        message = f"changed by somebody else: {view.message}"
        return Move(operation=_given_up_midway(operation, index, now, message, StepState.SKIPPED))
    if other_pod_left(record.step, snapshot):
        message = f"Kubernetes removed another pod than {record.step.verification.get('pod')}"
        return Move(operation=skipped(operation, index, now, message))
    deadline_seconds = integer(record.step.verification, "deadlineSeconds") or EFFECT_DEADLINE_SECONDS
    if passed_seconds(record.intended_at, now) <= deadline_seconds or snapshot.workload is None:
        return Move(operation=operation)
    message = f"not within {seconds(deadline_seconds)}: {seen.message}"
    return Move(operation=_too_late(operation, index, snapshot, now, message))


def _too_late(operation: Operation, index: int, snapshot: Snapshot, now: datetime, message: str) -> Operation:
    step = operation.steps[index].step
    if step.kind is not StepKind.SCALE_QUERY_NODES:
        return _withdrawn(operation, index, now, message)
    if step.verification.get("pod") is not None:
        stuck = with_record(operation, index, state=StepState.FAILED, finished_at=now, message=message)
        return finished(stuck, now, Reason.DRAIN_STUCK, message)
    kept = max(integer(step.undo, "count") or 0, len(snapshot.members))
    back = replace(step, undo={"count": kept})
    return with_record(operation, index, step=back, state=StepState.UNDOING, intended_at=now, message=message)
