"""Steps as a decision makes them, for the tests of what is made of steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from milvus_tuning.catalogue import SCHEDULING_FIELD
from milvus_tuning.plan import Step, StepKind
from milvus_tuning.snapshot import Segment

PLACEMENT_KEY = "querycoord.autobalance"
INTERVAL_KEY = "querycoord.autobalanceinterval"


def a_scale(before: int | str, after: int | str, **verification: str | int | None) -> Step:
    """From so many QueryNodes to so many; text where the numbers come from the stored form."""
    return Step(
        kind=StepKind.SCALE_QUERY_NODES,
        precondition={"desiredCount": before},
        action={"count": after},
        verification={"servingCount": after, "deadlineSeconds": 900, **verification},
        undo={"count": before},
    )


def a_drain(pod: str = "qn-2", *, grace: int = 1800) -> Step:
    """The mark on the pod that leaves."""
    return Step(
        kind=StepKind.DRAIN_QUERY_NODE,
        precondition={"pod": pod, "podUid": f"uid-of-{pod}", "gracePeriodSeconds": grace},
        action={"pod": pod, "deletionCost": -1000},
        verification={"pod": pod, "deletionCost": -1000},
        undo={"pod": pod, "deletionCost": None},
    )


def a_scale_in(before: int = 3, pod: str = "qn-2") -> tuple[Step, Step]:
    """One QueryNode less: the mark, then the count."""
    return a_drain(pod), a_scale(before, before - 1, pod=pod, podUid=f"uid-of-{pod}")


def a_key(
    key: str = INTERVAL_KEY,
    *,
    before: str | None = None,
    after: str | None = "30000",
    kind: StepKind = StepKind.SET_CONFIG,
) -> Step:
    """A key of Milvus from one value to another; None is absent."""
    old, new = {"key": key, "value": before}, {"key": key, "value": after}
    return Step(kind=kind, precondition=old, action=new, verification=new, undo=old)


INTERVAL = a_key()
TAKE = a_key(PLACEMENT_KEY, after="false", kind=StepKind.TAKE_PLACEMENT)
HAND_BACK = a_key(PLACEMENT_KEY, before="false", after=None, kind=StepKind.RETURN_PLACEMENT)


def a_move(
    *segments: int, source: str = "qn-1", destination: str = "qn-2", collection: str = "products", **verification: int
) -> Step:
    """These segments from one pod to another."""
    what = {"database": "default", "collection": collection, "segments": " ".join(map(str, segments))}
    here, there = ({**what, "pod": pod, "podUid": f"uid-of-{pod}"} for pod in (source, destination))
    return Step(
        kind=StepKind.MOVE_SEGMENTS,
        precondition=here,
        action=there,
        verification={**there, "deadlineSeconds": 180, **verification},
        undo=here,
    )


def a_replica_change(before: int = 1, after: int = 2, *, collection: str = "products") -> Step:
    """From so many in-memory replicas to so many."""
    what = {"database": "default", "collection": collection}
    return Step(
        kind=StepKind.SET_REPLICA_NUMBER,
        precondition={**what, "count": before},
        action={**what, "count": after, "resourceGroups": "rg1"},
        verification={**what, "count": after, "deadlineSeconds": 600},
        undo={**what, "count": before, "resourceGroups": "rg1"},
    )


def moved_segments(segments: Iterable[Segment], where: Mapping[int, tuple[int, ...] | None]) -> Iterator[Segment]:
    """The segments with some of them on other nodes, or (None) not there any more."""
    for segment in segments:
        nodes = where.get(segment.segment_id, segment.node_ids)
        if nodes is not None:
            yield replace(segment, node_ids=nodes)


def a_level(
    before: str = "Bounded", after: str = "Strong", *, remains: str | None = None, collection: str = "products"
) -> Step:
    """The default consistency level of a collection, from one to another."""
    what = {"database": "default", "collection": collection, "property": "consistency_level"}
    return Step(
        kind=StepKind.SET_COLLECTION_PROPERTY,
        precondition={**what, "value": before},
        action={**what, "value": after},
        verification={**what, "value": after if remains is None else remains},
        undo={**what, "value": before},
    )


def a_restart(component: str = "Proxy", *, back: bool = False, count: int = 2, deadline: int = 600) -> Step:
    """The pods of a component, one at a time; on the way back only where that is said."""
    of: dict[str, str | int | None] = {"component": component}
    return Step(
        kind=StepKind.RESTART_COMPONENT,
        precondition={**of, "count": count},
        action={**of, "when": "Back" if back else "Forward"},
        verification={**of, "deadlineSeconds": deadline},
        undo=of,
    )


def a_preference(before: str | None = None, after: str | None = "WithProxies", *, deadline: int = 900) -> Step:
    """Three QueryNodes prefer another zone; None is no preference."""
    old, new = {"key": SCHEDULING_FIELD, "value": before}, {"key": SCHEDULING_FIELD, "value": after}
    return Step(
        kind=StepKind.SET_SCHEDULING,
        precondition={**old, "count": 3},
        action=new,
        verification={**new, "deadlineSeconds": deadline},
        undo=old,
    )
