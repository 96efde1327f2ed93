"""Whether searches suffer, beside what was measured before the plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from milvus_tuning.api import Verification
from milvus_tuning.decide.running.lifecycle import Sight, next_turn, operation_of
from milvus_tuning.decide.running.operation import Call, begin
from milvus_tuning.decide.running.throttle import searches_suffer
from milvus_tuning.plan import Course, Measurement, Phase, Plan, Reason, StepState
from milvus_tuning.snapshot import Traffic
from tests.builders import NOON, a_change, a_sample, a_snapshot, a_spec
from tests.decide.steps import a_move

RULES = Verification(latency_tolerance_percent=20)


def before(mean_microseconds: int | None) -> Measurement:
    return Measurement(ended_at=NOON - timedelta(minutes=1), window_seconds=180, mean_microseconds=mean_microseconds)


@pytest.mark.parametrize(
    ("former", "latter", "sample", "suffer"),
    [
        pytest.param(20_000, 24.5, {}, True, id="above the tolerance"),
        pytest.param(20_000, 24.0, {}, False, id="at the tolerance"),
        pytest.param(20_000, 10.0, {}, False, id="faster"),
        pytest.param(1_000, 2.9, {}, False, id="three times as slow, but by less than 2 ms"),
        pytest.param(1_000, 3.1, {}, True, id="by 2 ms and more"),
        pytest.param(None, 90.0, {}, False, id="not measured before"),
        pytest.param(20_000, None, {}, False, id="not measured now"),
        pytest.param(20_000, 90.0, {"age": 300.0}, False, id="measured long ago"),
        pytest.param(20_000, 90.0, {"coverage": 0.5}, False, id="measured at half of the proxies"),
    ],
)
def test_searches_suffer(former: int | None, latter: float | None, sample: dict[str, Any], suffer: bool) -> None:
    traffic = Traffic(mean_milliseconds=a_sample(latter, **sample))

    assert (searches_suffer(before(former), traffic, RULES) is not None) is suffer


def test_the_numbers_are_said() -> None:
    said = searches_suffer(before(20_000), Traffic(mean_milliseconds=a_sample(30.0)), RULES)

    assert said == "searches take 30.0 ms on average, 20.0 ms before (tolerated +20 %)"


@pytest.mark.parametrize(
    ("mean_milliseconds", "goes_on"),
    [
        pytest.param(30.0, False, id="suffering"),
        pytest.param(21.0, True, id="as before"),
        pytest.param(None, True, id="not measured"),
    ],
)
def test_a_plan_at_work_compares_with_its_own_first_measurement(mean_milliseconds: float | None, goes_on: bool) -> None:
    change = a_change(steps=(a_move(5000), a_move(5003)), reason=Reason.HOT_NODE)
    begun = begin(change, operation_id="rag-1", now=NOON)
    first = replace(begun.steps[0], state=StepState.DONE, intended_at=NOON, finished_at=NOON)
    operation = replace(begun, steps=(first, begun.steps[1]))
    plan = Plan(
        name="rag-1", change=change, course=Course(phase=Phase.RUNNING, operation=operation, before=before(20_000))
    )
    now = NOON + timedelta(seconds=15)
    seen = a_snapshot(3, at=now, traffic=Traffic(mean_milliseconds=a_sample(mean_milliseconds)))

    turn = next_turn(plan, Sight(spec=a_spec(), snapshot=seen, now=now))

    assert turn.call == (Call(step_index=1, undo=False) if goes_on else None)
    assert (turn.plan.course.phase, operation_of(turn.plan).steps[1].message.startswith("waits: ")) == (
        Phase.RUNNING,
        not goes_on,
    )


def test_without_a_measurement_before_nothing_is_held() -> None:
    assert searches_suffer(None, Traffic(mean_milliseconds=a_sample(30.0)), RULES) is None
