"""MilvusTuningPlan: one proposed, running or finished change, which a person can read, approve and account for."""

from __future__ import annotations

import enum
from typing import Annotated, ClassVar

from pydantic import Field

from milvus_tuning.api.base import ApiModel, ObjectName, Rule
from milvus_tuning.api.spec import MaxRisk
from milvus_tuning.api.status import MOST_STEPS, Condition, Flat, PrinterColumn, StepStatus, Text, Timestamp, Word

PLAN_KIND = "MilvusTuningPlan"
PLAN_PLURAL = "milvustuningplans"
PLAN_SHORT_NAME = "mvtp"
MOST_DECLARED_CHARACTERS = 16 * 1024
Count = Annotated[int, Field(ge=0, le=2**53)]


class PlanStep(ApiModel):
    """One change of the outside world with the four parts that make it safe to run and to interrupt."""

    kind: Word = Field(description="What is done, such as ScaleQueryNodes.")
    precondition: Flat = Field(max_length=10, description="What must be true right before it.")
    action: Flat = Field(max_length=10, description="The absolute write.")
    verification: Flat = Field(max_length=10, description="What shows that it had its effect.")
    undo: Flat = Field(max_length=10, description="The absolute write that takes it back.")


class PlanPolicy(ApiModel):
    """The MilvusTuning that the plan was made for."""

    name: ObjectName = Field(description="Its name, in the namespace of the plan.")
    uid: Word = Field(description="Its uid: the plan of a deleted MilvusTuning is not one of its namesake.")
    generation: int = Field(description="Its generation when the plan was made.")
    intent_digest: Word = Field(description="Of the parts of its spec that the change was decided from.")


class PredictedEffect(ApiModel):
    """What the change is expected to do: estimates, and only where there is a ground for them."""

    node_count_before: int | None = Field(default=None, description="QueryNodes now.")
    node_count_after: int | None = Field(default=None, description="QueryNodes afterwards.")
    moved_segments: Count = Field(default=0, description="Segments that go to another QueryNode.")
    moved_rows: Count = Field(default=0, description="Rows of those segments.")
    moved_bytes: Count | None = Field(default=None, description="Bytes of those segments.")
    computation_percent_before: int | None = Field(default=None, description="Computation of the QueryNodes now.")
    computation_percent_after: int | None = Field(default=None, description="Computation afterwards.")
    skew_percent_before: int | None = Field(default=None, description="Busiest QueryNode above the mean now.")
    skew_percent_after: int | None = Field(default=None, description="Busiest QueryNode above the mean afterwards.")
    p99_milliseconds_before: int | None = Field(default=None, description="P99 of searches now.")
    p99_milliseconds_after: int | None = Field(default=None, description="P99 of searches afterwards.")
    memory_headroom_percent: int | None = Field(default=None, description="Of the fullest QueryNode, afterwards.")
    heat_share_percent: int | None = Field(
        default=None, description="Of all heat, what the collection makes whose in-memory replicas change."
    )


class PlanRisk(ApiModel):
    """How much can go wrong, and why."""

    level: MaxRisk
    reasons: list[Text] = Field(max_length=MOST_STEPS, description="Why it is of this level.")


class PlanChange(ApiModel):
    """What is to be done, for whom and why. Nothing in it can be changed: what was approved is what runs."""

    policy: PlanPolicy
    target: Word = Field(description="The object that owns the QueryNodes.")
    sequence: Annotated[int, Field(ge=1)] = Field(description="Counts the plans of one MilvusTuning.")
    reason: Word = Field(description="Why, in one word that programs may rely on.")
    message: Text = Field(description="What and why, in a sentence.")
    inputs_digest: Word = Field(description="Of the numbers that the decision was made from.")
    steps: list[PlanStep] = Field(min_length=1, max_length=MOST_STEPS, description="What is done, in this order.")
    predicted: PredictedEffect
    risk: PlanRisk
    declared: Annotated[str, Field(max_length=MOST_DECLARED_CHARACTERS)] | None = Field(
        default=None,
        description="JSON of what the policy declared of Milvus's configuration when the plan was made, for the way "
        "back to it; absent where it would be longer, and in plans of before there was a record.",
    )
    proposed_at: Timestamp = Field(description="When it was made.")
    expires_at: Timestamp = Field(description="When it has not begun by then it expires.")


class PlanVote(enum.StrEnum):
    """A person's word. Cancelled stops a running plan and takes back what it did."""

    APPROVED = "Approved"
    REJECTED = "Rejected"
    CANCELLED = "Cancelled"


class PlanApproval(ApiModel):
    """A person's word on the plan. Setting it needs the verb approve on milvustuningplans."""

    decision: PlanVote
    by: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="Who says it; where it is given the API server checks that it is the one who writes."
    )
    reason: Annotated[str, Field(max_length=1024)] | None = Field(default=None, description="Why, for the record.")


class MilvusTuningPlanSpec(ApiModel):
    """A change, frozen, and a person's word on it."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.change == oldSelf.change", "spec.change is frozen: what was approved is what runs"),
    )

    change: PlanChange
    approval: PlanApproval | None = None


class MeasuredEffect(ApiModel):
    """What searches met over a window. What is absent was not measured."""

    ended_at: Timestamp
    window_seconds: int
    searches_per_minute: Count | None = None
    searches_per_minute_per_node: Count | None = None
    mean_microseconds: Count | None = None
    p99_milliseconds: Count | None = Field(default=None, description="Exact to a factor of two only.")
    queue_microseconds: Count | None = None
    failed_searches_per_million: Count | None = None
    slow_searches_per_million: Count | None = None
    slow_bound_milliseconds: Count | None = Field(default=None, description="Slower than this counts as slow.")
    skew_percent: int | None = None
    cpu_millicores_per_node: Count | None = Field(default=None, description="Mean over the QueryNodes.")
    node_count: int | None = None


class Measured(ApiModel):
    """Before the change and after it."""

    before: MeasuredEffect | None = None
    after: MeasuredEffect | None = None


class PlanVerdict(enum.StrEnum):
    """How the plan ended."""

    KEPT = "Kept"
    ROLLED_BACK = "RolledBack"
    INCONCLUSIVE = "Inconclusive"
    CANCELLED = "Cancelled"
    EXPIRED = "Expired"
    REJECTED = "Rejected"
    STALE = "Stale"
    FAILED = "Failed"


class MilvusTuningPlanStatus(ApiModel):
    """The course of the plan: the write-ahead log that a restarted operator goes on from, and what came of it."""

    phase: Word | None = None
    waits_for: Text | None = None
    approval: Text | None = Field(default=None, description="On whose word it runs.")
    approved_at: Timestamp | None = None
    started_at: Timestamp | None = None
    steps: list[StepStatus] | None = Field(default=None, max_length=MOST_STEPS)
    outcome: Word | None = Field(default=None, description="How its steps ended.")
    outcome_message: Text | None = None
    steps_finished_at: Timestamp | None = None
    verify_until: Timestamp | None = None
    measured: Measured | None = None
    verdict: PlanVerdict | None = None
    verdict_message: Text | None = None
    gain_percent: Count | None = Field(
        default=None,
        description="What the collection carries with the other number of replicas, of what it did before.",
    )
    finished_at: Timestamp | None = None
    conditions: list[Condition] | None = Field(
        default=None, max_length=8, json_schema_extra={"x-list-map-keys": ["type"]}
    )


PLAN_PRINTER_COLUMNS = (
    PrinterColumn("Policy", "string", ".spec.change.policy.name"),
    PrinterColumn("Phase", "string", ".status.phase"),
    PrinterColumn("Risk", "string", ".spec.change.risk.level"),
    PrinterColumn("Reason", "string", ".spec.change.reason"),
    PrinterColumn("Change", "string", ".spec.change.message"),
    PrinterColumn("Verdict", "string", ".status.verdict"),
    PrinterColumn("Age", "date", ".metadata.creationTimestamp"),
    PrinterColumn("Approval", "string", ".status.approval", 1),
    PrinterColumn("Expires", "date", ".spec.change.expiresAt", 1),
)
