"""What a user declares: the target, how far the operator goes, bounds, thresholds and settings."""

from __future__ import annotations

import enum
import re
from datetime import datetime
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from milvus_tuning.api.base import ApiModel, NodeCount, ObjectName, Percent, Rule, Seconds
from milvus_tuning.api.connections import Connections
from milvus_tuning.api.placement import HotSegmentsMode, InMemoryReplicas, LoadBalancing
from milvus_tuning.api.settings import Compression, ConfigOverrides, Consistency, Network, Profile, Storage
from milvus_tuning.api.target import RESOURCE_ROAD, ConfigDelivery, TargetKind, TargetReference


class Mode(enum.StrEnum):
    """How far the operator goes by itself."""

    OBSERVE = "Observe"
    PROPOSE = "Propose"
    AUTO = "Auto"


class MaxRisk(enum.StrEnum):
    """The highest risk that approves itself. Low: a live setting in its known range. Medium: also a QueryNode more.

    High: also a QueryNode less, consistency, a restart.
    """

    LOW = "Low"
    MEDIUM = "Medium"
    HIGH = "High"


class Objectives(ApiModel):
    """What good looks like.

    Objectives are reported against; only nodeImbalancePercent enters decisions, as the skew test.
    """

    search_latency_p99_milliseconds: int | None = Field(
        default=None, ge=1, le=600_000, description="99 of 100 searches are to be answered within this time."
    )
    searches_per_second: int | None = Field(
        default=None, ge=1, le=10_000_000, description="Searches per second that the cluster is to carry."
    )
    node_imbalance_percent: int = Field(
        default=20,
        ge=1,
        le=1000,
        description="How far the busiest QueryNode may be above the mean before load counts as skewed.",
    )


class ScaleOut(ApiModel):
    """When QueryNodes are added, and how many at once."""

    capacity_above_percent: Percent = Field(default=80, description="Memory of the fullest node over its limit.")
    capacity_window_seconds: Seconds = Field(
        default=600, description="How long capacity must stay above; at 100 percent it acts at once."
    )
    computation_above_percent: Percent = Field(
        default=60, description="Computation (CPU over its limit, read concurrency over its cap) of the QueryNodes."
    )
    computation_window_seconds: Seconds = Field(default=120, description="How long computation must stay above.")
    max_step: NodeCount = Field(default=2, description="Most QueryNodes added by one operation.")
    cooldown_seconds: Seconds = Field(default=300, description="Rest after an operation before QueryNodes are added.")
    ready_deadline_seconds: Annotated[int, Field(ge=10, le=86_400)] = Field(
        default=900, description="When the new QueryNodes do not serve by then the former size is restored."
    )


class ScaleIn(ApiModel):
    """When QueryNodes are taken away; always one at a time."""

    capacity_below_percent: Percent = Field(default=60, description="Memory of the fullest node over its limit.")
    capacity_window_seconds: Seconds = Field(default=1800, description="How long capacity must stay below.")
    computation_below_percent: Percent = Field(default=40, description="Computation of the QueryNodes, as in scaleOut.")
    computation_window_seconds: Seconds = Field(default=600, description="How long computation must stay below.")
    cooldown_seconds: Seconds = Field(
        default=600, description="Rest after an operation before a QueryNode is taken away."
    )
    drain_deadline_seconds: Annotated[int, Field(ge=10, le=86_400)] = Field(
        default=1800, description="When the node has not handed over its segments by then, DrainStuck is reported."
    )
    load_bytes_per_second: Annotated[int, Field(ge=1, le=100_000_000_000)] = Field(
        default=20_000_000,
        description="Assumed speed at which the remaining nodes load what the leaving one holds; used with a factor of "
        "two to check the pod's grace period.",
    )


class ZonePreference(enum.StrEnum):
    """Whose zone QueryNodes prefer."""

    WITH_PROXIES = "WithProxies"
    WITH_QUERY_NODES = "WithQueryNodes"


class QueryNodes(ApiModel):
    """Bounds and rules for the number of QueryNodes."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.minCount <= self.maxCount", "minCount must not be above maxCount"),
        Rule(
            "self.scaleIn.computationBelowPercent < self.scaleOut.computationAbovePercent",
            "scaleIn.computationBelowPercent must be below scaleOut.computationAbovePercent, or the count would swing",
        ),
        Rule(
            "self.scaleIn.capacityBelowPercent < self.scaleOut.capacityAbovePercent",
            "scaleIn.capacityBelowPercent must be below scaleOut.capacityAbovePercent, or the count would swing",
        ),
    )

    min_count: NodeCount = Field(description="Fewest QueryNodes that the operator scales in to.")
    max_count: NodeCount = Field(description="Most QueryNodes that the operator scales out to.")
    capacity_target_percent: Percent = Field(
        default=70, description="Memory use per node that a new size is computed for."
    )
    computation_target_percent: Percent = Field(
        default=50, description="Computation per node that a new size is computed for."
    )
    read_concurrency_percent: int | None = Field(
        default=None,
        ge=10,
        le=1000,
        description="Searches and queries that a QueryNode carries out at once, in percent of its CPUs.",
    )
    zone_preference: ZonePreference | None = Field(
        default=None,
        description="The zone that QueryNodes prefer, and never require: that of the proxies, or of each other. Saves "
        "traffic and latency between zones; the loss of a zone then takes more QueryNodes at once, and with all of "
        "them in one zone no in-memory replica survives it. Setting, changing and removing it replaces every "
        "QueryNode.",
    )
    tolerance_percent: Annotated[int, Field(ge=0, le=50)] = Field(
        default=10, description="A ratio of measured to target this close to 1 changes nothing."
    )
    override: ManualOverride | None = None
    scale_out: ScaleOut = Field(default_factory=ScaleOut)
    scale_in: ScaleIn = Field(default_factory=ScaleIn)

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.min_count > self.max_count:
            raise ValueError("minCount must not be above maxCount")
        if self.scale_in.computation_below_percent >= self.scale_out.computation_above_percent:
            raise ValueError("scaleIn.computationBelowPercent must be below scaleOut.computationAbovePercent")
        if self.scale_in.capacity_below_percent >= self.scale_out.capacity_above_percent:
            raise ValueError("scaleIn.capacityBelowPercent must be below scaleOut.capacityAbovePercent")
        return self


class AutomaticApproval(ApiModel):
    """What mode Auto may do by itself; a plan beyond any of these bounds waits for a person."""

    max_risk: MaxRisk = Field(default=MaxRisk.MEDIUM, description="The highest risk class that approves itself.")
    max_nodes_added: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=2, description="Most QueryNodes that one plan may add by itself."
    )
    max_moves: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description="Most segments that one plan may move by itself, those of a leaving QueryNode included.",
    )
    max_actions_per_hour: Annotated[int, Field(ge=1, le=60)] = Field(
        default=6, description="With so many plans begun within the hour, whoever approved them, none approves itself."
    )


class Approval(ApiModel):
    """What happens without a person, and what a person said in Git. Changing it needs the right to approve plans."""

    automatic: AutomaticApproval = Field(default_factory=AutomaticApproval)
    approved_plans: list[ObjectName] | None = Field(
        default=None, max_length=20, description="Names of plans that are approved: the road for GitOps."
    )
    expiry_minutes: Annotated[int, Field(ge=1, le=10_080)] = Field(
        default=60, description="A plan that was not begun by then expires."
    )


class Verification(ApiModel):
    """How the effect of a change is judged: the window before it against the window after it."""

    window_seconds: Annotated[int, Field(ge=10, le=3600)] = Field(
        default=180, description="Length of the windows that are compared."
    )
    settle_seconds: Annotated[int, Field(ge=0, le=3600)] | None = Field(
        default=None,
        description="Time between the last step and the beginning of the second window. Unset: 30, and 100 after a "
        "write to spec.config of a Milvus object, which takes so long to reach running pods.",
    )
    latency_tolerance_percent: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=20, description="The mean latency may be this much higher before the change is taken back."
    )
    failure_tolerance_per_million: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        default=1000, description="So many more failed searches of a million are tolerated."
    )
    slow_tolerance_per_million: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        default=50_000, description="So many more searches of a million may be slower than the objective."
    )
    load_tolerance_percent: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=25, description="With a load that changed by more, the comparison says nothing."
    )


CRON = r"^[0-9A-Za-z*,/#-]+( +[0-9A-Za-z*,/#-]+){4}$"
"""The shape of five cron fields; whether each is in its range, the operator says."""

ZONE = r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$"
"""The shape of a name of the IANA time zone database."""


class WindowAction(enum.StrEnum):
    """What a maintenance window allows."""

    SCALE_OUT = "ScaleOut"
    SCALE_IN = "ScaleIn"
    SET_CONFIG = "SetConfig"
    MOVE_SEGMENTS = "MoveSegments"
    SET_REPLICA_NUMBER = "SetReplicaNumber"
    RESTART = "Restart"


class MaintenanceWindow(ApiModel):
    """A time in which what it names may happen by itself.

    What no window names is bound to no time. What a window names happens by itself only while a window that names it
    is open; a plan that a person approved waits for none.
    """

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            f"self.schedule.matches('{CRON}')",
            "schedule must be five cron fields, minute hour day month weekday, such as 0 2 * * 6",
        ),
        Rule(f"self.timeZone.matches('{ZONE}')", "timeZone must be an IANA name, such as Europe/Berlin"),
    )

    name: Annotated[str, Field(min_length=1, max_length=63)] = Field(description="What status calls it.")
    schedule: Annotated[str, Field(min_length=9, max_length=128)] = Field(
        description="When it opens: five cron fields, minute hour day month weekday."
    )
    duration_minutes: Annotated[int, Field(ge=1, le=10_080)] = Field(description="How long it stays open.")
    time_zone: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        default="UTC", description="IANA name, such as Europe/Berlin."
    )
    allows: list[WindowAction] = Field(min_length=1, max_length=10, description="What may happen in it by itself.")

    @model_validator(mode="after")
    def _shapes(self) -> Self:
        if not re.fullmatch(CRON, self.schedule):
            raise ValueError("schedule must be five cron fields, minute hour day month weekday, such as 0 2 * * 6")
        if not re.fullmatch(ZONE, self.time_zone):
            raise ValueError("timeZone must be an IANA name, such as Europe/Berlin")
        return self


class ManualOverride(ApiModel):
    """A number of QueryNodes set by hand for a time; the rules are silent until it expires."""

    count: NodeCount = Field(description="QueryNodes to have meanwhile; minCount and maxCount do not bind it.")
    expires_at: Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})] = Field(
        description="RFC 3339 time with its zone, such as 2026-01-02T15:04:05Z, from which the rules count again."
    )

    @model_validator(mode="after")
    def _time(self) -> Self:
        try:
            zone = datetime.fromisoformat(self.expires_at.upper()).tzinfo
        except ValueError:
            zone = None
        if zone is None:
            raise ValueError("expiresAt must be a time with its zone, such as 2026-01-02T15:04:05Z")
        return self


class MilvusTuningSpec(ApiModel):
    """What the operator should care about for one Milvus cluster. What is not declared is not touched."""

    target_ref: TargetReference
    mode: Mode = Field(
        default=Mode.OBSERVE,
        description="Observe: report only. Propose: each change waits as a MilvusTuningPlan for approval. Auto: a plan "
        "within approval.automatic approves itself.",
    )
    paused: bool = Field(
        default=False,
        strict=True,
        description="Start nothing new; an operation already under way is finished or restored.",
    )
    profile: Profile | None = None
    connections: Connections | None = None
    objectives: Objectives | None = None
    query_nodes: QueryNodes | None = None
    load_balancing: LoadBalancing | None = None
    in_memory_replicas: InMemoryReplicas | None = None
    network: Network | None = None
    storage: Storage | None = None
    consistency: Consistency | None = None
    config_overrides: ConfigOverrides | None = Field(
        default=None,
        description="Expert: real keys of Milvus that no other field covers, their values as text. Each is checked "
        "against the running version; what cannot act is refused with the reason.",
    )
    config_delivery: ConfigDelivery | None = Field(
        default=None,
        description="Where configuration keys are written. Etcd (also where it is unset): Milvus's own etcd, which "
        "goes before all else and is read within seconds. MilvusResource: the leaves of spec.config of the Milvus "
        "object, for targetRef.kind Milvus only; running pods re-read them within two minutes, from Milvus 2.4.5 on. "
        "What is held on the other road is handed back there first. placementOwner Operator and the levels of "
        "collections need etcd either way.",
    )
    approval: Approval | None = None
    verification: Verification | None = None
    maintenance_windows: list[MaintenanceWindow] | None = Field(
        default=None,
        max_length=10,
        json_schema_extra={"x-list-map-keys": ["name"]},
        description="When what they name may happen by itself; without any, nothing is bound to a time.",
    )

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.configDelivery) || self.configDelivery != 'MilvusResource' || self.targetRef.kind == 'Milvus'",
            RESOURCE_ROAD,
        ),
        Rule(
            "!has(self.queryNodes) || (has(self.connections) && has(self.connections.prometheus))",
            "queryNodes needs connections.prometheus: the number of QueryNodes is decided from its series",
        ),
        Rule(
            "!has(self.loadBalancing) || !has(self.loadBalancing.hotSegments) || "
            "self.loadBalancing.hotSegments.mode == 'Off' || "
            "(has(self.connections) && has(self.connections.prometheus))",
            "loadBalancing.hotSegments needs connections.prometheus: heat is estimated from its series",
        ),
        Rule(
            "!has(self.inMemoryReplicas) || (has(self.connections) && has(self.connections.prometheus))",
            "inMemoryReplicas needs connections.prometheus: the number of replicas is decided from its series",
        ),
    )

    @property
    def needs_heat(self) -> bool:
        """Whether something is declared that is decided from the cost of searches: hot segments, in-memory replicas."""
        hot = self.load_balancing.hot_segments if self.load_balancing else None
        return self.in_memory_replicas is not None or (hot is not None and hot.mode is not HotSegmentsMode.OFF)

    @property
    def needs_shapes(self) -> bool:
        """Whether something is declared that is decided from the vectors of collections: heat, compression Auto."""
        automatic = self.network is not None and self.network.compression is Compression.AUTO
        return self.needs_heat or automatic

    @model_validator(mode="after")
    def _road(self) -> Self:
        if self.config_delivery is ConfigDelivery.MILVUS_RESOURCE and self.target_ref.kind is not TargetKind.MILVUS:
            raise ValueError(RESOURCE_ROAD)
        return self

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [window.name for window in self.maintenance_windows or ()]
        if len(names) != len(set(names)):
            raise ValueError("maintenanceWindows must have different names")
        return self

    @model_validator(mode="after")
    def _measured(self) -> Self:
        if self.connections is not None and self.connections.prometheus is not None:
            return self
        hot = self.load_balancing.hot_segments if self.load_balancing else None
        if self.query_nodes is not None:
            raise ValueError(
                "queryNodes needs connections.prometheus: the number of QueryNodes is decided from its series"
            )
        if hot is not None and hot.mode is not HotSegmentsMode.OFF:
            raise ValueError(
                "loadBalancing.hotSegments needs connections.prometheus: heat is estimated from its series"
            )
        if self.in_memory_replicas is not None:
            raise ValueError(
                "inMemoryReplicas needs connections.prometheus: the number of replicas is decided from its series"
            )
        return self
