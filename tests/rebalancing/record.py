"""Record what the balancer of a real Milvus makes of a placement: material for the test of its model.

With the balancer off, collections of different sizes are moved into a seeded disorder; then it is on again, until
nothing has moved for a while. Both placements are written as documents of the planner. Segments of growing rows are
avoided by the data being flushed; the collections are those of the load tests.

    python -m tests.rebalancing.record --uri http://HOST:19530 --etcd http://HOST:2379 --seed 1 --out FILE
"""

import argparse
import json
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymilvus import MilvusClient, MilvusException

from tests.e2e.etcd import write_key
from tests.load.prepare import Dataset, prepare

SHAPES = ((8, 12_000), (3, 15_000), (1, 9_000), (1, 14_000), (6, 6_000))  # segments, rows in each of them
AUTO_BALANCE = "by-dev/config/querycoord.autobalance"
OFF_SECONDS, AT_REST_SECONDS, MOST_SECONDS = 12.0, 60.0, 300.0
NODE = {"memory_bytes": 2**40, "cpu": 1.0, "replica": "r"}

Document = dict[str, Any]


def main() -> None:
    """Record one disorder and what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uri", required=True)
    parser.add_argument("--etcd", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    names = {f"record_{number}": shape for number, shape in enumerate(SHAPES)}
    for name, (segments, rows) in names.items():
        prepare(options.uri, name, Dataset(rows=segments * rows, dim=64, segments=segments))
    client = MilvusClient(options.uri)
    others = [name for name in client.list_collections() if name not in names]
    for name in others:
        client.release_collection(name)
    write_key(options.etcd, AUTO_BALANCE, "false")
    time.sleep(OFF_SECONDS)
    _disorder(client, list(names), draw)
    before = _placement(client, list(names))
    write_key(options.etcd, AUTO_BALANCE, None)
    after = _at_rest(client, list(names))
    options.out.write_text(json.dumps({"before": before, "after": after}, indent=1) + "\n", encoding="utf-8")
    for name in others:
        client.load_collection(name)
    client.close()


def _disorder(client: MilvusClient, names: list[str], draw: random.Random) -> None:
    for segment in _placement(client, names)["segments"]:
        nodes = [node["id"] for node in _placement(client, names)["nodes"]]
        to = draw.choice(nodes[:1] * 2 + nodes)  # the first more often, so that rows are uneven
        if to != segment["node"]:
            client._get_connection().load_balance(segment["collection"], segment["node"], [to], [segment["id"]])


def _at_rest(client: MilvusClient, names: list[str]) -> Document:
    """The placement once it has not changed for a while."""
    begun = since = time.monotonic()
    last = _placement(client, names)
    while time.monotonic() - since < AT_REST_SECONDS and time.monotonic() - begun < MOST_SECONDS:
        time.sleep(1.0)
        found = _placement(client, names)
        if found != last:
            last, since = found, time.monotonic()
    return last


def _placement(client: MilvusClient, names: list[str]) -> Document:
    """Nodes and segments as a document of the planner; asked again while something is under way."""
    while True:
        try:
            found = _read(client, names)
        except MilvusException:
            found = None
        if found is not None:
            return found
        time.sleep(0.5)


def _read(client: MilvusClient, names: list[str]) -> Document | None:
    handler = client._get_connection()
    nodes: set[int] = set()
    segments: list[Mapping[str, Any]] = []
    for name in names:
        for group in handler.get_replicas(name).groups:
            nodes.update(group.group_nodes)
        for info in handler.get_query_segment_info(name):
            if len(info.nodeIds) != 1:
                return None
            segments.append(
                {
                    "id": info.segmentID,
                    "collection": name,
                    "rows": info.num_rows,
                    "memory_bytes": info.num_rows * 256,
                    "heat": 0.0,
                    "node": info.nodeIds[0],
                }
            )
    segments.sort(key=lambda one: int(one["id"]))
    return {"nodes": [{"id": node, **NODE} for node in sorted(nodes)], "segments": segments}


if __name__ == "__main__":
    main()
