"""The world of the end-to-end tests: one embedded cluster for the whole run, the operator installed by its chart."""

import dataclasses
import os
from collections.abc import Iterator

import pytest

from tests.cluster import Cluster
from tests.demo.environment import enter_network_namespace
from tests.demo.operator_install import install_operator
from tests.e2e.world import NAMESPACE, RELEASE, World, measure_capacity, prepare_dataset

NAME = os.environ.get("E2E_CLUSTER", "e2e")


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """The cluster, brought up where it is not, and taken down afterwards where this run brought it up."""
    cluster = Cluster(NAME)
    was_up = cluster.healthy()
    try:
        cluster.up()
        install_operator(cluster)
        os.environ.update(cluster.environment())
        enter_network_namespace(cluster.paths.netns)
        uri = f"http://{cluster.resolve(f'{RELEASE}-milvus', NAMESPACE)}:19530"
        prepare_dataset(uri)
        unmeasured = World(
            environment=dict(os.environ),
            uri=uri,
            etcd=f"http://{cluster.resolve(f'{RELEASE}-etcd', NAMESPACE)}:2379",
            audit_log=cluster.log_dir / "audit.log",
            capacity_qps=float("nan"),
        )
        unmeasured.untune()
        unmeasured.scale(2)
        yield dataclasses.replace(unmeasured, capacity_qps=measure_capacity(uri))
    finally:
        if not was_up and "E2E_KEEP" not in os.environ:
            cluster.down()


@pytest.fixture
def calm(world: World) -> Iterator[World]:
    """The world with no MilvusTuning and two QueryNodes with even rows, before the test and after it."""
    world.untune()
    world.scale(2)
    yield world
    world.untune()
