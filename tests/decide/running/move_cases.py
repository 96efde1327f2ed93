"""Operations that move segments, in a world of three nodes, and passes over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from milvus_tuning.decide.running.operation import Move, begin, next_move
from milvus_tuning.plan import (
    Decision,
    Operation,
    Reason,
    Step,
    StepState,
)
from milvus_tuning.snapshot import EtcdSetting, Freeze, FreezeReason, Snapshot
from tests.builders import NOON, a_snapshot, a_spec
from tests.decide.steps import HAND_BACK, PLACEMENT_KEY, TAKE, a_move, moved_segments

SPEC = a_spec()
KEY = "querycoordautobalance"
HELD = {KEY: EtcdSetting(key=PLACEMENT_KEY, value="false", spellings=(PLACEMENT_KEY,), revision=7, leased=True)}
FREEZE = Freeze(reason=FreezeReason.COMPACTING, message="40 tasks")
SLOW = "searches take 30.0 ms on average, 20.0 ms before (tolerated +20 %)"
TAKING = replace(TAKE, verification={**TAKE.verification, "settleSeconds": 10})
GIVING = replace(HAND_BACK, undo={**HAND_BACK.undo, "leaseSeconds": 300, "settleSeconds": 10})
OUT, BACK = a_move(5000), a_move(5001, source="qn-2", destination="qn-1")
OUT2, BACK2 = a_move(5003), a_move(5004, source="qn-2", destination="qn-1")
FREE, SWAP = (OUT, OUT2), (TAKING, OUT, BACK, OUT2, BACK2, GIVING)
DONE, PENDING, LEFT_OUT, UNDONE = StepState.DONE, StepState.PENDING, StepState.LEFT_OUT, StepState.UNDONE


def seen(
    where: Mapping[int, tuple[int, ...] | None] | None = None, *, at: datetime, held: bool = True, **changes: Any
) -> Snapshot:
    """Three nodes with 5000 and 5003 on node 1, 5001 and 5004 on node 2; `where` moves them."""
    snapshot = a_snapshot(3, settings_readable=True, settings=HELD if held else {}, **changes)
    return replace(snapshot, segments=tuple(moved_segments(snapshot.segments, where or {})), taken_at=at)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def begun(steps: tuple[Step, ...], *states: StepState, at: datetime = NOON) -> Operation:
    """An operation whose first steps are in these states since `at`."""
    operation = begin(Decision(reason=Reason.HOT_NODE, message="", steps=steps), operation_id="x", now=NOON)
    records = list(operation.steps)
    for place, state in enumerate(states):
        over = at if state is not StepState.INTENDED and state is not StepState.APPLIED else None
        records[place] = replace(records[place], state=state, intended_at=at, finished_at=over)
    return replace(operation, steps=tuple(records))


def moved(
    operation: Operation,
    where: Mapping[int, tuple[int, ...] | None] | None = None,
    *,
    at: datetime,
    hold: str | None = None,
    spec: Any = SPEC,
    **changes: Any,
) -> Move:
    return next_move(operation, seen(where, at=at, **changes), spec, at, hold=hold)


def states(operation: Operation) -> list[StepState]:
    return [record.state for record in operation.steps]


MOVED = {5000: (2,)}
