"""How good a placement can be at best, and how good it is.

    load of a node = (heat on it + its leaders' heat) / cpu
    mean of a group = total heat / total cpu, cordoned nodes counted
    lower bound     = max(mean, biggest heat of a segment / biggest cpu of a node)

The floor is a sharper bound for the search, with what cannot move: nodes that take nothing in can only lose heat, bound
segments stay, and each movable one is on some node that it may be on. Ten heat on two nodes of cpu 1 with 7 of it
pinned to one: the lower bound is 5, the floor 7, and no search is spent on the difference.
"""

from __future__ import annotations

import numpy as np

from milvus_tuning.decide.rebalancing.arrays import Floats, Group, sums
from milvus_tuning.decide.rebalancing.outcome import LoadSummary

ROUNDING = 1e-9
"""Relative; sums of a million heats in another order differ by less."""


def summary(group: Group) -> LoadSummary:
    """Maximum, mean and imbalance of one group."""
    return summarise([group])


def summarise(several: list[Group]) -> LoadSummary:
    """Of all groups together: the imbalance is that of the least even one."""
    heats = [group.node_heat for group in several]
    total_heat, total_cpu = sum(float(heat.sum()) for heat in heats), sum(float(group.cpu.sum()) for group in several)
    ratios = [
        _imbalance(group.loads, float(heat.sum() / group.cpu.sum())) for group, heat in zip(several, heats, strict=True)
    ]
    return LoadSummary(
        max_load=max((float(group.loads.max()) for group in several), default=0.0),
        mean_load=total_heat / total_cpu if total_cpu else 0.0,
        imbalance_ratio=max(ratios, default=0.0),
    )


def lower_bound(group: Group) -> float:
    """The documented bound; no placement has a lower maximum."""
    biggest = float(group.heat.max(initial=0.0)) / float(group.cpu.max())
    return max(float(group.node_heat.sum() / group.cpu.sum()), biggest)


def floor(group: Group) -> float:
    """A bound at least as sharp as `lower_bound`, for what may move in this group."""
    movable = group.movable
    bound_heat = group.fixed_heat + sums(group.node[~movable], group.heat[~movable], len(group.cpu))
    return max(float((bound_heat / group.cpu).max()), _level(group), _heaviest(group))


def _level(group: Group) -> float:
    """The level of heat if it flowed; nodes that take nothing in fill up to their present load only."""
    top = np.where(group.takes, np.inf, group.loads)
    level, open_nodes = 0.0, np.ones(len(group.cpu), dtype=bool)
    while open_nodes.any():
        rest = float(group.node_heat.sum() - (top * group.cpu)[~open_nodes].sum())
        level = rest / float(group.cpu[open_nodes].sum())
        full = open_nodes & (top < level)
        if not full.any():
            return level
        open_nodes &= ~full
    return level


def _heaviest(group: Group) -> float:
    """The heaviest segment is somewhere: at best alone on the strongest node that it may be on."""
    if not group.movable.any():
        return 0.0
    strongest = np.where(group.member & group.takes, group.cpu, 0.0).max(axis=1)
    cpu: Floats = np.maximum(strongest[group.row], group.cpu[group.node])
    return float((group.heat / cpu)[group.movable].max())


def _imbalance(loads: Floats, mean: float) -> float:
    return float(loads.max()) / mean - 1.0 if mean > 0 else 0.0
