"""What the heat model says: CPU that searching costs, by segment, collection and QueryNode. An estimate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentHeat:
    """One copy of a segment on one QueryNode: a sealed segment in one in-memory replica.

    cores is the CPU that searching it takes, estimated; memory_bytes is Milvus's figure or rows x vector bytes x 1.2.
    """

    segment_id: int
    collection_id: int
    replica_id: int
    node_id: int
    rows: int
    memory_bytes: int
    cores: float


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeHeat:
    """A QueryNode: what the model expects it to burn, and what it was measured to burn (None: not measured).

    fixed_cores is the part of expected_cores that stays whatever is moved: idle CPU, growing segments, shard leaders.
    A saturated node cannot burn more: measured_cores is then a lower bound of what is asked of it.
    """

    pod: str
    node_id: int
    cpu_limit_cores: float | None
    expected_cores: float
    measured_cores: float | None
    fixed_cores: float = 0.0
    saturated: bool = False

    @property
    def expected_ratio(self) -> float | None:
        """Expected CPU over its limit."""
        return self.expected_cores / self.cpu_limit_cores if self.cpu_limit_cores else None


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionHeat:
    """A loaded collection. cores is over all QueryNodes and replicas, growing segments and shard leaders included.

    searches_per_second is None where the rate of a replica is unknown; what is unknown is in no figure.
    """

    collection_id: int
    database: str
    name: str
    searches_per_second: float | None
    cores: float
    share_ratio: float  # of the heat of all collections
    replicas: int
    segments: int
    busiest_node_id: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class HeatMap:
    """The heat of a cluster at one moment.

    error_ratio is the mean over the QueryNodes of |expected - measured| over the mean measured; None where too little
    was measured. gaps say what is missing, in words; with any, nothing is moved. notes say what was assumed. A copy of
    a segment whose rate is unknown is not among the segments: it has no heat, not a heat of 0.
    """

    at: datetime
    segments: tuple[SegmentHeat, ...] = ()
    nodes: tuple[NodeHeat, ...] = ()
    collections: tuple[CollectionHeat, ...] = ()
    error_ratio: float | None = None
    gaps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class HeatMemory:
    """What smoothing remembers from pass to pass; losing it costs a few half-lives, nothing else.

    rates: searches per second by (collection id, replica id); rated_at: when each was last measured. cores: CPU by
    Milvus node id. base_cores: CPU of a QueryNode without searches. cores_per_cost: CPU of one unit of search cost a
    second. The last two are None before anything was measured.
    """

    at: datetime
    rates: Mapping[tuple[int, int], float] = field(default_factory=dict)
    rated_at: Mapping[tuple[int, int], datetime] = field(default_factory=dict)
    cores: Mapping[int, float] = field(default_factory=dict)
    cores_per_cost: float | None = None
    base_cores: float | None = None
