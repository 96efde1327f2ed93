"""On a real API server: what `control_plane_only` promises."""

import json
from pathlib import Path

import pytest

from tests.cluster import control_plane_only
from tests.cluster.api_only import EPHEMERAL_PORTS, FIRST_PORT, free_ports
from tests.cluster.audit import requests
from tests.cluster.builds import KUBERNETES_VERSION, clients
from tests.cluster.images.progress import run
from tests.cluster.processes import wait_for

pytestmark = pytest.mark.integration


def kubectl(kubeconfig: Path, *arguments: str) -> str:
    return run([clients() / "kubectl", f"--kubeconfig={kubeconfig}", *arguments])


def audited(kubeconfig: Path, name: str) -> list[tuple[str, str]]:
    """Verb and user of each recorded write to the object of this name."""
    log = kubeconfig.parents[1] / "logs" / "audit.log"
    return [(request.verb, request.user) for request in requests(log) if request.name == name]


def test_it_is_a_kubernetes_that_records_its_writes_and_leaves_nothing() -> None:
    with control_plane_only() as kubeconfig:
        version = json.loads(kubectl(kubeconfig, "version", "-o", "json"))["serverVersion"]
        assert (version["gitVersion"], version["major"], version["minor"]) == (f"v{KUBERNETES_VERSION}", "1", "34")
        kubectl(kubeconfig, "create", "configmap", "written", "--from-literal=key=value")
        kubectl(kubeconfig, "get", "configmap", "written")
        wait_for("the audit log", lambda: bool(audited(kubeconfig, "written")), seconds=10)
        assert audited(kubeconfig, "written") == [("create", "test-bed-admin")]
    assert not kubeconfig.parents[1].exists()


def test_with_the_controller_manager_namespaces_get_their_accounts() -> None:
    with control_plane_only(controller_manager=True) as kubeconfig:
        get = ["get", "serviceaccount", "default", "--ignore-not-found", "-o", "name"]
        wait_for("the account", lambda: kubectl(kubeconfig, *get) == "serviceaccount/default\n", seconds=30)


def test_free_ports_are_none_that_the_kernel_gives_to_outgoing_connections() -> None:
    lowest = int(EPHEMERAL_PORTS.read_text().split()[0])
    ports = free_ports(200)
    assert len(set(ports)) == 200
    assert all(FIRST_PORT <= port < lowest for port in ports)
