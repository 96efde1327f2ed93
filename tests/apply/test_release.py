"""Letting go of the replica count: the value stays, our ownership goes. The roads not taken are shown to be wrong."""

from __future__ import annotations

import pytest
from kubernetes import client
from kubernetes.client import ApiClient

from milvus_tuning.api import FIELD_MANAGER
from milvus_tuning.apply import ApplyContext, perform, release_replicas
from milvus_tuning.snapshot import WorkloadKind
from tests.apply.builders import a_context, a_scale
from tests.apply.objects import APPS, MILVUS, Object, Objects, a_deployment, a_milvus, owners
from tests.standin.__main__ import install_crd
from tests.standin.kube import Kube

pytest_plugins = ("tests.apply.servers",)
pytestmark = pytest.mark.integration
REPLICAS = ("spec", "components", "queryNode", "replicas")


@pytest.fixture
def milvuses(api_client: ApiClient, namespace: str) -> Objects:
    """A Milvus object with three QueryNodes, scaled by us from two."""
    install_crd(Kube(api_client))
    objects = Objects(api_client, namespace, MILVUS)
    objects.create(a_milvus(query_node={"replicas": 2, "podLabels": {"team": "search"}}), manager="manager")
    return objects


@pytest.fixture
def context(api_client: ApiClient, namespace: str, milvuses: Objects) -> ApplyContext:
    """The context in which it was scaled."""
    context = a_context(api_client=api_client, namespace=namespace, kind=WorkloadKind.MILVUS, name="my-release")
    perform(a_scale(2, 3), undo=False, context=context)
    return context


def count(body: Object) -> int | None:
    found: int | None = body["spec"]["components"].get("queryNode", {}).get("replicas")
    return found


def test_the_count_stays_and_nobody_owns_it(milvuses: Objects, context: ApplyContext) -> None:
    assert "stays" in release_replicas(context)
    body = milvuses.read("my-release")
    assert count(body) == 3
    assert owners(body, *REPLICAS) == set()
    assert FIELD_MANAGER not in {entry["manager"] for entry in body["metadata"]["managedFields"]}


def test_the_next_writer_meets_no_conflict(milvuses: Objects, context: ApplyContext) -> None:
    release_replicas(context)
    after = milvuses.apply(a_milvus(query_node={"replicas": 4}), manager="argocd", force=False)
    assert count(after) == 4


def test_letting_go_twice_is_letting_go_once(context: ApplyContext) -> None:
    release_replicas(context)
    assert "not ours" in release_replicas(context)


def test_an_object_that_is_gone_needs_no_release(milvuses: Objects, context: ApplyContext) -> None:
    milvuses.delete("my-release")
    assert "gone" in release_replicas(context)


def test_a_change_meanwhile_is_read_again(milvuses: Objects, context: ApplyContext) -> None:
    calls = iter(range(10))

    def somebody_labels() -> None:
        if next(calls) == 0:
            milvuses.merge("my-release", {"metadata": {"labels": {"a": "b"}}}, manager="kubectl-edit")

    busy = a_context(
        api_client=context.api_client,
        namespace=context.namespace,
        kind=WorkloadKind.MILVUS,
        name="my-release",
        require_lease=somebody_labels,
    )
    release_replicas(busy)
    body = milvuses.read("my-release")
    assert (count(body), body["metadata"]["labels"]) == (3, {"a": "b"})
    assert ("kubectl-edit", "Update") in owners(body, "metadata", "labels", "a")


def test_wrong_road_applying_without_the_field_removes_it(milvuses: Objects, context: ApplyContext) -> None:
    bare = {"apiVersion": "milvus.io/v1beta1", "kind": "Milvus", "metadata": {"name": "my-release"}}
    assert count(milvuses.apply(bare, manager=FIELD_MANAGER)) is None


def test_wrong_road_writing_the_same_value_gives_nobody_the_field(milvuses: Objects, context: ApplyContext) -> None:
    same = {"spec": {"components": {"queryNode": {"replicas": 3}}}}
    body = milvuses.merge("my-release", same, manager="hand-back")
    assert owners(body, *REPLICAS) == {(FIELD_MANAGER, "Apply")}


def test_a_deployment_is_released_by_a_role_that_may_patch_it(api_client: ApiClient, namespace: str) -> None:
    deployments = Objects(api_client, namespace, APPS)
    deployments.create(a_deployment(), manager="helm")
    context = a_context(api_client=api_client, namespace=namespace)
    perform(a_scale(2, 3), undo=False, context=context)
    release_replicas(context)
    body = deployments.read("querynode")
    assert body["spec"]["replicas"] == 3
    assert owners(body, "spec", "replicas") == set()


def test_a_narrow_role_scales_a_deployment_and_leaves_its_name_on_it(api_client: ApiClient, namespace: str) -> None:
    deployments = Objects(api_client, namespace, APPS)
    deployments.create(a_deployment(), manager="helm")
    context = a_context(api_client=_as_narrow_role(api_client, namespace), namespace=namespace)
    perform(a_scale(2, 3), undo=False, context=context)
    assert "goes on naming" in release_replicas(context)
    assert deployments.read("querynode")["spec"]["replicas"] == 3


def _as_narrow_role(api_client: ApiClient, namespace: str) -> ApiClient:
    """A client that impersonates a user who may get deployments and patch their scale, nothing else."""
    rules = [
        client.V1PolicyRule(api_groups=["apps"], resources=["deployments", "deployments/scale"], verbs=["get"]),
        client.V1PolicyRule(api_groups=["apps"], resources=["deployments/scale"], verbs=["patch"]),
    ]
    metadata = client.V1ObjectMeta(name="narrow")
    rbac = client.RbacAuthorizationV1Api(api_client)
    rbac.create_namespaced_role(namespace, client.V1Role(metadata=metadata, rules=rules))
    reference = client.V1RoleRef(api_group="rbac.authorization.k8s.io", kind="Role", name="narrow")
    subject = client.RbacV1Subject(kind="User", name="narrow", api_group="rbac.authorization.k8s.io")
    binding = client.V1RoleBinding(metadata=metadata, role_ref=reference, subjects=[subject])
    rbac.create_namespaced_role_binding(namespace, binding)
    narrow = ApiClient(api_client.configuration)
    narrow.default_headers["Impersonate-User"] = "narrow"
    return narrow
