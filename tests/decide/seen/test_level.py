"""A change of a collection's level is seen as Milvus tells it, and is over when the level is there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from milvus_tuning.api import Mode
from milvus_tuning.decide.load import cluster_load
from milvus_tuning.decide.proposing.prediction import predict
from milvus_tuning.decide.readback import Sight, effect, is_undone, look, obstacle
from milvus_tuning.decide.running.operation import begin, call_succeeded, next_move
from milvus_tuning.plan import Operation, Reason, Step, StepState
from milvus_tuning.snapshot import Collection, Freeze, FreezeReason, Problem, ProblemKind, Snapshot
from tests.builders import NOON, a_change, a_snapshot, a_spec
from tests.decide.steps import a_level

UP = a_level("Bounded", "Strong")
STAYS = a_level("Session", "Bounded", remains="Session")


def a_cluster(level: str | None, **changes: object) -> Snapshot:
    found = (Collection(collection_id=100, name="products", consistency_level=level),)
    snapshot = a_snapshot(milvus_version="2.5.27", collections=found, settings_readable=True, etcd_root_path="by-dev")
    return replace(snapshot, **changes)  # type: ignore[arg-type]


AWAY = (Problem(kind=ProblemKind.MILVUS_UNREACHABLE, message="away"),)


@pytest.mark.parametrize(
    ("step", "seen", "sight", "reached"),
    [
        pytest.param(UP, a_cluster("Bounded"), Sight.BEFORE, False, id="the former level"),
        pytest.param(UP, a_cluster("Strong"), Sight.AFTER, True, id="the level that was written"),
        pytest.param(UP, a_cluster("Session"), Sight.FOREIGN, False, id="a level of others"),
        pytest.param(UP, a_cluster(None), Sight.UNKNOWN, False, id="not read"),
        pytest.param(UP, a_cluster("Strong", collections=()), Sight.FOREIGN, False, id="released"),
        pytest.param(UP, a_cluster("Strong", problems=AWAY), Sight.UNKNOWN, False, id="Milvus is away"),
        pytest.param(UP, a_cluster("Strong", settings_readable=False), Sight.UNKNOWN, False, id="etcd is away"),
        pytest.param(STAYS, a_cluster("Session"), Sight.BEFORE, True, id="a level of others that is to stay"),
        pytest.param(STAYS, a_cluster("Bounded"), Sight.AFTER, False, id="which has changed"),
    ],
)
def test_a_level_is_seen(step: Step, seen: Snapshot, sight: Sight, reached: bool) -> None:
    assert (look(step, seen).sight, effect(step, seen).reached) == (sight, reached)


@pytest.mark.parametrize("level", ["Strong", "Bounded"])
def test_taking_it_back_is_always_a_call_for_the_record_is_not_seen(level: str) -> None:
    assert is_undone(UP, a_cluster(level)) is False
    assert is_undone(UP, a_cluster(level, settings_readable=False)) is None


def test_a_freeze_keeps_it_from_starting() -> None:
    frozen = (Freeze(reason=FreezeReason.LOADING, message="1 collection is being loaded"),)
    assert "being loaded" in str(obstacle(UP, a_cluster("Bounded", freezes=frozen)))
    assert obstacle(UP, a_cluster("Bounded")) is None


def test_it_is_expected_to_move_nothing() -> None:
    found = predict([UP], a_cluster("Bounded"), cluster_load(a_cluster("Bounded"), NOON).signal, NOON)
    assert (found.node_count_before, found.node_count_after, found.moved_segments) == (3, 3, 0)
    assert found.p99_milliseconds_after is None


# -- its course ------------------------------------------------------------------------------------------------------

SPEC = a_spec(mode=Mode.AUTO)


def at(seconds: float, level: str) -> Snapshot:
    return replace(a_cluster(level), taken_at=NOON + timedelta(seconds=seconds))


def applied() -> Operation:
    """The level was written at NOON + 1 s."""
    operation = begin(a_change(steps=(UP,)), operation_id="rag-1", now=NOON)
    move = next_move(operation, at(1, "Bounded"), SPEC, at(1, "Bounded").taken_at)
    assert move.call is not None
    return call_succeeded(move.operation, move.call, at(2, "Bounded").taken_at, "set")


def go_on(operation: Operation, seconds: float, level: str) -> Operation:
    seen = at(seconds, level)
    return next_move(operation, seen, SPEC, seen.taken_at).operation


def test_a_proxy_that_still_tells_the_former_level_is_waited_for() -> None:
    waiting = go_on(applied(), 20, "Bounded")
    assert waiting.steps[0].state is StepState.APPLIED
    assert go_on(waiting, 35, "Strong").outcome is Reason.COMPLETED


def test_a_level_that_never_comes_is_taken_back() -> None:
    assert go_on(applied(), 130, "Bounded").steps[0].state is StepState.UNDOING


def test_a_level_of_others_that_came_meanwhile_stays() -> None:
    ended = go_on(applied(), 20, "Session")
    assert (ended.outcome, ended.steps[0].state) == (Reason.PRECONDITION_CHANGED, StepState.SKIPPED)


def test_a_level_that_is_there_already_is_written_all_the_same_for_its_record() -> None:
    operation = begin(a_change(steps=(UP,)), operation_id="rag-1", now=NOON)
    assert next_move(operation, at(1, "Strong"), SPEC, at(1, "Strong").taken_at).call is not None
