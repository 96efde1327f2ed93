"""Frozen facts about one Milvus cluster at one moment.

`observe` fills these types from Kubernetes, Milvus and Prometheus; `decide` reads them and nothing else. A number that
was measured is a `Sample`: its value, how old it is, and which share of the series that should be there was there.
Missing is not zero: `Sample.missing()` has no value, and no decision may read one as 0.

A snapshot has one JSON form (`snapshot_json`), used for recording, replay and support.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One measured number.

    value is None where nothing usable was measured (absent, NaN, infinite); age_seconds is the age of the oldest part
    that went into it; coverage is the share (0 to 1) of the expected series that contributed.
    """

    value: float | None
    age_seconds: float = 0.0
    coverage: float = 1.0

    @classmethod
    def missing(cls) -> Sample:
        """The sample that holds nothing."""
        return cls(value=None, age_seconds=0.0, coverage=0.0)

    def usable(self, *, max_age_seconds: float, min_coverage: float) -> float | None:
        """The value, or None when it is absent, too old, or covers too few of its series."""
        if self.age_seconds > max_age_seconds or self.coverage < min_coverage:
            return None
        return self.value


MISSING = Sample.missing()


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


class WorkloadKind(enum.StrEnum):
    """The kind of object whose replica count is written, and only it."""

    DEPLOYMENT = "Deployment"  # a Helm release: the chart's QueryNode Deployment
    MILVUS = "Milvus"  # milvus-operator: the custom resource, never its Deployments


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """The owner of the QueryNode pods: what was asked of it and what came of it.

    desired, ready and serving are counted apart: desired is what the owning resource asks for, ready are pods that
    Kubernetes calls Ready, serving are QueryNodes that Milvus itself counts as members and that are not leaving.
    """

    kind: WorkloadKind
    namespace: str
    name: str
    desired_count: int
    ready_count: int
    serving_count: int | None = None
    resource_version: str = ""
    rollout_in_progress: bool = False
    replicas_owner: str | None = None  # field manager that owns the replica count, e.g. "helm"
    autoscalers: tuple[str, ...] = ()  # "HorizontalPodAutoscaler/name" or "ScaledObject/name" aimed at it
    foreign_reverts: int = 0  # how often somebody else put back what we wrote, within the last hour


@dataclass(frozen=True, kw_only=True, slots=True)
class Scheduling:
    """Which zone the owner of the QueryNodes has them prefer.

    preference is the policy's word for what stands in the field (WithProxies, WithQueryNodes); None where nothing does,
    or something else. ours tells that we wrote it. others is what somebody else has there that speaks against writing
    it, in words. all_at_once tells that its owner would replace all QueryNodes at the same time for it.
    """

    preference: str | None = None
    ours: bool = False
    others: tuple[str, ...] = ()
    all_at_once: bool = False


class FreezeReason(enum.StrEnum):
    """Why nothing may be started now, by what is going on in the cluster."""

    LOADING = "Loading"
    DRAINING = "Draining"
    ROLLOUT = "RolloutInProgress"
    COORDINATOR_NOT_READY = "CoordinatorNotReady"
    COORDINATOR_RESTARTED = "CoordinatorRestarted"  # a failover: it collects anew who serves what
    IMPORTING = "Importing"
    INDEXING = "IndexBuilding"  # heavily
    COMPACTING = "Compacting"  # heavily
    SEARCHES_FAILING = "SearchesFailing"  # holds what could not be the cure: decide/running/failing.py
    WRITES_DENIED = "WritesDenied"
    PAUSED_BY_OWNER = "PausedByOwner"
    FROZEN_BY_USER = "FrozenByUser"  # for a backup, for example: an annotation of the policy with an end


@dataclass(frozen=True, kw_only=True, slots=True)
class Freeze:
    """One reason to hold still, with the facts in words."""

    reason: FreezeReason
    message: str


class ProblemKind(enum.StrEnum):
    """What kept a part of the observation from being made, or makes the target one we must not touch."""

    TARGET_NOT_FOUND = "TargetNotFound"
    TARGET_AMBIGUOUS = "TargetAmbiguous"
    TARGET_UNSUPPORTED = "TargetUnsupported"
    MILVUS_UNREACHABLE = "MilvusUnreachable"
    MILVUS_CREDENTIALS_REJECTED = "MilvusCredentialsRejected"
    PROMETHEUS_UNREACHABLE = "PrometheusUnreachable"
    PROMETHEUS_CREDENTIALS_REJECTED = "PrometheusCredentialsRejected"
    METRICS_MISSING = "MetricsMissing"
    ETCD_UNREACHABLE = "EtcdUnreachable"
    SECRET_NOT_FOUND = "SecretNotFound"
    PERMISSION_DENIED = "PermissionDenied"
    INVALID_CONNECTION = "InvalidConnection"
    VERSION_UNKNOWN = "VersionUnknown"
    VERSION_UNSUPPORTED = "VersionUnsupported"
    NODE_IDENTITY_UNKNOWN = "NodeIdentityUnknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Something that could not be observed: what was tried, on what, and what to do about it."""

    kind: ProblemKind
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EtcdSetting:
    """A key under `<rootPath>/config/` in Milvus's etcd, as stored; or a leaf of `spec.config` of a Milvus object.

    spellings lists every stored spelling of the same key (Milvus ignores case, dots, slashes and underscores); more
    than one makes the effective value a matter of chance.
    """

    key: str
    value: str
    spellings: tuple[str, ...]
    revision: int
    leased: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnedKey:
    """A configuration key that a policy of ours wrote: what it was before (None: absent), and what was written.

    written_at is the moment before the write; None where the record does not say. A process that started later than
    that has read what was written.
    """

    previous: str | None
    written: str | None
    written_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ResourceConfig:
    """The leaves of `spec.config` of the Milvus object, and what policies of ours wrote there.

    Both by key as in Snapshot. rendered is what the ConfigMap that milvus-operator makes of it says, as text, None
    where it could not be read. trouble: why nothing may be written there, None where it may.
    """

    settings: Mapping[str, EtcdSetting] = field(default_factory=dict)
    owned_keys: Mapping[str, Mapping[str, OwnedKey]] = field(default_factory=dict)
    rendered: Mapping[str, str] | None = None
    trouble: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnedLevel:
    """The default consistency level of a collection that a policy of ours wrote: what it was before.

    written are the levels that are ours where they are found; two while the one is being replaced by the other.
    """

    database: str
    collection: str
    previous: str
    written: tuple[str, ...]

    @property
    def full_name(self) -> str:
        """Database and name, as people write it."""
        return f"{self.database}.{self.collection}"


MIX_COORD = "MixCoord"
COORDINATORS = ("RootCoord", "QueryCoord", "DataCoord", "IndexCoord")
"""The components that an install runs by themselves, or all in MixCoord."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ComponentPod:
    """A pod of the install, of any component.

    component is the catalogue's word: QueryNode, Proxy, MixCoord, QueryCoord, RootCoord, DataCoord, IndexCoord,
    DataNode, IndexNode, StreamingNode. started_at is since when its container runs: its configuration is of then.
    zone is where Kubernetes says so on the pod (from 1.35 on). zone_preference is the one that it was placed with, in
    the policy's word. outgoing tells that milvus-operator moves the component away from this pod's slot.
    """

    component: str
    pod: str
    pod_uid: str
    ready: bool = True
    terminating: bool = False
    created_at: datetime | None = None
    started_at: datetime | None = None
    grace_period_seconds: int = 30
    zone: str | None = None
    zone_preference: str | None = None
    outgoing: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadBack:
    """What a running process says of its configuration: values by normalised key, of the sources that it reads.

    A key of its code's defaults alone is not in there. asked are the keys, normalised, that it was asked for: one of
    them without a value is one that it does not have; of others nothing is known. acting are those whose value was seen
    in what the process does (a probe): it is in force, also where the key is read at start.
    """

    pod: str
    values: Mapping[str, str]
    asked: tuple[str, ...] = ()
    acting: tuple[str, ...] = ()

    def tells(self, key: str) -> bool:
        """Whether it said anything of a normalised key, if only that it has none; older recordings have values only."""
        return key in self.values or key in self.asked


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """Everything known about one Milvus cluster at `taken_at` (UTC)."""

    taken_at: datetime
    workload: Workload | None = None
    scheduling: Scheduling | None = None  # None also where the owner has no such field that we write
    milvus_version: str | None = None
    query_nodes: tuple[QueryNode, ...] = ()
    collections: tuple[Collection, ...] = ()
    replicas: tuple[Replica, ...] = ()
    segments: tuple[Segment, ...] = ()
    placement_coverage: float = 1.0  # share of the loaded collections whose replicas and segments are known and recent
    node_searches: tuple[NodeSearches, ...] = ()
    resource_groups: tuple[ResourceGroup, ...] = ()
    traffic: Traffic = field(default_factory=Traffic)
    settings: Mapping[str, EtcdSetting] = field(default_factory=dict)  # by normalised key; empty when etcd was not read
    settings_readable: bool = False
    owned_keys: Mapping[str, Mapping[str, OwnedKey]] = field(default_factory=dict)  # policy uid -> key -> record
    owned_levels: Mapping[str, tuple[OwnedLevel, ...]] = field(default_factory=dict)  # by policy uid
    etcd_root_path: str | None = None
    resource_config: ResourceConfig | None = None  # where the target is a Milvus object
    components: tuple[ComponentPod, ...] = ()
    read_back: tuple[ReadBack, ...] = ()
    install_config: Mapping[str, str] = field(default_factory=dict)  # by normalised key: files of the install
    environment_config: Mapping[str, str] = field(default_factory=dict)  # likewise: set by environment variables
    link_bits_per_second: Sample = MISSING  # of the slowest machine
    network_share: Sample = MISSING  # of the latency of searches, 0 to 1
    freezes: tuple[Freeze, ...] = ()
    problems: tuple[Problem, ...] = ()

    def problem(self, *kinds: ProblemKind) -> Problem | None:
        """The first problem of one of these kinds, or None."""
        return next((problem for problem in self.problems if problem.kind in kinds), None)

    @property
    def members(self) -> tuple[QueryNode, ...]:
        """The QueryNodes that serve and stay: ready, not terminating."""
        return tuple(node for node in self.query_nodes if node.ready and not node.terminating)
