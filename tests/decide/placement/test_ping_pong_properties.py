"""The share of moves that come to nothing is a share, does not depend on direction, and is never ours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.decide.placement.ping_pong import CollectionMoves, PlacementLog, log_placement, moving_collections
from milvus_tuning.snapshot import Collection, Replica, Segment, Snapshot
from tests.builders import NOON, some_nodes

NODES = (1, 2, 3, 4)
SEGMENTS = 4
Reading = tuple[tuple[int, ...], ...]  # for each segment the nodes that it is on: none, one, or two in transit

node_sets = st.lists(st.sampled_from(NODES), min_size=0, max_size=2, unique=True).map(tuple)
whole = st.sampled_from(NODES).map(lambda node: (node,))
courses = st.lists(st.tuples(*(node_sets for _ in range(SEGMENTS))), min_size=1, max_size=12)
settled_courses = st.lists(st.tuples(*(whole for _ in range(SEGMENTS))), min_size=1, max_size=12)


def a_reading(reading: Reading) -> Snapshot:
    return Snapshot(
        taken_at=NOON,
        query_nodes=some_nodes(len(NODES)),
        collections=(Collection(collection_id=100, name="products"),),
        replicas=(Replica(replica_id=1, collection_id=100, node_ids=NODES),),
        segments=tuple(
            Segment(segment_id=number, collection_id=100, rows=1, node_ids=held) for number, held in enumerate(reading)
        ),
    )


def judged(course: Sequence[Reading], own: frozenset[tuple[int, str]] = frozenset()) -> CollectionMoves | None:
    log = PlacementLog()
    now = NOON
    for number, reading in enumerate(course):
        now = NOON + timedelta(seconds=60 * number)
        log = log_placement(log, a_reading(reading), now, own=own)
    found = moving_collections(log, a_reading(course[-1]), now)
    return found[0] if found else None


@given(courses)
def test_the_ratio_is_a_share_of_the_moves(course: Sequence[Reading]) -> None:
    found = judged(course)
    if found is not None:
        assert 0 <= found.net_zero_ratio <= 1
        assert found.returns < found.moves
        assert (found.return_seconds is None) is (found.returns == 0)


@given(st.tuples(*(node_sets for _ in range(SEGMENTS))), st.integers(1, 12))
def test_what_stays_where_it_is_has_no_moves(reading: Reading, times: int) -> None:
    assert judged([reading] * times) is None


@given(settled_courses)
def test_backwards_the_ratio_is_the_same(course: Sequence[Reading]) -> None:
    forth, back = judged(course), judged(course[::-1])
    assert (forth and (forth.moves, forth.net_zero_ratio)) == (back and (back.moves, back.net_zero_ratio))


@given(settled_courses)
def test_without_gaps_the_needed_moves_are_the_segments_that_ended_elsewhere(course: Sequence[Reading]) -> None:
    found = judged(course)
    elsewhere = sum(1 for first, last in zip(course[0], course[-1], strict=True) if first != last)
    assert elsewhere == (round(found.moves * (1 - found.net_zero_ratio)) if found else 0)


@given(courses)
def test_going_there_and_back_again_comes_to_nothing(course: Sequence[Reading]) -> None:
    settled = [tuple(held[:1] or (1,) for held in reading) for reading in course]
    found = judged([*settled, *settled[::-1]])
    assert found is None or found.net_zero_ratio == 1


@given(courses)
def test_what_we_move_ourselves_is_never_counted(course: Sequence[Reading]) -> None:
    everything = frozenset((segment, f"qn-{node}") for segment in range(SEGMENTS) for node in NODES)
    assert judged(course, own=everything) is None
