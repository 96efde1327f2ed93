"""What the QueryNodes were measured to burn, and which of them cannot burn more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from milvus_tuning.decide.heat.model import HeatMemory
from milvus_tuning.decide.heat.rates import RATE_HALF_LIFE_SECONDS, usable, weight
from milvus_tuning.decide.load import Reader
from milvus_tuning.snapshot import QueryNode, Snapshot

SATURATED_RATIO = 0.95  # of the CPU limit; a throttled container averages a little under its limit
SATURATED_QUEUE_MILLISECONDS = 50.0  # mean wait before a search runs: longer than most searches take
IDLE_RATIO = 0.01  # mean over the nodes; below it the CPU is not that of searches


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A serving QueryNode whose Milvus node id is known."""

    pod: str
    node_id: int
    limit_cores: float | None
    cores: float | None  # None: not measured
    saturated: bool


def read_nodes(snapshot: Snapshot, now: datetime) -> tuple[tuple[Reading, ...], tuple[str, ...]]:
    """The members in the order of their names, and what is missing about them."""
    readings: list[Reading] = []
    gaps: list[str] = []
    passed = max(0.0, (now - snapshot.taken_at).total_seconds())
    for node in sorted(snapshot.members, key=lambda one: one.pod):
        reader = Reader(pod=node.pod, passed_seconds=passed)
        cores = reader.read("CPU", node.cpu_cores)
        ratio = reader.ratio("CPU", cores, node.cpu_limit_cores)
        if ratio is None and node.cpu_limit_cores:
            cores = None
        gaps += [str(gap) for gap in reader.gaps]
        if node.node_id is None:
            gaps.append(f"{node.pod}: its Milvus node id is not known")
            continue
        readings.append(
            Reading(
                pod=node.pod,
                node_id=node.node_id,
                limit_cores=node.cpu_limit_cores,
                cores=cores,
                saturated=cores is not None and _is_saturated(node, ratio, snapshot, now),
            )
        )
    return tuple(readings), tuple(gaps)


def smoothed(readings: Sequence[Reading], memory: HeatMemory | None, now: datetime) -> tuple[Reading, ...]:
    """The readings with the CPU smoothed as the rates are: both follow a shift of load at the same pace.

    Otherwise the model would be wrong for minutes after each shift, by nothing but the pace.
    """
    if memory is None:
        return tuple(readings)
    new = weight((now - memory.at).total_seconds(), RATE_HALF_LIFE_SECONDS)
    return tuple(replace(one, cores=_smoothed(one, memory.cores.get(one.node_id), new)) for one in readings)


def _smoothed(reading: Reading, before: float | None, weight_of_new: float) -> float | None:
    if reading.cores is None or before is None:
        return reading.cores
    return before + weight_of_new * (reading.cores - before)


def idle(readings: Sequence[Reading]) -> bool:
    """Whether all nodes were measured and burn next to nothing: mean CPU under 1 % of the limits."""
    ratios = [one.cores / one.limit_cores for one in readings if one.cores is not None and one.limit_cores]
    return bool(ratios) and len(ratios) == len(readings) and math.fsum(ratios) / len(ratios) < IDLE_RATIO


def _is_saturated(node: QueryNode, ratio: float | None, snapshot: Snapshot, now: datetime) -> bool:
    if ratio is not None and ratio >= SATURATED_RATIO:
        return True
    wait = usable(node.queue_latency_milliseconds, snapshot, now)
    return wait is not None and wait >= SATURATED_QUEUE_MILLISECONDS
