"""Which segments of one node take an excess of heat off it for the fewest bytes.

This is a covering knapsack: heat at least the excess, bytes least. Segments in order of heat per byte are within one
segment of the best; the last few of them are given up for the cheapest one or two that close the gap. Excess 10,
segments (heat 8, 1 GiB), (heat 6, 2 GiB), (heat 3, 0.5 GiB): 8 and then 3, not 8 and 6.
"""

from __future__ import annotations

import numpy as np

from milvus_tuning.decide.rebalancing.arrays import Floats, Integers

CLOSINGS = 4  # how many of the last choices are given up for one or two that close the gap
MOST_CLOSING = 128  # segments tried for that, the most worth first


def cover(heat: Floats, cost: Floats, excess: float, segments: Integers) -> Integers:
    """Of segments in order of heat for the cost, those that cover the excess; all where that is not enough."""
    covered = np.cumsum(heat)
    if not len(heat) or covered[-1] < excess:
        return segments
    last = int(np.searchsorted(covered, excess))
    spent = np.append(0.0, np.cumsum(cost))
    best_cost, best = float("inf"), np.arange(last + 1)
    for kept in range(last, max(-1, last - CLOSINGS), -1):
        gap = excess - (float(covered[kept - 1]) if kept else 0.0)
        for closing in (_cheapest_one, _cheapest_two):
            chosen = closing(heat[kept:][:MOST_CLOSING], cost[kept:][:MOST_CLOSING], gap)
            total = float(spent[kept] + cost[kept + chosen].sum())
            if len(chosen) and total < best_cost:
                best_cost, best = total, np.append(np.arange(kept), kept + chosen)
    return _without_spare(heat, cost, excess, best, segments)


def _cheapest_one(heat: Floats, cost: Floats, gap: float) -> Integers:
    """The cheapest segment that is enough by itself; none where none is."""
    enough = np.flatnonzero(heat >= gap)
    return enough[[int(cost[enough].argmin())]] if len(enough) else enough


def _cheapest_two(heat: Floats, cost: Floats, gap: float) -> Integers:
    """The cheapest two that are enough together; none where no two are."""
    costs = np.where(heat[:, None] + heat >= gap, cost[:, None] + cost, np.inf)
    np.fill_diagonal(costs, np.inf)
    one, other = divmod(int(costs.argmin()), len(heat))
    return np.array([one, other] if np.isfinite(costs[one, other]) else [], dtype=np.int64)


def _without_spare(heat: Floats, cost: Floats, excess: float, chosen: Integers, segments: Integers) -> Integers:
    """Leave out what is not needed to cover the excess, the dearest first."""
    spare = float(heat[chosen].sum()) - excess
    keep = np.ones(len(chosen), dtype=bool)
    for at in np.argsort(-cost[chosen], kind="stable")[: 8 * CLOSINGS].tolist():
        if heat[chosen[at]] <= spare:
            spare -= float(heat[chosen[at]])
            keep[at] = False
    return segments[chosen[keep]]
