"""One pass of the heat model: rates, work, scale, and what the map says of them.

    heat of a copy  = work of the copy x cores_per_cost
    expected CPU    = base + work of the node x cores_per_cost
    error           = mean |expected - measured| / mean measured, over the measured nodes

Example: two collections of one segment each with 1,280,000 + 200,000 of cost, 100 and 2 searches/s, on two nodes that
burn 0.30 and 0.02 cores: the hot segment is 50 times as hot as the cold one, whatever the scale.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from milvus_tuning.decide.heat.cost import NOMINAL_CORES_PER_COST
from milvus_tuning.decide.heat.model import CollectionHeat, HeatMap, HeatMemory, NodeHeat, SegmentHeat
from milvus_tuning.decide.heat.rates import Rates, smoothed_rates
from milvus_tuning.decide.heat.readings import Reading, idle, read_nodes, smoothed
from milvus_tuning.decide.heat.scale import Point, Scale, fitted_scale
from milvus_tuning.decide.heat.work import Work, mean_dimension, search_work
from milvus_tuning.decide.load import placement_gaps
from milvus_tuning.snapshot import Collection, Snapshot

HOT_SHARE = 0.1  # of the heat of all: from here on an assumption about one collection changes the picture
LEAST_MEASURED_SHARE = 0.5  # of the nodes, for an error to mean anything
_ALL = 1.0


def heat_map(snapshot: Snapshot, memory: HeatMemory | None, now: datetime) -> tuple[HeatMap, HeatMemory]:
    """The heat at `now`, and what the next pass needs to remember (None at first)."""
    rates = smoothed_rates(snapshot, memory, now)
    work = search_work(snapshot, rates)
    raw, gaps = read_nodes(snapshot, now)
    readings = smoothed(raw, memory, now)
    scale = _scale(snapshot, readings, work, memory, now)
    cores_per_cost = NOMINAL_CORES_PER_COST if scale.cores_per_cost is None else scale.cores_per_cost
    nodes = tuple(_node(one, work, scale.base_cores or 0.0, cores_per_cost) for one in readings)
    collections = _collections(snapshot, rates, work, cores_per_cost)
    placement = tuple(str(gap) for gap in placement_gaps(snapshot.placement_coverage))
    found = HeatMap(
        at=now,
        segments=_segments(work, cores_per_cost),
        nodes=nodes,
        collections=collections,
        error_ratio=None if scale.cores_per_cost is None or idle(readings) else _error(nodes, work),
        gaps=gaps + placement + rates.gaps + tuple(work.gaps) + _strangers(snapshot, work),
        notes=_notes(snapshot.collections, collections),
    )
    remembered = HeatMemory(
        at=now,
        rates=rates.by_replica,
        rated_at=rates.rated_at,
        cores_per_cost=scale.cores_per_cost,
        base_cores=scale.base_cores,
        cores={one.node_id: one.cores for one in readings if one.cores is not None},
    )
    return found, remembered


def _scale(
    snapshot: Snapshot, readings: Sequence[Reading], work: Work, memory: HeatMemory | None, now: datetime
) -> Scale:
    """The smoothed scale. An idle cluster and one that was seen in part teach nothing."""
    known = Scale()
    if memory is not None:
        known = Scale(base_cores=memory.base_cores, cores_per_cost=memory.cores_per_cost)
    if idle(readings) or snapshot.placement_coverage < _ALL:
        return known
    points = [
        Point(cost=work.of_node(one.node_id), cores=one.cores, limit_cores=one.limit_cores, saturated=one.saturated)
        for one in readings
        if one.cores is not None and one.node_id not in work.unknown_nodes
    ]
    passed_seconds = 0.0 if memory is None else (now - memory.at).total_seconds()
    return known.smoothed(fitted_scale(points, known), passed_seconds)


def _node(reading: Reading, work: Work, base_cores: float, cores_per_cost: float) -> NodeHeat:
    fixed = base_cores + work.fixed.get(reading.node_id, 0.0) * cores_per_cost
    return NodeHeat(
        pod=reading.pod,
        node_id=reading.node_id,
        cpu_limit_cores=reading.limit_cores,
        expected_cores=fixed + work.movable.get(reading.node_id, 0.0) * cores_per_cost,
        measured_cores=reading.cores,
        fixed_cores=fixed,
        saturated=reading.saturated,
    )


def _segments(work: Work, cores_per_cost: float) -> tuple[SegmentHeat, ...]:
    return tuple(
        SegmentHeat(
            segment_id=segment_id,
            collection_id=collection_id,
            replica_id=replica_id,
            node_id=node_id,
            rows=rows,
            memory_bytes=memory_bytes,
            cores=cost * cores_per_cost,
        )
        for segment_id, collection_id, replica_id, node_id, rows, memory_bytes, cost in work.copies
    )


def _collections(snapshot: Snapshot, rates: Rates, work: Work, cores_per_cost: float) -> tuple[CollectionHeat, ...]:
    costs: defaultdict[int, dict[int, float]] = defaultdict(dict)
    for (collection_id, node_id), cost in sorted(work.collections.items()):
        costs[collection_id][node_id] = cost
    total = math.fsum(work.collections.values())
    replicas: defaultdict[int, list[int]] = defaultdict(list)
    for replica in snapshot.replicas:
        replicas[replica.collection_id].append(replica.replica_id)
    found = []
    for one in sorted(snapshot.collections, key=lambda one: one.collection_id):
        held = sorted(replicas[one.collection_id])
        by_node = costs[one.collection_id]
        cost = math.fsum(by_node.values())
        found.append(
            CollectionHeat(
                collection_id=one.collection_id,
                database=one.database,
                name=one.name,
                searches_per_second=_rate(one.collection_id, held, rates),
                cores=cost * cores_per_cost,
                share_ratio=cost / total if total > 0 else 0.0,
                replicas=len(held),
                segments=work.segments.get(one.collection_id, 0),
                busiest_node_id=max(by_node, key=lambda node_id: (by_node[node_id], -node_id)) if cost > 0 else None,
            )
        )
    return tuple(found)


def _rate(collection_id: int, replica_ids: Sequence[int], rates: Rates) -> float | None:
    """Over all replicas; None where one of them is not known."""
    known = [rates.by_replica.get((collection_id, replica_id)) for replica_id in replica_ids]
    summed = [rate for rate in known if rate is not None]
    return math.fsum(summed) if summed and len(summed) == len(known) else None


def _error(nodes: Sequence[NodeHeat], work: Work) -> float | None:
    """How far the model is off; a saturated node may have more asked of it than it burns."""
    off, measured = [], []
    for node in nodes:
        if node.measured_cores is None or node.node_id in work.unknown_nodes:
            continue
        excess = node.expected_cores - node.measured_cores
        off.append(0.0 if node.saturated and excess > 0 else abs(excess))
        measured.append(node.measured_cores)
    if not measured or len(measured) < LEAST_MEASURED_SHARE * len(nodes) or math.fsum(measured) <= 0:
        return None
    return math.fsum(off) / math.fsum(measured)


def _strangers(snapshot: Snapshot, work: Work) -> tuple[str, ...]:
    """Milvus nodes that hold segments and that no pod is known for."""
    known = {node.node_id for node in snapshot.query_nodes}
    strange = sorted({node_id for _, _, _, node_id, *_ in work.copies} - known)
    return tuple(f"Milvus node {node_id}: holds segments, its pod is not known" for node_id in strange)


def _notes(collections: Sequence[Collection], heats: Sequence[CollectionHeat]) -> tuple[str, ...]:
    shapeless = {one.collection_id: one.full_name for one in collections if one.shape is None}
    dimension = mean_dimension(collections)
    return tuple(
        f"{shapeless[heat.collection_id]}: index and dimension not known, taken as brute force over {dimension:.0f}"
        f" dimensions ({heat.share_ratio * 100:.0f} % of the heat)"
        for heat in heats
        if heat.collection_id in shapeless and heat.share_ratio >= HOT_SHARE
    )
