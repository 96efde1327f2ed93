"""The doctor: every check of a healthy cluster is ok, and each trouble is one failure with what mends it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from milvus_tuning.api import MilvusTuningSpec, Mode
from milvus_tuning.doctor import Check, Result, run_checks
from milvus_tuning.doctor.findings import cluster_checks
from milvus_tuning.doctor.rights import RIGHTS
from milvus_tuning.settings import Settings
from milvus_tuning.snapshot import ResourceConfig
from tests.builders import a_snapshot
from tests.observe.world import NAMESPACE, PATIENT_SECONDS, World, serving

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def _checks(world: World, *, allowed: bool = True) -> tuple[Check, ...]:
    world.kubernetes[REVIEWS] = {"status": {"allowed": allowed}, "spec": {}}
    with serving(world):
        settings = Settings(request_timeout_seconds=PATIENT_SECONDS)
        return run_checks(world.api_client(), settings, NAMESPACE, world.parsed_spec())


def test_a_healthy_cluster_passes_every_check() -> None:
    checks = _checks(World())
    assert [check for check in checks if check.result is not Result.OK] == []
    assert {"target", "milvus", "node identity", "etcd", "prometheus", "series cpu"} <= {check.name for check in checks}


def test_a_missing_right_is_a_failure_that_names_it() -> None:
    rights = [check for check in _checks(World(), allowed=False) if check.name.startswith("right ")]
    assert {check.result for check in rights if "events" not in check.name} == {Result.FAILURE}
    assert next(check for check in rights if "events" in check.name).result is Result.WARNING
    assert all(check.mend for check in rights)


def _short_grace(world: World) -> None:
    world.pod()["spec"]["terminationGracePeriodSeconds"] = 30


def _no_limits(world: World) -> None:
    world.pod()["spec"]["containers"][0]["resources"] = {}


def _no_target(world: World) -> None:
    world.spec["targetRef"]["name"] = "other"


def _no_prometheus(world: World) -> None:
    world.connections["prometheus"] = {"url": "http://127.0.0.1:1"}


def _no_etcd(world: World) -> None:
    world.connections["etcd"] = {"endpoints": ["127.0.0.1:1"]}


def _no_etcd_although_needed(world: World) -> None:
    _no_etcd(world)
    world.spec["loadBalancing"] = {"balanceIntervalSeconds": 60}


def _no_etcd_although_staleness_needs_it(world: World) -> None:
    _no_etcd(world)
    world.spec["consistency"] = {"stalenessMilliseconds": 1000}


def _no_concurrency_series(world: World) -> None:
    world.prometheus["read_concurrency"]["data"]["result"] = []


@pytest.mark.parametrize(
    ("change", "name", "result"),
    [
        pytest.param(_short_grace, "grace period", Result.WARNING, id="grace period of 30 s"),
        pytest.param(_no_limits, "limits", Result.FAILURE, id="no limits"),
        pytest.param(_no_target, "target", Result.FAILURE, id="no target"),
        pytest.param(_no_prometheus, "prometheus", Result.FAILURE, id="no Prometheus"),
        pytest.param(_no_etcd, "etcd", Result.WARNING, id="no etcd, which nothing needs"),
        pytest.param(_no_etcd_although_needed, "etcd", Result.FAILURE, id="no etcd, which a setting needs"),
        pytest.param(_no_etcd_although_staleness_needs_it, "etcd", Result.FAILURE, id="no etcd, which staleness needs"),
        pytest.param(_no_concurrency_series, "series read_concurrency", Result.WARNING, id="a series is dropped"),
    ],
)
def test_trouble_is_named_with_what_mends_it(change: Callable[[World], Any], name: str, result: Result) -> None:
    world = World()
    change(world)
    found = [check for check in _checks(world) if check.name == name]
    assert [check.result for check in found] == [result]
    assert found[0].mend


def test_no_right_is_asked_for_twice() -> None:
    assert len({(right.name, right.verbs) for right in RIGHTS}) == len(RIGHTS)


def _needed(mode: Mode) -> set[tuple[str, str]]:
    """Verb and resource of each right that a Helm release with a number of QueryNodes needs in this mode."""
    spec = {
        "targetRef": {"kind": "HelmRelease", "name": "my-release"},
        "mode": mode,
        "connections": {"prometheus": {"url": "http://prometheus:9090"}},
        "queryNodes": {"minCount": 2, "maxCount": 3},
    }
    parsed = MilvusTuningSpec.model_validate(spec)
    return {(verb, right.name) for right in RIGHTS if right.needed(parsed) for verb in right.verbs}


PLANS = "milvustuningplans.milvustuning.io"
MAKING_CHANGES = {
    *((verb, PLANS) for verb in ("create", "patch", "update")),
    *((verb, f"{PLANS}/status") for verb in ("get", "patch", "update")),
    ("patch", "deployments.apps/scale"),
    ("patch", "pods"),
    ("create", "pods/eviction"),
}


def test_plans_are_read_and_cleared_away_in_every_mode() -> None:
    reading = {(verb, PLANS) for verb in ("get", "list", "watch", "delete")}
    assert all(reading <= _needed(mode) for mode in Mode)


def test_what_a_plan_needs_to_be_made_and_to_run_is_asked_for_in_the_modes_that_have_plans() -> None:
    assert not MAKING_CHANGES & _needed(Mode.OBSERVE)
    assert _needed(Mode.PROPOSE) == _needed(Mode.AUTO) == _needed(Mode.OBSERVE) | MAKING_CHANGES


@pytest.mark.parametrize("mode", Mode)
def test_keys_in_a_milvus_object_need_its_config_map_and_where_there_are_plans_the_object(mode: Mode) -> None:
    target = {"targetRef": {"kind": "Milvus", "name": "my-release"}, "mode": mode}
    without, with_it = (
        {(verb, right.name) for right in RIGHTS if right.needed(spec) for verb in right.verbs}
        for spec in map(MilvusTuningSpec.model_validate, (target, target | {"configDelivery": "MilvusResource"}))
    )
    writing = set() if mode is Mode.OBSERVE else {("patch", "milvuses.milvus.io")}
    assert with_it - without == {("get", "configmaps")} | writing


@pytest.mark.parametrize(
    ("config", "result", "words"),
    [
        pytest.param(None, Result.FAILURE, "could not be read", id="no object"),
        pytest.param(ResourceConfig(rendered={}, trouble="it would roll"), Result.FAILURE, "would roll", id="rolls"),
        pytest.param(ResourceConfig(rendered={}), Result.OK, "may be written", id="all is well"),
    ],
)
def test_whether_keys_can_go_to_the_milvus_object_is_checked_where_they_are_to(
    config: ResourceConfig | None, result: Result, words: str
) -> None:
    snapshot = replace(a_snapshot(2), resource_config=config)
    target = {"targetRef": {"kind": "Milvus", "name": "my-release"}}
    with_it, without = (
        [check for check in cluster_checks(snapshot, spec) if check.name == "spec.config"]
        for spec in map(MilvusTuningSpec.model_validate, (target | {"configDelivery": "MilvusResource"}, target))
    )
    assert [(check.result, words in check.message) for check in with_it] == [(result, True)]
    assert without == []
