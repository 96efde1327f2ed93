"""Why nothing may be started now, and what could not be observed."""

from __future__ import annotations

import enum
from dataclasses import dataclass


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
