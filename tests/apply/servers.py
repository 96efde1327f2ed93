"""Real servers for tests of writes: an etcd and a Kubernetes API server, on loopback, one of each for the whole run."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kubernetes import client, config

from milvus_tuning.clients.etcd import EtcdClient
from tests.apply.etcd_server import RunningEtcd
from tests.cluster.api_only import control_plane_only
from tests.cluster.errors import PreflightError

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def etcd_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running etcd without users."""
    with RunningEtcd(tmp_path_factory.mktemp("etcd")) as address:
        yield address


@pytest.fixture
def etcd(etcd_address: str) -> Iterator[EtcdClient]:
    """A client of the etcd without users."""
    connected = EtcdClient([etcd_address], timeout_seconds=5)
    yield connected
    connected.close()


@pytest.fixture
def root_path() -> str:
    """A root path of the test's own."""
    return f"by-dev-{next(_numbers)}"


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[Path]:
    """An API server. Where it cannot run: a skip with the reason, on CI a failure."""
    try:
        with control_plane_only("writes") as path:
            yield path
    except PreflightError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no Kubernetes API server here: {error}")


@pytest.fixture(scope="session")
def api_client(kubeconfig: Path) -> client.ApiClient:
    """The administrator's client."""
    connect: Callable[..., client.ApiClient] = config.new_client_from_config
    return connect(config_file=str(kubeconfig))


@pytest.fixture
def namespace(api_client: client.ApiClient) -> str:
    """A namespace of the test's own."""
    name = f"writes-{next(_numbers)}"
    client.CoreV1Api(api_client).create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=name)))
    return name
