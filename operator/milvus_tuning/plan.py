"""Frozen outcomes of a decision: what to do, why, and what was turned down.

A `Decision` always has a reason, also when it says to do nothing. What is to be done is a sequence of `Step`s, each
with the four parts that make it safe to run and to interrupt:

    precondition   what must be true right before it (read afresh)
    action         the absolute write (replicas to 3, key to "false"), safe to repeat
    verification   what shows that it had its effect
    undo           the absolute write that takes it back

A step says what it means in terms of pods and counts; Milvus node ids change on every restart and are looked up when
used.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


class Reason(enum.StrEnum):
    """Why something was done, or not. Part of the API: names never change meaning."""

    # nothing to do
    STEADY = "Steady"
    WITHIN_TOLERANCE = "WithinTolerance"
    STABILIZING = "Stabilizing"  # the signal is there, but not yet for the whole window
    COOLDOWN = "CooldownActive"
    NOT_MANAGED = "NotManaged"  # the spec declares nothing that this could act on
    OBSERVE_ONLY = "ObserveOnly"
    # something is done
    SCALE_OUT_COMPUTATION = "ComputationAboveTarget"
    SCALE_OUT_CAPACITY = "CapacityAboveTarget"
    SCALE_IN = "BelowTarget"
    BELOW_MINIMUM = "BelowMinimum"
    ABOVE_MAXIMUM = "AboveMaximum"
    # limits
    AT_MINIMUM = "AtMinimum"
    AT_MAXIMUM = "AtMaximum"
    STEP_LIMITED = "StepLimited"  # more is wanted than one operation may add
    ACTION_LIMIT = "ActionLimitReached"
    SKEW_NOT_CAPACITY = "SkewNotCapacity"
    REPLICA_MULTIPLE = "NotMultipleOfReplicas"
    WOULD_NOT_FIT = "WouldNotFit"
    WOULD_NOT_FIT_WITH_NODE_LOST = "WouldNotFitWithNodeLost"
    WOULD_OVERLOAD = "WouldOverload"
    REPLICA_NEEDS_NODES = "ReplicaNeedsNodes"
    GRACE_PERIOD_TOO_SHORT = "GracePeriodTooShort"
    NO_VICTIM = "NoVictim"
    # stops
    PAUSED = "Paused"
    READ_ONLY = "ReadOnly"
    FROZEN = "Frozen"
    CONFLICT = "Conflict"
    HELM_OWNS_FIELD = "HelmOwnsField"
    TARGET_NOT_FOUND = "TargetNotFound"
    TARGET_UNSUPPORTED = "TargetUnsupported"
    MILVUS_UNREACHABLE = "MilvusUnreachable"
    METRICS_MISSING = "MetricsMissing"
    METRICS_STALE = "MetricsStale"
    VERSION_UNSUPPORTED = "VersionUnsupported"
    NODE_IDENTITY_UNKNOWN = "NodeIdentityUnknown"
    INVALID_SPEC = "InvalidSpec"
    SECRET_NOT_FOUND = "SecretNotFound"
    PERMISSION_DENIED = "PermissionDenied"
    UNKNOWN_OPERATION = "UnknownOperation"  # status names an operation in words of another operator version
    # course of an operation
    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    INSUFFICIENT_CAPACITY = "InsufficientCapacity"
    DRAIN_STUCK = "DrainStuck"
    PRECONDITION_CHANGED = "PreconditionChanged"
    UNDONE = "Undone"
    # settings
    SETTING_CHANGED = "SettingChanged"
    PLACEMENT_CHANGED = "PlacementChanged"
    HANDED_BACK = "HandedBack"
    HAND_BACK_INCOMPLETE = "HandBackIncomplete"


class StepKind(enum.StrEnum):
    """What a step does; the names are fixed."""

    SCALE_QUERY_NODES = "ScaleQueryNodes"
    DRAIN_QUERY_NODE = "DrainQueryNode"
    SET_CONFIG = "SetConfig"
    TAKE_PLACEMENT = "TakePlacement"
    RETURN_PLACEMENT = "ReturnPlacement"


Parameters = Mapping[str, str | int | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One change of the outside world. The four parts are flat maps of plain values, as they are stored in status.

    ScaleQueryNodes   precondition {desiredCount}, action {count}, verification {servingCount, deadlineSeconds; with a
                      node that leaves also pod, podUid, leastRows: sealed rows that must be served then}, undo {count}
    DrainQueryNode    precondition {pod, podUid, gracePeriodSeconds}, action {pod, deletionCost},
                      verification {pod, deletionCost}, undo {pod, deletionCost (null: remove)}
    SetConfig         precondition {key, value (null: absent)}, action {key, value (null: delete)},
                      verification {key, value}, undo {key, value}
    TakePlacement     like SetConfig for the key autoBalance, with action {key, value, leaseSeconds}
    ReturnPlacement   the reverse
    """

    kind: StepKind
    precondition: Parameters
    action: Parameters
    verification: Parameters
    undo: Parameters


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejection:
    """An alternative that was considered and turned down."""

    alternative: str  # e.g. "ScaleOut 2 -> 3", "NoChange"
    reason: Reason
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What to do now, why (with the numbers in words), from which inputs, and what else was considered."""

    reason: Reason
    message: str
    steps: tuple[Step, ...] = ()
    inputs: Mapping[str, float | int | str | None] = field(default_factory=dict)
    rejected: tuple[Rejection, ...] = ()
    desired_count: int | None = None
    limited: Reason | None = None  # AT_MINIMUM, AT_MAXIMUM, ... where a limit cut the wish down


class StepState(enum.StrEnum):
    """How far a step is. Intended is written before the outside call, Applied after it, Done once verified."""

    PENDING = "Pending"
    INTENDED = "Intended"
    APPLIED = "Applied"
    DONE = "Done"
    FAILED = "Failed"
    UNDOING = "Undoing"
    UNDONE = "Undone"
    SKIPPED = "Skipped"


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecord:
    """A step and its course so far."""

    step: Step
    state: StepState = StepState.PENDING
    intended_at: datetime | None = None
    finished_at: datetime | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """A decision being carried out: the write-ahead log that a restart goes on from.

    outcome is None while it runs; afterwards COMPLETED, INSUFFICIENT_CAPACITY, DRAIN_STUCK, PRECONDITION_CHANGED or
    UNDONE.
    """

    operation_id: str
    reason: Reason
    message: str
    started_at: datetime
    steps: tuple[StepRecord, ...]
    finished_at: datetime | None = None
    outcome: Reason | None = None
    outcome_message: str = ""

    @property
    def running(self) -> bool:
        """Whether there is still something to do or to verify."""
        return self.outcome is None


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """The two signals of one pass, kept for the windows.

    capacity_ratio: the fullest node's memory over its limit; computation_ratio: the busiest node's computation over its
    limit; even_computation_ratio: what each node would carry if the load were even (the mean). None where not
    measurable.
    The coverages are the shares of the nodes that were measured: below 1 a maximum is a lower bound of the true one.
    """

    at: datetime
    node_count: int
    capacity_ratio: float | None
    computation_ratio: float | None
    even_computation_ratio: float | None
    capacity_coverage: float = 1.0
    computation_coverage: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """What a decision may remember: signals of the windows' length, and finished operations."""

    signals: tuple[Signal, ...] = ()
    operations: tuple[Operation, ...] = ()  # finished, newest last


class SettingState(enum.StrEnum):
    """How a declared setting stands in the running cluster."""

    EFFECTIVE = "Effective"  # read back from where Milvus reads it, and the lever is known to be re-read live
    APPLYING = "Applying"
    PENDING_RESTART = "PendingRestart"
    SHADOWED = "Shadowed"
    UNSUPPORTED = "Unsupported"
    NOT_APPLIED = "NotApplied"  # mode Observe, paused, or refused: the message says which


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingStatus:
    """One declared intent, the Milvus key that carries it in this version, and how it stands."""

    intent: str  # the spec field, e.g. "loadBalancing.balanceIntervalSeconds"
    key: str | None
    desired: str | None
    effective: str | None
    source: str | None  # "etcd", "file or default", None where unknown
    state: SettingState
    message: str
