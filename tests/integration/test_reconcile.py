"""Whole passes on a real API server: what is written, in which order, and what a restart or an edit makes of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import ApiClient

from milvus_tuning import api
from milvus_tuning.catalogue import config_key, stored_spelling
from milvus_tuning.clients.etcd import EtcdClient, Put
from milvus_tuning.clients.handback import HandBack, record_key
from milvus_tuning.errors import ApplyError
from tests.apply.etcd_server import RunningEtcd
from tests.integration.bench import Bench, Operator
from tests.integration.conftest import (
    ROOT,
    Api,
    Object,
    Refused,
    a_namespace,
    a_tuning,
    apply_crd,
    eventually,
)
from tests.integration.release import Release, changes_since
from tests.observe.world import World, serving

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("crd")]
GROW = {"mode": "Auto", "queryNodes": {"minCount": 3, "maxCount": 5}}
_numbers = itertools.count(1)


@pytest.fixture
def bench(server: Api, api_client: ApiClient) -> Iterator[Bench]:
    """Two QueryNodes that serve, and nobody who tunes them yet."""
    with serving(World()) as world:
        release = Release(server=server, namespace=a_namespace(server, f"milvus{next(_numbers)}"), world=world)
        release.install()
        yield Bench(api_client, release)


def step_states(tuning: Object) -> list[str]:
    """The states of the steps under way, or of the last finished operation."""
    status = tuning.get("status", {})
    operation: Object = status.get("operation") or next(iter(reversed(status.get("history", []))), {})
    return [step["state"] for step in operation.get("steps", [])]


def test_the_intent_is_stored_before_the_count_and_the_outcome_after_it(bench: Bench) -> None:
    since = bench.declare(GROW)
    operator = Operator(bench)

    operator.run_pass()
    bench.release.a_third_node_arrives()
    operator.run_pass()

    tunings = changes_since(bench.api_client, bench.tunings, since)
    deployments = changes_since(bench.api_client, bench.release.deployment_path.rpartition("/")[0], since)
    at = {tuple(step_states(one)): int(one["metadata"]["resourceVersion"]) for one in reversed(tunings)}
    scaled = min(int(one["metadata"]["resourceVersion"]) for one in deployments if one["spec"]["replicas"] == 3)
    assert at["Intended",] < scaled < at["Applied",] < at["Done",]
    assert bench.release.tuning()["status"]["history"][-1]["outcome"] == "Completed"
    assert [event.reason for event in operator.events] == ["BelowMinimum", "Completed"]


def test_a_restart_between_the_write_and_its_record_writes_no_second_time(bench: Bench) -> None:
    bench.declare(GROW)
    rights = itertools.count(1)

    def until_the_count_is_written() -> None:
        if next(rights) > 2:  # the intent, the count, and no more
            raise ApplyError("the Lease is lost", retryable=True)

    first = Operator(bench, until_the_count_is_written)
    with pytest.raises(ApplyError, match="Lease"):
        first.run_pass()
    assert (bench.release.count, step_states(bench.release.tuning())) == (3, ["Intended"])

    bench.release.a_third_node_arrives()
    second = Operator(bench)
    second.run_pass()
    second.run_pass()

    assert len(first.client.scalings) + len(second.client.scalings) == 1
    assert step_states(bench.release.tuning()) == ["Done"]
    assert bench.release.tuning()["status"]["history"][-1]["outcome"] == "Completed"


def test_a_spec_that_is_edited_meanwhile_leads_to_no_stale_write(bench: Bench) -> None:
    bench.declare(GROW)

    def edit() -> None:
        patch = {"spec": {"paused": True}}
        bench.release.server.call("PATCH", f"{bench.tunings}/rag", patch)

    operator = Operator(bench, edit)
    with pytest.raises(ApplyError, match="changed meanwhile"):
        operator.run_pass()

    assert (operator.client.scalings, bench.release.count) == ([], 2)
    Operator(bench).run_pass()
    assert bench.release.count == 2
    assert bench.release.condition("Paused") == ("True", "Paused")


def test_an_object_with_a_target_alone_changes_nothing_but_its_status(bench: Bench) -> None:
    bench.declare({"mode": "Auto"})
    operator = Operator(bench)

    operator.run_pass()

    assert operator.client.writes == [("PUT", f"{bench.tunings}/rag/status")]
    assert bench.release.tuning()["status"]["decision"]["reason"] == "NotManaged"
    assert operator.events == []


def without_rules(schema: Any) -> Any:
    """A schema as an older CRD had it: types, but neither CEL rules nor patterns."""
    if isinstance(schema, dict):
        rules = {"x-kubernetes-validations", "pattern"}
        return {name: without_rules(part) for name, part in schema.items() if name not in rules}
    return [without_rules(part) for part in schema] if isinstance(schema, list) else schema


@pytest.fixture
def an_older_crd(server: Api) -> Iterator[None]:
    """A CRD that admits what the operator cannot read."""
    manifest = yaml.safe_load((ROOT / "crds" / f"{api.GROUP}_{api.PLURAL}.yaml").read_text())
    apply_crd(server, without_rules(deepcopy(manifest)))
    yield
    apply_crd(server, manifest)


@pytest.mark.usefixtures("an_older_crd")
def test_an_invalid_object_does_not_disturb_another_one(bench: Bench) -> None:
    bench.declare(GROW)
    spec = {"targetRef": {"kind": "HelmRelease", "name": "other"}, "queryNodes": {"minCount": 5, "maxCount": 3}}

    def admitted() -> bool | None:
        try:
            bench.release.server.call("POST", bench.tunings, a_tuning(spec, name="broken"))
        except Refused:
            return None
        return True

    eventually(admitted)
    operator = Operator(bench)

    for name in ("broken", "rag"):
        operator.run_pass(name)

    assert bench.release.condition("Ready", "broken") == ("False", "InvalidSpec")
    assert bench.release.tuning("broken")["status"]["phase"] == "Invalid"
    assert bench.release.condition("Ready") == ("True", "Observed")
    assert (bench.release.count, len(operator.client.scalings)) == (3, 1)


def test_an_operation_in_unknown_words_stops_the_object_and_stays(bench: Bench) -> None:
    bench.declare(GROW)
    Operator(bench).run_pass()
    tuning = bench.release.tuning()
    tuning["status"]["operation"]["steps"][0]["kind"] = "ReshardCollection"
    bench.release.server.call("PUT", f"{bench.tunings}/rag/status", tuning)
    operator = Operator(bench)

    for _ in range(2):
        operator.run_pass()

    assert bench.release.condition("Ready") == ("False", "UnknownOperation")
    assert bench.release.tuning()["status"]["operation"] == tuning["status"]["operation"]
    assert operator.client.writes == [("PUT", f"{bench.tunings}/rag/status")]
    assert [event.reason for event in operator.events] == ["UnknownOperation"]


@pytest.mark.usefixtures("an_older_crd")
@pytest.mark.parametrize(
    ("target", "reason", "told"),
    [
        pytest.param({"kind": "HelmRelease", "name": "my-release"}, "HandedBack", "ownership is given up", id="etcd"),
        pytest.param({"kind": "HelmRelease", "name": "UPPER"}, "HandBackIncomplete", "docs/operations.md", id="none"),
    ],
)
def test_a_broken_spec_still_hands_back_what_it_leads_to(bench: Bench, target: Object, reason: str, told: str) -> None:
    bench.declare(GROW)
    Operator(bench).run_pass()

    delete_broken(bench, target)
    operator = Operator(bench)
    bench.clock.skip(seconds=700)
    operator.hand_back()

    assert [event.reason for event in operator.events] == [reason]
    assert told in operator.events[0].message


def delete_broken(bench: Bench, target: Object) -> None:
    """Make the spec unreadable, then ask for the deletion of the object."""
    path = f"{bench.tunings}/rag"
    bench.release.server.call("PATCH", path, {"metadata": {"finalizers": [api.FINALIZER]}})
    broken = bench.release.tuning() | {"status": {}}
    broken["spec"] |= {"targetRef": target, "queryNodes": {"minCount": 5, "maxCount": 3}}

    def admitted() -> bool | None:
        try:
            bench.release.server.call("PUT", path, broken)
        except Refused:
            return None
        return True

    eventually(admitted)
    bench.release.server.call("DELETE", path)


@pytest.fixture
def etcd(bench: Bench, tmp_path: Path) -> Iterator[EtcdClient]:
    """A real etcd with the sessions of the QueryNodes, in the place of the recorded one."""
    with RunningEtcd(tmp_path) as address:
        bench.release.world.addresses["etcd"] = f"http://{address}"
        client = EtcdClient([address], timeout_seconds=5)
        sessions = bench.release.world.etcd.items()
        client.transaction(compare=[], then=[Put(key=key, value=value) for key, value in sessions])
        yield client
        client.close()


@pytest.mark.usefixtures("an_older_crd")
def test_keys_in_etcd_are_handed_back_though_the_spec_is_broken(bench: Bench, etcd: EtcdClient) -> None:
    bench.declare(GROW)
    Operator(bench).run_pass()
    name = "queryCoord.overloadedMemoryThresholdPercentage"
    key, record = config_key("by-dev", name), record_key("by-dev", bench.reference("rag").uid, name)
    ours = HandBack(key=stored_spelling(name), previous="88", written="85").text()
    etcd.transaction(compare=[], then=[Put(key=key, value="85"), Put(key=record, value=ours)])

    delete_broken(bench, {"kind": "HelmRelease", "name": "my-release"})
    operator = Operator(bench)
    operator.hand_back()

    found = etcd.get(key)
    assert (found and found.value, etcd.get(record)) == ("88", None)
    assert [event.reason for event in operator.events] == ["HandedBack"]
