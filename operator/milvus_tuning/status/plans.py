"""Plans as they are stored in MilvusTuningPlan objects, and back; and a finished plan in short for `status.history`.

The log of the steps is kept flat in the plan's status: `startedAt`, `steps`, `outcome`, `outcomeMessage` and
`stepsFinishedAt`. Its id is the plan's name, its reason and message are those of the change. Each step is stored whole,
because the way back may end at another number than the one that was approved (see `decide.operation`); in everything
else a stored step must be the approved one, or the plan cannot be read.

A stored word that is not one of ours raises ValueError: another version of the operator wrote it.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime

from milvus_tuning.api import (
    ConditionStatus,
    MaxRisk,
    Measured,
    MeasuredEffect,
    MilvusTuningPlanStatus,
    OperationStatus,
    PlanApproval,
    PlanChange,
    PlanPolicy,
    PlanRisk,
    PlanStep,
    PlanVerdict,
    PredictedEffect,
)
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
    Step,
    StepKind,
    StepRecord,
    Verdict,
    Vote,
)
from milvus_tuning.status import conditions
from milvus_tuning.status.records import (
    TEXT_LENGTH,
    format_time,
    from_flat,
    operation_to_status,
    parse_time,
    parse_time_or_none,
    step_from_status,
    step_to_status,
    time_or_none,
    to_flat,
)

RISK_REASONS = 10  # of `api.PlanRisk`
HISTORY_TEXT_LENGTH = 200  # so twenty entries with two steps each take about 40 of the 64 KiB of a status


def change_to_api(change: Change) -> PlanChange:
    """The form that is stored in `spec.change`; times lose their fraction of a second."""
    return PlanChange(
        policy=PlanPolicy(
            name=change.policy_name,
            uid=change.policy_uid,
            generation=change.policy_generation,
            intent_digest=change.intent_digest,
        ),
        target=change.target,
        sequence=change.sequence,
        reason=change.reason.value,
        message=change.message[:TEXT_LENGTH],
        inputs_digest=change.inputs_digest,
        steps=[_step_to_api(step) for step in change.steps],
        predicted=PredictedEffect(**asdict(change.prediction)),
        risk=PlanRisk(
            level=MaxRisk(change.risk.value),
            reasons=[reason[:TEXT_LENGTH] for reason in change.risk_reasons[:RISK_REASONS]],
        ),
        declared=change.declared,
        proposed_at=format_time(change.proposed_at),
        expires_at=format_time(change.expires_at),
    )


def change_from_api(stored: PlanChange) -> Change:
    """The change that was stored. Raises ValueError where a stored word is not one of ours."""
    return Change(
        policy_name=stored.policy.name,
        policy_uid=stored.policy.uid,
        policy_generation=stored.policy.generation,
        intent_digest=stored.policy.intent_digest,
        inputs_digest=stored.inputs_digest,
        target=stored.target,
        sequence=stored.sequence,
        reason=Reason(stored.reason),
        message=stored.message,
        steps=tuple(_step_from_api(step) for step in stored.steps),
        risk=Risk(stored.risk.level.value),
        risk_reasons=tuple(stored.risk.reasons),
        prediction=Prediction(**stored.predicted.model_dump()),
        proposed_at=parse_time(stored.proposed_at),
        expires_at=parse_time(stored.expires_at),
        declared=stored.declared,
    )


def ballot_from_api(stored: PlanApproval | None) -> Ballot | None:
    """A person's word on the plan, where there is one."""
    if stored is None:
        return None
    return Ballot(vote=Vote(stored.decision.value), by=stored.by, reason=stored.reason)


def course_to_status(
    course: Course, previous: MilvusTuningPlanStatus | None, *, now: datetime, generation: int
) -> MilvusTuningPlanStatus:
    """The form that is stored in the plan's status, given the one before it (for the times of its conditions)."""
    operation = course.operation
    known = (previous.conditions if previous else None) or []
    return MilvusTuningPlanStatus(
        phase=course.phase.value,
        waits_for=course.waits_for[:TEXT_LENGTH] or None,
        approval=None if course.approval is None else course.approval[:TEXT_LENGTH],
        approved_at=time_or_none(course.approved_at),
        started_at=format_time(operation.started_at) if operation else None,
        steps=[step_to_status(record) for record in operation.steps] if operation else None,
        outcome=operation.outcome.value if operation and operation.outcome else None,
        outcome_message=(operation.outcome_message[:TEXT_LENGTH] or None) if operation else None,
        steps_finished_at=time_or_none(operation.finished_at) if operation else None,
        verify_until=time_or_none(course.verify_until),
        measured=_measured(course),
        verdict=PlanVerdict(course.verdict.value) if course.verdict else None,
        verdict_message=course.verdict_message[:TEXT_LENGTH] or None,
        gain_percent=operation.gain_percent if operation else None,
        finished_at=time_or_none(course.finished_at),
        conditions=conditions.merge_conditions(
            known, _conditions(course), now_text=format_time(now), generation=generation
        ),
    )


def course_from_status(status: MilvusTuningPlanStatus, change: Change, *, name: str) -> Course:
    """The course of the plan of this name and change. Raises ValueError where it cannot be read as that."""
    measured = status.measured or Measured()
    return Course(
        phase=Phase(status.phase) if status.phase else Phase.PROPOSED,
        waits_for=status.waits_for or "",
        approval=status.approval,
        approved_at=parse_time_or_none(status.approved_at),
        operation=_operation(status, change, name),
        before=_measurement(measured.before),
        after=_measurement(measured.after),
        verify_until=parse_time_or_none(status.verify_until),
        verdict=Verdict(status.verdict.value) if status.verdict else None,
        verdict_message=status.verdict_message or "",
        finished_at=parse_time_or_none(status.finished_at),
    )


def history_entry(plan: Plan) -> OperationStatus:
    """A plan that was carried out, in short. Its end is that of its steps: the rests between changes count from there.

    Raises ValueError for a plan that was never begun.
    """
    operation, course = plan.course.operation, plan.course
    if operation is None:
        raise ValueError(f"plan {plan.name} was never begun: there is nothing to remember of it")
    told = replace(
        operation,
        operation_id=plan.name,
        message=_short(operation.message),
        outcome_message=_short(operation.outcome_message),
        steps=tuple(replace(record, message=_short(record.message)) for record in operation.steps),
        verdict=course.verdict,
        verdict_message=_short(course.verdict_message),
        intent_digest=plan.change.intent_digest,
    )
    more = {
        "risk": plan.change.risk.value,
        "measured_before": in_words(course.before) if course.before else None,
        "measured_after": in_words(course.after) if course.after else None,
    }
    return operation_to_status(told).model_copy(update=more)


def in_words(measured: Measurement) -> str:
    """What searches met, for people; what was not measured is left out.

    "1,180 searches/min, mean 41.2 ms, P99 64 ms, 0 failed and 1,200 slow (> 64 ms) of a million, skew 12 %, 3
    QueryNodes"
    """
    mean, nodes = measured.mean_microseconds, measured.node_count
    parts = (
        _count(measured.searches_per_minute, "searches/min"),
        None if mean is None else f"mean {mean / 1000:,.1f} ms",
        None if measured.p99_milliseconds is None else f"P99 {measured.p99_milliseconds:,} ms",
        _unlucky(measured),
        None if measured.skew_percent is None else f"skew {measured.skew_percent} %",
        _count(nodes, "QueryNode" if nodes == 1 else "QueryNodes"),
    )
    return ", ".join(part for part in parts if part is not None) or "nothing was measured"


def _unlucky(measured: Measurement) -> str | None:
    bound = measured.slow_bound_milliseconds
    slow = "slow" if bound is None else f"slow (> {bound:,} ms)"
    counts = (_count(measured.failed_searches_per_million, "failed"), _count(measured.slow_searches_per_million, slow))
    told = " and ".join(count for count in counts if count is not None)
    return f"{told} of a million" if told else None


def _count(number: int | None, of_what: str) -> str | None:
    return None if number is None else f"{number:,} {of_what}"


def _short(text: str) -> str:
    return text if len(text) <= HISTORY_TEXT_LENGTH else f"{text[: HISTORY_TEXT_LENGTH - 1]}…"


# -- the parts -------------------------------------------------------------------------------------------------------


def _step_to_api(step: Step) -> PlanStep:
    return PlanStep(
        kind=step.kind.value,
        precondition=to_flat(step.precondition),
        action=to_flat(step.action),
        verification=to_flat(step.verification),
        undo=to_flat(step.undo),
    )


def _step_from_api(stored: PlanStep) -> Step:
    return Step(
        kind=StepKind(stored.kind),
        precondition=from_flat(stored.precondition),
        action=from_flat(stored.action),
        verification=from_flat(stored.verification),
        undo=from_flat(stored.undo),
    )


def _operation(status: MilvusTuningPlanStatus, change: Change, name: str) -> Operation | None:
    if status.started_at is None:
        return None
    records = tuple(step_from_status(step) for step in status.steps or [])
    if len(records) != len(change.steps) or not all(map(_is_approved, records, change.steps)):
        raise ValueError("status.steps are not the steps of spec.change")
    return Operation(
        operation_id=name,
        reason=change.reason,
        message=change.message,
        started_at=parse_time(status.started_at),
        steps=records,
        finished_at=parse_time_or_none(status.steps_finished_at),
        outcome=Reason(status.outcome) if status.outcome else None,
        outcome_message=status.outcome_message or "",
        gain_percent=status.gain_percent,
    )


def _is_approved(record: StepRecord, step: Step) -> bool:
    """Whether this is the step that was approved; only the number that it goes back to may be another one."""
    return replace(record.step, undo=step.undo) == step


def _measured(course: Course) -> Measured | None:
    if course.before is None and course.after is None:
        return None
    return Measured(before=_effect(course.before), after=_effect(course.after))


def _effect(measured: Measurement | None) -> MeasuredEffect | None:
    if measured is None:
        return None
    return MeasuredEffect(**{**asdict(measured), "ended_at": format_time(measured.ended_at)})


def _measurement(stored: MeasuredEffect | None) -> Measurement | None:
    if stored is None:
        return None
    return Measurement(**{**stored.model_dump(), "ended_at": parse_time(stored.ended_at)})


# -- conditions ------------------------------------------------------------------------------------------------------

_COMPLETE = frozenset({Verdict.KEPT, Verdict.INCONCLUSIVE})  # the steps were carried out and stay
_FAILED = frozenset({Verdict.FAILED, Verdict.ROLLED_BACK})  # they were begun and do not stay


def _conditions(course: Course) -> tuple[conditions.Verdict, ...]:
    ended = course.verdict if course.phase is Phase.FINISHED else None
    return (
        _approved(course, ended),
        _ended_as("Complete", course, holds=ended in _COMPLETE),
        _ended_as("Failed", course, holds=ended in _FAILED),
        _ended_as("Stale", course, holds=ended is Verdict.STALE),
    )


def _approved(course: Course, ended: Verdict | None) -> conditions.Verdict:
    if course.approved_at is not None:
        return conditions.Verdict(
            type="Approved", status=ConditionStatus.TRUE, reason="Approved", message=course.approval or ""
        )
    return conditions.Verdict(
        type="Approved",
        status=ConditionStatus.FALSE,
        reason=ended.value if ended else "WaitsForApproval",
        message=course.verdict_message or course.waits_for,
    )


def _ended_as(kind: str, course: Course, *, holds: bool) -> conditions.Verdict:
    finished = course.phase is Phase.FINISHED and course.verdict is not None
    return conditions.Verdict(
        type=kind,
        status=ConditionStatus.TRUE if holds else ConditionStatus.FALSE,
        reason=(course.verdict if finished and course.verdict else course.phase).value,
        message=course.verdict_message if finished else course.waits_for,
    )
