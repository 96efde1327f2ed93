"""One change from its proposal to its verdict: what a MilvusTuningPlan object holds, as plain values.

    Proposed --approved--> Approved --first intent written--> Running --all steps done--> Verifying --> Finished
       |                      |                                  |                            |
       | rejected, expired, stale, cancelled                     | failed, cancelled, stale   | worse: RollingBack
       +----------------------+----------------------------------+----------------------------+--> Finished

`Change` is frozen in the object's spec: what was approved is what runs. `Ballot` is a person's word on it. `Course` is
what came of it so far, the operation's write-ahead log included; it is all that a restarted operator goes on from.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime

from milvus_tuning.plan.reasons import Reason
from milvus_tuning.plan.steps import Operation, Step
from milvus_tuning.plan.verdicts import Verdict


class Risk(enum.StrEnum):
    """How much can go wrong, and how hard it is to take back."""

    LOW = "Low"  # a live key within a range that is known, a row-neutral swap
    MEDIUM = "Medium"  # a node more, moves, an in-memory replica more
    HIGH = "High"  # a node less, a restart, consistency, an in-memory replica less

    @property
    def rank(self) -> int:
        """0 for Low; a higher one is more."""
        return list(Risk).index(self)


class Phase(enum.StrEnum):
    """How far a plan is."""

    PROPOSED = "Proposed"
    APPROVED = "Approved"
    RUNNING = "Running"
    VERIFYING = "Verifying"
    ROLLING_BACK = "RollingBack"
    FINISHED = "Finished"


class Vote(enum.StrEnum):
    """A person's word on a plan."""

    APPROVED = "Approved"
    REJECTED = "Rejected"
    CANCELLED = "Cancelled"  # also while it runs: no further step is begun, and what was done is taken back


@dataclass(frozen=True, kw_only=True, slots=True)
class Ballot:
    """`spec.approval` of a plan: who said what, as far as they told (the API server checks `by`)."""

    vote: Vote
    by: str | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """What searches met over a window, averaged. None is not measured; integers, as they are stored.

    slow_searches_per_million: searches slower than the objective (or, without one, than the bound of the histogram
    bucket next above the mean before the change); it tells 15 % apart, which a quantile over powers of two cannot.
    cpu_millicores_per_node: the mean over the QueryNodes, a thousand for a core.
    """

    ended_at: datetime
    window_seconds: int
    searches_per_minute: int | None = None
    searches_per_minute_per_node: int | None = None
    mean_microseconds: int | None = None
    p99_milliseconds: int | None = None
    queue_microseconds: int | None = None
    failed_searches_per_million: int | None = None
    slow_searches_per_million: int | None = None
    slow_bound_milliseconds: int | None = None
    skew_percent: int | None = None
    cpu_millicores_per_node: int | None = None
    node_count: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """What a change is expected to do; estimates, and only where there is a ground for them."""

    node_count_before: int | None = None
    node_count_after: int | None = None
    moved_segments: int = 0
    moved_rows: int = 0
    moved_bytes: int | None = None
    computation_percent_before: int | None = None
    computation_percent_after: int | None = None
    skew_percent_before: int | None = None
    skew_percent_after: int | None = None
    p99_milliseconds_before: int | None = None
    p99_milliseconds_after: int | None = None
    memory_headroom_percent: int | None = None  # of the fullest node, after the change
    heat_share_percent: int | None = None  # of the collection whose in-memory replicas change, of all heat


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What is to be done, for whom and why; frozen from the moment it is proposed."""

    policy_name: str
    policy_uid: str
    policy_generation: int
    intent_digest: str  # of the parts of the spec that the change was decided from: another one makes it stale
    inputs_digest: str  # of the numbers that the decision was made from
    target: str  # the object that owns the QueryNodes, "Deployment milvus/my-release-milvus-querynode"
    sequence: int
    reason: Reason
    message: str
    steps: tuple[Step, ...]
    risk: Risk
    risk_reasons: tuple[str, ...]
    prediction: Prediction
    proposed_at: datetime
    expires_at: datetime
    declared: str | None = field(default=None, compare=False)
    """JSON of what the policy declared of Milvus's configuration: a record for people, no part of what is done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """What came of a change so far.

    approval says on whose word it runs. operation is the log of its steps from the first intent on. At verify_until the
    second measurement is taken, over the window that ends then.
    """

    phase: Phase = Phase.PROPOSED
    waits_for: str = ""  # what it waits for, in words, while Proposed or Approved
    approval: str | None = None
    approved_at: datetime | None = None
    operation: Operation | None = None
    before: Measurement | None = None
    after: Measurement | None = None
    verify_until: datetime | None = None
    verdict: Verdict | None = None
    verdict_message: str = ""
    finished_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A MilvusTuningPlan: its change, the word of a person on it, and its course. uid is "" before it is created."""

    name: str
    change: Change
    uid: str = ""
    ballot: Ballot | None = None
    deleting: bool = False
    course: Course = field(default_factory=Course)

    @property
    def open(self) -> bool:
        """Whether there is still something to come."""
        return self.course.phase is not Phase.FINISHED

    @property
    def at_work(self) -> bool:
        """Whether its steps are being made, or taken back."""
        return self.course.phase in {Phase.RUNNING, Phase.ROLLING_BACK}

    @property
    def begun(self) -> bool:
        """Whether an outside call may have been made for it."""
        return self.course.operation is not None
