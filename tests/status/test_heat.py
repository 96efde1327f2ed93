"""The heat in status: what it says, that jitter does not rewrite the object, and that it always fits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milvus_tuning.api import (
    HeatStatus,
    HotCollection,
    HotSegment,
    MilvusTuningSpec,
    MilvusTuningStatus,
    MovingCollection,
)
from milvus_tuning.decide.heat import HeatMap
from milvus_tuning.plan import Decision, Reason, Signal
from milvus_tuning.snapshot import ResourceGroup, Snapshot
from milvus_tuning.status import Facts, build_status, worth_writing
from milvus_tuning.status.heat import heat_status, moving_status, two_digits
from tests.status.heat_maps import NOW, a_collection, a_map, a_node, a_segment, a_snapshot, with_cores

SPEC = MilvusTuningSpec.model_validate({"targetRef": {"kind": "HelmRelease", "name": "my-release"}})


@dataclass(frozen=True, kw_only=True)
class Moving:
    """A stand-in for what the decision tells."""

    name: str = "collection-1"
    database: str = "default"
    moves: int = 8
    net_zero_ratio: float = 1.0
    return_seconds: float | None = 123.4


def some_facts(heat: HeatMap | None, snapshot: Snapshot | None = None, moving: Sequence[Moving] = ()) -> Facts:
    return Facts(
        spec=SPEC,
        snapshot=snapshot or (a_snapshot(heat) if heat else Snapshot(taken_at=NOW)),
        decision=Decision(reason=Reason.STEADY, message="all is well"),
        signal=Signal(at=NOW, node_count=2, capacity_ratio=0.3, computation_ratio=0.45, even_computation_ratio=0.4),
        heat=heat,
        moving=moving,
    )


def built(heat: HeatMap | None, **facts: Any) -> MilvusTuningStatus:
    return build_status(MilvusTuningStatus(), some_facts(heat, **facts), generation=1, now=NOW)


def test_status_has_the_hottest_first_with_names_and_quantised_numbers() -> None:
    heat = a_map(
        collections=[a_collection(2, cores=0.0312, share=0.19), a_collection(1, cores=0.1349, share=0.81)],
        segments=[a_segment(11, cores=0.0062, node=2), a_segment(10, cores=0.0449), a_segment(12, collection=9)],
    )
    own = {"database": "default", "searches_per_second": 12, "replicas": 1, "segments": 8, "busiest_pod": "qn-1"}
    held = {"database": "default", "collection": "collection-1", "rows": 5000}
    assert heat_status(heat, a_snapshot(heat)) == HeatStatus(
        error_percent=15,
        skew_percent=35,
        collections=[
            HotCollection(name="collection-1", cores_thousandths=130, share_percent=80, **own),
            HotCollection(name="collection-2", cores_thousandths=31, share_percent=20, **own),
        ],
        segments=[
            HotSegment(segment="10", pod="qn-1", cores_thousandths=45, **held),
            HotSegment(segment="12", pod="qn-1", cores_thousandths=30, database="", collection="9", rows=5000),
            HotSegment(segment="11", pod="qn-2", cores_thousandths=6, **held),
        ],
    )


def test_what_is_missing_is_told_and_is_no_heat() -> None:
    heat = a_map(collections=(), segments=(), nodes=(), error=None, gaps=("no searches per second by collection",))
    assert heat_status(heat, a_snapshot(heat)) == HeatStatus(gaps=["no searches per second by collection"])


def test_nothing_at_all_is_nothing() -> None:
    assert heat_status(HeatMap(at=NOW), Snapshot(taken_at=NOW)) is None
    assert (built(None).heat, built(None).ping_pong) == (None, None)


SKEWS = {
    "two alike": ([a_node(1), a_node(2)], 0),
    "one twice as hot": ([a_node(1, expected=0.2), a_node(2, expected=0.1)], 35),
    "the smaller one is the hotter": ([a_node(1, expected=0.2, limit=0.8), a_node(2, expected=0.1, limit=0.2)], 35),
    "one without a limit: by cores": ([a_node(1, expected=0.2, limit=None), a_node(2, expected=0.1)], 35),
    "no heat": ([a_node(1, expected=0.0)], None),
    "no nodes": ([], None),
}


@pytest.mark.parametrize(("nodes", "percent"), SKEWS.values(), ids=SKEWS.keys())
def test_the_skew_is_the_hottest_above_the_mean(nodes: list[Any], percent: int | None) -> None:
    found = heat_status(a_map(nodes=nodes), Snapshot(taken_at=NOW))
    assert found is not None
    assert found.skew_percent == percent


@pytest.mark.parametrize(("error", "percent"), [(None, None), (0.0, 0), (0.001, 5), (0.05, 5), (0.051, 10)])
def test_an_error_is_never_told_smaller_than_it_is(error: float | None, percent: int | None) -> None:
    found = heat_status(a_map(error=error), Snapshot(taken_at=NOW))
    assert found is not None
    assert found.error_percent == percent


@pytest.mark.parametrize(
    ("value", "expected"), [(0.4, 0), (7.4, 7), (9.6, 10), (99.6, 100), (1234, 1200), (1250, 1200)]
)
def test_two_digits_are_kept(value: float, expected: int) -> None:
    assert two_digits(value) == expected


def test_a_node_has_its_heat_and_its_resource_groups_where_they_say_something() -> None:
    heat = a_map(nodes=[a_node(1, expected=0.25), a_node(2, limit=None), a_node(3, expected=0.01)])
    groups = [
        ResourceGroup(name="__default_resource_group", node_ids=(1,)),
        ResourceGroup(name="rg-b", node_ids=(2, 3)),
        ResourceGroup(name="rg-a", node_ids=(3,)),
    ]
    status = built(heat, snapshot=a_snapshot(heat, groups=groups))
    assert status.observed is not None
    found = {node.pod: (node.heat_percent, node.resource_groups) for node in status.observed.query_nodes or []}
    assert found == {"qn-1": (85, None), "qn-2": (None, "rg-b"), "qn-3": (5, "rg-a, rg-b")}


def test_of_many_nodes_the_hottest_are_shown_in_the_usual_order() -> None:
    heat = a_map(nodes=[a_node(number, expected=0.03 * number) for number in range(1, 31)])
    status = built(heat)
    assert status.observed is not None
    assert [node.pod for node in status.observed.query_nodes or []] == [f"qn-{number}" for number in range(11, 31)]


def test_the_most_useless_moves_come_first() -> None:
    moves = [Moving(moves=6, net_zero_ratio=0.5, return_seconds=None), Moving(name="collection-2", net_zero_ratio=0.97)]
    assert moving_status(moves) == [
        MovingCollection(database="default", name="collection-2", moves=8, net_zero_percent=95, return_seconds=120),
        MovingCollection(database="default", name="collection-1", moves=6, net_zero_percent=50),
    ]


WRITES = {
    "the same": ((0.12, 0.03), (0.12, 0.03), False),
    "across the edge of a quantum": ((0.1249, 0.03), (0.1251, 0.03), False),
    "a quarter hotter": ((0.12, 0.03), (0.15, 0.03), True),
    "a quarter colder": ((0.12, 0.04), (0.12, 0.03), True),
    "the edge of 2 and 3 thousandths": ((0.12, 0.0024), (0.12, 0.0026), False),
    "none at all any more": ((0.12, 0.03), (0.12, 0.0), True),
}


@pytest.mark.parametrize(("before", "after", "expected"), WRITES.values(), ids=WRITES.keys())
def test_the_object_is_written_for_heat_when(before: Sequence[float], after: Sequence[float], expected: bool) -> None:
    heat = a_map(collections=[a_collection(1), a_collection(2)], segments=[a_segment(1), a_segment(2)])
    later = NOW + timedelta(seconds=15)
    stored = built(with_cores(heat, before))
    fresh = build_status(stored, some_facts(with_cores(heat, after)), generation=1, now=later)
    assert worth_writing(stored, fresh, now=later) is expected


CHANGES = {
    "a segment on another QueryNode": {"segments": [a_segment(node=2)]},
    "an error that a reader would notice": {"error": 0.3},
    "a replica more": {"collections": [replace(a_collection(), replicas=2)]},
    "another collection": {"collections": [a_collection(5, cores=0.3)]},
    "twice the searches": {"collections": [replace(a_collection(), searches_per_second=24.8)]},
    "a hotter node": {"nodes": [a_node(1, expected=0.24), a_node(2, expected=0.1)]},
    "something that is missing": {"gaps": ("no CPU of qn-1",)},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES.keys())
def test_the_object_is_written_for(changes: dict[str, Any]) -> None:
    stored = built(a_map())
    assert not worth_writing(stored, built(a_map()), now=NOW)
    assert worth_writing(stored, built(a_map(**changes)), now=NOW)


CORES = st.lists(st.floats(0.0, 3.0), min_size=1, max_size=30)


def quantum(thousandths: float) -> float:
    """The step of what status says at a value."""
    return 1.0 if thousandths < 10 else 10.0 ** (math.floor(math.log10(thousandths)) - 1)


def jitter(value: float, part: float) -> float:
    """The value with noise of less than one quantum of what status says, there and where it comes to.

    1062 is said in hundreds and 975 in tens: to say 975 after it is news.
    """
    thousandths = value * 1000
    step = quantum(thousandths)
    step = min(step, quantum(max(0.0, thousandths + part * step)))
    return max(0.0, thousandths + part * step) / 1000


@given(cores=CORES, data=st.data())
@settings(max_examples=60, deadline=None)
def test_noise_below_the_quantum_does_not_rewrite_the_object(cores: list[float], data: st.DataObject) -> None:
    numbers = range(1, len(cores) + 1)
    heat = a_map(collections=[a_collection(one) for one in numbers], segments=[a_segment(one) for one in numbers])
    parts = data.draw(st.lists(st.floats(-0.99, 0.99), min_size=len(cores), max_size=len(cores)))
    noisy = [jitter(value, part) for value, part in zip(cores, parts, strict=True)]
    shares = [one.share_ratio for one in with_cores(heat, cores).collections]
    after = with_cores(heat, noisy)
    after = replace(
        after,
        collections=tuple(
            replace(one, share_ratio=share, searches_per_second=12.9)
            for one, share in zip(after.collections, shares, strict=True)
        ),
        nodes=(a_node(1, expected=0.21), a_node(2, expected=0.105)),
        error_ratio=0.169,
    )
    assert not worth_writing(built(with_cores(heat, cores)), built(after), now=NOW)


@given(cores=st.lists(st.floats(0.1, 3.0), min_size=2, max_size=20), factor=st.floats(1.3, 3.0), data=st.data())
@settings(max_examples=40, deadline=None)
def test_heat_that_a_reader_would_act_on_is_written(cores: list[float], factor: float, data: st.DataObject) -> None:
    numbers = range(1, len(cores) + 1)
    heat = a_map(collections=[a_collection(one) for one in numbers], segments=[a_segment(one) for one in numbers])
    hotter = data.draw(st.integers(0, len(cores) - 1))
    after = [value * factor if index == hotter else value for index, value in enumerate(cores)]
    assert worth_writing(built(with_cores(heat, cores)), built(with_cores(heat, after)), now=NOW)
