"""Objects that the operator cannot read, beside others that go on; and what a deletion hands back, also of those."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import ApiClient

from milvus_tuning import api
from milvus_tuning.catalogue import config_key, stored_spelling
from milvus_tuning.clients.collection_levels import LevelRecord, level_record_key
from milvus_tuning.clients.etcd import EtcdClient, Put
from milvus_tuning.clients.handback import HandBack, record_key
from tests.clients.acting_milvus import ActingMilvus
from tests.integration.bench import GROW, Bench, Operator, a_bench, an_etcd
from tests.integration.conftest import (
    ROOT,
    Api,
    Object,
    Refused,
    a_tuning,
    apply_crd,
    eventually,
)

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("crd")]


@pytest.fixture
def bench(server: Api, api_client: ApiClient, namespace: str) -> Iterator[Bench]:
    """Two QueryNodes that serve, and nobody who tunes them yet."""
    with a_bench(server, api_client, namespace) as found:
        yield found


@pytest.fixture
def etcd(bench: Bench, tmp_path: Path) -> Iterator[EtcdClient]:
    """A real etcd with the sessions of the QueryNodes, in the place of the recorded one."""
    with an_etcd(bench, tmp_path) as client:
        yield client


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


def test_a_level_that_is_all_we_hold_is_handed_back_with_the_object(bench: Bench, etcd: EtcdClient) -> None:
    milvus = ActingMilvus(bench.release.world.milvus, level="Strong")
    bench.release.world.milvus.update(milvus.replies)
    bench.declare(GROW)
    Operator(bench).run_pass()
    record = level_record_key("by-dev", bench.reference("rag").uid, "default", "demo")
    ours = LevelRecord(database="default", collection="demo", previous="Bounded", written=("Strong",)).text()
    etcd.transaction(compare=[], then=[Put(key=record, value=ours)])

    path = f"{bench.tunings}/rag"
    bench.release.server.call("PATCH", path, {"metadata": {"finalizers": [api.FINALIZER]}})
    bench.release.server.call("DELETE", path)
    operator = Operator(bench)
    operator.hand_back()

    assert (milvus.level, etcd.get(record)) == ("Bounded", None)
    assert [event.reason for event in operator.events] == ["HandedBack"]
