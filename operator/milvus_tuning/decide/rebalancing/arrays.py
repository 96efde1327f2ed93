"""One group as arrays: what does not change while a plan is searched for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from milvus_tuning.decide.rebalancing.model import Identity

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]


def sums(node: Integers, amounts: Floats | Integers, count: int) -> Floats:
    """What the segments of each of `count` nodes add up to."""
    return np.bincount(node, weights=amounts, minlength=count).astype(np.float64)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Group:
    """N nodes and S segments; nodes and segments are in the order of their ids.

    positions: of each segment in the cluster's list; node, row: of each segment, its node (0 to N-1) and its line in
    `member` (R x N, which nodes its replica has here); stays: why it stays, see groups.STAYS, 0 where it may move.
    over: nodes that were above their ceiling when the plan began; they take nothing for the whole plan.
    """

    resource_group: str
    node_ids: tuple[Identity, ...]
    cpu: Floats
    ceiling_bytes: Floats
    cordoned: Bools
    fixed_heat: Floats
    positions: Integers
    heat: Floats
    size: Integers
    node: Integers
    row: Integers
    member: Bools
    stays: Integers
    over: Bools | None = None

    @property
    def node_heat(self) -> Floats:
        """Heat on each node, its shard leaders with it."""
        return self.fixed_heat + sums(self.node, self.heat, len(self.cpu))

    @property
    def used_bytes(self) -> Floats:
        """Memory in use on each node; exact up to 2^53 bytes."""
        return sums(self.node, self.size, len(self.cpu))

    @property
    def loads(self) -> Floats:
        """Load of each node: heat over cpu."""
        return self.node_heat / self.cpu

    @property
    def above_ceiling(self) -> Bools:
        """Nodes that may only shed."""
        return self.used_bytes > self.ceiling_bytes if self.over is None else self.over

    @property
    def takes(self) -> Bools:
        """Nodes that may take segments in."""
        return ~self.cordoned & ~self.above_ceiling

    @property
    def movable(self) -> Bools:
        """Segments that may leave their node: not bound to it, and some other node may take them."""
        elsewhere = (self.member & self.takes).sum(axis=1)[self.row]
        own = (self.member[self.row, self.node] & self.takes[self.node]) if len(self.row) else np.zeros(0, dtype=bool)
        movable: Bools = (self.stays == 0) & (elsewhere > own)
        return movable

    def moved(self, node: Integers) -> Group:
        """The group with its segments on other nodes; who may only shed stays as it was at the start."""
        return replace(self, node=node, over=self.above_ceiling)
