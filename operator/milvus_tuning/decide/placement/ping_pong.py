"""Watching Milvus's balancer: which segments it moves, and which moves come to nothing.

A move is a sealed segment that one pass saw on one QueryNode of a replica and a later pass sees on another. Moves with
a cause that is no ping-pong are not counted:

    off a QueryNode that leaves, is marked to leave, or is gone   drain; a restart, after which it has another id
    to a QueryNode that is younger than 10 minutes                it is being filled
    moves of our own plans                                        `own_moves`
    a segment that appears or vanishes                            load, compaction, handoff: no move at all

While a segment is on two QueryNodes of a replica at once it is in transit, and is waited for. What was counted is
judged over the last 30 minutes (`milvus_tuning.plan.moves` has the formula). A chain of moves ends where something that
is not counted came between: Milvus A -> B, we B -> A, Milvus A -> B are two moves that both led somewhere.

The memory is lost with the process. A restart costs the window, nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

from milvus_tuning.plan import Operation, StepKind, StepRecord, StepState
from milvus_tuning.plan.moves import CollectionMoves, LastMove, PlacementMoves, is_ping_pong, moves_in_words
from milvus_tuning.snapshot import Collection, QueryNode, SegmentState, Snapshot

WINDOW = timedelta(minutes=30)
YOUNG = timedelta(minutes=10)  # a new QueryNode is filled within minutes; a spread that takes longer has no returns
UNREAD = timedelta(minutes=10)  # after that without a placement nothing is known
LATE = timedelta(minutes=10)  # what a snapshot knows of a collection may be that old (observe.placement_cache)
MOST_MOVES = 100_000

__all__ = [
    "CollectionMoves",
    "PlacementLog",
    "PlacementMoves",
    "SegmentMove",
    "is_ping_pong",
    "log_placement",
    "moves_in_words",
    "moving_collections",
    "own_moves",
    "placement_moves",
]

_Place = tuple[int, int, int]  # collection id, replica id, segment id


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentMove:
    """A segment of a replica that was on source and is on target; ids of Milvus nodes. at: when it was seen."""

    at: datetime
    collection_id: int
    replica_id: int
    segment_id: int
    source: int
    target: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sighting:
    """When something was seen first and last."""

    first: datetime
    last: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reading:
    """A collection as it was when its placement was read last."""

    at: datetime
    collection: Collection


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacementLog:
    """What is remembered of the placement: where each segment was seen last, and the moves of the window.

    since and at are the first and the last time that a placement was read; None before that.
    """

    moves: tuple[SegmentMove, ...] = ()
    places: Mapping[_Place, int] = field(default_factory=dict)  # the node id that each segment was seen on last
    nodes: Mapping[int, _Sighting] = field(default_factory=dict)
    collections: Mapping[int, _Reading] = field(default_factory=dict)
    since: datetime | None = None
    at: datetime | None = None


def log_placement(
    log: PlacementLog, snapshot: Snapshot, now: datetime, *, own: frozenset[tuple[int, str]] = frozenset()
) -> PlacementLog:
    """The log with what this snapshot shows. own: (segment id, pod it goes to) of our own moves (`own_moves`)."""
    read = _readings(snapshot, now)
    if not read:
        return log
    seen, in_transit = _seen_places(snapshot)
    nodes = _sightings(log, snapshot, now)
    moves = _moves(log, seen, _Judge(snapshot=snapshot, nodes=nodes, own=own, now=now))
    unread = {one: known for one, known in log.collections.items() if one not in read and now - known.at < WINDOW}
    waiting = {place: node for place, node in log.places.items() if place[0] in unread or place in in_transit}
    interrupted = log.at is None or now - log.at >= UNREAD
    return PlacementLog(
        moves=(*(move for move in log.moves if now - move.at < WINDOW), *moves)[-MOST_MOVES:],
        places={**waiting, **seen},
        nodes=nodes,
        collections={**unread, **read},
        since=now if interrupted else log.since,
        at=now,
    )


def own_moves(operations: Iterable[Operation], log: PlacementLog) -> frozenset[tuple[int, str]]:
    """(segment id, pod) of what our plans moved, or tried to move, and the last reading may not have shown yet."""
    if log.at is None:
        return frozenset()
    since = log.at - LATE
    records = (record for operation in operations for record in operation.steps)
    return frozenset(place for record in records if _counts(record, since) for place in _aimed_at(record))


def moving_collections(log: PlacementLog, snapshot: Snapshot, now: datetime) -> tuple[CollectionMoves, ...]:
    """The collections with counted moves within the window, most moves first; those that were released are left out."""
    chains: dict[int, list[Sequence[SegmentMove]]] = defaultdict(list)
    for chain in _chains(move for move in log.moves if now - move.at < WINDOW):
        chains[chain[0].collection_id].append(chain)
    loaded = snapshot.collections or tuple(known.collection for known in log.collections.values())
    found = (_collection_moves(one, chains[one.collection_id]) for one in loaded if one.collection_id in chains)
    return tuple(sorted(found, key=lambda one: (-one.moves, one.full_name)))


def placement_moves(log: PlacementLog, snapshot: Snapshot, now: datetime) -> PlacementMoves:
    """The moving collections, and for how long the placement has been watched without a gap."""
    unread = log.at is None or log.since is None or now - log.at >= UNREAD
    watched = None if unread or log.since is None else (now - log.since).total_seconds()
    return PlacementMoves(
        collections=moving_collections(log, snapshot, now), watched_seconds=watched, last=_last(log, now)
    )


def _last(log: PlacementLog, now: datetime) -> LastMove | None:
    """The newest counted move of the window, of collections that are still known; of several the first by its place."""
    known = (move for move in log.moves if move.collection_id in log.collections and now - move.at < WINDOW)
    newest = max(known, key=lambda move: (move.at, -move.collection_id, -move.segment_id), default=None)
    if newest is None:
        return None
    return LastMove(
        at=newest.at,
        segment_id=newest.segment_id,
        full_name=log.collections[newest.collection_id].collection.full_name,
        source=newest.source,
        target=newest.target,
    )


def _readings(snapshot: Snapshot, now: datetime) -> dict[int, _Reading]:
    """The collections whose placement is in the snapshot: a loaded one has a replica at least."""
    read = {replica.collection_id for replica in snapshot.replicas}
    return {
        collection.collection_id: _Reading(at=now, collection=collection)
        for collection in snapshot.collections
        if collection.collection_id in read
    }


def _seen_places(snapshot: Snapshot) -> tuple[dict[_Place, int], set[_Place]]:
    """Where each sealed segment of each replica is, and the ones that are on two nodes of their replica."""
    replicas = defaultdict(list)
    for replica in snapshot.replicas:
        replicas[replica.collection_id].append((replica.replica_id, frozenset(replica.node_ids)))
    seen: dict[_Place, int] = {}
    in_transit: set[_Place] = set()
    for segment in snapshot.segments:
        if segment.state is not SegmentState.SEALED:  # it goes elsewhere when it is sealed: handoff
            continue
        for replica_id, members in replicas[segment.collection_id]:
            place = (segment.collection_id, replica_id, segment.segment_id)
            here = [node_id for node_id in segment.node_ids if node_id in members]
            if len(here) == 1:
                seen[place] = here[0]
            elif here:
                in_transit.add(place)
    return seen, in_transit


def _sightings(log: PlacementLog, snapshot: Snapshot, now: datetime) -> dict[int, _Sighting]:
    """The nodes by id. What the first reading shows was there before: how long, only the pods tell."""
    long_ago = now - YOUNG
    nodes = {one: sighting for one, sighting in log.nodes.items() if now - sighting.last < WINDOW}
    since = now if nodes else long_ago
    for node_id in sorted(_pods(snapshot).keys() | _in_replicas(snapshot)):
        known = nodes.get(node_id)
        nodes[node_id] = _Sighting(first=known.first if known else since, last=now)
    return nodes


def _pods(snapshot: Snapshot) -> dict[int, QueryNode]:
    return {node.node_id: node for node in snapshot.query_nodes if node.node_id is not None}


def _in_replicas(snapshot: Snapshot) -> set[int]:
    return {node_id for replica in snapshot.replicas for node_id in replica.node_ids}


class _Judge:
    """Tells the moves that Milvus's balancer chose from the expected ones."""

    def __init__(
        self,
        *,
        snapshot: Snapshot,
        nodes: Mapping[int, _Sighting],
        own: frozenset[tuple[int, str]],
        now: datetime,
    ) -> None:
        self.now = now
        self._pods = _pods(snapshot)
        self._own = own
        self._young = {
            node_id
            for node_id, sighting in nodes.items()
            if now - sighting.first < YOUNG or _created_after(self._pods.get(node_id), now - YOUNG)
        }
        # Milvus may list a node that is gone for a while; where every pod is matched, the pods tell.
        unmatched = any(node.node_id is None for node in snapshot.query_nodes) or not snapshot.query_nodes
        staying = {node_id for node_id, node in self._pods.items() if not _leaves(node)}
        self._staying = staying | (_in_replicas(snapshot) - self._pods.keys() if unmatched else set())

    def counts(self, segment_id: int, source: int, target: int) -> bool:
        """Whether this move has no other cause than the balancer's choice."""
        if source not in self._staying or target in self._young:
            return False
        pod = self._pods.get(target)
        return pod is None or (segment_id, pod.pod) not in self._own


def _created_after(node: QueryNode | None, moment: datetime) -> bool:
    return node is not None and node.created_at is not None and node.created_at > moment


def _leaves(node: QueryNode) -> bool:
    return node.terminating or (node.deletion_cost or 0) < 0  # marked as the next to go


def _moves(log: PlacementLog, seen: Mapping[_Place, int], judge: _Judge) -> Iterator[SegmentMove]:
    for place, target in seen.items():
        source = log.places.get(place)
        collection_id, replica_id, segment_id = place
        if source is None or source == target or not judge.counts(segment_id, source, target):
            continue
        yield SegmentMove(
            at=judge.now,
            collection_id=collection_id,
            replica_id=replica_id,
            segment_id=segment_id,
            source=source,
            target=target,
        )


def _counts(record: StepRecord, since: datetime) -> bool:
    begun = record.state not in {StepState.PENDING, StepState.SKIPPED}
    recent = record.finished_at is None or record.finished_at >= since
    return record.step.kind is StepKind.MOVE_SEGMENTS and begun and recent


def _aimed_at(record: StepRecord) -> Iterator[tuple[int, str]]:
    taken_back = record.state in {StepState.UNDOING, StepState.UNDONE, StepState.FAILED}
    for part in (record.step.action, record.step.undo) if taken_back else (record.step.action,):
        for segment_id in str(part.get("segments") or "").split():
            yield int(segment_id), str(part.get("pod"))


def _chains(moves: Iterable[SegmentMove]) -> Iterator[Sequence[SegmentMove]]:
    """The moves segment by segment, each chain such that a move begins where the one before it ended."""
    open_chains: dict[_Place, list[SegmentMove]] = {}
    for move in moves:
        place = (move.collection_id, move.replica_id, move.segment_id)
        chain = open_chains.get(place)
        if chain is not None and chain[-1].target == move.source:
            chain.append(move)
            continue
        if chain is not None:
            yield chain
        open_chains[place] = [move]
    yield from open_chains.values()


def _collection_moves(collection: Collection, chains: Sequence[Sequence[SegmentMove]]) -> CollectionMoves:
    moves = sum(map(len, chains))
    least = sum(1 for chain in chains if chain[0].source != chain[-1].target)
    returns = [seconds for chain in chains for seconds in _return_seconds(chain)]
    return CollectionMoves(
        collection_id=collection.collection_id,
        database=collection.database,
        name=collection.name,
        moves=moves,
        net_zero_ratio=(moves - least) / moves,
        returns=len(returns),
        return_seconds=median(returns) if returns else None,
    )


def _return_seconds(chain: Sequence[SegmentMove]) -> Iterator[float]:
    """For each move back to a node that was left before: the time since it was left last."""
    left: dict[int, datetime] = {}
    for move in chain:
        left[move.source] = move.at
        if move.target in left:
            yield (move.at - left[move.target]).total_seconds()
