"""Many failing searches hold what takes away, and never what may be their cure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.decide.failing import failing, hold_while_failing
from milvus_tuning.plan import Decision, Reason, Rejection, Step, StepKind
from milvus_tuning.snapshot import MISSING, Sample, Traffic
from tests.builders import a_sample

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


@pytest.mark.parametrize("reason", [Reason.SCALE_IN, Reason.ABOVE_MAXIMUM])
def test_without_failures_it_does_not_wait(reason: Reason) -> None:
    assert hold_while_failing(a_decision(reason), a_traffic(4.0)) == a_decision(reason)
    assert hold_while_failing(a_decision(reason), a_traffic(12.0)).steps == ()


CURES = [
    Reason.SCALE_OUT_COMPUTATION,
    Reason.SCALE_OUT_CAPACITY,
    Reason.BELOW_MINIMUM,
    Reason.SETTING_CHANGED,
    Reason.PLACEMENT_CHANGED,
]


@pytest.mark.parametrize("reason", CURES)
@given(share=st.floats(min_value=0, max_value=1))
def test_what_may_be_the_cure_is_never_held(reason: Reason, share: float) -> None:
    assert hold_while_failing(a_decision(reason), a_traffic(100 * share)) == a_decision(reason)


@given(reason=st.sampled_from(Reason), share=st.floats(min_value=0, max_value=1))
def test_a_decision_to_do_nothing_stays_as_it_is(reason: Reason, share: float) -> None:
    idle = a_decision(reason, steps=())
    assert hold_while_failing(idle, a_traffic(100 * share)) == idle
