"""Why something was done, or not: one enumeration, part of the API."""

from __future__ import annotations

import enum


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
    MANUAL_OVERRIDE = "ManualOverride"
    HOT_NODE = "HotNode"  # segments are moved off a QueryNode that is busier than the others
    NEW_NODE = "NewNode"  # placementOwner Operator: segments are moved to a QueryNode that has none
    HOT_COLLECTION = "HotCollection"  # one in-memory replica more
    COLD_COLLECTION = "ColdCollection"  # one in-memory replica less
    # limits
    AT_MINIMUM = "AtMinimum"
    AT_MAXIMUM = "AtMaximum"
    STEP_LIMITED = "StepLimited"  # more is wanted than one operation may add
    SKEW_NOT_CAPACITY = "SkewNotCapacity"
    REPLICA_MULTIPLE = "NotMultipleOfReplicas"
    WOULD_NOT_FIT = "WouldNotFit"
    WOULD_NOT_FIT_WITH_NODE_LOST = "WouldNotFitWithNodeLost"
    WOULD_OVERLOAD = "WouldOverload"
    REPLICA_NEEDS_NODES = "ReplicaNeedsNodes"
    GRACE_PERIOD_TOO_SHORT = "GracePeriodTooShort"
    NO_VICTIM = "NoVictim"
    NO_BETTER_PLACEMENT = "NoBetterPlacement"
    NO_NEUTRAL_SWAP = "NoRowNeutralSwap"  # what would help, Milvus's own balancer would undo
    HEAT_UNKNOWN = "HeatUnknown"  # rates, sizes or CPU are missing, or the model does not fit what is measured
    MOVES_UNDONE = "MovesUndone"  # what was moved last did not stay
    MANUAL_ACTION_REQUIRED = "ManualActionRequired"  # this version has no way that keeps the collection loaded
    # stops
    PAUSED = "Paused"
    READ_ONLY = "ReadOnly"
    REJECTED = "Rejected"  # a person turned the same change down a while ago
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
    UNKNOWN_OPERATION = "UnknownOperation"  # an open plan is in words of another operator version
    # course of an operation
    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    INSUFFICIENT_CAPACITY = "InsufficientCapacity"
    DRAIN_STUCK = "DrainStuck"
    PRECONDITION_CHANGED = "PreconditionChanged"
    UNDONE = "Undone"
    CANCELLED = "Cancelled"
    ROLLED_BACK = "RolledBack"
    # settings
    SETTING_CHANGED = "SettingChanged"
    PLACEMENT_CHANGED = "PlacementChanged"
    HANDED_BACK = "HandedBack"
    HAND_BACK_INCOMPLETE = "HandBackIncomplete"


WISHES = frozenset(
    {
        Reason.SCALE_OUT_COMPUTATION,
        Reason.SCALE_OUT_CAPACITY,
        Reason.SCALE_IN,
        Reason.BELOW_MINIMUM,
        Reason.ABOVE_MAXIMUM,
        Reason.SETTING_CHANGED,
        Reason.PLACEMENT_CHANGED,
        Reason.HOT_NODE,
        Reason.NEW_NODE,
        Reason.HOT_COLLECTION,
        Reason.COLD_COLLECTION,
    }
)
"""Reasons to act, which mode Observe leaves at the wish."""
