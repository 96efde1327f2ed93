"""What was taken back because searches got worse is not tried again at once, and is when anything is different."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.decide import decide
from milvus_tuning.decide.config.rollbacks import recent_rollbacks, rollback_of
from milvus_tuning.decide.config.settings import setting_steps
from milvus_tuning.decide.proposing.proposal import intent_digest
from milvus_tuning.plan import History, Operation, Reason, SettingState, Step, StepKind, StepRecord, StepState, Verdict
from milvus_tuning.snapshot import OwnedKey
from tests.builders import NOON, a_spec, a_workload
from tests.decide.config.test_settings import UID, a_setting, a_snapshot

KEY, DIGEST = "common.gracefultime", "digest-1"
ABSENT, ZERO = {"key": KEY, "value": None}, {"key": KEY, "value": "0"}
WORSE = "mean 21 ms -> 180 ms"


def a_step(
    before: Mapping[str, str | None], after: Mapping[str, str | None], kind: StepKind = StepKind.SET_CONFIG
) -> Step:
    return Step(kind=kind, precondition=before, action=after, verification=after, undo=before)


def an_operation(
    step: Step,
    *,
    hours_ago: float = 1.0,
    verdict: Verdict | None = Verdict.ROLLED_BACK,
    digest: str | None = DIGEST,
    message: str = WORSE,
) -> Operation:
    end = NOON - timedelta(hours=hours_ago)
    return Operation(
        operation_id=f"{hours_ago} hours ago",
        reason=Reason.SETTING_CHANGED,
        message="",
        started_at=end - timedelta(minutes=5),
        steps=(StepRecord(step=step, state=StepState.UNDONE),),
        finished_at=end,
        outcome=Reason.ROLLED_BACK,
        verdict=verdict,
        verdict_message=message,
        intent_digest=digest,
    )


SET_TO_ZERO = a_step(ABSENT, ZERO)


def states(*operations: Operation, digest: str = DIGEST, milliseconds: int = 0) -> tuple[int, SettingState, str]:
    """How many steps are proposed for this staleness, how it stands, and what is said of it."""
    spec = a_spec(consistency={"stalenessMilliseconds": milliseconds})
    rollbacks = recent_rollbacks(operations, digest, NOON)
    steps, (status,) = setting_steps(spec, a_snapshot(version="2.3.5"), NOON, UID, rollbacks=rollbacks)
    return len(steps), status.state, status.message


def test_what_was_rolled_back_is_not_proposed_again_and_says_why() -> None:
    assert states(an_operation(SET_TO_ZERO)) == (
        0,
        SettingState.NOT_APPLIED,
        f"rolled back at 2026-01-05T11:00:00Z: {WORSE}; change the value to try again",
    )


@pytest.mark.parametrize(
    ("operation", "options", "proposed"),
    [
        pytest.param(an_operation(SET_TO_ZERO), {}, 0, id="an hour ago"),
        pytest.param(an_operation(SET_TO_ZERO, hours_ago=23.9), {}, 0, id="just within a day"),
        pytest.param(an_operation(SET_TO_ZERO, hours_ago=25), {}, 1, id="25 hours ago"),
        pytest.param(an_operation(SET_TO_ZERO), {"milliseconds": 1000}, 1, id="another value"),
        pytest.param(an_operation(SET_TO_ZERO), {"digest": "digest-2"}, 1, id="another spec"),
        pytest.param(an_operation(SET_TO_ZERO, digest=None), {}, 1, id="no word of the spec"),
        pytest.param(an_operation(SET_TO_ZERO, verdict=Verdict.KEPT), {}, 1, id="kept"),
        pytest.param(an_operation(SET_TO_ZERO, verdict=Verdict.INCONCLUSIVE), {}, 1, id="inconclusive"),
        pytest.param(an_operation(SET_TO_ZERO, verdict=None), {}, 1, id="no verdict"),
        pytest.param(
            an_operation(a_step({"key": "other", "value": None}, {"key": "other", "value": "0"})),
            {},
            1,
            id="another key",
        ),
    ],
)
def test_a_roll_back_counts_for_its_value_its_spec_and_a_day(
    operation: Operation, options: dict[str, Any], proposed: int
) -> None:
    steps, state, _ = states(operation, **options)
    assert steps == proposed
    assert state is (SettingState.APPLYING if proposed else SettingState.NOT_APPLIED)


@pytest.mark.parametrize(
    ("milliseconds", "hours_ago", "reason"),
    [
        pytest.param(0, 1, Reason.STEADY, id="the same again"),
        pytest.param(0, 25, Reason.SETTING_CHANGED, id="a day later"),
        pytest.param(1000, 0.01, Reason.SETTING_CHANGED, id="another value, and so another digest"),
    ],
)
def test_the_decision_heeds_the_history(milliseconds: int, hours_ago: float, reason: Reason) -> None:
    rolled_back = an_operation(
        SET_TO_ZERO, hours_ago=hours_ago, digest=intent_digest(a_policy_about_staleness(milliseconds=0))
    )
    snapshot = replace(a_snapshot(version="2.3.5"), workload=a_workload())
    decision = decide(a_policy_about_staleness(milliseconds), snapshot, History(operations=(rolled_back,)), NOON)
    assert decision.reason is reason


def a_policy_about_staleness(milliseconds: int) -> MilvusTuningSpec:
    return a_spec(consistency={"stalenessMilliseconds": milliseconds}).model_copy(update={"query_nodes": None})


def test_the_newest_of_several_is_told() -> None:
    operations = [an_operation(SET_TO_ZERO, hours_ago=ago, message=f"{ago} h") for ago in (9, 2, 5)]
    assert "rolled back at 2026-01-05T10:00:00Z: 2 h" in states(*operations)[2]


def test_one_that_does_not_say_when_it_ended_counts_from_its_start() -> None:
    operation = an_operation(SET_TO_ZERO, hours_ago=0)
    late = replace(operation, started_at=NOON - timedelta(hours=25), finished_at=None)
    assert recent_rollbacks([late, operation], DIGEST, NOON) == (operation,)


def test_a_value_that_stands_by_itself_is_effective_whatever_was_rolled_back() -> None:
    spec = a_spec(consistency={"stalenessMilliseconds": 0})
    rollbacks = (an_operation(SET_TO_ZERO),)
    steps, (status,) = setting_steps(
        spec, a_snapshot(a_setting(KEY, "0"), version="2.3.5"), NOON, UID, rollbacks=rollbacks
    )
    assert (steps, status.state) == ((), SettingState.EFFECTIVE)


def test_what_the_key_was_before_the_roll_back_stays_claimed() -> None:
    """1000 was ours; 0 was rolled back to it: neither is 0 tried again, nor 1000 handed back."""
    snapshot = a_snapshot(a_setting(KEY, "1000"), owned={KEY: OwnedKey(previous=None, written="1000")})
    rollbacks = (an_operation(a_step({"key": KEY, "value": "1000"}, ZERO)),)
    steps, (status,) = setting_steps(
        a_spec(consistency={"stalenessMilliseconds": 0}), snapshot, NOON, UID, rollbacks=rollbacks
    )
    assert (steps, status.effective, status.state) == ((), "1000", SettingState.NOT_APPLIED)


PLACEMENT = "querycoord.autobalance"
HELD_OFF = {"key": PLACEMENT, "value": "false"}


@pytest.mark.parametrize("rolled_back", [True, False])
def test_placement_that_was_rolled_back_is_not_taken_again(*, rolled_back: bool) -> None:
    taking = a_step({"key": PLACEMENT, "value": None}, HELD_OFF, StepKind.TAKE_PLACEMENT)
    steps, _ = setting_steps(
        a_spec(load_balancing={"placementOwner": "Operator"}),
        a_snapshot(version="2.3.5"),
        NOON,
        UID,
        rollbacks=(an_operation(taking),) if rolled_back else (),
    )
    assert [step.kind for step in steps] == ([] if rolled_back else [StepKind.TAKE_PLACEMENT])


@pytest.mark.parametrize("rolled_back", [True, False])
@pytest.mark.parametrize(
    ("key", "value", "spec", "intent"),
    [
        pytest.param(KEY, "0", a_spec(), "consistency.stalenessMilliseconds", id="no longer declared"),
        pytest.param(
            PLACEMENT,
            "false",
            a_spec(load_balancing={"placementOwner": "Milvus"}),
            "loadBalancing.placementOwner",
            id="placement goes back to Milvus",
        ),
        pytest.param("some.key", "0", a_spec(), "some.key", id="a key that carries nothing any more"),
    ],
)
def test_a_hand_back_that_was_rolled_back_waits_and_says_so(
    key: str, value: str, spec: MilvusTuningSpec, intent: str, *, rolled_back: bool
) -> None:
    snapshot = a_snapshot(
        a_setting(key, value, leased=key == PLACEMENT),
        version="2.3.5",
        owned={key: OwnedKey(previous=None, written=value)},
    )
    going = a_step({"key": key, "value": value}, {"key": key, "value": None})
    rollbacks = (an_operation(going),) if rolled_back else ()
    steps, statuses = setting_steps(spec, snapshot, NOON, UID, rollbacks=rollbacks)

    if not rolled_back:
        assert [step.action["value"] for step in steps] == [None]
        return
    assert steps == ()
    (status,) = statuses
    assert (status.intent, status.effective, status.state) == (intent, value, SettingState.NOT_APPLIED)
    assert status.message == (
        f"no longer declared; handing it back was rolled back at 2026-01-05T11:00:00Z: {WORSE}; "
        "it is tried again a day later"
    )


@pytest.mark.parametrize("operations", [(), (an_operation(a_step(ABSENT, {"key": KEY, "value": "5"})),)])
def test_nothing_that_fits_is_no_roll_back(operations: tuple[Operation, ...]) -> None:
    assert rollback_of(SET_TO_ZERO, operations) is None


def test_a_day_is_counted_from_the_end() -> None:
    def counts(now: datetime) -> bool:
        return bool(recent_rollbacks([an_operation(SET_TO_ZERO, hours_ago=0)], DIGEST, now))

    assert counts(NOON + timedelta(hours=23, minutes=59))
    assert not counts(NOON + timedelta(hours=24))
