"""A real Kubernetes API server for each test module: no fake admits or refuses objects the way it does."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import pytest
import yaml
from kubernetes import client, config

from milvus_tuning import api
from tests.cluster import control_plane_only
from tests.cluster.builds import clients

ROOT = Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "charts" / "milvus-tuning-operator"
COLLECTION = f"/apis/{api.GROUP}/{api.VERSION}/namespaces/{{namespace}}/{api.PLURAL}"
PLANS = f"/apis/{api.GROUP}/{api.VERSION}/namespaces/{{namespace}}/{api.PLAN_PLURAL}"
TOOLS = ("go", "apt-get", "dpkg-deb", "openssl", "setpriv")

Object = dict[str, Any]
_numbers = itertools.count(1)
T = TypeVar("T")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the API server."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="module")
def kubeconfig(request: pytest.FixtureRequest) -> Iterator[Path]:
    """An API server of its own with its etcd. Where it cannot run: a skip with the reason, on CI a failure.

    A module that says CONTROLLER_MANAGER = True has one, which collects what belongs to deleted objects.
    """
    if missing := _missing():
        line = f"a Kubernetes API server needs {', '.join(missing)}"
        if os.environ.get("CI") == "true":
            pytest.fail(line)
        pytest.skip(line)
    with control_plane_only(controller_manager=getattr(request.module, "CONTROLLER_MANAGER", False)) as path:
        yield path


def _missing() -> list[str]:
    if sys.platform != "linux":
        return [f"Linux (this is {sys.platform})"]
    return [f"the program {tool}" for tool in TOOLS if shutil.which(tool) is None]


@pytest.fixture(scope="module")
def api_client(kubeconfig: Path) -> client.ApiClient:
    """The administrator's client."""
    connect: Callable[..., client.ApiClient] = config.new_client_from_config
    return connect(config_file=str(kubeconfig))


class Refused(Exception):
    """The API server's answer to a call that it did not carry out: the code, and its message as text."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Api:
    """Plain JSON calls on the API server, as its administrator or as somebody else."""

    def __init__(self, api_client: client.ApiClient, user: str | None = None, *, token: str | None = None) -> None:
        self._client = api_client
        self._identity = {"Impersonate-User": user} if user else {}
        self._identity |= {"Authorization": f"Bearer {token}"} if token else {}

    def call(self, method: str, path: str, body: Any = None, *, accept: str = "application/json", **query: str) -> Any:
        """One request and its decoded answer; PATCH is a merge patch, with a fieldManager a server-side apply."""
        patch = "application/apply-patch+yaml" if "fieldManager" in query else "application/merge-patch+json"
        headers = {"Accept": accept, "Content-Type": patch if method == "PATCH" else "application/json"}
        headers |= self._identity
        url = f"{self._client.configuration.host}{path}?{urlencode(query)}"
        response = self._client.call_api(method, url, header_params=headers, body=body)
        read: Callable[[], bytes] = response.read
        answer = json.loads(read())
        if response.status >= 400:
            raise Refused(response.status, answer["message"])
        return answer


@pytest.fixture(scope="module")
def server(api_client: client.ApiClient) -> Api:
    """The API server, spoken to in JSON."""
    return Api(api_client)


@pytest.fixture
def namespace(server: Api) -> str:
    """A namespace of the test's own."""
    return a_namespace(server, f"test-{next(_numbers)}")


def a_namespace(server: Api, name: str) -> str:
    """Create a namespace."""
    server.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    return name


@pytest.fixture(scope="module")
def helm(kubeconfig: Path) -> Callable[..., str]:
    """Run helm on this API server and nowhere else."""

    def run(*arguments: str) -> str:
        command = [str(clients() / "helm"), "--kubeconfig", str(kubeconfig), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def crd(server: Api) -> Object:
    """The generated CRD of MilvusTuning, applied and established; that of its plans is there too."""
    apply_crd(server, generated_crd(api.PLAN_PLURAL))
    return apply_crd(server, generated_crd(api.PLURAL))


def generated_crd(plural: str) -> Object:
    """A CRD as `make manifests` wrote it."""
    found: Object = yaml.safe_load((ROOT / "crds" / f"{api.GROUP}_{plural}.yaml").read_text())
    return found


def apply_crd(server: Api, manifest: Object) -> Object:
    """Apply a CRD by server-side apply and wait until the API server serves it."""
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{manifest['metadata']['name']}"
    server.call("PATCH", path, manifest, fieldManager="test", force="true")
    return wait_for_crd(server, manifest["spec"]["names"]["plural"])


def wait_for_crd(server: Api, plural: str = api.PLURAL) -> Object:
    """The CRD once it is established and its objects can be listed."""
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{api.GROUP}"

    def established() -> Object | None:
        crd: Object = server.call("GET", path)
        conditions = {entry["type"]: entry["status"] for entry in crd["status"]["conditions"] or []}
        return crd if conditions.get("Established") == "True" and _served(server, plural) else None

    return eventually(established)


def _served(server: Api, plural: str) -> bool:
    try:
        server.call("GET", f"/apis/{api.GROUP}/{api.VERSION}/namespaces/default/{plural}")
    except Refused:
        return False
    return True


def eventually(probe: Callable[[], T | None], seconds: float = 20.0) -> T:
    """The first answer of the probe that is not None."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = probe()
        if answer is not None:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:.0f} s: {probe.__name__}")


def a_tuning(spec: Object | None = None, *, name: str = "rag") -> Object:
    """A MilvusTuning; without a spec one that holds a target alone."""
    return {
        "apiVersion": f"{api.GROUP}/{api.VERSION}",
        "kind": api.KIND,
        "metadata": {"name": name},
        "spec": {"targetRef": {"kind": "HelmRelease", "name": "my-release"}} | (spec or {}),
    }


def a_plan(name: str = "rag-0123456789", *, approval: Object | None = None) -> Object:
    """A MilvusTuningPlan of one step, as the operator makes them."""
    words = {"replicas": "3", "resourceVersion": None}
    step = {"kind": "ScaleQueryNodes"} | dict.fromkeys(("precondition", "action", "verification", "undo"), words)
    change = {
        "policy": {"name": "rag", "uid": "0d7c", "generation": 1, "intentDigest": "a1"},
        "target": "Deployment milvus/my-release-milvus-querynode",
        "sequence": 1,
        "reason": "ComputationAboveTarget",
        "message": "2 -> 3 QueryNodes: computation 80 %",
        "inputsDigest": "b2",
        "steps": [step],
        "predicted": {"nodeCountBefore": 2, "nodeCountAfter": 3},
        "risk": {"level": "Medium", "reasons": ["a QueryNode more"]},
        "proposedAt": "2026-01-02T03:04:05Z",
        "expiresAt": "2026-01-02T04:04:05Z",
    }
    return {
        "apiVersion": f"{api.GROUP}/{api.VERSION}",
        "kind": api.PLAN_KIND,
        "metadata": {"name": name},
        "spec": {"change": change} | ({"approval": approval} if approval else {}),
    }
