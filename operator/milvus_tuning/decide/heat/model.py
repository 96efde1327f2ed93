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
    """A QueryNode: what the model expects it to burn, and what it was measured to burn (None: not measured)."""

    pod: str
    node_id: int
    cpu_limit_cores: float | None
    expected_cores: float
    measured_cores: float | None

    @property
    def expected_ratio(self) -> float | None:
        """Expected CPU over its limit."""
        return self.expected_cores / self.cpu_limit_cores if self.cpu_limit_cores else None


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionHeat:
    """A loaded collection. cores is over all QueryNodes and replicas."""

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
    was measured. gaps say what is missing, in words; with any, nothing is moved.
    """

    at: datetime
    segments: tuple[SegmentHeat, ...] = ()
    nodes: tuple[NodeHeat, ...] = ()
    collections: tuple[CollectionHeat, ...] = ()
    error_ratio: float | None = None
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class HeatMemory:
    """What smoothing remembers from pass to pass; losing it costs a few half-lives, nothing else.

    rates: searches per second by (collection id, replica id). base_cores: CPU of a QueryNode without searches.
    cores_per_cost: CPU of one unit of search cost (None before anything was measured).
    """

    at: datetime
    rates: Mapping[tuple[int, int], float] = field(default_factory=dict)
    cores_per_cost: float | None = None
    base_cores: float | None = None
