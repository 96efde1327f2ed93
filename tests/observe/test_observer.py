"""One pass over a recorded 2.3.5 cluster: the whole snapshot, and what is left of it when a source fails."""

import threading
from collections.abc import Callable
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest

from milvus_tuning.clients.etcd import EtcdClient
from milvus_tuning.snapshot import EtcdSetting, FreezeReason, OwnedKey, ProblemKind, Snapshot, WorkloadKind
from tests.clients.http_server import Asked, Reply
from tests.clients.milvus_server import refuses
from tests.observe.world import (
    NAMESPACE,
    NOW,
    PATIENT_SECONDS,
    QUERY_NODE_PODS,
    World,
    a_session,
    observe,
    observing,
    serving,
    snapshot_of,
)


def _kinds(snapshot: Snapshot) -> set[ProblemKind]:
    return {problem.kind for problem in snapshot.problems}


def test_a_healthy_release_is_seen_whole() -> None:
    snapshot = snapshot_of(World())
    workload = snapshot.workload
    assert snapshot.problems == ()
    assert snapshot.freezes == ()
    assert workload is not None
    assert (workload.kind, workload.name) == (WorkloadKind.DEPLOYMENT, "my-release-milvus-querynode")
    assert (workload.desired_count, workload.ready_count, workload.serving_count) == (2, 2, 2)
    assert {node.pod: node.node_id for node in snapshot.query_nodes} == dict(zip(QUERY_NODE_PODS, (3, 2), strict=True))
    assert [collection.name for collection in snapshot.collections] == ["demo"]
    assert len(snapshot.segments) == 12
    assert {leader for replica in snapshot.replicas for _, leader in replica.leaders} == {2, 3}
    assert (snapshot.placement_coverage, snapshot.etcd_root_path, snapshot.settings_readable) == (1.0, "by-dev", True)
    assert (snapshot.taken_at, snapshot.milvus_version) == (NOW, "v2.3.5-lite")


def test_every_number_of_a_query_node_has_a_value_an_age_and_full_coverage_under_load() -> None:
    for node in snapshot_of(World()).query_nodes:
        samples = (
            node.resident_memory_bytes,
            node.loaded_bytes,
            node.cpu_cores,
            node.read_concurrency,
            node.queue_latency_milliseconds,
        )
        assert all(sample.value is not None and sample.coverage == 1.0 for sample in samples)
        assert all(0 <= sample.age_seconds < 10 for sample in samples)
        assert (node.memory_limit_bytes, node.cpu_limit_cores) == (768 * 1024 * 1024, 0.3)
        assert node.grace_period_seconds == 120


def _dead_prometheus(world: World) -> None:
    world.connections["prometheus"] = {"url": "http://127.0.0.1:1"}


def _prometheus_says(status: int) -> Callable[[World], None]:
    def change(world: World) -> None:
        world.prometheus_reply = lambda _: Reply(status=status)

    return change


def _prometheus_of_others(world: World) -> None:
    world.prometheus_reply = lambda _: Reply(body={"status": "success", "data": {"resultType": "vector", "result": []}})


def _dead_milvus(world: World) -> None:
    world.connections["milvus"] = {"uri": "http://127.0.0.1:1"}


def _milvus_refuses(code: grpc.StatusCode) -> Callable[[World], None]:
    def change(world: World) -> None:
        world.milvus["GetVersion"] = refuses(code, "no")

    return change


def _milvus_is(version: str) -> Callable[[World], None]:
    def change(world: World) -> None:
        world.milvus["GetVersion"] = {"version": version}

    return change


def _dead_etcd(world: World) -> None:
    world.connections["etcd"] = {"endpoints": ["127.0.0.1:1"]}


def _etcd_of_another_cluster(world: World) -> None:
    world.etcd = {"by-dev/meta/session/querynode-9": a_session(9, "10.9.9.9:21123")}


def _wrong_root_path(world: World) -> None:
    world.connections["etcd"] = {"rootPath": "elsewhere"}


def _secret_is_missing(world: World) -> None:
    world.connections["milvus"] = {"credentialsSecretRef": {"name": "gone", "key": "token"}}


def _secret_without_key(world: World) -> None:
    world.secrets["known"] = {"other": "x"}
    world.connections["prometheus"] = {"credentialsSecretRef": {"name": "known", "key": "token"}}


def _etcd_password_without_user(world: World) -> None:
    world.secrets["known"] = {"etcd": "password"}
    world.connections["etcd"] = {"credentialsSecretRef": {"name": "known", "key": "etcd"}}


def _authority_is_no_certificate(world: World) -> None:
    world.secrets["known"] = {"ca": "not a PEM"}
    tls = {"caSecretRef": {"name": "known", "key": "ca"}}
    world.connections["prometheus"] = {"url": "https://127.0.0.1:1", "tls": tls}


def _says_other_node(world: World) -> None:
    for series in world.prometheus["node_id"]["data"]["result"]:
        if series["metric"]["pod"] == QUERY_NODE_PODS[0]:
            series["metric"]["node_id"] = "99"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        pytest.param(_dead_prometheus, ProblemKind.PROMETHEUS_UNREACHABLE, id="Prometheus is gone"),
        pytest.param(_prometheus_says(401), ProblemKind.PROMETHEUS_CREDENTIALS_REJECTED, id="Prometheus says 401"),
        pytest.param(_prometheus_says(403), ProblemKind.PROMETHEUS_CREDENTIALS_REJECTED, id="Prometheus says 403"),
        pytest.param(_prometheus_says(503), ProblemKind.PROMETHEUS_UNREACHABLE, id="Prometheus says 503"),
        pytest.param(_prometheus_says(302), ProblemKind.METRICS_MISSING, id="Prometheus redirects"),
        pytest.param(_prometheus_of_others, ProblemKind.METRICS_MISSING, id="Prometheus scrapes other pods only"),
        pytest.param(_dead_milvus, ProblemKind.MILVUS_UNREACHABLE, id="Milvus is gone"),
        pytest.param(
            _milvus_refuses(grpc.StatusCode.UNAUTHENTICATED),
            ProblemKind.MILVUS_CREDENTIALS_REJECTED,
            id="Milvus rejects the password",
        ),
        pytest.param(
            _milvus_refuses(grpc.StatusCode.PERMISSION_DENIED),
            ProblemKind.PERMISSION_DENIED,
            id="Milvus role too small",
        ),
        pytest.param(
            _milvus_is("master-20260101-abcdef"), ProblemKind.VERSION_UNKNOWN, id="a build of the main branch"
        ),
        pytest.param(_milvus_is(""), ProblemKind.VERSION_UNKNOWN, id="no version"),
        pytest.param(_milvus_is("v2.2.16"), ProblemKind.VERSION_UNSUPPORTED, id="an old version"),
        pytest.param(_dead_etcd, ProblemKind.ETCD_UNREACHABLE, id="etcd is gone"),
        pytest.param(_etcd_of_another_cluster, ProblemKind.ETCD_UNREACHABLE, id="the etcd of another cluster"),
        pytest.param(_wrong_root_path, ProblemKind.ETCD_UNREACHABLE, id="a wrong root path"),
        pytest.param(_secret_is_missing, ProblemKind.SECRET_NOT_FOUND, id="a Secret that is not there"),
        pytest.param(_secret_without_key, ProblemKind.SECRET_NOT_FOUND, id="a Secret without the key"),
        pytest.param(_etcd_password_without_user, ProblemKind.INVALID_CONNECTION, id="etcd credentials without user"),
        pytest.param(_authority_is_no_certificate, ProblemKind.INVALID_CONNECTION, id="an authority that is no PEM"),
        pytest.param(_says_other_node, ProblemKind.NODE_IDENTITY_UNKNOWN, id="a pod that says it is another node"),
    ],
)
def test_a_failing_source_is_one_problem_and_takes_nothing_else_along(
    change: Callable[[World], None], kind: ProblemKind
) -> None:
    world = World()
    change(world)
    snapshot = snapshot_of(world)
    follow_up = {ProblemKind.NODE_IDENTITY_UNKNOWN}  # without Prometheus, and the recorded pods cannot be asked
    assert _kinds(snapshot) - follow_up == {kind} - follow_up
    assert kind in _kinds(snapshot)
    assert snapshot.workload is not None
    assert snapshot.workload.ready_count == 2
    of_milvus = {
        ProblemKind.MILVUS_UNREACHABLE,
        ProblemKind.MILVUS_CREDENTIALS_REJECTED,
        ProblemKind.PERMISSION_DENIED,
    }
    of_prometheus = {
        ProblemKind.PROMETHEUS_UNREACHABLE,
        ProblemKind.PROMETHEUS_CREDENTIALS_REJECTED,
        ProblemKind.METRICS_MISSING,
    }
    if kind in of_milvus:
        assert snapshot.traffic.searches_per_second.value is not None
    if kind in of_prometheus:
        assert len(snapshot.segments) == 12
        assert snapshot.traffic.searches_per_second.value is None
    if kind is ProblemKind.ETCD_UNREACHABLE:
        assert (snapshot.etcd_root_path, snapshot.settings_readable) == (None, False)
        assert len(snapshot.segments) == 12


def test_without_prometheus_the_pods_and_milvus_are_still_seen() -> None:
    world = World(connections={"prometheus": None})
    snapshot = snapshot_of(world)
    assert ProblemKind.PROMETHEUS_UNREACHABLE not in _kinds(snapshot)
    assert len(snapshot.query_nodes) == 2
    assert snapshot.query_nodes[0].cpu_cores.value is None


def test_a_source_that_hangs_costs_the_time_of_one_pass_only() -> None:
    over, answered = threading.Event(), threading.Event()

    def hang(_: Asked) -> Reply:
        over.wait(PATIENT_SECONDS)
        answered.set()
        return Reply(status=500)

    with serving(World(prometheus_reply=hang)) as world:
        snapshot = observe(world, timeout_seconds=2)
        assert not answered.is_set(), "it is not waited for"
        over.set()
    assert ProblemKind.PROMETHEUS_UNREACHABLE in _kinds(snapshot)
    assert len(snapshot.segments) == 12


def test_settings_in_etcd_come_with_all_their_spellings_and_our_records() -> None:
    world = World()
    world.etcd |= {
        "by-dev/config/querycoord.autobalance": "false",
        "by-dev/config/queryCoord/autoBalance": "true",
        "by-dev/milvustuning/uid-1/handback/querycoordautobalance": '{"key": "querycoord.autobalance", "value": null, '
        '"written": "false"}',
    }
    snapshot = snapshot_of(world)
    assert snapshot.settings == {
        "querycoordautobalance": EtcdSetting(
            key="queryCoord/autoBalance",
            value="true",
            spellings=("queryCoord/autoBalance", "querycoord.autobalance"),
            revision=42,
        )
    }
    assert snapshot.owned_keys == {"uid-1": {"querycoord.autobalance": OwnedKey(previous=None, written="false")}}


@pytest.mark.parametrize(
    ("state", "frozen"),
    [
        pytest.param("MemoryQuotaExhausted", True, id="memory"),
        pytest.param("DiskQuotaExhausted", True, id="disk"),
        pytest.param("DenyToRead", False, id="reads only"),
    ],
)
def test_denied_writes_freeze(state: str, frozen: bool) -> None:
    world = World()
    series = {"metric": {"quota_states": state}, "value": [1.0, "1"]}
    world.prometheus["quota_states"]["data"]["result"] = [series]
    reasons = {freeze.reason for freeze in snapshot_of(world).freezes}
    assert (FreezeReason.WRITES_DENIED in reasons) == frozen


def test_a_collection_that_loads_freezes() -> None:
    world = World()
    loading: dict[str, Any] = {"collection_ids": ["1"], "collection_names": ["demo"], "inMemory_percentages": ["40"]}
    world.milvus["ShowCollections"] = loading
    freezes = snapshot_of(world).freezes
    assert [freeze.reason for freeze in freezes] == [FreezeReason.LOADING]
    assert "default.demo 40 %" in freezes[0].message


def test_a_collection_released_meanwhile_is_no_problem() -> None:
    world = World()
    world.milvus["GetReplicas"] = {"status": {"code": 400, "reason": "replica not found"}}
    snapshot = snapshot_of(world)
    assert (snapshot.problems, snapshot.placement_coverage, snapshot.segments) == ((), 1.0, ())


def test_a_role_that_may_not_list_databases_sees_the_default_one() -> None:
    world = World()
    world.milvus["ListDatabases"] = refuses(grpc.StatusCode.PERMISSION_DENIED, "no")
    snapshot = snapshot_of(world)
    assert (snapshot.problems, [found.database for found in snapshot.collections]) == ((), ["default"])


def test_query_nodes_inside_streaming_nodes_are_not_counted() -> None:
    world = World()
    embedded = '{"infos":{"type":"querynode","id":77,"hardware_infos":{"ip":"127.45.0.77:21123"}}},'
    response = world.milvus["GetMetrics"]["response"]  # type: ignore[index]
    world.milvus["GetMetrics"] = {"response": response.replace('"nodes_info":[', f'"nodes_info":[{embedded}', 1)}
    workload = snapshot_of(world).workload
    assert workload is not None
    assert workload.serving_count == 2


def test_a_stale_copy_of_system_info_hides_no_query_node() -> None:
    world = World()
    response = world.milvus["GetMetrics"]["response"]  # type: ignore[index]
    stale = response.replace("127.45.0.7:21123", "127.45.0.99:21123").replace('"id":3,', '"id":1003,')
    world.milvus["GetMetrics"] = {"response": stale}
    world.etcd["by-dev/meta/session/querynode-3"] = a_session(3, "127.45.0.7:21123")
    snapshot = snapshot_of(world)
    assert snapshot.workload is not None
    assert (snapshot.workload.serving_count, snapshot.problems) == (2, ())
    assert {node.node_id for node in snapshot.query_nodes} == {2, 3}


def test_without_etcd_query_nodes_are_known_by_system_info() -> None:
    world = World()
    _dead_etcd(world)
    snapshot = snapshot_of(world)
    assert {node.node_id for node in snapshot.query_nodes} == {2, 3}
    assert {node.read_concurrency_cap for node in snapshot.query_nodes} == {1}


def test_credentials_come_from_the_namespace_of_the_object_and_go_where_they_belong() -> None:
    world = World(secrets={"all": {"milvus": "root:one\n", "prometheus": "two"}})
    world.connections = {
        "milvus": {"credentialsSecretRef": {"name": "all", "key": "milvus"}},
        "prometheus": {"credentialsSecretRef": {"name": "all", "key": "prometheus"}},
    }
    snapshot_of(world)
    secrets = {asked.path for asked in world.asked["kubernetes"] if "secrets" in asked.path}
    assert secrets == {f"/api/v1/namespaces/{NAMESPACE}/secrets/all"}
    assert {asked.headers["Authorization"] for asked in world.asked["prometheus"]} == {"Bearer two"}
    assert {metadata["authorization"] for _, _, metadata in world.asked["milvus"]} == {"cm9vdDpvbmU="}
    assert all("Authorization" not in asked.headers for asked in world.asked["etcd"])


def test_clients_are_kept_until_what_they_were_made_from_changes() -> None:
    world = World(secrets={"all": {"etcd": "u:one"}})
    world.connections = {"etcd": {"credentialsSecretRef": {"name": "all", "key": "etcd"}}}
    with serving(world), observing(world) as observer:
        spec = world.parsed_spec()
        observer.observe(NAMESPACE, spec, NOW)
        first = observer.connections(NAMESPACE, spec)
        observer.observe(NAMESPACE, spec, NOW)
        second = observer.connections(NAMESPACE, spec)
        world.secrets["all"]["etcd"] = "u:two"
        observer.observe(NAMESPACE, spec, NOW)
        third = observer.connections(NAMESPACE, spec)
    assert isinstance(first.etcd, EtcdClient)
    assert first.etcd is second.etcd
    assert third.etcd is not first.etcd
    assert third.milvus is first.milvus
