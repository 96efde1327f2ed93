"""Numbers from Prometheus: missing is not zero, coverage is counted, doubled series count once."""

from collections.abc import Callable
from typing import Any

import pytest

from milvus_tuning.snapshot import MISSING, NodeSearches, Sample
from tests.observe.world import PROXY_POD, QUERY_NODE_PODS, World, a_vector, recorded, snapshot_of

Change = Callable[[World], None]


def _result(world: World, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.prometheus[query]["data"]["result"]
    return found


def _without_first_pod(world: World) -> None:
    for query in ("node_age", "cpu", "resident_memory", "loaded_bytes"):
        _result(world, query)[:] = [
            found for found in _result(world, query) if found["metric"]["pod"] != QUERY_NODE_PODS[0]
        ]


def test_a_pod_that_is_not_scraped_has_no_numbers_and_the_other_keeps_its_own() -> None:
    world = World()
    _without_first_pod(world)
    first, second = snapshot_of(world).query_nodes
    assert (first.cpu_cores, first.resident_memory_bytes, first.loaded_bytes) == (MISSING, MISSING, MISSING)
    assert second.cpu_cores.value is not None


def test_an_empty_query_node_has_zero_loaded_bytes_because_it_is_scraped() -> None:
    world = World()
    _result(world, "loaded_bytes").clear()
    node = snapshot_of(world).query_nodes[0]
    assert (node.loaded_bytes.value, node.loaded_bytes.coverage) == (0.0, 1.0)


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf"])
def test_what_is_no_number_is_missing(value: str) -> None:
    world = World()
    for series in _result(world, "cpu"):
        series["value"][1] = value
    assert snapshot_of(world).query_nodes[0].cpu_cores == MISSING


def test_the_age_is_that_of_the_pods_last_scrape() -> None:
    world = World()
    for series in _result(world, "node_age"):
        series["value"][1] = "42.5"
    assert {node.cpu_cores.age_seconds for node in snapshot_of(world).query_nodes} == {42.5}


def test_of_two_values_for_one_pod_the_larger_counts() -> None:
    world = World()
    twin = {"metric": {"pod": QUERY_NODE_PODS[0], "replica": "b"}, "value": [1.0, "7"]}
    _result(world, "cpu").append(twin)
    assert snapshot_of(world).query_nodes[0].cpu_cores.value == 7.0


def test_without_traffic_the_rate_is_zero_and_the_latency_missing() -> None:
    world = World(prometheus=recorded("prometheus_idle.json"))
    traffic = snapshot_of(world).traffic
    assert (traffic.searches_per_second.value, traffic.failed_per_second.value) == (0.0, 0.0)
    assert (traffic.p99_milliseconds, traffic.mean_milliseconds) == (MISSING, MISSING)


def test_under_load_the_traffic_is_as_recorded() -> None:
    traffic = snapshot_of(World()).traffic
    assert traffic.searches_per_second.value == pytest.approx(12.7, abs=0.1)
    assert traffic.p99_milliseconds.value == pytest.approx(181, abs=1)
    assert traffic.failed_per_second == Sample(value=0.0, age_seconds=traffic.searches_per_second.age_seconds)


def test_without_a_scraped_proxy_no_rate_is_taken_for_zero() -> None:
    world = World()
    for query in ("proxy_age", "searches", "failed", "collection_searches"):
        _result(world, query).clear()
    snapshot = snapshot_of(world)
    assert (snapshot.traffic.searches_per_second, snapshot.traffic.failed_per_second) == (MISSING, MISSING)
    assert snapshot.collections[0].searches_per_second == MISSING


def test_one_of_two_proxies_is_half_the_coverage() -> None:
    world = World()
    pods = next(found for path, found in world.kubernetes.items() if path.endswith("/pods"))["items"]
    proxy = next(pod for pod in pods if pod["metadata"]["name"] == PROXY_POD)
    pods.append(proxy | {"metadata": proxy["metadata"] | {"name": "second-proxy"}})
    assert snapshot_of(world).traffic.searches_per_second.coverage == 0.5


def test_one_failed_query_costs_its_own_number_only() -> None:
    world = World()
    world.prometheus["cpu"] = {"status": "error"}
    node = snapshot_of(world).query_nodes[0]
    assert node.cpu_cores == MISSING
    assert node.resident_memory_bytes.value is not None


@pytest.mark.parametrize(
    ("labels", "value"),
    [
        pytest.param({"collection_name": "demo"}, 5.0, id="without database, as up to 2.5"),
        pytest.param({"collection_name": "demo", "db_name": "default"}, 5.0, id="with database, as from 2.6"),
        pytest.param({"collection_name": "demo", "db_name": "other"}, 0.0, id="of another database"),
        pytest.param({"collection_name": "other"}, 0.0, id="of another collection"),
    ],
)
def test_searches_go_to_the_collection_they_belong_to(labels: dict[str, str], value: float) -> None:
    world = World()
    _result(world, "collection_searches")[:] = [{"metric": labels, "value": [1.0, "5"]}]
    assert snapshot_of(world).collections[0].searches_per_second.value == value


DEMO = 470657475820126434
FIRST_NODE_ID, SECOND_NODE_ID = 3, 2


def _node_series(pod: str, collection: object, value: float | str) -> tuple[dict[str, str], float | str]:
    return {"pod": pod, "collection_id": str(collection)}, value


def test_searches_of_a_collection_on_a_pod_are_those_of_its_milvus_node() -> None:
    world = World()
    world.prometheus["node_collection_searches"] = a_vector(
        _node_series(QUERY_NODE_PODS[0], DEMO, 12.5), _node_series(QUERY_NODE_PODS[1], DEMO, 0.0)
    )
    for series in _result(world, "node_age"):
        series["value"][1] = "4"
    assert snapshot_of(world).node_searches == tuple(
        NodeSearches(
            node_id=node_id, collection_id=DEMO, searches_per_second=Sample(value=value, age_seconds=4.0, coverage=1.0)
        )
        for node_id, value in ((SECOND_NODE_ID, 0.0), (FIRST_NODE_ID, 12.5))
    )


@pytest.mark.parametrize(
    "series",
    [
        pytest.param(None, id="Milvus 2.3 does not count by collection"),
        pytest.param(_node_series("somebody-elses-pod", DEMO, 5), id="of a pod that is none of ours"),
        pytest.param(_node_series(QUERY_NODE_PODS[0], 99, 5), id="of a collection that is not loaded"),
        pytest.param(_node_series(QUERY_NODE_PODS[0], "all", 5), id="of what is no collection id"),
        pytest.param(_node_series(QUERY_NODE_PODS[0], DEMO, "NaN"), id="no number"),
    ],
)
def test_searches_by_node_that_belong_to_nothing_known_are_left_out(series: Any) -> None:
    world = World()
    world.prometheus["node_collection_searches"] = a_vector(*([series] if series else []))
    assert snapshot_of(world).node_searches == ()


def test_searches_of_a_pod_whose_node_is_unknown_or_not_scraped_are_left_out() -> None:
    world = World()
    world.prometheus["node_collection_searches"] = a_vector(
        _node_series(QUERY_NODE_PODS[0], DEMO, 5), _node_series(QUERY_NODE_PODS[1], DEMO, 6)
    )
    _without_first_pod(world)
    del world.etcd["by-dev/meta/session/querynode-2"]
    assert snapshot_of(world).node_searches == ()


def a_declaring_world() -> World:
    world = World()
    world.spec["network"] = {"compression": "Auto"}
    return world


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        pytest.param(a_vector(({}, 1e10)), 1e10, id="10 Gbit/s"),
        pytest.param(a_vector(), None, id="no node_exporter"),
        pytest.param(a_vector(({}, "NaN")), None, id="no number"),
    ],
)
def test_the_speed_of_the_links_is_known_where_prometheus_has_it(answer: Any, value: float | None) -> None:
    world = a_declaring_world()
    world.prometheus["link_speed"] = answer
    assert snapshot_of(world).link_bits_per_second == (MISSING if value is None else Sample(value=value))


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        pytest.param(a_vector(({}, 0.34)), 0.34, id="a share"),
        pytest.param(a_vector(({}, -0.2)), 0.0, id="below nothing"),
        pytest.param(a_vector(({}, 1.5)), 1.0, id="above all"),
        pytest.param(a_vector(({}, "NaN")), None, id="no searches"),
        pytest.param(a_vector(), None, id="no series"),
    ],
)
def test_the_share_of_the_network_is_between_0_and_1_and_as_old_as_the_proxies_numbers(
    answer: Any, value: float | None
) -> None:
    world = a_declaring_world()
    world.prometheus["network_share"] = answer
    snapshot = snapshot_of(world)
    age = snapshot.traffic.searches_per_second.age_seconds
    assert snapshot.network_share == (MISSING if value is None else Sample(value=value, age_seconds=age))


def test_the_network_is_asked_for_only_where_it_is_declared() -> None:
    world = World()
    world.prometheus |= {"link_speed": a_vector(({}, 1e9)), "network_share": a_vector(({}, 0.5))}
    snapshot = snapshot_of(world)
    assert (snapshot.link_bits_per_second, snapshot.network_share) == (MISSING, MISSING)
