"""Clusters with heat, in which each segment is a collection of its own: what Milvus's balancer cannot even out.

a_placement([[0.9, 0.9], [0.1, 0.1]])    qn-1 with two segments of 0.9 cores each, qn-2 with two of 0.1: 90 and 10 %
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.catalogue import normalised
from milvus_tuning.decide.heat.model import HeatMap, NodeHeat, SegmentHeat
from milvus_tuning.decide.placement.hot_segments import decide_placement
from milvus_tuning.plan import (
    Decision,
    History,
    Operation,
    Reason,
    Step,
    StepKind,
    StepRecord,
    StepState,
    Verdict,
)
from milvus_tuning.snapshot import Collection, EtcdSetting, QueryNode, Replica, Segment, Snapshot
from tests.builders import CPU_LIMIT_CORES, GIB, NOON, a_history, a_node, a_snapshot, a_spec

AUTO_BALANCE = "querycoord.autobalance"
ROWS = 10_000
SEGMENT_BYTES = GIB // 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """A snapshot and the heat of its segments."""

    snapshot: Snapshot
    heat: HeatMap


def a_placement(
    heats: Sequence[Sequence[float]],
    *,
    rows: Mapping[int, int] | None = None,
    sizes: Mapping[int, int] | None = None,
    nodes: Mapping[str, Mapping[str, Any]] | None = None,
    error: float | None = 0.05,
    gaps: Sequence[str] = (),
    collections: Mapping[int, int] | None = None,
    **snapshot: Any,
) -> Placed:
    """One node for each row of cores. rows, sizes (bytes), collections: of segments; by default each has its own.

    Segments have the ids 5000, 5001, ... in their order, collection c0 the id 100; one replica on all nodes each.
    """
    members = tuple(
        replace(a_node(f"qn-{at}", node_id=at, cpu=sum(held) / CPU_LIMIT_CORES), **(nodes or {}).get(f"qn-{at}", {}))
        for at, held in enumerate(heats, start=1)
    )
    copies: list[SegmentHeat] = []
    for at, held in enumerate(heats, start=1):
        for cores in held:
            number = len(copies)
            collection = (collections or {}).get(5000 + number, 100 + number)
            copies.append(
                SegmentHeat(
                    segment_id=5000 + number,
                    collection_id=collection,
                    replica_id=1000 + collection,
                    node_id=at,
                    rows=(rows or {}).get(5000 + number, ROWS),
                    memory_bytes=(sizes or {}).get(5000 + number, SEGMENT_BYTES),
                    cores=cores,
                )
            )
    facts = {**_placed_parts(members, copies), "settings_readable": True, "etcd_root_path": "by-dev", **snapshot}
    return Placed(snapshot=replace(a_snapshot(members), **facts), heat=_heat(members, copies, error, gaps))


def _placed_parts(members: Sequence[QueryNode], copies: Sequence[SegmentHeat]) -> dict[str, Any]:
    ids = sorted({one.collection_id for one in copies})
    return {
        "collections": tuple(Collection(collection_id=one, name=f"c{one - 100}") for one in ids),
        "replicas": tuple(
            Replica(replica_id=1000 + one, collection_id=one, node_ids=tuple(node.node_id or 0 for node in members))
            for one in ids
        ),
        "segments": tuple(
            Segment(segment_id=one.segment_id, collection_id=one.collection_id, rows=one.rows, node_ids=(one.node_id,))
            for one in copies
        ),
    }


def _heat(
    members: Sequence[QueryNode], copies: Sequence[SegmentHeat], error: float | None, gaps: Sequence[str]
) -> HeatMap:
    nodes = tuple(
        NodeHeat(
            pod=node.pod,
            node_id=node.node_id or 0,
            cpu_limit_cores=node.cpu_limit_cores,
            expected_cores=sum(one.cores for one in copies if one.node_id == node.node_id),
            measured_cores=node.cpu_cores.value,
        )
        for node in members
    )
    return HeatMap(at=NOON, segments=tuple(copies), nodes=nodes, error_ratio=error, gaps=tuple(gaps))


def a_policy(
    *, mode: str = "Act", owner: str | None = None, objectives: Mapping[str, int] | None = None, **rules: Any
) -> MilvusTuningSpec:
    """A policy in mode Auto with hot segments; rules are fields of hotSegments."""
    balancing: dict[str, Any] = {"hot_segments": {"mode": mode, **rules}}
    if owner is not None:
        balancing["placement_owner"] = owner
    return a_spec(load_balancing=balancing, objectives=dict(objectives) if objectives else None)


def auto_balance(value: str, **changes: Any) -> dict[str, EtcdSetting]:
    """The key of Milvus's balancer as it stands in etcd."""
    setting = EtcdSetting(key=AUTO_BALANCE, value=value, spellings=(AUTO_BALANCE,), revision=1)
    return {normalised(AUTO_BALANCE): replace(setting, **changes)}


def decided(
    placed: Placed,
    spec: MilvusTuningSpec | None = None,
    history: History | None = None,
    *,
    operations: Sequence[Operation] = (),
    lasting_seconds: float = 3600.0,
    now: datetime = NOON,
) -> Decision:
    """What is decided when all passes of the last hour saw this."""
    past = history or a_history(placed.snapshot, operations=operations, lasting_seconds=lasting_seconds)
    found = decide_placement(spec or a_policy(), placed.snapshot, placed.heat, past, now)
    assert found is not None
    return found


def a_move_operation(
    *,
    ended_seconds_ago: float = 1800.0,
    verdict: Verdict | None = Verdict.KEPT,
    outcome: Reason | None = Reason.COMPLETED,
    segments: Sequence[int] = (5000,),
    pod: str = "qn-2",
    state: StepState = StepState.DONE,
) -> Operation:
    """A plan of the past that moved these segments to this pod."""
    end = NOON - timedelta(seconds=ended_seconds_ago)
    what = {"database": "default", "collection": "c0", "segments": " ".join(map(str, segments))}
    there = {**what, "pod": pod, "podUid": f"uid-of-{pod}"}
    step = Step(kind=StepKind.MOVE_SEGMENTS, precondition=what, action=there, verification=there, undo=what)
    return Operation(
        operation_id=f"moved-{ended_seconds_ago:.0f}",
        reason=Reason.HOT_NODE,
        message="",
        started_at=end - timedelta(seconds=60),
        steps=(StepRecord(step=step, state=state),),
        finished_at=end,
        outcome=outcome,
        verdict=verdict,
    )


def freely(heats: Sequence[Sequence[float]], **changes: Any) -> Placed:
    """With Milvus's balancer off by its key in etcd."""
    return a_placement(heats, settings=auto_balance("false"), **changes)


def moves_of(decision: Decision) -> dict[int, str]:
    """Where each segment goes."""
    return {
        int(segment): str(step.action["pod"])
        for step in decision.steps
        if step.kind is StepKind.MOVE_SEGMENTS
        for segment in str(step.action["segments"]).split()
    }
