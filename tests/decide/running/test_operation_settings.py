"""The course of an operation that writes a configuration key, by what etcd shows."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from milvus_tuning.decide import decide
from milvus_tuning.decide.running.operation import Call, Move, begin, call_succeeded, next_move
from milvus_tuning.plan import Operation, Reason, Step, StepKind
from milvus_tuning.snapshot import EtcdSetting, Snapshot
from tests.builders import NOON, a_history, a_snapshot, a_spec

SPEC = a_spec()
TWO = a_snapshot(2, cpu=0.9)
LATER = NOON + timedelta(seconds=15)
KEY = "querycoord.autobalanceinterval"
SET = Step(
    kind=StepKind.SET_CONFIG,
    precondition={"key": KEY, "value": None},
    action={"key": KEY, "value": "30000"},
    verification={"key": KEY, "value": "30000"},
    undo={"key": KEY, "value": None},
)


def moved(operation: Operation, snapshot: Snapshot, now: datetime = LATER) -> Move:
    return next_move(operation, replace(snapshot, taken_at=now), SPEC, now)


def called(move: Move, now: datetime) -> Operation:
    assert move.call is not None
    return call_succeeded(move.operation, move.call, now, "done")


def with_key(value: str | None) -> Snapshot:
    stored = {} if value is None else {KEY: EtcdSetting(key=KEY, value=value, spellings=(KEY,), revision=1)}
    settings = {name.replace(".", ""): setting for name, setting in stored.items()}
    return replace(a_snapshot(2), settings=settings, settings_readable=True)


def setting_key() -> Operation:
    decision = replace(decide(SPEC, TWO, a_history(TWO), NOON), steps=(SET,))
    return begin(decision, operation_id="test", now=NOON)


def test_a_key_is_written_and_read_back() -> None:
    move = moved(setting_key(), with_key(None), NOON)
    assert move.call == Call(step_index=0, undo=False)

    assert moved(called(move, NOON), with_key("30000")).operation.outcome is Reason.COMPLETED


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        pytest.param(with_key("5"), Reason.PRECONDITION_CHANGED, id="somebody else set it"),
        pytest.param(replace(with_key(None), settings_readable=False), None, id="etcd cannot be read: wait"),
    ],
)
def test_a_key_is_not_written_when(seen: Snapshot, outcome: Reason | None) -> None:
    move = moved(setting_key(), seen)

    assert (move.operation.outcome, move.call) == (outcome, None)


def test_a_key_that_was_replaced_at_once_is_somebody_elses() -> None:
    written = called(moved(setting_key(), with_key(None), NOON), NOON)

    assert moved(written, with_key("7")).operation.outcome is Reason.PRECONDITION_CHANGED


def test_a_key_that_is_in_place_is_written_all_the_same_for_the_record_beside_it() -> None:
    assert moved(setting_key(), with_key("30000"), NOON).call == Call(step_index=0, undo=False)
