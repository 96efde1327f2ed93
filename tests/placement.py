"""Where Milvus itself says its segments are: the figures of the demo and the end-to-end tests come from here.

Independent of the operator on purpose: it asks Milvus through pymilvus and knows nothing of snapshots. Node ids become
pod names by the IP in Milvus's system_info.

    python -m tests.placement --uri http://HOST:19530
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pymilvus import MilvusClient
from pymilvus.grpc_gen import milvus_pb2

SEALED = 3  # common.proto SegmentState.Sealed; what is loaded from storage shows as Sealed on a QueryNode


@dataclass(frozen=True, kw_only=True, slots=True)
class NodePlacement:
    """What one QueryNode holds: `leaders` are the channels whose shard leader it is."""

    node_id: int
    ip: str
    rows: int = 0
    segments: tuple[int, ...] = ()
    leaders: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """All QueryNodes by node id, and the rows that are served altogether."""

    nodes: Mapping[int, NodePlacement] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows served by all nodes."""
        return sum(node.rows for node in self.nodes.values())

    def by_ip(self, ip: str) -> NodePlacement | None:
        """The node with this pod IP, or None."""
        return next((node for node in self.nodes.values() if node.ip == ip), None)


def read_placement(client: MilvusClient) -> Placement:
    """Ask Milvus for its QueryNodes, the segments and the shard leaders on them."""
    handler = client._get_connection()
    segments: dict[int, list[tuple[int, int]]] = {}
    leaders: dict[int, list[str]] = {}
    for collection in client.list_collections():
        for info in handler.get_query_segment_info(collection):
            for node_id in info.nodeIds:
                segments.setdefault(node_id, []).append((info.segmentID, info.num_rows))
        for group in _groups(handler, collection):
            for shard in group.shards:
                leaders.setdefault(shard.shard_leader, []).append(shard.channel_name)
    return Placement(
        nodes={
            node_id: NodePlacement(
                node_id=node_id,
                ip=ip,
                rows=sum(rows for _, rows in segments.get(node_id, [])),
                segments=tuple(sorted(segment for segment, _ in segments.get(node_id, []))),
                leaders=tuple(sorted(leaders.get(node_id, []))),
            )
            for node_id, ip in _query_nodes(handler).items()
        }
    )


def _groups(handler: Any, collection: str) -> Iterable[Any]:
    try:
        groups: Iterable[Any] = handler.get_replicas(collection).groups
    except Exception as error:  # a collection that is not loaded has none, and Milvus says so by an error
        if "not loaded" not in str(error):
            raise
        return ()
    return groups


def _query_nodes(handler: Any) -> dict[int, str]:
    request = milvus_pb2.GetMetricsRequest(request='{"metric_type":"system_info"}')
    answer = json.loads(handler._stub.GetMetrics(request).response)
    infos = [node["infos"] for node in answer["nodes_info"]]
    return {
        info["id"]: info["hardware_infos"]["ip"].partition(":")[0]
        for info in infos
        if info.get("type") == "querynode" and not info.get("has_error")
    }


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
