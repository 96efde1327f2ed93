"""The two signals: how full the QueryNodes are, and how busy.

    capacity of a node    = max(resident memory, loaded bytes) / memory limit
    computation of a node = max(CPU / CPU limit, read concurrency / its cap)
    signals               = the maximum over the nodes; for computation the mean as well

Search waits for the slowest node of a replica, so the maximum is what users feel, and maximum / mean - 1 is the skew.
Two nodes at 90 % and 30 % of their CPU: computation 90 %, even computation 60 %, skew 50 %: a third node would cure
little, moving segments would.

CPU leads. The concurrency cap follows the CPUs that Milvus believes it has; with a cap of 1 or 2 the share flips
between 0 and 100 %, so it counts from a cap of 3 on.

Missing is not zero. A node without a usable number contributes to no signal, the coverage of the signal says so, and
`gaps` names what is missing where. A maximum over fewer nodes is still a lower bound of the true one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from milvus_tuning.plan import Signal
from milvus_tuning.snapshot import QueryNode, Sample, Snapshot

MAX_SAMPLE_AGE_SECONDS = 60.0  # four scrapes at Prometheus' usual 15 s
LEAST_CONCURRENCY_CAP = 3  # below it the share of the cap is a coin toss (measured on 2.3.5 with 0.3 CPU)
MOST_PLAUSIBLE_RATIO = 2.0  # the kernel enforces both limits; twice the limit is a wrong number, not a load
_FULL_COVERAGE = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """A number that a decision needs and does not have; pod is whose it is."""

    pod: str
    what: str
    stale: bool = False

    def __str__(self) -> str:
        return f"{self.pod}: {self.what}"


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeLoad:
    """The load of one QueryNode; a ratio is None where it cannot be told, and then a gap says why."""

    pod: str
    capacity_ratio: float | None
    computation_ratio: float | None
    loaded_bytes: float | None
    used_bytes: float | None  # max(resident memory, loaded bytes)
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterLoad:
    """The load of all members, with the signal made from it."""

    nodes: tuple[NodeLoad, ...]
    signal: Signal
    placement_coverage: float = _FULL_COVERAGE

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Everything that is missing, in the order of the nodes."""
        return tuple(gap for node in self.nodes for gap in node.gaps) + placement_gaps(self.placement_coverage)

    @property
    def complete(self) -> bool:
        """Whether every number of every member is there: the condition for taking anything away."""
        return bool(self.nodes) and not self.gaps

    def busiest(self) -> NodeLoad | None:
        """The node with the highest computation, ties by name."""
        known = [node for node in self.nodes if node.computation_ratio is not None]
        return max(known, key=lambda node: (node.computation_ratio or 0.0, node.pod), default=None)


def placement_gaps(coverage: float) -> tuple[Gap, ...]:
    """The gap that a placement leaves which was read for a share of the collections only; none where it was for all."""
    if coverage >= _FULL_COVERAGE:
        return ()
    return (Gap(pod="Milvus", what=f"the placement is known of {coverage * 100:.0f} % of the collections"),)


def cluster_load(snapshot: Snapshot, now: datetime) -> ClusterLoad:
    """The load of the members of the snapshot, as it can be known at `now`."""
    nodes = tuple(_node_load(node, snapshot, now) for node in snapshot.members)
    return ClusterLoad(nodes=nodes, signal=_signal(nodes, now), placement_coverage=snapshot.placement_coverage)


def signal(snapshot: Snapshot, now: datetime) -> Signal:
    """The two signals of this pass."""
    return cluster_load(snapshot, now).signal


def node_loads(snapshot: Snapshot, now: datetime) -> tuple[NodeLoad, ...]:
    """The load of each member, in the order of the snapshot."""
    return cluster_load(snapshot, now).nodes


def skew_ratio(of: Signal) -> float | None:
    """How far the busiest node is above the mean (0.5 is 50 %); None where unknown or idle (mean under 1 %)."""
    busiest, mean = of.computation_ratio, of.even_computation_ratio
    if busiest is None or mean is None or mean < 0.01:
        return None
    return busiest / mean - 1


def _signal(nodes: Sequence[NodeLoad], now: datetime) -> Signal:
    capacities = [node.capacity_ratio for node in nodes if node.capacity_ratio is not None]
    computations = [node.computation_ratio for node in nodes if node.computation_ratio is not None]
    return Signal(
        at=now,
        node_count=len(nodes),
        capacity_ratio=max(capacities, default=None),
        computation_ratio=max(computations, default=None),
        even_computation_ratio=math.fsum(computations) / len(computations) if computations else None,
        capacity_coverage=len(capacities) / len(nodes) if nodes else 0.0,
        computation_coverage=len(computations) / len(nodes) if nodes else 0.0,
    )


def _node_load(node: QueryNode, snapshot: Snapshot, now: datetime) -> NodeLoad:
    reader = Reader(pod=node.pod, passed_seconds=max(0.0, (now - snapshot.taken_at).total_seconds()))
    resident = reader.read("resident memory", node.resident_memory_bytes)
    loaded = 0.0 if _holds_nothing(node, snapshot) else reader.read("loaded bytes", node.loaded_bytes)
    capacity = reader.ratio("memory", resident, node.memory_limit_bytes)
    used = None if resident is None else max(resident, loaded or 0.0)
    if capacity is not None and used is not None and node.memory_limit_bytes:
        capacity = max(capacity, used / node.memory_limit_bytes)
    return NodeLoad(
        pod=node.pod,
        capacity_ratio=capacity,
        computation_ratio=_computation(node, reader),
        loaded_bytes=loaded,
        used_bytes=used,
        gaps=tuple(reader.gaps),
    )


def _computation(node: QueryNode, reader: Reader) -> float | None:
    computation = reader.ratio("CPU", reader.read("CPU", node.cpu_cores), node.cpu_limit_cores)
    cap = node.read_concurrency_cap
    if cap is None or cap < LEAST_CONCURRENCY_CAP:
        return computation
    tasks = reader.read("read concurrency", node.read_concurrency)
    if computation is None or tasks is None:
        return computation
    return max(computation, min(1.0, tasks / cap))


def _holds_nothing(node: QueryNode, snapshot: Snapshot) -> bool:
    """Whether Milvus itself says that this node serves no segment: a gauge that was never set is then a true 0."""
    if node.node_id is None or node.loaded_bytes.value is not None or snapshot.placement_coverage < _FULL_COVERAGE:
        return False
    known = bool(snapshot.segments) or not snapshot.collections
    return known and not any(node.node_id in segment.node_ids for segment in snapshot.segments)


class Reader:
    """Reads the samples of one node (or collection, by its name) and keeps what was missing."""

    def __init__(self, *, pod: str, passed_seconds: float) -> None:
        self._pod = pod
        self._passed_seconds = passed_seconds  # since the snapshot was taken
        self.gaps: list[Gap] = []

    def read(self, name: str, sample: Sample) -> float | None:
        """The value, or None with a gap that says why."""
        age_seconds = sample.age_seconds + self._passed_seconds
        for fault, stale in _faults(sample, age_seconds):
            self.gaps.append(Gap(pod=self._pod, what=f"{name} {fault}", stale=stale))
            return None
        return sample.value

    def ratio(self, name: str, value: float | None, limit: float | None) -> float | None:
        """Value over limit, or None with a gap where there is no limit or the result cannot be."""
        if value is None:
            return None
        if not limit:
            self.gaps.append(Gap(pod=self._pod, what=f"no {name} limit"))
            return None
        if value / limit > MOST_PLAUSIBLE_RATIO:
            self.gaps.append(Gap(pod=self._pod, what=f"{name} {value / limit:.1f} times its limit is not plausible"))
            return None
        return value / limit


def _faults(sample: Sample, age_seconds: float) -> Iterator[tuple[str, bool]]:
    if sample.value is None or not math.isfinite(sample.value):
        yield "missing", False
    elif sample.value < 0:
        yield f"negative ({sample.value:g})", False
    elif age_seconds > MAX_SAMPLE_AGE_SECONDS:
        yield f"{age_seconds:.0f} s old (limit {MAX_SAMPLE_AGE_SECONDS:.0f} s)", True
    elif sample.coverage < _FULL_COVERAGE:
        yield f"covers {sample.coverage * 100:.0f} % of its series", False
