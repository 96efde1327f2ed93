"""The fewest bytes for the maximum that is reached: what a finished plan gives up, and how near the best it comes."""

from __future__ import annotations

from itertools import product
from random import Random
from typing import Any

import numpy as np
import pytest

from milvus_tuning.decide.rebalancing.groups import groups
from milvus_tuning.decide.rebalancing.state import UNLIMITED, Allowance, Budget
from milvus_tuning.decide.rebalancing.thrift import in_order, thrift
from tests.rebalancing.planning import CLUSTER, a_cluster, planned
from tests.rebalancing.validator import Document

BYTES_MEAN_GAP = 1.06
"""Over the fewest bytes that reach the same maximum. Measured: 1.049 in the mean of tiny clusters, 92 % of them at the
fewest; the worst moves three times as much, where only a ring of three moves would do."""

Moves = list[tuple[int, int]]


def segment(heat: float, size: int, node: int = 1, **others: Any) -> Document:
    return {"heat": heat, "memory_bytes": size, "node": node, **others}


def thrifty(document: Document, moves: Moves, *, target: float, most_per_node: int = UNLIMITED) -> Moves:
    """What becomes of moves; segments and nodes are counted from 1, as a_cluster numbers them."""
    group = groups(CLUSTER.validate_python(document))[0]
    allowance = Allowance(total=UNLIMITED, per_node=np.full(len(group.cpu), most_per_node))
    found = thrift(
        group, [(one - 1, to - 1) for one, to in moves], allowance, Budget(10**9, lambda: False), target=target
    )
    return sorted((one + 1, to + 1) for one, to in found)


TWO: list[Document] = [{}, {}]
THREE: list[Document] = [{}, {}, {}]


@pytest.mark.parametrize(
    ("document", "moves", "target", "expected"),
    [
        pytest.param(
            a_cluster(TWO, [segment(4, 80), segment(3, 10), segment(5, 30), segment(6, 99)]),
            [(1, 2), (2, 2)],
            13.0,
            [(3, 2)],
            id="one for two",
        ),
        pytest.param(
            a_cluster(TWO, [segment(4, 80), segment(3, 10), segment(5, 95), segment(9, 99)]),
            [(1, 2), (2, 2)],
            14.0,
            [(1, 2), (2, 2)],
            id="no cheaper way",
        ),
        pytest.param(
            a_cluster(TWO, [segment(4, 80), segment(3, 10), segment(6, 95)]), [(1, 2), (2, 2)], 10.0, [(2, 2)],
            id="one is not needed",
        ),
        pytest.param(
            a_cluster(THREE, [segment(6, 10), segment(3, 50), segment(2, 50), segment(3, 20, 2), segment(3, 9, 3)]),
            [(2, 2), (3, 3)],
            6.0,
            [(1, 2), (4, 3)],
            id="the hot one finds a host, which passes one of its own on",
        ),
        pytest.param(
            a_cluster(
                [{}, {}, {"memory_bytes": 28}],
                [segment(6, 10), segment(3, 50), segment(2, 9), segment(3, 20, 2), segment(3, 9, 3, pinned=True)],
            ),
            [(2, 2), (3, 3)],
            6.0,
            [(2, 2), (3, 3)],
            id="not where the third has no memory for it",
        ),
    ],
)  # fmt: skip
def test_gives_up_for_less(document: Document, moves: Moves, target: float, expected: Moves) -> None:
    assert thrifty(document, moves, target=target) == expected


def test_keeps_to_the_move_limit_of_a_node() -> None:
    document = a_cluster(THREE, [segment(6, 10), segment(3, 50), segment(2, 50), segment(3, 20, 2), segment(3, 9, 3)])
    assert thrifty(document, [(2, 2), (3, 3)], target=6.0, most_per_node=2) == [(1, 2), (4, 3)]
    assert thrifty(document, [(2, 2), (3, 3)], target=6.0, most_per_node=1) == [(2, 2), (3, 3)]


@pytest.mark.parametrize(
    ("memory", "expected"),
    [([20, 20], None), ([20, 30], [(0, 1), (1, 0)]), ([30, 20], [(1, 0), (0, 1)])],
    ids=["no room", "room on the second", "room on the first"],
)
def test_finds_an_order_where_memory_has_one(memory: list[int], expected: Moves | None) -> None:
    nodes: list[Document] = [{"memory_bytes": of} for of in memory]
    full = [segment(1, 10), segment(1, 10, 2), segment(1, 10), segment(1, 10, 2)]
    group = groups(CLUSTER.validate_python(a_cluster(nodes, full)))[0]
    assert in_order(group, [(0, 1), (1, 0)]) == expected


def test_is_near_the_fewest_bytes_on_tiny_clusters() -> None:
    gaps = [gap for seed in range(300) if (gap := _gap(Random(seed))) is not None]
    assert len(gaps) >= 150
    assert sum(gaps) / len(gaps) <= BYTES_MEAN_GAP
    assert sum(gap <= 1.0 + 1e-9 for gap in gaps) >= 0.9 * len(gaps)


def _gap(random: Random) -> float | None:
    """Moved bytes over the fewest that reach the same maximum load; None where nothing moves."""
    count = random.randint(2, 3)
    segments = [
        segment(random.randint(0, 20), random.randint(1, 15), random.randint(1, count))
        for _ in range(random.randint(3, 6))
    ]
    document = a_cluster([{"memory_bytes": 90}] * count, segments)
    plan = planned(document)
    if not plan["moved_bytes"]:
        return None
    fewest: int = min(
        sum(one["memory_bytes"] for one, to in zip(segments, places, strict=True) if to != one["node"])
        for places in product(range(1, count + 1), repeat=len(segments))
        if _highest(segments, places, count) <= plan["after"]["max_load"] * (1 + 1e-9)
    )
    return int(plan["moved_bytes"]) / fewest


def _highest(segments: list[Document], places: tuple[int, ...], count: int) -> float:
    loads = [0.0] * (count + 1)
    for one, place in zip(segments, places, strict=True):
        loads[place] += one["heat"]
    return max(loads)
