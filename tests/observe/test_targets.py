"""What Kubernetes says about a Helm release, case by case, over the recorded objects."""

from collections.abc import Callable
from typing import Any

import pytest

from milvus_tuning.clients.kube import KubeReader
from milvus_tuning.errors import ObserveError
from milvus_tuning.observe.kube import observe_target
from milvus_tuning.snapshot import FreezeReason, ProblemKind
from tests.observe.world import (
    AUTOSCALERS,
    DEPLOYMENTS,
    PATIENT_SECONDS,
    PODS,
    REPLICA_SETS,
    SCALED_OBJECTS,
    World,
    observe,
    serving,
    snapshot_of,
)

Change = Callable[[World], None]


def _another_release(world: World) -> None:
    world.spec["targetRef"]["name"] = "other"


def _two_deployments(world: World) -> None:
    twin = world.deployment() | {"metadata": world.deployment()["metadata"] | {"name": "twin-querynode"}}
    world.kubernetes[DEPLOYMENTS]["items"].append(twin)


def _resource_groups(world: World) -> None:
    world.deployment()["metadata"]["labels"]["milvus.io/resource-group"] = "rg1"


def _standalone(world: World) -> None:
    world.deployment()["metadata"]["labels"]["component"] = "standalone"


def _not_by_helm(world: World) -> None:
    world.deployment()["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "kustomize"


def _may_not_read_pods(world: World) -> None:
    world.forbidden.add(PODS)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        pytest.param(_another_release, ProblemKind.TARGET_NOT_FOUND, "instance=other", id="no such release"),
        pytest.param(_two_deployments, ProblemKind.TARGET_AMBIGUOUS, "twin-querynode", id="two QueryNode Deployments"),
        pytest.param(_resource_groups, ProblemKind.TARGET_UNSUPPORTED, "resource group", id="resource groups"),
        pytest.param(_standalone, ProblemKind.TARGET_UNSUPPORTED, "standalone", id="standalone"),
        pytest.param(_not_by_helm, ProblemKind.TARGET_NOT_FOUND, "managed-by=Helm", id="not installed by Helm"),
        pytest.param(_may_not_read_pods, ProblemKind.PERMISSION_DENIED, "pods", id="no right to read pods"),
    ],
)
def test_a_target_that_cannot_be_used_is_a_problem_with_what_was_looked_for(
    change: Change, kind: ProblemKind, words: str
) -> None:
    world = World()
    change(world)
    snapshot = snapshot_of(world)
    assert snapshot.workload is None
    assert [problem.kind for problem in snapshot.problems] == [kind]
    assert words in snapshot.problems[0].message


def _new_template(world: World) -> None:
    world.deployment()["status"]["updatedReplicas"] = 1


def _unseen_change(world: World) -> None:
    world.deployment()["metadata"]["generation"] += 1


def _two_replica_sets(world: World) -> None:
    sets = world.kubernetes[REPLICA_SETS]["items"]
    running = next(found for found in sets if "querynode" in found["metadata"]["name"])
    sets.append(running | {"metadata": running["metadata"] | {"name": "older", "uid": "older"}})


def _paused(world: World) -> None:
    world.deployment()["spec"]["paused"] = True


def _coordinator_down(world: World) -> None:
    del world.item(DEPLOYMENTS, "my-release-milvus-mixcoord")["status"]["readyReplicas"]


def _leaving(world: World) -> None:
    world.pod()["metadata"]["deletionTimestamp"] = "2026-01-31T12:00:00Z"


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        pytest.param(lambda _: None, [], id="nothing going on"),
        pytest.param(_new_template, [FreezeReason.ROLLOUT], id="pods of an older template"),
        pytest.param(_unseen_change, [FreezeReason.ROLLOUT], id="a change the controller has not seen"),
        pytest.param(_two_replica_sets, [FreezeReason.ROLLOUT], id="two ReplicaSets"),
        pytest.param(_paused, [FreezeReason.PAUSED_BY_OWNER], id="paused"),
        pytest.param(_coordinator_down, [FreezeReason.COORDINATOR_NOT_READY], id="no coordinator"),
        pytest.param(_leaving, [FreezeReason.DRAINING], id="a QueryNode leaves"),
    ],
)
def test_what_goes_on_in_the_cluster_freezes(change: Change, reasons: list[FreezeReason]) -> None:
    world = World()
    change(world)
    assert [freeze.reason for freeze in snapshot_of(world).freezes] == reasons


def _aimed_at(kind: str, name: str) -> dict[str, Any]:
    aim = {"apiVersion": "apps/v1", "kind": kind, "name": name}
    return {"metadata": {"name": "scaler"}, "spec": {"scaleTargetRef": aim, "maxReplicas": 5}}


@pytest.mark.parametrize(
    ("path", "found", "names"),
    [
        pytest.param(
            AUTOSCALERS,
            _aimed_at("Deployment", "my-release-milvus-querynode"),
            ("HorizontalPodAutoscaler/scaler",),
            id="a HorizontalPodAutoscaler on the Deployment",
        ),
        pytest.param(AUTOSCALERS, _aimed_at("Deployment", "web"), (), id="a HorizontalPodAutoscaler on another"),
        pytest.param(
            SCALED_OBJECTS,
            {"metadata": {"name": "scaler"}, "spec": {"scaleTargetRef": {"name": "my-release-milvus-querynode"}}},
            ("ScaledObject/scaler",),
            id="KEDA, with its default kind",
        ),
    ],
)
def test_autoscalers_on_the_same_object_are_named(path: str, found: dict[str, Any], names: tuple[str, ...]) -> None:
    world = World()
    world.kubernetes[path] = {"items": [found], "metadata": {}}
    workload = snapshot_of(world).workload
    assert workload is not None
    assert workload.autoscalers == names


def _entry(manager: str, *, subresource: str | None = None, replicas: bool = True) -> dict[str, Any]:
    fields: dict[str, Any] = {"f:spec": {"f:replicas": {}} if replicas else {}}
    return {"manager": manager, "operation": "Update", "subresource": subresource, "fieldsV1": fields}


@pytest.mark.parametrize(
    ("entries", "owner"),
    [
        pytest.param([_entry("helm")], "helm", id="Helm"),
        pytest.param([_entry("Go-http-client")], "helm", id="Helm's library under its old name"),
        pytest.param([_entry("terraform-provider-helm_v2.9.0_x5")], "helm", id="Terraform's Helm provider"),
        pytest.param(
            [_entry("helm", replicas=False), _entry("kubectl", subresource="scale")], "kubectl", id="kubectl scale"
        ),
        pytest.param([_entry("milvustuning.io", subresource="scale")], "milvustuning.io", id="we alone"),
        pytest.param([_entry("milvustuning.io"), _entry("helm")], "helm", id="Helm beside us counts"),
        pytest.param(
            [_entry("milvustuning.io"), _entry("argocd-controller")], "argocd-controller", id="Argo CD beside us"
        ),
        pytest.param([_entry("helm", replicas=False)], None, id="nobody: replicas is -1 in the values"),
    ],
)
def test_the_owner_of_the_replica_count(entries: list[dict[str, Any]], owner: str | None) -> None:
    world = World()
    world.deployment()["metadata"]["managedFields"] = entries
    workload = snapshot_of(world).workload
    assert workload is not None
    assert workload.replicas_owner == owner


def _waiting(reason: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason}}


@pytest.mark.parametrize(
    ("conditions", "state", "last", "reason"),
    [
        pytest.param(
            [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
            {},
            {},
            "Unschedulable",
            id="no room",
        ),
        pytest.param([], _waiting("ImagePullBackOff"), {}, "ImagePullBackOff", id="no image"),
        pytest.param([], _waiting("ContainerCreating"), {}, None, id="on its way"),
        pytest.param([], _waiting("CrashLoopBackOff"), {}, "CrashLoopBackOff", id="crashes"),
        pytest.param(
            [],
            _waiting("CrashLoopBackOff"),
            {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
            "OOMKilled",
            id="out of memory",
        ),
        pytest.param([], {"running": {}}, {}, None, id="runs but is not ready"),
    ],
)
def test_why_a_pod_is_not_ready(
    conditions: list[dict[str, Any]], state: dict[str, Any], last: dict[str, Any], reason: str | None
) -> None:
    world = World()
    status = world.pod()["status"]
    status["conditions"] = [*conditions, {"type": "Ready", "status": "False"}]
    status["containerStatuses"][0] |= {"ready": False, "state": state, "lastState": last}
    node = snapshot_of(world).query_nodes[0]
    assert (node.ready, node.pending_reason) == (False, reason)


def test_pods_of_other_owners_and_pods_that_ended_are_not_counted() -> None:
    world = World()
    world.pod(0)["metadata"]["ownerReferences"][0]["uid"] = "somebody-else"
    world.pod(1)["status"]["phase"] = "Failed"
    assert snapshot_of(world).query_nodes == ()


def test_addresses_are_found_from_the_release_where_the_spec_names_none() -> None:
    with serving(World()) as world:
        reader = KubeReader(world.api_client(), timeout_seconds=PATIENT_SECONDS)
        found = observe_target(reader, "milvus", world.parsed_spec().target_ref).found
    assert found.milvus_address == "my-release-milvus.milvus.svc:19530"
    assert found.etcd_endpoints == ("my-release-etcd.milvus.svc:2379",)
    assert (found.root_path, found.meta_path, found.milvus_tls) == ("by-dev", "meta", False)


def test_an_api_server_that_does_not_answer_is_an_error_and_no_snapshot() -> None:
    with serving(World()) as world:
        world.addresses["kubernetes"] = "http://127.0.0.1:1"
        with pytest.raises(ObserveError, match="cannot read deployments"):
            observe(world)
