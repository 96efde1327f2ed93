"""Fewer bytes for the same maximum: moves of a finished plan are given back, or replaced by cheaper ones.

For one node at a time: up to two of its moves out are given back, or one out and one in, and at most one other segment
of it goes out instead, wherever it fits. Made is what saves the most, as long as every node stays at or below the
target and the moves still have an order for which memory suffices.

A node gave away heat 4 (8 GiB) and 3 (1 GiB) where 5 would have been enough: 5 (3 GiB) instead of both saves 6 GiB.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from milvus_tuning.decide.rebalancing.arrays import Floats, Group, Integers
from milvus_tuning.decide.rebalancing.bounds import ROUNDING
from milvus_tuning.decide.rebalancing.reselection import Reselection
from milvus_tuning.decide.rebalancing.state import Allowance, Budget

MOST_WORK = 40_000_000  # array elements looked at for one group
MOST_SWEEPS = 2
MOST_BUNDLES = 12  # combinations of moves given back that are tried for one node, the dearest first
MOST_TRIED = 2  # of the best changes of a node, where the order of the moves does not work out
COST_OF_CHANGE = 8  # array operations for each change that is looked at

Moves = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _Bundle:
    """Moves given back together, and what that changes on the nodes."""

    segments: tuple[int, ...]
    saved_bytes: int
    heat: Floats
    used: Floats


def thrift(group: Group, moves: Moves, allowance: Allowance, budget: Budget, *, target: float) -> Moves:
    """The moves, or others that cost fewer bytes; each segment moves at most once."""
    if not moves or len({segment for segment, _ in moves}) < len(moves):
        return moves
    return _Thrift(group, moves, allowance, budget, target).run()


def in_order(group: Group, moves: Moves) -> Moves | None:
    """The moves in an order for which memory suffices at every step, as near to the given one as can be."""
    used, node, ordered = group.used_bytes, group.node, Moves()
    waiting = moves
    while waiting:
        later = Moves()
        for segment, destination in waiting:
            if used[destination] + group.size[segment] > group.ceiling_bytes[destination]:
                later.append((segment, destination))
                continue
            used[destination] += group.size[segment]
            used[node[segment]] -= group.size[segment]
            ordered.append((segment, destination))
        if len(later) == len(waiting):
            return None
        waiting = later
    return ordered


class _Thrift:
    def __init__(self, group: Group, moves: Moves, allowance: Allowance, budget: Budget, target: float) -> None:
        self._group, self._moves, self._allowance, self._budget = group, moves, allowance, budget
        self._work = MOST_WORK
        self._most_heat: Floats = target * group.cpu * (1.0 + ROUNDING)
        self._movable = group.movable
        self._allowed = group.member & group.takes
        self._place()

    def run(self) -> Moves:
        """Sweep over the nodes until none of them saves anything."""
        at = self._group.node.copy()
        at[self._segments] = self._in
        reselection = Reselection(self._group, at, self._most_heat, self._budget, self._accept)
        improves = reselection.improve
        _ = improves() and improves()
        _ = reselection.afresh() and improves()
        self._place()
        for _ in range(MOST_SWEEPS):
            before = len(self._moves), self._bytes()
            cost = np.bincount(self._out, weights=self._group.size[self._segments], minlength=len(self._heat))
            for node in np.argsort(-cost, kind="stable")[: int((cost > 0).sum())].tolist():
                while self._improve(node):
                    pass
            if before == (len(self._moves), self._bytes()) or self._work <= 0 or self._budget.spent:
                break
        return self._moves

    def _place(self) -> None:
        """What the moves come to."""
        group = self._group
        self._segments = np.array([segment for segment, _ in self._moves], dtype=np.int64)
        self._out = group.node[self._segments]
        self._in = np.array([destination for _, destination in self._moves], dtype=np.int64)
        self._heat, self._used = group.node_heat, group.used_bytes
        for place, sign in ((self._out, -1.0), (self._in, 1.0)):
            np.add.at(self._heat, place, sign * group.heat[self._segments])
            np.add.at(self._used, place, sign * group.size[self._segments])

    def _bytes(self) -> int:
        return int(self._group.size[self._segments].sum())

    def _improve(self, node: int) -> bool:
        """Make the change of one node that saves the most."""
        bundles = self._bundles(node)
        moved = np.zeros(len(self._group.heat), dtype=bool)
        moved[self._segments] = True
        others = np.flatnonzero((self._group.node == node) & self._movable & ~moved)
        work = COST_OF_CHANGE * len(bundles) * (len(others) + 1) * len(self._heat)
        self._work -= work
        if not bundles or self._work <= 0 or not self._budget.use(work):
            return False
        found = [(bundle.saved_bytes, at, -1, -1) for at, bundle in enumerate(bundles) if self._fits(bundle)]
        for at, bundle in enumerate(bundles):
            found += [(saved, at, segment, to) for saved, segment, to in self._instead(node, bundle, others)]
        found.sort(key=lambda one: (-one[0], *one[1:]))
        return any(self._make(bundles[at], segment, to) for _, at, segment, to in found[:MOST_TRIED])

    def _bundles(self, node: int) -> list[_Bundle]:
        group = self._group
        out = np.flatnonzero(self._out == node).tolist()
        back = np.flatnonzero(self._in == node).tolist()
        sets = [(one,) for one in out] + list(combinations(out, 2)) + [(one, other) for one in out for other in back]
        cost = {chosen: int(group.size[self._segments[list(chosen)]].sum()) for chosen in sets}
        bundles = []
        for chosen in sorted(sets, key=lambda chosen: (-cost[chosen], chosen))[:MOST_BUNDLES]:
            heat, used = np.zeros(len(self._heat)), np.zeros(len(self._heat))
            for at in chosen:
                segment = self._segments[at]
                for place, sign in ((self._out[at], 1.0), (self._in[at], -1.0)):
                    heat[place] += sign * group.heat[segment]
                    used[place] += sign * group.size[segment]
            bundles.append(_Bundle(tuple(self._segments[list(chosen)].tolist()), cost[chosen], heat, used))
        return bundles

    def _fits(self, bundle: _Bundle) -> bool:
        return bool(
            (self._heat + bundle.heat <= self._most_heat).all()
            and (self._used + bundle.used <= np.maximum(self._group.ceiling_bytes, self._used)).all()
        )

    def _instead(self, node: int, bundle: _Bundle, others: Integers) -> list[tuple[int, int, int]]:
        """Bytes saved, segment and destination, for the best few that could go instead of a bundle."""
        group = self._group
        heat, used = self._heat + bundle.heat, self._used + bundle.used
        over = (heat > self._most_heat) | (used > np.maximum(group.ceiling_bytes, self._used))
        over[node] = False
        others = others[group.size[others] < bundle.saved_bytes]
        others = others[heat[node] - group.heat[others] <= self._most_heat[node]]
        others = others[used[node] - group.size[others] <= max(group.ceiling_bytes[node], self._used[node])]
        if over.any() or not len(others):
            return []
        fits = self._allowed[group.row[others]] & (heat + group.heat[others][:, None] <= self._most_heat)
        fits &= used + group.size[others][:, None] <= group.ceiling_bytes
        fits[:, node] = False
        coolest = np.where(fits, (heat + group.heat[others][:, None]) / group.cpu, np.inf).argmin(axis=1)
        possible = np.flatnonzero(fits.any(axis=1))
        cheapest = possible[np.argsort(group.size[others[possible]], kind="stable")][:MOST_TRIED]
        return [
            (bundle.saved_bytes - int(group.size[others[at]]), int(others[at]), int(coolest[at])) for at in cheapest
        ]

    def _make(self, bundle: _Bundle, segment: int, to: int) -> bool:
        """Make a change where the moves have an order and keep to the limits."""
        moves = [move for move in self._moves if move[0] not in bundle.segments]
        if segment >= 0:
            moves.append((segment, to))
        if not self._take(moves):
            return False
        self._place()
        return True

    def _accept(self, at: Integers) -> bool:
        """The moves to these places, those that were there already in their order first."""
        moves = [(segment, int(at[segment])) for segment, _ in self._moves if at[segment] != self._group.node[segment]]
        known = {segment for segment, _ in moves}
        others = [segment for segment in np.flatnonzero(at != self._group.node).tolist() if segment not in known]
        return self._take([*moves, *((segment, int(at[segment])) for segment in others)])

    def _take(self, moves: Moves) -> bool:
        """Whether the moves have an order and keep to the limits; then they are the plan."""
        ordered = in_order(self._group, moves)
        if ordered is None or len(moves) > self._allowance.total:
            return False
        if (self._allowance.after(self._group, moves).per_node < 0).any():
            return False
        self._moves = ordered
        return True
