"""What a snapshot shows of the steps that Milvus itself carries out: segments moved, and in-memory replicas.

A segment has one node for each in-memory replica. Of a move only its two nodes count: with two replicas segment 7 is on
nodes 1 and 3, and a move from 1 to 2 is over when it is on 2 and 3.

    on the source, or on both (Milvus loads before it releases)     Before
    on the destination, every one of them                           After
    any on neither, or gone (compacted), or a pod is another one    Foreign

While Milvus cannot be asked, or this collection was not read, nothing is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from milvus_tuning.decide.seen.sight import Effect, Sight, View, find_pod, integer
from milvus_tuning.decide.words import listed
from milvus_tuning.plan import Parameters, Step, segment_ids
from milvus_tuning.snapshot import Collection, ProblemKind, QueryNode, Replica, SegmentState, Snapshot

FULLY_LOADED_PERCENT = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class _Placed:
    """Where the segments of a move are: ids that are on the source, on the destination, and on neither."""

    collection: str
    source: QueryNode
    destination: QueryNode
    at_source: frozenset[int]
    at_destination: frozenset[int]
    stray: tuple[int, ...]


def look_at_moves(step: Step, snapshot: Snapshot) -> View:
    """Where the segments of a MoveSegments step are."""
    placed = _placed(step, snapshot)
    if isinstance(placed, View):
        return placed
    if placed.stray:
        where = (
            f"{'is' if len(placed.stray) == 1 else 'are'} on neither {placed.source.pod} nor {placed.destination.pod}"
        )
        message = f"{listed(map(str, placed.stray))} of {placed.collection} {where}: placed anew, or compacted"
        return View(sight=Sight.FOREIGN, message=message)
    moved = placed.at_destination - placed.at_source
    total = len(placed.at_source | placed.at_destination)
    message = f"{len(moved)} of {total} segments of {placed.collection} are on {placed.destination.pod}"
    if not placed.at_source:
        return View(sight=Sight.AFTER, message=message)
    held = f"{message}, {len(placed.at_source)} on {placed.source.pod}"
    return View(sight=Sight.BEFORE, message=held)


def moves_effect(step: Step, snapshot: Snapshot) -> Effect:
    """Whether the segments have arrived, once Milvus has answered that they would."""
    view = look_at_moves(step, snapshot)
    refused = "; Milvus answered success but did not move them" if view.sight is Sight.BEFORE else ""
    return Effect(reached=view.sight is Sight.AFTER, message=f"{view.message}{refused}")


def moves_undone(step: Step, snapshot: Snapshot) -> bool | None:
    """Whether nothing is left to be moved back, None where it is not known.

    A segment that is on neither node is not ours any more, and where a pod is gone there is nothing to move.
    """
    placed = _placed(step, snapshot)
    if isinstance(placed, View):
        return None if placed.sight is Sight.UNKNOWN else True
    return not placed.at_destination


def moved_back(steps: Sequence[Step], snapshot: Snapshot) -> str | None:
    """How many of the moved segments are where they came from again, in words; None where none is, or it is not known.

    After a swap that is Milvus's balancer. Segments that were compacted, or went elsewhere, are not counted.
    """
    placed = [one for one in (_placed(step, snapshot) for step in steps) if isinstance(one, _Placed)]
    back = sum(len(one.at_source - one.at_destination) for one in placed)
    total = sum(len(one.at_source | one.at_destination) for one in placed)
    return f"{back} of {total} moved segments are back where they were: Milvus moved them" if back else None


def look_at_replicas(step: Step, snapshot: Snapshot) -> View:
    """How many in-memory replicas the collection of a SetReplicaNumber step has."""
    found = _collection(step.action, snapshot)
    if isinstance(found, View):
        return found
    count, before = len(_replicas(found, snapshot)), integer(step.precondition, "count")
    message = f"{found.full_name} has {_counted(count)}"
    if count == integer(step.action, "count"):
        return View(sight=Sight.AFTER, message=message)
    if count == before:
        return View(sight=Sight.BEFORE, message=message)
    return View(sight=Sight.FOREIGN, message=f"{message}, not {before}: somebody else changed the number")


def replicas_effect(step: Step, snapshot: Snapshot) -> Effect:
    """Whether each replica serves every sealed segment."""
    found, view = _collection(step.action, snapshot), look_at_replicas(step, snapshot)
    if isinstance(found, View) or view.sight is not Sight.AFTER:
        return Effect(reached=False, message=view.message)
    if found.load_percent < FULLY_LOADED_PERCENT:
        return Effect(reached=False, message=f"{view.message}, loaded to {found.load_percent} %")
    missing = _unserved(found, snapshot)
    if missing:
        message = f"{view.message}; {missing} copies of segments are not served yet"
        return Effect(reached=False, message=message)
    return Effect(reached=True, message=f"{view.message}, and each serves every segment")


def replicas_undone(step: Step, snapshot: Snapshot) -> bool | None:
    """Whether the former number is there, None where it is not known."""
    found = _collection(step.action, snapshot)
    if isinstance(found, View):
        return None if found.sight is Sight.UNKNOWN else True
    return len(_replicas(found, snapshot)) == integer(step.undo, "count")


def _placed(step: Step, snapshot: Snapshot) -> _Placed | View:
    """Where the segments are, or what is seen instead."""
    found = _collection(step.action, snapshot)
    if isinstance(found, View):
        return found
    source, destination = (_node(part, snapshot) for part in (step.precondition, step.action))
    if isinstance(source, View):
        return source
    if isinstance(destination, View):
        return destination
    ends = {source.node_id, destination.node_id}
    if not any(ends <= set(replica.node_ids) for replica in _replicas(found, snapshot)):
        message = f"no in-memory replica of {found.full_name} has both {source.pod} and {destination.pod}"
        return View(sight=Sight.FOREIGN, message=message)
    nodes = {
        segment.segment_id: segment.node_ids
        for segment in snapshot.segments
        if segment.collection_id == found.collection_id and segment.state is SegmentState.SEALED
    }
    ids = segment_ids(step.action)
    return _Placed(
        collection=found.full_name,
        source=source,
        destination=destination,
        at_source=frozenset(one for one in ids if source.node_id in nodes.get(one, ())),
        at_destination=frozenset(one for one in ids if destination.node_id in nodes.get(one, ())),
        stray=tuple(one for one in ids if ends.isdisjoint(nodes.get(one, ()))),
    )


def _collection(parameters: Parameters, snapshot: Snapshot) -> Collection | View:
    """The collection of a step, with its placement known; or what is seen instead."""
    name = f"{parameters.get('database')}.{parameters.get('collection')}"
    problem = snapshot.problem(ProblemKind.MILVUS_UNREACHABLE, ProblemKind.MILVUS_CREDENTIALS_REJECTED)
    if problem is not None or snapshot.workload is None or snapshot.milvus_version is None:
        return View(sight=Sight.UNKNOWN, message=problem.message if problem else "Milvus or its pods cannot be read")
    found = next((one for one in snapshot.collections if one.full_name == name), None)
    if snapshot.placement_coverage < 1 and (found is None or not _replicas(found, snapshot)):
        return View(sight=Sight.UNKNOWN, message=f"the placement of {name} was not read")
    return found or View(sight=Sight.FOREIGN, message=f"{name} is not loaded any more")


def _node(place: Parameters, snapshot: Snapshot) -> QueryNode | View:
    node = find_pod(snapshot, place.get("pod"), place.get("podUid"))
    if node is None or node.terminating or not node.ready:
        return View(sight=Sight.FOREIGN, message=f"{place.get('pod')} is not a ready pod any more")
    if node.node_id is None:
        return View(sight=Sight.UNKNOWN, message=f"which Milvus node runs in {node.pod} is not known")
    return node


def _replicas(collection: Collection, snapshot: Snapshot) -> list[Replica]:
    return [one for one in snapshot.replicas if one.collection_id == collection.collection_id]


def _unserved(collection: Collection, snapshot: Snapshot) -> int:
    """Sealed segments that a replica has on none of its nodes, counted for each replica."""
    copies = [set(replica.node_ids) for replica in _replicas(collection, snapshot)]
    return sum(
        1
        for segment in snapshot.segments
        if segment.collection_id == collection.collection_id and segment.state is SegmentState.SEALED
        for nodes in copies
        if nodes.isdisjoint(segment.node_ids)
    )


def _counted(count: int) -> str:
    return f"{count} in-memory replica{'' if count == 1 else 's'}"
