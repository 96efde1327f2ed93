"""The pods of every component: which, since when their container runs, and what is set in their environment."""

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest

from milvus_tuning.snapshot import ComponentPod
from tests.observe.test_milvus_resource import a_milvus_world
from tests.observe.world import PODS, PROXY_POD, QUERY_NODE_PODS, World, snapshot_of

MIX_COORD_POD = "my-release-milvus-mixcoord-79dfb75fc6-l6sjt"
Pod = dict[str, Any]


def test_every_pod_of_the_release_is_there_with_the_start_of_its_container() -> None:
    found = {one.pod: one for one in snapshot_of(World()).components}
    assert {pod: one.component for pod, one in found.items()} == {
        MIX_COORD_POD: "MixCoord",
        PROXY_POD: "Proxy",
        QUERY_NODE_PODS[0]: "QueryNode",
        QUERY_NODE_PODS[1]: "QueryNode",
    }
    assert found[MIX_COORD_POD] == ComponentPod(
        component="MixCoord",
        pod=MIX_COORD_POD,
        pod_uid="ff4b2307-c129-4086-a673-1ad11b74086c",
        ready=True,
        terminating=False,
        created_at=datetime(2026, 11, 23, 6, 36, 21, tzinfo=UTC),
        started_at=datetime(2026, 11, 23, 6, 36, 24, tzinfo=UTC),
        grace_period_seconds=30,
    )
    assert found[QUERY_NODE_PODS[0]].grace_period_seconds == 120


def test_under_milvus_operator_they_are_found_by_its_label() -> None:
    assert snapshot_of(a_milvus_world()).components == snapshot_of(World()).components


@pytest.mark.parametrize(
    ("label", "component"),
    [
        ("querycoord", "QueryCoord"),
        ("rootcoord", "RootCoord"),
        ("datacoord", "DataCoord"),
        ("indexcoord", "IndexCoord"),
        ("datanode", "DataNode"),
        ("indexnode", "IndexNode"),
        ("streamingnode", "StreamingNode"),
        ("standalone", None),
        ("attu", None),
    ],
)
def test_a_label_becomes_the_word_of_the_catalogue(label: str, component: str | None) -> None:
    world = World()
    world.item(PODS, MIX_COORD_POD)["metadata"]["labels"]["component"] = label
    found = {one.pod: one.component for one in snapshot_of(world).components}
    assert found.get(MIX_COORD_POD) == component


def _restarted(pod: Pod) -> None:
    pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"] = "2026-11-23T09:00:00Z"


def _crashed(pod: Pod) -> None:
    pod["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}


def _scheduled(pod: Pod) -> None:
    del pod["status"]["containerStatuses"]


def _with_a_sidecar(pod: Pod) -> None:
    own = pod["status"]["containerStatuses"][0]
    other = deepcopy(own) | {"name": "mesh", "state": {"running": {"startedAt": "2026-11-23T10:00:00Z"}}}
    pod["status"]["containerStatuses"] = [other, own]
    pod["spec"]["containers"].insert(0, deepcopy(pod["spec"]["containers"][0]) | {"name": "mesh"})


@pytest.mark.parametrize(
    ("change", "started"),
    [
        pytest.param(_restarted, datetime(2026, 11, 23, 9, tzinfo=UTC), id="a restarted container has read anew"),
        pytest.param(_crashed, None, id="a container that does not run"),
        pytest.param(_scheduled, None, id="a pod without containers yet"),
        pytest.param(_with_a_sidecar, datetime(2026, 11, 23, 6, 36, 24, tzinfo=UTC), id="a sidecar does not count"),
    ],
)
def test_what_counts_is_the_start_of_milvuss_own_container(
    change: Callable[[Pod], None], started: datetime | None
) -> None:
    world = World()
    change(world.item(PODS, MIX_COORD_POD))
    found = {one.pod: one.started_at for one in snapshot_of(world).components}
    assert found[MIX_COORD_POD] == started


def test_a_pod_that_has_ended_is_none_and_one_that_leaves_says_so() -> None:
    world = World()
    world.item(PODS, PROXY_POD)["status"]["phase"] = "Failed"
    world.item(PODS, MIX_COORD_POD)["metadata"]["deletionTimestamp"] = "2026-01-31T12:00:00Z"
    found = {one.pod: one.terminating for one in snapshot_of(world).components}
    assert (PROXY_POD in found, found[MIX_COORD_POD], found[QUERY_NODE_PODS[0]]) == (False, True, False)


def _env(world: World, pod: str, *entries: dict[str, Any]) -> None:
    world.item(PODS, pod)["spec"]["containers"][0]["env"] = list(entries)


def test_the_environment_is_that_of_all_components_and_of_milvuss_own_keys() -> None:
    world = World()
    _env(
        world,
        PROXY_POD,
        {"name": "COMMON_GRACEFULTIME", "value": "4321"},
        {"name": "PATH", "value": "/bin"},
        {"name": "MINIO_SECRETACCESSKEY", "value": "hidden"},
        {"name": "PROXY_MAXTASKNUM", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    )
    _env(world, QUERY_NODE_PODS[0], {"name": "MILVUS_CONF_QUERYCOORD_AUTOBALANCE", "value": "false"})
    assert snapshot_of(world).environment_config == {"commongracefultime": "4321", "querycoordautobalance": "false"}


def test_the_files_of_a_release_are_told_as_text() -> None:
    config = snapshot_of(World()).install_config
    assert {key: config[key] for key in ("etcdendpoints", "querycoordautobalance", "datacoordsegmentmaxsize")} == {
        "etcdendpoints": "my-release-etcd:2379",
        "querycoordautobalance": "true",
        "datacoordsegmentmaxsize": "16",
    }


def test_under_milvus_operator_the_config_of_the_resource_is_told() -> None:
    def change(_: World, resource: dict[str, Any]) -> None:
        resource["spec"]["config"] = {"queryNode": {"loadMemoryUsageFactor": 2.5}, "minio": {"secretAccessKey": "x"}}

    assert snapshot_of(a_milvus_world(change)).install_config == {"querynodeloadmemoryusagefactor": "2.5"}
