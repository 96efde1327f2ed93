"""Upgrading and uninstalling as docs/operations.md tells it, the operator being gone before its objects included."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from manifests.generate import CHART_CRD
from milvus_tuning import api, crd
from tests.integration.conftest import CHART, COLLECTION, Api, Object, Refused, a_namespace, a_tuning, eventually
from tests.integration.conftest import wait_for_crd as established

NAMESPACE = "milvus"
RELEASE = "milvus-tuning-operator"
TUNING = f"{COLLECTION.format(namespace=NAMESPACE)}/rag"


def spec_fields(crd: Object) -> set[str]:
    return set(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"])


@pytest.fixture
def older_chart(tmp_path: Path) -> Path:
    """The chart of a time when the API had no approval block."""
    copy = Path(shutil.copytree(CHART, tmp_path / "chart"))
    older = crd.manifest()
    del older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["approval"]
    older["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
    (copy / "templates" / CHART_CRD.name).write_text(yaml.safe_dump(older))
    return copy


def test_an_upgrade_brings_the_new_crd_and_an_uninstall_keeps_crd_and_objects(
    server: Api, helm: Callable[..., str], older_chart: Path
) -> None:
    a_namespace(server, NAMESPACE)
    helm("install", RELEASE, str(older_chart), "--namespace", NAMESPACE)
    assert "approval" not in spec_fields(established(server))
    tuning = a_tuning() | {"metadata": {"name": "rag", "finalizers": [api.FINALIZER]}}
    server.call("POST", COLLECTION.format(namespace=NAMESPACE), tuning)

    helm("upgrade", RELEASE, str(CHART), "--namespace", NAMESPACE)
    assert "approval" in spec_fields(established(server))
    eventually(lambda: _patched(server, {"spec": {"approval": {}}}).get("spec", {}).get("approval"))

    helm("uninstall", RELEASE, "--namespace", NAMESPACE)
    established(server)
    assert server.call("GET", TUNING)["metadata"]["finalizers"] == [api.FINALIZER]

    # The operator is gone: the object stays until the finalizer is taken away by hand.
    server.call("DELETE", TUNING)
    assert server.call("GET", TUNING)["metadata"]["deletionTimestamp"]
    _patched(server, {"metadata": {"finalizers": None}})
    with pytest.raises(Refused) as gone:
        server.call("GET", TUNING)
    assert gone.value.code == 404

    # The kept CRD is adopted by the next install of the same name.
    helm("install", RELEASE, str(CHART), "--namespace", NAMESPACE)
    established(server)


def _patched(server: Api, patch: Object) -> Object:
    answer: Object = server.call("PATCH", TUNING, patch)
    return answer
