"""Resource groups: from the replicas alone where they suffice, else from Milvus, as far as it tells."""

from collections.abc import Mapping
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest

from milvus_tuning.clients.milvus import MilvusClient
from milvus_tuning.observe.resource_groups import DEFAULT_GROUP, MOST_GROUPS_PER_PASS, read_resource_groups
from milvus_tuning.snapshot import Replica, ResourceGroup
from tests.clients.milvus_server import ByRequest, Override, a_milvus, refuses
from tests.observe.world import PATIENT_SECONDS, World, snapshot_of


def _replica(group: str, *node_ids: int) -> Replica:
    return Replica(replica_id=node_ids[0], collection_id=1, node_ids=node_ids, resource_group=group)


def _groups(**described: Mapping[str, Any]) -> dict[str, Override]:
    return {
        "ListResourceGroups": {"resource_groups": list(described)},
        "DescribeResourceGroup": ByRequest(
            lambda request: {"resource_group": {"name": request.resource_group, **described[request.resource_group]}}
        ),
    }


def _nodes(*node_ids: int) -> list[dict[str, int]]:
    return [{"node_id": node_id} for node_id in node_ids]


def _read(
    recorded: Mapping[str, Override], *replicas: Replica, time_is_left: bool = True
) -> tuple[tuple[ResourceGroup, ...], list[str]]:
    """The groups, and the names of the calls that were made."""
    with a_milvus(recorded) as (uri, servicer):
        client = MilvusClient(uri, timeout_seconds=PATIENT_SECONDS)
        groups = read_resource_groups(client, replicas, lambda: time_is_left)
        client.close()
    return groups, [name for name, _, _ in servicer.asked]


def test_the_default_group_alone_costs_no_call() -> None:
    groups, asked = _read({}, _replica(DEFAULT_GROUP, 3, 2), _replica(DEFAULT_GROUP, 4))
    assert groups == (ResourceGroup(name=DEFAULT_GROUP, node_ids=(2, 3, 4)),)
    assert asked == []


TOLD = (ResourceGroup(name=DEFAULT_GROUP, node_ids=(1, 2)), ResourceGroup(name="hot", node_ids=(3,)))


@pytest.mark.parametrize(
    ("recorded", "groups"),
    [
        pytest.param(
            _groups(
                __default_resource_group={"capacity": 1000000, "nodes": _nodes(1, 2, 5)},
                hot={"capacity": 2, "nodes": _nodes(4, 3)},
                spare={"capacity": 0},
            ),
            (
                ResourceGroup(name=DEFAULT_GROUP, node_ids=(1, 2, 5)),
                ResourceGroup(name="hot", node_ids=(3, 4), capacity=2),
                ResourceGroup(name="spare", capacity=0),
            ),
            id="2.4: with nodes, and a group without a replica",
        ),
        pytest.param(
            _groups(__default_resource_group={"capacity": 1000000}, hot={"capacity": 1}),
            (TOLD[0], ResourceGroup(name="hot", node_ids=(3,), capacity=1)),
            id="2.3: without nodes",
        ),
        pytest.param({"ListResourceGroups": refuses(grpc.StatusCode.PERMISSION_DENIED, "no")}, TOLD, id="not allowed"),
        pytest.param({}, TOLD, id="unknown calls"),
        pytest.param(
            {"ListResourceGroups": {"status": {"code": 1, "reason": "service not ready"}}}, TOLD, id="not ready"
        ),
    ],
)
def test_where_a_replica_is_in_another_group_milvus_is_asked(
    recorded: Mapping[str, Override], groups: tuple[ResourceGroup, ...]
) -> None:
    found, _ = _read(recorded, _replica(DEFAULT_GROUP, 1, 2), _replica("hot", 3))
    assert found == groups


def test_without_time_what_the_replicas_tell_stands() -> None:
    recorded = _groups(hot={"capacity": 2, "nodes": _nodes(3, 4)})
    groups, asked = _read(recorded, _replica("hot", 3), time_is_left=False)
    assert (groups, asked) == ((ResourceGroup(name="hot", node_ids=(3,)),), [])


def test_of_very_many_groups_those_with_replicas_are_described() -> None:
    recorded = _groups(**{f"g{number:03}": {"capacity": number} for number in range(100)})
    groups, asked = _read(recorded, _replica("g099", 3))
    assert len(asked) == 1 + MOST_GROUPS_PER_PASS
    assert ResourceGroup(name="g099", node_ids=(3,), capacity=99) in groups


def test_the_snapshot_has_the_groups() -> None:
    assert snapshot_of(World()).resource_groups == (ResourceGroup(name=DEFAULT_GROUP, node_ids=(2, 3)),)
