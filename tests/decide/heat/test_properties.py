"""What holds for the heat of every cluster."""

import math
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milvus_tuning.decide.heat import HeatMap, HeatMemory, heat_map
from milvus_tuning.decide.heat.readings import SATURATED_RATIO
from milvus_tuning.decide.load import MAX_SAMPLE_AGE_SECONDS
from milvus_tuning.snapshot import (
    Collection,
    CollectionShape,
    NodeSearches,
    Replica,
    Sample,
    Segment,
    SegmentState,
    Snapshot,
)
from tests.builders import NOON, a_node, a_sample

LIMIT = 2.0
INDEXES = ["", "FLAT", "BIN_FLAT", "IVF_FLAT", "IVF_SQ8", "SCANN", "HNSW", "DISKANN", "AUTOINDEX", "SPARSE_WAND", "NEW"]

rates = st.one_of(st.just(0.0), st.floats(0.01, 1000.0))
rows = st.integers(0, 1_000_000)
wild = st.one_of(
    st.sampled_from([Sample.missing(), Sample(value=math.nan), Sample(value=math.inf), Sample(value=-1.0)]),
    st.builds(
        Sample,
        value=st.one_of(st.just(0.0), st.floats(1e-6, 1e6)),
        age_seconds=st.sampled_from([5.0, MAX_SAMPLE_AGE_SECONDS + 1]),
        coverage=st.sampled_from([1.0, 0.5]),
    ),
)
shapes = st.none() | st.builds(
    CollectionShape,
    dimension=st.integers(0, 4096),
    vector_bytes=st.integers(0, 16384),
    index_type=st.sampled_from(INDEXES),
    index_parameters=st.dictionaries(
        st.sampled_from(["nlist", "M", "max_degree"]), st.sampled_from(["0", "16", "1024", "-3", "x", ""])
    ),
)


def _is_clear(share: float) -> bool:
    """Not so near to saturation that rounding decides."""
    return abs(share - SATURATED_RATIO) > 1e-6


@st.composite
def clusters(draw: st.DrawFn, *, samples: st.SearchStrategy[Sample] | None = None) -> Snapshot:
    """One to five nodes, one to four collections of one or two replicas; with `samples`, all measured so."""
    node_ids = list(range(1, draw(st.integers(1, 5)) + 1))
    shares = st.floats(0.0, 1.0).filter(_is_clear).map(lambda share: a_sample(share * LIMIT))
    nodes = tuple(
        a_node(
            f"qn-{node_id}",
            node_id=node_id,
            cpu_limit_cores=LIMIT,
            cpu_cores=draw(shares if samples is None else samples),
        )
        for node_id in node_ids
    )
    collections, replicas, segments, searches = [], [], [], []
    for number in range(1, draw(st.integers(1, 4)) + 1):
        sample = draw(rates.map(a_sample) if samples is None else samples)
        collections.append(
            Collection(collection_id=number, name=f"c{number}", searches_per_second=sample, shape=draw(shapes))
        )
        count = draw(st.integers(1, min(2, len(node_ids))))
        held = [tuple(node_ids[at::count]) for at in range(count)]
        replicas += [
            Replica(replica_id=number * 10 + at, collection_id=number, node_ids=ids, leaders=(("dml_0", ids[0]),))
            for at, ids in enumerate(held)
        ]
        segments += [
            Segment(
                segment_id=number * 100 + at,
                collection_id=number,
                rows=draw(rows),
                node_ids=tuple(draw(st.sampled_from(ids)) for ids in held),
                state=draw(st.sampled_from([*[SegmentState.SEALED] * 3, SegmentState.GROWING])),
            )
            for at in range(draw(st.integers(0, 5)))
        ]
        if samples is not None:
            searches += [
                NodeSearches(node_id=node_id, collection_id=number, searches_per_second=draw(samples))
                for node_id in node_ids
            ]
    return Snapshot(
        taken_at=NOON,
        query_nodes=nodes,
        collections=tuple(collections),
        replicas=tuple(replicas),
        segments=tuple(segments),
        node_searches=tuple(searches),
    )


memories = st.none() | st.builds(
    lambda ago, scale, base: HeatMemory(
        at=NOON - timedelta(seconds=ago),
        rates={(1, 10): 5.0},
        rated_at={(1, 10): NOON - timedelta(seconds=ago)},
        cores_per_cost=scale,
        base_cores=base,
    ),
    st.floats(-60, 600),
    st.none() | st.floats(0, 1e-6),
    st.none() | st.floats(0, 0.2),
)


def figures(heat: HeatMap) -> list[float]:
    return [
        *(one.cores for one in heat.segments),
        *(one.cores for one in heat.collections),
        *(one.share_ratio for one in heat.collections),
        *(figure for node in heat.nodes for figure in (node.expected_cores, node.fixed_cores)),
        *([] if heat.error_ratio is None else [heat.error_ratio]),
    ]


@settings(max_examples=60)
@given(clusters(samples=wild), memories)
def test_nothing_is_ever_negative_or_not_a_number(snapshot: Snapshot, memory: HeatMemory | None) -> None:
    heat, after = heat_map(snapshot, memory, NOON)

    for figure in [*figures(heat), *after.rates.values(), after.cores_per_cost or 0.0, after.base_cores or 0.0]:
        assert math.isfinite(figure)
        assert figure >= 0


@settings(max_examples=60)
@given(clusters(samples=wild), memories, st.randoms(use_true_random=False))
def test_the_order_of_the_facts_changes_nothing(snapshot: Snapshot, memory: HeatMemory | None, random: Random) -> None:
    shuffled: dict[str, Any] = {}
    for name in ("query_nodes", "collections", "replicas", "segments", "node_searches"):
        facts = list(getattr(snapshot, name))
        random.shuffle(facts)
        shuffled[name] = tuple(facts)

    assert heat_map(replace(snapshot, **shuffled), memory, NOON) == heat_map(snapshot, memory, NOON)


@settings(max_examples=40)
@given(clusters(), st.sampled_from([0.25, 3.0, 40.0]))
def test_k_times_the_cpu_is_k_times_the_heat(snapshot: Snapshot, factor: float) -> None:
    faster = tuple(
        replace(
            node,
            cpu_cores=replace(node.cpu_cores, value=(node.cpu_cores.value or 0.0) * factor),
            cpu_limit_cores=LIMIT * factor,
        )
        for node in snapshot.query_nodes
    )

    heat, after = heat_map(snapshot, None, NOON)
    scaled, scaled_after = heat_map(replace(snapshot, query_nodes=faster), None, NOON)

    if after.cores_per_cost is not None:  # else the scale is nominal
        expected = [one.cores * factor for one in heat.segments]
        assert [one.cores for one in scaled.segments] == pytest.approx(expected, rel=1e-6, abs=1e-9 * factor)
    assert (scaled_after.cores_per_cost is None) is (after.cores_per_cost is None)


@settings(max_examples=40)
@given(clusters())
def test_a_cold_collection_changes_the_heat_of_no_other(snapshot: Snapshot) -> None:
    """Its rate is 0, so it changes no work, and so not even the scale."""
    cold = replace(
        snapshot,
        collections=(
            *snapshot.collections,
            Collection(collection_id=99, name="cold", searches_per_second=a_sample(0.0)),
        ),
        replicas=(*snapshot.replicas, Replica(replica_id=990, collection_id=99, node_ids=(1,), leaders=(("d", 1),))),
        segments=(*snapshot.segments, Segment(segment_id=9900, collection_id=99, rows=500_000, node_ids=(1,))),
    )

    before, after = heat_map(snapshot, None, NOON)[0], heat_map(cold, None, NOON)[0]

    assert [one for one in after.segments if one.collection_id != 99] == list(before.segments)
    assert [one.cores for one in after.segments if one.collection_id == 99] == [0.0]
    assert after.nodes == before.nodes


@settings(max_examples=15)
@given(clusters(), clusters(), st.lists(st.floats(1.0, 300.0), min_size=3, max_size=3))
def test_what_stays_as_it_is_is_found_in_the_end(before: Snapshot, snapshot: Snapshot, spacings: list[float]) -> None:
    _, memory = heat_map(before, None, NOON)
    now = NOON
    for spacing in [*spacings, 600.0, 600.0, 600.0]:
        now += timedelta(seconds=spacing)
        heat, memory = heat_map(replace(snapshot, taken_at=now), memory, now)

    measured = {one.collection_id: one.searches_per_second.value for one in snapshot.collections}
    for collection in heat.collections:
        assert collection.searches_per_second == pytest.approx(measured[collection.collection_id], rel=0.01, abs=0.01)


@settings(max_examples=40)
@given(clusters())
def test_the_shares_are_those_of_a_whole(snapshot: Snapshot) -> None:
    heat = heat_map(snapshot, None, NOON)[0]

    whole = math.fsum(one.share_ratio for one in heat.collections)
    assert whole == pytest.approx(1.0) or whole == 0.0
    assert math.fsum(one.cores for one in heat.segments) <= math.fsum(one.cores for one in heat.collections) * (
        1 + 1e-9
    )
