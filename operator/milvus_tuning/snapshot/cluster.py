"""Milvus itself: its QueryNodes, what is loaded where, and what its clients see."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from milvus_tuning.snapshot.sample import MISSING, Sample


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryNode:
    """One QueryNode: a pod, and the Milvus node behind it.

    node_id is None where pod and Milvus node could not be matched beyond doubt (the IP in system_info and the node_id
    in the pod's own metrics must agree); nothing acts on such a node.
    """

    pod: str
    pod_uid: str
    node_id: int | None
    ip: str
    ready: bool = True
    terminating: bool = False
    created_at: datetime | None = None
    grace_period_seconds: int = 30
    deletion_cost: int | None = None
    pending_reason: str | None = (
        None  # why it is not running yet, in Kubernetes' word: Unschedulable, ImagePullBackOff, ...
    )
    memory_limit_bytes: int | None = None
    cpu_limit_cores: float | None = None
    resident_memory_bytes: Sample = MISSING
    loaded_bytes: Sample = MISSING
    cpu_cores: Sample = MISSING
    read_concurrency: Sample = MISSING  # average over the query window, tasks
    read_concurrency_cap: int | None = None
    queue_latency_milliseconds: Sample = MISSING  # mean wait of a search task before it runs


class SegmentState(enum.StrEnum):
    """Whether a segment is immutable and movable, or still taking inserts."""

    SEALED = "Sealed"
    GROWING = "Growing"


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A loaded segment and the Milvus nodes that serve it (one per in-memory replica).

    memory_bytes is what Milvus says that it takes on one node; None where the version does not say (before 2.6).
    """

    segment_id: int
    collection_id: int
    rows: int
    node_ids: tuple[int, ...]
    state: SegmentState = SegmentState.SEALED
    partition_id: int | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Replica:
    """An in-memory replica: the set of QueryNodes that together hold one copy of a collection."""

    replica_id: int
    collection_id: int
    node_ids: tuple[int, ...]
    resource_group: str = "__default_resource_group"
    leaders: tuple[tuple[str, int], ...] = ()  # (channel, node id of the shard leader)


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionShape:
    """What searching a row of a collection depends on: its vectors and their index.

    dimension and vector_bytes are sums over the vector fields; index_type is the one of the largest field, in Milvus's
    word ("HNSW", "IVF_FLAT", "FLAT", "DISKANN", ...), "" where there is none yet.
    """

    dimension: int
    vector_bytes: int  # per row
    index_type: str = ""
    index_parameters: Mapping[str, str] = field(default_factory=dict)  # "nlist", "M", ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Collection:
    """A collection that is loaded, wholly or in part. shape is None where it was not read.

    consistency_level is its default one in Milvus's word ("Bounded"), None where it was not read: it is read of
    collections whose level a policy declares or has written.
    """

    collection_id: int
    name: str
    database: str = "default"
    load_percent: int = 100
    searches_per_second: Sample = MISSING
    shape: CollectionShape | None = None
    consistency_level: str | None = None

    @property
    def full_name(self) -> str:
        """Database and name, as people write it."""
        return f"{self.database}.{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeSearches:
    """Searches per second of one collection that one QueryNode carries out (from Milvus 2.4; before, nobody tells).

    As the QueryNode counts: one for each search and shard with segments there, one more where a shard leader's own
    growing segments are searched. So these are for comparing QueryNodes, not for adding up to what clients send.
    """

    node_id: int
    collection_id: int
    searches_per_second: Sample


@dataclass(frozen=True, kw_only=True, slots=True)
class ResourceGroup:
    """A set of QueryNodes that serves the replicas that were put into it, and no others."""

    name: str
    node_ids: tuple[int, ...] = ()
    capacity: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """What the clients of the cluster see, measured at the proxies."""

    searches_per_second: Sample = MISSING
    p99_milliseconds: Sample = MISSING
    mean_milliseconds: Sample = MISSING
    failed_per_second: Sample = MISSING
