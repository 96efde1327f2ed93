"""Work inside Milvus during which nothing new is begun: imports, heavy index building, heavy compaction, a coordinator
that has just come up.

Each of the first three makes segments that QueryNodes soon load in place of others, so what is measured and what fits
is about to change. The counts are above what is usual for the cluster (observe/queries.py), so each of these freezes
ends: what goes on for hours holds nothing back any more. Where a coordinator is not scraped, or a version lacks the
metric, there is no count and no freeze.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from milvus_tuning.snapshot import Freeze, FreezeReason

# A segment is sealed at up to 1 GiB (dataCoord.segment.maxSize, 1024 MB): 20 are up to 20 GiB to be loaded anew, where
# steady inserts seal one now and then.
HEAVY_INDEX_BUILDS: Final = 20
# Twice what runs at once up to 2.5 (dataCoord.compaction.maxParallelTaskNum, 10): a full queue and as many that wait.
HEAVY_COMPACTIONS: Final = 20
# Somebody asked for an import by hand, and it ends: one is enough.
IMPORTS_UNDER_WAY: Final = 1
# Twice the life of a session without its process (common.session.ttl, 30 s up to 2.5): by then QueryNodes that are gone
# are known to be gone, and the placement has been collected again.
COORDINATOR_SETTLE_SECONDS: Final = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """Tasks of Milvus above what is usual; None where nothing tells."""

    index_builds: float | None = None
    compactions: float | None = None
    imports: float | None = None


def activity_freezes(activity: Activity) -> tuple[Freeze, ...]:
    """A freeze for each kind of work that is at its threshold or above."""
    kinds = (
        (FreezeReason.IMPORTING, activity.imports, IMPORTS_UNDER_WAY, "bulk imports are under way"),
        (FreezeReason.INDEXING, activity.index_builds, HEAVY_INDEX_BUILDS, "segments wait for their index or get it"),
        (FreezeReason.COMPACTING, activity.compactions, HEAVY_COMPACTIONS, "compactions wait or run"),
    )
    return tuple(
        Freeze(reason=reason, message=f"{count:.0f} {words}, above what is usual (held from {threshold} on)")
        for reason, count, threshold, words in kinds
        if count is not None and count >= threshold
    )


def failover_freezes(started: Sequence[tuple[str, datetime]], now: datetime) -> tuple[Freeze, ...]:
    """A freeze while a coordinator's container is younger than its time to settle.

    A start that lies further in the future than that is a clock that is wrong, and holds nothing.
    """
    ages = ((pod, (now - at).total_seconds()) for pod, at in sorted(started))
    young = [f"{pod} ({max(age, 0):.0f} s)" for pod, age in ages if abs(age) < COORDINATOR_SETTLE_SECONDS]
    if not young:
        return ()
    text = f"coordinator just started: {', '.join(young)}; held for {COORDINATOR_SETTLE_SECONDS} s"
    return (Freeze(reason=FreezeReason.COORDINATOR_RESTARTED, message=text),)
