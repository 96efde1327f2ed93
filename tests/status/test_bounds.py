"""A status always fits, and what it loses for that is what is missed least."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milvus_tuning.api import Condition, ConditionStatus, MilvusTuningSpec, MilvusTuningStatus, OperationStatus
from milvus_tuning.decide.heat import HeatMap
from milvus_tuning.plan import Decision, Operation, Reason, Rejection, Signal, Step, StepKind, StepRecord, StepState
from milvus_tuning.snapshot import ResourceGroup
from milvus_tuning.status import Facts, build_status, finished_operations
from milvus_tuning.status.bounds import LARGEST_STATUS_BYTES, fitted, remembered
from milvus_tuning.status.records import operation_to_status
from tests.status.heat_maps import NOW, a_collection, a_map, a_node, a_segment, a_snapshot

SPEC = MilvusTuningSpec.model_validate({"targetRef": {"kind": "HelmRelease", "name": "my-release"}})
POD = "my-release-milvus-querynode-7d9c5b6f4-{:05}"
STEADY = Decision(reason=Reason.STEADY, message="all is well")


@dataclass(frozen=True, kw_only=True)
class Moving:
    """A stand-in for what the decision tells."""

    name: str
    database: str = "default"
    moves: int = 8
    net_zero_ratio: float = 1.0
    return_seconds: float | None = 120.0


def a_move(number: int, *, segments: int = 1) -> StepRecord:
    """A step that moved segments, as the planner makes them."""
    ids = " ".join(str(450_000_000_000_000_000 + number * 100 + one) for one in range(segments))
    what = {"database": "default", "collection": "product_embeddings", "segments": ids}
    here, there = (
        {**what, "pod": POD.format(number + at), "podUid": "0b8a9c1e-3f62-4a51-9d7e-5c2f8b6a1e40"} for at in (0, 1)
    )
    step = Step(
        kind=StepKind.MOVE_SEGMENTS,
        precondition=here,
        action=there,
        verification={**there, "deadlineSeconds": 180},
        undo=here,
    )
    return StepRecord(step=step, state=StepState.DONE, intended_at=NOW, finished_at=NOW, message="m" * 120)


def a_move_plan(number: int, *, steps: int = 4, segments: int = 1) -> OperationStatus:
    operation = Operation(
        operation_id=f"my-release-{number:010}",
        reason=Reason.HOT_NODE,
        message="m" * 200,
        started_at=NOW - timedelta(hours=number),
        finished_at=NOW - timedelta(hours=number),
        steps=tuple(a_move(one, segments=segments) for one in range(steps)),
        outcome=Reason.COMPLETED,
        verdict_message="v" * 200,
    )
    more = {"measured_before": "b" * 120, "measured_after": "a" * 120}
    return remembered(operation_to_status(operation).model_copy(update=more))


def long_past(*, steps: int = 4, segments: int = 1) -> MilvusTuningStatus:
    """What a status holds after months of work: twenty plans of moves, and conditions with long messages."""
    condition = Condition(
        type="Ready",
        status=ConditionStatus.TRUE,
        reason="Observed",
        message="c" * 200,
        last_transition_time="2026-03-01T12:00:00Z",
    )
    conditions = [condition.model_copy(update={"type": f"Condition{number}"}) for number in range(12)]
    history = [a_move_plan(20 - number, steps=steps, segments=segments) for number in range(20)]
    return MilvusTuningStatus(history=history, conditions=conditions)


def some_facts(heat: HeatMap, names: list[str]) -> Facts:
    groups = [ResourceGroup(name=name[:200], node_ids=tuple(range(1, 21))) for name in names[:2]]
    return Facts(
        spec=SPEC,
        snapshot=a_snapshot(heat, groups=groups),
        decision=STEADY,
        signal=Signal(at=NOW, node_count=2, capacity_ratio=0.3, computation_ratio=0.45, even_computation_ratio=0.4),
        heat=heat,
        moving=[Moving(name=name, database=name) for name in names],
    )


def size(status: MilvusTuningStatus) -> int:
    """Bytes of the status as it is stored."""
    fields = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    return len(json.dumps(fields, separators=(",", ":")).encode())


NAMES = st.lists(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=200, max_size=300), min_size=20, max_size=20
)


@given(names=NAMES, pod=st.integers(40, 253), rows=st.integers(1, 40), steps=st.integers(1, 8), segments=st.just(16))
@settings(max_examples=12, deadline=None)
def test_a_status_never_exceeds_its_size(names: list[str], pod: int, rows: int, steps: int, segments: int) -> None:
    heat = a_map(
        collections=[a_collection(number, name=name, database=name) for number, name in enumerate(names)],
        segments=[a_segment(number, collection=number % 20) for number in range(rows)],
        nodes=[a_node(number, pod=f"{number:0>{pod}}") for number in range(1, 21)],
        gaps=("g" * 500,) * 9,
    )
    before = long_past(steps=steps, segments=segments)
    status = build_status(before, some_facts(heat, names), generation=1, now=NOW)
    assert size(status) <= LARGEST_STATUS_BYTES
    assert (status.history or [])[-5:] == (before.history or [])[-5:]
    MilvusTuningStatus.model_validate(status.model_dump(mode="json", by_alias=True))


def test_with_names_of_a_usual_length_everything_fits() -> None:
    names = [f"product_embeddings_{one:02}" for one in range(20)]
    heat = a_map(
        collections=[a_collection(one, name=name) for one, name in enumerate(names)],
        segments=[a_segment(450_000_000_000_000_000 + one, collection=one) for one in range(20)],
        nodes=[a_node(one, pod=POD.format(one)) for one in range(1, 21)],
    )
    before = long_past()
    status = build_status(before, some_facts(heat, names), generation=1, now=NOW)
    assert status.heat is not None
    assert [len(rows or []) for rows in (status.heat.collections, status.heat.segments, status.ping_pong)] == [20] * 3
    assert status.history == before.history


def whole() -> MilvusTuningStatus:
    heat = a_map(
        collections=[a_collection(one, cores=one / 10, name=f"{one:0>250}") for one in range(20)],
        segments=[a_segment(one) for one in range(3)],
    )
    return build_status(long_past(), some_facts(heat, []), generation=1, now=NOW)


ORDER = {
    "all": (10_000_000, 20, 20),
    "the colder half": (-1, 10, 20),
    "all but the hottest five": (-5000, 5, 20),
    "the oldest plan": (-7000, 5, 19),
    "everything that can go": (-10_000_000, 0, 5),
}


@pytest.mark.parametrize(("more", "rows", "plans"), ORDER.values(), ids=ORDER.keys())
def test_first_goes_what_is_cold_then_what_is_old(more: int, rows: int, plans: int) -> None:
    status = whole()
    smaller = fitted(status, largest_bytes=size(status) + more)
    assert status.heat is not None
    assert smaller.heat is not None
    assert smaller.heat.collections == ((status.heat.collections or [])[:rows] or None)
    assert smaller.history == (status.history or [])[-plans:]


def test_of_a_move_that_is_over_only_what_was_moved_is_remembered() -> None:
    operation = finished_operations(MilvusTuningStatus(history=[a_move_plan(1, steps=1, segments=2)]))[0]
    record, before = operation.steps[0], a_move(0, segments=2)
    assert record.state is StepState.DONE
    assert (record.step.action, record.step.kind) == (before.step.action, StepKind.MOVE_SEGMENTS)
    assert record.step.precondition == {"pod": before.step.precondition["pod"]}
    assert (record.step.verification, record.step.undo, record.message) == ({}, {}, "")


def test_why_a_move_failed_is_remembered() -> None:
    entry = a_move_plan(1)
    failed = entry.model_copy(update={"steps": [entry.steps[0].model_copy(update={"state": "Failed", "message": "m"})]})
    assert remembered(failed).steps[0].message == "m"


def test_a_step_that_moved_nothing_is_remembered_whole() -> None:
    scale = Step(kind=StepKind.SCALE_QUERY_NODES, precondition={}, action={"count": 3}, verification={}, undo={})
    entry = operation_to_status(
        Operation(
            operation_id="x",
            reason=Reason.BELOW_MINIMUM,
            message="",
            started_at=NOW,
            steps=(StepRecord(step=scale, intended_at=NOW),),
        )
    )
    assert remembered(entry) == entry


def test_names_of_any_length_fit_an_alternative() -> None:
    long = Rejection(alternative="SetReplicaNumber " + "c" * 511, reason=Reason.AT_MAXIMUM, message="m" * 5000)
    facts = replace(some_facts(a_map(), []), decision=replace(STEADY, rejected=(long,), inputs={"x": "y" * 5000}))
    decision = build_status(MilvusTuningStatus(), facts, generation=1, now=NOW).decision
    assert decision is not None
    MilvusTuningStatus.model_validate({"decision": decision.model_dump(by_alias=True)})
