"""What a snapshot shows of moves and of in-memory replicas, case by case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.decide.readback import Sight, effect, is_undone, look, obstacle
from milvus_tuning.decide.seen.placement import moved_back
from milvus_tuning.plan import Step
from milvus_tuning.snapshot import (
    Freeze,
    FreezeReason,
    Problem,
    ProblemKind,
    QueryNode,
    Replica,
    SegmentState,
    Snapshot,
)
from tests.builders import a_snapshot, some_nodes
from tests.decide.steps import a_move, a_replica_change, moved_segments

STEP = a_move(5000, 5003)  # both on node 1, going to node 2
SNAPSHOT = a_snapshot(3)
FREEZE = Freeze(reason=FreezeReason.COMPACTING, message="40 tasks")


def placed(where: Mapping[int, tuple[int, ...] | None], snapshot: Snapshot = SNAPSHOT) -> Snapshot:
    """The snapshot with these segments on these nodes; None: not there any more."""
    return replace(snapshot, segments=tuple(moved_segments(snapshot.segments, where)))


def with_nodes(*nodes: QueryNode) -> Snapshot:
    return replace(SNAPSHOT, query_nodes=nodes)


def a_problem(kind: ProblemKind) -> tuple[Problem, ...]:
    return (Problem(kind=kind, message="it does not answer"),)


QN1, QN2, QN3 = some_nodes(3)
TWO_REPLICAS = replace(
    SNAPSHOT,
    replicas=(
        Replica(replica_id=1, collection_id=100, node_ids=(1, 2)),
        Replica(replica_id=2, collection_id=100, node_ids=(3,)),
    ),
    segments=tuple(replace(one, node_ids=(1, 3)) for one in SNAPSHOT.segments),
)


@pytest.mark.parametrize(
    ("seen", "sight", "words"),
    [
        pytest.param(SNAPSHOT, Sight.BEFORE, "0 of 2 segments of default.products are on qn-2, 2 on qn-1", id="before"),
        pytest.param(placed({5000: (2,)}), Sight.BEFORE, "1 of 2", id="half way"),
        pytest.param(placed({5000: (2,), 5003: (1, 2)}), Sight.BEFORE, "1 of 2", id="loaded, not released yet"),
        pytest.param(placed({5000: (2,), 5003: (2,)}), Sight.AFTER, "2 of 2", id="moved"),
        pytest.param(placed({5000: (2,), 5003: (3,)}), Sight.FOREIGN, "5003", id="one is elsewhere"),
        pytest.param(placed({5000: None}), Sight.FOREIGN, "5000", id="one was compacted"),
        pytest.param(TWO_REPLICAS, Sight.BEFORE, "2 on qn-1", id="two replicas: the other one's node does not count"),
        pytest.param(placed({5000: (2, 3), 5003: (2, 3)}, TWO_REPLICAS), Sight.AFTER, "2 of 2", id="two, moved"),
        pytest.param(
            replace(
                TWO_REPLICAS, replicas=tuple(replace(one, node_ids=(one.replica_id,)) for one in TWO_REPLICAS.replicas)
            ),
            Sight.FOREIGN,
            "no in-memory replica",
            id="source and destination in different replicas",
        ),
        pytest.param(replace(SNAPSHOT, collections=()), Sight.FOREIGN, "not loaded", id="released"),
        pytest.param(with_nodes(QN1, QN3), Sight.FOREIGN, "qn-2 is not a ready pod", id="the destination is gone"),
        pytest.param(with_nodes(QN2, QN3), Sight.FOREIGN, "qn-1 is not a ready pod", id="the source is gone"),
        pytest.param(
            with_nodes(QN1, replace(QN2, pod_uid="another"), QN3), Sight.FOREIGN, "qn-2", id="another pod of that name"
        ),
        pytest.param(with_nodes(QN1, replace(QN2, ready=False), QN3), Sight.FOREIGN, "qn-2", id="not ready"),
        pytest.param(with_nodes(QN1, replace(QN2, terminating=True), QN3), Sight.FOREIGN, "qn-2", id="leaving"),
        pytest.param(with_nodes(QN1, replace(QN2, node_id=None), QN3), Sight.UNKNOWN, "qn-2", id="identity unknown"),
        pytest.param(
            replace(SNAPSHOT, problems=a_problem(ProblemKind.MILVUS_UNREACHABLE)), Sight.UNKNOWN, "answer", id="away"
        ),
        pytest.param(
            replace(SNAPSHOT, problems=a_problem(ProblemKind.METRICS_MISSING)), Sight.BEFORE, "2 on", id="metrics away"
        ),
        pytest.param(replace(SNAPSHOT, workload=None), Sight.UNKNOWN, "cannot be read", id="no pods read"),
        pytest.param(
            replace(SNAPSHOT, placement_coverage=0.5, replicas=(), segments=()),
            Sight.UNKNOWN,
            "not read",
            id="not read",
        ),
        pytest.param(replace(SNAPSHOT, placement_coverage=0.5), Sight.BEFORE, "2 on qn-1", id="others not read"),
        pytest.param(
            replace(
                SNAPSHOT,
                segments=tuple(replace(one, state=SegmentState.GROWING) for one in SNAPSHOT.segments),
            ),
            Sight.FOREIGN,
            "5000",
            id="growing ones are not it",
        ),
    ],
)
def test_a_move_is_seen(seen: Snapshot, sight: Sight, words: str) -> None:
    view = look(STEP, seen)

    assert (view.sight, words in view.message) == (sight, True), view.message
    assert effect(STEP, seen).reached is (sight is Sight.AFTER)


def test_what_was_answered_and_not_done_is_said() -> None:
    assert "Milvus answered success but did not move them" in effect(STEP, SNAPSHOT).message
    assert "answered" not in effect(STEP, placed({5000: (2,), 5003: (2,)})).message


@pytest.mark.parametrize(
    ("seen", "undone"),
    [
        pytest.param(SNAPSHOT, True, id="all at the source"),
        pytest.param(placed({5000: (2,)}), False, id="one is still there"),
        pytest.param(placed({5000: (1, 2)}), False, id="one is on both: not released yet"),
        pytest.param(placed({5000: (3,), 5003: None}), True, id="what went elsewhere is not ours any more"),
        pytest.param(with_nodes(QN2, QN3), True, id="no pod to go back to"),
        pytest.param(with_nodes(QN1, replace(QN2, node_id=None), QN3), None, id="identity unknown"),
        pytest.param(replace(SNAPSHOT, problems=a_problem(ProblemKind.MILVUS_UNREACHABLE)), None, id="away"),
    ],
)
def test_a_move_is_undone(seen: Snapshot, undone: bool | None) -> None:
    assert is_undone(STEP, seen) is undone


@pytest.mark.parametrize(
    ("where", "words"),
    [
        pytest.param({5000: (2,), 5003: (2,)}, None, id="they stayed"),
        pytest.param(
            {5000: (2,)}, "1 of 2 moved segments are back where they were: Milvus moved them", id="one is back"
        ),
        pytest.param({5000: None, 5003: (3,)}, None, id="compacted, and elsewhere: not back"),
    ],
)
def test_what_milvus_moved_back_is_said(where: dict[int, tuple[int, ...] | None], words: str | None) -> None:
    assert moved_back([STEP], placed(where)) == words


@given(st.lists(st.sampled_from([(1,), (2,), (1, 2), (3,)]), min_size=2, max_size=2))
def test_a_move_cannot_be_both_done_and_undone(nodes: list[tuple[int, ...]]) -> None:
    seen = placed(dict(zip((5000, 5003), nodes, strict=True)))

    done, undone = look(STEP, seen).sight is Sight.AFTER, is_undone(STEP, seen)

    assert not (done and undone)
    assert done is (set(nodes) == {(2,)})


@pytest.mark.parametrize("step", [STEP, a_replica_change()], ids=["moves", "replicas"])
def test_nothing_is_begun_under_a_freeze(step: Step) -> None:
    assert obstacle(step, SNAPSHOT) is None
    assert "40 tasks" in str(obstacle(step, replace(SNAPSHOT, freezes=(FREEZE,))))


# -- in-memory replicas --------------------------------------------------------------------------------------------

UP = a_replica_change(1, 2)
BOTH = a_snapshot(4, replicas=2)


@pytest.mark.parametrize(
    ("seen", "sight", "reached"),
    [
        pytest.param(a_snapshot(4), Sight.BEFORE, False, id="one replica"),
        pytest.param(BOTH, Sight.AFTER, True, id="two, and each serves everything"),
        pytest.param(
            replace(BOTH, collections=(replace(BOTH.collections[0], load_percent=60),)),
            Sight.AFTER,
            False,
            id="loading",
        ),
        pytest.param(
            replace(BOTH, segments=(replace(BOTH.segments[0], node_ids=(1,)), *BOTH.segments[1:])),
            Sight.AFTER,
            False,
            id="one segment is served by one of them only",
        ),
        pytest.param(
            replace(BOTH, replicas=(BOTH.replicas[0], replace(BOTH.replicas[1], node_ids=()))),
            Sight.AFTER,
            False,
            id="the second has no QueryNode yet",
        ),
        pytest.param(a_snapshot(3, replicas=3), Sight.FOREIGN, False, id="somebody else asked for three"),
        pytest.param(replace(BOTH, collections=()), Sight.FOREIGN, False, id="released"),
        pytest.param(
            replace(BOTH, problems=a_problem(ProblemKind.MILVUS_UNREACHABLE)), Sight.UNKNOWN, False, id="Milvus is away"
        ),
    ],
)
def test_a_change_of_replicas_is_seen(seen: Snapshot, sight: Sight, reached: bool) -> None:
    assert (look(UP, seen).sight, effect(UP, seen).reached) == (sight, reached)


@pytest.mark.parametrize(
    ("seen", "undone"),
    [
        pytest.param(a_snapshot(4), True, id="the former number"),
        pytest.param(BOTH, False, id="still two"),
        pytest.param(replace(BOTH, collections=()), True, id="released: nothing to give back"),
        pytest.param(replace(BOTH, problems=a_problem(ProblemKind.MILVUS_UNREACHABLE)), None, id="Milvus is away"),
    ],
)
def test_a_change_of_replicas_is_undone(seen: Snapshot, undone: Any) -> None:
    assert is_undone(UP, seen) is undone
