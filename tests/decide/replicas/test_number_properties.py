"""What never happens to the number of in-memory replicas, whatever the cluster looks like."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.decide.heat.model import HeatMap
from milvus_tuning.decide.replicas.gain import load_factor
from milvus_tuning.decide.replicas.number import decide_replicas
from milvus_tuning.plan import Decision, Operation, Reason, Rejection, StepKind
from milvus_tuning.snapshot import QueryNode, Snapshot
from tests.builders import MEMORY_LIMIT_BYTES, NOON, a_finished_operation, a_history, a_node
from tests.decide.replicas.replica_cases import a_cluster, a_heat, a_policy

OLD = ("2.3.5", "2.3.22", "2.4.0", "2.4.12")
LIVE = ("2.4.13", "2.5.4", "2.6.4")
GUARD = 0.9
NOTHING_BETTER = Rejection(alternative="Rebalance", reason=Reason.NO_BETTER_PLACEMENT, message="")
World = tuple[MilvusTuningSpec, Snapshot, HeatMap]


@st.composite
def worlds(draw: st.DrawFn, versions: tuple[str, ...]) -> World:
    """Clusters of every load and size, with collections of every share, size and number of copies."""
    cpu = draw(st.sampled_from([0.05, 0.2, 0.5, 0.7, 0.95]))
    memory = draw(st.sampled_from([0.1, 0.3, 0.5, 0.7]))
    count = draw(st.integers(2, 6))
    missing = draw(st.sampled_from([None] * 9 + [1]))
    nodes = [
        a_node(f"qn-{n}", node_id=n, cpu=None if n == missing else cpu, memory=memory, loaded=memory / 2)
        for n in range(1, count + 1)
    ]
    copies = {one: draw(st.integers(1, min(2, count))) for one in (100, 200)}
    snapshot = a_cluster(nodes, copies=copies, version=draw(st.sampled_from(versions)))
    least, most = draw(st.sampled_from([1, 1, 1, 2])), draw(st.integers(2, 4))
    own = [{"name": "products", "minCount": least, "maxCount": draw(st.integers(least, 4))}]
    bounds: dict[str, Any] = {"min_count": least, "max_count": most}
    if draw(st.booleans()):
        bounds["collections"] = own
    managed = draw(st.sampled_from([None, None, {"min_count": 1, "max_count": 3}]))
    heat = a_heat(
        snapshot,
        share=draw(st.sampled_from([0.0, 0.15, 0.5, 0.9])),
        copy_gib=draw(st.sampled_from([0.1, 1.0, 3.0, 6.0])),
        error_ratio=draw(st.sampled_from([None, 0.1, 0.1, 0.9])),
    )
    return a_policy(nodes=managed, replicas=bounds), snapshot, heat


def decide_world(world: World, operations: tuple[Operation, ...] = ()) -> Decision:
    spec, snapshot, heat = world
    history = a_history(snapshot, lasting_seconds=400, operations=operations)
    decision = decide_replicas(spec, snapshot, heat, history, NOON, rebalance=NOTHING_BETTER)
    assert decision is not None
    return decision


def change(decision: Decision) -> tuple[str, int, int]:
    (step,) = decision.steps
    return str(step.action["collection"]), int(step.precondition["count"] or 0), int(step.action["count"] or 0)


@given(worlds(OLD))
@settings(max_examples=60)
def test_before_2_4_13_there_is_never_a_step(world: World) -> None:
    decision = decide_world(world)
    event(str(decision.reason))
    assert decision.steps == ()


@given(worlds(LIVE))
@settings(max_examples=80)
def test_a_change_is_one_replica_towards_and_never_across_the_bounds(world: World) -> None:
    decision = decide_world(world)
    event(f"{decision.reason} {bool(decision.steps)}")
    if not decision.steps:
        return
    name, before, after = change(decision)
    rules = world[0].in_memory_replicas
    assert rules is not None
    own = next((one for one in rules.collections or () if one.name == name), None)
    least = own.min_count if own and own.min_count else rules.min_count
    most = own.max_count if own and own.max_count else rules.max_count
    assert abs(after - before) == 1
    assert after <= most if after > before else after >= least
    assert after <= len(world[1].members)


@given(worlds(LIVE))
@settings(max_examples=80)
def test_all_copies_fit_under_the_load_guard_with_any_node_lost(world: World) -> None:
    decision, (_, snapshot, heat) = decide_world(world), world
    if not decision.steps or decision.outlook is None or not decision.outlook.moved_segments:
        return
    name, _, after = change(decision)
    for lost in (None, *snapshot.members):
        held = bytes_after(snapshot, heat, 100 if name == "products" else 200, after, lost)
        assert max(held) <= GUARD * MEMORY_LIMIT_BYTES + 1


def bytes_after(
    snapshot: Snapshot, heat: HeatMap, collection_id: int, copies: int, lost: QueryNode | None
) -> list[float]:
    """What each node holds once the nodes that are left were dealt out to the copies, the first ones first."""
    loaded = {node.node_id: node.loaded_bytes.value or 0.0 for node in snapshot.members}
    scale = max(1.0, sum(loaded.values()) / sum(one.memory_bytes for one in heat.segments))
    mine = [one for one in heat.segments if one.collection_id == collection_id]
    copy = scale * sum(one.memory_bytes for one in mine) / len({one.replica_id for one in mine})
    own = {
        node_id: min(scale * sum(one.memory_bytes for one in mine if one.node_id == node_id), most)
        for node_id, most in loaded.items()
    }
    left = [node for node in snapshot.members if node != lost]
    taken_over = (loaded[lost.node_id] - own[lost.node_id]) / len(left) if lost else 0.0
    count = min(copies, len(left))
    return [
        (node.resident_memory_bytes.value or 0.0)
        - own[node.node_id]
        + taken_over
        + copy / len(left[place % count :: count])
        for place, node in enumerate(left)
    ]


@given(worlds(LIVE))
@settings(max_examples=80)
def test_what_was_taken_away_is_not_called_for_again(world: World) -> None:
    decision, (spec, _, heat) = decide_world(world), world
    if decision.reason not in {Reason.COLD_COLLECTION, Reason.ABOVE_MAXIMUM}:
        return
    name, before, after = change(decision)
    share = next(one.share_ratio for one in heat.collections if one.name == name)
    even = decision.inputs["evenComputationRatio"]
    assert isinstance(even, float)
    assert spec.in_memory_replicas is not None
    expected = even * load_factor(share_ratio=share, before=before, after=after)
    assert expected * 100 < spec.in_memory_replicas.computation_above_percent - 10


@given(worlds(LIVE))
@settings(max_examples=40)
def test_the_order_of_the_facts_does_not_matter(world: World) -> None:
    spec, snapshot, heat = world
    turned = replace(snapshot, collections=snapshot.collections[::-1], segments=snapshot.segments[::-1])
    turned_heat = replace(heat, collections=heat.collections[::-1], segments=heat.segments[::-1])
    assert decide_world((spec, turned, turned_heat)).steps == decide_world(world).steps


@given(worlds(LIVE), st.floats(0, 599))
@settings(max_examples=40)
def test_nothing_follows_a_change_within_the_rest(world: World, ago: float) -> None:
    operation = a_finished_operation(kind=StepKind.SET_REPLICA_NUMBER, ended_seconds_ago=ago)
    assert decide_world(world, (operation,)).steps == ()


@given(worlds(LIVE), st.sampled_from(["gaps", "old heat", "half of the placement", "an unknown node"]))
@settings(max_examples=60)
def test_with_something_unknown_nothing_is_done(world: World, unknown: str) -> None:
    spec, snapshot, heat = world
    if unknown == "gaps":
        heat = replace(heat, gaps=("a gap",))
    elif unknown == "old heat":
        heat = replace(heat, at=NOON - timedelta(minutes=2))
    elif unknown == "half of the placement":
        snapshot = replace(snapshot, placement_coverage=0.5)
    else:
        snapshot = replace(
            snapshot, query_nodes=(replace(snapshot.query_nodes[0], node_id=None), *snapshot.query_nodes[1:])
        )
    assert decide_world((spec, snapshot, heat)).steps == ()
