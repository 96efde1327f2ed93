"""The manifests that people apply by hand, as a real API server takes them; install.yaml is in test_chart.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.integration.conftest import COLLECTION, ROOT, Api, Object, a_namespace

EXAMPLES = sorted((ROOT / "manifests" / "examples").glob("*.yaml"))
DEMO_KIND = ROOT / "manifests" / "demo-kind"
PROMETHEUS_CHART = ROOT / "tests" / "cluster" / "charts" / "prometheus"
PROMETHEUS_VALUES = "image=docker.io/prom/prometheus:v3.11.3,imagePullPolicy=IfNotPresent"
DEPLOYMENTS = "/apis/apps/v1/namespaces/{namespace}/deployments"
COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "Deployment": DEPLOYMENTS,
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}


def documents(path: Path) -> list[Object]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


@pytest.mark.usefixtures("crd")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_api_server_admits_the_example(server: Api, namespace: str, path: Path) -> None:
    for document in documents(path):
        document["metadata"]["namespace"] = namespace
        collection = COLLECTION.format(namespace=namespace)
        server.call("POST", collection, document, dryRun="All", fieldValidation="Strict")


def test_the_api_server_accepts_the_prometheus_of_the_kind_demo(server: Api) -> None:
    of_kind_demo = documents(DEMO_KIND / "prometheus.yaml")
    a_namespace(server, "monitoring")
    for document in of_kind_demo:
        if document["kind"] != "Namespace":  # made above: a dry run makes none for what comes after it
            path = COLLECTIONS[document["kind"]].format(namespace=document["metadata"].get("namespace"))
            server.call("POST", path, document, dryRun="All", fieldValidation="Strict")


def test_the_prometheus_of_the_kind_demo_is_that_of_the_test_bed(helm: Callable[..., str]) -> None:
    place = ("prometheus", str(PROMETHEUS_CHART), "--namespace", "monitoring")
    rendered = yaml.safe_load_all(helm("template", *place, "--set", PROMETHEUS_VALUES))
    written = [document for document in documents(DEMO_KIND / "prometheus.yaml") if document["kind"] != "Namespace"]
    assert _by_name([document for document in rendered if document]) == _by_name(written)


def _by_name(found: list[Object]) -> dict[tuple[str, str], Object]:
    return {(document["kind"], document["metadata"]["name"]): document for document in found}


def test_the_patch_of_the_kind_demo_raises_the_grace_period_and_nothing_else(server: Api, namespace: str) -> None:
    collection = DEPLOYMENTS.format(namespace=namespace)
    before = server.call("POST", collection, _a_deployment())
    patch = yaml.safe_load((DEMO_KIND / "querynode-patch.yaml").read_text())
    after = server.call("PATCH", f"{collection}/querynode", patch, dryRun="All", fieldValidation="Strict")
    expected = before["spec"]["template"]["spec"] | {"terminationGracePeriodSeconds": 120}
    assert after["spec"] == before["spec"] | {"template": before["spec"]["template"] | {"spec": expected}}


def _a_deployment() -> Object:
    labels = {"app": "querynode"}
    pod = {"containers": [{"name": "querynode", "image": "milvus"}]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "querynode"}, "spec": spec}


def test_the_values_of_the_kind_demo_are_read_by_helm(tmp_path: Path, helm: Callable[..., str]) -> None:
    """The chart itself is on the internet; that Helm reads the file, and what the story needs of it, is checked."""
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("{apiVersion: v2, name: milvus, version: 0.0.0}")
    (chart / "templates/values.yaml").write_text("{{ toYaml .Values }}")
    values = yaml.safe_load(helm("template", str(chart), "--values", str(DEMO_KIND / "milvus-values.yaml")))
    assert (values["queryNode"]["replicas"], values["cluster"]["enabled"]) == (2, True)
