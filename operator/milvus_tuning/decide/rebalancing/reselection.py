"""Fewer bytes for the same maximum: a node gives away its cheapest segments after all, and others make room for them.

Shedding leaves out what fits nowhere at that moment, and many cold segments go instead of one hot one. Here the plan is
finished and it is seen what that cost: the node chooses anew without looking at who has room. Where a segment fits
nowhere, the node that it goes to passes something on: first what came to it in this plan, which costs no byte more,
then the cheapest of its own.

A node gives away 15 segments (8.8 GiB) of heat 0.28 in all, since its one of heat 0.29 (0.8 GiB) found no node. Another
node passes a segment of heat 0.2 that came to it on to a third, takes the 0.29, and the 15 stay: 8 GiB less.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from milvus_tuning.decide.rebalancing.arrays import Bools, Floats, Group, Integers
from milvus_tuning.decide.rebalancing.covering import cover
from milvus_tuning.decide.rebalancing.state import Budget

WORTHWHILE_SAVING = 0.02  # of all bytes; nodes that can save less are not looked at
MOST_HOSTS = 6  # nodes tried for a segment that fits nowhere, those that it overfills the least
MOST_FOR_MEMORY = 4  # segments of a host that are tried to make memory for a guest
MOST_NODES = 12  # that choose anew in one sweep, those that may save the most
MOST_ROUNDS = 4  # in which nodes choose, where not all that was chosen found a place
PLACEMENTS_PER_MOVE = 4  # an attempt that succeeds needs one to two for each move of the plan
PLACEMENTS_AT_LEAST = 40
OPERATIONS = 12  # array operations over the nodes to place one segment


Accept = Callable[[Integers], bool]
"""Whether moves to these places have an order for which memory suffices, and keep to the limits."""


class Reselection:
    """Final places of the segments, under change; at: of each segment, its node."""

    def __init__(self, group: Group, at: Integers, most_heat: Floats, budget: Budget, accept: Accept) -> None:
        self._group, self._most_heat, self._budget, self._accept = group, most_heat, budget, accept
        self._placements_left = 0
        self._movable = group.movable
        self._allowed = group.member & group.takes
        self.at = at.copy()
        self._heat = group.fixed_heat + np.bincount(at, weights=group.heat, minlength=len(group.cpu))
        self._used = np.bincount(at, weights=group.size, minlength=len(group.cpu)).astype(np.float64)

    @property
    def moved_bytes(self) -> int:
        """What the places cost."""
        return int(self._group.size[self.at != self._group.node].sum())

    def improve(self) -> bool:
        """Let the nodes choose anew that may save something; True where any did."""
        total = self.moved_bytes
        self._allot()
        saving = []
        for node in np.unique(self._group.node[self.at != self._group.node]).tolist():
            chosen, cost = self._choice(node)
            if cost - int(self._group.size[chosen].sum()) > WORTHWHILE_SAVING * total:
                saving.append((int(self._group.size[chosen].sum()) - cost, node))
        improved = False
        for _, node in sorted(saving)[:MOST_NODES]:
            improved |= self._anew(node)
        return improved

    def afresh(self) -> bool:
        """Let all nodes choose at once, and place the hottest first; True where that saves bytes."""
        before = (self.at.copy(), self._heat.copy(), self._used.copy())
        cost, group = self.moved_bytes, self._group
        self._allot()
        for segment in np.flatnonzero(self.at != group.node).tolist():
            self._put(segment, int(group.node[segment]))
        tried = np.zeros(len(self.at), dtype=bool)
        for _ in range(MOST_ROUNDS):
            hot = np.flatnonzero(self._heat > self._most_heat).tolist()
            chosen = [self._choice(node, tried)[0] for node in hot]
            if not chosen:
                break
            for segment in self._hottest_first(np.concatenate(chosen)):
                tried[segment] = True
                if self._heat[group.node[segment]] > self._most_heat[group.node[segment]]:
                    _ = self._place(segment) or self._host(segment, MOST_HOSTS)
            if self.moved_bytes >= cost:
                break
        if not self._over().any() and self.moved_bytes < cost and self._accept(self.at):
            return True
        self.at, self._heat, self._used = before
        return False

    def _allot(self) -> None:
        """What one attempt may do."""
        moves = int((self.at != self._group.node).sum())
        self._placements_left = PLACEMENTS_PER_MOVE * moves + PLACEMENTS_AT_LEAST

    def _hottest_first(self, segments: Integers) -> list[int]:
        found: list[int] = segments[np.argsort(-self._group.heat[segments], kind="stable")].tolist()
        return found

    def _over(self) -> Bools:
        """Nodes that are above the target, or have more memory in use than they may."""
        group = self._group
        over: Bools = self._heat > self._most_heat
        return over | (self._used > np.maximum(group.ceiling_bytes, group.used_bytes))

    def _out(self, node: int) -> Integers:
        return np.flatnonzero((self._group.node == node) & (self.at != node))

    def _choice(self, node: int, tried: Bools | None = None) -> tuple[Integers, int]:
        """The cheapest segments that take the excess off the node, had it given away nothing; and what it gave."""
        group, out = self._group, self._out(node)
        excess = float(self._heat[node] + group.heat[out].sum() - self._most_heat[node])
        cost = int(group.size[out].sum())
        mine = np.flatnonzero((group.node == node) & self._movable & (group.heat > 0))
        if tried is not None:
            mine = mine[~tried[mine] & (self.at[mine] == node)]
        if excess <= 0:
            return mine[:0], cost
        mine = mine[np.argsort(-group.heat[mine] / np.maximum(group.size[mine], 1), kind="stable")]
        return cover(group.heat[mine], group.size[mine].astype(np.float64), excess, mine), cost

    def _anew(self, node: int) -> bool:
        """Choose anew and find places; all as it was where that fails or saves nothing."""
        before = (self.at.copy(), self._heat.copy(), self._used.copy())
        cost = self.moved_bytes
        chosen, _ = self._choice(node)
        for segment in self._out(node).tolist():
            self._put(segment, node)
        for segment in self._hottest_first(chosen):
            if not self._place(segment) and not self._host(segment, MOST_HOSTS):
                break
        else:
            if not self._over().any() and self.moved_bytes < cost and self._accept(self.at):
                return True
        self.at, self._heat, self._used = before
        return False

    def _put(self, segment: int, node: int) -> None:
        group, source = self._group, self.at[segment]
        for amounts, of in ((self._heat, group.heat), (self._used, group.size)):
            amounts[source] -= of[segment]
            amounts[node] += of[segment]
        self.at[segment] = node

    def _place(self, segment: int) -> bool:
        """Put a segment on the node that is the coolest with it, if it fits anywhere else."""
        group, source = self._group, int(self.at[segment])
        self._placements_left -= 1
        if self._placements_left < 0 or not self._budget.use(OPERATIONS * len(group.cpu)):
            return False
        heat = self._heat + group.heat[segment]
        fits = self._allowed[group.row[segment]] & (heat <= self._most_heat)
        fits &= self._used + group.size[segment] <= group.ceiling_bytes
        fits[source] = False
        if not fits.any():
            return False
        self._put(segment, int(np.where(fits, heat / group.cpu, np.inf).argmin()))
        return True

    def _host(self, segment: int, most: int) -> bool:
        """Put a segment where it does not fit, and pass on from there what is then too much."""
        group = self._group
        over = (self._heat + group.heat[segment] - self._most_heat) / group.cpu
        over[~self._allowed[group.row[segment]]] = np.inf
        over[self.at[segment]] = np.inf
        for host in np.argsort(over, kind="stable")[:most].tolist():
            if not np.isfinite(over[host]) or self._placements_left < 0:
                break
            before = (self.at.copy(), self._heat.copy(), self._used.copy())
            self._put(segment, host)
            if self._pass_on(host, segment, most // 3):
                return True
            self.at, self._heat, self._used = before
        return False

    def _pass_on(self, host: int, guest: int, most: int) -> bool:
        """Get the host back to its target: what came to it goes on, then the cheapest of its own goes out."""
        group = self._group
        self._placements_left -= 1
        came = np.flatnonzero((self.at == host) & (group.node != host))
        came = came[came != guest]
        for segment in self._hottest_first(came):
            if self._heat[host] <= self._most_heat[host] and self._used[host] <= group.ceiling_bytes[host]:
                return True
            if not self._place(segment):
                self._host(segment, most)
        own = np.flatnonzero((self.at == host) & (group.node == host) & self._movable & (group.heat > 0))
        own = own[np.argsort(-group.heat[own] / np.maximum(group.size[own], 1), kind="stable")]
        excess = float(self._heat[host] - self._most_heat[host])
        if excess > 0:
            chosen = cover(group.heat[own], group.size[own].astype(np.float64), excess, own)
            for segment in self._hottest_first(chosen):
                if not self._place(segment):
                    return False
        return self._make_memory(host)

    def _make_memory(self, host: int) -> bool:
        """Get the host back to its ceiling by one of its own segments, the smallest that is enough."""
        group = self._group
        excess = float(self._used[host] - group.ceiling_bytes[host])
        if excess > 0:
            own = np.flatnonzero((self.at == host) & (group.node == host) & self._movable & (group.size >= excess))
            enough = own[np.argsort(group.size[own], kind="stable")][:MOST_FOR_MEMORY].tolist()
            if not any(self._place(segment) for segment in enough):
                return False
        return bool(self._heat[host] <= self._most_heat[host] and self._used[host] <= group.ceiling_bytes[host])
