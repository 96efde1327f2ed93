"""Whatever happens on the way, a swap ends: the balancer is let go, and each QueryNode has as many segments as before.

Milvus is a table of segments and a key here. It carries out a move at once, a pass later, in part, or says so and does
nothing; what it is still at work on it refuses, in words or, as from 2.4 on, in silence. The operator dies before its
record, between record and call, or after the call; a person cancels; freezes come and go; searches suffer. What
outlives a crash is the record in the text form of status.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milvus_tuning.decide.running.operation import begin, call_failed, call_succeeded, cancel, next_move, roll_back
from milvus_tuning.plan import Decision, Operation, Reason, Step, StepKind, StepState, segment_ids
from milvus_tuning.snapshot import EtcdSetting, Freeze, FreezeReason, Snapshot
from milvus_tuning.status.records import operation_from_status, operation_to_status
from tests.builders import NOON, a_snapshot, a_spec
from tests.decide.running.crashing import Crash, Recorded
from tests.decide.running.move_cases import SWAP
from tests.decide.steps import PLACEMENT_KEY, moved_segments

SPEC = a_spec()
PASS, MOST_PASSES = timedelta(seconds=15), 400
HELD = EtcdSetting(key=PLACEMENT_KEY, value="false", spellings=(PLACEMENT_KEY,), revision=7, leased=True)
FREEZE = Freeze(reason=FreezeReason.COMPACTING, message="40 tasks")
# What Milvus makes of a call, by its number.
MOODS = ("at once", "later", "cut", "part", "nothing", "refused", "away")
LATER, MUCH_LATER = timedelta(seconds=10), timedelta(seconds=100)  # what is cut off goes on without us


@dataclass(kw_only=True)
class World(Recorded):
    """Segments, the key, and what is to go wrong."""

    moods: dict[int, str] = field(default_factory=dict)
    frozen: frozenset[int] = frozenset()
    slow: frozenset[int] = frozenset()
    cancelled: int | None = None
    silent: bool = False  # says success of what it refuses
    way_back_is_clear: bool = False  # only moves forward meet trouble
    now: datetime = NOON
    passes: int = 0
    calls: int = 0
    held: bool = False
    where: dict[int, int] = field(default_factory=lambda: {5000: 1, 5001: 2, 5003: 1, 5004: 2})
    later: dict[int, tuple[datetime, int]] = field(default_factory=dict)
    moved_at_large: bool = False

    def run(self) -> Operation:
        """Passes until the operation is over."""
        while self.record.outcome is None:
            self.passes += 1
            assert self.passes < MOST_PASSES, "it never ends"
            with suppress(Crash):  # the next pass is that of another process
                self._pass()
            self.now += PASS
            arrived = {one: node for one, (at, node) in self.later.items() if at <= self.now}
            self.where.update(arrived)
            self.later = {one: due for one, due in self.later.items() if one not in arrived}
        self.where.update({one: node for one, (_, node) in self.later.items()})
        return operation_from_status(self.record)

    def _pass(self) -> None:
        operation = operation_from_status(self.record)
        if self.cancelled is not None and self.passes >= self.cancelled:
            operation = cancel(operation, self._seen(), self.now, "Cancelled by ann")
        hold = "searches are slow" if self.passes in self.slow else None
        for _ in range(12):
            move = next_move(operation, self._seen(), SPEC, self.now, hold=hold)
            operation = self._write(move.operation)
            if move.call is None:
                return
            record = operation.steps[move.call.step_index]
            wanted = StepState.UNDOING if move.call.undo else StepState.INTENDED
            assert record.state is wanted, "a call before its record"
            told = self._act(record.step, undo=move.call.undo)
            self.now += timedelta(seconds=1)
            self._may_crash()
            if told in {"refused", "away"}:
                self._write(call_failed(operation, move.call, self.now, told, retryable=told == "away"))
                return
            operation = self._write(call_succeeded(operation, move.call, self.now, told))
            self.now += timedelta(seconds=1)

    def _act(self, step: Step, *, undo: bool) -> str:
        if step.kind is not StepKind.MOVE_SEGMENTS:
            self.held = (step.kind is StepKind.TAKE_PLACEMENT) is not undo
            return "written"
        self.calls += 1
        mood = "at once" if undo and self.way_back_is_clear else self.moods.get(self.calls, "at once")
        goal = int(str((step.undo if undo else step.action)["pod"])[-1])
        self.moved_at_large = self.moved_at_large or not self.held
        moves = [(one, goal) for one in segment_ids(step.action)]
        if any(one in self.later for one, _ in moves):
            return "nothing" if self.silent else "away"
        if mood in {"at once", "part"}:
            self.where.update(moves)
        elif mood in {"later", "cut"}:
            due = self.now + (LATER if mood == "later" else MUCH_LATER)
            self.later |= {one: (due, node) for one, node in moves if self.where[one] != node}
        return {"part": "refused", "cut": "away"}.get(mood, mood)

    def _seen(self) -> Snapshot:
        snapshot = a_snapshot(3, settings_readable=True)
        return replace(
            snapshot,
            taken_at=self.now + timedelta(seconds=1),
            segments=tuple(moved_segments(snapshot.segments, {one: (node,) for one, node in self.where.items()})),
            settings={PLACEMENT_KEY.replace(".", ""): HELD} if self.held else {},
            freezes=(FREEZE,) if self.passes in self.frozen else (),
        )

    @property
    def neutral(self) -> bool:
        """Whether each node has as many of the segments as at first."""
        return Counter(self.where.values()) == Counter({1: 2, 2: 2})


def a_world(operation: Operation | None = None, **changes: Any) -> World:
    begun = operation or begin(Decision(reason=Reason.HOT_NODE, message="", steps=SWAP), operation_id="test", now=NOON)
    return World(record=operation_to_status(begun), **changes)


def states(operation: Operation) -> set[StepState]:
    return {record.state for record in operation.steps}


def test_undisturbed_both_pairs_are_swapped() -> None:
    world = a_world()

    ended = world.run()

    assert (ended.outcome, states(ended), world.calls) == (Reason.COMPLETED, {StepState.DONE}, 4)
    assert world.where == {5000: 2, 5001: 1, 5003: 2, 5004: 1}
    assert not world.held
    assert not world.moved_at_large


def test_a_crash_at_any_one_moment_changes_nothing() -> None:
    calm = a_world()
    calm.run()

    for moment in range(1, calm.moment + 1):
        world = a_world(crashes=frozenset({moment}))
        ended = world.run()
        assert (ended.outcome, world.where, world.held) == (Reason.COMPLETED, calm.where, False), f"at {moment}"
        assert world.calls == calm.calls, f"asked once more after a crash at {moment}"


@pytest.mark.parametrize("passes", [2, 3, 8, 20])
def test_what_milvus_does_after_it_was_cut_off_is_taken_back_too(passes: int) -> None:
    """The answer to the first move is lost, it arrives 100 s later, and meanwhile somebody cancels."""
    moods = {1: "cut"} | dict.fromkeys(range(2, 30), "away")
    world = a_world(moods=moods, cancelled=passes, way_back_is_clear=True)

    world.run()

    assert world.where == {5000: 1, 5001: 2, 5003: 1, 5004: 2}
    assert not world.held


PASSES = st.frozensets(st.integers(1, 60), max_size=40)
TROUBLE = st.fixed_dictionaries(
    {
        "moods": st.dictionaries(st.integers(1, 12), st.sampled_from(MOODS), max_size=4),
        "crashes": st.frozensets(st.integers(1, 60), max_size=8),
        "frozen": PASSES,
        "slow": PASSES,
        "cancelled": st.none() | st.integers(1, 60),
        "silent": st.booleans(),
    }
)


@given(trouble=TROUBLE)
@settings(max_examples=120, deadline=None)
def test_in_any_trouble_it_ends_with_the_balancer_let_go_and_the_rows_as_they_were(trouble: dict[str, Any]) -> None:
    world = a_world(**trouble)

    ended = world.run()

    assert not world.held
    assert not world.moved_at_large
    assert world.neutral or StepState.FAILED in states(ended)
    if ended.outcome is not Reason.COMPLETED and StepState.FAILED not in states(ended):
        assert world.where == {5000: 1, 5001: 2, 5003: 1, 5004: 2}


@given(crashes=st.frozensets(st.integers(1, 60), max_size=8))
@settings(max_examples=40, deadline=None)
def test_a_roll_back_ends_where_it_began(crashes: frozenset[int]) -> None:
    done = a_world()
    completed = done.run()

    world = a_world(roll_back(completed, done.now, "worse"), crashes=crashes, now=done.now, where=dict(done.where))
    ended = world.run()

    assert states(ended) == {StepState.UNDONE}
    assert world.where == {5000: 1, 5001: 2, 5003: 1, 5004: 2}
    assert not world.held
    assert not world.moved_at_large
