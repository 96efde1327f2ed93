"""Whole passes with a profile: it is told of and nothing else, and a plan keeps what was declared when it was made."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from kubernetes.client import ApiClient

from tests.integration.bench import Bench, Operator, a_bench
from tests.integration.conftest import Api

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("crd")]
GROW = {"mode": "Propose", "queryNodes": {"minCount": 3, "maxCount": 5}}
PROFILE = {"profile": {"name": "Finance", "revision": 1}}


@pytest.fixture
def bench(server: Api, api_client: ApiClient, namespace: str) -> Iterator[Bench]:
    """Two QueryNodes that serve, and nobody who tunes them yet."""
    with a_bench(server, api_client, namespace) as found:
        yield found


def test_a_profile_alone_changes_nothing_but_the_status(bench: Bench) -> None:
    bench.declare({"mode": "Auto"} | PROFILE)
    operator = Operator(bench)

    operator.run_pass()

    assert operator.client.writes == [("PUT", f"{bench.tunings}/rag/status")]
    assert bench.release.plans() == []
    told = bench.release.tuning()["status"]["profile"]
    assert (told["name"], told["revision"], told["newestRevision"]) == ("Finance", 1, 1)
    assert {row["field"]: row["value"] for row in told["proposed"]} == {
        "consistency.collections": "Strong",
        "inMemoryReplicas.minCount": "2",
        "storage.cache.mmap": "Disabled",
    }


def test_a_plan_keeps_what_was_declared_when_it_was_made(bench: Bench) -> None:
    bench.declare(GROW | PROFILE | {"loadBalancing": {"balanceIntervalSeconds": 60}})

    Operator(bench).run_pass()

    record = bench.release.plan()["spec"]["change"]["declared"]
    assert json.loads(record) == {"loadBalancing": {"balanceIntervalSeconds": 60}}
