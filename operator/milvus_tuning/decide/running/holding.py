"""A roll that is held: no further pod is replaced, and its clock stands still.

A pause or mode Observe holds a roll between two pods, and between two components of one plan: to take it back would
replace the pods that came, which is the opposite of a stop. The way back is not held, by the rule for all steps. A
read-only operator calls nothing, so it holds both.

    12:00  intent, deadline 600 s      12:04  paused      13:04  goes on      13:10  late (not 12:10)

What is held stands in the record (held_since), and so does the time that does not count (held_seconds).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from milvus_tuning.api import MilvusTuningSpec, Mode
from milvus_tuning.decide.running.course import passed_seconds, skipped, with_record
from milvus_tuning.decide.seen.pods import leads_back
from milvus_tuning.plan import Operation, StepKind, StepRecord, StepState


def stopped(spec: MilvusTuningSpec) -> str | None:
    """Why no further step may begin and no further pod may be replaced, or None."""
    if spec.paused:
        return "paused"
    return f"mode is {spec.mode}" if spec.mode is Mode.OBSERVE else None


def counted_seconds(record: StepRecord, since: datetime | None, now: datetime) -> float:
    """How long ago that was, without the time for which the step was held."""
    held = record.held_seconds + passed_seconds(record.held_since, now)
    return passed_seconds(since, now) - held


def hold_step(operation: Operation, index: int, now: datetime, **changes: object) -> Operation:
    """The operation with this step held from now on, where it is not held already."""
    return with_record(operation, index, held_since=operation.steps[index].held_since or now, **changes)


def stopped_before(operation: Operation, index: int, now: datetime, why: str) -> Operation:
    """A pause ends the operation before its next step; only between two components of one roll it waits."""
    if in_a_roll(operation, index):
        return hold_step(operation, index, now, message=f"waits: {why}")
    return skipped(operation, index, now, f"not started: {why}")


def hold_rolls(operation: Operation, now: datetime) -> Operation:
    """The operation with the roll that is at work held, on the way there or back."""
    for index in range(len(operation.steps)):
        if _rolls(operation, index):
            operation = hold_step(operation, index, now)
    return operation


def let_go_on(operation: Operation, spec: MilvusTuningSpec, now: datetime) -> Operation:
    """The operation with the clocks running again of all that nothing holds any more."""
    on_the_way_there = stopped(spec) is not None
    records = (
        record if on_the_way_there and record.state is not StepState.UNDOING else _released(record, now)
        for record in operation.steps
    )
    return replace(operation, steps=tuple(records))


def in_a_roll(operation: Operation, index: int) -> bool:
    """Whether pods have been replaced before this restart: what freezes then may come of that, and is waited for."""
    earlier = (one for one in operation.steps[:index] if _is_forward(one))
    return operation.steps[index].step.kind is StepKind.RESTART_COMPONENT and any(
        one.state is StepState.DONE for one in earlier
    )


def _rolls(operation: Operation, index: int) -> bool:
    record = operation.steps[index]
    if record.step.kind is not StepKind.RESTART_COMPONENT:
        return False
    under_way = record.state is (StepState.INTENDED if _is_forward(record) else StepState.UNDOING)
    return under_way or (record.state is StepState.PENDING and in_a_roll(operation, index))


def _is_forward(record: StepRecord) -> bool:
    return record.step.kind is StepKind.RESTART_COMPONENT and not leads_back(record.step)


def _released(record: StepRecord, now: datetime) -> StepRecord:
    if record.held_since is None:
        return record
    held = record.held_seconds + round(passed_seconds(record.held_since, now))
    return replace(record, held_since=None, held_seconds=held)
