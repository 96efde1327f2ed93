"""What proxies show by what they do: who is probed, how often, and whole passes with a proxy on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from milvus_tuning.clients.connect import Found
from milvus_tuning.clients.message_limit import ServerTls
from milvus_tuning.clients.milvus import MilvusClient, MilvusTls
from milvus_tuning.observe.probes import (
    MOST_PROBES_PER_PASS,
    RECEIVE_LIMIT,
    RETRY_SECONDS,
    Probe,
    ProbeCache,
    probe_limit,
    probes,
)
from milvus_tuning.observe.target import Target
from milvus_tuning.snapshot import ComponentPod, EtcdSetting, ReadBack, Workload, WorkloadKind
from tests.clients.limit_server import LimitServer, a_limited
from tests.cluster.api_only import free_ports
from tests.observe.world import CONFIG_MAP, NAMESPACE, NOW, PODS, PROXY_POD, World, observe, observing, serving

STARTED = datetime(2026, 1, 31, 11, tzinfo=UTC)
NAME = "proxygrpcservermaxrecvsize"
PROXY_IP = "127.45.0.6"  # of the recorded pod


def a_proxy(name: str = "proxy", **fields: Any) -> ComponentPod:
    usual: dict[str, Any] = {"component": "Proxy", "pod": name, "pod_uid": name, "started_at": STARTED}
    return ComponentPod(**(usual | fields))


def a_target(*pods: ComponentPod, **fields: Any) -> Target:
    workload = Workload(
        kind=WorkloadKind.DEPLOYMENT, namespace="milvus", name="x", desired_count=1, ready_count=1, resource_version="1"
    )
    usual: dict[str, Any] = {
        "workload": workload,
        "found": Found(),
        "components": pods,
        "addresses": tuple((pod.pod, f"10.0.0.{number}") for number, pod in enumerate(pods)),
    }
    return Target(**(usual | fields))


def stored(value: str, key: str = RECEIVE_LIMIT) -> dict[str, EtcdSetting]:
    spelling = key.lower()
    return {spelling.replace(".", ""): EtcdSetting(key=spelling, value=value, spellings=(spelling,), revision=1)}


def test_a_proxy_is_probed_where_the_policy_declares_the_key() -> None:
    pod, query_node = a_proxy(), a_proxy("querynode", component="QueryNode")
    target = a_target(pod, query_node)
    expected = Probe(pod="proxy", pod_uid="proxy", started=STARTED.isoformat(), host="10.0.0.0", port=19530)
    assert probes(["proxy.maxTaskNum", "Proxy.grpc/servermaxrecvsize"], target, {}, None) == (expected,)
    assert probes(["proxy.maxTaskNum"], target, {}, None) == ()


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(a_target(a_proxy(ready=False)), id="is not ready"),
        pytest.param(a_target(a_proxy(terminating=True)), id="leaves"),
        pytest.param(a_target(a_proxy(started_at=None)), id="does not run"),
        pytest.param(a_target(a_proxy(), addresses=()), id="has no IP"),
        pytest.param(
            a_target(a_proxy("a"), a_proxy("b"), addresses=(("a", "10.0.0.1"), ("b", "10.0.0.1"))),
            id="two on the network of one host",
        ),
        pytest.param(a_target(a_proxy(), found=Found(milvus_tls=True)), id="TLS, and no certificate is known"),
        pytest.param(a_target(a_proxy(), install_config={NAME: "2147483648"}), id="a file says 2 GiB"),
        pytest.param(a_target(a_proxy(), environment_config={NAME: "4294967296"}), id="the environment says 4 GiB"),
        pytest.param(
            a_target(a_proxy(), install_config={"grpcservermaxrecvsize": "2147483648"}),
            id="what it falls back to says so",
        ),
    ],
)
def test_a_proxy_that_cannot_be_probed_safely_is_not(target: Target) -> None:
    assert probes([RECEIVE_LIMIT], target, {}, None) == ()


@pytest.mark.parametrize(
    ("value", "probed"),
    [
        pytest.param("2147483647", True, id="the largest that can be told"),
        pytest.param("2147483648", False, id="one byte more"),
        pytest.param("much", True, id="no number, which Milvus does not take either"),
    ],
)
def test_what_is_stored_says_whether_the_claim_might_be_taken(value: str, *, probed: bool) -> None:
    assert bool(probes([RECEIVE_LIMIT], a_target(a_proxy()), stored(value), None)) is probed


@pytest.mark.parametrize(
    ("config", "port"),
    [
        pytest.param({}, 19530, id="the default"),
        pytest.param({"proxyport": "19999"}, 19999, id="of the install"),
        pytest.param({"proxyport": "x"}, 19530, id="no number"),
    ],
)
def test_the_port_is_that_of_the_proxies(config: dict[str, str], port: int) -> None:
    (found,) = probes([RECEIVE_LIMIT], a_target(a_proxy(), install_config=config), {}, None)
    assert found.port == port


@pytest.mark.parametrize(
    ("uri", "tls", "expected"),
    [
        pytest.param("https://milvus.test:19530", None, ServerTls(server_name="milvus.test"), id="the name of the uri"),
        pytest.param(
            "https://10.0.0.9:19530",
            MilvusTls(server_name="milvus.test"),
            ServerTls(server_name="milvus.test"),
            id="the declared name",
        ),
        pytest.param("http://milvus.test:19530", None, None, id="a connection without TLS"),
    ],
)
def test_tls_is_as_the_connection_has_it(uri: str, tls: MilvusTls | None, expected: ServerTls | None) -> None:
    client = MilvusClient(uri, tls=tls)
    try:
        found = probes([RECEIVE_LIMIT], a_target(a_proxy(), found=Found(milvus_tls=True)), {}, client)
        plain = probes([RECEIVE_LIMIT], a_target(a_proxy()), {}, client)
    finally:
        client.close()
    assert [one.tls for one in found] == ([] if expected is None else [expected])
    assert [one.tls for one in plain] == [None]


def a_probe(name: str = "proxy", **fields: Any) -> Probe:
    usual: dict[str, Any] = {"pod": name, "pod_uid": name, "started": "1", "host": "127.0.0.1", "port": 1}
    return Probe(**(usual | fields))


def test_a_proxy_that_does_not_tell_is_left_out() -> None:
    assert probe_limit(a_probe(port=free_ports(1)[0])) is None


def told(pod: str, limit: int) -> ReadBack:
    return ReadBack(pod=pod, values={NAME: str(limit)}, asked=(NAME,), acting=(NAME,))


def test_a_proxy_is_probed_once_for_as_long_as_its_container_runs() -> None:
    cache, probe = ProbeCache(), a_probe()
    assert cache.due([probe], 0.0) == (probe,)
    cache.keep(probe, 1024)
    assert cache.due([probe], 10_000.0) == ()
    assert cache.known() == (told("proxy", 1024),)

    restarted = replace(probe, started="2")
    assert cache.due([restarted], 10_001.0) == (restarted,)
    cache.keep(probe, 2048)  # late, of the container that is gone
    assert cache.known() == ()


def test_a_silent_proxy_is_probed_again_after_a_while() -> None:
    cache, probe = ProbeCache(), a_probe()
    assert cache.due([probe], 0.0) == (probe,)
    assert cache.due([probe], RETRY_SECONDS - 1) == ()
    assert cache.due([probe], RETRY_SECONDS) == (probe,)


def test_many_proxies_take_turns() -> None:
    cache = ProbeCache()
    wanted = [a_probe(f"proxy-{number:02}") for number in range(MOST_PROBES_PER_PASS + 3)]
    assert cache.due(wanted, 0.0) == tuple(wanted[:MOST_PROBES_PER_PASS])
    assert cache.due(wanted, 15.0) == tuple(wanted[MOST_PROBES_PER_PASS:])


@contextmanager
def a_world(server: LimitServer, **declared: Any) -> Iterator[World]:
    """A served world whose proxy is this server, and what its policy declares."""
    world = World()
    world.spec |= declared
    with ExitStack() as stack:
        port = stack.enter_context(a_limited(server, PROXY_IP))
        world.kubernetes[CONFIG_MAP]["data"]["user.yaml"] += f"\nproxy:\n  port: {port}\n"
        yield stack.enter_context(serving(world))


@pytest.mark.parametrize(
    "declared",
    [
        pytest.param({"network": {"maxMessageSize": "128Mi"}}, id="by its field"),
        pytest.param({"configOverrides": {RECEIVE_LIMIT: "134217728"}}, id="by its key"),
    ],
)
def test_a_pass_tells_what_the_proxy_takes(declared: dict[str, Any]) -> None:
    server = LimitServer(limit=67108864)
    with a_world(server, **declared) as world:
        snapshot = observe(world)
    assert snapshot.problems == ()
    assert snapshot.read_back == (told(PROXY_POD, 67108864),)
    assert len(server.calls) == 1
    assert server.taken == []


def test_a_policy_that_does_not_declare_it_probes_nobody() -> None:
    server = LimitServer(limit=67108864)
    with a_world(server, configOverrides={"proxy.maxTaskNum": "1024"}) as world:
        assert observe(world).read_back == ()
    assert server.calls == []


def test_nobody_is_probed_while_it_is_not_known_what_etcd_holds() -> None:
    """There may be a limit under which the claim is taken for a message."""
    server = LimitServer(limit=67108864)
    with a_world(server, network={"maxMessageSize": "128Mi"}) as world:
        world.etcd = {}
        assert observe(world).read_back == ()
    assert server.calls == []


def test_passes_probe_again_only_after_the_container_has_restarted() -> None:
    server = LimitServer(limit=67108864)
    with a_world(server, network={"maxMessageSize": "128Mi"}) as world, observing(world) as observer:
        spec = world.parsed_spec()
        first, second = (observer.observe(NAMESPACE, spec, NOW) for _ in range(2))
        assert (first.read_back, second.read_back) == ((told(PROXY_POD, 67108864),),) * 2
        assert len(server.calls) == 1

        server.limit = 134217728
        state = world.item(PODS, PROXY_POD)["status"]["containerStatuses"][0]["state"]
        state["running"]["startedAt"] = "2026-01-31T11:59:00Z"
        assert observer.observe(NAMESPACE, spec, NOW).read_back == (told(PROXY_POD, 134217728),)
    assert len(server.calls) == 2
