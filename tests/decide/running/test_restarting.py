"""The course of a restart: which pod goes next, what is waited for, and when it is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from milvus_tuning.api import Mode
from milvus_tuning.decide.running.holding import hold_rolls, let_go_on
from milvus_tuning.decide.running.operation import Call, Move, begin, call_failed, call_succeeded, next_move
from milvus_tuning.plan import Decision, Operation, Reason, Step, StepState
from milvus_tuning.snapshot import ComponentPod, Freeze, FreezeReason, Replica, Segment, Snapshot
from tests.builders import NOON, a_snapshot, a_spec
from tests.decide.steps import INTERVAL, a_restart

SPEC = a_spec()
DAY = timedelta(days=1)
ROLL = a_restart("Proxy", count=2)
NODES = a_restart("QueryNode", count=3)
LOADING = Freeze(reason=FreezeReason.LOADING, message="1 collections")
IMPORTING = Freeze(reason=FreezeReason.IMPORTING, message="1 bulk imports")


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def a_pod(name: str = "a", *, since: datetime = NOON - DAY, component: str = "Proxy", **changes: Any) -> ComponentPod:
    """A proxy of yesterday."""
    pod = ComponentPod(
        component=component, pod=f"proxy-{name}", pod_uid=f"uid-{name}", created_at=since, started_at=since
    )
    return replace(pod, **changes)


def seen(*pods: ComponentPod, now: float = 30, **changes: Any) -> Snapshot:
    return a_snapshot(3, at=at(now), components=pods, **changes)


def begun(*steps: Step) -> Operation:
    decision = Decision(reason=Reason.SETTING_CHANGED, message="", steps=steps)
    return begin(decision, operation_id="test", now=NOON)


def rolling(step: Step = ROLL) -> Operation:
    """The intent was written at 12:00:10."""
    operation = begun(step)
    record = replace(operation.steps[0], state=StepState.INTENDED, intended_at=at(10))
    return replace(operation, steps=(record,))


def moved(operation: Operation, snapshot: Snapshot, **spec: Any) -> Move:
    return next_move(operation, snapshot, a_spec(**spec), snapshot.taken_at)


def pod_of(call: Call | None) -> str | None:
    """The pod that is evicted by a call."""
    if call is None:
        return None
    assert call.step is not None
    return str((call.step.undo if call.undo else call.step.action)["pod"])


def test_the_pod_is_on_record_before_it_goes() -> None:
    move = moved(begun(ROLL), seen(a_pod("a"), a_pod("b")))

    record = move.operation.steps[0]
    assert (record.state, record.intended_at, record.step) == (StepState.INTENDED, at(30), ROLL)
    assert record.message == "2 to be replaced; replacing proxy-a (uid-a)"
    named = {"component": "Proxy", "when": "Forward", "pod": "proxy-a", "podUid": "uid-a"}
    assert move.call == Call(step_index=0, undo=False, step=replace(ROLL, action=named))


@pytest.mark.parametrize(
    ("pods", "next_one", "message"),
    [
        pytest.param(
            (a_pod("a", terminating=True), a_pod("b")), None, "1 to be replaced; waits: proxy-a is leaving", id="leaves"
        ),
        pytest.param((a_pod("b"),), None, "waits: 1 of 2 pods of Proxy are there", id="the successor is not there yet"),
        pytest.param(
            (a_pod("b"), a_pod("c", since=at(12), ready=False)), None, "waits: proxy-c is not ready yet", id="starts"
        ),
        pytest.param((a_pod("b"), a_pod("c", since=at(12))), "proxy-b", "1 to be replaced", id="ready: the next one"),
        pytest.param(
            (a_pod("a", ready=False, outgoing=True), a_pod("b"), a_pod("c", since=at(12))),
            None,
            "waits: milvus-operator replaces proxy-a from its other slot",
            id="milvus-operator empties a slot, and what is not ready there is its own",
        ),
        pytest.param(
            (a_pod("a"), a_pod("b", ready=False)), "proxy-b", "2 to be replaced", id="one that serves nobody is first"
        ),
        pytest.param(
            (a_pod("a", started_at=at(12)), a_pod("b")), "proxy-b", "1 to be replaced", id="started anew in its place"
        ),
        pytest.param(
            (a_pod("a", started_at=None), a_pod("b", since=at(12))), "proxy-a", "1 to be", id="no start is known"
        ),
        pytest.param(
            (a_pod("a"), a_pod("b"), a_pod("d", component="DataNode", terminating=True)),
            "proxy-a",
            "2 to be replaced",
            id="another component is no matter",
        ),
    ],
)
def test_next_is(pods: tuple[ComponentPod, ...], next_one: str | None, message: str) -> None:
    move = moved(rolling(), seen(*pods))

    assert pod_of(move.call) == next_one
    assert message in move.operation.steps[0].message


def test_it_is_done_when_nothing_is_left_and_all_are_ready() -> None:
    operation = moved(rolling(), seen(a_pod("c", since=at(12)), a_pod("d", since=at(20)))).operation

    assert (operation.outcome, operation.outcome_message) == (Reason.COMPLETED, "all 2 pods of Proxy were replaced")


@pytest.mark.parametrize(
    "freeze", [pytest.param(LOADING, id="of its own doing"), pytest.param(IMPORTING, id="of others")]
)
def test_a_freeze_in_the_middle_delays_the_next_pod_and_ends_nothing(freeze: Freeze) -> None:
    pods = (a_pod("b"), a_pod("c", since=at(12)))
    held = moved(rolling(), seen(*pods, freezes=(freeze,)))

    assert (held.call, held.operation.running) == (None, True)
    assert held.operation.steps[0].message == f"1 to be replaced; waits: {freeze.reason}"
    assert pod_of(moved(held.operation, seen(*pods, now=45)).call) == "proxy-b"


def test_a_pod_that_serves_nobody_goes_under_a_freeze_too() -> None:
    assert pod_of(moved(rolling(), seen(a_pod("a"), a_pod("b", ready=False), freezes=(LOADING,))).call) == "proxy-b"


def test_a_roll_waits_for_what_an_earlier_one_of_the_same_change_froze() -> None:
    operation = begun(a_restart("MixCoord", count=1), ROLL)
    done = replace(operation.steps[0], state=StepState.DONE, finished_at=at(25))
    operation = replace(operation, steps=(done, operation.steps[1]))
    pods = (a_pod("a"), a_pod("b"))

    waiting = moved(operation, seen(*pods, freezes=(LOADING,)))
    late = moved(operation, seen(*pods, freezes=(LOADING,), now=400)).operation

    assert (waiting.call, waiting.operation.running) == (None, True)
    assert late.steps[1].state is StepState.SKIPPED


@pytest.mark.parametrize(
    ("snapshot", "spec", "why"),
    [
        pytest.param(seen(a_pod("a"), a_pod("b"), freezes=(LOADING,)), {}, "Loading", id="the cluster is frozen"),
        pytest.param(seen(*map(a_pod, "abc")), {}, "3 pods, not 2: somebody else", id="another number of pods"),
        pytest.param(seen(a_pod("a"), a_pod("b")), {"paused": True}, "paused", id="paused"),
        pytest.param(seen(a_pod("a"), a_pod("b")), {"mode": Mode.OBSERVE}, "mode is Observe", id="only observing"),
        pytest.param(seen(now=400), {}, "no pod of Proxy is seen", id="pods that are not seen for five minutes"),
    ],
)
def test_it_is_not_begun_when(snapshot: Snapshot, spec: dict[str, Any], why: str) -> None:
    operation = moved(begun(a_restart("Proxy", back=True), INTERVAL, ROLL), snapshot, **spec).operation

    assert operation.outcome is Reason.PRECONDITION_CHANGED
    assert why in operation.outcome_message


def test_it_is_begun_when_every_pod_is_older_than_an_error_of_the_clocks() -> None:
    pods = (a_pod("a"), a_pod("b", since=at(27)))

    assert moved(begun(ROLL), seen(*pods)).operation.steps[0].state is StepState.PENDING
    assert moved(begun(ROLL), seen(*pods, now=33)).operation.steps[0].state is StepState.INTENDED


HOMELESS = Segment(segment_id=5000, collection_id=100, rows=10_000, node_ids=(9,))
LED_FROM_AFAR = Replica(replica_id=1, collection_id=100, node_ids=(1, 2, 3), leaders=(("dml_0", 1), ("dml_1", 9)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"segments": (HOMELESS,)}, "1 segments are not served by the QueryNodes", id="homeless segments"),
        pytest.param(
            {"replicas": (LED_FROM_AFAR,)}, "that stayed do not lead dml_1", id="a shard led by a node that left"
        ),
        pytest.param({"placement_coverage": 0.5}, "known of 50 % of the collections", id="a placement half known"),
    ],
)
def test_the_next_query_node_waits_until_everything_is_served(changes: dict[str, Any], message: str) -> None:
    nodes = [a_pod(name, component="QueryNode") for name in "ab"]
    pods = (*nodes, a_pod("c", component="QueryNode", since=at(12)))

    waiting = moved(rolling(NODES), replace(seen(*pods), **changes))

    assert waiting.call is None
    assert message in waiting.operation.steps[0].message
    assert pod_of(moved(rolling(NODES), seen(*pods)).call) == "proxy-a"


def test_an_eviction_leaves_the_step_where_it_is() -> None:
    move = moved(rolling(), seen(a_pod("a"), a_pod("b")))
    assert move.call is not None

    record = call_succeeded(move.operation, move.call, at(31), "proxy-a is leaving").steps[0]

    assert (record.state, record.intended_at, record.message) == (StepState.INTENDED, at(10), "proxy-a is leaving")


def test_a_refusal_stays_on_record_until_the_deadline_and_is_told_then() -> None:
    pods, refusal = (a_pod("a"), a_pod("b")), "evicting pod milvus/proxy-a (uid-a): HTTP 429"
    move = moved(rolling(), seen(*pods))
    assert move.call is not None
    refused = call_failed(move.operation, move.call, at(31), refusal, retryable=True)

    again = moved(refused, seen(*pods, now=60))
    late = moved(refused, seen(*pods, now=611)).operation

    assert (pod_of(again.call), again.operation.steps[0].message) == ("proxy-a", refusal)
    assert (late.outcome, late.outcome_message) == (Reason.UNDONE, f"not within 600 s: {refusal}")


# -- back --------------------------------------------------------------------------------------------------------------


def undoing() -> Operation:
    """The keys have been withdrawn; the undoing was written at 12:10:00."""
    operation = begun(a_restart("Proxy", back=True))
    record = replace(operation.steps[0], state=StepState.UNDOING, intended_at=at(600))
    return replace(operation, steps=(record,))


@pytest.mark.parametrize(
    ("pods", "next_one", "over"),
    [
        pytest.param((a_pod("a"), a_pod("c", since=at(40))), "proxy-c", False, id="what came meanwhile goes"),
        pytest.param((a_pod("a", started_at=at(40)), a_pod("b")), "proxy-a", False, id="what started anew meanwhile"),
        pytest.param((a_pod("a", ready=False), a_pod("b")), None, True, id="nothing came: how they fare is no matter"),
        pytest.param((a_pod("a"), a_pod("d", since=at(603))), None, True, id="what came after that stays"),
        pytest.param((a_pod("a"), a_pod("d", since=at(603), ready=False)), None, False, id="and is waited for"),
        pytest.param((a_pod("a"), a_pod("c", since=at(40), terminating=True)), None, False, id="while one leaves"),
    ],
)
def test_on_the_way_back(pods: tuple[ComponentPod, ...], next_one: str | None, over: bool) -> None:
    move = moved(undoing(), seen(*pods, now=630))

    assert pod_of(move.call) == next_one
    assert (move.operation.steps[0].state is StepState.UNDONE) is over


def test_a_way_back_that_nobody_began_gets_its_time_anew() -> None:
    pods = (a_pod("a"), a_pod("c", since=at(40)))

    back = moved(undoing(), seen(*pods, now=3000))
    assert pod_of(back.call) == "proxy-c"
    in_time = moved(back.operation, seen(*pods, now=3590))
    assert pod_of(in_time.call) == "proxy-c"
    late = moved(back.operation, seen(*pods, now=3610)).operation

    assert [one.state for one in late.steps] == [StepState.FAILED]
    assert "not within 600 s, 1 may still run with the values" in late.steps[0].message


def test_on_the_way_back_only_what_a_roll_freezes_by_itself_is_waited_for() -> None:
    pods = (a_pod("a"), a_pod("c", since=at(40)))

    assert pod_of(moved(undoing(), seen(*pods, now=630, freezes=(IMPORTING,))).call) == "proxy-c"
    assert moved(undoing(), seen(*pods, now=630, freezes=(LOADING,))).call is None


def test_one_component_that_cannot_be_taken_back_does_not_keep_the_others() -> None:
    operation = begun(a_restart("Proxy", back=True), a_restart("DataNode", back=True, count=1))
    records = tuple(
        replace(record, state=state, intended_at=at(600), message="0 to be replaced")
        for record, state in zip(operation.steps, (StepState.DONE, StepState.UNDOING), strict=True)
    )
    operation = replace(operation, steps=records)
    stuck = a_pod("d", component="DataNode", since=at(605), ready=False)

    for now in (1300, 1315):
        operation = moved(operation, seen(a_pod("a"), a_pod("b"), stuck, now=now)).operation

    assert [one.state for one in operation.steps] == [StepState.UNDONE, StepState.FAILED]
    assert "1 pod of DataNode: not within 600 s, 0 may still run with the values" in operation.outcome_message


# -- held --------------------------------------------------------------------------------------------------------------

STOPS = [
    pytest.param({"paused": True}, "paused", id="paused"),
    pytest.param({"mode": Mode.OBSERVE}, "mode is Observe", id="Observe"),
]
HALF_WAY = (a_pod("b"), a_pod("c", since=at(12)))  # one of two is replaced


@pytest.mark.parametrize(("stop", "why"), STOPS)
def test_between_two_pods_a_stop_holds_the_roll_and_without_it_the_next_one_goes(
    stop: dict[str, Any], why: str
) -> None:
    held = moved(rolling(), seen(*HALF_WAY), **stop)

    record = held.operation.steps[0]
    assert (held.call, held.operation.running, record.held_since) == (None, True, at(30))
    assert record.message == f"1 to be replaced; waits: {why}"
    assert pod_of(moved(rolling(), seen(*HALF_WAY)).call) == "proxy-b"
    assert moved(held.operation, seen(*HALF_WAY, now=45), **stop).operation == held.operation, "written once"
    assert pod_of(moved(held.operation, seen(*HALF_WAY, now=60)).call) == "proxy-b"


def test_a_pod_that_serves_nobody_stays_while_the_roll_is_held() -> None:
    pods = (a_pod("a"), a_pod("b", ready=False))

    assert moved(rolling(), seen(*pods), paused=True).call is None
    assert pod_of(moved(rolling(), seen(*pods)).call) == "proxy-b"


def test_the_time_for_which_it_is_held_does_not_count() -> None:
    """The intent is of 10 s, the deadline 600 s; it is held from 60 s to 4060 s, and from 4100 s to 4200 s."""
    waits = (a_pod("b"), a_pod("c", since=at(12), ready=False))
    operation = rolling()
    for now, paused in ((60, True), (3000, True), (4060, False), (4100, True), (4200, False)):
        operation = moved(operation, seen(*waits, now=now), paused=paused).operation

    assert (operation.steps[0].held_since, operation.steps[0].held_seconds) == (None, 4100)
    assert moved(operation, seen(*waits, now=4710)).operation.running
    late = moved(operation, seen(*waits, now=4711)).operation
    assert (late.outcome, late.outcome_message) == (Reason.UNDONE, "not within 600 s: proxy-c is not ready yet")
    assert moved(rolling(), seen(*waits, now=4710)).operation.outcome is Reason.UNDONE, "not held: long too late"


def test_a_roll_that_has_nothing_left_to_replace_ends_while_it_is_held() -> None:
    held = moved(rolling(), seen(*HALF_WAY), paused=True).operation

    ended = moved(held, seen(a_pod("c", since=at(12)), a_pod("d", since=at(29)), now=45), paused=True).operation

    assert (ended.outcome, ended.steps[0].held_since) == (Reason.COMPLETED, None)


def test_between_two_components_it_is_held_too_and_nothing_is_taken_back() -> None:
    operation = begun(a_restart("MixCoord", count=1), ROLL)
    done = replace(operation.steps[0], state=StepState.DONE, finished_at=at(25))
    operation = replace(operation, steps=(done, operation.steps[1]))
    pods = (a_pod("a"), a_pod("b"))

    held = moved(operation, seen(*pods), paused=True).operation
    later = moved(held, seen(*pods, now=3000), paused=True).operation
    frozen = moved(later, seen(*pods, now=3015, freezes=(LOADING,))).operation
    gone_on = moved(frozen, seen(*pods, now=3030))

    assert (held.steps[1].state, held.steps[1].message) == (StepState.PENDING, "waits: paused")
    assert (later, frozen.running) == (held, True)
    assert pod_of(gone_on.call) == "proxy-a"
    assert gone_on.operation.steps[1].held_seconds == 0, "its own time begins with its intent"


def test_the_way_back_is_not_held() -> None:
    pods = (a_pod("a"), a_pod("c", since=at(40)))

    assert pod_of(moved(undoing(), seen(*pods, now=630), paused=True).call) == "proxy-c"


@pytest.mark.parametrize(
    ("operation", "held"),
    [
        pytest.param(rolling, True, id="forward"),
        pytest.param(undoing, True, id="on the way back"),
        pytest.param(lambda: begun(ROLL), False, id="not begun"),
        pytest.param(lambda: begun(INTERVAL), False, id="another step"),
    ],
)
def test_where_nothing_may_be_called_the_clock_of_a_roll_stands_still(
    operation: Callable[[], Operation], held: bool
) -> None:
    still = hold_rolls(operation(), at(630))

    assert [one.held_since for one in still.steps] == [at(630) if held else None]
    assert hold_rolls(still, at(700)) == still
    gone_on = let_go_on(still, SPEC, at(1000)).steps[0]
    assert (gone_on.held_since, gone_on.held_seconds) == (None, 370 if held else 0)
