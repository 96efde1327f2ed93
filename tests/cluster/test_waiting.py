"""Which workloads count as ready."""

from typing import Any

import pytest

from tests.cluster.waiting import unready


def a_workload(*, wanted: int = 2, ready: int = 2, updated: int = 2, total: int = 2, seen: int = 1) -> dict[str, Any]:
    """A Deployment of generation 1."""
    status = {"readyReplicas": ready, "updatedReplicas": updated, "replicas": total, "observedGeneration": seen}
    return {"metadata": {"name": "querynode", "generation": 1}, "spec": {"replicas": wanted}, "status": status}


@pytest.mark.parametrize(
    ("workload", "expected"),
    [
        pytest.param(a_workload(), [], id="complete"),
        pytest.param(a_workload(ready=1), ["querynode 1/2"], id="one pod not ready"),
        pytest.param(a_workload(updated=1), ["querynode 1/2"], id="one pod of the old template"),
        pytest.param(a_workload(total=3), ["querynode 2/2"], id="one pod still leaving"),
        pytest.param(a_workload(seen=0), ["querynode 2/2"], id="the controller has not seen the change"),
        pytest.param(a_workload(wanted=0, ready=0, updated=0, total=0), [], id="none wanted"),
        pytest.param(
            {"metadata": {"name": "etcd", "generation": 1}, "spec": {}}, ["etcd 0/1"], id="no status and no count yet"
        ),
    ],
)
def test_unready(workload: dict[str, Any], expected: list[str]) -> None:
    assert unready([workload]) == expected
