"""What the chart's roles let the operator do, asked of a real API server: all it needs, where it needs it, no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from kubernetes import client

from tests.integration.conftest import CHART, Api, Refused, a_namespace, eventually

HOME, WATCHED, ELSEWHERE = "operator", "milvus", "elsewhere"
RELEASE = "tuning"
NAME = f"{RELEASE}-milvus-tuning-operator"
LEASE = NAME
USER = f"system:serviceaccount:{HOME}:{NAME}"

Access = tuple[str, str, str]
"""Namespace, verb, and group/resource[/subresource][:name]."""


@pytest.fixture(scope="module", autouse=True)
def release(server: Api, helm: Callable[..., str]) -> None:
    """The chart, installed in one namespace to watch another."""
    for namespace in (HOME, WATCHED, ELSEWHERE):
        a_namespace(server, namespace)
    helm("install", RELEASE, str(CHART), "--namespace", HOME, "--set", f"watchNamespaces={{{WATCHED}}}")
    eventually(lambda: True if allowed(server, (WATCHED, "get", "/secrets:any")) else None)


def allowed(server: Api, access: Access) -> bool:
    """Whether the operator's ServiceAccount may do it."""
    namespace, verb, what = access
    path, _, name = what.partition(":")
    group, resource, *subresource = path.split("/")
    attributes = {"namespace": namespace, "verb": verb, "group": group, "resource": resource, "name": name}
    attributes |= {"subresource": subresource[0]} if subresource else {}
    groups = ["system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{HOME}"]
    spec = {"user": USER, "groups": groups, "resourceAttributes": attributes}
    review = server.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec})
    return bool(review["status"]["allowed"])


def each_verb(namespace: str, verbs: str, what: str) -> list[Access]:
    return [(namespace, verb, what) for verb in verbs.split()]


NEEDED = [
    *each_verb(WATCHED, "get list watch patch update", "milvustuning.io/milvustunings"),
    *each_verb(WATCHED, "get patch update", "milvustuning.io/milvustunings/status"),
    *each_verb(WATCHED, "update patch", "milvustuning.io/milvustunings/finalizers"),
    *each_verb(WATCHED, "get list watch create patch update delete", "milvustuning.io/milvustuningplans"),
    *each_verb(WATCHED, "get patch update", "milvustuning.io/milvustuningplans/status"),
    *each_verb(WATCHED, "get list watch", "apps/deployments"),
    *each_verb(WATCHED, "get patch", "apps/deployments/scale"),
    *each_verb(WATCHED, "get list", "apps/replicasets"),
    *each_verb(WATCHED, "get list watch patch", "milvus.io/milvuses"),
    *each_verb(WATCHED, "list", "milvus.io/milvusupgrades"),
    *each_verb(WATCHED, "get list patch", "/pods"),
    *each_verb(WATCHED, "create", "/pods/eviction"),
    *each_verb(WATCHED, "get", "/configmaps"),
    *each_verb(WATCHED, "get list", "/services"),
    *each_verb(WATCHED, "get", "/secrets:milvus-credentials"),
    *each_verb(WATCHED, "list", "autoscaling/horizontalpodautoscalers"),
    *each_verb(WATCHED, "list", "keda.sh/scaledobjects"),
    *each_verb(WATCHED, "create patch", "/events"),
    *each_verb(WATCHED, "create patch", "events.k8s.io/events"),
    *each_verb(HOME, "create", "coordination.k8s.io/leases"),
    *each_verb(HOME, "get update patch", f"coordination.k8s.io/leases:{LEASE}"),
]

DENIED = [
    *each_verb(WATCHED, "create update patch delete deletecollection", "apps/deployments"),
    *each_verb(WATCHED, "update", "apps/deployments/scale"),
    *each_verb(WATCHED, "patch update", "apps/replicasets"),
    *each_verb(WATCHED, "patch", "apps/statefulsets/scale"),
    *each_verb(WATCHED, "create update delete", "/pods"),
    *each_verb(WATCHED, "create", "/pods/exec"),
    *each_verb(WATCHED, "list watch create update patch delete", "/secrets"),
    *each_verb(WATCHED, "list create update patch delete", "/configmaps"),
    *each_verb(WATCHED, "create update patch delete", "/services"),
    *each_verb(WATCHED, "create update delete", "milvus.io/milvuses"),
    *each_verb(WATCHED, "update patch", "milvus.io/milvuses/status"),
    *each_verb(WATCHED, "create delete", "milvustuning.io/milvustunings"),
    *each_verb(WATCHED, "approve deletecollection", "milvustuning.io/milvustuningplans"),
    *each_verb(WATCHED, "approve", "milvustuning.io/milvustunings"),
    *each_verb(WATCHED, "create update patch delete", "autoscaling/horizontalpodautoscalers"),
    *each_verb(WATCHED, "get list create update", "coordination.k8s.io/leases"),
    *each_verb(HOME, "get update patch delete", "coordination.k8s.io/leases:kube-scheduler"),
    *each_verb(HOME, "get", "/secrets:sh.helm.release.v1.tuning.v1"),
    *each_verb(HOME, "patch", "apps/deployments/scale"),
    *each_verb(HOME, "list", "/pods"),
    *each_verb(HOME, "create", "/pods/eviction"),
    *each_verb(ELSEWHERE, "get", "/secrets:milvus-credentials"),
    *each_verb(ELSEWHERE, "patch", "apps/deployments/scale"),
    *each_verb(ELSEWHERE, "get list patch", "/pods"),
    *each_verb(ELSEWHERE, "create", "/pods/eviction"),
    *each_verb(ELSEWHERE, "get list patch", "milvustuning.io/milvustunings"),
    *each_verb(ELSEWHERE, "get list create patch", "milvustuning.io/milvustuningplans"),
    *each_verb(ELSEWHERE, "patch", "milvus.io/milvuses"),
    *each_verb("", "list", "/namespaces"),
    *each_verb("", "get list watch", "apiextensions.k8s.io/customresourcedefinitions"),
    *each_verb(WATCHED, "bind escalate create update patch", "rbac.authorization.k8s.io/roles"),
    *each_verb(WATCHED, "create", "/serviceaccounts/token"),
    *each_verb("", "get patch delete", "admissionregistration.k8s.io/validatingadmissionpolicies"),
    *each_verb("", "get patch delete", "admissionregistration.k8s.io/validatingadmissionpolicybindings"),
    *each_verb("", "impersonate", "/users"),
]


def words(access: Access) -> str:
    return " ".join(access)


@pytest.mark.parametrize("access", NEEDED, ids=words)
def test_may(server: Api, access: Access) -> None:
    assert allowed(server, access)


@pytest.mark.parametrize("access", DENIED, ids=words)
def test_may_not(server: Api, access: Access) -> None:
    assert not allowed(server, access)


@pytest.fixture(scope="module")
def deployment(server: Api) -> str:
    """The path of a Deployment of two pods in the watched namespace."""
    labels = {"app": "querynode"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "querynode", "image": "milvus"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    path = f"/apis/apps/v1/namespaces/{WATCHED}/deployments"
    server.call("POST", path, {"metadata": {"name": "querynode"}, "spec": spec})
    return f"{path}/querynode"


def test_a_deployment_is_scaled_by_its_scale_subresource_alone(
    server: Api, api_client: client.ApiClient, deployment: str
) -> None:
    operator = Api(api_client, USER)
    scale = {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": "querynode"},
        "spec": {"replicas": 3},
    }
    operator.call("PATCH", f"{deployment}/scale", scale, fieldManager="milvustuning.io", force="true")
    assert server.call("GET", deployment)["spec"]["replicas"] == 3
    with pytest.raises(Refused, match="cannot patch resource") as refused:
        operator.call("PATCH", deployment, {"spec": {"replicas": 4}})
    assert refused.value.code == 403


@contextmanager
def values(helm: Callable[..., str], *settings: str) -> Iterator[None]:
    """The release with other values, for as long as the test lasts."""
    switches = [part for setting in settings for part in ("--set", setting)]
    helm("upgrade", RELEASE, str(CHART), "--namespace", HOME, "--reset-values", *switches)
    try:
        yield
    finally:
        helm("upgrade", RELEASE, str(CHART), "--namespace", HOME, "--set", f"watchNamespaces={{{WATCHED}}}")


def test_secret_names_narrow_the_secrets_to_those(server: Api, helm: Callable[..., str]) -> None:
    with values(helm, f"watchNamespaces={{{WATCHED}}}", "rbac.secretNames={milvus-credentials}"):
        eventually(lambda: None if allowed(server, (WATCHED, "get", "/secrets:another")) else True)
        assert allowed(server, (WATCHED, "get", "/secrets:milvus-credentials"))


def test_by_default_only_the_namespace_of_the_release_is_watched(server: Api, helm: Callable[..., str]) -> None:
    with values(helm):
        eventually(lambda: True if allowed(server, (HOME, "patch", "apps/deployments/scale")) else None)
        eventually(lambda: None if allowed(server, (WATCHED, "patch", "apps/deployments/scale")) else True)


def test_cluster_wide_means_the_same_rights_in_every_namespace_and_no_more(
    server: Api, helm: Callable[..., str]
) -> None:
    with values(helm, "clusterWide=true"):
        eventually(lambda: True if allowed(server, (ELSEWHERE, "patch", "apps/deployments/scale")) else None)
        assert not allowed(server, (ELSEWHERE, "patch", "apps/deployments"))
        assert not allowed(server, ("", "list", "/secrets"))
        assert not allowed(server, (ELSEWHERE, "create", "coordination.k8s.io/leases"))
