"""The working state of one search: a placement that moves change one by one, each allowed when it is made.

A move is allowed when the segment may move and did not yet, the destination takes segments in, belongs to the replica,
has memory for the segment beside all it holds at that moment, and no move limit is reached. So the moves are in an
order in which they can be carried out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from milvus_tuning.decide.rebalancing.arrays import Bools, Floats, Group, Integers
from milvus_tuning.decide.rebalancing.bounds import ROUNDING

UNLIMITED = 2**62


class Budget:
    """Work units: array elements looked at, so the same everywhere; the clock only cuts off."""

    def __init__(self, work: int, out_of_time: Callable[[], bool]) -> None:
        self._left = work
        self._out_of_time = out_of_time
        self.spent = False

    def use(self, work: int) -> bool:
        """Take so much; False where the search has to end with the best it has."""
        self._left -= work
        if self._left < 0 or self._out_of_time():
            self.spent = True
        return not self.spent


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """Moves that are left for the plan and for each node, in and out together."""

    total: int
    per_node: Integers

    def after(self, group: Group, moves: list[tuple[int, int]]) -> Allowance:
        """What is left after these moves from the group's placement."""
        per_node, node = self.per_node.copy(), group.node.copy()
        for segment, destination in moves:
            per_node[node[segment]] -= 1
            per_node[destination] -= 1
            node[segment] = destination
        return Allowance(total=self.total - len(moves), per_node=per_node)


class State:
    """A placement under change. heat, used: of each node; moves: (segment, destination) in order."""

    def __init__(self, group: Group, allowance: Allowance, target: float) -> None:
        self.group = group
        self.target = target
        self.most_heat: Floats = target * group.cpu * (1.0 + ROUNDING)
        self.heat = group.node_heat
        self.used = group.used_bytes
        self.node = group.node.copy()
        self.free: Bools = group.movable.copy()
        self.left = allowance.per_node.copy()
        self.total_left = allowance.total
        self.moves: list[tuple[int, int]] = []
        self.takes: Bools = group.takes
        self.allowed: Bools = np.logical_and(group.member, self.takes)

    @property
    def max_load(self) -> float:
        """The highest load of a node."""
        return float((self.heat / self.group.cpu).max())

    @property
    def too_hot(self) -> Integers:
        """Nodes above the target, the hottest first."""
        hot = np.flatnonzero(self.heat > self.most_heat)
        return hot[np.argsort(-(self.heat / self.group.cpu)[hot], kind="stable")]

    def excess(self, node: int) -> float:
        """Heat that the node has to lose to be at the target."""
        return float(self.heat[node] - self.target * self.group.cpu[node])

    def slack(self) -> Floats:
        """Heat that each node could take, negative where it is too hot; below zero as well where it takes nothing."""
        slack = self.most_heat - self.heat
        slack[~self.takes | (self.left < 1)] = -1.0
        return slack

    def fits(self, segment: int) -> Bools:
        """The nodes to which the segment may go now and which stay at or below the target with it."""
        group = self.group
        fits: Bools = self.allowed[group.row[segment]] & (self.left >= 1)
        fits &= self.heat + group.heat[segment] <= self.most_heat
        fits &= self.used + group.size[segment] <= group.ceiling_bytes
        fits[self.node[segment]] = False
        return fits

    def destination(self, segment: int, *, but: int = -1) -> int:
        """The node that is the coolest with the segment on it; -1 where none fits. Ties by id."""
        source = self.node[segment]
        if not self.free[segment] or self.total_left < 1 or self.left[source] < 1:
            return -1
        fits = self.fits(segment)
        if but >= 0:
            fits[but] = False
        loads = np.where(fits, (self.heat + self.group.heat[segment]) / self.group.cpu, np.inf)
        best = int(loads.argmin())
        return best if fits[best] else -1

    def placeable(self, segments: Integers) -> Bools:
        """Which of these segments, all of one node, some other node could take now."""
        group = self.group
        slack, room = self.slack(), group.ceiling_bytes - self.used
        if len(segments):
            slack[self.node[segments[0]]] = -1.0
        rows = np.logical_and(self.allowed[group.row[segments]], slack >= 0)
        rows = rows & (group.heat[segments][:, None] <= slack) & (group.size[segments][:, None] <= room)
        found: Bools = np.any(rows, axis=1)
        return found

    def move(self, segment: int, destination: int) -> None:
        """Make a move that was found to be allowed."""
        group, source = self.group, self.node[segment]
        self.heat[source] -= group.heat[segment]
        self.heat[destination] += group.heat[segment]
        self.used[source] -= group.size[segment]
        self.used[destination] += group.size[segment]
        self.left[source] -= 1
        self.left[destination] -= 1
        self.total_left -= 1
        self.node[segment] = destination
        self.free[segment] = False
        self.moves.append((segment, destination))

    def take_back(self, count: int) -> None:
        """Undo the last `count` moves."""
        group = self.group
        for _ in range(count):
            segment, destination = self.moves.pop()
            source = group.node[segment]
            self.heat[destination] -= group.heat[segment]
            self.heat[source] += group.heat[segment]
            self.used[destination] -= group.size[segment]
            self.used[source] += group.size[segment]
            self.left[source] += 1
            self.left[destination] += 1
            self.total_left += 1
            self.node[segment] = source
            self.free[segment] = True
