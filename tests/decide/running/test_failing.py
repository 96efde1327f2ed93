"""Many failing searches hold what takes away, and never what may be their cure; asked for and already approved."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.decide import decide
from milvus_tuning.decide.proposing.proposal import intent_digest
from milvus_tuning.decide.running.failing import failing, hold_while_failing
from milvus_tuning.decide.running.lifecycle import Sight, Window, next_turn
from milvus_tuning.plan import Course, Decision, Phase, Plan, Reason, Rejection, Step, StepKind
from milvus_tuning.snapshot import MISSING, Sample, Traffic
from tests.builders import NOON, a_change, a_history, a_sample, a_snapshot, a_spec
from tests.decide.steps import a_scale_in

STEP = Step(
    kind=StepKind.SCALE_QUERY_NODES,
    precondition={"replicas": 3},
    action={"replicas": 2},
    verification={"replicas": 2},
    undo={"replicas": 3},
)


def a_traffic(failed: Sample | float, searches: Sample | float = 100.0) -> Traffic:
    return Traffic(
        failed_per_second=failed if isinstance(failed, Sample) else a_sample(failed),
        searches_per_second=searches if isinstance(searches, Sample) else a_sample(searches),
    )


def a_decision(reason: Reason, *, steps: tuple[Step, ...] = (STEP,)) -> Decision:
    return Decision(reason=reason, message="QueryNodes 3 -> 2", steps=steps, inputs={"nodes": 3}, desired_count=2)


@pytest.mark.parametrize(
    ("traffic", "expected"),
    [
        pytest.param(a_traffic(12.0), True, id="12 of 100"),
        pytest.param(a_traffic(10.0), False, id="10 of 100"),
        pytest.param(a_traffic(100.0), True, id="all"),
        pytest.param(a_traffic(0.0), False, id="none"),
        pytest.param(a_traffic(0.09, 0.1), False, id="too few to say anything"),
        pytest.param(a_traffic(0.0, 0.0), False, id="no traffic"),
        pytest.param(a_traffic(MISSING), False, id="failures not measured"),
        pytest.param(a_traffic(12.0, MISSING), False, id="searches not measured"),
        pytest.param(a_traffic(a_sample(12.0, age=61)), False, id="an old number"),
        pytest.param(a_traffic(a_sample(12.0, age=60)), True, id="just not too old"),
        pytest.param(a_traffic(a_sample(12.0, coverage=0.5)), False, id="one of two proxies"),
    ],
)
def test_failing_means_a_measured_share_above_ten_percent(traffic: Traffic, expected: bool) -> None:
    assert (failing(traffic) is not None) == expected


def test_a_scale_in_waits_and_says_what_it_would_have_done() -> None:
    held = hold_while_failing(a_decision(Reason.SCALE_IN), a_traffic(12.0))
    assert held == Decision(
        reason=Reason.FROZEN,
        message="SearchesFailing: 12 % of the searches fail (held above 10 %); not done meanwhile: QueryNodes 3 -> 2",
        inputs={"nodes": 3},
        rejected=(Rejection(alternative="BelowTarget", reason=Reason.FROZEN, message="QueryNodes 3 -> 2"),),
        desired_count=2,
    )


@pytest.mark.parametrize("reason", [Reason.SCALE_IN, Reason.ABOVE_MAXIMUM, Reason.COLD_COLLECTION])
def test_without_failures_it_does_not_wait(reason: Reason) -> None:
    assert hold_while_failing(a_decision(reason), a_traffic(4.0)) == a_decision(reason)
    assert hold_while_failing(a_decision(reason), a_traffic(12.0)).steps == ()


TAKES_AWAY = {Reason.SCALE_IN, Reason.ABOVE_MAXIMUM, Reason.COLD_COLLECTION}
MAY_CURE = [reason for reason in Reason if reason not in TAKES_AWAY]


@pytest.mark.parametrize("reason", MAY_CURE)
def test_what_may_be_the_cure_or_is_a_persons_wish_is_never_held(reason: Reason) -> None:
    assert hold_while_failing(a_decision(reason), a_traffic(100.0)) == a_decision(reason)


@given(reason=st.sampled_from(Reason), share=st.floats(min_value=0, max_value=1))
def test_a_decision_to_do_nothing_stays_as_it_is(reason: Reason, share: float) -> None:
    idle = a_decision(reason, steps=())
    assert hold_while_failing(idle, a_traffic(100 * share)) == idle


FAILING, WELL = a_traffic(12.0), a_traffic(1.0)


@pytest.mark.parametrize(
    ("traffic", "reason"),
    [
        pytest.param(FAILING, Reason.FROZEN, id="while searches fail"),
        pytest.param(WELL, Reason.SCALE_IN, id="while they do not"),
    ],
)
def test_a_quiet_cluster_is_made_smaller_only_while_searches_succeed(traffic: Traffic, reason: Reason) -> None:
    quiet = a_snapshot(3, cpu=0.1, memory=0.2, traffic=traffic)
    decision = decide(a_spec(min_count=1), quiet, a_history(quiet), NOON)
    assert (decision.reason, bool(decision.steps)) == (reason, reason is Reason.SCALE_IN)


def test_a_busy_cluster_grows_while_searches_fail() -> None:
    busy = a_snapshot(3, cpu=0.9, traffic=FAILING)
    decision = decide(a_spec(), busy, a_history(busy), NOON)
    assert (decision.reason, bool(decision.steps)) == (Reason.SCALE_OUT_COMPUTATION, True)


@pytest.mark.parametrize(
    ("traffic", "begins"),
    [pytest.param(FAILING, False, id="while searches fail"), pytest.param(WELL, True, id="while they do not")],
)
def test_an_approved_scale_in_waits_for_the_searches_to_succeed(traffic: Traffic, begins: bool) -> None:
    snapshot, spec = a_snapshot(3, traffic=traffic), a_spec()
    change = a_change(steps=a_scale_in(3), reason=Reason.SCALE_IN, intent_digest=intent_digest(spec))
    approved = Plan(name="rag-1", uid="uid", change=change, course=Course(phase=Phase.APPROVED, approved_at=NOON))
    turn = next_turn(approved, Sight(spec=spec, snapshot=snapshot, now=NOON, decision=None))
    assert (turn.measure is Window.BEFORE) == begins
    assert turn.plan.course.phase is Phase.APPROVED
    assert ("SearchesFailing: 12 %" in turn.plan.course.waits_for) != begins
