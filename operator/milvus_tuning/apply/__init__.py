"""Apply: one function per kind of step, idempotent, absolute, with its precondition read afresh right before the write.

A function either does what the step says, finds it done, or raises ApplyError: retryable where the same call may be
made again, not retryable (`PreconditionChanged` among others) where the world is not as the step was decided for.
Each write is preceded by `context.require_lease()`, each call has a timeout.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from milvus_tuning.apply.collection_property import release_levels, set_collection_property
from milvus_tuning.apply.config import connected, hand_back, read_key, set_config
from milvus_tuning.apply.context import ApplyContext, PreconditionChanged, etcd_errors
from milvus_tuning.apply.moves import move_segments
from milvus_tuning.apply.placement import move_placement, renew_placement_lease
from milvus_tuning.apply.pods import mark_pod
from milvus_tuning.apply.release import release_replicas
from milvus_tuning.apply.replica_number import set_replica_number
from milvus_tuning.apply.resource_config import held_leaves, read_leaf
from milvus_tuning.apply.restart import restart_pod
from milvus_tuning.apply.scale import scale_query_nodes
from milvus_tuning.apply.scheduling import release_scheduling, set_scheduling
from milvus_tuning.clients.handback import read_records
from milvus_tuning.plan import Step, StepKind
from milvus_tuning.snapshot import OwnedKey

__all__ = [
    "ApplyContext",
    "PreconditionChanged",
    "perform",
    "read_hand_back",
    "release_hand_back",
    "release_leaves",
    "release_replicas",
    "release_scheduling",
    "renew_placement_lease",
]


class _Does(Protocol):
    def __call__(self, step: Step, *, undo: bool, context: ApplyContext) -> str: ...


_DOES: Mapping[StepKind, _Does] = MappingProxyType(
    {
        StepKind.SCALE_QUERY_NODES: scale_query_nodes,
        StepKind.DRAIN_QUERY_NODE: mark_pod,
        StepKind.SET_CONFIG: set_config,
        StepKind.TAKE_PLACEMENT: move_placement,
        StepKind.RETURN_PLACEMENT: move_placement,
        StepKind.MOVE_SEGMENTS: move_segments,
        StepKind.SET_REPLICA_NUMBER: set_replica_number,
        StepKind.SET_COLLECTION_PROPERTY: set_collection_property,
        StepKind.RESTART_COMPONENT: restart_pod,
        StepKind.SET_SCHEDULING: set_scheduling,
    }
)


def perform(step: Step, *, undo: bool, context: ApplyContext) -> str:
    """Carry out a step, or take it back; what was done, in words. ApplyError where it could not be."""
    return _DOES[step.kind](step, undo=undo, context=context)


def read_hand_back(context: ApplyContext) -> Mapping[str, OwnedKey]:
    """What is to be handed back: key -> what it was before us and what we wrote."""
    etcd, root_path = connected(context)
    with etcd_errors("reading the hand-back records"):
        return {record.key: record.owned for record in read_records(etcd, root_path, context.policy_uid)}


def release_leaves(context: ApplyContext) -> list[str]:
    """Hand back every leaf of the Milvus object that this policy holds, whatever still declares it; in words."""
    return [hand_back(read_leaf(context, key)) for key in held_leaves(context)]


def release_hand_back(context: ApplyContext) -> str:
    """Hand back every key in etcd and consistency level that this policy holds, whatever declares it; in words."""
    etcd, root_path = connected(context)
    with etcd_errors("handing back"):
        records = read_records(etcd, root_path, context.policy_uid)
        outcomes = [hand_back(read_key(context, record.key)) for record in records]
        for lease_id in {record.lease_id for record in records if record.lease_id}:
            etcd.lease_revoke(lease_id)
    outcomes += release_levels(context)
    return "; ".join(outcomes) or "nothing to hand back"
