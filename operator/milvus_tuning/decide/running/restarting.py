"""What is special about the course of an operation that replaces the pods of a component.

One call replaces one pod, so a step is Intended, and called, as often as it has pods. Which are still due is told from
since when each runs, never from what was called: after a crash nothing is skipped, and nothing is replaced twice.

    Forward   due: those that ran before the intent was written
    Back      due, on the way back: those that came after the operation began and before its undoing was written

Kubernetes tells times in whole seconds and has clocks of its own. So neither is written while a pod is younger than
five seconds: between those that ran before and those that come after lies a gap that such an error cannot close.

    12:00:00  proxy-a starts
    12:00:03  Forward would begin: waits
    12:00:06  its intent is written; due is what ran before 12:00:01
    12:00:06  proxy-a is evicted; proxy-b comes, by a clock that is 4 s behind at 12:00:02: not due

A pod that is due and ready goes only when the component is whole and nothing freezes the cluster, also where the freeze
comes of this very roll (a coordinator that has just started, a collection that is being loaded): it ends, and if not,
the deadline of the step does it. Then the steps before it are taken back: the keys first, then the pods that read them.
A pause lets no further pod go at all, and its time does not count (holding.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from milvus_tuning.decide.readback import integer
from milvus_tuning.decide.running.course import Call, Move, is_fresh, passed_seconds, with_record
from milvus_tuning.decide.running.holding import counted_seconds, hold_step
from milvus_tuning.decide.seen.pods import component_of, leads_back, next_pod, pods_of, running_since, still_due
from milvus_tuning.decide.words import listed, seconds
from milvus_tuning.plan import Operation, Step, StepKind, StepRecord, StepState
from milvus_tuning.snapshot import ComponentPod, FreezeReason, Snapshot

QUIET_SECONDS = 5.0  # clocks that NTP keeps are much nearer to each other
FALLBACK_DEADLINE_SECONDS = 300.0  # where the step names none
# What a roll brings about by itself. On the way back nothing else holds.
OWN_FREEZES = frozenset(
    {
        FreezeReason.LOADING,
        FreezeReason.DRAINING,
        FreezeReason.COORDINATOR_NOT_READY,
        FreezeReason.COORDINATOR_RESTARTED,
    }
)
_Due = Callable[[ComponentPod], bool]


def is_restart(record: StepRecord) -> bool:
    """Whether the step replaces pods."""
    return record.step.kind is StepKind.RESTART_COMPONENT


def restarts_back(record: StepRecord) -> bool:
    """Whether the step replaces pods on the way back only."""
    return is_restart(record) and leads_back(record.step)


def too_young(step: Step, snapshot: Snapshot, now: datetime) -> str | None:
    """Which pods have come so lately that nothing may be told by their times yet, in words."""
    young = [pod.pod for pod in pods_of(component_of(step), snapshot) if running_since(pod) >= _boundary(now)]
    return f"{listed(young)} has only just started" if young else None


def roll_on(operation: Operation, index: int, snapshot: Snapshot, now: datetime, *, why_held: str | None) -> Move:
    """How a Forward whose intent is on record goes on: the next pod, a wait, its end. While held no pod goes."""
    record = operation.steps[index]
    if record.intended_at is None:
        raise ValueError(f"step {index} is {record.state} and has no time of its intent")
    boundary = _boundary(record.intended_at)

    def is_due(pod: ComponentPod) -> bool:
        return running_since(pod) < boundary

    found = next_pod(record.step, snapshot, is_due)
    if found is None:
        done = {
            "state": StepState.DONE,
            "held_since": None,
            "message": f"all {_counted(record.step, snapshot)} were replaced",
        }
        return Move(operation=with_record(operation, index, finished_at=now, **done))
    if why_held is not None:
        message = f"{still_due(record.step, snapshot, is_due)} to be replaced; waits: {why_held}"
        return Move(operation=hold_step(operation, index, now, message=message))
    late = _late(record, now)
    if late is not None:
        message = f"{late}: {found if isinstance(found, str) else record.message}"
        return Move(operation=with_record(operation, index, state=StepState.FAILED, finished_at=now, message=message))
    held = _held(snapshot, back=False)
    return _next(operation, index, snapshot, found=found, held=held, is_due=is_due)


def roll_back_on(operation: Operation, index: int, snapshot: Snapshot, now: datetime) -> Move:
    """How a Back that is being undone goes on; it is Undone once nothing is due and the component is whole."""
    record = operation.steps[index]
    if record.state is not StepState.UNDOING:
        return _begin_to_undo(operation, index, snapshot, now)
    if record.intended_at is None or not is_fresh(record, snapshot):
        return Move(operation=operation)
    begun, undoing = _boundary(operation.started_at), _boundary(record.intended_at)

    def is_due(pod: ComponentPod) -> bool:
        return begun <= running_since(pod) < undoing

    found = None if _untouched(record.step, snapshot, begun) else next_pod(record.step, snapshot, is_due)
    if found is None:
        undone = {"state": StepState.UNDONE, "message": "no pod is left that came with the values that were withdrawn"}
        return Move(operation=with_record(operation, index, finished_at=now, **undone))
    late = _late(record, now)
    if late is not None and not record.message:  # nobody was there to try it: it gets its time anew
        skipped = round(passed_seconds(record.intended_at, now))
        operation, late = with_record(operation, index, held_seconds=skipped, message="begun late"), None
    if late is not None:
        left = still_due(record.step, snapshot, is_due)
        message = (
            f"{_counted(record.step, snapshot)}: {late}, {left} may still run with the values that were withdrawn: "
            f"{found if isinstance(found, str) else record.message}"
        )
        return Move(operation=with_record(operation, index, state=StepState.FAILED, finished_at=now, message=message))
    held = _held(snapshot, back=True)
    return _next(operation, index, snapshot, found=found, held=held, is_due=is_due)


def _begin_to_undo(operation: Operation, index: int, snapshot: Snapshot, now: datetime) -> Move:
    if too_young(operation.steps[index].step, snapshot, now) is not None:
        return Move(operation=operation)
    return Move(operation=with_record(operation, index, state=StepState.UNDOING, intended_at=now, message=""))


def _untouched(step: Step, snapshot: Snapshot, begun: datetime) -> bool:
    """Whether every pod is there that ran before the operation: then it does not matter how it fares."""
    pods = pods_of(component_of(step), snapshot)
    whole = len(pods) >= (integer(step.precondition, "count") or 1)
    return whole and not any(pod.terminating or running_since(pod) >= begun for pod in pods)


def _next(
    operation: Operation, index: int, snapshot: Snapshot, *, found: ComponentPod | str, held: str | None, is_due: _Due
) -> Move:
    """The next pod, named in the record before the call; or what is waited for. A refusal of the same pod stays."""
    record = operation.steps[index]
    waits_for = found if isinstance(found, str) else held if found.ready else None
    left = still_due(record.step, snapshot, is_due)
    if waits_for is not None or isinstance(found, str):
        message = f"{left} to be replaced; waits: {waits_for}"
        return Move(operation=with_record(operation, index, message=message))
    told = record.message
    if found.pod_uid not in told:
        told = f"{left} to be replaced; replacing {found.pod} ({found.pod_uid})"
    undo = record.state is StepState.UNDOING
    call = Call(step_index=index, undo=undo, step=_with_pod(record.step, found, undo=undo))
    return Move(operation=with_record(operation, index, message=told), call=call)


def _with_pod(step: Step, pod: ComponentPod, *, undo: bool) -> Step:
    named = {"pod": pod.pod, "podUid": pod.pod_uid}
    return replace(step, undo={**step.undo, **named}) if undo else replace(step, action={**step.action, **named})


def _held(snapshot: Snapshot, *, back: bool) -> str | None:
    """What freezes the cluster, by name alone: the numbers would change with each pass."""
    reasons = {freeze.reason for freeze in snapshot.freezes if not back or freeze.reason in OWN_FREEZES}
    return ", ".join(sorted(reasons)) or None


def _late(record: StepRecord, now: datetime) -> str | None:
    deadline = integer(record.step.verification, "deadlineSeconds") or FALLBACK_DEADLINE_SECONDS
    return f"not within {seconds(deadline)}" if counted_seconds(record, record.intended_at, now) > deadline else None


def _boundary(moment: datetime) -> datetime:
    """What runs since before it ran before the moment; see the module's text."""
    return moment.replace(microsecond=0) - timedelta(seconds=QUIET_SECONDS)


def _counted(step: Step, snapshot: Snapshot) -> str:
    count = len(pods_of(component_of(step), snapshot))
    return f"{count} pod{'' if count == 1 else 's'} of {component_of(step)}"
