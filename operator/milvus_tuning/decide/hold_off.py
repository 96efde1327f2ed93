"""A change that was turned down, or taken back, is not proposed again at once.

A rejected or cancelled plan speaks until it would have expired, a rolled back one for an hour (settings: a day, see
settings.py), and only while the policy asks for the same: another spec is another question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.decide.proposal import intent_digest, same_change
from milvus_tuning.plan import Decision, Plan, Reason, Rejection, Verdict

ROLLED_BACK_REST = timedelta(hours=1)
_TURNED_DOWN = frozenset({Verdict.REJECTED, Verdict.CANCELLED})


def without_turned_down(decision: Decision, spec: MilvusTuningSpec, plans: Sequence[Plan], now: datetime) -> Decision:
    """The decision, without its steps where a plan for the same was turned down a while ago."""
    if not decision.steps:
        return decision
    digest = intent_digest(spec)
    for plan in reversed(plans):
        until = _silent_until(plan)
        same = plan.change.intent_digest == digest and same_change(plan.change.steps, decision.steps)
        if same and until is not None and now < until:
            return _withheld(decision, plan, until)
    return decision


def _silent_until(plan: Plan) -> datetime | None:
    course = plan.course
    if course.verdict in _TURNED_DOWN:
        return plan.change.expires_at
    if course.verdict is Verdict.ROLLED_BACK and course.finished_at is not None:
        return course.finished_at + ROLLED_BACK_REST
    return None


def _withheld(decision: Decision, plan: Plan, until: datetime) -> Decision:
    course = plan.course
    again = f"not proposed again before {until:%Y-%m-%d %H:%M} UTC"
    why = f"plan {plan.name} was {course.verdict} ({course.verdict_message}): {again}"
    rejection = Rejection(alternative=f"Plan like {plan.name}", reason=Reason.REJECTED, message=why)
    return replace(
        decision,
        reason=Reason.REJECTED,
        message=f"{decision.message} (not done: {why})",
        steps=(),
        rejected=(*decision.rejected, rejection),
    )
