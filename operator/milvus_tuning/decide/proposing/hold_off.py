"""A change that was turned down, or taken back, is not proposed again at once.

A rejected plan speaks until it would have expired, a rolled back one for an hour (settings: a day, see
config/rollbacks.py), a cancelled one for whichever is longer: it may have run past its expiry when it was called off.
All of it only while the policy asks for the same: another spec is another question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.decide.proposing.proposal import intent_digest, same_change
from milvus_tuning.plan import Decision, Plan, Reason, Rejection, Verdict

TAKEN_BACK_REST = timedelta(hours=1)


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
    course, expiry = plan.course, plan.change.expires_at
    rested = course.finished_at + TAKEN_BACK_REST if course.finished_at is not None else None
    match course.verdict:
        case Verdict.REJECTED:
            return expiry
        case Verdict.CANCELLED:
            return max(expiry, rested) if rested is not None else expiry
        case Verdict.ROLLED_BACK:
            return rested
        case _:
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
