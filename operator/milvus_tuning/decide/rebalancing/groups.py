"""From the lists of a cluster to the arrays of its groups, with everything that contradicts itself refused.

A group is a set of nodes that can exchange segments, directly or through others: the nodes of a replica within one
resource group, joined with those of every other replica that shares a node with them. With replicas a on {1, 2, 3} and
b on {3, 4} the group is {1, 2, 3, 4}, though a segment of b still goes to 3 and 4 only. Groups share no node: each is
planned by itself, and no plan crosses a resource group.

All orders are by id, so the order of the input does not matter.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from milvus_tuning.decide.rebalancing.arrays import Floats, Group, Integers
from milvus_tuning.decide.rebalancing.model import Cluster, Identity
from milvus_tuning.decide.rebalancing.outcome import Refusal
from milvus_tuning.errors import ConfigError

STAYS = (Refusal.PINNED, Refusal.IN_FLIGHT, Refusal.OUTSIDE_REPLICA)
"""Why a segment stays, by the number in Group.stays, counted from 1; 0 may move."""


def groups(cluster: Cluster) -> list[Group]:
    """The groups in the order of their first node. Raises ConfigError with the place of a contradiction."""
    reader = _Reader(cluster)
    component = _components(reader.rows, len(cluster.nodes))
    of_segment = component[reader.node]
    order = np.lexsort((reader.rank, of_segment))
    edges = np.searchsorted(of_segment[order], np.arange(component.max(initial=-1) + 2))
    by_nodes = np.argsort(component, kind="stable")
    starts = np.searchsorted(component[by_nodes], np.arange(len(edges)))
    return [
        reader.group(by_nodes[starts[at] : starts[at + 1]], order[edges[at] : edges[at + 1]])
        for at in range(len(edges) - 1)
    ]


@dataclass(frozen=True, slots=True)
class _Row:
    """Where the segments of one replica may be, within one resource group."""

    nodes: tuple[int, ...]


class _Reader:
    """Reads one cluster. Nodes are kept in the order of their ids; `node` and `row` are per segment, as given."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._nodes = sorted(cluster.nodes, key=lambda node: order_of(node.id))
        self._index = {node.id: at for at, node in enumerate(self._nodes)}
        _unique((node.id for node in cluster.nodes), "nodes[{}].id")
        self.rows: list[_Row] = []
        self._row_of: dict[Hashable, int] = {}
        self.node = self._placed()
        self.row = self._of_replicas() if cluster.replicas else self._of_labels()
        self.stays = self._staying()
        self.rank = _ranks([segment.id for segment in cluster.segments])
        self._check_copies()
        self._flights()
        self.leaders = self._leader_heat()

    def group(self, nodes: Integers, segments: Integers) -> Group:
        """The arrays of one group: these nodes, these segments."""
        cluster, limits = self._cluster, self._cluster.limits
        local = np.full(len(self._nodes), -1, dtype=np.int64)
        local[nodes] = np.arange(len(nodes))
        used, row = np.unique(self.row[segments], return_inverse=True)
        member = np.zeros((max(len(used), 1), len(nodes)), dtype=bool)
        for at, number in enumerate(used):
            inside = local[list(self.rows[number].nodes)]
            member[at, inside[inside >= 0]] = True
        chosen = [self._nodes[at] for at in nodes]
        cpu = np.array([node.cpu for node in chosen])
        of_segments = [cluster.segments[at] for at in segments.tolist()]
        return Group(
            resource_group=chosen[0].resource_group,
            node_ids=tuple(node.id for node in chosen),
            cpu=cpu,
            ceiling_bytes=np.array([node.memory_bytes * limits.memory_ceiling_ratio for node in chosen]),
            cordoned=np.array([node.cordoned for node in chosen], dtype=bool),
            fixed_heat=self.leaders[nodes],
            positions=segments,
            heat=np.array([segment.heat for segment in of_segments], dtype=np.float64),
            size=np.array([segment.memory_bytes for segment in of_segments], dtype=np.int64),
            node=local[self.node[segments]],
            row=row.reshape(-1),
            member=member,
            stays=self.stays[segments],
        )

    def _placed(self) -> Integers:
        index = self._index
        try:
            return np.array([index[segment.node] for segment in self._cluster.segments], dtype=np.int64)
        except KeyError:
            at = next(at for at, segment in enumerate(self._cluster.segments) if segment.node not in index)
            raise self._no_node(f"segments[{at}].node", self._cluster.segments[at].node) from None

    def _of_labels(self) -> Integers:
        """The short form: a node's resource group and replica label are the row of its segments."""
        for at, segment in enumerate(self._cluster.segments):
            own = self._nodes[self.node[at]].replica if segment.replica is not None else None
            if segment.replica != own:
                raise ConfigError(
                    f"segments[{at}].replica: {segment.replica!r} is not the replica of its node ({own!r}); "
                    "leave it out, or list the replicas with their nodes under replicas"
                )
        members: dict[Hashable, list[int]] = {}
        for place, node in enumerate(self._nodes):
            members.setdefault((node.resource_group, node.replica), []).append(place)
        row_of_node = np.zeros(len(self._nodes), dtype=np.int64)
        for inside in members.values():
            row_of_node[inside] = self._row((*inside,), inside)
        return row_of_node[self.node] if len(self._nodes) else np.zeros(0, dtype=np.int64)

    def _of_replicas(self) -> Integers:
        """The full form: by the replica that a segment names, else by the one that its collection has on its node."""
        named, on_node, nodes_of = self._replicas()
        groups_of = [node.resource_group for node in self._nodes]
        for replica, inside in enumerate(nodes_of):
            for group in sorted({groups_of[place] for place in inside}):
                self._row((replica, group), [place for place in inside if groups_of[place] == group])
        rows = np.zeros(len(self._cluster.segments), dtype=np.int64)
        for at, (segment, place) in enumerate(zip(self._cluster.segments, self.node.tolist(), strict=True)):
            if segment.replica is None:
                replica = on_node.get((segment.collection, place), -1)
            else:
                replica = named.get((segment.collection, segment.replica), -1)
            if replica < 0:
                raise self._no_replica(at)
            rows[at] = self._row((replica, groups_of[place]), [])
        return rows

    def _replicas(self) -> tuple[dict[Hashable, int], dict[Hashable, int], list[list[int]]]:
        named: dict[Hashable, int] = {}
        on_node: dict[Hashable, int] = {}
        nodes_of: list[list[int]] = []
        for at, replica in enumerate(self._cluster.replicas):
            if (replica.collection, replica.id) in named:
                raise ConfigError(f"replicas[{at}].id: {replica.id!r} is there twice for this collection; remove one")
            named[replica.collection, replica.id] = at
            nodes_of.append([])
            for number, node in enumerate(replica.nodes):
                where = f"replicas[{at}].nodes[{number}]"
                if node not in self._index:
                    raise self._no_node(where, node)
                place = self._index[node]
                if on_node.setdefault((replica.collection, place), at) != at:
                    raise ConfigError(
                        f"{where}: node {node!r} is in another replica of collection {replica.collection!r} already, "
                        "and Milvus gives a node to one replica of a collection; remove it from one of the two"
                    )
                if place not in nodes_of[-1]:
                    nodes_of[-1].append(place)
        return named, on_node, nodes_of

    def _row(self, key: Hashable, nodes: Sequence[int]) -> int:
        if key not in self._row_of:
            self._row_of[key] = len(self.rows)
            self.rows.append(_Row(tuple(nodes)))
        return self._row_of[key]

    def _staying(self) -> Integers:
        stays = np.array([segment.pinned for segment in self._cluster.segments], dtype=np.int64)
        if not self._cluster.replicas:
            return stays
        inside = np.zeros(len(stays), dtype=bool)
        member = [frozenset(row.nodes) for row in self.rows]
        for at, (row, place) in enumerate(zip(self.row.tolist(), self.node.tolist(), strict=True)):
            inside[at] = place in member[row]
        stays[~inside & (stays == 0)] = 1 + STAYS.index(Refusal.OUTSIDE_REPLICA)
        return stays

    def _check_copies(self) -> None:
        seen: dict[Hashable, int] = {}
        for at, (segment, row) in enumerate(zip(self._cluster.segments, self.row.tolist(), strict=True)):
            before = seen.setdefault((segment.id, row), at)
            if before != at:
                raise ConfigError(
                    f"segments[{at}].id: {segment.id!r} is there twice in one replica (first as segments[{before}]); "
                    "list one copy for each replica, and a move that is under way in in_flight"
                )

    def _flights(self) -> None:
        """Moves under way count as done; what they carry stays where it arrives."""
        places = (
            {
                (segment.id, place): at
                for at, (segment, place) in enumerate(zip(self._cluster.segments, self.node.tolist(), strict=True))
            }
            if self._cluster.in_flight
            else {}
        )
        for number, move in enumerate(self._cluster.in_flight):
            where = f"in_flight[{number}]"
            for name in ("source", "destination"):
                if getattr(move, name) not in self._index:
                    raise self._no_node(f"{where}.{name}", getattr(move, name))
            destination = self._index[move.destination]
            found = places.get((move.segment, self._index[move.source]), places.get((move.segment, destination)))
            if found is None:
                raise ConfigError(
                    f"{where}.segment: {move.segment!r} is neither on {move.source!r} nor on {move.destination!r}; "
                    "list the segment on its source, or leave the move out"
                )
            if destination not in self.rows[self.row[found]].nodes:
                raise ConfigError(
                    f"{where}.destination: {move.destination!r} is no node of the segment's replica in its resource "
                    "group; correct the replica or leave the move out"
                )
            self.node[found] = destination
            self.stays[found] = 1 + STAYS.index(Refusal.IN_FLIGHT)

    def _leader_heat(self) -> Floats:
        heat = np.zeros(len(self._nodes))
        for at, leader in enumerate(self._cluster.leaders):
            if leader.node not in self._index:
                raise self._no_node(f"leaders[{at}].node", leader.node)
            place = self._index[leader.node]
            heat[place] += leader.load * self._nodes[place].cpu
        return heat

    def _no_node(self, where: str, node: Identity) -> ConfigError:
        return ConfigError(
            f"{where}: there is no node {node!r} in nodes; add it there, or write its id in the same way "
            f"(a number and a text are different)"
        )

    def _no_replica(self, at: int) -> ConfigError:
        segment = self._cluster.segments[at]
        if segment.replica is None:
            return ConfigError(
                f"segments[{at}]: no replica of the collection {segment.collection!r} has the node {segment.node!r}; "
                "name the segment's replica, or list the replica under replicas"
            )
        return ConfigError(
            f"segments[{at}].replica: the collection {segment.collection!r} has no replica {segment.replica!r} in "
            "replicas; list it there"
        )


def _components(rows: Sequence[_Row], count: int) -> Integers:
    """For each node the number of its group, by the order of their first nodes (union by the smaller root)."""
    root = list(range(count))

    def find(place: int) -> int:
        while root[place] != place:
            root[place] = root[root[place]]
            place = root[place]
        return place

    for row in rows:
        for place in row.nodes[1:]:
            first, second = sorted((find(row.nodes[0]), find(place)))
            root[second] = first
    roots = np.array([find(place) for place in range(count)], dtype=np.int64)
    return np.unique(roots, return_inverse=True)[1].reshape(-1)


def _unique(ids: Iterable[Identity], where: str) -> None:
    seen: set[Identity] = set()
    for at, one in enumerate(ids):
        if one in seen:
            raise ConfigError(f"{where.format(at)}: {one!r} is there twice; give each its own id")
        seen.add(one)


def order_of(one: Identity) -> tuple[bool, int, str]:
    """To sort ids by: numbers first, then texts."""
    return (False, one, "") if isinstance(one, int) else (True, 0, one)


def _ranks(ids: Sequence[Identity]) -> Integers:
    """The place of each id in their order: numbers first, then texts."""
    if all(type(one) is int and abs(one) < 2**63 for one in ids):
        return np.array(ids, dtype=np.int64)
    ranks = np.empty(len(ids), dtype=np.int64)
    ranks[sorted(range(len(ids)), key=lambda at: order_of(ids[at]))] = np.arange(len(ids))
    return ranks
