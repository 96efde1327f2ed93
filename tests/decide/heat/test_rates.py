"""How often a replica is searched, and what the model remembers of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from milvus_tuning.decide.heat import HeatMemory
from milvus_tuning.decide.heat.rates import smoothed_rates
from milvus_tuning.snapshot import MISSING, Collection, NodeSearches, Replica, Sample, Segment, Snapshot
from tests.builders import NOON, a_sample, some_nodes

FIRST, SECOND = (100, 1001), (100, 1002)


def a_snapshot(
    total: Sample = MISSING,
    *,
    nodes: dict[int, float] | None = None,
    replicas: Sequence[tuple[int, ...]] = ((1, 2), (3, 4)),
    channels: int = 1,
    age: float = 5.0,
    at: datetime = NOON,
) -> Snapshot:
    """One collection with a segment; `nodes` are requests per second by node id, `replicas` their node ids."""
    return Snapshot(
        taken_at=at,
        query_nodes=some_nodes(4),
        collections=(Collection(collection_id=100, name="products", searches_per_second=total),),
        replicas=tuple(
            Replica(
                replica_id=1001 + at,
                collection_id=100,
                node_ids=ids,
                leaders=tuple((f"dml_{channel}", ids[0]) for channel in range(channels)),
            )
            for at, ids in enumerate(replicas)
        ),
        segments=(Segment(segment_id=1, collection_id=100, rows=1000, node_ids=tuple(ids[0] for ids in replicas)),),
        node_searches=tuple(
            NodeSearches(node_id=node_id, collection_id=100, searches_per_second=a_sample(rate, age=age))
            for node_id, rate in (nodes or {}).items()
        ),
    )


@pytest.mark.parametrize(
    ("snapshot", "rates"),
    [
        pytest.param(a_snapshot(a_sample(90)), {FIRST: 45, SECOND: 45}, id="2.3: replicas share evenly"),
        pytest.param(
            a_snapshot(a_sample(90), nodes={1: 80, 2: 70, 3: 40, 4: 40}),
            {FIRST: 60, SECOND: 30},
            id="the busiest nodes tell the shares, the proxies the total",
        ),
        pytest.param(
            a_snapshot(nodes={1: 80, 2: 70, 3: 40, 4: 30}, channels=2),
            {FIRST: 40, SECOND: 20},
            id="without the proxies a node counts a search once per channel",
        ),
        pytest.param(
            a_snapshot(a_sample(90), nodes={1: 80}), {FIRST: 45, SECOND: 45}, id="a replica nobody counts: even shares"
        ),
        pytest.param(a_snapshot(nodes={1: 80}), {FIRST: 80}, id="one replica known, the other not"),
        pytest.param(
            a_snapshot(a_sample(90), nodes={1: 80, 3: 10}, age=75),
            {FIRST: 45, SECOND: 45},
            id="old counts do not count",
        ),
        pytest.param(a_snapshot(a_sample(0)), {FIRST: 0, SECOND: 0}, id="measured 0 is 0"),
        pytest.param(a_snapshot(), {}, id="missing is not 0"),
        pytest.param(a_snapshot(a_sample(90, age=75)), {}, id="too old is missing"),
        pytest.param(a_snapshot(a_sample(float("nan"))), {}, id="NaN is missing"),
        pytest.param(a_snapshot(a_sample(-1)), {}, id="negative is missing"),
    ],
)
def test_rate_of_a_replica(snapshot: Snapshot, rates: dict[tuple[int, int], float]) -> None:
    found = smoothed_rates(snapshot, None, NOON)

    assert found.by_replica == pytest.approx(rates)
    assert bool(found.gaps) is (len(rates) < 2)


@pytest.mark.parametrize(
    ("total", "gap"),
    [
        pytest.param(MISSING, "default.products: searches per second missing", id="missing"),
        pytest.param(
            a_sample(1, age=75), "default.products: searches per second 75 s old (limit 60 s)", id="its age is said"
        ),
    ],
)
def test_an_unknown_rate_is_a_gap_in_words(total: Sample, gap: str) -> None:
    assert smoothed_rates(a_snapshot(total), None, NOON).gaps == (gap,)


def test_a_collection_without_segments_leaves_no_gap() -> None:
    snapshot = a_snapshot()
    empty = Snapshot(taken_at=NOON, collections=snapshot.collections, replicas=snapshot.replicas)

    assert smoothed_rates(empty, None, NOON).gaps == ()


def remembering(rate: float, *, seconds_ago: float) -> HeatMemory:
    then = NOON - timedelta(seconds=seconds_ago)
    return HeatMemory(at=then, rates={FIRST: rate}, rated_at={FIRST: then})


@pytest.mark.parametrize(
    ("seconds_ago", "rate"),
    [
        pytest.param(0, 100, id="the same moment again"),
        pytest.param(15, 115.9104, id="a pass of 15 s"),
        pytest.param(60, 150, id="a half-life"),
        pytest.param(120, 175, id="two"),
        pytest.param(86_400, 200, id="a day: forgotten"),
        pytest.param(-30, 100, id="a clock that went back"),
    ],
)
def test_the_weight_follows_the_time_between_measurements(seconds_ago: float, rate: float) -> None:
    snapshot = a_snapshot(a_sample(200), replicas=((1, 2),))

    found = smoothed_rates(snapshot, remembering(100, seconds_ago=seconds_ago), NOON)

    assert found.by_replica[FIRST] == pytest.approx(rate)
    assert found.rated_at[FIRST] == NOON


@pytest.mark.parametrize("spacings", [(60.0,), (15.0,) * 4, (1.0, 7.0, 22.0, 30.0)], ids=["one", "even", "uneven"])
def test_the_number_of_passes_between_does_not_matter(spacings: tuple[float, ...]) -> None:
    memory, now = remembering(100, seconds_ago=0), NOON
    for spacing in spacings:
        now += timedelta(seconds=spacing)
        rates = smoothed_rates(a_snapshot(a_sample(200), replicas=((1, 2),), at=now), memory, now)
        memory = HeatMemory(at=now, rates=rates.by_replica, rated_at=rates.rated_at)

    assert memory.rates[FIRST] == pytest.approx(150)


@pytest.mark.parametrize(
    ("seconds_ago", "rates"),
    [
        pytest.param(119, {FIRST: 100.0}, id="within two half-lives it stands"),
        pytest.param(121, {}, id="after that it is a gap"),
    ],
)
def test_a_missing_rate_keeps_its_value_for_a_while(seconds_ago: float, rates: dict[tuple[int, int], float]) -> None:
    found = smoothed_rates(a_snapshot(replicas=((1, 2),)), remembering(100, seconds_ago=seconds_ago), NOON)

    assert found.by_replica == rates
    assert bool(found.gaps) is not bool(rates)
    assert found.rated_at == {key: NOON - timedelta(seconds=seconds_ago) for key in rates}


def test_a_replica_that_is_gone_is_forgotten() -> None:
    memory = HeatMemory(at=NOON, rates={FIRST: 1.0, SECOND: 2.0}, rated_at={FIRST: NOON, SECOND: NOON})

    assert set(smoothed_rates(a_snapshot(a_sample(5), replicas=((1, 2),)), memory, NOON).by_replica) == {FIRST}
