"""What a decision says, and what it may remember."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from milvus_tuning.plan.reasons import Reason
from milvus_tuning.plan.steps import Operation, Step


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejection:
    """An alternative that was considered and turned down."""

    alternative: str  # e.g. "ScaleOut 2 -> 3", "NoChange"
    reason: Reason
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """What a decision that moves heat is expected to do, in percent; an estimate of the heat model.

    busiest: computation of the busiest QueryNode; skew: how far it is above the mean.
    """

    moved_segments: int = 0
    moved_rows: int = 0
    moved_bytes: int | None = None
    busiest_percent_before: int | None = None
    busiest_percent_after: int | None = None
    skew_percent_before: int | None = None
    skew_percent_after: int | None = None
    heat_share_percent: int | None = None


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
    outlook: Outlook | None = None  # where it moves heat


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
    STANDING_BY = "StandingBy"  # written when what it is for is seen; until then nothing is, and that is as declared
    APPLYING = "Applying"
    PENDING_RESTART = "PendingRestart"
    SHADOWED = "Shadowed"
    UNSUPPORTED = "Unsupported"
    DEAD = "Dead"  # nothing reads the key in this version: never written
    NO_EVIDENCE = "NoEvidence"  # stored as declared; no running component was seen to have taken it
    REFUSED = "Refused"  # never written: unknown, of the wrong type, out of range, or the install's own
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
    component: str | None = None  # what must restart for it; None where nothing must
    since: datetime | None = None  # from when on it has been in this state, where that is known
