"""While searches suffer, no further move is begun.

Moving segments costs the QueryNodes work. A plan that moves compares the mean latency of now with the one that was
measured before it began, by the tolerance of the verdict:

    suffer   mean now > mean before x (1 + latencyTolerancePercent), and by 2 ms or more

Example: 20.0 ms before, 20 % tolerated: at 24.5 ms the next move waits, at 23.9 ms it does not. What is not measured
says nothing. How long a move waits, and what comes then, is in operation.py.
"""

from __future__ import annotations

from milvus_tuning.api import Verification
from milvus_tuning.decide.load import MAX_SAMPLE_AGE_SECONDS
from milvus_tuning.decide.running.verdict import MINIMUM_LATENCY_RISE_MICROSECONDS
from milvus_tuning.plan import Measurement
from milvus_tuning.snapshot import Traffic


def searches_suffer(before: Measurement | None, traffic: Traffic, rules: Verification) -> str | None:
    """That searches are slower than before the plan by more than is tolerated, with the numbers; None otherwise."""
    former = before.mean_microseconds if before is not None else None
    latter = traffic.mean_milliseconds.usable(max_age_seconds=MAX_SAMPLE_AGE_SECONDS, min_coverage=1.0)
    if former is None or latter is None:
        return None
    now, tolerance = latter * 1000, rules.latency_tolerance_percent
    if now * 100 <= former * (100 + tolerance) or now - former < MINIMUM_LATENCY_RISE_MICROSECONDS:
        return None
    return f"searches take {latter:.1f} ms on average, {former / 1000:.1f} ms before (tolerated +{tolerance} %)"
