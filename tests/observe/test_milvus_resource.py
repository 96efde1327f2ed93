"""A target of kind Milvus: the two QueryNode slots, and everything by which milvus-operator's users say hands off."""

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest

from milvus_tuning.catalogue import zone_terms
from milvus_tuning.clients.kube import KubeReader
from milvus_tuning.clients.scheduling import SCHEDULING_MANAGER
from milvus_tuning.observe.kube import observe_target
from milvus_tuning.snapshot import FreezeReason, OwnedKey, ProblemKind, Scheduling, WorkloadKind
from tests.observe.world import DEPLOYMENTS, PATIENT_SECONDS, PODS, REPLICA_SETS, World, serving, snapshot_of

MILVUS = "/apis/milvus.io/v1beta1/namespaces/milvus/milvuses/my-release"
UPGRADES = "/apis/milvus.io/v1beta1/namespaces/milvus/milvusupgrades"
Resource = dict[str, Any]
Change = Callable[[World, Resource], None]


def a_milvus_world(change: Change = lambda world, resource: None) -> World:
    """The recorded release, dressed as what milvus-operator makes of a custom resource."""
    world = World(spec={"targetRef": {"kind": "Milvus", "name": "my-release"}})
    for path in (DEPLOYMENTS, REPLICA_SETS, PODS):
        for item in world.kubernetes[path]["items"]:
            labels = item["metadata"]["labels"]
            labels["app.kubernetes.io/component"] = labels.pop("component")
    live = world.deployment()
    live["metadata"]["labels"]["milvus.io/querynode-group-id"] = "0"
    idle = deepcopy(live)
    idle["metadata"] |= {"name": "my-release-milvus-querynode-1", "uid": "idle-slot"}
    idle["metadata"]["labels"]["milvus.io/querynode-group-id"] = "1"
    idle["spec"]["replicas"] = 0
    idle["status"] = {"observedGeneration": idle["metadata"]["generation"]}
    world.kubernetes[DEPLOYMENTS]["items"].append(idle)
    resource: Resource = {
        "apiVersion": "milvus.io/v1beta1",
        "kind": "Milvus",
        "metadata": {
            "name": "my-release",
            "resourceVersion": "77",
            "annotations": {"milvus.io/querynode-current-group-id": "0"},
            "managedFields": [
                {"manager": "manager", "fieldsV1": {"f:spec": {"f:components": {"f:queryNode": {"f:replicas": {}}}}}}
            ],
        },
        "spec": {
            "mode": "cluster",
            "components": {"queryNode": {"replicas": 2}},
            "dependencies": {"etcd": {"endpoints": ["my-release-etcd:2379"]}},
        },
        "status": {"conditions": [{"type": "MilvusUpdated", "status": "True"}]},
    }
    world.kubernetes[MILVUS] = resource
    world.kubernetes[UPGRADES] = {"items": []}
    world.etcd = {key.replace("by-dev", "my-release"): value for key, value in world.etcd.items()}
    change(world, resource)
    return world


def test_the_resource_is_what_is_scaled_and_its_name_is_the_root_path() -> None:
    snapshot = snapshot_of(a_milvus_world())
    workload = snapshot.workload
    assert (snapshot.problems, snapshot.freezes) == ((), ())
    assert workload is not None
    assert (workload.kind, workload.name, workload.resource_version) == (WorkloadKind.MILVUS, "my-release", "77")
    assert (workload.desired_count, workload.ready_count, workload.serving_count) == (2, 2, 2)
    assert (workload.replicas_owner, workload.autoscalers) == ("manager", ())
    assert snapshot.etcd_root_path == "my-release"


def _both_slots(world: World, _: Resource) -> None:
    world.item(DEPLOYMENTS, "my-release-milvus-querynode-1")["spec"]["replicas"] = 1


def _no_slot_named(world: World, resource: Resource) -> None:
    world.deployment()["spec"]["replicas"] = 0
    resource["metadata"]["annotations"] = {}


def _rolling_label(_: World, resource: Resource) -> None:
    resource["metadata"]["labels"] = {"milvus.io/querynode-rolling-id": "4"}


def _updating(_: World, resource: Resource) -> None:
    resource["status"]["conditions"][0] |= {"status": "False", "reason": "MilvusUpgradingImage"}


def _pause_reconcile(_: World, resource: Resource) -> None:
    resource["metadata"]["annotations"]["milvus.io/pause-reconcile"] = "true"


def _manual_mode(_: World, resource: Resource) -> None:
    resource["spec"]["components"]["enableManualMode"] = True


def _upgrade(state: str) -> Change:
    def change(world: World, _: Resource) -> None:
        upgrade = {
            "metadata": {"name": "up"},
            "spec": {"milvus": {"name": "my-release"}},
            "status": {"state": state},
        }
        world.kubernetes[UPGRADES] = {"items": [upgrade]}

    return change


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        pytest.param(_both_slots, [FreezeReason.ROLLOUT], id="both slots run"),
        pytest.param(_no_slot_named, [FreezeReason.ROLLOUT], id="no slot is named"),
        pytest.param(_rolling_label, [FreezeReason.ROLLOUT], id="rolling label"),
        pytest.param(_updating, [FreezeReason.ROLLOUT], id="MilvusUpdated is False"),
        pytest.param(_pause_reconcile, [FreezeReason.PAUSED_BY_OWNER], id="pause-reconcile"),
        pytest.param(_manual_mode, [FreezeReason.PAUSED_BY_OWNER], id="manual mode"),
        pytest.param(_upgrade("UpdatingMeta"), [FreezeReason.ROLLOUT], id="an upgrade under way"),
        pytest.param(_upgrade("Succeeded"), [], id="an upgrade that is over"),
    ],
)
def test_hands_off_means_a_freeze(change: Change, reasons: list[FreezeReason]) -> None:
    assert [freeze.reason for freeze in snapshot_of(a_milvus_world(change)).freezes] == reasons


def _replicas(count: int) -> Change:
    def change(_: World, resource: Resource) -> None:
        resource["spec"]["components"]["queryNode"]["replicas"] = count

    return change


def _own_autoscaler(_: World, resource: Resource) -> None:
    resource["spec"]["components"]["queryNode"]["hpa"] = {"maxReplicas": 5}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(_replicas(-1), "replicas is -1", id="-1"),
        pytest.param(_own_autoscaler, "queryNode.hpa", id="its own autoscaler"),
    ],
)
def test_a_number_handed_to_somebody_else_counts_as_an_autoscaler(change: Change, words: str) -> None:
    workload = snapshot_of(a_milvus_world(change)).workload
    assert workload is not None
    assert words in workload.autoscalers[0]


def _gone(world: World, _: Resource) -> None:
    del world.kubernetes[MILVUS]


def _being_deleted(_: World, resource: Resource) -> None:
    resource["metadata"]["deletionTimestamp"] = "2026-01-31T12:00:00Z"


def _standalone(_: World, resource: Resource) -> None:
    resource["spec"]["mode"] = "standalone"


def _mode_unset(_: World, resource: Resource) -> None:
    del resource["spec"]["mode"]


def _groups(_: World, resource: Resource) -> None:
    resource["spec"]["components"]["queryNode"]["groups"] = [{"name": "rg1", "replicas": 1}]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        pytest.param(_gone, ProblemKind.TARGET_NOT_FOUND, id="no such resource"),
        pytest.param(_being_deleted, ProblemKind.TARGET_NOT_FOUND, id="being deleted"),
        pytest.param(_standalone, ProblemKind.TARGET_UNSUPPORTED, id="standalone"),
        pytest.param(_mode_unset, ProblemKind.TARGET_UNSUPPORTED, id="no mode, which is standalone"),
        pytest.param(_groups, ProblemKind.TARGET_UNSUPPORTED, id="groups"),
    ],
)
def test_a_resource_that_cannot_be_scaled_is_a_problem(change: Change, kind: ProblemKind) -> None:
    snapshot = snapshot_of(a_milvus_world(change))
    assert (snapshot.workload, [problem.kind for problem in snapshot.problems]) == (None, [kind])


def test_the_root_path_of_its_config_wins() -> None:
    def change(_: World, resource: Resource) -> None:
        resource["spec"]["config"] = {"etcd": {"rootPath": "mine"}}

    with serving(a_milvus_world(change)) as world:
        reader = KubeReader(world.api_client(), timeout_seconds=PATIENT_SECONDS)
        found = observe_target(reader, "milvus", world.parsed_spec().target_ref).found
    assert (found.root_path, found.etcd_endpoints) == ("mine", ("my-release-etcd.milvus.svc:2379",))


CONFIG_MAP_OF_IT = "/api/v1/namespaces/milvus/configmaps/my-release"
RECORD = {
    "policy-1": {
        "querycoord.autobalanceinterval": {
            "path": ["config", "queryCoord", "autoBalanceInterval"],
            "kept": 1,
            "previous": 3000,
            "written": "60000",
            "writtenAt": "2026-01-01T12:00:00+00:00",
        }
    }
}


def _configured(*, config_map_only: bool | None = True, record: str = json.dumps(RECORD)) -> Change:
    def change(world: World, resource: Resource) -> None:
        config = {
            "queryCoord": {"autoBalanceInterval": 60000, "autoBalance": True},
            "querycoord.auto_balance": False,
            "minio": {"secretAccessKey": "hidden"},
            "list": ["a", "b"],
        }
        resource["spec"]["config"] = config
        resource["spec"]["components"]["updateConfigMapOnly"] = config_map_only
        resource["metadata"]["annotations"]["milvustuning.io/config"] = record
        world.kubernetes[CONFIG_MAP_OF_IT] = {
            "metadata": {"name": "my-release"},
            "data": {"user.yaml": "queryCoord: {autoBalanceInterval: 3000}\netcd: {rootPath: my-release}\n"},
        }

    return change


def test_leaves_record_and_config_map_are_read() -> None:
    config = snapshot_of(a_milvus_world(_configured())).resource_config
    assert config is not None
    found = {key: (one.value, one.spellings) for key, one in config.settings.items()}
    assert found == {
        "querycoordautobalanceinterval": ("60000", ("queryCoord.autoBalanceInterval",)),
        "querycoordautobalance": ("true", ("queryCoord.autoBalance", "querycoord.auto_balance")),
        "list": ("a,b", ("list",)),
    }
    written_at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    owned = OwnedKey(previous="3000", written="60000", written_at=written_at)
    assert config.owned_keys == {"policy-1": {"querycoord.autobalanceinterval": owned}}
    assert config.rendered == {"querycoordautobalanceinterval": "3000", "etcdrootpath": "my-release"}
    assert config.trouble is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(_configured(config_map_only=False), "updateConfigMapOnly of the Milvus object is false", id="off"),
        pytest.param(
            _configured(config_map_only=None), "updateConfigMapOnly of the Milvus object is not set", id="not"
        ),
        pytest.param(
            _configured(record="scribble"), "is no record of ours", id="a scribble in the place of the record"
        ),
    ],
)
def test_why_nothing_may_be_written_there_is_said(change: Change, words: str) -> None:
    config = snapshot_of(a_milvus_world(change)).resource_config
    assert config is not None
    assert words in (config.trouble or "")


def test_without_its_config_map_the_rest_is_read() -> None:
    snapshot = snapshot_of(a_milvus_world())
    assert snapshot.problems == ()
    assert snapshot.resource_config is not None
    assert snapshot.resource_config.rendered is None


PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
AFFINITY = {"podAffinity": {PREFERRED: zone_terms("WithProxies", "my-release")}}
OURS = {
    "manager": SCHEDULING_MANAGER,
    "fieldsV1": {
        "f:spec": {"f:components": {"f:queryNode": {"f:affinity": {"f:podAffinity": {f"f:{PREFERRED}": {}}}}}}
    },
}


def _prefers(_: World, resource: Resource) -> None:
    resource["spec"]["components"]["queryNode"]["affinity"] = AFFINITY


def _prefers_by_us(world: World, resource: Resource) -> None:
    _prefers(world, resource)
    resource["metadata"]["managedFields"].append(OURS)


def _other_terms(_: World, resource: Resource) -> None:
    resource["spec"]["components"]["queryNode"]["affinity"] = {"podAffinity": {PREFERRED: [{"weight": 1}]}}


@pytest.mark.parametrize(
    ("change", "scheduling"),
    [
        pytest.param(lambda world, resource: None, Scheduling(), id="none"),
        pytest.param(_prefers, Scheduling(preference="WithProxies"), id="of the user"),
        pytest.param(_prefers_by_us, Scheduling(preference="WithProxies", ours=True), id="ours"),
        pytest.param(
            _other_terms,
            Scheduling(others=("spec.components.queryNode.affinity is not overwritten",)),
            id="other terms",
        ),
    ],
)
def test_which_zone_the_resource_has_query_nodes_prefer(change: Change, scheduling: Scheduling) -> None:
    assert snapshot_of(a_milvus_world(change)).scheduling == scheduling


def _placed(world: World, resource: Resource) -> None:
    _rolling_label(world, resource)
    resource["metadata"]["annotations"]["milvus.io/querynode-current-group-id"] = "1"
    for index, slot in enumerate(("0", "1")):
        world.pod(index)["metadata"]["labels"] |= {
            "milvus.io/querynode-group-id": slot,
            "topology.kubernetes.io/zone": f"zone-{slot}",
        }
    world.pod(1)["spec"]["affinity"] = AFFINITY


def test_where_its_pods_were_placed_and_which_slot_they_leave() -> None:
    components = snapshot_of(a_milvus_world(_placed)).components

    nodes = [pod for pod in components if pod.component == "QueryNode"]
    assert [(pod.zone, pod.zone_preference, pod.outgoing) for pod in nodes] == [
        ("zone-0", None, True),
        ("zone-1", "WithProxies", False),
    ]
    assert {(pod.zone, pod.outgoing) for pod in components if pod.component == "Proxy"} == {(None, False)}
