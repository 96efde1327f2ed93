"""What Milvus's balancer moves to and fro is seen and counted; what moves for another reason is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from milvus_tuning.decide.placement.ping_pong import (
    MOST_MOVES,
    CollectionMoves,
    PlacementLog,
    SegmentMove,
    is_ping_pong,
    log_placement,
    moves_in_words,
    moving_collections,
    own_moves,
    placement_moves,
)
from milvus_tuning.plan import Operation, Reason, Step, StepKind, StepRecord, StepState
from milvus_tuning.plan.moves import LastMove
from milvus_tuning.snapshot import Collection, Replica, Segment, SegmentState, Snapshot
from tests.builders import NOON, a_node
from tests.decide.placement.ping_pong_cases import PRODUCTS, a_course, a_placement, moves_of, seen, watched

# -- what is counted ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "moves", "ratio", "returns", "return_seconds"),
    [
        pytest.param((1, 2), 1, 0.0, 0, None, id="one move that led somewhere"),
        pytest.param((1, 2, 1), 2, 1.0, 1, 60.0, id="there and back"),
        pytest.param((1, 2, 2, 2, 1), 2, 1.0, 1, 180.0, id="back after three minutes"),
        pytest.param((1, 2, 1, 2), 3, 2 / 3, 2, 60.0, id="there, back and there"),
        pytest.param((1, 2, 3), 2, 0.5, 0, None, id="a detour"),
        pytest.param((1, 2, 3, 1), 3, 1.0, 1, 120.0, id="a round of three nodes"),
        pytest.param((1, 2, 1, 1, 1, 2, 1), 4, 1.0, 3, 60.0, id="the median of 60, 240 and 60 s"),
    ],
)
def test_a_course_comes_to_these_numbers(
    nodes: Sequence[int], moves: int, ratio: float, returns: int, return_seconds: float | None
) -> None:
    assert seen(watched(a_course(*nodes))) == CollectionMoves(
        collection_id=100,
        database="default",
        name="products",
        moves=moves,
        net_zero_ratio=ratio,
        returns=returns,
        return_seconds=return_seconds,
    )


def test_segments_and_replicas_of_a_collection_are_added_up() -> None:
    there, here = {5: (1, 3), 6: (2, 4)}, {5: (2, 4), 6: (2, 4)}
    snapshots = [a_placement(one, replicas=((1, 2), (3, 4))) for one in (there, here, {**here, 5: (1, 4)})]
    found = seen(watched(snapshots), snapshots[-1])
    assert found is not None
    assert (found.moves, found.net_zero_ratio, found.returns) == (3, 2 / 3, 1)


def test_the_collection_with_most_moves_comes_first_and_a_released_one_not_at_all() -> None:
    both = (PRODUCTS, Collection(collection_id=200, name="users"))

    def reading(mine: int, theirs: int) -> Snapshot:
        snapshot = a_placement({5: (mine,)}, collections=both)
        return replace(
            snapshot,
            replicas=(*snapshot.replicas, Replica(replica_id=9, collection_id=200, node_ids=(1, 2))),
            segments=(*snapshot.segments, Segment(segment_id=7, collection_id=200, rows=1, node_ids=(theirs,))),
        )

    log = watched([reading(1, 1), reading(2, 2), reading(2, 1)])
    assert [one.name for one in moving_collections(log, reading(1, 1), NOON)] == ["users", "products"]
    assert [one.name for one in moving_collections(log, a_placement({}), NOON)] == ["products"]
    unreachable = a_placement({}, collections=(), read=False)
    assert [one.name for one in moving_collections(log, unreachable, NOON)] == ["users", "products"]


# -- what is not counted, each beside the same course without the reason ---------------------------------------------

OLD = [a_node(f"qn-{one}", node_id=one) for one in (1, 2, 3)]
LEAVING = [replace(OLD[0], terminating=True), *OLD[1:]]
MARKED = [replace(OLD[0], deletion_cost=-1), *OLD[1:]]
NEW = [OLD[0], replace(OLD[1], created_at=NOON - timedelta(minutes=5)), OLD[2]]
UNMATCHED = [OLD[0], OLD[1], replace(OLD[2], node_id=None)]

OTHER_CAUSES = {
    "off a node that leaves": (a_course(1, 2, nodes=LEAVING), a_course(2, 1, nodes=LEAVING)),
    "off a node that is marked to leave": (a_course(1, 2, nodes=MARKED), a_course(2, 1, nodes=MARKED)),
    "to a node that is being filled": (a_course(1, 2, nodes=NEW), a_course(2, 1, nodes=NEW)),
    "a spread over new nodes": (
        [
            a_placement(dict.fromkeys(range(12), (1,)), nodes=NEW),
            a_placement({one: (1 if one < 6 else 2,) for one in range(12)}, nodes=NEW),
        ],
        [
            a_placement(dict.fromkeys(range(12), (1,))),
            a_placement({one: (1 if one < 6 else 2,) for one in range(12)}),
        ],
    ),
    "off a node that is gone, restarted under another id": (
        [*a_course(1), a_placement({5: (4,)}, replicas=((4, 2, 3),))],
        [*a_course(1, replicas=((1, 2, 3, 4),)), *a_course(4, replicas=((1, 2, 3, 4),))],
    ),
    "off a node that is gone and that Milvus still lists": (
        a_course(1, 2, nodes=OLD[1:]),
        a_course(1, 2, nodes=OLD),
    ),
    "compaction: other segments in the place of the old ones": (
        [a_placement({5: (1,), 6: (1,)}), a_placement({7: (2,)}), a_placement({8: (1,)})],
        [a_placement({5: (1,)}), a_placement({5: (2,)})],
    ),
    "growing segments, sealed elsewhere": (
        [*a_course(1, state=SegmentState.GROWING), *a_course(2)],
        a_course(1, 2),
    ),
    "vanished and back elsewhere, as after a load": (
        [*a_course(1), a_placement({}), *a_course(2)],
        [*a_course(1), a_placement({}, read=False), *a_course(2)],
    ),
    "in transit, and turned back": (a_course(1, (1, 2), 1), a_course(1, (1, 2), 2)),
    "in transit from the first reading on": (a_course((1, 2), 2), a_course((1, 2), 2, 1)),
    "another replica's copy": (
        a_course((1, 3), (1, 3), replicas=((1, 2), (3, 4))),
        a_course((1, 3), (1, 4), replicas=((1, 2), (3, 4))),
    ),
}


@pytest.mark.parametrize(("caused", "control"), OTHER_CAUSES.values(), ids=OTHER_CAUSES.keys())
def test_a_move_with_another_cause_is_not_counted(caused: list[Snapshot], control: list[Snapshot]) -> None:
    assert moves_of(caused) == 0
    assert moves_of(control) > 0


def test_where_a_pod_is_not_matched_milvus_tells_who_is_there() -> None:
    assert moves_of(a_course(3, 1, nodes=UNMATCHED)) == 1
    assert moves_of(a_course(3, 1, nodes=UNMATCHED[:2])) == 0


def test_a_container_that_came_back_is_being_filled_for_ten_minutes() -> None:
    joined = ((1, 2, 3, 4),)
    pods = [*OLD[:2], replace(OLD[2], node_id=4)]  # the pod is of yesterday, its Milvus node is new
    filled = [*a_course(1), *a_course(1, 4, nodes=pods, replicas=joined)]
    assert moves_of(filled, seconds_apart=599) == 0
    assert moves_of(filled, seconds_apart=600) == 1


def test_a_spread_to_a_new_node_that_gives_some_back_is_no_ping_pong() -> None:
    on_one = dict.fromkeys(range(30), (1,))
    overfilled = {one: (2 if one < 25 else 1,) for one in range(30)}
    even = {one: (2 if one < 15 else 1,) for one in range(30)}
    found = seen(watched([a_placement(one, nodes=NEW) for one in (on_one, overfilled, even)]))
    assert found is not None
    assert (found.moves, found.net_zero_ratio, is_ping_pong(found)) == (10, 0.0, False)


# -- our own moves ------------------------------------------------------------------------------------------------


def a_move(
    state: StepState = StepState.DONE, *, seconds: int | None = 30, segments: str = "5 6", source: str = "qn-1"
) -> Operation:
    """An operation of ours that moves segments from source to qn-2; seconds: after noon, when the step ended."""
    place = {"database": "default", "collection": "products", "segments": segments}
    step = Step(
        kind=StepKind.MOVE_SEGMENTS,
        precondition={**place, "pod": source},
        action={**place, "pod": "qn-2"},
        verification={**place, "pod": "qn-2"},
        undo={**place, "pod": source},
    )
    ended = None if seconds is None else NOON + timedelta(seconds=seconds)
    record = StepRecord(step=step, state=state, finished_at=ended)
    return Operation(operation_id="1", reason=Reason.HOT_NODE, message="", started_at=NOON, steps=(record,))


THERE, BACK = {(5, "qn-2"), (6, "qn-2")}, {(5, "qn-1"), (6, "qn-1")}


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        pytest.param(a_move(StepState.PENDING, seconds=None), set(), id="not begun"),
        pytest.param(a_move(StepState.SKIPPED), set(), id="left out"),
        pytest.param(a_move(StepState.INTENDED, seconds=None), THERE, id="about to be called"),
        pytest.param(a_move(StepState.APPLIED, seconds=None), THERE, id="called"),
        pytest.param(a_move(), THERE, id="done"),
        pytest.param(a_move(seconds=-600), THERE, id="done ten minutes before the last reading"),
        pytest.param(a_move(seconds=-601), set(), id="done long ago"),
        pytest.param(a_move(StepState.UNDOING, seconds=None), THERE | BACK, id="being taken back"),
        pytest.param(a_move(StepState.FAILED), THERE | BACK, id="failed, which may be half done"),
    ],
)
def test_our_moves_are_known_by_segment_and_pod(operation: Operation, expected: set[tuple[int, str]]) -> None:
    assert own_moves([operation], watched(a_course(1))) == expected


def test_before_the_first_reading_nothing_is_ours_to_leave_out() -> None:
    assert own_moves([a_move()], PlacementLog()) == frozenset()


def test_our_move_is_not_counted_and_milvus_undoing_it_is() -> None:
    first = watched(a_course(1))
    ours = own_moves([a_move()], first)
    moved = log_placement(first, a_placement({5: (2,)}), NOON + timedelta(seconds=60), own=ours)
    assert seen(moved) is None
    undone = log_placement(
        moved, a_placement({5: (1,)}), NOON + timedelta(seconds=300), own=own_moves([a_move()], moved)
    )
    found = seen(undone)
    assert found is not None
    assert (found.moves, found.net_zero_ratio) == (1, 0.0)


def test_a_chain_ends_where_we_came_between() -> None:
    log = watched(a_course(1, 2))  # Milvus
    log = log_placement(log, a_placement({5: (1,)}), NOON + timedelta(seconds=120), own=frozenset({(5, "qn-1")}))
    log = log_placement(log, a_placement({5: (2,)}), NOON + timedelta(seconds=180))  # Milvus again
    found = seen(log)
    assert found is not None
    assert (found.moves, found.net_zero_ratio, found.returns) == (2, 0.0, 0)


# -- memory -------------------------------------------------------------------------------------------------------


def test_the_last_move_of_milvus_is_named_and_none_of_ours() -> None:
    course = a_course(1, 2, 3)
    log = watched(course)
    end = NOON + timedelta(minutes=2)
    assert placement_moves(log, course[-1], end).last == LastMove(
        at=end, segment_id=5, full_name="default.products", source=2, target=3
    )
    ours = watched(course, own=frozenset({(5, "qn-2"), (5, "qn-3")}))
    assert placement_moves(ours, course[-1], end).last is None
    assert placement_moves(log, course[-1], end + timedelta(minutes=30)).last is None


def test_moves_count_for_half_an_hour() -> None:
    log = watched(a_course(1, 2, 1))
    assert seen(log, seconds=29 * 60 - 1) is not None  # the first of the two moves was a minute before the second
    found = seen(log, seconds=30 * 60 - 1)
    assert found is not None
    assert (found.moves, found.net_zero_ratio) == (1, 0.0)
    assert seen(log, seconds=30 * 60) is None


def test_the_oldest_moves_are_dropped_first() -> None:
    one = SegmentMove(at=NOON, collection_id=100, replica_id=1, segment_id=4, source=1, target=2)
    full = replace(watched(a_course(1)), moves=(one,) * MOST_MOVES)
    log = log_placement(full, a_placement({5: (2,)}), NOON + timedelta(seconds=60))
    assert len(log.moves) == MOST_MOVES
    assert log.moves[-1].segment_id == 5


def test_a_collection_that_is_not_read_is_waited_for_and_then_forgotten() -> None:
    waiting = watched([*a_course(1), a_placement({}, read=False)])
    assert waiting.places == {(100, 1, 5): 1}
    both = a_placement({}, collections=(Collection(collection_id=200, name="users"),))
    both = replace(both, replicas=(Replica(replica_id=9, collection_id=200, node_ids=(1,)),))
    assert log_placement(waiting, both, NOON + timedelta(minutes=29)).places == {(100, 1, 5): 1}
    assert log_placement(waiting, both, NOON + timedelta(minutes=30)).places == {}


def test_how_long_the_placement_is_watched() -> None:
    unread = a_placement({}, read=False)
    assert placement_moves(PlacementLog(), unread, NOON).watched_seconds is None
    log = watched(a_course(1, 1, 1))
    assert placement_moves(log, unread, NOON + timedelta(seconds=130)).watched_seconds == 130
    assert placement_moves(log, unread, NOON + timedelta(seconds=120 + 600)).watched_seconds is None
    late = log_placement(log, a_placement({5: (1,)}), NOON + timedelta(seconds=120 + 600))
    assert placement_moves(late, unread, NOON + timedelta(seconds=120 + 630)).watched_seconds == 30


# -- the judgement ------------------------------------------------------------------------------------------------


def some_moves(moves: int, ratio: float, returns: int = 0, name: str = "products") -> CollectionMoves:
    return CollectionMoves(
        collection_id=100,
        database="default",
        name=name,
        moves=moves,
        net_zero_ratio=ratio,
        returns=returns,
        return_seconds=46.0 if returns else None,
    )


@pytest.mark.parametrize(
    ("moves", "verdict"),
    [
        pytest.param(some_moves(10, 0.5), True, id="ten moves, half of them useless"),
        pytest.param(some_moves(9, 0.5), False, id="nine moves"),
        pytest.param(some_moves(10, 0.49), False, id="most moves led somewhere"),
        pytest.param(some_moves(4, 1.0, 3), True, id="three returns"),
        pytest.param(some_moves(3, 1.0, 2), False, id="two returns"),
        pytest.param(some_moves(1000, 0.1, 50), False, id="a great reshuffle with some returns"),
    ],
)
def test_ping_pong_needs_enough_moves_and_half_of_them_for_nothing(moves: CollectionMoves, *, verdict: bool) -> None:
    assert is_ping_pong(moves) is verdict


def test_the_words_have_the_numbers_and_name_three_collections() -> None:
    assert moves_in_words([some_moves(4, 1.0, 3)]) == (
        "default.products: 100 % of 4 moves within 30 min came to nothing, back after 46 s"
    )
    many = moves_in_words([some_moves(10, 0.85, name=f"c{number}") for number in range(5)])
    assert many.startswith("default.c0: 85 % of 10 moves within 30 min came to nothing; default.c1")
    assert many.endswith("default.c2: 85 % of 10 moves within 30 min came to nothing; 2 more collections")
