"""The API, written once: MilvusTuning (group milvustuning.io, version v1alpha1) as pydantic models.

`crd.py` turns these models into the structural schema with its CEL rules, `make manifests` writes the CRD from it, and
the operator parses objects with them: what the API server admits and what the operator reads are one definition.

A field that is unset is unmanaged: the operator neither reads it as a default nor writes what it stands for. Defaults
inside a declared block (windows, thresholds) are those of docs.zilliz.com/docs/auto-scaling, the managed service's own.
Integers carry their unit in the name; there are no floats.
"""

from __future__ import annotations

import enum
from typing import Annotated, Any, ClassVar, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

GROUP = "milvustuning.io"
VERSION = "v1alpha1"
PLURAL = "milvustunings"
KIND = "MilvusTuning"
SHORT_NAME = "mvt"
FINALIZER = f"{GROUP}/finalizer"
FIELD_MANAGER = GROUP


class Rule(NamedTuple):
    """A CEL rule of the CRD: the expression over `self`, and what a user is told when it is false."""

    expression: str
    message: str


def _add_cel_rules(schema: dict[str, Any], model: type[BaseModel]) -> None:
    rules: tuple[Rule, ...] = getattr(model, "cel_rules", ())
    if rules:
        schema["x-kubernetes-validations"] = [{"rule": rule.expression, "message": rule.message} for rule in rules]


class ApiModel(BaseModel):
    """Base of all API types: camelCase outside, frozen, unknown fields refused.

    cel_rules become `x-kubernetes-validations` of the type; each has its twin in a validator here (except those over
    `oldSelf`, which only the API server can see), because an object may have reached the operator past the API server's
    checks (an older CRD, a direct restore).
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        json_schema_extra=_add_cel_rules,
    )
    cel_rules: ClassVar[tuple[Rule, ...]] = ()


Percent = Annotated[int, Field(ge=1, le=100)]
Seconds = Annotated[int, Field(ge=0, le=86_400)]
NodeCount = Annotated[int, Field(ge=1, le=1000)]
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]


class TargetKind(enum.StrEnum):
    """What installed the Milvus cluster."""

    MILVUS = "Milvus"
    HELM_RELEASE = "HelmRelease"


class Mode(enum.StrEnum):
    """How far the operator goes by itself."""

    OBSERVE = "Observe"
    AUTO = "Auto"


class TargetReference(ApiModel):
    """The Milvus cluster to tune, in the namespace of the MilvusTuning itself."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.kind == 'HelmRelease' || !has(self.allowHelmOwnedFields)",
            "allowHelmOwnedFields goes with kind HelmRelease only",
        ),
        Rule(
            "self.kind == oldSelf.kind && self.name == oldSelf.name",
            "targetRef is immutable: delete the MilvusTuning and create another one",
        ),
    )

    kind: TargetKind = Field(
        description="Milvus: a custom resource of milvus-operator. HelmRelease: an install of the Milvus Helm chart."
    )
    name: ObjectName = Field(description="Name of the Milvus object, or of the Helm release.")
    allow_helm_owned_fields: bool | None = Field(
        default=None,
        strict=True,
        description="Write the QueryNode Deployment's replica count although Helm renders it. A later helm upgrade "
        "puts its own value back (Helm 3) or fails with a conflict (Helm 4). Setting queryNode.replicas to -1 in the "
        "chart's values avoids both.",
    )

    @model_validator(mode="after")
    def _only_for_helm(self) -> Self:
        if self.allow_helm_owned_fields is not None and self.kind is not TargetKind.HELM_RELEASE:
            raise ValueError("allowHelmOwnedFields goes with kind HelmRelease only")
        return self


class SecretKeyReference(ApiModel):
    """A key of a Secret in the namespace of the MilvusTuning."""

    name: ObjectName = Field(description="Name of the Secret, in this object's namespace.")
    key: str = Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$", description="Key inside the Secret.")


class Tls(ApiModel):
    """How to verify a server, and which certificate to show it."""

    ca_secret_ref: SecretKeyReference | None = Field(
        default=None, description="PEM bundle of the certificate authority to trust."
    )
    server_name: str | None = Field(
        default=None, min_length=1, max_length=253, description="Name to verify in place of the host of the address."
    )


class MilvusConnection(ApiModel):
    """Where the Milvus proxy is; found from the target where unset."""

    uri: str | None = Field(
        default=None,
        max_length=512,
        pattern=r"^https?://[^/@\s]+$",
        description="http://host:port or https://host:port of the proxy, without user or path.",
    )
    credentials_secret_ref: SecretKeyReference | None = Field(
        default=None, description="Holds username:password, or a token."
    )
    tls: Tls | None = None


class EtcdConnection(ApiModel):
    """Where Milvus's etcd is; found from the target's own configuration where unset."""

    endpoints: list[Annotated[str, Field(min_length=1, max_length=512, pattern=r"^(https?://)?[^/@\s]+$")]] | None = (
        Field(
            default=None, min_length=1, max_length=16, description="host:port, or with http:// or https:// before it."
        )
    )
    root_path: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=r"^[^\s/][^\s]*$",
        description="etcd.rootPath of the Milvus cluster.",
    )
    credentials_secret_ref: SecretKeyReference | None = Field(default=None, description="Holds username:password.")
    tls: Tls | None = None


class PrometheusLabels(ApiModel):
    """Names of the labels that the scrape configuration gives to every series."""

    pod: str = Field(
        default="pod",
        max_length=128,
        pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$",
        description="Label that holds the pod's name.",
    )
    namespace: str = Field(
        default="namespace",
        max_length=128,
        pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$",
        description="Label that holds the pod's namespace.",
    )


class PrometheusConnection(ApiModel):
    """Where the series of the cluster are. Without it nothing is scaled."""

    url: str = Field(
        max_length=512,
        pattern=r"^https?://[^@\s]+$",
        description="Base address of the Prometheus HTTP API, without user.",
    )
    labels: PrometheusLabels = Field(default_factory=PrometheusLabels)
    matchers: (
        dict[
            Annotated[str, Field(max_length=128, pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")],
            Annotated[str, Field(max_length=253)],
        ]
        | None
    ) = Field(
        default=None,
        max_length=8,
        description="Further label values that every series must have, for a Prometheus that several Kubernetes "
        "clusters share.",
    )
    credentials_secret_ref: SecretKeyReference | None = Field(
        default=None, description="Holds username:password, or a bearer token."
    )
    tls: Tls | None = None


class Connections(ApiModel):
    """Addresses of, and credentials for, what the operator talks to.

    Credentials are sent to the address beside them and nowhere else.
    """

    milvus: MilvusConnection | None = None
    etcd: EtcdConnection | None = None
    prometheus: PrometheusConnection | None = None


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
    tolerance_percent: Annotated[int, Field(ge=0, le=50)] = Field(
        default=10, description="A ratio of measured to target this close to 1 changes nothing."
    )
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


class PlacementOwner(enum.StrEnum):
    """Who decides on which QueryNode a segment lives."""

    MILVUS = "Milvus"
    OPERATOR = "Operator"


class LoadBalancing(ApiModel):
    """How Milvus balances segments.

    Each intent is carried out by the key that acts in the running version, or reported as Unsupported.
    """

    placement_owner: PlacementOwner | None = Field(
        default=None, description="Operator: Milvus's own balancer is held off under a lease while this object exists."
    )
    balance_interval_seconds: int | None = Field(
        default=None, ge=1, le=3600, description="Least time between two rounds of Milvus's balancer."
    )
    balance_tolerance_percent: int | None = Field(
        default=None, ge=1, le=100, description="Difference of row counts that Milvus's balancer leaves alone."
    )
    overloaded_memory_percent: int | None = Field(
        default=None,
        ge=50,
        le=95,
        description="Memory use above which a QueryNode refuses to load more (a load guard, not a balance trigger).",
    )


class AutomaticApproval(ApiModel):
    """What mode Auto may do by itself."""

    max_actions_per_hour: Annotated[int, Field(ge=1, le=60)] = Field(
        default=6, description="Operations that may be begun in any hour; further ones wait."
    )


class Approval(ApiModel):
    """Bounds on what happens without a person."""

    automatic: AutomaticApproval = Field(default_factory=AutomaticApproval)


class MilvusTuningSpec(ApiModel):
    """What the operator should care about for one Milvus cluster. What is not declared is not touched."""

    target_ref: TargetReference
    mode: Mode = Field(
        default=Mode.OBSERVE, description="Observe: report only. Auto: act within the bounds declared here."
    )
    paused: bool = Field(
        default=False,
        strict=True,
        description="Start nothing new; an operation already under way is finished or restored.",
    )
    connections: Connections | None = None
    objectives: Objectives | None = None
    query_nodes: QueryNodes | None = None
    load_balancing: LoadBalancing | None = None
    approval: Approval | None = None

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.queryNodes) || (has(self.connections) && has(self.connections.prometheus))",
            "queryNodes needs connections.prometheus: the number of QueryNodes is decided from its series",
        ),
    )

    @model_validator(mode="after")
    def _measured(self) -> Self:
        if self.query_nodes is not None and (self.connections is None or self.connections.prometheus is None):
            raise ValueError(
                "queryNodes needs connections.prometheus: the number of QueryNodes is decided from its series"
            )
        return self


Text = Annotated[str, Field(max_length=2048)]
Word = Annotated[str, Field(max_length=253)]
Timestamp = Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]
Flat = dict[Word, Annotated[str, Field(max_length=1024)] | None]


class ConditionStatus(enum.StrEnum):
    """Kubernetes' three states of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ApiModel):
    """metav1.Condition."""

    type: Annotated[str, Field(max_length=316)]
    status: ConditionStatus
    reason: Annotated[str, Field(max_length=1024)]
    message: Annotated[str, Field(max_length=4096)] = ""
    last_transition_time: Timestamp
    observed_generation: int | None = None


class ObservedNode(ApiModel):
    """One QueryNode in status."""

    pod: Word
    node_id: int | None = None
    ready: bool = True
    terminating: bool | None = None
    capacity_percent: int | None = None
    computation_percent: int | None = None
    rows: int | None = None
    segments: int | None = None


class Observed(ApiModel):
    """What was measured, quantised so that noise does not rewrite the object."""

    data_time: Timestamp | None = Field(default=None, description="Time of the oldest sample that went in.")
    milvus_version: Word | None = None
    nodes: Word | None = Field(default=None, description="QueryNodes that serve / that are desired.")
    desired_count: int | None = None
    ready_count: int | None = None
    serving_count: int | None = None
    replicas: int | None = Field(default=None, description="Most in-memory replicas of any collection.")
    collections: int | None = None
    capacity_percent: int | None = None
    computation_percent: int | None = None
    skew_percent: int | None = Field(default=None, description="Busiest QueryNode above the mean.")
    searches_per_second: int | None = None
    p99_milliseconds: int | None = None
    query_nodes: list[ObservedNode] | None = Field(
        default=None, max_length=20, json_schema_extra={"x-list-map-keys": ["pod"]}
    )


class RejectedAlternative(ApiModel):
    """An alternative that was turned down, and why."""

    alternative: Word
    reason: Word
    message: Text = ""


class DecisionStatus(ApiModel):
    """The last decision."""

    reason: Word
    message: Text = ""
    time: Timestamp | None = None
    desired_count: int | None = None
    inputs: Flat | None = Field(default=None, max_length=40)
    rejected: list[RejectedAlternative] | None = Field(default=None, max_length=10)


class StepStatus(ApiModel):
    """A step of an operation: its four parts and its course."""

    kind: Word
    state: Word
    precondition: Flat | None = Field(default=None, max_length=10)
    action: Flat | None = Field(default=None, max_length=10)
    verification: Flat | None = Field(default=None, max_length=10)
    undo: Flat | None = Field(default=None, max_length=10)
    intended_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    message: Text = ""


class OperationStatus(ApiModel):
    """An operation under way: written before each outside call and after it, so that a restart goes on from here."""

    id: Word
    reason: Word
    message: Text = ""
    started_at: Timestamp
    finished_at: Timestamp | None = None
    outcome: Word | None = None
    outcome_message: Text | None = None
    steps: list[StepStatus] = Field(default_factory=list, max_length=10)


class ConfigStatus(ApiModel):
    """A declared setting, the Milvus key that carries it in the running version, and how it stands."""

    intent: Word
    key: Word | None = None
    desired: Word | None = None
    effective: Word | None = None
    source: Word | None = None
    state: Word
    message: Text = ""


class MilvusTuningStatus(ApiModel):
    """What the operator sees, decided and did."""

    observed_generation: int | None = None
    phase: Word | None = Field(default=None, description="One word for people; programs read the conditions.")
    last_action: Word | None = None
    conditions: list[Condition] | None = Field(
        default=None, max_length=24, json_schema_extra={"x-list-map-keys": ["type"]}
    )
    observed: Observed | None = None
    decision: DecisionStatus | None = None
    config: list[ConfigStatus] | None = Field(
        default=None, max_length=40, json_schema_extra={"x-list-map-keys": ["intent"]}
    )
    operation: OperationStatus | None = Field(default=None, description="The operation under way.")
    history: list[OperationStatus] | None = Field(
        default=None, max_length=20, description="Finished operations, newest last."
    )


class PrinterColumn(NamedTuple):
    """A column of `kubectl get`; priority 1 shows under -o wide only."""

    name: str
    type: str
    json_path: str
    priority: int = 0


PRINTER_COLUMNS = (
    PrinterColumn("Mode", "string", ".spec.mode"),
    PrinterColumn("Phase", "string", ".status.phase"),
    PrinterColumn("Nodes", "string", ".status.observed.nodes"),
    PrinterColumn("Repl", "integer", ".status.observed.replicas"),
    PrinterColumn("Cap%", "integer", ".status.observed.capacityPercent"),
    PrinterColumn("Comp%", "integer", ".status.observed.computationPercent"),
    PrinterColumn("Skew%", "integer", ".status.observed.skewPercent"),
    PrinterColumn("P99ms", "integer", ".status.observed.p99Milliseconds"),
    PrinterColumn("Last-Action", "string", ".status.lastAction"),
    PrinterColumn("Age", "date", ".metadata.creationTimestamp"),
    PrinterColumn("Target", "string", ".spec.targetRef.name", 1),
    PrinterColumn("QPS", "integer", ".status.observed.searchesPerSecond", 1),
    PrinterColumn("Reason", "string", ".status.decision.reason", 1),
    PrinterColumn("Version", "string", ".status.observed.milvusVersion", 1),
    PrinterColumn("Data-Time", "date", ".status.observed.dataTime", 1),
)
