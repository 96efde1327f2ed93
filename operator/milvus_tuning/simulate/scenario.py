"""A scenario: a cluster, its load over time, what goes wrong, the policy, and what is expected to come of it.

Scenario files are YAML, one story each, named as the sentence they prove (`adds_no_node_for_a_skew.yaml`). Times are
seconds since the start; load is what searches cost, in CPU cores over all QueryNodes, linear between its points.
"""

from __future__ import annotations

import enum
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.plan import Reason, StepKind, Verdict

GIB = 2**30


class ScenarioModel(BaseModel):
    """Base of the parts of a scenario: frozen, unknown fields refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelCollection(ScenarioModel):
    """A collection of the model cluster. weight is its part of what all searches cost, beside those of the others."""

    name: str
    segments: int = 1
    weight: float = 1.0


class ClusterModel(ScenarioModel):
    """The model cluster at the start. Without `collections` it has one, "model", of `segments`."""

    nodes: int = 2
    cpu_cores: float = 2.0
    memory_gib: float = 8.0
    base_memory_gib: float = 0.5
    segments: int = 24
    collections: tuple[ModelCollection, ...] = ()
    segment_rows: int = 100_000
    segment_mib: float = 64.0
    replicas: int = Field(default=1, description="In-memory replicas of each collection.")
    version: str = "2.3.5"
    grace_period_seconds: int = 1800
    start_seconds: float = Field(default=40.0, description="From the pod's creation until it serves.")
    handover_seconds: float = Field(default=18.0, description="Least time of a drain; measured on 2.3.5.")
    load_mib_per_second: float = 64.0

    @property
    def loaded(self) -> tuple[ModelCollection, ...]:
        """The collections; those without a list are one."""
        return self.collections or (ModelCollection(name="model", segments=self.segments),)

    @property
    def segment_count(self) -> int:
        """Segments of all collections."""
        return sum(collection.segments for collection in self.loaded)


class LoadPoint(ScenarioModel):
    """The searches cost so many cores from here on, changing evenly towards the next point."""

    at_seconds: float
    cores: float


class FaultKind(enum.StrEnum):
    """What goes wrong."""

    PROMETHEUS_DOWN = "PrometheusDown"
    STALE_SAMPLES = "StaleSamples"  # the values stand still and grow old
    SERIES_MISSING = "SeriesMissing"  # of `pod`
    MILVUS_DOWN = "MilvusDown"
    NO_ROOM = "NoRoom"  # new pods stay Pending
    HOT_NODE = "HotNode"  # searches cost `factor` times as much on `pod`
    AUTOSCALER = "Autoscaler"  # a HorizontalPodAutoscaler aims at the same Deployment
    LOADING = "Loading"  # Milvus loads a collection: a freeze
    OPERATOR_DOWN = "OperatorDown"  # no passes, memory lost
    CRASH_AFTER_CALL = "CrashAfterCall"  # the operator dies after its `number`-th call, before recording it
    APPROVE = "Approve"  # a person approves from then on: plan `number`, or each (0)
    REJECT = "Reject"
    CANCEL = "Cancel"
    SLOW = "Slow"  # searches take `factor` times as long, whatever the load
    FOREIGN_SCALE = "ForeignScale"  # somebody sets the replica count to `number` at from_seconds
    MOVE_BACK = "MoveBack"  # somebody moves every segment back to where it was at the start, at from_seconds


class Fault(ScenarioModel):
    """Something that goes wrong in [from_seconds, until_seconds)."""

    kind: FaultKind
    from_seconds: float = 0.0
    until_seconds: float = float("inf")
    pod: str | None = None
    factor: float = 1.0
    number: int = 0

    def active(self, at_seconds: float) -> bool:
        """Whether it is going on."""
        return self.from_seconds <= at_seconds < self.until_seconds


class Expectation(ScenarioModel):
    """What must hold at the end. What is unset is not checked."""

    final_count: int
    operations: int
    outcomes: tuple[Reason, ...] | None = None
    verdicts: tuple[Verdict, ...] | None = None
    peak_count: int | None = None
    seen_reasons: tuple[Reason, ...] = ()
    forbidden_reasons: tuple[Reason, ...] = ()
    calls: tuple[StepKind, ...] | None = Field(
        default=None, description="What was called, in order, without what was taken back; the same in a row once."
    )
    steady_tail_seconds: float = Field(default=600.0, description="No operation runs in the last so many seconds.")
    moved_segments: int | None = Field(default=None, description="Segments that are not where they were at the start.")
    apart: tuple[str, ...] = Field(default=(), description="Collections of one segment, on a node each.")
    unmoved: tuple[str, ...] = Field(default=(), description="Collections that are where they were at the start.")
    replicas: dict[str, int] = Field(default_factory=dict, description="In-memory replicas of collections at the end.")
    balances: bool = Field(default=True, description="Whether Milvus's balancer is on at the end.")
    together: tuple[str, ...] = Field(default=(), description="Collections of one segment, on one node.")
    keys: dict[str, str] | None = Field(default=None, description="What the operator has written to etcd at the end.")
    evicted: dict[str, int] | None = Field(default=None, description="Pods that were replaced, by component.")
    most_imbalance_percent: float = Field(default=25.0, description="Rows on the fullest node above the mean.")
    most_unserved_seconds: float = Field(default=0.0, description="Time with a segment that no node serves.")
    most_overloaded_seconds: float | None = Field(default=None, description="Time with more load than CPU.")


class Scenario(ScenarioModel):
    """One story."""

    summary: str
    cluster: ClusterModel = ClusterModel()
    load: Annotated[tuple[LoadPoint, ...], Field(min_length=1)]
    faults: tuple[Fault, ...] = ()
    spec: dict[str, Any]
    run_seconds: float = 3600.0
    interval_seconds: float = 15.0
    expect: Expectation

    def policy(self) -> MilvusTuningSpec:
        """The spec of the MilvusTuning; target and Prometheus are those of the model cluster unless named.

        Every risk approves itself unless the scenario says otherwise.
        """
        return MilvusTuningSpec.model_validate(
            {
                "targetRef": {"kind": "HelmRelease", "name": "model"},
                "mode": "Auto",
                "connections": {"prometheus": {"url": "http://prometheus:9090"}},
                "approval": {"automatic": {"maxRisk": "High"}},
                **self.spec,
            }
        )

    def cores(self, at_seconds: float) -> float:
        """What the searches cost at this time."""
        if at_seconds <= self.load[0].at_seconds:
            return self.load[0].cores
        for earlier, later in pairwise(self.load):
            if at_seconds < later.at_seconds:
                share = (at_seconds - earlier.at_seconds) / (later.at_seconds - earlier.at_seconds)
                return earlier.cores + share * (later.cores - earlier.cores)
        return self.load[-1].cores

    def active(self, kind: FaultKind, at_seconds: float) -> tuple[Fault, ...]:
        """The faults of this kind that are going on."""
        return tuple([fault for fault in self.faults if fault.kind is kind and fault.active(at_seconds)])


def read_scenario(path: Path) -> Scenario:
    """The scenario in a file; ValueError (pydantic's) names what is wrong in it."""
    return Scenario.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
