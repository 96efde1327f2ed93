"""While many searches fail, nothing is taken away.

A plan's own verification sees failures that its change brought, and takes it back. Failures that nobody here caused are
an incident: a cluster in one is not made smaller. Nothing else waits, for it may be the cure: more QueryNodes (overload
shows as failures too), a setting, a placement or a size that a person declared or withdrew meanwhile, and everything
about a plan that has begun, its rollback first of all.

    12 of 100 searches a second fail: 12 %, above 10 %      a scale-in waits
     4 of 100                                                it does not
     1 of   2 searches in a minute                           too few to say anything
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from milvus_tuning.decide.load import MAX_SAMPLE_AGE_SECONDS
from milvus_tuning.decide.words import percent
from milvus_tuning.plan import Decision, Reason, Rejection
from milvus_tuning.snapshot import FreezeReason, Traffic

# A share that no usual time-out or retry explains; the window of the rates holds four scrapes, so one bad scrape is not
# enough for it to last.
FAILING_RATIO: Final = 0.10
LEAST_FAILED_PER_SECOND: Final = 0.1  # three within the shortest window of 30 s
_TAKES_AWAY: Final = frozenset({Reason.SCALE_IN, Reason.ABOVE_MAXIMUM, Reason.COLD_COLLECTION})


def failing(traffic: Traffic) -> str | None:
    """What fails, in words, or None. What is not measured says nothing: missing numbers have gates of their own."""
    searches = traffic.searches_per_second.usable(max_age_seconds=MAX_SAMPLE_AGE_SECONDS, min_coverage=1.0)
    failed = traffic.failed_per_second.usable(max_age_seconds=MAX_SAMPLE_AGE_SECONDS, min_coverage=1.0)
    if not searches or failed is None or failed < LEAST_FAILED_PER_SECOND:
        return None
    ratio = failed / searches
    if ratio <= FAILING_RATIO:
        return None
    return (
        f"{FreezeReason.SEARCHES_FAILING}: {percent(ratio)} of the searches fail (held above {percent(FAILING_RATIO)})"
    )


def held_while_failing(reason: Reason, traffic: Traffic) -> str | None:
    """Why a change for this reason is not begun now, or None."""
    return failing(traffic) if reason in _TAKES_AWAY else None


def hold_while_failing(decision: Decision, traffic: Traffic) -> Decision:
    """The decision, or Frozen with what was decided as its rejected alternative."""
    why = held_while_failing(decision.reason, traffic) if decision.steps else None
    if why is None:
        return decision
    turned_down = Rejection(alternative=str(decision.reason), reason=Reason.FROZEN, message=decision.message)
    return replace(
        decision,
        reason=Reason.FROZEN,
        message=f"{why}; not done meanwhile: {decision.message}",
        steps=(),
        rejected=(*decision.rejected, turned_down),
    )
