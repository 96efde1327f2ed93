"""The main job under real load, each claim beside its negative control in the same run."""

import time
from collections.abc import Callable

import pytest

from tests.demo.table import incomplete_replies, lost_searches
from tests.e2e.world import World, spec
from tests.load.process import LoadProcess
from tests.load.report import Summary, summarise
from tests.load.target import REQUESTS_PER_COLLECTION
from tests.waiting import wait_for

pytestmark = pytest.mark.e2e

OVERLOAD, BUSY, LOW = 1.25, 0.75, 0.15  # shares of what two QueryNodes were measured to carry
OBSERVING_SECONDS = 40.0
CLEARED = 15  # searches in flight; what three QueryNodes carry within a second
QUIET = {"Steady", "WithinTolerance", "Stabilizing", "AtMaximum"}


def observed_for(load: LoadProcess, seconds: float) -> Summary:
    """What the clients see in the next stretch."""
    first = len(load.seconds)
    time.sleep(seconds)
    return summarise(load.seconds[first:])


def answered_per_second(summary: Summary) -> float:
    """Good replies, those that lacked rows included."""
    return summary.qps_ok + incomplete_replies(summary) / summary.duration_seconds


def finished(world: World, count: int) -> Callable[[], bool]:
    """Whether the steps of exactly so many plans were made, and none is at work."""
    return lambda: len(world.outcomes("main")) == count and not world.at_work("main")


def test_under_the_same_overload_observe_does_not_recover_and_auto_does(calm: World) -> None:
    calm.tune("main", spec(mode="Observe"))
    with calm.load(OVERLOAD) as load:
        wait_for(lambda: calm.reason("main") == "ComputationAboveTarget", "the recommendation in Observe", seconds=90)
        assert "not done: mode is Observe" in calm.status("main")["decision"]["message"]
        time.sleep(OBSERVING_SECONDS)
        observing = summarise(load.seconds[-10:])
        assert calm.desired() == 2

    calm.tune("main", spec())
    with calm.load(OVERLOAD) as load:
        wait_for(lambda: calm.outcomes("main") == ["Completed"], "the scale-out to be completed", seconds=150)
        assert calm.desired() == 3
        wait_for(lambda: load.seconds[-1].in_flight < CLEARED, "the backlog to clear", seconds=240)
        calm.await_even(3)  # while segments move Milvus 2.3.5 answers some searches without some rows
        acting = observed_for(load, 10)

    assert observing.in_flight > 3 * CLEARED, "with two QueryNodes the backlog grew"
    assert observing.p99_ms is not None
    assert acting.p99_ms is not None
    assert acting.p99_ms < observing.p99_ms / 2
    assert answered_per_second(acting) > answered_per_second(observing)
    assert len(calm.placement().nodes) == 3


def test_three_scale_ins_in_a_row_lose_no_search(calm: World) -> None:
    with calm.load(LOW) as load:
        # Replies are compared with the first to the same request: let each be answered once while nothing moves.
        wait_for(lambda: sum(second.ok for second in load.seconds) > REQUESTS_PER_COLLECTION, "a reply to each request")
        calm.tune("main", spec(queryNodes={"minCount": 3}))
        for number in (1, 2, 3):
            wait_for(finished(calm, 2 * number - 1), f"three QueryNodes before scale-in {number}", seconds=120)
            calm.await_even(3)
            rows, first = calm.placement().rows, len(load.seconds)
            calm.tune("main", spec())
            wait_for(finished(calm, 2 * number), f"scale-in {number} to finish", seconds=180)
            time.sleep(3)
            during = summarise(load.seconds[first:])
            assert calm.outcomes("main") == ["Completed"] * 2 * number
            assert calm.desired() == 2
            assert lost_searches(during) == 0
            assert during.sent > 20
            assert calm.placement().rows == rows
            calm.tune("main", spec(queryNodes={"minCount": 3}))
        assert lost_searches(load.stop()) == 0


def test_lost_metrics_take_no_node_away_though_the_load_has_fallen(calm: World) -> None:
    calm.scale(3)
    with calm.load(BUSY) as load:
        calm.tune("main", spec())
        wait_for(lambda: calm.reason("main") in QUIET, "a decision from metrics", seconds=60)
        _set_prometheus(calm, replicas=0)
        try:
            wait_for(_metrics_are_missed(calm), "the missing metrics to be noticed")
            load.set_rate(LOW * calm.capacity_qps)
            time.sleep(45)  # twice the window of a scale-in
            assert calm.desired() == 3
            assert calm.outcomes("main") == []
        finally:
            _set_prometheus(calm, replicas=1)
        wait_for(lambda: calm.outcomes("main") == ["Completed"], "the scale-in once metrics are back", seconds=240)
        assert calm.desired() == 2
        assert lost_searches(load.stop()) == 0


def _set_prometheus(world: World, *, replicas: int) -> None:
    world.kubectl("-n", "monitoring", "scale", "deployment", "prometheus", f"--replicas={replicas}")
    if not replicas:
        world.kubectl("-n", "monitoring", "wait", "pods", "--all", "--for=delete", "--timeout=60s")


def _metrics_are_missed(world: World) -> Callable[[], bool]:
    return lambda: world.condition("main", "MetricsAvailable").get("status") == "False"
