"""Where Milvus itself says its segments are: the figures of the demo and the end-to-end tests come from here.

Independent of the operator on purpose: it asks Milvus through pymilvus and knows nothing of snapshots. A QueryNode is
one that a replica names or that serves a segment. (Milvus's system_info is no witness: a proxy of 2.3 answers from a
copy that every question keeps alive.) Which pod a node is, the pod's own metrics say.

    python -m tests.placement --uri http://HOST:19530
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pymilvus import MilvusClient, MilvusException

PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class NodePlacement:
    """What one QueryNode holds: `leaders` are the channels whose shard leader it is."""

    node_id: int
    rows: int = 0
    segments: tuple[int, ...] = ()
    leaders: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """All QueryNodes by node id; rows counts a segment that is on its way, and so on two nodes, once."""

    nodes: Mapping[int, NodePlacement] = field(default_factory=dict)
    rows: int = 0


def read_placement(client: MilvusClient) -> Placement:
    """Ask Milvus for its replicas, and for the segments and shard leaders on each of their nodes.

    While a shard leader moves Milvus answers with an error ("node not found"): asked anew until it can tell, for 30 s.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return _read(client)
        except MilvusException:
            if time.monotonic() > end:
                raise
            time.sleep(1.0)


def _read(client: MilvusClient) -> Placement:
    handler = client._get_connection()
    segments: dict[int, list[tuple[int, int]]] = {}
    leaders: dict[int, list[str]] = {}
    members: set[int] = set()
    for collection in client.list_collections():
        for info in handler.get_query_segment_info(collection):
            for node_id in info.nodeIds:
                segments.setdefault(node_id, []).append((info.segmentID, info.num_rows))
        for group in _groups(handler, collection):
            members.update(group.group_nodes)
            for shard in group.shards:
                leaders.setdefault(shard.shard_leader, []).append(shard.channel_name)
    rows_of = dict(held for on_node in segments.values() for held in on_node)
    return Placement(
        rows=sum(rows_of.values()),
        nodes={
            node_id: NodePlacement(
                node_id=node_id,
                rows=sum(rows for _, rows in segments.get(node_id, [])),
                segments=tuple(sorted(segment for segment, _ in segments.get(node_id, []))),
                leaders=tuple(sorted(leaders.get(node_id, []))),
            )
            for node_id in sorted(members | segments.keys())
        },
    )


def node_id_in(metrics: str) -> int | None:
    """The node id that a QueryNode's own metrics carry."""
    found = re.search(r'^milvus_num_node\{[^}]*node_id="(\d+)"[^}]*role_name="querynode"', metrics, re.MULTILINE)
    return int(found.group(1)) if found else None


def _groups(handler: Any, collection: str) -> Iterable[Any]:
    try:
        groups: Iterable[Any] = handler.get_replicas(collection).groups
    except MilvusException as error:  # a collection that is not loaded has none, and Milvus says so by an error
        if "not loaded" not in str(error):
            raise
        return ()
    return groups


def main() -> int:
    """Print the placement as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uri", required=True)
    client = MilvusClient(parser.parse_args().uri)
    json.dump([asdict(node) for node in read_placement(client).nodes.values()], sys.stdout, indent=1)
    client.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
