"""Resource groups: what the replicas tell, and what Milvus tells of them where there is more than the default one.

Every replica names its group and its nodes, in all versions. A cluster that uses the default group alone needs no more;
where a replica is in another one, the groups are asked for too: their capacity, from 2.4 also their nodes, and those
without a replica. A role without the right, or a version without the call, leaves what the replicas tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from pymilvus.grpc_gen import milvus_pb2

from milvus_tuning.clients.milvus import MilvusClient, MilvusError
from milvus_tuning.snapshot import Replica, ResourceGroup

DEFAULT_GROUP: Final = "__default_resource_group"
MOST_GROUPS_PER_PASS: Final = 32
# What Milvus gives as the capacity of a group without a limit (querycoordv2/meta, defaultResourceGroupCapacity).
_UNLIMITED: Final = 1_000_000


def read_resource_groups(
    client: MilvusClient, replicas: Iterable[Replica], time_is_left: Callable[[], bool]
) -> tuple[ResourceGroup, ...]:
    """The groups in the order of their names; never raises for what Milvus does."""
    groups = groups_of(replicas)
    if all(group.name == DEFAULT_GROUP for group in groups) or not time_is_left():
        return groups
    known = {group.name: group for group in groups}
    try:
        names = client.resource_groups()
        for name in sorted(names, key=lambda name: (name not in known, name))[:MOST_GROUPS_PER_PASS]:
            if not time_is_left():
                break
            known[name] = _described(known.get(name, ResourceGroup(name=name)), client.resource_group(name))
    except MilvusError:  # what the replicas tell, and what was read until here, stands
        pass
    return tuple(known[name] for name in sorted(known))


def groups_of(replicas: Iterable[Replica]) -> tuple[ResourceGroup, ...]:
    """The groups that replicas name, each with the nodes of its replicas."""
    nodes: dict[str, set[int]] = {}
    for one in replicas:
        nodes.setdefault(one.resource_group or DEFAULT_GROUP, set()).update(one.node_ids)
    return tuple(ResourceGroup(name=name, node_ids=tuple(sorted(nodes[name]))) for name in sorted(nodes))


def _described(group: ResourceGroup, said: milvus_pb2.ResourceGroup) -> ResourceGroup:
    """The group with what Milvus says of it; without a list of nodes (2.3) those of the replicas stay."""
    node_ids = tuple(sorted(node.node_id for node in said.nodes))
    capacity = said.capacity if said.capacity < _UNLIMITED else None
    return replace(group, node_ids=node_ids or group.node_ids, capacity=capacity)
