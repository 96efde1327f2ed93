"""Which finished plans go: those beyond a number, those beyond an age, and never an open one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.decide.proposing.retention import surplus
from milvus_tuning.plan import Course, Phase, Plan, Verdict
from tests.builders import NOON, a_change


def a_plan(name: str, *, days_ago: float | None, sequence: int = 1, deleting: bool = False) -> Plan:
    """A plan that ended so many days ago; None: it is still open, and was proposed a year ago."""
    change = a_change(sequence=sequence, proposed_at=NOON - timedelta(days=365))
    ended = None if days_ago is None else NOON - timedelta(days=days_ago)
    phase = Phase.RUNNING if ended is None else Phase.FINISHED
    verdict = None if ended is None else Verdict.KEPT
    course = Course(phase=phase, verdict=verdict, finished_at=ended)
    return Plan(name=name, change=change, deleting=deleting, course=course)


def gone(*plans: Plan, keep_count: int = 3, keep_days: int = 7) -> list[str]:
    return [plan.name for plan in surplus(plans, NOON, keep_count=keep_count, keep_days=keep_days)]


OPEN = a_plan("open", days_ago=None)


@pytest.mark.parametrize(
    ("plans", "names"),
    [
        pytest.param([], [], id="none"),
        pytest.param([("a", 0.1), ("b", 2), ("c", 3)], [], id="as many as are kept"),
        pytest.param([("a", 0.1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)], ["e", "d"], id="more than are kept"),
        pytest.param([("a", 0.1), ("b", 8)], ["b"], id="few, but one is too old"),
        pytest.param([("a", 7)], [], id="exactly as old as is kept"),
        pytest.param([("a", 0.1), ("b", 2), ("c", 3), ("d", 4), ("e", 9)], ["e", "d"], id="both"),
    ],
)
def test_what_goes_beside_an_open_plan_goes_the_oldest_first(plans: list[tuple[str, float]], names: list[str]) -> None:
    finished = [a_plan(name, days_ago=days) for name, days in plans]
    assert gone(OPEN, *finished) == gone(*reversed(finished), OPEN) == names


def test_of_plans_that_ended_at_once_the_lower_number_goes() -> None:
    same = [a_plan(f"n{number}", days_ago=1, sequence=number) for number in (10, 9, 11)]
    assert gone(*same, keep_count=2) == ["n9"]


def test_a_plan_that_is_being_deleted_is_in_no_count() -> None:
    leaving = a_plan("leaving", days_ago=0.1, deleting=True)
    assert gone(leaving, a_plan("kept", days_ago=1), keep_count=1) == []
    assert gone(replace(leaving, deleting=False), a_plan("kept", days_ago=1), keep_count=1) == ["kept"]


def test_a_plan_that_does_not_say_when_it_ended_counts_from_its_proposal() -> None:
    unsaid = a_plan("unsaid", days_ago=0)
    assert gone(replace(unsaid, course=replace(unsaid.course, finished_at=None))) == ["unsaid"]
    assert gone(unsaid) == []


@given(st.lists(st.none() | st.integers(0, 30), max_size=12), st.integers(0, 10), st.integers(0, 20))
def test_open_plans_stay_and_what_stays_is_within_both_bounds(
    days: list[int | None], keep_count: int, keep_days: int
) -> None:
    plans = [a_plan(f"n{number}", days_ago=ago, sequence=number) for number, ago in enumerate(days)]
    going = surplus(plans, NOON, keep_count=keep_count, keep_days=keep_days)
    staying = [plan for plan in plans if plan not in going]
    finished = [plan.course.finished_at for plan in staying if not plan.open]
    assert all(not plan.open for plan in going)
    assert len(finished) <= keep_count
    assert all(ended is not None and NOON - ended <= timedelta(days=keep_days) for ended in finished)
    assert surplus(staying, NOON, keep_count=keep_count, keep_days=keep_days) == ()
