"""In-memory replicas: what memory allows, when one goes, and the declared bounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from milvus_tuning.plan import Outlook, Reason
from tests.builders import GIB, a_node
from tests.decide.replicas.replica_cases import a_cluster, a_heat, a_policy, counts, decide_lasting

# -- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "memory", "reason"),
    [
        # 2 GiB on each node. Two copies on three nodes: one node may hold all 6 GiB; the guard leaves 7.2 GiB
        pytest.param(3, 0.40, Reason.HOT_COLLECTION, id="1.2 GiB beside them leave just enough"),
        pytest.param(3, 0.42, Reason.WOULD_NOT_FIT, id="a little more does not"),
        # six nodes: a third of 12 GiB on each; with one lost there are replicas of two and three nodes
        pytest.param(6, 0.42, Reason.WOULD_NOT_FIT_WITH_NODE_LOST, id="it fits, but not with one lost"),
        pytest.param(6, 0.40, Reason.HOT_COLLECTION, id="it fits with one lost as well"),
    ],
)
def test_each_node_must_hold_its_share_also_with_one_lost(nodes: int, memory: float, reason: Reason) -> None:
    snapshot = a_cluster(nodes, memory=memory, loaded=0.25, copies={200: 0})
    decision = decide_lasting(snapshot, heat=a_heat(snapshot, copy_gib=2 * nodes))
    assert decision.reason is reason
    assert bool(decision.steps) is (reason is Reason.HOT_COLLECTION)


@pytest.mark.parametrize(
    ("other_gib", "reason"),
    [
        pytest.param(0.5, Reason.HOT_COLLECTION, id="6.75 GiB with a node lost"),
        pytest.param(1.0, Reason.WOULD_NOT_FIT_WITH_NODE_LOST, id="7.5 GiB with a node lost"),
        pytest.param(1.5, Reason.WOULD_NOT_FIT, id="7.5 GiB at once"),
    ],
)
def test_the_documented_example_of_memory(other_gib: float, reason: Reason) -> None:
    snapshot = a_cluster(memory=(2 + other_gib) / 8, loaded=(2 + other_gib) / 8)
    heat = a_heat(snapshot, copy_gib=6)
    others = tuple(
        replace(one, memory_bytes=round(other_gib * GIB)) if one.collection_id == 200 else one for one in heat.segments
    )
    assert decide_lasting(snapshot, heat=replace(heat, segments=others)).reason is reason


@pytest.mark.parametrize(
    ("other_gib", "fits"),
    [pytest.param(0.1, True, id="little to take over"), pytest.param(2.4, False, id="more than the fullest can take")],
)
def test_any_node_may_be_the_one_that_is_lost(other_gib: float, fits: bool) -> None:
    """The large node can take over from the small one, but not the other way round."""
    small = a_node("qn-1", node_id=1, cpu=0.75, memory=0.8, loaded=5 / 8)
    large = a_node("qn-2", node_id=2, cpu=0.75, memory=0.4, loaded=other_gib / 8, memory_limit_bytes=16 * GIB)
    snapshot = a_cluster([small, large])
    heat = a_heat(snapshot)
    sizes = {100: 0.1 * GIB, 200: (5 + other_gib - 0.6) * GIB / 3}
    sized = replace(
        heat, segments=tuple(replace(one, memory_bytes=round(sizes[one.collection_id])) for one in heat.segments)
    )
    assert bool(decide_lasting(snapshot, heat=sized).steps) is fits


@pytest.mark.parametrize(("guard", "fits"), [(90, True), (75, False)])
def test_the_declared_load_guard_is_the_room(guard: int, fits: bool) -> None:
    snapshot = a_cluster(memory=0.40, loaded=0.25, copies={200: 0})
    spec = a_policy(load_balancing={"overloadedMemoryPercent": guard})
    assert bool(decide_lasting(snapshot, spec, a_heat(snapshot, copy_gib=6)).steps) is fits


def test_memory_that_is_not_measured_is_no_room() -> None:
    nodes = [a_node(f"qn-{n}", node_id=n, cpu=0.75, memory=None if n == 2 else 0.3) for n in (1, 2, 3)]
    decision = decide_lasting(a_cluster(nodes))
    assert (decision.reason, decision.steps) == (Reason.METRICS_MISSING, ())
    assert "memory of qn-2" in decision.message


def test_a_segment_of_unknown_size_is_no_small_copy() -> None:
    snapshot = a_cluster()
    heat = a_heat(snapshot)
    partial = replace(heat, segments=tuple(one for one in heat.segments if one.segment_id != 100_003))
    decision = decide_lasting(snapshot, heat=partial)
    assert (decision.reason, decision.steps) == (Reason.METRICS_MISSING, ())
    assert "size of default.products" in decision.message


# -- down -------------------------------------------------------------------------------------------------------------


def test_the_collection_with_the_coldest_copies_loses_one() -> None:
    snapshot = a_cluster(cpu=0.15, copies={100: 2, 200: 2})
    decision = decide_lasting(snapshot, lasting_seconds=300)
    assert (decision.reason, counts(decision)) == (Reason.COLD_COLLECTION, ("archive", 2, 1))
    assert decision.outlook == Outlook(busiest_percent_before=15, busiest_percent_after=17, heat_share_percent=20)
    assert "it frees" in decision.message


@pytest.mark.parametrize(
    ("share", "copies", "coldest"),
    [
        pytest.param(0.6, {100: 2, 200: 2}, "archive", id="40 % on two copies against 60 % on two"),
        pytest.param(0.4, {100: 2, 200: 2}, "products", id="the other way round"),
        pytest.param(0.55, {100: 3, 200: 2}, "products", id="55 % on three copies against 45 % on two"),
        pytest.param(0.4, {100: 1, 200: 2}, "archive", id="the last copy is never a candidate"),
    ],
)
def test_cold_is_the_heat_of_one_copy(share: float, copies: dict[int, int], coldest: str) -> None:
    snapshot = a_cluster(cpu=0.1, copies=copies)
    found = counts(decide_lasting(snapshot, heat=a_heat(snapshot, share=share)))
    assert found is not None
    assert found[0] == coldest


@pytest.mark.parametrize(
    ("cpu", "lasting", "replicas", "reason"),
    [
        pytest.param(0.20, 300, {}, Reason.COLD_COLLECTION, id="below for its window"),
        pytest.param(0.20, 285, {}, Reason.STABILIZING, id="not yet for its window"),
        pytest.param(0.25, 3600, {}, Reason.STEADY, id="at the threshold is not below it"),
        pytest.param(0.20, 3600, {"min_count": 2}, Reason.STEADY, id="at the minimum"),
        # 20 x (0.2 + 0.8 x 1.7) = 31.2
        pytest.param(
            0.20, 3600, {"computation_above_percent": 41}, Reason.WOULD_OVERLOAD, id="31 % where 31 is too much"
        ),
        pytest.param(0.20, 3600, {"computation_above_percent": 42}, Reason.COLD_COLLECTION, id="31 % where 32 is"),
    ],
)
def test_a_replica_goes_only_where_it_will_not_be_missed(
    cpu: float, lasting: float, replicas: dict[str, int], reason: Reason
) -> None:
    snapshot = a_cluster(cpu=cpu, copies={100: 2, 200: 1 if "min_count" not in replicas else 2})
    decision = decide_lasting(snapshot, a_policy(replicas=replicas), lasting_seconds=lasting)
    assert (decision.reason, bool(decision.steps)) == (reason, reason is Reason.COLD_COLLECTION)


def test_one_busy_node_keeps_every_replica() -> None:
    nodes = [a_node(f"qn-{n}", node_id=n, cpu=cpu, memory=0.3) for n, cpu in enumerate((0.3, 0.1, 0.1), start=1)]
    assert decide_lasting(a_cluster(nodes, copies={100: 2})).reason is Reason.STEADY


def test_with_a_number_missing_no_replica_is_taken_away() -> None:
    nodes = [a_node(f"qn-{n}", node_id=n, cpu=0.1, memory=None if n == 2 else 0.3) for n in (1, 2, 3)]
    decision = decide_lasting(a_cluster(nodes, copies={100: 2}))
    assert (decision.reason, decision.steps) == (Reason.METRICS_MISSING, ())


def test_before_2_4_13_nothing_is_taken_away_either() -> None:
    decision = decide_lasting(a_cluster(cpu=0.1, copies={100: 2}, version="2.3.5"))
    assert (decision.reason, decision.steps) == (Reason.MANUAL_ACTION_REQUIRED, ())
    assert "replica_number=1" in decision.message


def test_two_groups_with_a_replica_each_cannot_lose_one_by_themselves() -> None:
    decision = decide_lasting(a_cluster(4, cpu=0.1, copies={100: 2}, groups={0: "a", 1: "b"}))
    assert (decision.reason, decision.steps) == (Reason.MANUAL_ACTION_REQUIRED, ())


# -- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("copies", "replicas", "reason", "expected"),
    [
        pytest.param({}, {"min_count": 2}, Reason.BELOW_MINIMUM, ("products", 1, 2), id="the first of two by name"),
        pytest.param({}, {"min_count": 3}, Reason.BELOW_MINIMUM, ("products", 1, 2), id="one at a time"),
        pytest.param(
            {},
            {"collections": [{"database": "old", "name": "archive", "minCount": 2}]},
            Reason.BELOW_MINIMUM,
            ("archive", 1, 2),
            id="a bound of its own",
        ),
        pytest.param(
            {},
            {"collections": [{"name": "archive", "minCount": 2}]},
            Reason.STEADY,
            None,
            id="of another database",
        ),
        pytest.param({100: 3}, {"max_count": 2}, Reason.ABOVE_MAXIMUM, ("products", 3, 2), id="above the maximum"),
    ],
)
def test_declared_bounds_wait_for_no_window(
    copies: dict[int, int], replicas: dict[str, Any], reason: Reason, expected: tuple[str, int, int] | None
) -> None:
    snapshot = a_cluster(cpu=0.3, copies=copies)
    decision = decide_lasting(snapshot, a_policy(replicas=replicas), lasting_seconds=0)
    assert (decision.reason, counts(decision)) == (reason, expected)


def test_a_minimum_that_does_not_fit_is_not_forced_and_hides_nothing() -> None:
    snapshot = a_cluster(cpu=0.75)
    spec = a_policy(replicas={"collections": [{"database": "old", "name": "archive", "minCount": 4, "maxCount": 4}]})
    cold = replace(snapshot, replicas=tuple(one for one in snapshot.replicas if one.collection_id == 100))
    heat = a_heat(snapshot)
    more = replace(
        snapshot,
        replicas=(*cold.replicas, *a_cluster(copies={200: 3}).replicas[1:]),
    )
    decision = decide_lasting(more, spec, heat)
    assert counts(decision) == ("products", 1, 2)
    assert Reason.REPLICA_NEEDS_NODES in {rejection.reason for rejection in decision.rejected}
