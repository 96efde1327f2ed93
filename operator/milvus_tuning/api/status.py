"""What the operator reports: conditions, measurements, the last decision, operations, settings; and the columns."""

from __future__ import annotations

import enum
from typing import Annotated, NamedTuple

from pydantic import Field

from milvus_tuning.api.base import ApiModel

Text = Annotated[str, Field(max_length=2048)]
Word = Annotated[str, Field(max_length=253)]
MilvusName = Annotated[str, Field(max_length=255)]
Timestamp = Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]
Flat = dict[Word, Annotated[str, Field(max_length=1024)] | None]

MOST_STEPS = 24
"""Of a plan: room for a restart of all components, and some keys."""


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
    heat_percent: int | None = Field(default=None, description="Estimated computation, from the heat of its segments.")
    resource_groups: Word | None = Field(default=None, description="Where it is not in the default one.")


class HotCollection(ApiModel):
    """A collection by the work that searching it is."""

    database: MilvusName
    name: MilvusName
    searches_per_second: int | None = None
    cores_thousandths: int = Field(description="Estimated CPU of all QueryNodes for it, in thousandths of a core.")
    share_percent: int = Field(description="Of the heat of all collections.")
    replicas: int | None = None
    segments: int | None = None
    busiest_pod: Word | None = Field(default=None, description="The QueryNode that carries most of it.")


class HotSegment(ApiModel):
    """A segment on a QueryNode, by the work that searching it is."""

    segment: Word
    database: MilvusName
    collection: MilvusName
    pod: Word
    rows: int
    cores_thousandths: int


class HeatStatus(ApiModel):
    """The heat model's estimate: what searching is in CPU, by collection and segment. It is an estimate."""

    error_percent: int | None = Field(
        default=None,
        description="How far the model is from the CPU that was measured on the QueryNodes, on the mean; rounded up "
        "to 5.",
    )
    skew_percent: int | None = Field(default=None, description="Hottest QueryNode above the mean, by the model.")
    collections: list[HotCollection] | None = Field(default=None, max_length=20)
    segments: list[HotSegment] | None = Field(default=None, max_length=20)
    gaps: list[Text] | None = Field(
        default=None, max_length=5, description="What is missing for the estimate; with any, nothing is moved."
    )


class MovingCollection(ApiModel):
    """A collection whose segments Milvus moves to and fro."""

    database: MilvusName
    name: MilvusName
    moves: int
    net_zero_percent: int = Field(description="Of its moves, those that came to nothing.")
    return_seconds: int | None = Field(default=None, description="Median time from A to B and back to A.")


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
    rejected: list[RejectedAlternative] | None = Field(default=None, max_length=20)


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
    held_since: Timestamp | None = Field(default=None, description="From when on a restart has been held by a pause.")
    held_seconds: int | None = Field(
        default=None, description="For how long a restart was held before: that does not count towards its deadline."
    )


class OperationStatus(ApiModel):
    """A plan that was carried out, in short: its steps, how it ended, and what was measured before and after."""

    id: Word
    reason: Word
    message: Text = ""
    started_at: Timestamp
    finished_at: Timestamp | None = None
    outcome: Word | None = None
    outcome_message: Text | None = None
    steps: list[StepStatus] = Field(default_factory=list, max_length=MOST_STEPS)
    risk: Word | None = None
    intent_digest: Word | None = None
    verdict: Word | None = None
    verdict_message: Text | None = None
    measured_before: Text | None = None
    measured_after: Text | None = None
    gain_percent: int | None = Field(
        default=None,
        description="What the collection carries with the other number of replicas, of what it did before.",
    )


class LastPlan(ApiModel):
    """The newest plan: the open one while there is one."""

    name: Word
    sequence: int
    phase: Word
    risk: Word
    message: Text = ""
    waits_for: Text | None = None
    verdict: Word | None = None


class Benefit(ApiModel):
    """A running account of what the operator was good for, since `since`; seconds in which nothing was measured are in
    no sum."""

    since: Timestamp
    objective_seconds_met: int = 0
    objective_seconds_measured: int = Field(default=0, description="With an objective declared and measurable.")
    node_seconds: int = Field(default=0, description="QueryNodes that were asked for, times seconds.")
    node_seconds_at_maximum: int = Field(default=0, description="The same with maxCount all the time.")
    plans_kept: int = 0
    plans_rolled_back: int = 0
    moves_kept: int = 0
    moves_undone: int = 0


class ConfigStatus(ApiModel):
    """A declared setting, the Milvus key that carries it in the running version, and how it stands."""

    intent: Word
    key: Word | None = None
    desired: Word | None = None
    effective: Word | None = None
    source: Word | None = None
    state: Word
    component: Word | None = Field(default=None, description="What must restart for it; unset where nothing must.")
    since: Word | None = Field(default=None, description="From when on it has been in this state.")
    message: Text = ""


class ProfileGoalState(enum.StrEnum):
    """Whether what is measured is as good as the goal."""

    MET = "Met"
    MISSED = "Missed"
    NOT_ASKED_FOR = "NotAskedFor"
    NOT_MEASURED = "NotMeasured"


class ProfileGoalStatus(ApiModel):
    """A goal of the profile beside what is measured."""

    goal: Word = Field(description="A field of the policy, or availability: searches that did not fail, in percent.")
    wanted: Word = Field(description="The declared objective where there is one, else that of the profile.")
    measured: Word | None = None
    state: ProfileGoalState = Field(
        description="NotAskedFor: fewer searches came than the goal, which does not show what could be carried."
    )


class ProposedField(ApiModel):
    """A field that the profile proposes. It is in force as declared; where it is not declared it is not in force."""

    field: Word = Field(description="The field of the policy, its path below spec.")
    value: Word = Field(description="What the profile proposes: declare it to have it.")
    declared: Word | None = Field(default=None, description="What the spec says, which beats the profile.")
    note: Text = Field(default="", description="What the value costs, or what must be known before it is declared.")


class ProfileStatus(ApiModel):
    """The pinned profile. It only proposes: none of its values is in force by itself."""

    name: Word
    revision: int = Field(description="The pinned one.")
    newest_revision: int | None = Field(default=None, description="Of this operator; never taken by itself.")
    message: Text = Field(default="", description="Of a newer revision, or of one that is not known.")
    goals: list[ProfileGoalStatus] | None = Field(
        default=None, max_length=10, json_schema_extra={"x-list-map-keys": ["goal"]}
    )
    proposed: list[ProposedField] | None = Field(
        default=None, max_length=30, json_schema_extra={"x-list-map-keys": ["field"]}
    )


class MilvusTuningStatus(ApiModel):
    """What the operator sees, decided and did."""

    observed_generation: int | None = None
    phase: Word | None = Field(default=None, description="One word for people; programs read the conditions.")
    last_action: Word | None = None
    conditions: list[Condition] | None = Field(
        default=None, max_length=24, json_schema_extra={"x-list-map-keys": ["type"]}
    )
    observed: Observed | None = None
    heat: HeatStatus | None = None
    ping_pong: list[MovingCollection] | None = Field(default=None, max_length=20)
    decision: DecisionStatus | None = None
    config: list[ConfigStatus] | None = Field(
        default=None, max_length=100, json_schema_extra={"x-list-map-keys": ["intent"]}
    )
    profile: ProfileStatus | None = None
    last_plan: LastPlan | None = None
    history: list[OperationStatus] | None = Field(
        default=None, max_length=20, description="Plans that were carried out, newest last."
    )
    benefit: Benefit | None = None


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
