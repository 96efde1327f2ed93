"""Steps, and the course of a sequence of them: the write-ahead log that a restart goes on from."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from milvus_tuning.plan.reasons import Reason
from milvus_tuning.plan.verdicts import Verdict


class StepKind(enum.StrEnum):
    """What a step does; the names are fixed."""

    SCALE_QUERY_NODES = "ScaleQueryNodes"
    DRAIN_QUERY_NODE = "DrainQueryNode"
    SET_CONFIG = "SetConfig"
    TAKE_PLACEMENT = "TakePlacement"
    RETURN_PLACEMENT = "ReturnPlacement"
    MOVE_SEGMENTS = "MoveSegments"
    SET_REPLICA_NUMBER = "SetReplicaNumber"
    RESTART_COMPONENT = "RestartComponent"
    SET_COLLECTION_PROPERTY = "SetCollectionProperty"
    SET_SCHEDULING = "SetScheduling"


Parameters = Mapping[str, str | int | None]
ROAD, MILVUS_RESOURCE = "road", "MilvusResource"
"""In the action of a SetConfig that writes a leaf of the Milvus object's spec.config; without it a key in etcd."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One change of the outside world. The four parts are flat maps of plain values, as they are stored in status.

    ScaleQueryNodes   precondition {desiredCount}, action {count}, verification {servingCount, deadlineSeconds; with a
                      node that leaves also pod, podUid, leastRows: sealed rows that must be served then}, undo {count}
    DrainQueryNode    precondition {pod, podUid, gracePeriodSeconds}, action {pod, deletionCost},
                      verification {pod, deletionCost}, undo {pod, deletionCost (null: remove)}
    SetConfig         precondition {key, value (null: absent)}, action {key, value (null: delete), road: MilvusResource
                      for a leaf of spec.config, absent for a key in etcd}, verification {key, value}, undo {key, value}
    TakePlacement     like SetConfig for the key autoBalance, with action {key, value, leaseSeconds}
    ReturnPlacement   the reverse
    MoveSegments      precondition {database, collection, segments, pod, podUid: where they are}, action {database,
                      collection, segments, pod, podUid: where they go}, verification {database, collection, segments,
                      pod, podUid, deadlineSeconds}, undo {like action, back}; segments are ids with spaces between
    SetReplicaNumber  precondition {database, collection, count}, action {database, collection, count, resourceGroups
                      (names with spaces between)}, verification {database, collection, count, deadlineSeconds},
                      undo {like action, with the former count}
    RestartComponent  precondition {component, count: its pods}, action {component, when: Forward or Back}, verification
                      {component, deadlineSeconds: for the whole roll}, undo {component}; what is called names also pod
                      and podUid, the one that is replaced. Forward: each of its pods that is older than the intent is
                      evicted, one at a time; its undo does nothing. Back: nothing is done on the way there; its undo
                      replaces the pods that came since the operation began. A change of keys that are read at start
                      stands between a Back and a Forward of each component that reads them
    SetCollectionProperty  precondition {database, collection, property, value (null: absent)}, action, verification and
                      undo alike
    SetScheduling     precondition {key: the field of the owner, value: the zone preference (null: none), count: the
                      QueryNodes}, action {key, value}, verification {key, value, deadlineSeconds: for the whole roll
                      that it brings about}, undo {key, value}

    A TakePlacement that other steps rely on names settleSeconds in its verification: how long Milvus may take for it.
    """

    kind: StepKind
    precondition: Parameters
    action: Parameters
    verification: Parameters
    undo: Parameters


def on_resource(step: Step) -> bool:
    """Whether the step writes a leaf of the Milvus object's spec.config, there and back; else a key in etcd."""
    return step.action.get(ROAD) == MILVUS_RESOURCE


def segment_ids(parameters: Parameters) -> tuple[int, ...]:
    """The ids in the `segments` of a part of a MoveSegments step. Raises ValueError where they are no numbers."""
    return tuple(int(word) for word in str(parameters.get("segments") or "").split())


class StepState(enum.StrEnum):
    """How far a step is. Intended is written before the outside call, Applied after it, Done once verified.

    Skipped ends the operation: what was done is taken back. LeftOut is a move that was not begun, while those before it
    stay: they are good without it.
    """

    PENDING = "Pending"
    INTENDED = "Intended"
    APPLIED = "Applied"
    DONE = "Done"
    FAILED = "Failed"
    UNDOING = "Undoing"
    UNDONE = "Undone"
    SKIPPED = "Skipped"
    LEFT_OUT = "LeftOut"


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecord:
    """A step and its course so far.

    held_since is from when on a roll has been held, None where it is not; held_seconds is the time for which it was
    held before. Neither counts towards its deadline.
    """

    step: Step
    state: StepState = StepState.PENDING
    intended_at: datetime | None = None
    finished_at: datetime | None = None
    message: str = ""
    held_since: datetime | None = None
    held_seconds: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """A decision being carried out: the write-ahead log that a restart goes on from.

    outcome is None while it runs; afterwards COMPLETED, INSUFFICIENT_CAPACITY, DRAIN_STUCK, PRECONDITION_CHANGED or
    UNDONE. verdict and intent_digest are those of the plan that it belonged to, once that has ended. gain_percent is
    what the collection whose in-memory replicas were changed can carry since, of what it could before (170: 1.7 times
    as much); None where it was not measured.
    """

    operation_id: str
    reason: Reason
    message: str
    started_at: datetime
    steps: tuple[StepRecord, ...]
    finished_at: datetime | None = None
    outcome: Reason | None = None
    outcome_message: str = ""
    verdict: Verdict | None = None
    verdict_message: str = ""
    intent_digest: str | None = None
    gain_percent: int | None = None

    @property
    def running(self) -> bool:
        """Whether there is still something to do or to verify."""
        return self.outcome is None
