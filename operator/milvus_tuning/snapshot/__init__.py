"""Frozen facts about one Milvus cluster at one moment.

`observe` fills these types from Kubernetes, Milvus and Prometheus; `decide` reads them and nothing else. A number that
was measured is a `Sample`: its value, how old it is, and which share of the series that should be there was there.
Missing is not zero: `Sample.missing()` has no value, and no decision may read one as 0.

A snapshot has one JSON form (`snapshot_json`), used for recording, replay and support.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from milvus_tuning.snapshot.cluster import (
    Collection,
    CollectionShape,
    NodeSearches,
    QueryNode,
    Replica,
    ResourceGroup,
    Segment,
    SegmentState,
    Traffic,
)
from milvus_tuning.snapshot.configuration import EtcdSetting, OwnedKey, OwnedLevel, ReadBack, ResourceConfig
from milvus_tuning.snapshot.install import COORDINATORS, MIX_COORD, ComponentPod, Scheduling, Workload, WorkloadKind
from milvus_tuning.snapshot.sample import MISSING, Sample
from milvus_tuning.snapshot.trouble import Freeze, FreezeReason, Problem, ProblemKind

__all__ = [
    "COORDINATORS",
    "MISSING",
    "MIX_COORD",
    "Collection",
    "CollectionShape",
    "ComponentPod",
    "EtcdSetting",
    "Freeze",
    "FreezeReason",
    "NodeSearches",
    "OwnedKey",
    "OwnedLevel",
    "Problem",
    "ProblemKind",
    "QueryNode",
    "ReadBack",
    "Replica",
    "ResourceConfig",
    "ResourceGroup",
    "Sample",
    "Scheduling",
    "Segment",
    "SegmentState",
    "Snapshot",
    "Traffic",
    "Workload",
    "WorkloadKind",
]


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
