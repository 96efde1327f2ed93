"""The load guard must leave room for what is loaded, and for what the others would have to take over.

`queryCoord.overloadedMemoryThresholdPercentage` is the share of its memory above which a QueryNode refuses to load
more. Set below what is loaded now it would refuse the next reload; set below what N-1 nodes must hold, the loss of
one node would leave data that nobody can load again. Worked example: three nodes with 10 GiB each, 5 GiB used on
each. Now: 50 %. With one lost: 15 GiB on 20 GiB, 75 %. So 80 passes and 70 does not.

Unknown memory is an objection as well: missing is not zero.
"""

from __future__ import annotations

from datetime import datetime

from milvus_tuning.decide.load import NodeLoad, node_loads
from milvus_tuning.snapshot import Snapshot


def load_guard_objection(snapshot: Snapshot, now: datetime, *, percent: int) -> str | None:
    """Why the guard must not be set to this percentage now, or None."""
    loads = node_loads(snapshot, now)
    limits = [node.memory_limit_bytes for node in snapshot.members]
    unknown = [load.pod for load, limit in zip(loads, limits, strict=True) if load.used_bytes is None or not limit]
    if not loads or unknown:
        return f"memory is not known of {', '.join(unknown) or 'any QueryNode'}, so that {percent} % cannot be judged"
    ratios = [(load.used_bytes or 0.0) / (limit or 1) for load, limit in zip(loads, limits, strict=True)]
    if max(ratios) * 100 > percent:
        return (
            f"{max(ratios) * 100:.0f} % of a QueryNode's memory is in use: a guard of {percent} % would stop its reload"
        )
    return _objection_with_node_lost(loads, [limit or 0 for limit in limits], percent)


def _objection_with_node_lost(loads: tuple[NodeLoad, ...], limits: list[int], percent: int) -> str | None:
    """The same for the worst loss of one node; with a single node there is nobody to take over."""
    if len(loads) < 2:
        return None
    room = sum(limits) - max(limits)
    needed = sum(load.used_bytes or 0.0 for load in loads)
    if needed / room * 100 <= percent:
        return None
    return (
        f"{len(loads) - 1} of {len(loads)} QueryNodes would have to hold {needed / room * 100:.0f} % of their memory "
        f"after the loss of one: a guard of {percent} % would stop that"
    )
