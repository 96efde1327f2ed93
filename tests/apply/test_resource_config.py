"""Configuration keys as leaves of a Milvus object: changed together with their record, on a real API server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from kubernetes.client import ApiClient, CoreV1Api

from milvus_tuning import apply
from milvus_tuning.api import FIELD_MANAGER
from milvus_tuning.apply import ApplyContext, PreconditionChanged, perform
from milvus_tuning.clients.resource_config import CONFIG_ANNOTATION
from milvus_tuning.errors import ApplyError
from milvus_tuning.plan import MILVUS_RESOURCE, ROAD, Step
from milvus_tuning.snapshot import WorkloadKind
from tests.apply.builders import a_config, a_context, allowed
from tests.apply.objects import MILVUS, Object, Objects, a_milvus, owners
from tests.standin.__main__ import install_crd
from tests.standin.kube import Kube
from tests.standin.operator import StandIn

pytest_plugins = ("tests.apply.servers",)
pytestmark = pytest.mark.integration
KEY, GUARD, SWITCH = (
    "querycoord.autobalanceinterval",
    "querycoord.overloadedmemorythresholdpercentage",
    "querycoord.autobalance",
)
OTHERS = {"proxy": {"maxTaskNum": 512}, "msgChannel": {"chanNamePrefix": {"cluster": "a"}}}
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def a_leaf(key: str, before: str | None, after: str | None) -> Step:
    """Set a leaf from one value to another."""
    step = a_config(key, before, after)
    return replace(step, action={**step.action, ROAD: MILVUS_RESOURCE})


class Target:
    """A Milvus object, read and written as others do."""

    def __init__(self, api_client: ApiClient, namespace: str) -> None:
        self.api_client, self.namespace = api_client, namespace
        install_crd(Kube(api_client))
        self.objects = Objects(api_client, namespace, MILVUS)

    def create(self, config: Object | None, *, config_map_only: bool | None = True) -> None:
        body = a_milvus(query_node={"replicas": 2})
        if config_map_only is not None:
            body["spec"]["components"]["updateConfigMapOnly"] = config_map_only
        if config is not None:
            body["spec"]["config"] = config
        self.objects.create(body, manager="kubectl")

    def context(self, require_lease: Callable[[], None] = allowed, *, policy_uid: str = "policy-1") -> ApplyContext:
        return a_context(
            api_client=self.api_client,
            namespace=self.namespace,
            kind=WorkloadKind.MILVUS,
            name="my-release",
            require_lease=require_lease,
            policy_uid=policy_uid,
            clock=lambda: NOON,
        )

    def milvus(self) -> Object:
        return self.objects.read("my-release")

    @property
    def config(self) -> Any:
        return self.milvus()["spec"].get("config")

    @property
    def records(self) -> Any:
        text = self.milvus()["metadata"].get("annotations", {}).get(CONFIG_ANNOTATION)
        return None if text is None else json.loads(text)

    def set_by_others(self, config: Object) -> None:
        self.objects.merge("my-release", {"spec": {"config": config}}, manager="kubectl-edit")


@pytest.fixture
def target(api_client: ApiClient, namespace: str) -> Target:
    """A namespace of the test's own, without an object yet."""
    return Target(api_client, namespace)


def test_leaf_and_record_change_in_one_patch_and_the_config_map_carries_the_key(target: Target) -> None:
    target.create(OTHERS, config_map_only=None)
    standin = StandIn(Kube(target.api_client), target.namespace, image="pause")
    for _ in range(3):
        standin.run_pass()  # milvus-operator writes its defaults, updateConfigMapOnly among them
    before = target.milvus()

    perform(a_leaf(KEY, None, "60000"), undo=False, context=target.context())

    after = target.milvus()
    expected = {**before["spec"]["config"], "queryCoord": {"enableActiveStandby": True, "autoBalanceInterval": 60000}}
    assert after["spec"] == {**before["spec"], "config": expected}
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert target.records == {
        "policy-1": {
            KEY: {
                "path": ["config", "queryCoord", "autoBalanceInterval"],
                "kept": 2,
                "previous": None,
                "written": "60000",
                "writtenAt": "2026-01-01T12:00:00+00:00",
            }
        }
    }
    both = (("spec", "config", "queryCoord", "autoBalanceInterval"), ("metadata", "annotations", CONFIG_ANNOTATION))
    assert [owners(after, *path) for path in both] == [{(FIELD_MANAGER, "Update")}] * 2
    standin.run_pass()
    assert rendered(target)["queryCoord"]["autoBalanceInterval"] == 60000
    perform(a_leaf(KEY, "60000", None), undo=False, context=target.context())
    standin.run_pass()
    assert target.milvus()["spec"] == before["spec"]
    assert "autoBalanceInterval" not in rendered(target)["queryCoord"]


def rendered(target: Target) -> Any:
    """What the pods of Milvus mount."""
    found = CoreV1Api(target.api_client).read_namespaced_config_map("my-release", target.namespace)
    return yaml.safe_load((found.data or {})["user.yaml"])


@pytest.mark.parametrize(
    "before",
    [
        None,
        {},
        {"queryCoord": {}},
        OTHERS,
        {"queryCoord": {"autoBalance": True}},
        {"queryCoord": {"autoBalanceInterval": 3000}},
        {"queryCoord": {"autoBalanceInterval": "3000"}},
        {"queryCoord.autoBalanceInterval": 3000, **OTHERS},
        {"querycoord": {"auto_balance_interval": 3000}},
    ],
    ids=[
        "no config",
        "an empty one",
        "an empty parent",
        "others",
        "a sibling",
        "a number",
        "a text",
        "one name with a dot",
        "another spelling",
    ],
)
def test_after_handing_back_spec_config_is_what_it_was_to_the_byte(target: Target, before: Object | None) -> None:
    target.create(before)
    found = json.dumps(target.milvus()["spec"])
    there = "3000" if "3000" in found else None

    perform(a_leaf(KEY, there, "60000"), undo=False, context=target.context())
    assert "60000" in json.dumps(target.config)
    message = perform(a_leaf(KEY, "60000", there), undo=False, context=target.context())

    assert json.dumps(target.milvus()["spec"]) == found
    assert target.records is None
    assert "as before us" in message


@pytest.mark.parametrize("first", [0, 1], ids=["the first that came goes first", "the last that came goes first"])
def test_the_last_of_two_leaves_takes_the_parent_of_our_making_along(target: Target, first: int) -> None:
    target.create(OTHERS)
    found = json.dumps(target.config)
    steps = (a_leaf(KEY, None, "60000"), a_leaf(GUARD, None, "85"))
    for step in steps:
        perform(step, undo=False, context=target.context())
    assert target.config["queryCoord"] == {"autoBalanceInterval": 60000, "overloadedMemoryThresholdPercentage": 85}

    perform(steps[first], undo=True, context=target.context())
    assert len(target.config["queryCoord"]) == 1
    perform(steps[1 - first], undo=True, context=target.context())

    assert json.dumps(target.config) == found


def test_a_parent_in_which_somebody_else_set_a_leaf_stays(target: Target) -> None:
    target.create(None)
    perform(a_leaf(KEY, None, "60000"), undo=False, context=target.context())
    target.set_by_others({"queryCoord": {"taskExecutionCap": 128}})
    perform(a_leaf(KEY, None, "60000"), undo=True, context=target.context())
    assert target.config == {"queryCoord": {"taskExecutionCap": 128}}


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [(SWITCH, "false", False), (KEY, "60000", 60000), (GUARD, "85", 85), ("proxy.replicaselectionpolicy", "rr", "rr")],
)
def test_a_value_is_written_in_the_type_of_its_key(target: Target, key: str, text: str, value: object) -> None:
    target.create(None)
    perform(a_leaf(key, None, text), undo=False, context=target.context())
    ((leaf,),) = (tree.values() for tree in target.config.values())
    assert (leaf, type(leaf)) == (value, type(value))


def test_doing_it_twice_is_doing_it_once(target: Target) -> None:
    target.create(OTHERS)
    step = a_leaf(KEY, None, "60000")
    perform(step, undo=False, context=target.context())
    before = target.milvus()
    assert "already" in perform(step, undo=False, context=target.context())
    assert target.milvus() == before


def test_a_later_value_of_ours_keeps_what_was_there_first(target: Target) -> None:
    target.create({"queryCoord": {"autoBalanceInterval": "3000"}})
    perform(a_leaf(KEY, "3000", "60000"), undo=False, context=target.context())
    perform(a_leaf(KEY, "60000", "90000"), undo=False, context=target.context())
    assert target.records["policy-1"][KEY]["previous"] == "3000"
    perform(a_leaf(KEY, "60000", "90000"), undo=True, context=target.context())
    assert target.config == {"queryCoord": {"autoBalanceInterval": 60000}}
    assert apply.release_leaves(target.context())
    assert target.config == {"queryCoord": {"autoBalanceInterval": "3000"}}


def test_another_leaf_that_somebody_changes_meanwhile_is_kept(target: Target) -> None:
    target.create(OTHERS)
    changes = [{"proxy": {"maxTaskNum": 1024}}]

    def meanwhile() -> None:  # called between the read and the write
        if changes:
            target.set_by_others(changes.pop())

    step = a_leaf(KEY, None, "60000")
    with pytest.raises(ApplyError, match="changed while") as caught:
        perform(step, undo=False, context=target.context(meanwhile))
    assert caught.value.retryable
    assert target.config == {**OTHERS, "proxy": {"maxTaskNum": 1024}}
    assert target.records is None
    perform(step, undo=False, context=target.context(meanwhile))
    wanted = {**OTHERS, "proxy": {"maxTaskNum": 1024}, "queryCoord": {"autoBalanceInterval": 60000}}
    assert target.config == wanted


def test_a_foreign_value_of_our_leaf_is_not_taken_back(target: Target) -> None:
    target.create(OTHERS)
    perform(a_leaf(KEY, None, "60000"), undo=False, context=target.context())
    target.set_by_others({"queryCoord": {"autoBalanceInterval": 5000}})
    message = perform(a_leaf(KEY, "5000", None), undo=False, context=target.context())
    assert "stays" in message
    assert target.config == {**OTHERS, "queryCoord": {"autoBalanceInterval": 5000}}
    assert target.records is None


def test_a_value_that_nobody_decided_on_is_not_overwritten(target: Target) -> None:
    target.create({"queryCoord": {"autoBalanceInterval": 5000}})
    with pytest.raises(PreconditionChanged, match="'5000'"):
        perform(a_leaf(KEY, "3000", "60000"), undo=False, context=target.context())
    assert target.config == {"queryCoord": {"autoBalanceInterval": 5000}}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"queryCoord": {"autoBalanceInterval": 1}, "queryCoord.autoBalanceInterval": 2}, "matter of chance"),
        ({"queryCoord": 5}, "cannot be set"),
        ({"queryCoord": {"autoBalanceInterval": {}}}, "cannot be set"),
    ],
    ids=["two spellings", "a number in the place of the parent", "a map in the place of the leaf"],
)
def test_what_cannot_be_told_apart_is_refused(target: Target, config: Object, words: str) -> None:
    target.create(config)
    with pytest.raises(ApplyError, match=words) as caught:
        perform(a_leaf(KEY, None, "60000"), undo=False, context=target.context())
    assert not caught.value.retryable
    assert target.config == config


@pytest.mark.parametrize("config_map_only", [False, None])
def test_nothing_is_written_where_every_component_would_roll(target: Target, config_map_only: bool | None) -> None:
    target.create(OTHERS, config_map_only=config_map_only)
    with pytest.raises(ApplyError, match="restart every component") as caught:
        perform(a_leaf(KEY, None, "60000"), undo=False, context=target.context())
    assert not caught.value.retryable
    assert target.config == OTHERS


def test_nothing_is_written_without_the_lease_of_the_operator(target: Target) -> None:
    target.create(OTHERS)

    def lost() -> None:
        raise ApplyError("lease lost", retryable=True)

    with pytest.raises(ApplyError, match="lease lost"):
        perform(a_leaf(KEY, None, "60000"), undo=False, context=target.context(lost))
    assert (target.config, target.records) == (OTHERS, None)


def test_a_helm_release_has_no_such_road(target: Target) -> None:
    context = a_context(api_client=target.api_client, namespace=target.namespace)
    with pytest.raises(ApplyError, match="not of kind Milvus"):
        perform(a_leaf(KEY, None, "60000"), undo=False, context=context)
    assert apply.release_leaves(context) == []


def test_policies_keep_their_records_apart_and_all_is_handed_back_at_once(target: Target) -> None:
    target.create(OTHERS)
    perform(a_leaf(KEY, None, "60000"), undo=False, context=target.context())
    perform(a_leaf(GUARD, None, "85"), undo=False, context=target.context(policy_uid="policy-2"))
    assert len(apply.release_leaves(target.context())) == 1
    assert set(target.records) == {"policy-2"}
    assert len(apply.release_leaves(target.context(policy_uid="policy-2"))) == 1
    assert (target.config, target.records) == (OTHERS, None)
    assert apply.release_leaves(target.context()) == []


def test_a_record_that_is_not_ours_stops_everything(target: Target) -> None:
    target.create(OTHERS)
    scribble = {"metadata": {"annotations": {CONFIG_ANNOTATION: "scribble"}}}
    target.objects.merge("my-release", scribble, manager="kubectl-annotate")
    with pytest.raises(ApplyError, match="scribble"):
        perform(a_leaf(KEY, None, "60000"), undo=False, context=target.context())
    assert target.config == OTHERS


def test_what_git_does_not_name_survives_a_sync(target: Target) -> None:
    manifest = a_milvus(query_node={"replicas": 2})
    manifest["spec"] |= {"config": OTHERS}
    manifest["spec"]["components"]["updateConfigMapOnly"] = True
    target.objects.apply(manifest, manager="argocd-controller")
    perform(a_leaf(KEY, None, "60000"), undo=False, context=target.context())
    target.objects.apply(manifest, manager="argocd-controller")
    assert target.config == {**OTHERS, "queryCoord": {"autoBalanceInterval": 60000}}
    assert set(target.records) == {"policy-1"}
