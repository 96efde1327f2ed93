"""A pass over a Milvus resource on a real API server: exactly one leaf is written, and milvus-operator keeps it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kubernetes.client import ApiClient

from milvus_tuning.api import FIELD_MANAGER
from tests.apply.objects import Object
from tests.integration.bench import Bench, Operator
from tests.integration.conftest import Api, a_namespace
from tests.integration.installed import Installed
from tests.observe.world import World, serving

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("crd")]


@pytest.fixture
def bench(server: Api, api_client: ApiClient) -> Iterator[Bench]:
    """A Milvus resource with two QueryNodes that serve."""
    world = World(spec={"targetRef": {"kind": "Milvus", "name": "my-release"}})
    world.etcd = {key.replace("by-dev", "my-release"): value for key, value in world.etcd.items()}
    with serving(world):
        release = Installed(server, a_namespace(server, "resource"), world, api_client)
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
