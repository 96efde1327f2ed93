"""Each rule of the planner with a case that shows it and one, as close as can be, that it leaves alone."""

from __future__ import annotations

import random
from typing import Any

import pytest

from milvus_tuning.decide.rebalancing import plan_rebalance
from tests.rebalancing.instances import SHAPES, Shape, an_instance
from tests.rebalancing.planning import CLUSTER, a_cluster, carried_out, planned
from tests.rebalancing.validator import Document, replay

Moves = list[tuple[Any, Any, Any]]

TWO: list[Document] = [{}, {}]
PAIR: list[Document] = [{"heat": 6}, {"heat": 4}]  # on node 1
TIGHT: list[Document] = [{"memory_bytes": 20}, {"memory_bytes": 20}]
CROSSED: list[Document] = [{"heat": 6}, {"heat": 6}, {"heat": 5, "node": 2}, {"heat": 3, "node": 2}]
FOUR: list[Document] = [{"heat": 1}] * 4
SHARED = {"replicas": [{"id": 7, "collection": "c", "nodes": [1, 2]}, {"id": 8, "collection": "d", "nodes": [2, 3]}]}


def limits(**others: int) -> Document:
    return {"limits": {"memory_ceiling_ratio": 1.0, **others}}


def moves(document: Document) -> Moves:
    """What is moved, by a plan with which the validator agrees."""
    plan, replayed = carried_out(document)
    assert replayed.complaints == []
    assert max(replayed.loads_after.values(), default=0.0) == pytest.approx(plan["after"]["max_load"])
    return [(move["segment"], move["source"], move["destination"]) for move in plan["moves"]]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(a_cluster(TWO, PAIR), [(1, 1, 2)], id="two on one node"),
        pytest.param(a_cluster(TWO, [{"heat": 6}, {"heat": 6, "node": 2}]), [], id="even already"),
        pytest.param(a_cluster(TWO, [{"heat": 6}]), [], id="alone already"),
        pytest.param(a_cluster(TWO, [{"heat": 0}, {"heat": 0}]), [], id="no heat"),
        pytest.param(a_cluster([{}], PAIR), [], id="nowhere to go"),
        pytest.param(a_cluster([], []), [], id="nothing at all"),
        pytest.param(a_cluster(TWO, [{"heat": 1000}, {"heat": 9}]), [], id="a gain under 1 %"),
        pytest.param(
            a_cluster(TWO, [{"heat": 1000}, {"heat": 20, "memory_bytes": 9}]), [(2, 1, 2)], id="a gain of 2 %"
        ),
        pytest.param(a_cluster(TWO, [{"heat": 6}, {"heat": 6, "memory_bytes": 9}]), [(2, 1, 2)], id="the smaller one"),
        pytest.param(a_cluster([{"cpu": 3.0}, {}], PAIR), [], id="10/3 on the strong node is best"),
        pytest.param(a_cluster([{}, {"cpu": 3.0}], PAIR), [(1, 1, 2), (2, 1, 2)], id="the strong node takes both"),
        pytest.param(a_cluster(TWO, CROSSED), [(1, 1, 2), (3, 2, 1)], id="an exchange where no single move helps"),
    ],
)
def test_lowers_the_highest_load_with_the_fewest_bytes(document: Document, expected: Moves) -> None:
    assert sorted(moves(document)) == expected


@pytest.mark.parametrize(
    ("bound", "free"),
    [
        pytest.param(
            a_cluster([{}, {"memory_bytes": 9}], PAIR), a_cluster([{}, {"memory_bytes": 10}], PAIR), id="memory"
        ),
        pytest.param(a_cluster([{}, {"cordoned": True}], PAIR), a_cluster(TWO, PAIR), id="a cordoned node"),
        pytest.param(
            a_cluster([{}, {"memory_bytes": 25}], [*PAIR, {"heat": 0, "node": 2, "memory_bytes": 30}]),
            a_cluster([{}, {"memory_bytes": 40}], [*PAIR, {"heat": 0, "node": 2, "memory_bytes": 30}]),
            id="a node above its ceiling",
        ),
        pytest.param(
            a_cluster(TWO, [{"heat": 6, "pinned": True}, {"heat": 4, "pinned": True}]), a_cluster(TWO, PAIR), id="pins"
        ),
        pytest.param(a_cluster([{}, {"resource_group": "b"}], PAIR), a_cluster(TWO, PAIR), id="a resource group"),
        pytest.param(
            a_cluster([{"replica": "a"}, {"replica": "b"}], PAIR),
            a_cluster([{"replica": "a"}, {"replica": "a"}], PAIR),
            id="the label of a replica group",
        ),
        pytest.param(
            a_cluster(TWO, PAIR, replicas=[{"id": 7, "collection": "c", "nodes": [1]}]),
            a_cluster(TWO, PAIR, replicas=[{"id": 7, "collection": "c", "nodes": [1, 2]}]),
            id="the nodes of a replica",
        ),
        pytest.param(
            a_cluster([{}, {"resource_group": "b"}], PAIR, replicas=[{"id": 7, "collection": "c", "nodes": [1, 2]}]),
            a_cluster(TWO, PAIR, replicas=[{"id": 7, "collection": "c", "nodes": [1, 2]}]),
            id="a resource group within a replica",
        ),
        pytest.param(
            a_cluster(
                [{}, {}, {}],
                [{**one, "replica": 7} for one in PAIR],
                replicas=[{"id": 7, "collection": "c", "nodes": [2, 3]}],
            ),
            a_cluster(
                [{}, {}, {}],
                [{**one, "replica": 7} for one in PAIR],
                replicas=[{"id": 7, "collection": "c", "nodes": [1, 2, 3]}],
            ),
            id="a node that is none of its replica's: Milvus's own work",
        ),
        pytest.param(
            a_cluster(TWO, PAIR, **limits(max_moves=0)), a_cluster(TWO, PAIR, **limits(max_moves=1)), id="max_moves"
        ),
        pytest.param(
            a_cluster(TWO, PAIR, **limits(max_moves_per_node=0)),
            a_cluster(TWO, PAIR, **limits(max_moves_per_node=1)),
            id="max_moves_per_node",
        ),
        pytest.param(
            a_cluster(TIGHT, CROSSED),
            a_cluster([{"memory_bytes": 20}, {"memory_bytes": 30}], CROSSED),
            id="an exchange needs room for one of the two",
        ),
        pytest.param(
            a_cluster(TWO, CROSSED, **limits(max_moves=1)),
            a_cluster(TWO, CROSSED, **limits(max_moves=2)),
            id="an exchange is two",
        ),
        pytest.param(
            a_cluster(TWO, CROSSED, **limits(max_moves_per_node=1)),
            a_cluster(TWO, CROSSED, **limits(max_moves_per_node=2)),
            id="in and out count together",
        ),
        pytest.param(
            a_cluster(TWO, PAIR, leaders=[{"node": 2, "load": 6}]),
            a_cluster(TWO, PAIR, leaders=[{"node": 2, "load": 1}]),
            id="a shard leader's load",
        ),
    ],
)
def test_does_nothing_where_a_rule_forbids_it_and_something_where_it_just_does_not(
    bound: Document, free: Document
) -> None:
    assert moves(bound) == []
    assert moves(free) != []


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(a_cluster([{"cordoned": True}, {}], PAIR), [(1, 1, 2)], id="a cordoned node sheds"),
        pytest.param(a_cluster([{"memory_bytes": 15}, {}], PAIR), [(1, 1, 2)], id="a node above its ceiling sheds"),
        pytest.param(a_cluster(TWO, [{"heat": 6, "pinned": True}, {"heat": 4}]), [(2, 1, 2)], id="around a pin"),
        pytest.param(
            a_cluster(TWO, [*PAIR, {"heat": 5}], in_flight=[{"segment": 1, "source": 1, "destination": 2}]),
            [],
            id="what is in flight counts as done: 6 there, 9 here, neither 4 nor 5 helps",
        ),
        pytest.param(
            a_cluster(TWO, [*PAIR, {"heat": 9}], in_flight=[{"segment": 1, "source": 1, "destination": 2}]),
            [(2, 1, 2)],
            id="and what is in flight is left alone: 6 and 13",
        ),
        pytest.param(
            a_cluster(TWO, [{"heat": 4}, {"heat": 4}, {"heat": 4}, {"heat": 4}], **limits(max_moves=1)),
            [(1, 1, 2)],
            id="the best within a limit",
        ),
        pytest.param(
            a_cluster(
                TWO, [{"heat": 9, "memory_bytes": 90}, *[{"heat": 1, "memory_bytes": 1}] * 9], **limits(max_moves=1)
            ),
            [(1, 1, 2)],
            id="with few moves the hottest goes, whatever its size",
        ),
        pytest.param(
            a_cluster(TWO, [{"heat": 9, "memory_bytes": 90}, *[{"heat": 1, "memory_bytes": 1}] * 9]),
            [(at, 1, 2) for at in range(2, 11)],
            id="with many moves the fewest bytes",
        ),
        pytest.param(
            a_cluster(
                [{}, {}, {}],
                [{"heat": 4}, {"heat": 4}, {"heat": 4, "node": 2, "collection": "d"}],
                **SHARED,
            ),
            [(1, 1, 2), (3, 2, 3)],
            id="a node makes room by sending on what the first may not follow",
        ),
    ],
)
def test_moves(document: Document, expected: Moves) -> None:
    assert sorted(moves(document)) == expected


def test_a_node_with_replicas_of_two_collections_has_the_load_of_both() -> None:
    segments: list[Document] = [{"heat": 4}, {"heat": 4}, {"heat": 8, "node": 2, "collection": "d", "pinned": True}]
    assert moves(a_cluster([{}, {}, {}], segments, **SHARED)) == []
    segments[2]["node"] = 3  # the control: now node 2 is free
    assert moves(a_cluster([{}, {}, {}], segments, **SHARED)) == []  # 8 is there anyhow, 8 is no worse
    segments[2]["heat"] = 4
    assert moves(a_cluster([{}, {}, {}], segments, **SHARED)) == [(1, 1, 2)]


def test_cordoned_nodes_count_in_the_mean() -> None:
    plan = planned(a_cluster([{}, {}, {"cordoned": True}], PAIR))
    assert plan["after"] == {"max_load": 6.0, "mean_load": pytest.approx(10 / 3), "imbalance_ratio": pytest.approx(0.8)}


def test_each_group_has_its_own_bound_and_the_hottest_group_is_served_first() -> None:
    nodes = [{"replica": "a"}, {"replica": "a"}, {"replica": "b"}, {"replica": "b"}]
    segments = [{"heat": 3}, {"heat": 3}, {"heat": 2, "node": 2}, *({"heat": 50, "node": 3} for _ in range(4))]
    plan = planned(a_cluster(nodes, segments, **limits(max_moves=2)))
    assert {move["source"] for move in plan["moves"]} == {3}
    assert [(group["nodes"], group["lower_bound"], group["moves"]) for group in plan["groups"]] == [
        ([1, 2], 4.0, 0),
        ([3, 4], 100.0, 2),
    ]
    assert plan["lower_bound"] == 100.0


@pytest.mark.parametrize(
    ("document", "reason", "destination"),
    [
        pytest.param(a_cluster(TWO, [{"heat": 6, "pinned": True}, {"heat": 4, "pinned": True}]), "Pinned", 2, id="pin"),
        pytest.param(a_cluster([{}, {"memory_bytes": 9}], PAIR), "DestinationMemory", 2, id="memory"),
        pytest.param(a_cluster([{}, {"cordoned": True}], PAIR), "DestinationCordoned", 2, id="cordoned"),
        pytest.param(
            a_cluster([{}, {"memory_bytes": 5}], [*PAIR, {"heat": 0, "node": 2}]),
            "DestinationAboveCeiling",
            2,
            id="over",
        ),
        pytest.param(a_cluster(TWO, PAIR, **limits(max_moves=0)), "MoveLimit", 2, id="plan's limit"),
        pytest.param(a_cluster(TWO, PAIR, **limits(max_moves_per_node=0)), "NodeMoveLimit", 2, id="node's limit"),
        pytest.param(
            a_cluster([{}, {}], PAIR, replicas=[{"id": 7, "collection": "c", "nodes": [1]}]),
            None,
            None,
            id="group of one",
        ),
        pytest.param(a_cluster(TIGHT, CROSSED), "DestinationMemory", 2, id="no room for an exchange"),
        pytest.param(
            a_cluster(
                TWO,
                [
                    {"heat": 6},
                    {"heat": 5},
                    {"heat": 4, "node": 2, "pinned": True},
                    {"heat": 3, "node": 2, "pinned": True},
                ],
            ),
            "NoGain",
            2,
            id="no gain",
        ),
    ],
)
def test_says_why_the_hottest_segment_stays(document: Document, reason: str | None, destination: int | None) -> None:
    rejected = planned(document)["rejected"]
    if reason is None:
        assert rejected == []
    else:
        assert rejected[0] == {"segment": 1, "destination": destination, "reason": reason}


def test_says_nothing_of_refusals_where_the_load_is_even() -> None:
    assert planned(a_cluster(TWO, [{"heat": 5}, {"heat": 5}]))["rejected"] == []


def test_the_clock_only_cuts_off() -> None:
    cluster = CLUSTER.validate_python(a_cluster(TWO, PAIR))
    whole, cut = plan_rebalance(cluster), plan_rebalance(cluster, out_of_time=lambda: True)
    assert (len(whole.moves), whole.truncated) == (1, False)
    assert (cut.moves, cut.truncated, cut.after) == ((), True, cut.before)
    assert {one.reason for one in cut.rejected} == {"BudgetSpent"}


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5])
def test_cut_off_at_any_point_it_gives_a_plan_that_is_valid_and_no_worse(share: float) -> None:
    cluster = an_instance(SHAPES[1], segments=400, nodes=10, seed=3)
    checks = 0

    def counting() -> bool:
        nonlocal checks
        checks += 1
        return False

    plan_rebalance(cluster, out_of_time=counting)
    left = int(checks * share)

    def out_of_time() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    plan = plan_rebalance(cluster, out_of_time=out_of_time)
    document = CLUSTER.dump_python(cluster, mode="json")
    replayed = replay(
        document, [{"segment": m.segment, "source": m.source, "destination": m.destination} for m in plan.moves]
    )
    assert plan.truncated
    assert replayed.complaints == []
    assert max(replayed.loads_after.values()) <= max(replayed.loads_before.values())


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_is_as_good_as_promised_on_the_benchmarks_shapes(shape: Shape) -> None:
    document = CLUSTER.dump_python(an_instance(shape, segments=600, nodes=12, seed=1), mode="json")
    plan, replayed = carried_out(document)
    assert replayed.complaints == []
    assert plan["after"]["max_load"] <= max(1.05 * plan["after"]["mean_load"], 1.02 * plan["lower_bound"])
    assert plan["before"]["max_load"] > 1.05 * plan["before"]["mean_load"]  # there was something to do
    assert moves({**replayed.after, "limits": document["limits"]}) == []


def test_the_order_of_the_input_does_not_matter() -> None:
    document = CLUSTER.dump_python(an_instance(SHAPES[1], segments=200, nodes=6, seed=2), mode="json")
    shuffled = {**document, "nodes": list(document["nodes"]), "segments": list(document["segments"])}
    random.Random(1).shuffle(shuffled["nodes"])
    random.Random(2).shuffle(shuffled["segments"])
    assert shuffled["segments"] != document["segments"]
    assert planned(shuffled)["moves"] == planned(document)["moves"] != []
