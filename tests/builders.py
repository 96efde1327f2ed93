"""One builder per type with sensible defaults; a test shows only what matters to it.

The usual cluster: Milvus 2.3.5 in a Helm release, three QueryNodes with 2 CPU and 8 GiB each, half loaded, one
collection with one replica spread evenly, a grace period of 30 minutes.

    a_snapshot(nodes=3, cpu=0.3, hot="qn-1")      three nodes at 30 % of their CPU, but qn-1 at 95 %
    a_spec(min_count=2, max_count=6, scale_in={"computation_window_seconds": 60})
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from milvus_tuning.api import MilvusTuningSpec, Mode
from milvus_tuning.decide.load import signal
from milvus_tuning.plan import (
    Change,
    History,
    Operation,
    Prediction,
    Reason,
    Risk,
    Signal,
    Step,
    StepKind,
    StepRecord,
    StepState,
)
from milvus_tuning.snapshot import (
    Collection,
    QueryNode,
    Replica,
    Sample,
    Segment,
    Snapshot,
    Traffic,
    Workload,
    WorkloadKind,
)

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
GIB = 2**30
MEMORY_LIMIT_BYTES = 8 * GIB
CPU_LIMIT_CORES = 2.0
SEGMENT_ROWS = 10_000
SEGMENTS_PER_NODE = 4


def a_sample(value: float | None = 1.0, *, age: float = 5.0, coverage: float = 1.0) -> Sample:
    """A fresh and complete measurement."""
    return Sample(value=value, age_seconds=age, coverage=coverage)


def a_node(
    pod: str = "qn-1",
    *,
    node_id: int | None = 1,
    cpu: float | None = 0.5,
    memory: float | None = 0.5,
    loaded: float | None = None,
    concurrency: float | None = None,
    concurrency_cap: int | None = None,
    age: float = 5.0,
    created_at: datetime = NOON - timedelta(days=1),
    grace: int = 1800,
    **changes: Any,
) -> QueryNode:
    """A QueryNode; cpu, memory and loaded (default: memory less a tenth) are shares of its limits, None is missing."""
    held = loaded if loaded is not None or memory is None else max(0.0, memory - 0.1)
    node = QueryNode(
        pod=pod,
        pod_uid=f"uid-of-{pod}",
        node_id=node_id,
        ip=f"10.0.0.{node_id or 250}",
        created_at=created_at,
        grace_period_seconds=grace,
        memory_limit_bytes=MEMORY_LIMIT_BYTES,
        cpu_limit_cores=CPU_LIMIT_CORES,
        resident_memory_bytes=_share(memory, MEMORY_LIMIT_BYTES, age),
        loaded_bytes=_share(held, MEMORY_LIMIT_BYTES, age),
        cpu_cores=_share(cpu, CPU_LIMIT_CORES, age),
        read_concurrency=a_sample(concurrency, age=age) if concurrency is not None else Sample.missing(),
        read_concurrency_cap=concurrency_cap,
    )
    return replace(node, **changes) if changes else node


def some_nodes(count: int, **each: Any) -> tuple[QueryNode, ...]:
    """QueryNodes qn-1, qn-2, ... with Milvus node ids 1, 2, ..."""
    return tuple(a_node(f"qn-{number}", node_id=number, **each) for number in range(1, count + 1))


@lru_cache(maxsize=256)  # crash stories ask for the same few nodes in thousands of passes
def _like_nodes(count: int, cpu: float | None, memory: float | None, grace: int) -> tuple[QueryNode, ...]:
    return some_nodes(count, cpu=cpu, memory=memory, grace=grace)


def a_snapshot(
    nodes: int | Sequence[QueryNode] = 3,
    *,
    cpu: float | None = 0.5,
    memory: float | None = 0.5,
    hot: str | None = None,
    hot_cpu: float = 0.95,
    grace: int = 1800,
    replicas: int = 1,
    at: datetime = NOON,
    workload: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Snapshot:
    """A settled cluster; `hot` names the node that works at hot_cpu; `workload` changes fields of the Workload."""
    members = _like_nodes(nodes, cpu, memory, grace) if isinstance(nodes, int) else tuple(nodes)
    if hot is not None:
        busy = _share(hot_cpu, CPU_LIMIT_CORES, 5.0)
        members = tuple(replace(node, cpu_cores=busy) if node.pod == hot else node for node in members)
    snapshot = Snapshot(
        taken_at=at,
        workload=a_workload(members, **(workload or {})),
        milvus_version="2.3.5",
        query_nodes=members,
        collections=(Collection(collection_id=100, name="products"),),
        replicas=some_replicas(members, replicas),
        segments=some_segments(members, replicas),
        traffic=Traffic(searches_per_second=a_sample(100.0), p99_milliseconds=a_sample(30.0)),
    )
    return replace(snapshot, **changes) if changes else snapshot


def a_workload(members: Sequence[QueryNode] = (), **changes: Any) -> Workload:
    """The Deployment of a Helm release whose replica count nobody claims."""
    count = sum(1 for node in members if node.ready and not node.terminating)
    workload = Workload(
        kind=WorkloadKind.DEPLOYMENT,
        namespace="milvus",
        name="my-release-milvus-querynode",
        desired_count=count,
        ready_count=count,
        serving_count=count,
    )
    return replace(workload, **changes)


def some_replicas(members: Sequence[QueryNode], count: int = 1) -> tuple[Replica, ...]:
    """In-memory replicas of one collection, the nodes dealt out in turn; the first node of each leads its channel."""
    ids = [node.node_id for node in members if node.node_id is not None]
    dealt = [tuple(ids[number::count]) for number in range(count)]
    return tuple(
        Replica(
            replica_id=1000 + number,
            collection_id=100,
            node_ids=held,
            leaders=(("by-dev-rootcoord-dml_0", held[0]),) if held else (),
        )
        for number, held in enumerate(dealt)
    )


def some_segments(members: Sequence[QueryNode], replicas: int = 1) -> tuple[Segment, ...]:
    """Equal segments, spread evenly inside each replica."""
    copies = [replica.node_ids for replica in some_replicas(members, replicas) if replica.node_ids]
    return _even_segments(SEGMENTS_PER_NODE * (len(members) // max(1, replicas)), tuple(copies))


@lru_cache(maxsize=256)
def _even_segments(total: int, copies: tuple[tuple[int, ...], ...]) -> tuple[Segment, ...]:
    return tuple(
        Segment(
            segment_id=5000 + number,
            collection_id=100,
            rows=SEGMENT_ROWS,
            node_ids=tuple(held[number % len(held)] for held in copies),
        )
        for number in range(total)
    )


def a_spec(
    *,
    mode: Mode = Mode.AUTO,
    min_count: int = 2,
    max_count: int = 6,
    scale_out: Mapping[str, int] | None = None,
    scale_in: Mapping[str, int] | None = None,
    query_nodes: Mapping[str, Any] | None = None,
    **changes: Any,
) -> MilvusTuningSpec:
    """A policy in mode Auto for a Helm release, with the default windows."""
    managed = {
        "min_count": min_count,
        "max_count": max_count,
        "scale_out": dict(scale_out or {}),
        "scale_in": dict(scale_in or {}),
        **(query_nodes or {}),
    }
    fields: dict[str, Any] = {
        "target_ref": {"kind": "HelmRelease", "name": "my-release"},
        "mode": mode,
        "connections": {"prometheus": {"url": "http://prometheus:9090"}},
        "query_nodes": managed,
        **changes,
    }
    return MilvusTuningSpec.model_validate(fields)


def a_history(
    snapshot: Snapshot,
    *,
    lasting_seconds: float = 3600.0,
    spacing_seconds: float = 15.0,
    until: datetime = NOON,
    operations: Sequence[Operation] = (),
) -> History:
    """Passes that all saw what this snapshot shows, for so long, up to `until`."""
    return History(
        signals=lasting_signals(snapshot, lasting_seconds, spacing_seconds, until), operations=tuple(operations)
    )


def lasting_signals(
    snapshot: Snapshot, lasting_seconds: float, spacing_seconds: float = 15.0, until: datetime = NOON
) -> tuple[Signal, ...]:
    """The same signal again and again, oldest first, the last one at `until`."""
    seen = signal(snapshot, snapshot.taken_at)
    count = int(lasting_seconds // spacing_seconds)
    same = {field.name: getattr(seen, field.name) for field in fields(seen) if field.name != "at"}
    times = (until - timedelta(seconds=spacing_seconds * back) for back in range(count, -1, -1))
    return tuple(Signal(at=at, **same) for at in times)  # hundreds each time: `replace` takes three times as long


def a_finished_operation(
    *,
    ended_seconds_ago: float = 3600.0,
    took_seconds: float = 60.0,
    outcome: Reason = Reason.COMPLETED,
    kind: StepKind = StepKind.SCALE_QUERY_NODES,
    now: datetime = NOON,
) -> Operation:
    """An operation of the past, by default a change of size."""
    end = now - timedelta(seconds=ended_seconds_ago)
    step = Step(kind=kind, precondition={}, action={}, verification={}, undo={})
    return Operation(
        operation_id=f"past-{ended_seconds_ago:.0f}",
        reason=Reason.SCALE_OUT_COMPUTATION,
        message="",
        started_at=end - timedelta(seconds=took_seconds),
        steps=(StepRecord(step=step, state=StepState.DONE),),
        finished_at=end,
        outcome=outcome,
    )


def a_change(**changes: Any) -> Change:
    """Two QueryNodes more, proposed at noon and good for an hour."""
    grow = Step(
        kind=StepKind.SCALE_QUERY_NODES,
        precondition={"desiredCount": 2},
        action={"count": 4},
        verification={"servingCount": 4, "deadlineSeconds": 900},
        undo={"count": 2},
    )
    change = Change(
        policy_name="rag",
        policy_uid="0d7c",
        policy_generation=3,
        intent_digest="a1",
        inputs_digest="b2",
        target="Deployment milvus/my-release-milvus-querynode",
        sequence=7,
        reason=Reason.SCALE_OUT_COMPUTATION,
        message="2 -> 4 QueryNodes: computation 80 %",
        steps=(grow,),
        risk=Risk.MEDIUM,
        risk_reasons=("2 QueryNodes more",),
        prediction=Prediction(node_count_before=2, node_count_after=4),
        proposed_at=NOON,
        expires_at=NOON + timedelta(hours=1),
    )
    return replace(change, **changes)


def _share(share: float | None, limit: float, age: float) -> Sample:
    return Sample.missing() if share is None else a_sample(share * limit, age=age)
