"""What goes on in Milvus and holds changes back: from which count on, for how long, and what holds nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.observe.activity import (
    COORDINATOR_SETTLE_SECONDS,
    HEAVY_COMPACTIONS,
    HEAVY_INDEX_BUILDS,
    IMPORTS_UNDER_WAY,
    Activity,
    activity_freezes,
    failover_freezes,
)
from milvus_tuning.snapshot import FreezeReason, ProblemKind
from tests.clients.http_server import Reply
from tests.observe.test_milvus_resource import a_milvus_world
from tests.observe.world import NOW, PODS, World, a_vector, snapshot_of

Change = Callable[[World], None]
COORDINATOR_POD = "my-release-milvus-mixcoord-79dfb75fc6-l6sjt"


def reasons(world: World) -> list[FreezeReason]:
    return [freeze.reason for freeze in snapshot_of(world).freezes]


@pytest.mark.parametrize(
    ("query", "count", "expected"),
    [
        pytest.param("imports", 1, [FreezeReason.IMPORTING], id="one import"),
        pytest.param("imports", 0, [], id="no import"),
        pytest.param("index_builds", 20, [FreezeReason.INDEXING], id="twenty indexes"),
        pytest.param("index_builds", 19, [], id="nineteen indexes"),
        pytest.param("index_builds", -3, [], id="fewer indexes than usual"),
        pytest.param("compactions", 20, [FreezeReason.COMPACTING], id="twenty compactions"),
        pytest.param("compactions", 19, [], id="nineteen compactions"),
        pytest.param("compactions", "NaN", [], id="no number"),
    ],
)
def test_work_freezes_from_its_threshold_on(query: str, count: float | str, expected: list[FreezeReason]) -> None:
    world = World()
    world.prometheus[query] = a_vector(({}, count))
    assert reasons(world) == expected


def test_a_version_without_the_metrics_is_not_frozen_by_them() -> None:
    snapshot = snapshot_of(World())  # 2.3.5 as recorded, where each of the three answers with no series
    assert (snapshot.freezes, snapshot.problems) == ((), ())


def test_without_prometheus_no_work_is_known_and_the_problem_says_so() -> None:
    world = World(prometheus_reply=lambda _: Reply(status=503, body="down"))
    world.prometheus["imports"] = a_vector(({}, 5))
    snapshot = snapshot_of(world)
    assert snapshot.freezes == ()
    assert snapshot.problem(ProblemKind.PROMETHEUS_UNREACHABLE) is not None


def test_the_message_says_how_much_and_from_which_number_on() -> None:
    freezes = activity_freezes(Activity(index_builds=31.0))
    assert [freeze.message for freeze in freezes] == [
        "31 segments wait for their index or get it, above what is usual (held from 20 on)"
    ]


@given(*[st.none() | st.floats(min_value=-1000, max_value=1000)] * 3)
def test_each_kind_of_work_freezes_by_its_own_count_alone(
    imports: float | None, index_builds: float | None, compactions: float | None
) -> None:
    activity = Activity(imports=imports, index_builds=index_builds, compactions=compactions)
    found = {freeze.reason for freeze in activity_freezes(activity)}
    assert (FreezeReason.IMPORTING in found) == ((imports or 0) >= IMPORTS_UNDER_WAY)
    assert (FreezeReason.INDEXING in found) == ((index_builds or 0) >= HEAVY_INDEX_BUILDS)
    assert (FreezeReason.COMPACTING in found) == ((compactions or 0) >= HEAVY_COMPACTIONS)


def _started(seconds_ago: float, component: str = "mixcoord") -> Change:
    def change(world: World) -> None:
        at = (NOW - timedelta(seconds=seconds_ago)).isoformat()
        for pod in world.kubernetes[PODS]["items"]:
            labels = pod["metadata"]["labels"]
            if component in {labels.get("component"), labels.get("app.kubernetes.io/component")}:
                pod["status"]["containerStatuses"][0]["state"] = {"running": {"startedAt": at}}

    return change


def _waiting(world: World) -> None:
    pod = world.item(PODS, COORDINATOR_POD)
    pod["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(_started(0), [FreezeReason.COORDINATOR_RESTARTED], id="just now"),
        pytest.param(_started(59), [FreezeReason.COORDINATOR_RESTARTED], id="59 s ago"),
        pytest.param(_started(-5), [FreezeReason.COORDINATOR_RESTARTED], id="clocks 5 s apart"),
        pytest.param(_started(60), [], id="60 s ago"),
        pytest.param(_started(-3600), [], id="a clock that is an hour slow"),
        pytest.param(_started(5, "querynode"), [], id="a QueryNode, not a coordinator"),
        pytest.param(_waiting, [], id="it does not run"),
    ],
)
@pytest.mark.parametrize("make", [World, a_milvus_world], ids=["Helm", "milvus-operator"])
def test_a_coordinator_that_has_just_started_freezes(
    make: Callable[[], World], change: Change, expected: list[FreezeReason]
) -> None:
    world = make()
    change(world)
    assert reasons(world) == expected


@given(st.floats(min_value=-1e6, max_value=1e6))
def test_no_start_freezes_for_longer_than_the_time_to_settle(seconds: float) -> None:
    started = (("mixcoord", NOW - timedelta(seconds=seconds)),)
    later = NOW + timedelta(seconds=2 * COORDINATOR_SETTLE_SECONDS)
    assert not (failover_freezes(started, NOW) and failover_freezes(started, later))


def test_the_message_names_the_young_coordinators_only() -> None:
    def ago(seconds: float) -> datetime:
        return NOW - timedelta(seconds=seconds)

    (freeze,) = failover_freezes((("rootcoord", ago(10)), ("datacoord", ago(20)), ("querycoord", ago(500))), NOW)
    assert freeze.message == "coordinator just started: datacoord (20 s), rootcoord (10 s); held for 60 s"
