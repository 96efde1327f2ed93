"""Placements, read one after another, and what the log of them says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from milvus_tuning.decide.placement.ping_pong import (
    CollectionMoves,
    PlacementLog,
    log_placement,
    moving_collections,
)
from milvus_tuning.snapshot import Collection, QueryNode, Replica, Segment, SegmentState, Snapshot
from tests.builders import NOON, a_node

PLACEMENTS = Path(__file__).parent / "placements"
Placement = Mapping[int, Sequence[int]]  # segment id -> node ids
PRODUCTS = Collection(collection_id=100, name="products")


def a_placement(
    placement: Placement,
    *,
    nodes: Sequence[QueryNode] | None = None,
    replicas: Sequence[Sequence[int]] = ((1, 2, 3),),
    state: SegmentState = SegmentState.SEALED,
    collections: Sequence[Collection] = (PRODUCTS,),
    read: bool = True,
    at: datetime = NOON,
) -> Snapshot:
    """One collection on QueryNodes of yesterday, qn-1 with node id 1 and so on."""
    members = [node_id for replica in replicas for node_id in replica]
    segments = [
        Segment(segment_id=segment, collection_id=100, rows=1000, node_ids=tuple(held), state=state)
        for segment, held in placement.items()
    ]
    held = [Replica(replica_id=1 + n, collection_id=100, node_ids=tuple(ids)) for n, ids in enumerate(replicas)]
    return Snapshot(
        taken_at=at,
        query_nodes=tuple(nodes if nodes is not None else (a_node(f"qn-{one}", node_id=one) for one in members)),
        collections=tuple(collections),
        replicas=tuple(held) if read else (),
        segments=tuple(segments) if read else (),
    )


def watched(
    snapshots: Sequence[Snapshot],
    *,
    seconds_apart: int = 60,
    own: frozenset[tuple[int, str]] = frozenset(),
    log: PlacementLog | None = None,
) -> PlacementLog:
    """The log after these readings, the first of which was at noon."""
    kept = log or PlacementLog()
    for number, snapshot in enumerate(snapshots):
        kept = log_placement(kept, snapshot, NOON + timedelta(seconds=seconds_apart * number), own=own)
    return kept


def a_course(*nodes: int | Sequence[int], **each: Any) -> list[Snapshot]:
    """Readings of one segment that is on these nodes in turn."""
    return [a_placement({5: (held,) if isinstance(held, int) else held}, **each) for held in nodes]


def seen(log: PlacementLog, snapshot: Snapshot | None = None, *, seconds: int = 0) -> CollectionMoves | None:
    """What is told of the collection at the last reading, or so many seconds later."""
    assert log.at is not None
    found = moving_collections(log, snapshot or a_placement({}), log.at + timedelta(seconds=seconds))
    return found[0] if found else None


def moves_of(snapshots: Sequence[Snapshot], **how: Any) -> int:
    found = seen(watched(snapshots, **how), snapshots[-1])
    return found.moves if found else 0
