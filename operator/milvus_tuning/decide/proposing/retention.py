"""Which finished plans are forgotten: those beyond a number and those beyond an age. Worked example, keep 3 for 7 days:

    finished 1 h, 2 days, 3 days, 4 days, 9 days ago, and one open    the last two finished ones go
    finished 1 h, 8 days ago                                          the second goes, though it is one of three

An open plan never goes, whatever its age, and takes no one's place: it is the log of what is under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from milvus_tuning.plan import Plan


def surplus(plans: Sequence[Plan], now: datetime, *, keep_count: int, keep_days: int) -> tuple[Plan, ...]:
    """The plans to delete now, oldest first; those that are being deleted already are in no count."""
    finished = sorted((plan for plan in plans if not plan.open and not plan.deleting), key=_seniority)
    oldest = now - timedelta(days=keep_days)
    beyond = max(0, len(finished) - keep_count)
    return tuple(plan for place, plan in enumerate(finished) if place < beyond or _ended_at(plan) < oldest)


def _seniority(plan: Plan) -> tuple[datetime, int, str]:
    return _ended_at(plan), plan.change.sequence, plan.name


def _ended_at(plan: Plan) -> datetime:
    """When the plan ended; one that does not say so counts from its proposal."""
    return plan.course.finished_at or plan.change.proposed_at
