"""What a change of in-memory replicas was measured to bring is kept with its plan, and corrects the model."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from milvus_tuning.decide.placement.steps import replica_steps
from milvus_tuning.decide.replicas.gain import gain_of, learned_gain
from milvus_tuning.decide.running.lifecycle import Sight, next_turn
from milvus_tuning.plan import (
    Course,
    Measurement,
    Operation,
    Phase,
    Plan,
    Prediction,
    Reason,
    StepRecord,
    StepState,
    Verdict,
)
from milvus_tuning.status.plans import (
    change_from_api,
    change_to_api,
    course_from_status,
    course_to_status,
    history_entry,
)
from milvus_tuning.status.records import operation_from_status
from tests.builders import NOON, a_change, a_spec
from tests.decide.replicas.replica_cases import PRODUCTS, a_cluster

BEFORE = Measurement(
    ended_at=NOON,
    window_seconds=180,
    searches_per_minute=600,
    mean_microseconds=40_000,
    cpu_millicores_per_node=1500,
    node_count=3,
)
AFTER = replace(BEFORE, ended_at=NOON + timedelta(minutes=5), searches_per_minute=660, cpu_millicores_per_node=1100)


def a_replica_plan(after: Measurement | None = AFTER, *, before: Measurement = BEFORE, share: int | None = 80) -> Plan:
    """default.products from 1 to 2 replicas, measured and not judged yet."""
    steps = replica_steps(
        PRODUCTS, before=1, after=2, resource_groups=("__default_resource_group",), deadline_seconds=600
    )
    change = a_change(steps=steps, reason=Reason.HOT_COLLECTION, prediction=Prediction(heat_share_percent=share))
    done = Operation(
        operation_id="rag-1",
        reason=change.reason,
        message=change.message,
        started_at=NOON,
        steps=tuple(StepRecord(step=step, state=StepState.DONE) for step in steps),
        finished_at=NOON,
        outcome=Reason.COMPLETED,
    )
    course = Course(phase=Phase.VERIFYING, operation=done, before=before, after=after, verify_until=NOON)
    return Plan(name="rag-1", change=change, course=course)


def judged(plan: Plan) -> Plan:
    """The plan after its verdict, stored and read back."""
    sight = Sight(spec=a_spec(), snapshot=a_cluster(copies={100: 2}), now=NOON + timedelta(minutes=5))
    after = next_turn(plan, sight).plan
    stored = course_to_status(after.course, None, now=sight.now, generation=1)
    change = change_from_api(change_to_api(after.change))
    return replace(after, change=change, course=course_from_status(stored, change, name=after.name))


def remembered(plan: Plan) -> Operation:
    """As status.history gives it back."""
    return operation_from_status(history_entry(plan))


def test_the_gain_is_measured_at_the_verdict_and_comes_back_from_the_history() -> None:
    plan = judged(a_replica_plan())
    assert plan.course.verdict is Verdict.KEPT
    assert remembered(plan).gain_percent == 171


def test_three_plans_turn_half_of_the_default() -> None:
    nothing_gained = replace(AFTER, searches_per_minute=600, cpu_millicores_per_node=1500)
    finished = [remembered(judged(a_replica_plan(nothing_gained)))] * 3
    assert finished[0].gain_percent == 100
    assert learned_gain(finished) == pytest.approx(1.30, abs=0.005)


def test_a_plan_that_is_taken_back_tells_what_it_brought() -> None:
    slower = replace(AFTER, mean_microseconds=80_000, searches_per_minute=600, cpu_millicores_per_node=1650)
    plan = judged(a_replica_plan(slower))
    assert (plan.course.phase, plan.course.verdict) == (Phase.ROLLING_BACK, Verdict.ROLLED_BACK)
    assert plan.course.operation is not None
    assert plan.course.operation.gain_percent == 89


def test_an_inconclusive_plan_teaches_nothing() -> None:
    plan = judged(a_replica_plan(replace(AFTER, searches_per_minute=300)))
    assert plan.course.verdict is Verdict.INCONCLUSIVE
    assert remembered(plan).gain_percent is None
    assert learned_gain([remembered(plan)] * 3) == pytest.approx(1.7)


@pytest.mark.parametrize(
    ("changes", "verdict", "gain"),
    [
        pytest.param({}, Verdict.KEPT, 171, id="measured"),
        pytest.param({}, Verdict.ROLLED_BACK, 171, id="taken back, and measured all the same"),
        pytest.param({}, Verdict.INCONCLUSIVE, None, id="inconclusive"),
        pytest.param({}, Verdict.CANCELLED, None, id="called off"),
        pytest.param({"share": None}, Verdict.KEPT, None, id="the share was not known"),
        pytest.param({"share": 19}, Verdict.KEPT, None, id="a collection that is hardly felt"),
        pytest.param({"after": None}, Verdict.KEPT, None, id="nothing measured after it"),
        pytest.param({"after": replace(AFTER, cpu_millicores_per_node=None)}, Verdict.KEPT, None, id="no CPU after it"),
        pytest.param(
            {"after": replace(AFTER, searches_per_minute=None)}, Verdict.KEPT, None, id="no searches after it"
        ),
        pytest.param({"after": replace(AFTER, node_count=4)}, Verdict.KEPT, None, id="a node more meanwhile"),
        pytest.param(
            {"before": replace(BEFORE, node_count=None), "after": replace(AFTER, node_count=None)},
            Verdict.KEPT,
            None,
            id="nodes not counted",
        ),
    ],
)
def test_a_gain_is_told_only_where_all_of_it_was_measured(
    changes: dict[str, Any], verdict: Verdict, gain: int | None
) -> None:
    assert gain_of(a_replica_plan(**changes), verdict) == gain


def test_a_plan_about_nodes_has_no_gain() -> None:
    plan = a_replica_plan()
    assert gain_of(replace(plan, change=replace(plan.change, steps=a_change().steps)), Verdict.KEPT) is None
