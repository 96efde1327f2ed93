"""A number of QueryNodes set by hand for a time."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.decide import decide
from milvus_tuning.plan import Decision, Reason, Step, StepKind
from milvus_tuning.snapshot import Snapshot
from tests.builders import NOON, a_finished_operation, a_history, a_node, a_snapshot, a_spec, some_nodes

UNTIL = "2026-01-05T13:00:00Z"  # an hour from now


def an_override(count: int, until: str = UNTIL, **spec: Any) -> MilvusTuningSpec:
    """Bounds of 2 and 6, and this number by hand."""
    return a_spec(query_nodes={"override": {"count": count, "expires_at": until}}, **spec)


def decide_now(snapshot: Snapshot, spec: MilvusTuningSpec, **history: Any) -> Decision:
    """Decide in the first pass: no signal has lasted for any window."""
    return decide(spec, snapshot, a_history(snapshot, **{"lasting_seconds": 0.0, **history}), NOON)


def resized(decision: Decision) -> tuple[int | str | None, int | str | None] | None:
    """The size before and after, or None where nothing is done."""
    sizes = [step for step in decision.steps if step.kind is StepKind.SCALE_QUERY_NODES]
    return (sizes[0].precondition["desiredCount"], sizes[0].action["count"]) if sizes else None


@pytest.mark.parametrize(
    ("nodes", "count", "cpu", "expected"),
    [
        pytest.param(2, 3, 0.1, (2, 3), id="up, although nothing is to do"),
        pytest.param(2, 6, 0.1, (2, 6), id="up in one plan, beyond maxStep 2"),
        pytest.param(2, 9, 0.1, (2, 9), id="up beyond maxCount 6"),
        pytest.param(3, 2, 0.3, (3, 2), id="down"),
        pytest.param(5, 2, 0.1, (5, 4), id="down by one node at a time"),
        pytest.param(2, 1, 0.1, (2, 1), id="down below minCount 2"),
        pytest.param(8, 7, 0.1, (8, 7), id="down above maxCount 6"),
    ],
)
def test_the_size_set_by_hand_is_made(nodes: int, count: int, cpu: float, expected: tuple[int, int]) -> None:
    decision = decide_now(a_snapshot(nodes, cpu=cpu, memory=0.2), an_override(count))

    assert (decision.reason, resized(decision)) == (Reason.MANUAL_OVERRIDE, expected)
    assert decision.message.startswith(f"override.count is {count} until {UNTIL}: {expected[0]} -> {expected[1]}")
    assert decision.limited is None


def test_growing_is_one_step_with_its_way_back() -> None:
    decision = decide_now(a_snapshot(2), an_override(5))

    assert decision.steps == (
        Step(
            kind=StepKind.SCALE_QUERY_NODES,
            precondition={"desiredCount": 2},
            action={"count": 5},
            verification={"servingCount": 5, "deadlineSeconds": 900},
            undo={"count": 2},
        ),
    )


@pytest.mark.parametrize(
    ("nodes", "cpu", "without"),
    [
        pytest.param(2, 0.95, Reason.SCALE_OUT_COMPUTATION, id="too busy"),
        pytest.param(3, 0.1, Reason.SCALE_IN, id="nearly idle"),
        pytest.param(1, 0.3, Reason.BELOW_MINIMUM, id="below minCount"),
        pytest.param(7, 0.1, Reason.ABOVE_MAXIMUM, id="above maxCount"),
    ],
)
def test_the_rules_are_silent_while_the_size_is_that_set_by_hand(nodes: int, cpu: float, without: Reason) -> None:
    snapshot = a_snapshot(nodes, cpu=cpu, memory=0.2)
    overridden = decide_now(snapshot, an_override(nodes), lasting_seconds=3600.0)

    assert (overridden.reason, overridden.steps) == (Reason.MANUAL_OVERRIDE, ())
    assert overridden.message == f"override.count is {nodes} until {UNTIL}: there are {nodes} QueryNodes"
    assert overridden.desired_count == nodes
    assert decide_now(snapshot, a_spec(), lasting_seconds=3600.0).reason is without


@pytest.mark.parametrize(
    ("until", "reason"),
    [
        pytest.param("2026-01-05T12:00:01Z", Reason.MANUAL_OVERRIDE, id="a second more"),
        pytest.param("2026-01-05T12:00:00Z", Reason.STEADY, id="expired just now"),
        pytest.param("2026-01-05T12:30:00+01:00", Reason.STEADY, id="expired half an hour ago, in its zone"),
        pytest.param("2026-01-05T11:30:00-01:00", Reason.MANUAL_OVERRIDE, id="half an hour more, in its zone"),
        pytest.param("2026-01-05t12:30:00z", Reason.MANUAL_OVERRIDE, id="in small letters, as RFC 3339 allows"),
    ],
)
def test_an_override_ends_by_itself(until: str, reason: Reason) -> None:
    assert decide_now(a_snapshot(3), an_override(4, until)).reason is reason


@pytest.mark.parametrize(
    ("count", "ended", "reason"),
    [
        pytest.param(5, 299.0, Reason.COOLDOWN, id="growing rests 300 s"),
        pytest.param(5, 300.0, Reason.MANUAL_OVERRIDE, id="growing after its rest"),
        pytest.param(2, 599.0, Reason.COOLDOWN, id="shrinking rests 600 s"),
        pytest.param(2, 600.0, Reason.MANUAL_OVERRIDE, id="shrinking after its rest"),
    ],
)
def test_the_rest_after_an_operation_holds_for_an_override(count: int, ended: float, reason: Reason) -> None:
    past = a_finished_operation(ended_seconds_ago=ended)
    decision = decide_now(a_snapshot(3, cpu=0.2, memory=0.2), an_override(count), operations=[past])

    assert decision.reason is reason


UNMEASURED = [*some_nodes(2), a_node("qn-3", node_id=3, cpu=None, memory=None)]


@pytest.mark.parametrize(
    ("snapshot", "count", "reason"),
    [
        pytest.param(
            a_snapshot(3, cpu=0.2, memory=0.2, grace=30),
            2,
            Reason.GRACE_PERIOD_TOO_SHORT,
            id="a grace period too short",
        ),
        pytest.param(a_snapshot(3, cpu=0.2, memory=0.85), 2, Reason.WOULD_OVERLOAD, id="memory for the others"),
        pytest.param(a_snapshot(3, cpu=0.5, memory=0.2), 2, Reason.WOULD_OVERLOAD, id="work for the others"),
        pytest.param(a_snapshot(2, cpu=0.1, replicas=2), 1, Reason.REPLICA_NEEDS_NODES, id="the only one of a replica"),
        pytest.param(a_snapshot(UNMEASURED), 2, Reason.METRICS_MISSING, id="numbers missing"),
    ],
)
def test_no_hand_takes_away_a_node_that_is_needed(snapshot: Snapshot, count: int, reason: Reason) -> None:
    decision = decide_now(snapshot, an_override(count))

    assert (decision.reason, decision.steps) == (reason, ())


def test_growing_needs_no_numbers() -> None:
    assert resized(decide_now(a_snapshot(UNMEASURED), an_override(4))) == (3, 4)


@pytest.mark.parametrize(
    ("spec", "lasting", "expected"),
    [
        pytest.param(an_override(4), 0.0, (6, 5), id="by hand it passes 5 on its way to 4"),
        pytest.param(a_spec(), 3600.0, None, id="by the rules 6 stays: 5 is no multiple of 2 replicas"),
    ],
)
def test_between_multiples_of_the_replicas(
    spec: MilvusTuningSpec, lasting: float, expected: tuple[int, int] | None
) -> None:
    snapshot = a_snapshot(6, cpu=0.1, memory=0.2, replicas=2)

    assert resized(decide_now(snapshot, spec, lasting_seconds=lasting)) == expected


@pytest.mark.parametrize("until", ["tomorrow", "2026-01-05T13:00:00", ""])
def test_an_expiry_that_cannot_be_read_is_no_spec(until: str) -> None:
    with pytest.raises(ValueError, match=r"expires|isoformat"):
        an_override(3, until)


@given(st.integers(1, 8), st.integers(1, 12), st.floats(0.0, 1.0), st.floats(0.1, 1.0), st.booleans())
def test_an_override_never_moves_away_from_its_count(
    nodes: int, count: int, cpu: float, memory: float, expired: bool
) -> None:
    """And an expired one changes nothing at all."""
    until = (NOON + timedelta(seconds=-1 if expired else 1)).isoformat()
    snapshot = a_snapshot(nodes, cpu=cpu, memory=memory)
    decision = decide_now(snapshot, an_override(count, until), lasting_seconds=3600.0)

    if expired:
        assert decision == decide_now(snapshot, a_spec(), lasting_seconds=3600.0)
        return
    before, after = resized(decision) or (nodes, nodes)
    assert before == nodes
    assert after in {nodes, count if count > nodes else max(count, nodes - 1)}


def test_a_frozen_cluster_is_left_alone() -> None:
    leaving = replace(a_node("qn-4", node_id=4), terminating=True)
    decision = decide_now(a_snapshot([*some_nodes(3), leaving]), an_override(5))

    assert (decision.reason, decision.steps) == (Reason.FROZEN, ())
