"""The model of Milvus's balancer: what it moves and what it leaves, by hand, as a slow copy, and as recorded."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import Any

import pytest

from milvus_tuning.decide.rebalancing import balancer_moves
from tests.rebalancing.planning import CLUSTER, a_cluster
from tests.rebalancing.validator import Document

RECORDED = sorted((Path(__file__).parents[2] / "rebalancing" / "recorded").glob("*.json"))
"""Placements of a real Milvus 2.3.5: {"before": cluster, "after": the same after 60 s of its balancer}."""
LEAST_RECORDS = 4

Moves = list[tuple[Any, Any, Any]]


def moved(document: Document) -> Moves:
    return [(move.segment, move.source, move.destination) for move in balancer_moves(CLUSTER.validate_python(document))]


def some(*rows: int, **others: Any) -> list[Document]:
    return [{"heat": 1, "rows": one, **others} for one in rows]


TWO: list[Document] = [{}, {}]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(a_cluster(TWO, some(100, 100, 100)), [(1, 1, 2)], id="three on one of two nodes: one goes"),
        pytest.param(a_cluster(TWO, some(100)), [], id="one alone stays"),
        pytest.param(a_cluster(TWO, some(100, 50)), [(2, 1, 2)], id="the smallest goes"),
        pytest.param(a_cluster(TWO, [*some(100, 99), *some(200, node=2)]), [], id="within 5 % of the score"),
        pytest.param(
            a_cluster(TWO, [*some(1000, 9), *some(900, node=2)]), [(2, 1, 2)], id="above 5 %, and a small one to go"
        ),
        pytest.param(
            a_cluster(TWO, [*some(100, collection="d"), *some(100), *some(60), *some(60, node=2)]),
            [(3, 1, 2)],
            id="above, and turned round by 0.4 of the difference",
        ),
        pytest.param(
            a_cluster(TWO, [*some(100, 100), *some(100, node=2)]), [], id="a move that would turn it round stays undone"
        ),
        pytest.param(
            a_cluster(TWO, [*some(100, collection="c"), *some(100, collection="d")]),
            [],
            id="two collections of one segment: turned round by as much",
        ),
        pytest.param(a_cluster([{}, {}, {}], some(*[100] * 6)), [(1, 1, 2), (2, 1, 3), (3, 1, 2), (4, 1, 3)], id="all"),
        pytest.param(a_cluster([{}, {"cordoned": True}], some(100, 100)), [], id="no cordoned node"),
        pytest.param(a_cluster([{}, {"memory_bytes": 9}], some(100, 100)), [], id="no memory"),
        pytest.param(a_cluster([{}, {"resource_group": "b"}], some(100, 100)), [], id="another resource group"),
        pytest.param(
            a_cluster(TWO, some(100, 100), in_flight=[{"segment": 1, "source": 1, "destination": 2}]),
            [],
            id="in flight is done",
        ),
        pytest.param(a_cluster(TWO, some(0, 0, 0)), [], id="no rows, no score"),
        pytest.param(a_cluster(TWO, [*some(100, 100, pinned=True)]), [(1, 1, 2)], id="it knows nothing of our pins"),
    ],
)
def test_moves(document: Document, expected: Moves) -> None:
    assert moved(document) == expected


def slow(document: Document) -> list[dict[Any, int]]:
    """Rows of each node by collection, once a copy of getNormalSegmentPlan in plain Python has come to rest."""
    nodes = [node["id"] for node in document["nodes"]]
    at = {one["id"]: one["node"] for one in document["segments"]}
    collections = sorted({one["collection"] for one in document["segments"]})
    for _ in range(50):
        moves = [_one_round(document, at, nodes, collection) for collection in collections]
        if not any(moves):
            break
    held: dict[Any, dict[Any, int]] = {node: defaultdict(int) for node in nodes}
    for one in document["segments"]:
        held[at[one["id"]]][one["collection"]] += one["rows"]
    return [dict(held[node]) for node in nodes]


def _one_round(document: Document, at: dict[Any, Any], nodes: list[Any], collection: Any) -> int:
    scores = {}
    for node in nodes:
        all_rows = sum(one["rows"] for one in document["segments"] if at[one["id"]] == node)
        mine = [one for one in document["segments"] if one["collection"] == collection and at[one["id"]] == node]
        scores[node] = sum(one["rows"] for one in mine) + int(all_rows * 0.1)
    start, done = dict(at), set[Any]()
    while True:
        order = sorted(nodes, key=lambda node: (scores[node], node))
        to, source = order[0], max(nodes, key=lambda node: (scores[node], -node))
        difference = scores[source] - scores[to]
        if difference < scores[to] * 0.05:
            return len(done)
        there = [
            one
            for one in document["segments"]
            if one["collection"] == collection and start[one["id"]] == source and one["id"] not in done
        ]
        if not there:
            return len(done)
        smallest = min(there, key=lambda one: (one["rows"], one["id"]))
        change = smallest["rows"] + int(smallest["rows"] * 0.1)
        turned = (scores[to] + change) - (scores[source] - change)
        if turned > 0 and turned * 1.3 >= difference:
            return len(done)
        scores[source] -= change
        scores[to] += change
        at[smallest["id"]] = to
        done.add(smallest["id"])


@pytest.mark.parametrize("seed", range(40))
def test_comes_to_the_placement_of_a_plain_copy_of_the_source(seed: int) -> None:
    random = Random(seed)
    count = random.randint(2, 5)
    document = a_cluster(
        [{"memory_bytes": 10**6}] * count,
        [
            {"heat": 1, "collection": random.choice("cde"), "rows": random.randint(1, 999), "node": at}
            for at in (random.randint(1, count) for _ in range(random.randint(1, 30)))
        ],
    )
    at = {one["id"]: one["node"] for one in document["segments"]}
    for segment, source, destination in moved(document):
        assert at[segment] == source
        at[segment] = destination
    after = {**document, "segments": [{**one, "node": at[one["id"]]} for one in document["segments"]]}
    assert rows_by_node(after) == slow(document)


def rows_by_node(document: Document) -> list[dict[Any, int]]:
    held: dict[Any, dict[Any, int]] = {node["id"]: defaultdict(int) for node in document["nodes"]}
    for one in document["segments"]:
        held[one["node"]][one["collection"]] += one["rows"]
    return [dict(held[node["id"]]) for node in document["nodes"]]


def spread(document: Document) -> dict[Any, list[int]]:
    """Rows of each collection by node, the most first: which node has them depends on what came first."""
    held = rows_by_node(document)
    collections = {one["collection"] for one in document["segments"]}
    return {name: sorted((node.get(name, 0) for node in held), reverse=True) for name in collections}


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_comes_to_the_placement_that_was_recorded(path: Path) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    at = {one["id"]: one["node"] for one in record["before"]["segments"]}
    at |= {segment: destination for segment, _, destination in moved(record["before"])}
    after = {**record["before"], "segments": [{**one, "node": at[one["id"]]} for one in record["before"]["segments"]]}
    assert spread(after) == spread(record["after"])
    assert spread(record["before"]) != spread(record["after"]), "it had something to do"


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_leaves_the_placement_alone_in_which_milvus_came_to_rest(path: Path) -> None:
    assert moved(json.loads(path.read_text(encoding="utf-8"))["after"]) == []


def test_there_are_enough_records_or_none_yet() -> None:
    assert not RECORDED or len(RECORDED) >= LEAST_RECORDS
