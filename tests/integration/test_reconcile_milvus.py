"""A pass over a Milvus resource on a real API server: exactly one leaf is written, and milvus-operator keeps it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest
from kubernetes.client import ApiClient

from milvus_tuning.api import FIELD_MANAGER
from milvus_tuning.clients.resource_config import CONFIG_ANNOTATION
from tests.apply.objects import Object
from tests.integration.bench import Bench, Operator
from tests.integration.conftest import Api, a_namespace
from tests.integration.installed import Installed
from tests.observe.world import World, serving

_numbers = itertools.count(1)
pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("crd")]


@pytest.fixture
def bench(server: Api, api_client: ApiClient) -> Iterator[Bench]:
    """A Milvus resource with two QueryNodes that serve."""
    world = World(spec={"targetRef": {"kind": "Milvus", "name": "my-release"}})
    world.etcd = {key.replace("by-dev", "my-release"): value for key, value in world.etcd.items()}
    with serving(world):
        release = Installed(
            server=server,
            namespace=a_namespace(server, f"resource-{next(_numbers)}"),
            world=world,
            api_client=api_client,
        )
        release.install()
        yield Bench(api_client, release)


def test_the_leaf_is_written_by_forced_apply_and_kept(bench: Bench) -> None:
    release = bench.release
    assert isinstance(release, Installed)
    bench.declare(
        {
            "targetRef": {"kind": "Milvus", "name": "my-release"},
            "mode": "Auto",
            "queryNodes": {"minCount": 3, "maxCount": 5},
        }
    )

    operator = Operator(bench)
    operator.run_pass()
    release.let_the_operator_work()

    milvus = release.milvuses.read("my-release")
    entries = [entry for entry in milvus["metadata"]["managedFields"] if entry["manager"] == FIELD_MANAGER]
    leaf: Object = {"f:spec": {"f:components": {"f:queryNode": {"f:replicas": {}}}}}
    assert [(entry["operation"], entry["fieldsV1"]) for entry in entries] == [("Apply", leaf)]
    assert (milvus["spec"]["components"]["queryNode"]["replicas"], release.slots()) == (3, (3, 0))
    outside = [path for method, path in operator.client.writes if method == "PATCH" and "milvustuning" not in path]
    assert outside == [f"/apis/milvus.io/v1beta1/namespaces/{release.namespace}/milvuses/my-release"]


def test_a_key_goes_into_the_milvus_object_and_comes_out_again_without_etcd(bench: Bench) -> None:
    release = bench.release
    assert isinstance(release, Installed)
    release.world.milvus["GetVersion"] = {"status": {}, "version": "v2.5.27"}
    release.world.etcd.clear()  # there is no session, so that its root path is not proven
    before = release.milvuses.read("my-release")["spec"]
    bench.declare(
        {
            "targetRef": {"kind": "Milvus", "name": "my-release"},
            "mode": "Auto",
            "configDelivery": "MilvusResource",
            "loadBalancing": {"balanceIntervalSeconds": 60},
        }
    )

    operator = Operator(bench)
    operator.run_pass()
    assert release.plan()["status"]["phase"] == "Running"  # until milvus-operator has followed
    release.let_the_operator_work()
    operator.run_pass()

    assert release.plan()["status"]["outcome"] == "Completed"
    milvus = release.milvuses.read("my-release")
    coordinator = {**before["config"]["queryCoord"], "autoBalanceInterval": 60000}
    assert milvus["spec"] == {**before, "config": {**before["config"], "queryCoord": coordinator}}
    assert len(json.loads(milvus["metadata"]["annotations"][CONFIG_ANNOTATION])) == 1
    (entry,) = release.tuning()["status"]["config"]
    assert (entry["source"], entry["effective"]) == ("spec.config", "60000")
    outside = [path for method, path in operator.client.writes if method == "PATCH" and "milvustuning" not in path]
    assert outside == [f"/apis/milvus.io/v1beta1/namespaces/{release.namespace}/milvuses/my-release"]

    operator.hand_back()

    left = release.milvuses.read("my-release")
    assert left["spec"] == before
    assert CONFIG_ANNOTATION not in left["metadata"]["annotations"]
    (event,) = [one for one in operator.events if one.reason == "HandedBack"]
    assert "autoBalanceInterval" in event.message
