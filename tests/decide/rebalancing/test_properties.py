"""What holds for every cluster, by a validator that shares no code with the planner."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import assume, given, settings

from tests.rebalancing.planning import carried_out, planned
from tests.rebalancing.validator import Document, loads, replay

EXHAUSTIVE_GAP = 1.25
"""With memory to spare, at most 6 segments on at most 3 nodes. Measured: 1.18 at worst, 1.002 in the mean."""
TIGHT_MEAN_GAP = 1.03
"""With at most one segment's room on a node, where the best placement may take three moves in a ring. Measured: 1.013,
and 94 % of the clusters at the optimum; the worst of 1500 is 2.5 times above it."""
HEATS = st.one_of(st.integers(0, 12).map(float), st.floats(0, 100))


@st.composite
def nodes_of(draw: st.DrawFn, *, labels: bool) -> list[Document]:
    count = draw(st.integers(1, 5))
    return [
        {
            "id": at,
            "memory_bytes": draw(st.integers(5, 60)),
            "cpu": draw(st.sampled_from([1.0, 2.0, 3.5])),
            "resource_group": draw(st.sampled_from(["a", "a", "b"])),
            "replica": draw(st.sampled_from([None, 1])) if labels else None,
            "cordoned": draw(st.integers(0, 4)) == 0,
        }
        for at in range(count)
    ]


@st.composite
def clusters(draw: st.DrawFn) -> Document:
    """Small and awkward: nodes above their ceiling, cordons, pins, replicas of several collections, moves in flight."""
    full_form = draw(st.booleans())
    nodes = draw(nodes_of(labels=not full_form))
    places = st.integers(0, len(nodes) - 1)
    replicas = draw(_replicas(len(nodes))) if full_form else []
    segments = []
    for at in range(draw(st.integers(0, 12))):
        segment: Document = {
            "id": at,
            "memory_bytes": draw(st.integers(0, 15)),
            "heat": draw(HEATS),
            "pinned": draw(st.integers(0, 5)) == 0,
            "collection": "c",
            "node": draw(places),
        }
        if full_form:
            replica = draw(st.sampled_from(replicas))
            segment |= {"collection": replica["collection"], "replica": replica["id"]}
            segment["node"] = draw(st.sampled_from(replica["nodes"]))
        segments.append(segment)
    limit = st.none() | st.integers(0, 6)
    limits = {"max_moves": draw(limit), "max_moves_per_node": draw(limit), "memory_ceiling_ratio": 0.9}
    leaders = [{"node": node, "load": draw(st.integers(0, 9))} for node in draw(st.lists(places, max_size=2))]
    return {
        "nodes": nodes,
        "segments": segments,
        "limits": limits,
        "replicas": replicas,
        "leaders": leaders,
        "in_flight": draw(_flights(nodes, segments, replicas)),
    }


def _replicas(count: int) -> st.SearchStrategy[list[Document]]:
    """One or two collections; the nodes of the replicas of one do not overlap."""

    def cut(order: list[int], at: int, second: list[int]) -> list[Document]:
        found = [
            {"id": 1, "collection": "c", "nodes": order[:at]},
            {"id": 2, "collection": "c", "nodes": order[at:]},
            {"id": 3, "collection": "d", "nodes": second},
        ]
        return [replica for replica in found if replica["nodes"]]

    places = st.integers(0, count - 1)
    return st.builds(cut, st.permutations(range(count)), st.integers(1, count), st.lists(places, unique=True))


@st.composite
def _flights(
    draw: st.DrawFn, nodes: list[Document], segments: list[Document], replicas: list[Document]
) -> list[Document]:
    flights = []
    for segment in segments:
        if draw(st.integers(0, 9)):
            continue
        here = nodes[segment["node"]]
        of_replica = next((one["nodes"] for one in replicas if one["id"] == segment.get("replica")), None)
        others = [
            node["id"]
            for node in nodes
            if node["resource_group"] == here["resource_group"]
            and (node["id"] in of_replica if of_replica is not None else node["replica"] == here["replica"])
        ]
        flights.append({"segment": segment["id"], "source": here["id"], "destination": draw(st.sampled_from(others))})
    return flights


@given(clusters())
@settings(max_examples=150, deadline=None)
def test_keeps_every_hard_rule_at_every_step_and_is_never_worse(document: Document) -> None:
    plan, replayed = carried_out(document)
    assert replayed.complaints == []
    before, after = max(replayed.loads_before.values()), max(replayed.loads_after.values())
    assert after <= before * (1 + 1e-9)
    assert plan["before"]["max_load"] == pytest.approx(before)
    assert plan["after"]["max_load"] == pytest.approx(after)
    assert plan["after"]["max_load"] >= plan["lower_bound"] * (1 - 1e-9)
    assert plan["moved_bytes"] == replayed.moved_bytes
    for group in plan["groups"]:
        hottest = [max(some[node] for node in group["nodes"]) for some in (replayed.loads_before, replayed.loads_after)]
        assert hottest[1] <= hottest[0] * (0.99 + 1e-9 if group["moves"] else 1)


@given(clusters())
@settings(max_examples=100, deadline=None)
def test_gives_the_same_plan_again(document: Document) -> None:
    assert planned(document) == planned(document)


@given(clusters())
@settings(max_examples=120, deadline=None)
def test_finds_nothing_to_do_on_its_own_result(document: Document) -> None:
    """Without move limits, which a second plan would have anew, and nodes that could only shed in the first."""
    free: Document = {**document, "limits": {"memory_ceiling_ratio": 0.9}, "in_flight": []}
    held = {node["id"]: 0 for node in free["nodes"]}
    for segment in free["segments"]:
        held[segment["node"]] += segment["memory_bytes"]
    assume(all(held[node["id"]] <= node["memory_bytes"] * 0.9 for node in free["nodes"]))
    _, replayed = carried_out(free)
    assert planned(replayed.after)["moves"] == []


def tiny(random: Random, *, room: tuple[int, int]) -> Document:
    """2 or 3 nodes, 2 to 6 segments; so many bytes are free on each node."""
    count = random.randint(2, 3)
    segments: list[Document] = [
        {
            "id": at,
            "memory_bytes": random.randint(1, 15),
            "heat": random.randint(0, 20),
            "node": random.randrange(count),
            "collection": "c",
        }
        for at in range(random.randint(2, 6))
    ]
    start, sizes = tuple(one["node"] for one in segments), [one["memory_bytes"] for one in segments]
    held = [_held(start, sizes, place) for place in range(count)]
    nodes = [
        {"id": at, "memory_bytes": held[at] + random.randint(*room), "cpu": random.choice([1.0, 2.0])}
        for at in range(count)
    ]
    return {"nodes": nodes, "segments": segments, "limits": {"memory_ceiling_ratio": 1.0}}


def gap(document: Document) -> float:
    """The plan's maximum over the lowest that any order of moves can reach."""
    best = best_reachable(document)
    after: float = planned(document)["after"]["max_load"]
    return after / best if best else 1.0


@given(st.integers(0, 10**9))
@settings(max_examples=100, deadline=None)
def test_is_near_the_exhaustive_optimum_on_tiny_clusters(seed: int) -> None:
    assert gap(tiny(Random(seed), room=(90, 99))) <= EXHAUSTIVE_GAP + 1e-9


def test_is_mostly_at_the_exhaustive_optimum_on_tiny_clusters_with_hardly_any_room() -> None:
    gaps = [gap(tiny(Random(seed), room=(0, 10))) for seed in range(300)]
    assert sum(gaps) / len(gaps) <= TIGHT_MEAN_GAP
    assert sum(one <= 1.01 for one in gaps) >= 0.9 * len(gaps)


def best_reachable(document: Document) -> float:
    """The lowest maximum load of all placements that a sequence of moves can reach within memory."""
    sizes = [segment["memory_bytes"] for segment in document["segments"]]
    start = tuple(segment["node"] for segment in document["segments"])
    ceilings = [node["memory_bytes"] for node in document["nodes"]]
    over = {place for place in range(len(ceilings)) if _held(start, sizes, place) > ceilings[place]}
    seen, waiting, best = {start}, [start], float("inf")
    while waiting:
        placement = waiting.pop()
        moved = [{**segment, "node": place} for segment, place in zip(document["segments"], placement, strict=True)]
        best = min(best, max(loads({**document, "segments": moved}).values()))
        for following in _next(placement, sizes, ceilings, over):
            if following not in seen:
                seen.add(following)
                waiting.append(following)
    return best


def _next(
    placement: tuple[int, ...], sizes: list[int], ceilings: list[int], over: set[int]
) -> Iterator[tuple[int, ...]]:
    for segment in range(len(placement)):
        for place in set(range(len(ceilings))) - over - {placement[segment]}:
            if _held(placement, sizes, place) + sizes[segment] <= ceilings[place]:
                yield (*placement[:segment], place, *placement[segment + 1 :])


def _held(placement: tuple[int, ...], sizes: list[int], place: int) -> int:
    return sum(size for size, at in zip(sizes, placement, strict=True) if at == place)


BASE: Document = {
    "nodes": [
        {"id": 1, "memory_bytes": 30, "cpu": 1.0},
        {"id": 2, "memory_bytes": 30, "cpu": 1.0},
        {"id": 3, "memory_bytes": 30, "cpu": 1.0, "resource_group": "b"},
        {"id": 4, "memory_bytes": 5, "cpu": 1.0},
        {"id": 5, "memory_bytes": 30, "cpu": 1.0, "cordoned": True},
        {"id": 6, "memory_bytes": 30, "cpu": 1.0, "replica": "r"},
    ],
    "segments": [
        {"id": 1, "collection": "c", "memory_bytes": 10, "heat": 1, "node": 1},
        {"id": 2, "collection": "c", "memory_bytes": 10, "heat": 1, "node": 1, "pinned": True},
        {"id": 3, "collection": "c", "memory_bytes": 25, "heat": 1, "node": 2},
        {"id": 4, "collection": "c", "memory_bytes": 6, "heat": 1, "node": 4},
        {"id": 5, "collection": "c", "memory_bytes": 1, "heat": 1, "node": 1},
    ],
    "limits": {"memory_ceiling_ratio": 1.0, "max_moves": 2, "max_moves_per_node": 1},
}


@pytest.mark.parametrize(
    ("moves", "complaint"),
    [
        pytest.param([(5, 1, 2)], None, id="a good move"),
        pytest.param([(1, 1, 2)], "memory of the destination", id="memory"),
        pytest.param([(2, 1, 2)], "pinned", id="pin"),
        pytest.param([(5, 1, 3)], "crosses resource groups", id="resource group"),
        pytest.param([(5, 1, 4)], "was above its ceiling", id="above its ceiling"),
        pytest.param([(5, 1, 5)], "cordoned", id="cordon"),
        pytest.param([(5, 1, 6)], "leaves its replica", id="replica"),
        pytest.param([(5, 2, 1)], "is not on", id="not there"),
        pytest.param([(5, 1, 2), (5, 2, 1)], "more than 1", id="limit of a node"),
        pytest.param([(5, 1, 2), (5, 2, 1), (5, 1, 2)], "more than 2", id="limit of the plan"),
    ],
)
def test_the_validator_itself_sees(moves: list[tuple[Any, Any, Any]], complaint: str | None) -> None:
    told = replay(BASE, [{"segment": one, "source": source, "destination": to} for one, source, to in moves])
    if complaint is None:
        assert told.complaints == []
    else:
        assert any(complaint in one for one in told.complaints)


def test_the_validator_refuses_to_move_what_is_in_flight() -> None:
    flying = {**BASE, "in_flight": [{"segment": 5, "source": 1, "destination": 2}]}
    assert "move 0: in flight" in replay(flying, [{"segment": 5, "source": 2, "destination": 1}]).complaints
