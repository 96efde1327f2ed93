"""Which collections a pass reads, and how much of the placement is known after it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milvus_tuning.observe.placement_cache import (
    BUSIEST_PER_PASS,
    MOST_COLLECTIONS_PER_PASS,
    Placement,
    PlacementCache,
    next_to_read,
)
from milvus_tuning.snapshot import Collection, Segment

INTERVAL_SECONDS = 15.0


def _collections(count: int) -> list[Collection]:
    return [Collection(collection_id=key, name=f"c{key}") for key in range(count)]


def _placement(key: int) -> Placement:
    return Placement(segments=(Segment(segment_id=key, collection_id=key, rows=1, node_ids=(1,)),))


def _pass(cache: PlacementCache, collections: list[Collection], now: float, searches: dict[int, float]) -> list[int]:
    """Read all that is due; the ids that were read."""
    due = cache.due(collections, searches)
    for found in due:
        cache.tried(found, now)
        cache.keep(found, _placement(found.collection_id), now)
    return [found.collection_id for found in due]


def _ids(collections: tuple[Collection, ...]) -> set[int]:
    return {found.collection_id for found in collections}


@pytest.mark.parametrize("count", [0, 1, MOST_COLLECTIONS_PER_PASS])
def test_up_to_the_limit_every_pass_reads_all(count: int) -> None:
    collections = _collections(count)
    assert _ids(next_to_read(collections, {0: 1.0}, {0: 5.0})) == set(range(count))


def test_what_was_tried_the_longest_ago_is_read_first_so_that_a_cut_hits_another_each_time() -> None:
    found = next_to_read(_collections(4), {3: 100.0}, {0: 9.0, 1: 8.0, 3: 7.0})
    assert [one.collection_id for one in found] == [2, 3, 1, 0]


def test_above_the_limit_the_busiest_are_read_and_then_the_oldest() -> None:
    count = 1000
    tried_at = {key: float(key) for key in range(count)}
    searches = {key: float(key) for key in range(count)}
    busiest = set(range(count - BUSIEST_PER_PASS, count))
    oldest = set(range(MOST_COLLECTIONS_PER_PASS - BUSIEST_PER_PASS))
    assert _ids(next_to_read(_collections(count), searches, tried_at)) == busiest | oldest


def test_an_idle_collection_is_not_read_as_a_busy_one() -> None:
    tried_at = {key: float(key) for key in range(1000)}
    searches = dict.fromkeys(range(1000), 0.0) | {999: 0.1}
    found = _ids(next_to_read(_collections(1000), searches, tried_at))
    assert found == {*range(MOST_COLLECTIONS_PER_PASS - 1), 999}


@settings(max_examples=25)
@given(
    count=st.integers(MOST_COLLECTIONS_PER_PASS + 1, 900),
    busy=st.sets(st.integers(0, 899), max_size=120),
)
def test_every_collection_is_read_within_the_passes_that_its_share_needs(count: int, busy: set[int]) -> None:
    collections, cache = _collections(count), PlacementCache()
    searches = {key: 1.0 + key for key in busy}
    passes = -(-count // (MOST_COLLECTIONS_PER_PASS - BUSIEST_PER_PASS))
    read: set[int] = set()
    for turn in range(passes):
        ids = _pass(cache, collections, turn * INTERVAL_SECONDS, searches)
        assert len(ids) == len(set(ids)) == MOST_COLLECTIONS_PER_PASS
        read |= set(ids)
    assert read == set(range(count))


@pytest.mark.parametrize(
    ("count", "coverages"),
    [
        pytest.param(800, [0.25, 0.4375, 0.625, 0.8125, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], id="800"),
        pytest.param(200, [1.0] * 10, id="at the limit"),
    ],
)
def test_coverage_grows_to_all_and_stays(count: int, coverages: list[float]) -> None:
    collections, cache = _collections(count), PlacementCache()
    searches = dict.fromkeys(range(BUSIEST_PER_PASS), 5.0)
    seen = []
    for turn in range(10):
        _pass(cache, collections, turn * INTERVAL_SECONDS, searches)
        seen.append(cache.known(collections, turn * INTERVAL_SECONDS).coverage)
    assert seen == coverages


def test_with_more_than_five_minutes_can_read_coverage_says_so() -> None:
    collections, cache = _collections(4000), PlacementCache()
    searches = dict.fromkeys(range(BUSIEST_PER_PASS), 5.0)
    for turn in range(40):
        _pass(cache, collections, turn * INTERVAL_SECONDS, searches)
    known = cache.known(collections, 39 * INTERVAL_SECONDS)
    assert 0.75 < known.coverage < 0.85
    assert len(known.segments) == 4000


@pytest.mark.parametrize(
    ("count", "age_seconds", "coverage", "segments"),
    [
        pytest.param(2, 60.0, 1.0, 2, id="few, a minute old"),
        pytest.param(2, 61.0, 0.0, 0, id="few, older"),
        pytest.param(400, 300.0, 0.5, 200, id="many, five minutes old"),
        pytest.param(400, 301.0, 0.0, 200, id="many, older: there, not counted"),
        pytest.param(400, 601.0, 0.0, 0, id="many, too old to be there"),
    ],
)
def test_what_counts_depends_on_how_many_collections_there_are(
    count: int, age_seconds: float, coverage: float, segments: int
) -> None:
    collections, cache = _collections(count), PlacementCache()
    _pass(cache, collections, 1000.0, {})
    known = cache.known(collections, 1000.0 + age_seconds)
    assert (known.coverage, len(known.segments)) == (coverage, segments)


def test_a_collection_that_is_released_is_forgotten() -> None:
    cache = PlacementCache()
    _pass(cache, _collections(2), 0.0, {})
    _pass(cache, _collections(1), 1.0, {})
    assert cache.known(_collections(2), 1.0).coverage == 0.5


def test_a_try_that_failed_does_not_come_first_again() -> None:
    collections, cache = _collections(MOST_COLLECTIONS_PER_PASS + 1), PlacementCache()
    for found in cache.due(collections, {}):
        cache.tried(found, 0.0)
    assert cache.due(collections, {})[0].collection_id == MOST_COLLECTIONS_PER_PASS


def test_nothing_loaded_is_known_whole() -> None:
    assert PlacementCache().known([], 0.0).coverage == 1.0
