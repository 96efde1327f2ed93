"""Row-neutral moves: what they may change, and that Milvus's balancer leaves them alone."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from milvus_tuning.decide.rebalancing import Cluster, balancer_moves, row_neutral_moves
from tests.rebalancing.instances import SHAPES, Shape, an_instance
from tests.rebalancing.planning import CLUSTER, a_cluster
from tests.rebalancing.validator import Document, Replay, replay

Moves = list[tuple[Any, Any, Any]]

THREE: list[Document] = [{}, {}, {}]
TWO: list[Document] = [{}, {}]


def one_each(*heat_and_node: tuple[float, int], **others: Any) -> list[Document]:
    """One segment of 100 rows of a collection of its own for each heat and node."""
    return [
        {"collection": f"c{at}", "rows": 100, "heat": heat, "node": node, **others}
        for at, (heat, node) in enumerate(heat_and_node)
    ]


SIX = one_each((10, 1), (10, 1), (1, 2), (1, 2), (1, 3), (1, 3))
"""As measured on 2.3.5: rows are even, both hot collections are on one node, and the balancer leaves them there."""
FOUR = one_each((10, 1), (10, 1), (1, 2), (1, 2))


def fillers(*collections: str, node: int, rows: int = 100) -> list[Document]:
    """One cold, pinned segment of each of these collections."""
    return [{"collection": of, "rows": rows, "heat": 0, "node": node, "pinned": True} for of in collections]


LARGE = [*fillers("a", node=1, rows=60_000), *fillers("b", node=2, rows=60_000)]
"""Next to it 5 % of the scores are more than the two segments by which a collection may become uneven."""


def changed(segments: list[Document], **changes: Document) -> list[Document]:
    """The segments with changes to some: s1={...} is the first."""
    return [{**one, **changes.get(f"s{at + 1}", {})} for at, one in enumerate(segments)]


def limits(**others: int) -> Document:
    return {"limits": {"memory_ceiling_ratio": 1.0, **others}}


def moves(document: Document) -> Moves:
    """What is moved, by a plan with which the validator agrees and that the model of the balancer leaves alone."""
    told = checked(CLUSTER.validate_python(document))
    return [(move["segment"], move["source"], move["destination"]) for move in told[0]]


def checked(cluster: Cluster) -> tuple[list[Document], Replay]:
    plan = row_neutral_moves(cluster)
    named = [{"segment": m.segment, "source": m.source, "destination": m.destination} for m in plan.moves]
    replayed = replay(CLUSTER.dump_python(cluster, mode="json"), named)
    assert replayed.complaints == []
    before, after = max(replayed.loads_before.values()), max(replayed.loads_after.values())
    assert plan.after.max_load == pytest.approx(after)
    assert after <= before * (0.99 if named else 1) + 1e-9
    assert set(balancer_moves(CLUSTER.validate_python(replayed.after))) <= set(balancer_moves(cluster))
    return named, replayed


def test_parts_two_hot_collections_that_the_balancer_leaves_on_one_node() -> None:
    assert balancer_moves(CLUSTER.validate_python(a_cluster(THREE, SIX))) == ()
    assert moves(a_cluster(THREE, SIX)) == [(1, 1, 2), (3, 2, 1)]


@pytest.mark.parametrize(
    ("bound", "free"),
    [
        pytest.param(changed(FOUR, s3={"rows": 50}, s4={"rows": 150}), FOUR, id="as many rows"),
        pytest.param(
            [*FOUR, *fillers("c8", "c9", node=1), *fillers("c0", "c1", node=2)],
            [*FOUR, *fillers("c8", "c9", node=1), *fillers("c6", "c7", node=2)],
            id="the hot collections are as even afterwards",
        ),
        pytest.param(
            [*FOUR, *LARGE, *fillers("c8", "c9", node=1), *fillers("c0", "c1", node=2)],
            [*FOUR, *LARGE, *fillers("c8", "c9", node=1), *fillers("c6", "c7", node=2)],
            id="as even, where the balancer would bear more",
        ),
        pytest.param(one_each((10, 1), (10, 2), (1, 1), (1, 2)), FOUR, id="something to gain"),
        pytest.param(one_each((1, 1), (1, 1), (0.99, 2), (0.99, 2)), FOUR, id="a gain of 1 %"),
        pytest.param(changed(FOUR, s1={"rows": 0}, s2={"rows": 0}), FOUR, id="rows are known"),
        pytest.param(changed(FOUR, s1={"pinned": True}, s2={"pinned": True}), FOUR, id="pins of what is hot"),
        pytest.param(changed(FOUR, s3={"pinned": True}, s4={"pinned": True}), FOUR, id="pins of what is cold"),
    ],
)
def test_exchanges_only_where(bound: list[Document], free: list[Document]) -> None:
    assert moves(a_cluster(TWO, bound)) == []
    assert len(moves(a_cluster(TWO, free))) == 2


@pytest.mark.parametrize(
    ("bound", "free"),
    [
        pytest.param(a_cluster([{"cordoned": True}, {}], FOUR), a_cluster(TWO, FOUR), id="the hot node is cordoned"),
        pytest.param(a_cluster([{}, {"cordoned": True}], FOUR), a_cluster(TWO, FOUR), id="the cold node is cordoned"),
        pytest.param(a_cluster([{}, {"resource_group": "b"}], FOUR), a_cluster(TWO, FOUR), id="resource groups"),
        pytest.param(
            a_cluster([{"replica": "a"}, {"replica": "b"}], FOUR),
            a_cluster([{"replica": "a"}, {"replica": "a"}], FOUR),
            id="replicas",
        ),
        pytest.param(
            a_cluster([{"memory_bytes": 29}, {"memory_bytes": 29}], FOUR),
            a_cluster([{"memory_bytes": 20}, {"memory_bytes": 30}], FOUR),
            id="memory for one of the two in passing",
        ),
        pytest.param(
            a_cluster([{"memory_bytes": 19}, {}], FOUR),
            a_cluster([{"memory_bytes": 20}, {}], FOUR),
            id="a node above its ceiling takes nothing",
        ),
        pytest.param(
            a_cluster(TWO, FOUR, **limits(max_moves=1)), a_cluster(TWO, FOUR, **limits(max_moves=2)), id="max_moves"
        ),
        pytest.param(
            a_cluster(TWO, FOUR, **limits(max_moves_per_node=1)),
            a_cluster(TWO, FOUR, **limits(max_moves_per_node=2)),
            id="in and out count together",
        ),
        pytest.param(
            a_cluster(TWO, [*FOUR, {"collection": "c9", "rows": 100, "heat": 1, "node": 1}, {**FOUR[3], "heat": 9}],
                in_flight=[{"segment": 1, "source": 1, "destination": 2}]),
            a_cluster(TWO, FOUR),
            id="what is in flight counts as done",
        ),
    ],
)  # fmt: skip
def test_does_nothing_where_a_rule_forbids_it_and_something_where_it_just_does_not(
    bound: Document, free: Document
) -> None:
    assert moves(bound) == []
    assert len(moves(free)) == 2


def test_the_cold_one_goes_first_where_only_the_hot_node_has_room() -> None:
    nodes: list[Document] = [{"memory_bytes": 30}, {"memory_bytes": 20}]
    assert moves(a_cluster(nodes, FOUR)) == [(3, 2, 1), (1, 1, 2)]


def test_a_segment_of_few_rows_moves_by_itself_behind_the_pairs() -> None:
    small: Document = {"collection": "c9", "rows": 3, "heat": 8, "node": 1}
    assert moves(a_cluster(TWO, [*FOUR, small])) == [(1, 1, 2), (3, 2, 1)]  # 3 of 200 rows; 19 and 11 then
    even = one_each((10, 1), (1, 1), (10, 2), (1, 2), pinned=True)
    assert moves(a_cluster(TWO, [*even, small, {**small, "collection": "c8"}])) == [(5, 1, 2)]
    assert moves(a_cluster(TWO, [*even, {**small, "rows": 5}, {**small, "rows": 5, "collection": "c8"}])) == []


def test_singles_of_one_group_stand_behind_the_pairs_of_another() -> None:
    nodes = [{"replica": "a"}, {"replica": "a"}, {"replica": "b"}, {"replica": "b"}]
    small = [{"collection": f"s{at}", "rows": 3, "heat": 80, "node": 1} for at in range(2)]
    cold = one_each((1, 1), (1, 1), (1, 2), (1, 2))
    document = a_cluster(nodes, [*small, *cold, *({**one, "node": one["node"] + 2} for one in FOUR)])
    assert moves(document) == [(7, 3, 4), (9, 4, 3), (1, 1, 2)]


def test_what_the_balancer_is_about_to_move_is_left_to_it() -> None:
    """Three of c9 on the first node: the balancer takes one away, and may take the one that would be exchanged."""
    busy: list[Document] = [{"collection": "c9", "rows": 100, "heat": 9, "node": 1} for _ in range(3)]
    cluster = a_cluster(TWO, [*busy, *one_each((1, 1), (1, 2), (1, 2), (1, 2), (1, 2))])
    assert len(balancer_moves(CLUSTER.validate_python(cluster))) == 1
    assert moves(cluster) == []


def test_says_why_the_obvious_moves_are_left_out() -> None:
    document = a_cluster(TWO, changed(FOUR, s3={"rows": 50}, s4={"rows": 150}))
    refused = row_neutral_moves(CLUSTER.validate_python(document)).rejected
    assert [(one.segment, one.destination, one.reason.value) for one in refused] == [
        (1, 2, "NotRowNeutral"),
        (2, 2, "NotRowNeutral"),
    ]


def test_gives_up_when_the_work_is_spent() -> None:
    plan = row_neutral_moves(CLUSTER.validate_python(a_cluster(TWO, FOUR)), work=3)
    assert (plan.moves, plan.truncated) == ((), True)


def settled(cluster: Cluster) -> Cluster:
    """The cluster once the model of the balancer came to rest."""
    places = {move.segment: move.destination for move in balancer_moves(cluster)}
    return replace(cluster, segments=tuple(replace(s, node=places.get(s.id, s.node)) for s in cluster.segments))


def random_cluster(random: Random) -> Cluster:
    count = random.randint(2, 5)
    segments = []
    for at in range(random.randint(4, 24)):
        rows = random.choice((100, 100, 101, 102, 90, 1))
        segments.append(
            {
                "id": at,
                "collection": random.choice("abcdefghij"),
                "rows": rows,
                "memory_bytes": rows // 2,
                "heat": random.choice((0, 1, 2, 5, 20)),
                "node": random.randint(1, count),
                "pinned": random.random() < 0.1,
            }
        )
    nodes = [
        {"memory_bytes": random.randint(200, 900), "cpu": random.choice((1.0, 2.0)), "cordoned": random.random() < 0.1}
        for _ in range(count)
    ]
    most = random.choice((None, None, 2, 4))
    return CLUSTER.validate_python(
        a_cluster(nodes, segments, **limits(**({} if most is None else {"max_moves": most})))
    )


@pytest.mark.parametrize("at_rest", [True, False], ids=["after the balancer came to rest", "while it is at work"])
def test_never_breaks_a_rule_never_is_worse_and_is_left_alone(at_rest: bool) -> None:
    found = 0
    for seed in range(100):
        cluster = random_cluster(Random(seed))
        named, _ = checked(settled(cluster) if at_rest else cluster)
        found += bool(named)
    assert found >= 10


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_each_pair_leaves_the_rows_of_the_nodes_as_they_are(shape: Shape) -> None:
    cluster = settled(an_instance(shape, segments=300, nodes=6, seed=1))
    named, replayed = checked(cluster)
    before, after = rows_of(CLUSTER.dump_python(cluster, mode="json")), rows_of(replayed.after)
    assert all(abs(after[node] - before[node]) <= 0.02 * before[node] + 1 for node in before)
    assert named == checked(cluster)[0]


def rows_of(document: Document) -> dict[Any, int]:
    return {
        node["id"]: sum(one["rows"] for one in document["segments"] if one["node"] == node["id"])
        for node in document["nodes"]
    }
