"""The course of a plan from its proposal to its verdict: a pure state machine around that of its steps (operation.py).

    Proposed     waits for a word: a person's on the plan, a name in the policy, or the bounds of mode Auto
    Approved     waits until nothing is in the way (pause, freeze, another plan), then the first measurement is taken
    Running      the steps, one by one, each with its precondition read afresh
    Verifying    waits for the second measurement, then judges
    RollingBack  the steps back, the last first
    Finished     the verdict says how

`next_turn` gives the plan as it is to be written and at most one thing to do after that: an outside call, or a
measurement. As everything is told from the plan and from what the outside shows, a restart at any point goes on as if
nothing had been.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from milvus_tuning.api import MilvusTuningSpec, Mode, Verification
from milvus_tuning.decide.config.road import FILE_SETTLE_SECONDS
from milvus_tuning.decide.proposing.approval import automatic_obstacle, granted
from milvus_tuning.decide.proposing.proposal import same_change, staleness
from milvus_tuning.decide.replicas.gain import gain_of
from milvus_tuning.decide.running.failing import held_while_failing
from milvus_tuning.decide.running.holding import hold_rolls
from milvus_tuning.decide.running.moving import is_move
from milvus_tuning.decide.running.operation import (
    Call,
    begin,
    call_failed,
    call_succeeded,
    cancel,
    next_move,
    roll_back,
)
from milvus_tuning.decide.running.throttle import searches_suffer
from milvus_tuning.decide.running.verdict import judge
from milvus_tuning.decide.seen.placement import moved_back
from milvus_tuning.plan import (
    Course,
    Decision,
    Measurement,
    Operation,
    Phase,
    Plan,
    Reason,
    StepKind,
    StepState,
    Verdict,
    Vote,
    on_resource,
)
from milvus_tuning.snapshot import Snapshot

SETTLE_SECONDS = 30.0
_GROWTH = frozenset({Reason.SCALE_OUT_CAPACITY, Reason.SCALE_OUT_COMPUTATION, Reason.BELOW_MINIMUM})
_AGAINST = frozenset({Vote.REJECTED, Vote.CANCELLED})


class Window(enum.Enum):
    """Which of the two measurements is due."""

    BEFORE = enum.auto()
    AFTER = enum.auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """What a plan's course is decided from, beside the plan itself.

    decision is what would be decided now without the plan, None while it is not asked for. in_the_way says why nothing
    may be begun now although the plan is approved (a pause, a read-only operator, a rival, another plan at work).
    read_only: nothing is called at all, a plan at work stays as it is. damping: Milvus moves segments to and fro now.
    """

    spec: MilvusTuningSpec
    snapshot: Snapshot
    now: datetime
    decision: Decision | None = None
    in_the_way: str | None = None
    read_only: bool = False
    started_within_hour: int = 0
    admission_enforced: bool = True
    damping: bool = False

    @property
    def verification(self) -> Verification:
        """The rules of the judgement."""
        return self.spec.verification or Verification()


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """The plan to write now, and what to do after that: a call, a measurement, or (neither) wait for the next pass."""

    plan: Plan
    call: Call | None = None
    measure: Window | None = None


def next_turn(plan: Plan, sight: Sight) -> Turn:
    """How the plan goes on."""
    turn = Turn(plan=plan)
    while turn.plan.open and turn.call is None and turn.measure is None:
        after = _one_turn(turn.plan, sight)
        if after == turn:
            break
        turn = after
    return turn


def with_measurement(plan: Plan, window: Window, measurement: Measurement) -> Plan:
    """The plan with what was measured."""
    if window is Window.BEFORE:
        return _with(plan, before=measurement)
    return _with(plan, after=measurement)


def with_success(plan: Plan, call: Call, now: datetime, message: str) -> Plan:
    """The plan after a call that came back without error."""
    return _with(plan, operation=call_succeeded(operation_of(plan), call, now, message))


def with_failure(plan: Plan, call: Call, now: datetime, message: str, *, retryable: bool) -> Plan:
    """The plan after a call that failed."""
    return _with(plan, operation=call_failed(operation_of(plan), call, now, message, retryable))


def abandoned(plan: Plan, now: datetime, message: str) -> Plan:
    """The plan at its end because its policy goes; what it did was handed back elsewhere."""
    return _ended(plan, now, Verdict.CANCELLED, message)


def operation_of(plan: Plan) -> Operation:
    """The log of the steps. ValueError before the plan has begun."""
    if plan.course.operation is None:
        raise ValueError(f"{plan.name} has not begun")
    return plan.course.operation


def steps_ended(before: Plan | None, after: Plan) -> bool:
    """Whether the last step of the plan was made, or taken back, in between. before is None where it is new."""
    was_over = before is not None and before.begun and not before.at_work
    return not was_over and after.begun and not after.at_work


def _one_turn(plan: Plan, sight: Sight) -> Turn:
    if sight.read_only and plan.at_work:
        return Turn(plan=_held(plan, sight.now))
    course: dict[Phase, Callable[[Plan, Sight], Turn]] = {
        Phase.PROPOSED: _hear,
        Phase.APPROVED: _start,
        Phase.RUNNING: _run,
        Phase.VERIFYING: _verify,
        Phase.ROLLING_BACK: _run_back,
    }
    return course[plan.course.phase](plan, sight)


# -- before the first step ---------------------------------------------------------------------------------------------


def _before_start(plan: Plan, sight: Sight) -> Plan | None:
    """The plan at its end, when it will not be begun any more; None when it still may."""
    ballot = plan.ballot
    if ballot is not None and ballot.vote in _AGAINST:
        verdict = Verdict.REJECTED if ballot.vote is Vote.REJECTED else Verdict.CANCELLED
        return _ended(plan, sight.now, verdict, _word_against(plan))
    if plan.deleting:
        return _ended(plan, sight.now, Verdict.CANCELLED, "the plan was deleted before it began")
    if sight.now >= plan.change.expires_at:
        waited = f"; it waited for {plan.course.waits_for}" if plan.course.waits_for else ""
        return _ended(plan, sight.now, Verdict.EXPIRED, f"not begun in time{waited}")
    stale = staleness(plan, sight.spec, sight.snapshot, sight.decision, damping=sight.damping)
    return _ended(plan, sight.now, Verdict.STALE, stale) if stale is not None else None


def _hear(plan: Plan, sight: Sight) -> Turn:
    return Turn(plan=_before_start(plan, sight) or _with_word(plan, sight))


def _with_word(plan: Plan, sight: Sight) -> Plan:
    started, enforced = sight.started_within_hour, sight.admission_enforced
    word = granted(plan, sight.spec, started_within_hour=started, admission_enforced=enforced, now=sight.now)
    if word is not None:
        return _with(plan, phase=Phase.APPROVED, approval=word, approved_at=sight.now, waits_for="")
    obstacle = automatic_obstacle(
        plan.change, sight.spec, started_within_hour=started, admission_enforced=enforced, now=sight.now
    )
    return _with(plan, waits_for=f"approval: {obstacle}")


def _start(plan: Plan, sight: Sight) -> Turn:
    ended = _before_start(plan, sight)
    if ended is not None:
        return Turn(plan=ended)
    waits_for = _in_the_way(sight) or held_while_failing(plan.change.reason, sight.snapshot.traffic)
    if waits_for is not None:
        return Turn(plan=_with(plan, waits_for=waits_for))
    if plan.course.before is None:
        return Turn(plan=_with(plan, waits_for=""), measure=Window.BEFORE)
    operation = begin(plan.change, operation_id=plan.name, now=sight.now)
    return Turn(plan=_with(plan, phase=Phase.RUNNING, operation=operation, waits_for=""))


def _in_the_way(sight: Sight) -> str | None:
    if sight.in_the_way is not None:
        return sight.in_the_way
    if sight.spec.mode is Mode.OBSERVE:
        return "mode is Observe: an approved plan is begun in Propose and Auto only"
    if sight.snapshot.freezes:
        return "; ".join(f"{freeze.reason}: {freeze.message}" for freeze in sight.snapshot.freezes)
    return None


# -- the steps ---------------------------------------------------------------------------------------------------------


def _run(plan: Plan, sight: Sight) -> Turn:
    operation, against = operation_of(plan), _word_against(plan)
    if against:
        operation = cancel(operation, sight.snapshot, sight.now, against)
    hold = searches_suffer(plan.course.before, sight.snapshot.traffic, sight.verification)
    move = next_move(operation, sight.snapshot, sight.spec, sight.now, hold=hold)
    moved = _with(plan, operation=move.operation)
    if move.call is not None or move.operation.running:
        return Turn(plan=moved, call=move.call)
    if move.operation.outcome is Reason.COMPLETED:
        return Turn(plan=_to_verify(moved, sight))
    return Turn(plan=_broken_off(moved, sight.now, against))


def _to_verify(plan: Plan, sight: Sight) -> Plan:
    rules = sight.verification
    until = sight.now + timedelta(seconds=_settle_seconds(plan, rules) + rules.window_seconds)
    return _with(plan, phase=Phase.VERIFYING, verify_until=until)


def _settle_seconds(plan: Plan, rules: Verification) -> float:
    """How long the last step may take until it acts."""
    if rules.settle_seconds is not None:
        return rules.settle_seconds
    return FILE_SETTLE_SECONDS if any(on_resource(step) for step in plan.change.steps) else SETTLE_SECONDS


def _broken_off(plan: Plan, now: datetime, against: str) -> Plan:
    operation = operation_of(plan)
    if against:
        called_off = replace(operation, outcome=Reason.CANCELLED)
        left = [record.message for record in operation.steps if record.state is StepState.FAILED]
        return _ended(_with(plan, operation=called_off), now, Verdict.CANCELLED, "; ".join([against, *left]))
    verdict = Verdict.STALE if operation.outcome is Reason.PRECONDITION_CHANGED else Verdict.FAILED
    return _ended(plan, now, verdict, operation.outcome_message)


# -- the judgement -----------------------------------------------------------------------------------------------------


def _verify(plan: Plan, sight: Sight) -> Turn:
    against = _word_against(plan)
    if against:
        return Turn(plan=_back(plan, sight, Verdict.CANCELLED, against))
    if _calls_for_growth(plan, sight):
        why = "more QueryNodes were called for before the window was over; kept, and not judged"
        return Turn(plan=_ended(plan, sight.now, Verdict.INCONCLUSIVE, why))
    until = plan.course.verify_until
    if until is not None and sight.now < until:
        return Turn(plan=plan)
    if plan.course.after is None:
        return Turn(plan=plan, measure=Window.AFTER)
    objectives = sight.spec.objectives
    judgement = judge(
        plan.course.before,
        plan.course.after,
        sight.verification,
        expected_latency_percent=_expected_latency_percent(plan),
        has_objective=objectives is not None and objectives.search_latency_p99_milliseconds is not None,
    )
    gain = gain_of(plan, judgement.verdict)
    plan = _with(plan, operation=replace(operation_of(plan), gain_percent=gain))
    if judgement.verdict is not Verdict.ROLLED_BACK:
        told = "; ".join(filter(None, (judgement.message, _moved_back(plan, sight.snapshot))))
        return Turn(plan=_ended(plan, sight.now, judgement.verdict, told))
    return Turn(plan=_back(plan, sight, Verdict.ROLLED_BACK, judgement.message))


def _moved_back(plan: Plan, snapshot: Snapshot) -> str | None:
    """What of the plan's moves did not stay until the verdict, in words."""
    records = operation_of(plan).steps
    return moved_back([one.step for one in records if is_move(one) and one.state is StepState.DONE], snapshot)


def _expected_latency_percent(plan: Plan) -> int:
    """The mean latency that the change is expected to leave: fewer QueryNodes search more rows each."""
    before, after = plan.change.prediction.node_count_before, plan.change.prediction.node_count_after
    return 100 if not before or not after or after >= before else round(100 * before / after)


def _calls_for_growth(plan: Plan, sight: Sight) -> bool:
    """Whether another scale-out is due: it is worth more than the judgement of what was done last.

    The decision that the plan itself was made from does not count: within one pass it is still there.
    """
    decision = sight.decision
    if decision is None or not decision.steps or decision.reason not in _GROWTH:
        return False
    return not same_change(decision.steps, plan.change.steps)


def _back(plan: Plan, sight: Sight, verdict: Verdict, why: str) -> Plan:
    """The way back, or what is kept because taking it away needs the checks of a scale-in."""
    if _adds_nodes(plan):
        kept = f"{why}; the QueryNodes that were added stay: only a scale-in with its checks takes away one that serves"
        return _ended(plan, sight.now, Verdict.KEPT if verdict is Verdict.ROLLED_BACK else verdict, kept)
    operation = roll_back(operation_of(plan), sight.now, why)
    return _with(plan, phase=Phase.ROLLING_BACK, operation=operation, verdict=verdict, verdict_message=why)


def _adds_nodes(plan: Plan) -> bool:
    sizes = [step for step in plan.change.steps if step.kind is StepKind.SCALE_QUERY_NODES]
    return any(step.verification.get("pod") is None for step in sizes)


def _run_back(plan: Plan, sight: Sight) -> Turn:
    move = next_move(operation_of(plan), sight.snapshot, sight.spec, sight.now)
    moved = _with(plan, operation=move.operation)
    if move.call is not None or move.operation.running:
        return Turn(plan=moved, call=move.call)
    failed = [record for record in move.operation.steps if record.state is StepState.FAILED]
    if failed:
        told = f"{plan.course.verdict_message}; {failed[-1].message}"
        return Turn(plan=_ended(moved, sight.now, Verdict.FAILED, told))
    verdict = plan.course.verdict or Verdict.ROLLED_BACK
    outcome = Reason.CANCELLED if verdict is Verdict.CANCELLED else Reason.ROLLED_BACK
    undone = _with(moved, operation=replace(move.operation, outcome=outcome))
    return Turn(plan=_ended(undone, sight.now, verdict, plan.course.verdict_message))


def _held(plan: Plan, now: datetime) -> Plan:
    """The plan as it stays while nothing is called: the time does not count for pods that are not replaced."""
    operation = plan.course.operation
    return plan if operation is None else _with(plan, operation=hold_rolls(operation, now))


# -- helpers -----------------------------------------------------------------------------------------------------------


def _word_against(plan: Plan) -> str:
    """Why a person wants it to end, or ""."""
    if plan.ballot is not None and plan.ballot.vote in _AGAINST:
        who = f" by {plan.ballot.by}" if plan.ballot.by else ""
        why = f": {plan.ballot.reason}" if plan.ballot.reason else ""
        return f"{plan.ballot.vote}{who}{why}"
    return "the plan was deleted while it ran" if plan.deleting else ""


def _ended(plan: Plan, now: datetime, verdict: Verdict, message: str) -> Plan:
    return _with(plan, phase=Phase.FINISHED, verdict=verdict, verdict_message=message, finished_at=now, waits_for="")


def _with(plan: Plan, **changes: object) -> Plan:
    course: Course = replace(plan.course, **changes)  # type: ignore[arg-type]
    return replace(plan, course=course)
