"""A plan survives its way through the API server unchanged: a restarted operator knows what the one before knew."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milvus_tuning import api
from milvus_tuning.api.base import ApiModel
from milvus_tuning.plan import (
    Ballot,
    Change,
    Course,
    Measurement,
    Operation,
    Phase,
    Plan,
    Prediction,
    Reason,
    Risk,
    StepRecord,
    StepState,
    Verdict,
    Vote,
)
from milvus_tuning.status.plans import (
    HISTORY_TEXT_LENGTH,
    ballot_from_api,
    change_from_api,
    change_to_api,
    course_from_status,
    course_to_status,
    history_entry,
    in_words,
)
from tests.builders import NOON, a_change
from tests.status.plan_strategies import CHANGES, courses

NAME = "rag-0123456789"
Model = TypeVar("Model", bound=ApiModel)
CHANGE = a_change()
GROW = CHANGE.steps[0]
MEASURED = Measurement(
    ended_at=NOON,
    window_seconds=180,
    searches_per_minute=1180,
    mean_microseconds=41_200,
    p99_milliseconds=64,
    failed_searches_per_million=0,
    slow_searches_per_million=1200,
    slow_bound_milliseconds=64,
    skew_percent=12,
    node_count=3,
)


def an_operation(**changes: Any) -> Operation:
    operation = Operation(
        operation_id=NAME,
        reason=CHANGE.reason,
        message=CHANGE.message,
        started_at=NOON,
        steps=(StepRecord(step=GROW, state=StepState.INTENDED, intended_at=NOON),),
    )
    return replace(operation, **changes)


def over_the_wire(model: Model) -> Model:
    """The object as it comes back from the API server."""
    return type(model).model_validate(json.loads(model.model_dump_json(by_alias=True, exclude_none=True)))


def stored(course: Course, previous: api.MilvusTuningPlanStatus | None = None) -> api.MilvusTuningPlanStatus:
    return over_the_wire(course_to_status(course, previous, now=NOON, generation=1))


# -- there and back ----------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(CHANGES)
def test_a_change_comes_back_as_it_was(change: Change) -> None:
    back = change_from_api(over_the_wire(change_to_api(change)))
    assert (back, back.declared) == (change, change.declared)


@settings(deadline=None)
@given(st.data(), CHANGES)
def test_a_course_comes_back_as_it_was(data: st.DataObject, change: Change) -> None:
    course = data.draw(courses(change, NAME))
    assert course_from_status(stored(course), change, name=NAME) == course


@pytest.mark.parametrize(
    ("plain", "model"),
    [(Measurement, api.MeasuredEffect), (Prediction, api.PredictedEffect)],
    ids=["measured", "predicted"],
)
def test_each_number_has_its_field_in_the_api(plain: type[Any], model: type[ApiModel]) -> None:
    assert {field.name for field in fields(plain)} == set(model.model_fields)


@pytest.mark.parametrize("own", [Vote, Verdict, Risk], ids=["votes", "verdicts", "risks"])
def test_the_api_has_all_words_and_no_others(own: type[Vote] | type[Verdict] | type[Risk]) -> None:
    theirs = {Vote: api.PlanVote, Verdict: api.PlanVerdict, Risk: api.MaxRisk}[own]
    assert [word.value for word in own] == [word.value for word in theirs]


def test_a_plan_without_status_is_proposed() -> None:
    assert course_from_status(api.MilvusTuningPlanStatus(), CHANGE, name=NAME) == Course()


def test_the_number_that_a_step_goes_back_to_may_be_another_one_than_approved() -> None:
    back = StepRecord(step=replace(GROW, undo={"count": 3}), state=StepState.UNDOING, intended_at=NOON)
    course = Course(phase=Phase.RUNNING, operation=an_operation(steps=(back,)))
    read = course_from_status(stored(course), CHANGE, name=NAME).operation
    assert read is not None
    assert read.steps[0].step.undo == {"count": 3}


@pytest.mark.parametrize(
    ("decision", "ballot"),
    [
        pytest.param(None, None, id="nobody said anything"),
        pytest.param({"decision": "Approved"}, Ballot(vote=Vote.APPROVED), id="approved by nobody in particular"),
        pytest.param(
            {"decision": "Cancelled", "by": "ann", "reason": "not today"},
            Ballot(vote=Vote.CANCELLED, by="ann", reason="not today"),
            id="cancelled, by whom and why",
        ),
    ],
)
def test_a_persons_word(decision: dict[str, str] | None, ballot: Ballot | None) -> None:
    approval = api.PlanApproval.model_validate(decision) if decision else None
    assert ballot_from_api(approval) == ballot


# -- what is too long, or another version's ----------------------------------------------------------------------------


def test_what_is_too_long_is_cut_and_not_refused() -> None:
    long = "x" * 5000
    change = replace(CHANGE, message=long, risk_reasons=(long,) * 12)
    assert len(change_to_api(change).message) == 2048
    assert [len(reason) for reason in change_to_api(change).risk.reasons] == [2048] * 10
    failed = an_operation(outcome=Reason.UNDONE, outcome_message=long)
    course = Course(waits_for=long, approval=long, operation=failed, verdict_message=long)
    status = stored(course)
    texts = (status.waits_for, status.approval, status.outcome_message, status.verdict_message)
    assert [len(text or "") for text in texts] == [2048] * 4


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param({"reason": "FullMoon"}, id="a reason"),
        pytest.param({"steps": [{**change_to_api(CHANGE).steps[0].model_dump(), "kind": "Dance"}]}, id="a step"),
        pytest.param({"proposed_at": "at noon"}, id="a time"),
    ],
)
def test_a_change_in_unknown_words_is_no_change(foreign: dict[str, Any]) -> None:
    known = change_to_api(CHANGE)
    assert change_from_api(known) == CHANGE
    with pytest.raises(ValueError, match=r"FullMoon|Dance|at noon"):
        change_from_api(api.PlanChange.model_validate(known.model_dump() | foreign))


RUNNING = Course(phase=Phase.RUNNING, operation=an_operation())
STEP = stored(RUNNING).model_dump()["steps"][0]


@pytest.mark.parametrize(
    ("foreign", "message"),
    [
        pytest.param({"phase": "Dreaming"}, "Dreaming", id="a phase"),
        pytest.param({"outcome": "Sublimated"}, "Sublimated", id="an outcome"),
        pytest.param({"steps": [STEP | {"state": "Floating"}]}, "Floating", id="a state"),
        pytest.param({"steps": [STEP | {"action": {"count": "9"}}]}, "spec.change", id="a step nobody approved"),
        pytest.param({"steps": [STEP, STEP]}, "spec.change", id="a step too many"),
        pytest.param({"steps": []}, "spec.change", id="no steps"),
    ],
)
def test_a_course_in_unknown_words_is_no_course(foreign: dict[str, Any], message: str) -> None:
    known = stored(RUNNING).model_dump()
    assert course_from_status(api.MilvusTuningPlanStatus.model_validate(known), CHANGE, name=NAME) == RUNNING
    with pytest.raises(ValueError, match=message):
        course_from_status(api.MilvusTuningPlanStatus.model_validate(known | foreign), CHANGE, name=NAME)


# -- conditions --------------------------------------------------------------------------------------------------------

WAITING = Course(waits_for="approval: risk High is above maxRisk Medium")
APPROVED = Course(phase=Phase.APPROVED, approval="mode Auto", approved_at=NOON)


def ended(verdict: Verdict, **changes: Any) -> Course:
    return replace(APPROVED, phase=Phase.FINISHED, verdict=verdict, verdict_message="so it is", **changes)


@pytest.mark.parametrize(
    ("course", "true", "reason"),
    [
        pytest.param(WAITING, set(), ("Approved", "WaitsForApproval"), id="waiting"),
        pytest.param(APPROVED, {"Approved"}, ("Approved", "Approved"), id="approved"),
        pytest.param(RUNNING, set(), ("Complete", "Running"), id="running"),
        pytest.param(ended(Verdict.KEPT), {"Approved", "Complete"}, ("Complete", "Kept"), id="kept"),
        pytest.param(ended(Verdict.INCONCLUSIVE), {"Approved", "Complete"}, ("Complete", "Inconclusive"), id="untold"),
        pytest.param(ended(Verdict.ROLLED_BACK), {"Approved", "Failed"}, ("Failed", "RolledBack"), id="rolled back"),
        pytest.param(ended(Verdict.FAILED), {"Approved", "Failed"}, ("Failed", "Failed"), id="failed"),
        pytest.param(ended(Verdict.STALE), {"Approved", "Stale"}, ("Stale", "Stale"), id="stale"),
        pytest.param(ended(Verdict.CANCELLED), {"Approved"}, ("Complete", "Cancelled"), id="cancelled"),
        pytest.param(ended(Verdict.REJECTED, approved_at=None), set(), ("Approved", "Rejected"), id="rejected"),
        pytest.param(ended(Verdict.EXPIRED, approved_at=None), set(), ("Approved", "Expired"), id="expired"),
        pytest.param(
            replace(ended(Verdict.ROLLED_BACK), phase=Phase.ROLLING_BACK),
            {"Approved"},
            ("Failed", "RollingBack"),
            id="a verdict is one only at the end",
        ),
    ],
)
def test_conditions(course: Course, true: set[str], reason: tuple[str, str]) -> None:
    conditions = {one.type: one for one in stored(course).conditions or []}
    assert set(conditions) == {"Approved", "Complete", "Failed", "Stale"}
    assert {kind for kind, one in conditions.items() if one.status is api.ConditionStatus.TRUE} == true
    assert conditions[reason[0]].reason == reason[1]


def test_the_time_of_a_condition_moves_only_with_its_status() -> None:
    before = stored(WAITING)
    later = course_to_status(APPROVED, before, now=NOON + timedelta(minutes=1), generation=2)
    times = {one.type: one.last_transition_time for one in later.conditions or []}
    assert (times["Approved"], times["Complete"]) == ("2026-01-05T12:01:00Z", "2026-01-05T12:00:00Z")
    assert {one.observed_generation for one in later.conditions or []} == {2}


# -- in short ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param(
            {},
            "1,180 searches/min, mean 41.2 ms, P99 64 ms, 0 failed and 1,200 slow (> 64 ms) of a million, skew 12 %, "
            "3 QueryNodes",
            id="all of it",
        ),
        pytest.param(
            {"failed_searches_per_million": None, "slow_bound_milliseconds": None, "p99_milliseconds": None},
            "1,180 searches/min, mean 41.2 ms, 1,200 slow of a million, skew 12 %, 3 QueryNodes",
            id="without failures, bound and P99",
        ),
        pytest.param(
            {"slow_searches_per_million": None, "mean_microseconds": 1_234_560, "skew_percent": None, "node_count": 1},
            "1,180 searches/min, mean 1,234.6 ms, P99 64 ms, 0 failed of a million, 1 QueryNode",
            id="one QueryNode, slowly",
        ),
        pytest.param(
            {"searches_per_minute": 0, "failed_searches_per_million": None, "slow_searches_per_million": None},
            "0 searches/min, mean 41.2 ms, P99 64 ms, skew 12 %, 3 QueryNodes",
            id="nothing asked is a measurement",
        ),
    ],
)
def test_a_measurement_in_words(changes: dict[str, Any], words: str) -> None:
    assert in_words(replace(MEASURED, **changes)) == words


def test_where_nothing_was_measured_the_words_say_so() -> None:
    assert in_words(Measurement(ended_at=NOON, window_seconds=180)) == "nothing was measured"


def a_finished_plan(**changes: Any) -> Plan:
    operation = an_operation(
        steps=(StepRecord(step=GROW, state=StepState.DONE, intended_at=NOON, finished_at=NOON),),
        finished_at=NOON + timedelta(minutes=2),
        outcome=Reason.COMPLETED,
        outcome_message="4 QueryNodes serve",
    )
    course = Course(
        phase=Phase.FINISHED,
        operation=operation,
        before=MEASURED,
        after=replace(MEASURED, mean_microseconds=30_000, node_count=4),
        verdict=Verdict.KEPT,
        verdict_message="the mean is 27 % lower",
        finished_at=NOON + timedelta(minutes=6),
    )
    return Plan(name=NAME, change=CHANGE, course=replace(course, **changes))


def test_the_history_tells_the_end_of_the_steps_the_verdict_and_both_measurements() -> None:
    entry = history_entry(a_finished_plan()).model_dump(exclude_none=True, exclude={"steps"})
    assert entry == {
        "id": NAME,
        "reason": "ComputationAboveTarget",
        "message": CHANGE.message,
        "started_at": "2026-01-05T12:00:00Z",
        "finished_at": "2026-01-05T12:02:00Z",  # the verdict came four minutes later: rests count from the steps
        "outcome": "Completed",
        "outcome_message": "4 QueryNodes serve",
        "risk": "Medium",
        "intent_digest": "a1",
        "verdict": "Kept",
        "verdict_message": "the mean is 27 % lower",
        "measured_before": in_words(MEASURED),
        "measured_after": "1,180 searches/min, mean 30.0 ms, P99 64 ms, 0 failed and 1,200 slow (> 64 ms) of a "
        "million, skew 12 %, 4 QueryNodes",
    }


def test_what_was_not_measured_is_not_in_the_history() -> None:
    entry = history_entry(a_finished_plan(before=None, after=None))
    assert (entry.measured_before, entry.measured_after) == (None, None)


def test_a_plan_that_was_never_begun_is_not_history() -> None:
    with pytest.raises(ValueError, match=f"{NAME} was never begun"):
        history_entry(a_finished_plan(operation=None))


def test_twenty_plans_with_long_words_stay_below_44_kibibytes() -> None:
    long = "x" * 2048
    shrink = tuple(
        StepRecord(step=replace(GROW, verification={**GROW.verification, "pod": "p" * 60}), message=long)
        for _ in range(2)
    )
    operation = an_operation(steps=shrink, message=long, outcome=Reason.UNDONE, outcome_message=long)
    entry = history_entry(a_finished_plan(operation=operation, verdict_message=long))
    assert 20 * len(over_the_wire(entry).model_dump_json(by_alias=True, exclude_none=True)) < 44 * 1024
    assert len(entry.message) == HISTORY_TEXT_LENGTH
    assert entry.message.endswith("x…")
