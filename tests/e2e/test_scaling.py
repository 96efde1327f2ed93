"""The main job under real load, each claim beside its negative control in the same run."""

import time
from collections.abc import Callable

import pytest

from tests.e2e.world import World, spec, wait_for
from tests.load.process import LoadProcess
from tests.load.report import Summary, summarise

pytestmark = pytest.mark.e2e

OVERLOAD, LOW = 1.3, 0.15  # shares of what two QueryNodes were measured to carry
CLEAR_P99_MILLISECONDS = 1000.0


def observed_for(load: LoadProcess, seconds: float) -> Summary:
    """What the clients see in the next stretch."""
    first = len(load.seconds)
    time.sleep(seconds)
    return summarise(load.seconds[first:])


def lost(summary: Summary) -> int:
    """Searches that were not answered."""
    return summary.failed + summary.dropped


def _finished_more_than(world: World, count: int) -> Callable[[], bool]:
    return lambda: len(world.outcomes("main")) > count


def test_under_the_same_overload_observe_does_not_recover_and_auto_does(calm: World) -> None:
    calm.tune("main", spec(mode="Observe"))
    with calm.load(OVERLOAD) as load:
        wait_for(lambda: calm.reason("main") == "ComputationAboveTarget", "the recommendation in Observe", seconds=90)
        assert "not done: mode is Observe" in calm.status("main")["decision"]["message"]
        observing = observed_for(load, 10)
        assert calm.desired() == 2
        backlog = load.seconds[-1].in_flight

        calm.tune("main", spec())
        wait_for(lambda: calm.outcomes("main") == ["Completed"], "the scale-out to be completed", seconds=150)
        assert calm.desired() == 3
        wait_for(lambda: load.seconds[-1].in_flight < 20, "the backlog to clear", seconds=150)
        acting = observed_for(load, 10)

    assert backlog > 100, "without the operator acting the backlog grew"
    assert observing.p99_ms is not None
    assert acting.p99_ms is not None
    assert acting.p99_ms < observing.p99_ms / 2
    assert acting.qps_ok > observing.qps_ok * 1.1
    assert len(calm.placement().nodes) == 3


def test_three_scale_ins_in_a_row_lose_no_search(calm: World) -> None:
    calm.tune("main", spec(queryNodes={"minCount": 3}))
    with calm.load(LOW) as load:
        for number in (1, 2, 3):
            wait_for(lambda: calm.desired() == 3, f"three QueryNodes before scale-in {number}", seconds=90)
            calm.await_even(3)
            rows = calm.placement().rows
            before = len(calm.outcomes("main"))
            first = len(load.seconds)
            calm.tune("main", spec())
            wait_for(lambda done=before: len(calm.outcomes("main")) > done, f"scale-in {number} to finish", seconds=180)
            time.sleep(3)
            during = summarise(load.seconds[first:])
            assert calm.outcomes("main")[-1] == "Completed"
            assert calm.desired() == 2
            assert lost(during) == 0
            assert during.ok > 20
            assert calm.placement().rows == rows
            calm.tune("main", spec(queryNodes={"minCount": 3}))
        assert lost(load.stop()) == 0


def test_lost_metrics_take_no_node_away_though_the_load_has_fallen(calm: World) -> None:
    calm.scale(3)
    try:
        calm.kubectl("-n", "monitoring", "scale", "deployment", "prometheus", "--replicas=0")
        calm.kubectl("-n", "monitoring", "wait", "pods", "--all", "--for=delete", "--timeout=60s")
        calm.tune("main", spec())
        wait_for(
            lambda: calm.condition("main", "MetricsAvailable").get("status") == "False",
            "the missing metrics to be noticed",
        )
        time.sleep(45)  # twice the window of a scale-in
        assert calm.desired() == 3
        assert calm.outcomes("main") == []
    finally:
        calm.kubectl("-n", "monitoring", "scale", "deployment", "prometheus", "--replicas=1")
    wait_for(lambda: calm.outcomes("main") == ["Completed"], "the scale-in once metrics are back", seconds=240)
    assert calm.desired() == 2
