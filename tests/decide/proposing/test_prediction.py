"""What a change is expected to do, and where nothing is said because there is no ground for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.decide.load import signal
from milvus_tuning.decide.proposing.prediction import predict
from milvus_tuning.plan import Outlook, Prediction, Step
from milvus_tuning.snapshot import Sample, SegmentState, Snapshot, Traffic
from tests.builders import GIB, NOON, a_node, a_sample, a_snapshot, some_nodes
from tests.decide.steps import HAND_BACK, INTERVAL, TAKE, a_move, a_replica_change, a_scale, a_scale_in


def predicted(
    steps: Sequence[Step], snapshot: Snapshot, now: datetime = NOON, outlook: Outlook | None = None
) -> Prediction:
    return predict(steps, snapshot, signal(snapshot, now), now, outlook)


def with_p99(milliseconds: float | None, **sample: Any) -> dict[str, Any]:
    return {"traffic": Traffic(p99_milliseconds=a_sample(milliseconds, **sample))}


def test_new_nodes_take_an_even_share_of_everything() -> None:
    """Two nodes at 75 % CPU with 8 segments: a third takes a third, and the queue in front of them gets shorter."""
    assert predicted((a_scale(2, 3),), a_snapshot(2, cpu=0.75, **with_p99(120.0))) == Prediction(
        node_count_before=2,
        node_count_after=3,
        moved_segments=3,
        moved_rows=26_667,
        moved_bytes=round(2 * 0.4 * 8 * GIB / 3),
        computation_percent_before=75,
        computation_percent_after=50,
        skew_percent_before=0,
        skew_percent_after=None,
        p99_milliseconds_before=120,
        p99_milliseconds_after=60,
        memory_headroom_percent=63,  # 50 % used less half of a third of 80 %
    )


def test_the_others_take_what_a_leaving_node_holds() -> None:
    """Three nodes at 20 % CPU: two are left at 30 %, each with half of the 40 % that the victim had loaded."""
    assert predicted(a_scale_in(), a_snapshot(3, cpu=0.2)) == Prediction(
        node_count_before=3,
        node_count_after=2,
        moved_segments=4,
        moved_rows=40_000,
        moved_bytes=round(0.4 * 8 * GIB),
        computation_percent_before=20,
        computation_percent_after=30,
        skew_percent_before=0,
        skew_percent_after=0,
        p99_milliseconds_before=30,
        p99_milliseconds_after=34,
        memory_headroom_percent=30,
    )


def test_a_setting_leaves_size_load_and_skew_as_they_are_and_says_nothing_of_latency() -> None:
    assert predicted((INTERVAL,), a_snapshot(3, cpu=0.3, hot="qn-1", hot_cpu=0.6)) == Prediction(
        node_count_before=3,
        node_count_after=3,
        computation_percent_before=40,
        computation_percent_after=40,
        skew_percent_before=50,
        skew_percent_after=50,
        p99_milliseconds_before=30,
        p99_milliseconds_after=None,
        memory_headroom_percent=50,
    )


MOVING = Outlook(
    moved_segments=99,  # the steps know better
    moved_bytes=3 * GIB,
    busiest_percent_before=80,
    busiest_percent_after=60,
    skew_percent_before=60,
    skew_percent_after=20,
)


def test_moves_count_what_the_steps_name_and_p99_goes_with_the_busiest_node() -> None:
    """P99 30 ms x (1 - 0.8) / (1 - 0.6) = 15 ms; the mean stays, as nobody searches less."""
    swap = (TAKE, a_move(5000, 5003), a_move(5001, source="qn-2", destination="qn-1"), HAND_BACK)

    assert predicted(swap, a_snapshot(3, cpu=0.5), outlook=MOVING) == Prediction(
        node_count_before=3,
        node_count_after=3,
        moved_segments=3,
        moved_rows=30_000,
        moved_bytes=3 * GIB,
        computation_percent_before=50,
        computation_percent_after=50,
        skew_percent_before=60,
        skew_percent_after=20,
        p99_milliseconds_before=30,
        p99_milliseconds_after=15,
        memory_headroom_percent=None,
    )


def test_moves_without_an_outlook_promise_nothing() -> None:
    found = predicted((a_move(5000),), a_snapshot(3, cpu=0.3, hot="qn-1", hot_cpu=0.6))

    assert (found.moved_segments, found.moved_rows, found.moved_bytes) == (1, 10_000, None)
    assert (found.skew_percent_before, found.skew_percent_after, found.p99_milliseconds_after) == (50, None, None)


def test_a_replica_more_is_predicted_by_the_outlook_alone() -> None:
    found = predicted((a_replica_change(),), a_snapshot(3), outlook=replace(MOVING, moved_segments=12, moved_rows=7))

    assert (found.moved_segments, found.moved_rows, found.moved_bytes) == (12, 7, 3 * GIB)
    assert (found.skew_percent_after, found.p99_milliseconds_after) == (20, 15)


def test_the_computation_is_the_mean_and_not_the_busiest() -> None:
    found = predicted((a_scale(2, 4),), a_snapshot(2, cpu=0.3, hot="qn-1", hot_cpu=0.9))

    assert (found.computation_percent_before, found.computation_percent_after) == (60, 30)


@pytest.mark.parametrize(
    ("cpu", "changes", "before", "after"),
    [
        pytest.param(0.5, {}, 30, 20, id="measured: 30 ms x 0.5 / 0.75"),
        pytest.param(0.94, {}, 30, 3, id="just below full: 30 ms x 0.06 / 0.53"),
        pytest.param(0.95, {}, 30, None, id="a full queue before"),
        pytest.param(None, {}, 30, None, id="computation not measured"),
        pytest.param(0.5, with_p99(None), None, None, id="P99 not measured"),
        pytest.param(0.5, with_p99(float("nan")), None, None, id="P99 is not a number"),
        pytest.param(0.5, with_p99(30.0, age=61.0), None, None, id="P99 is old"),
        pytest.param(0.5, with_p99(30.0, coverage=0.5), None, None, id="P99 of half of the proxies"),
        pytest.param(0.5, with_p99(30.0, age=60.0), 30, 20, id="P99 just young enough"),
    ],
)
def test_latency_is_estimated_where_both_queues_are_known_and_not_full(
    cpu: float | None, changes: dict[str, Any], before: int | None, after: int | None
) -> None:
    found = predicted((a_scale(2, 4),), a_snapshot(2, cpu=cpu, **changes))

    assert (found.p99_milliseconds_before, found.p99_milliseconds_after) == (before, after)


def test_latency_is_not_estimated_for_a_queue_that_would_be_full() -> None:
    """Two of three at 63 % come to 95 %; at 60 % they come to 90 %."""
    assert predicted(a_scale_in(), a_snapshot(3, cpu=0.634)).p99_milliseconds_after is None
    assert predicted(a_scale_in(), a_snapshot(3, cpu=0.6)).p99_milliseconds_after == 120


def test_a_snapshot_that_is_used_late_is_as_old_as_that() -> None:
    found = predicted((a_scale(2, 4),), a_snapshot(2), NOON + timedelta(seconds=56))

    assert (found.p99_milliseconds_before, found.moved_bytes, found.memory_headroom_percent) == (None, None, None)


@pytest.mark.parametrize(
    ("changes", "steps", "moved", "headroom"),
    [
        pytest.param({}, a_scale_in(), round(0.4 * 8 * GIB), 30, id="all measured"),
        pytest.param(
            {"resident_memory_bytes": Sample.missing()}, a_scale_in(), round(0.4 * 8 * GIB), 30, id="victim's"
        ),
        pytest.param({"loaded_bytes": Sample.missing()}, a_scale_in(), None, None, id="what the victim holds"),
        pytest.param({"memory_limit_bytes": None}, a_scale_in(), round(0.4 * 8 * GIB), 30, id="the victim's limit"),
        pytest.param({"loaded_bytes": Sample.missing()}, (a_scale(3, 4),), None, None, id="what one node holds"),
        pytest.param(
            {"memory_limit_bytes": None},
            (a_scale(3, 4),),
            round(0.3 * 8 * GIB),
            None,
            id="the limit of a node that stays",
        ),
        pytest.param({"resident_memory_bytes": Sample.missing()}, (INTERVAL,), None, None, id="a setting, one unknown"),
    ],
)
def test_memory_that_is_not_measured_is_not_guessed(
    changes: dict[str, Any], steps: Sequence[Step], moved: int | None, headroom: int | None
) -> None:
    first, victim, third = some_nodes(3)
    found = predicted(steps, a_snapshot((first, replace(victim, **changes), third)))

    assert (found.moved_bytes, found.memory_headroom_percent) == (moved, headroom)


def test_headroom_is_that_of_the_fullest_node_which_gives_away_no_more_than_it_has() -> None:
    """80 % and 30 % with 70 % and 20 % loaded: a third node takes 30 %, half from each of the two."""
    nodes = (a_node("qn-1", node_id=1, memory=0.8), a_node("qn-2", node_id=2, memory=0.3))
    assert predicted((a_scale(2, 3),), a_snapshot(nodes)).memory_headroom_percent == 35

    # 90 % used and nothing loaded: it has nothing to give
    nodes = (a_node("qn-1", node_id=1, memory=0.9, loaded=0.0), a_node("qn-2", node_id=2, memory=0.9))
    assert predicted((a_scale(2, 3),), a_snapshot(nodes)).memory_headroom_percent == 10


def test_memory_that_would_not_fit_shows_as_less_than_nothing() -> None:
    assert predicted(a_scale_in(2), a_snapshot(2, memory=0.8)).memory_headroom_percent == -50


def test_growing_segments_are_not_moved() -> None:
    snapshot = a_snapshot(3)
    first, *others = (segment for segment in snapshot.segments if 2 in segment.node_ids)
    growing = tuple(
        replace(segment, state=SegmentState.GROWING) if segment == first else segment for segment in snapshot.segments
    )
    found = predicted(a_scale_in(), replace(snapshot, segments=growing))

    assert (found.moved_segments, found.moved_rows) == (len(others), 10_000 * len(others))


def test_a_victim_that_is_gone_moves_nothing_that_is_known() -> None:
    found = predicted(a_scale_in(pod="qn-9"), a_snapshot(3))

    assert (found.moved_segments, found.moved_bytes, found.memory_headroom_percent) == (0, None, None)


def test_nothing_measured_leaves_the_counts() -> None:
    bare = replace(a_snapshot(2, cpu=None, memory=None), segments=(), traffic=Traffic())

    assert predicted((a_scale(2, 3),), bare) == Prediction(node_count_before=2, node_count_after=3)


def test_each_in_memory_replica_of_a_segment_counts_as_one_to_move() -> None:
    """Four nodes, two replicas of 8 segments: 16 copies, of which a third goes to two new nodes."""
    assert predicted((a_scale(4, 6),), a_snapshot(4, replicas=2)).moved_segments == 5


@given(st.integers(2, 12), st.integers(1, 12), st.floats(0.01, 1.0), st.floats(0.11, 1.0))
def test_a_node_more_never_makes_the_estimate_worse(before: int, added: int, cpu: float, memory: float) -> None:
    found = predicted((a_scale(before, before + added),), a_snapshot(before, cpu=cpu, memory=memory))

    assert found.computation_percent_before is not None
    assert found.computation_percent_after is not None
    assert found.computation_percent_after <= found.computation_percent_before
    assert found.p99_milliseconds_after is None or found.p99_milliseconds_after <= 30
    assert found.memory_headroom_percent is not None
    assert found.memory_headroom_percent >= 100 - round(memory * 100)


@given(st.integers(2, 12), st.floats(0.01, 1.0), st.floats(0.11, 1.0))
def test_a_node_less_never_makes_the_estimate_better(before: int, cpu: float, memory: float) -> None:
    found = predicted(a_scale_in(before), a_snapshot(before, cpu=cpu, memory=memory))

    assert found.computation_percent_before is not None
    assert found.computation_percent_after is not None
    assert found.computation_percent_after >= found.computation_percent_before
    assert found.p99_milliseconds_after is None or found.p99_milliseconds_after >= 30
    assert found.memory_headroom_percent is not None
    assert found.memory_headroom_percent <= 100 - round(memory * 100)
