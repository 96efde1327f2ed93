"""Sealed segments moved from one QueryNode to another of the same in-memory replica, by Milvus's load_balance.

Node ids change with every restart, so a step names pods, and the ids are those of the pass. The placement is read right
before the call, and only what is still at its source is moved:

    on the destination, or on both (a move is under way)   left out; nothing else left: done without a call
    on the source                                          moved
    on neither                                             PreconditionChanged; on the way back it is left out

The answer is not believed: from Milvus 2.4 on success is also said of what was refused. The placement tells, later.
While Milvus's balancer is held off for a plan, its lease is renewed before each call, since one may take two minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from milvus_tuning.apply.context import (
    ApplyContext,
    PreconditionChanged,
    connected_milvus,
    milvus_errors,
    text_of,
)
from milvus_tuning.apply.placement import renew_placement_lease
from milvus_tuning.errors import ApplyError
from milvus_tuning.plan import Parameters, Step, segment_ids

_GROWING = 2  # common.proto, SegmentState: a growing segment cannot be moved
_MOST_NAMED = 5


def move_segments(step: Step, *, undo: bool, context: ApplyContext) -> str:
    """Carry out (or take back) a MoveSegments step; what was asked of Milvus, in words."""
    client = connected_milvus(context)
    there, here = (step.undo, step.action) if undo else (step.action, step.precondition)
    source, destination = _node_id(context, here), _node_id(context, there)
    database, collection = text_of(there, "database"), text_of(there, "collection")
    where = f"{database}.{collection} from {here.get('pod')} (node {source}) to {there.get('pod')} (node {destination})"
    with milvus_errors(f"moving segments of {where}"):
        segments = _segments(there)
        placed = {
            info.segmentID: set(info.nodeIds)
            for info in client.segments(database, collection)
            if info.state != _GROWING
        }
        if not undo:
            _check_placed(segments, placed, (source, destination), where)
        to_move = [one for one in segments if source in placed.get(one, ()) and destination not in placed[one]]
        if not to_move:
            return f"nothing to move of {where}: the segments are there already"
        _renew_lease(context)
        context.require_lease()
        client.load_balance(database, collection, source=source, destination=destination, segments=to_move)
    return f"asked Milvus to move {_counted(to_move)} of {where}"


def _node_id(context: ApplyContext, place: Parameters) -> int:
    """The Milvus node in a pod, as it is now."""
    pod, uid = text_of(place, "pod"), text_of(place, "podUid")
    node = next((one for one in context.query_nodes if one.pod == pod and one.pod_uid == uid), None)
    if node is None:
        raise PreconditionChanged(f"{pod} (uid {uid}) is gone")
    if node.terminating or not node.ready:
        raise PreconditionChanged(f"{pod} is {'terminating' if node.terminating else 'not ready'}")
    if node.node_id is None:
        raise PreconditionChanged(f"which Milvus node runs in {pod} is not known beyond doubt")
    return node.node_id


def _segments(place: Parameters) -> tuple[int, ...]:
    try:
        return segment_ids(place)
    except ValueError as error:
        raise ApplyError(f"the step names segments that are no numbers: {error}", retryable=False) from error


def _check_placed(segments: Sequence[int], placed: Mapping[int, set[int]], nodes: tuple[int, int], where: str) -> None:
    strays = [one for one in segments if placed.get(one, set()).isdisjoint(nodes)]
    if strays:
        raise PreconditionChanged(f"{_counted(strays)} of {where} are on neither of the two: placed anew, or compacted")


def _renew_lease(context: ApplyContext) -> None:
    if context.etcd is not None and context.root_path is not None:
        renew_placement_lease(context)


def _counted(segments: Sequence[int]) -> str:
    named = ", ".join(map(str, segments[:_MOST_NAMED]))
    more = f" and {len(segments) - _MOST_NAMED} more" if len(segments) > _MOST_NAMED else ""
    return f"{len(segments)} segment{'' if len(segments) == 1 else 's'} ({named}{more})"
