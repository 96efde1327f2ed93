"""The effect of a change: rates over the verification window, the slow share above a bucket bound, missing is None."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.observe.effect import Question, slow_bound
from milvus_tuning.plan import Measurement
from tests.clients.http_server import Reply
from tests.observe.world import (
    NAMESPACE,
    NOW,
    PODS,
    QUERY_NODE_PODS,
    World,
    a_vector,
    observe,
    observing,
    recorded,
    serving,
)

Change = Callable[[World], None]
BOUNDS = tuple(2.0**power for power in range(18))
# Of 12.5 searches a second 10 are within 64 ms and 12.25 within 128 ms; the recorded mean is 51.9 ms.
WITHIN = {32: 4.0, 64: 10.0, 128: 12.25, 256: 12.5, 131072: 12.5}


def a_busy_world() -> World:
    """The recorded load, with the buckets of its latencies."""
    world = World()
    series = [({"le": str(bound)}, rate) for bound, rate in WITHIN.items()]
    world.prometheus["latency_buckets"] = a_vector(*series, ({"le": "+Inf"}, 12.5))
    return world


def measure(world: World, *, window_seconds: int = 180, slow_bound: int | None = None) -> Measurement:
    """One pass and a measurement at its end."""
    with serving(world), observing(world) as observer:
        return observer.measure(
            NAMESPACE,
            world.parsed_spec(),
            observe(world),
            NOW,
            window_seconds=window_seconds,
            slow_bound_milliseconds=slow_bound,
        )


def expressions(world: World) -> list[str]:
    return [parse_qs(asked.body)["query"][0] for asked in world.asked["prometheus"]]


def _result(world: World, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.prometheus[query]["data"]["result"]
    return found


BUSY = Measurement(
    ended_at=NOW,
    window_seconds=180,
    searches_per_minute=763,
    searches_per_minute_per_node=381,
    mean_microseconds=51886,
    p99_milliseconds=181,
    queue_microseconds=5849,
    failed_searches_per_million=0,
    slow_searches_per_million=20_000,
    slow_bound_milliseconds=128,
    skew_percent=4,
    cpu_millicores_per_node=89,
    node_count=2,
)
UNMEASURED = Measurement(ended_at=NOW, window_seconds=180, node_count=2)


def test_a_window_of_the_recorded_load_is_measured_whole() -> None:
    assert measure(a_busy_world()) == BUSY


def test_rates_go_over_the_window_itself() -> None:
    world = a_busy_world()
    measure(world, window_seconds=240)
    over_the_window = [text for text in expressions(world) if "[240s]" in text]
    assert len(over_the_window) == 7
    assert all("rate(" in text for text in over_the_window)


@pytest.mark.parametrize(
    ("samples", "asked_for", "taken"),
    [
        pytest.param("60", 10, 30, id="scraped every 2 s, never below 30 s"),
        pytest.param("60", 45, 45, id="scraped every 2 s, long enough"),
        pytest.param("8", 30, 60, id="scraped every 15 s"),
        pytest.param("2", 180, 240, id="scraped every minute"),
        pytest.param("2", 600, 600, id="scraped every minute, long enough"),
    ],
)
def test_a_window_with_fewer_than_four_scrapes_is_widened_and_says_so(samples: str, asked_for: int, taken: int) -> None:
    world = a_busy_world()
    _result(world, "samples")[0]["value"][1] = samples
    assert measure(world, window_seconds=asked_for).window_seconds == taken
    assert any(f"[{taken}s]" in text for text in expressions(world))


def test_nothing_is_remembered_between_observation_and_measurement() -> None:
    world = a_busy_world()
    with serving(world), observing(world) as observer:
        spec = world.parsed_spec()
        snapshot = observer.observe(NAMESPACE, spec, NOW)
        pods_read = sum(asked.path == PODS for asked in world.asked["kubernetes"])
        measured = observer.measure(NAMESPACE, spec, snapshot, NOW, window_seconds=180, slow_bound_milliseconds=None)
    assert measured == measure(a_busy_world())
    assert sum(asked.path == PODS for asked in world.asked["kubernetes"]) == pods_read  # the target is still known


@pytest.mark.parametrize(
    ("objective", "given_bound", "bound", "slow"),
    [
        pytest.param(100, None, 128, 20_000, id="the first bound above the objective"),
        pytest.param(128, None, 128, 20_000, id="the objective is a bound"),
        pytest.param(129, None, 256, 0, id="just above a bound"),
        pytest.param(None, None, 128, 20_000, id="twice the mean of 51.9 ms"),
        pytest.param(100, 64, 64, 200_000, id="the given bound wins"),
        pytest.param(100, 100, None, None, id="a given bound that no bucket has"),
        pytest.param(600_000, None, None, None, id="an objective above every bucket"),
    ],
)
def test_slow_is_what_is_above_a_bucket_bound(
    objective: int | None, given_bound: int | None, bound: int | None, slow: int | None
) -> None:
    world = a_busy_world()
    if objective is not None:
        world.spec["objectives"] = {"searchLatencyP99Milliseconds": objective}
    measured = measure(world, slow_bound=given_bound)
    assert (measured.slow_bound_milliseconds, measured.slow_searches_per_million) == (bound, slow)


@given(st.floats(min_value=0.01, max_value=10_000), st.floats(min_value=0.01, max_value=10_000))
def test_a_slower_mean_never_has_a_lower_bound(one: float, other: float) -> None:
    question = Question(ended_at=NOW, window_seconds=60)
    low, high = (slow_bound(BOUNDS, question, mean) for mean in sorted((one, other)))
    assert low is not None
    assert high is not None
    assert low <= high
    assert low >= 2 * min(one, other)


@pytest.mark.parametrize("objective", [1, 100, 1000])
def test_with_an_objective_the_mean_has_no_say(objective: int) -> None:
    question = Question(ended_at=NOW, window_seconds=60, objective_milliseconds=objective)
    assert slow_bound(BOUNDS, question, 1.0) == slow_bound(BOUNDS, question, 5000.0)


def _failing(world: World) -> None:
    world.prometheus["failed"] = a_vector(({}, "0.12714285714285714"))


def test_failures_are_a_share_of_what_arrives() -> None:
    world = a_busy_world()
    _failing(world)
    assert measure(world).failed_searches_per_million == 10_000


def _old(query: str) -> Change:
    def change(world: World) -> None:
        _result(world, query)[0]["value"][1] = "61"

    return change


def _gone(query: str) -> Change:
    def change(world: World) -> None:
        _result(world, query).pop(0)

    return change


def _not_a_number(world: World) -> None:
    _result(world, "mean_latency")[0]["value"][1] = "NaN"


def _no_total(world: World) -> None:
    _result(world, "latency_buckets").pop()


WITHOUT_PROXIES = replace(
    BUSY,
    searches_per_minute=None,
    searches_per_minute_per_node=None,
    mean_microseconds=None,
    p99_milliseconds=None,
    failed_searches_per_million=None,
    slow_searches_per_million=None,
    slow_bound_milliseconds=None,
)
WITHOUT_NODES = replace(BUSY, queue_microseconds=None, skew_percent=None, cpu_millicores_per_node=None)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(_old("proxy_age"), WITHOUT_PROXIES, id="a proxy scraped too long ago"),
        pytest.param(_gone("proxy_age"), WITHOUT_PROXIES, id="a proxy that is not scraped"),
        pytest.param(_old("node_age"), WITHOUT_NODES, id="a QueryNode scraped too long ago"),
        pytest.param(_gone("node_age"), WITHOUT_NODES, id="a QueryNode that is not scraped"),
        pytest.param(
            _gone("cpu"), replace(BUSY, skew_percent=None, cpu_millicores_per_node=None), id="no CPU of one QueryNode"
        ),
        pytest.param(_gone("queue_latency"), replace(BUSY, queue_microseconds=4096), id="one QueryNode did not search"),
        pytest.param(
            _not_a_number,
            replace(BUSY, mean_microseconds=None, slow_searches_per_million=None, slow_bound_milliseconds=None),
            id="no mean, and so no bound",
        ),
        pytest.param(
            _no_total,
            replace(BUSY, slow_searches_per_million=None, slow_bound_milliseconds=None),
            id="no count of all searches",
        ),
    ],
)
def test_what_is_missing_or_old_is_none_and_takes_nothing_else_along(change: Change, expected: Measurement) -> None:
    world = a_busy_world()
    change(world)
    assert measure(world) == expected


def test_a_scrape_sixty_seconds_old_still_counts() -> None:
    world = a_busy_world()
    for query in ("proxy_age", "node_age"):
        _result(world, query)[0]["value"][1] = "60"
    assert measure(world) == BUSY


def test_without_traffic_the_number_of_searches_is_zero_and_latencies_are_none() -> None:
    idle = World(prometheus=recorded("prometheus_idle.json"))
    expected = replace(
        UNMEASURED, searches_per_minute=0, searches_per_minute_per_node=0, skew_percent=17, cpu_millicores_per_node=15
    )
    assert measure(idle) == expected


def _down(world: World) -> None:
    world.prometheus_reply = lambda _: Reply(status=503, body="down")


def _not_declared(world: World) -> None:
    world.connections["prometheus"] = None


def _no_secret(world: World) -> None:
    world.connections["prometheus"] = {"credentialsSecretRef": {"name": "absent", "key": "token"}}


@pytest.mark.parametrize("change", [_down, _not_declared, _no_secret], ids=lambda change: change.__name__)
def test_without_prometheus_nothing_is_measured_and_nothing_is_raised(change: Change) -> None:
    world = a_busy_world()
    change(world)
    assert measure(world) == UNMEASURED


def test_a_query_node_that_leaves_is_not_counted() -> None:
    world = a_busy_world()
    world.pod()["metadata"]["deletionTimestamp"] = "2026-01-31T12:00:00Z"
    world.pod()["metadata"]["deletionGracePeriodSeconds"] = 30
    measured = measure(world)
    assert (measured.node_count, measured.searches_per_minute_per_node, measured.skew_percent) == (1, 763, 0)


def test_a_pod_that_is_none_of_ours_has_no_say_in_the_skew() -> None:
    world = a_busy_world()
    stranger = {"metric": {"pod": "stranger"}, "value": [1.0, "9"]}
    _result(world, "cpu").append(stranger)
    assert measure(world) == BUSY
    _result(world, "cpu").append({"metric": {"pod": QUERY_NODE_PODS[0]}, "value": [1.0, "9"]})
    assert measure(world).skew_percent == 98
