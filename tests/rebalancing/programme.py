"""Lower bounds by linear programming: what a placement of fractions of segments could reach. Needs scipy.

Fractions may do all that whole segments may and more, and memory counts at the end only, so no plan is better. One
variable for each segment and other node: the share of it that goes there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import coo_array, csr_array, hstack, vstack

from milvus_tuning.decide.rebalancing import Cluster, Segment
from milvus_tuning.decide.rebalancing.arrays import sums

MOST_CLASSES = 256
"""Of heat per byte. 256 x 100 columns are solved in seconds, 10,000 x 100 in many minutes."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Programme:
    """Rows: heat of each node, memory of each node, share of each segment; columns: segment times node."""

    heat: csr_array
    memory: csr_array
    shares: csr_array
    node_heat: Floats
    used: Floats
    ceiling: Floats
    cpu: Floats
    size: Floats
    unit_bytes: float
    away: NDArray[np.bool_]


def least_max_load(cluster: Cluster) -> float:
    """The lowest maximum load that fractions of segments could reach.

    Where every fraction may go anywhere it does not matter where it is now, so segments with about the same heat per
    byte are merged to MOST_CLASSES. That can only make the answer higher; where it is the mean load nonetheless, below
    which nothing is possible, it is exact. Else the programme is solved as it is.
    """
    mean = sum(segment.heat for segment in cluster.segments) / sum(node.cpu for node in cluster.nodes)
    if len(cluster.segments) > MOST_CLASSES:
        found = _least_max_load(_merged(cluster))
        if found <= mean * (1 + 1e-6):
            return mean
    return _least_max_load(cluster)


def _merged(cluster: Cluster) -> Cluster:
    heat = np.array([segment.heat for segment in cluster.segments])
    size = np.array([segment.memory_bytes for segment in cluster.segments])
    order = np.argsort(heat / size, kind="stable")
    return replace(
        cluster,
        segments=tuple(
            Segment(id=at, heat=float(heat[part].sum()), memory_bytes=int(size[part].sum()), node=cluster.nodes[0].id)
            for at, part in enumerate(np.array_split(order, MOST_CLASSES))
        ),
    )


def _least_max_load(cluster: Cluster) -> float:
    parts = _programme(cluster)
    columns = parts.heat.shape[1]
    heat = hstack([parts.heat, coo_array(-parts.cpu[:, None])])
    memory = hstack([parts.memory, coo_array((len(parts.cpu), 1))])
    shares = hstack([parts.shares, coo_array((parts.shares.shape[0], 1))])
    right = np.concatenate((-parts.node_heat, parts.ceiling - parts.used, np.ones(parts.shares.shape[0])))
    bounds = np.column_stack((np.zeros(columns + 1), np.append(np.where(parts.away, 1.0, 0.0), np.inf)))
    objective = np.append(np.zeros(columns), 1.0)
    return _solve(objective, vstack([heat, memory, shares]), right, bounds)


def least_bytes(cluster: Cluster, max_load: float) -> float:
    """The fewest bytes, in fractions of segments, that bring every node to at most this load."""
    parts = _programme(cluster)
    rows, right = _at_most(parts, max_load)
    bounds = np.column_stack((np.zeros(len(parts.away)), np.where(parts.away, 1.0, 0.0)))
    return parts.unit_bytes * _solve(parts.size, rows, right, bounds)


def least_whole_bytes(cluster: Cluster, max_load: float, *, seconds: float) -> float:
    """What no plan of whole segments can go below: the bound that the solver proves in this time."""
    parts = _programme(cluster)
    rows, right = _at_most(parts, max_load)
    answer = milp(
        parts.size,
        constraints=LinearConstraint(rows, -np.inf, right),
        integrality=np.ones(len(parts.size)),
        bounds=Bounds(0, np.where(parts.away, 1.0, 0.0)),
        options={"time_limit": seconds},
    )
    return parts.unit_bytes * float(answer.mip_dual_bound or 0.0)


def _at_most(parts: _Programme, max_load: float) -> tuple[csr_array, Floats]:
    """Rows and right sides of the conditions on heat, memory and shares."""
    right = np.concatenate(
        (
            max_load * parts.cpu * (1 + 1e-9) - parts.node_heat,
            parts.ceiling - parts.used,
            np.ones(parts.shares.shape[0]),
        )
    )
    return vstack([parts.heat, parts.memory, parts.shares]), right


def _solve(objective: Floats, rows: csr_array, right: Floats, bounds: Floats) -> float:
    answer = linprog(objective, A_ub=rows, b_ub=right, bounds=bounds, method="highs")
    if answer.status != 0:
        raise ArithmeticError(f"HiGHS: {answer.message}")
    return float(answer.fun)


def _programme(cluster: Cluster) -> _Programme:
    """One group, nothing bound: what the benchmarks' instances are."""
    place_of = {node.id: at for at, node in enumerate(cluster.nodes)}
    node = np.array([place_of[segment.node] for segment in cluster.segments])
    heat = np.array([segment.heat for segment in cluster.segments])
    size = np.array([float(segment.memory_bytes) for segment in cluster.segments])
    nodes, segments = len(cluster.nodes), len(cluster.segments)
    column = np.arange(nodes * segments)
    segment, destination = column // nodes, column % nodes
    source = node[segment]
    rows, columns = np.concatenate((destination, source)), np.concatenate((column, column))

    def flow(amount: Floats) -> csr_array:
        return csr_array(
            (np.concatenate((amount[segment], -amount[segment])), (rows, columns)), shape=(nodes, len(column))
        )

    ratio = cluster.limits.memory_ceiling_ratio
    warm, large = float(heat.mean()), float(size.mean())  # near 1, as the solver likes its numbers
    return _Programme(
        heat=flow(heat / warm),
        memory=flow(size / large),
        shares=csr_array((np.ones(len(column)), (segment, column)), shape=(segments, len(column))),
        node_heat=sums(node, heat / warm, nodes),
        used=sums(node, size / large, nodes),
        ceiling=np.array([each.memory_bytes * ratio / large for each in cluster.nodes]),
        cpu=np.array([each.cpu / warm for each in cluster.nodes]),
        size=size[segment] / large,
        unit_bytes=large,
        away=destination != source,
    )
