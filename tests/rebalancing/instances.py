"""Seeded clusters for the planner's tests and benchmarks: what comes out depends on the arguments alone.

Rows are even over the nodes, as Milvus leaves them; heat is not. Segments of a collection have the same heat per row,
as a search without a partition filter touches all of them; the collections' heat follows Zipf's law.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milvus_tuning.decide.rebalancing import Cluster, Limits, Node, Segment
from milvus_tuning.decide.rebalancing.arrays import sums

GIBIBYTE = 2**30
CEILING_RATIO = 0.9
ROWS = 1_000_000
BYTES_PER_ROW = (512, 1024, 2048, 3072, 6144)  # 128 to 1536 dimensions of 4 bytes
SEGMENTS_PER_COLLECTION = 20
MOST_COLLECTIONS = 200  # larger clusters have larger collections, so that no single segment decides the maximum


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """What a cluster looks like. joined, left: share of the nodes that are new and empty, or that just went."""

    name: str
    zipf: float
    by_collection: bool = True
    memory_fill: float = 0.6
    mixed_nodes: bool = False
    joined: float = 0.0
    left: float = 0.0


SHAPES = (
    Shape(name="Zipf 0.6", zipf=0.6),
    Shape(name="Zipf 0.9, tight memory", zipf=0.9, memory_fill=0.93),
    Shape(name="Zipf 1.2", zipf=1.2),
    Shape(name="Zipf 0.9 by segment", zipf=0.9, by_collection=False),
    Shape(name="Zipf 0.8, mixed nodes", zipf=0.8, mixed_nodes=True),
    Shape(name="Zipf 0.8, a tenth joined", zipf=0.8, joined=0.1),
    Shape(name="Zipf 0.8, a tenth left", zipf=0.8, left=0.1, memory_fill=0.8),
)


def an_instance(shape: Shape, *, segments: int, nodes: int, seed: int) -> Cluster:
    """One cluster of this shape, all nodes in one group."""
    random = np.random.default_rng((seed, segments, nodes, *shape.name.encode()))
    collections = max(1, min(MOST_COLLECTIONS, segments // SEGMENTS_PER_COLLECTION))
    collection = np.sort(random.integers(0, collections, segments))
    rows = (ROWS * random.uniform(0.1, 1.0, segments)).astype(np.int64)
    size = rows * random.choice(BYTES_PER_ROW, segments)[np.searchsorted(collection, collection)]
    heat = _heat(random, shape, collection, rows)
    cpu = random.choice((2.0, 4.0, 8.0), nodes) if shape.mixed_nodes else np.full(nodes, 4.0)
    place = _place(random, rows, _shares(shape, cpu))
    used = sums(place, size, nodes)
    memory = _memory(shape, cpu, size, used)
    return Cluster(
        nodes=tuple(
            Node(id=at + 1, memory_bytes=int(each), cpu=float(power))
            for at, (each, power) in enumerate(zip(memory, cpu, strict=True))
        ),
        segments=tuple(
            Segment(id=10_000_000 + at, collection=of, rows=count, memory_bytes=held, heat=warm, node=where + 1)
            for at, (of, count, held, warm, where) in enumerate(
                zip(collection.tolist(), rows.tolist(), size.tolist(), heat.tolist(), place.tolist(), strict=True)
            )
        ),
        limits=Limits(memory_ceiling_ratio=CEILING_RATIO, time_budget_seconds=180),
    )


def _heat(
    random: np.random.Generator, shape: Shape, collection: NDArray[np.int64], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    if not shape.by_collection:
        return random.permutation(np.arange(1, len(rows) + 1) ** -shape.zipf) * 1000.0
    rank = random.permutation(int(collection.max()) + 1) + 1
    total = sums(collection, rows, int(collection.max()) + 1)
    heat: NDArray[np.float64] = 1000.0 * rank[collection] ** -shape.zipf * rows / total[collection]
    return heat


def _shares(shape: Shape, cpu: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of the rows that each node has; the rows of nodes that left went to a tenth of the others."""
    shares = cpu.copy()
    count = len(cpu)
    shares[: round(shape.joined * count)] = 0.0
    if shape.left:
        shares[: max(1, count // 10)] *= 1 + shape.left * count / max(1, count // 10)
    shares /= shares.sum()
    return shares


def _place(random: np.random.Generator, rows: NDArray[np.int64], shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Segments in a random order, cut where each node has its share of the rows."""
    order = random.permutation(len(rows))
    behind = np.cumsum(rows[order]) / rows.sum()
    place = np.empty(len(rows), dtype=np.int64)
    place[order] = np.minimum(np.searchsorted(np.cumsum(shares), behind - 1e-12), len(shares) - 1)
    return place


def _memory(
    shape: Shape, cpu: NDArray[np.float64], size: NDArray[np.int64], used: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Memory by cpu, such that the fill over all is as asked and no node is above its ceiling at the start."""
    fair = float(size.sum()) * cpu / cpu.sum() / shape.memory_fill
    memory: NDArray[np.float64] = np.ceil(np.maximum(fair, used * 1.0001) / CEILING_RATIO)
    return memory
