"""The real servers of the fault tests: those of the integration tests, and one etcd for Milvus."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from milvus_tuning.clients.admission import IN_FORCE_MESSAGE, PROBE_NAME
from tests.apply.etcd_server import RunningEtcd
from tests.faults.harness import Servers, administrator_of
from tests.faults.processes import Launcher
from tests.faults.stage import Stage
from tests.integration.conftest import (
    PLANS,
    Api,
    Object,
    Refused,
    a_plan,
    api_client,
    crd,
    eventually,
    kubeconfig,
    server,
)

__all__ = ["api_client", "crd", "kubeconfig", "launcher", "server", "servers"]
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
GUARD = "guard"


@pytest.fixture(scope="module")
def servers(server: Api, kubeconfig: Path, crd: Object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A Kubernetes API server that knows MilvusTuning and lets its plans approve themselves, and an etcd."""
    assert crd
    let_auto_approve(server)
    folder = tmp_path_factory.mktemp("faults")
    with RunningEtcd(tmp_path_factory.mktemp("etcd")) as address:
        yield Servers(
            api=server,
            upstream=administrator_of(kubeconfig, folder),
            kubeconfig=kubeconfig,
            etcd_address=address,
            folder=folder,
        )


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    """Starts operators."""
    warm = Launcher()
    yield warm
    warm.close()


@pytest.fixture(scope="module")
def stage(launcher: Launcher, servers: Servers) -> Stage:
    """Real servers, and operators at hand; the launcher comes first, as it imports while the servers start."""
    return Stage(servers, launcher)


def let_auto_approve(server: Api) -> None:
    """The one rule of the chart's admission policy that mode Auto looks for; the policy has tests of its own."""
    rule = {"apiGroups": ["milvustuning.io"], "apiVersions": ["*"], "resources": ["milvustuningplans"]}
    policy = {
        "matchConstraints": {"resourceRules": [{**rule, "operations": ["CREATE"]}]},
        "validations": [{"expression": f"object.metadata.name != '{PROBE_NAME}'", "message": IN_FORCE_MESSAGE}],
    }
    binding = {"policyName": GUARD, "validationActions": ["Deny"]}
    for resource, spec in (("validatingadmissionpolicies", policy), ("validatingadmissionpolicybindings", binding)):
        server.call("POST", f"{ADMISSION}/{resource}", {"metadata": {"name": GUARD}, "spec": spec})

    def in_force() -> bool | None:
        try:
            server.call("POST", PLANS.format(namespace="default"), a_plan(PROBE_NAME), dryRun="All")
        except Refused as refused:
            return IN_FORCE_MESSAGE in str(refused) or None
        return None

    eventually(in_force)
