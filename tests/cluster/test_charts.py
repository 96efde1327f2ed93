"""The charts of the test bed, rendered by the helm that the cluster uses."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.builds import clients
from tests.cluster.images.catalogue import ETCD, KAFKA, MILVUS, PROMETHEUS
from tests.cluster.images.progress import run

pytestmark = pytest.mark.integration

CHARTS = Path(__file__).parent / "charts"
DEMO_KIND = Path(__file__).parents[2] / "manifests" / "demo-kind"


@cache
def rendered(chart: str, release: str, namespace: str, *sets: str) -> str:
    """What `helm template` prints, with `sets` as key=value."""
    flags = [word for value in sets for word in ("--set", value)]
    return run([clients() / "helm", "template", release, CHARTS / chart, "--namespace", namespace, *flags])


def milvus(*sets: str, release: str = "my-release") -> dict[tuple[str, str], Mapping[str, Any]]:
    """The objects of the Milvus chart by kind and name."""
    documents = yaml.safe_load_all(rendered("milvus", release, "milvus", *sets))
    return {(document["kind"], document["metadata"]["name"]): document for document in documents if document}


def test_deployments_services_and_configmap_have_the_names_of_the_official_chart() -> None:
    roles = ("mixcoord", "proxy", "datanode", "indexnode", "querynode")
    expected = {("Deployment", f"my-release-milvus-{role}") for role in roles}
    expected |= {("Service", f"my-release-milvus-{role}") for role in roles if role != "proxy"}
    expected |= {("Service", "my-release-milvus"), ("ConfigMap", "my-release-milvus")}
    expected |= {(kind, f"my-release-{name}") for kind in ("Service", "StatefulSet") for name in ("etcd", "kafka")}
    assert set(milvus()) == expected


@pytest.mark.parametrize(("release", "name"), [("my-release", "my-release-milvus"), ("milvus-a", "milvus-a")])
def test_the_full_name_repeats_no_milvus(release: str, name: str) -> None:
    assert ("Service", name) in milvus(release=release)


def test_querynode_has_the_labels_of_the_official_chart_and_only_the_stable_ones_select() -> None:
    querynode = milvus()[("Deployment", "my-release-milvus-querynode")]
    stable = {
        "app.kubernetes.io/name": "milvus",
        "app.kubernetes.io/instance": "my-release",
        "component": "querynode",
    }
    more = {
        "helm.sh/chart": "milvus-4.1.13",
        "app.kubernetes.io/managed-by": "Helm",
        "app.kubernetes.io/version": "2.3.5",
    }
    assert querynode["metadata"]["labels"] == stable | more
    assert querynode["spec"]["selector"]["matchLabels"] == stable
    assert querynode["spec"]["template"]["metadata"]["labels"] == stable


@pytest.mark.parametrize(("replicas", "rendered_count"), [("2", 2), ("0", 0), ("-1", None)])
def test_replicas_of_minus_one_render_no_count(replicas: str, rendered_count: int | None) -> None:
    querynode = milvus(f"queryNode.replicas={replicas}")[("Deployment", "my-release-milvus-querynode")]
    assert querynode["spec"].get("replicas") == rendered_count


def test_config_is_mounted_file_by_file_so_that_no_change_reaches_a_running_pod() -> None:
    pod = milvus()[("Deployment", "my-release-milvus-querynode")]["spec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount.get("subPath") for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts["/milvus/configs/default.yaml"] == "default.yaml"
    assert mounts["/milvus/configs/user.yaml"] == "user.yaml"


def test_a_change_of_the_config_rolls_every_role() -> None:
    def checksums(objects: Mapping[tuple[str, str], Mapping[str, Any]]) -> set[str]:
        pods = [item["spec"]["template"] for (kind, _), item in objects.items() if kind == "Deployment"]
        return {pod["metadata"]["annotations"]["checksum/config"] for pod in pods}

    before, after = checksums(milvus()), checksums(milvus(r"extraConfigFiles.user\.yaml=a: 1"))
    assert len(before) == len(after) == 1
    assert before != after


def test_the_services_reach_the_proxy_and_name_the_metrics_of_each_role() -> None:
    objects = milvus()
    service = objects[("Service", "my-release-milvus")]["spec"]
    assert {port["name"]: port["port"] for port in service["ports"]} == {"milvus": 19530, "metrics": 9091}
    assert service["selector"]["component"] == "proxy"
    headless = objects[("Service", "my-release-milvus-querynode")]["spec"]
    assert headless["clusterIP"] == "None"
    assert [port["name"] for port in headless["ports"]] == ["metrics"]


def test_charts_name_the_images_of_the_archive() -> None:
    milvus_images = {MILVUS, ETCD, KAFKA}
    text = rendered("milvus", "my-release", "milvus")
    assert all(f'image: "{image}"' in text for image in milvus_images)
    assert f'image: "{PROMETHEUS}"' in rendered("prometheus", "prometheus", "monitoring")


def test_the_kind_demo_has_the_same_prometheus() -> None:
    sets = ("image=docker.io/prom/prometheus:v3.11.3", "imagePullPolicy=IfNotPresent")
    expected = list(yaml.safe_load_all(rendered("prometheus", "prometheus", "monitoring", *sets)))
    namespace, *actual = yaml.safe_load_all((DEMO_KIND / "prometheus.yaml").read_text())
    assert (namespace["kind"], namespace["metadata"]["name"]) == ("Namespace", "monitoring")
    assert actual == expected
