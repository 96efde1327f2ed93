"""The steps of a change of placement, with all four parts filled in.

Relocations that follow each other and share collection, source and destination become one step:

    7: 1 -> 2, 8: 1 -> 2, 9: 2 -> 1      MoveSegments 7 8 to the pod of node 2, MoveSegments 9 to the pod of node 1

A plan has room for ten steps. Two are kept for the placement: where Milvus places segments, its balancer is held off
before the first move and let go after the last, so that it never sees half of a swap. `within_room` gives the
relocations that fit; swaps (hold_balancer) come in pairs, out and back, and are cut at an even number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from milvus_tuning.decide.config.keys import PLACEMENT_KEY, PLACEMENT_LEASE_SECONDS, take_placement
from milvus_tuning.plan import Parameters, Step, StepKind
from milvus_tuning.snapshot import Collection, QueryNode, Snapshot

MOST_MOVE_STEPS = 8
MOST_SEGMENTS_PER_STEP = 16
# Loading on the destination takes seconds as a rule and two minutes at most (queryCoord.segmentTaskTimeout); what is
# there then shows with one of the next passes.
MOVE_DEADLINE_SECONDS = 180
# A value in etcd is in force on 2.3.5 within 7 s, and the balancer may be at work on its last round then.
SETTLE_SECONDS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Relocation:
    """One sealed segment from one Milvus node to another."""

    collection_id: int
    segment_id: int
    source_node_id: int
    destination_node_id: int


def within_room(moves: Sequence[Relocation], *, hold_balancer: bool) -> tuple[Relocation, ...]:
    """The first of the relocations, as many as one plan can carry out; swaps are cut after a whole pair.

    What is small enough to go alone comes after all pairs, so that swaps which all fit may be an odd number.
    """
    kept = [one for batch in _batches(moves)[:MOST_MOVE_STEPS] for one in batch]
    odd = len(kept) % 2 if hold_balancer and len(kept) < len(moves) else 0
    return tuple(kept[: len(kept) - odd])


def move_steps(moves: Sequence[Relocation], snapshot: Snapshot, *, hold_balancer: bool) -> tuple[Step, ...]:
    """The steps that carry out the relocations which fit into one plan, in their order; none for no relocation.

    Raises ValueError where a node or a collection is not in the snapshot: such a move must not be planned.
    """
    batches = _batches(within_room(moves, hold_balancer=hold_balancer))
    steps = tuple(_move(batch, snapshot) for batch in batches)
    return (_held_off(), *steps, _let_go()) if hold_balancer and steps else steps


def replica_steps(
    collection: Collection,
    *,
    before: int,
    after: int,
    resource_groups: tuple[str, ...],
    deadline_seconds: int,
    former_groups: tuple[str, ...] | None = None,
) -> tuple[Step, ...]:
    """Ask for another number of in-memory replicas; the former one comes back when they do not serve in time.

    Milvus takes no resource group, one, or one for each replica. former_groups are those of the replicas before the
    change; where they are not given they are taken from the others as far as they go.
    """
    named = {"database": collection.database, "collection": collection.name}
    back = resource_groups if former_groups is None else former_groups
    back = back if len(back) <= 1 else back[:before] if len(back) >= before else back[:1]
    step = Step(
        kind=StepKind.SET_REPLICA_NUMBER,
        precondition={**named, "count": before},
        action={**named, "count": after, "resourceGroups": " ".join(resource_groups)},
        verification={**named, "count": after, "deadlineSeconds": deadline_seconds},
        undo={**named, "count": before, "resourceGroups": " ".join(back)},
    )
    return (step,)


def _batches(moves: Sequence[Relocation]) -> list[list[Relocation]]:
    """Consecutive relocations of one collection, source and destination, at most 16 at once."""
    runs = [
        list(run)
        for _, run in groupby(moves, lambda one: (one.collection_id, one.source_node_id, one.destination_node_id))
    ]
    size = MOST_SEGMENTS_PER_STEP
    return [run[start : start + size] for run in runs for start in range(0, len(run), size)]


def _move(batch: Sequence[Relocation], snapshot: Snapshot) -> Step:
    first = batch[0]
    collection = next((one for one in snapshot.collections if one.collection_id == first.collection_id), None)
    if collection is None:
        raise ValueError(f"collection {first.collection_id} is not loaded")
    what: Parameters = {
        "database": collection.database,
        "collection": collection.name,
        "segments": " ".join(str(one.segment_id) for one in batch),
    }
    here, there = (_pod(snapshot, node) for node in (first.source_node_id, first.destination_node_id))
    source, destination = ({**what, "pod": node.pod, "podUid": node.pod_uid} for node in (here, there))
    return Step(
        kind=StepKind.MOVE_SEGMENTS,
        precondition=source,
        action=destination,
        verification={**destination, "deadlineSeconds": MOVE_DEADLINE_SECONDS},
        undo=source,
    )


def _pod(snapshot: Snapshot, node_id: int) -> QueryNode:
    node = next((one for one in snapshot.members if one.node_id == node_id), None)
    if node is None:
        raise ValueError(f"node {node_id} is no QueryNode that serves and stays")
    return node


def _held_off() -> Step:
    take = take_placement()
    return replace(take, verification={**take.verification, "settleSeconds": SETTLE_SECONDS})


def _let_go() -> Step:
    """The reverse of `_held_off`; on the way back Milvus is held off again, and gets as long for it."""
    ours = {"key": PLACEMENT_KEY, "value": "false"}
    absent = {"key": PLACEMENT_KEY, "value": None}
    return Step(
        kind=StepKind.RETURN_PLACEMENT,
        precondition=ours,
        action=absent,
        verification=absent,
        undo={**ours, "leaseSeconds": PLACEMENT_LEASE_SECONDS, "settleSeconds": SETTLE_SECONDS},
    )
