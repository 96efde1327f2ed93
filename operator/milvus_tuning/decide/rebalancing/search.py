"""The search in one group: the lowest target that can be reached, then the cheapest way there.

A target is a load that no node shall exceed. An attempt starts from the present placement and makes single moves, then
pairs, until no node is above the target or nothing helps. The first target is AIM above the floor of the group; where
that is not reached, targets between it and the present maximum are tried by halving. At the end the best maximum is
aimed at once more, with exchanges that save bytes, since an attempt that aims too low moves too much.

The next search starts from the result, until one finds nothing worth a plan: so a second run on the result of the first
finds 0 moves, where no move limit and no budget ended the first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from milvus_tuning.decide.rebalancing.arrays import Group, Integers
from milvus_tuning.decide.rebalancing.bounds import ROUNDING, floor
from milvus_tuning.decide.rebalancing.exchanges import Residents, exchange
from milvus_tuning.decide.rebalancing.shedding import Candidates, Price, shed
from milvus_tuning.decide.rebalancing.state import UNLIMITED, Allowance, Budget, State
from milvus_tuning.decide.rebalancing.thrift import in_order, thrift

AIM = 1.008
"""Above the floor: within 2 % of it also where the last per cent is not worth a plan."""
WORTHWHILE_RATIO = 0.01
"""A plan lowers the maximum load by at least this share of it; less is noise, and moves cost memory and warm caches."""
CLOSE_ENOUGH = 1.004  # two targets closer than this are not told apart
MOST_ATTEMPTS = 12
MOST_SEARCHES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What an attempt came to."""

    max_load: float
    moved_bytes: int
    moves: list[tuple[int, int]]
    node: Integers


def search(group: Group, allowance: Allowance, budget: Budget) -> list[tuple[int, int]]:
    """Moves (segment, destination) of the group in their order; none where no plan is worth it."""
    moves: list[tuple[int, int]] = []
    now, left = group, allowance
    for _ in range(MOST_SEARCHES):
        found = _Search(now, left, budget).best()
        if found is None:
            break
        moves += found.moves
        left = left.after(now, found.moves)
        now = now.moved(found.node)
        if budget.spent:
            break
    moves = _direct(group, moves, now.node)
    if not _is_done(now):
        return moves  # a second search, from another placement that is as good, could find more
    cheaper = thrift(group, moves, allowance, budget, target=max(floor(group) * AIM, float(now.loads.max())))
    node = group.node.copy()
    for segment, destination in cheaper:
        node[segment] = destination
    return cheaper if _is_done(group.moved(node)) else moves


def _is_done(group: Group) -> bool:
    """Whether a search gives up at once, since no plan could be worth it."""
    return _most(group) < floor(group) * AIM


def _most(group: Group) -> float:
    """The maximum load that a plan has to reach to be worth it."""
    return float(group.loads.max()) * (1 - WORTHWHILE_RATIO)


class _Search:
    """One search from one placement."""

    def __init__(self, group: Group, allowance: Allowance, budget: Budget) -> None:
        self._group, self._allowance, self._budget = group, allowance, budget
        self._most = _most(group)
        self._aim = floor(group) * AIM
        self._best: Found | None = None

    def best(self) -> Found | None:
        """The best plan that is worth it."""
        if _is_done(self._group) or self._allowance.total < 1 or not self._group.movable.any():
            return None
        limited = self._allowance.total < UNLIMITED or int(self._allowance.per_node.min()) < UNLIMITED
        self._prices = (Price.BYTES, Price.MOVES) if limited else (Price.BYTES,)
        self._candidates = {price: Candidates(self._group, price) for price in self._prices}
        self._residents = Residents(self._group)
        if not self._reaches(self._aim):
            self._halve()
        if self._best is not None:
            self._reaches(max(self._aim, self._best.max_load), saving=True)
        return self._best

    def _halve(self) -> None:
        low, high = self._aim, self._most
        for _ in range(MOST_ATTEMPTS):
            high = min(high, self._best.max_load) if self._best else high
            if high <= low * CLOSE_ENOUGH or self._budget.spent:
                return
            target = high if self._best is None and low == self._aim else (low + high) / 2
            if not self._reaches(target):
                if target == high:
                    return
                low = target

    def _reaches(self, target: float, *, saving: bool = False) -> bool:
        """Try a target at each price, with exchanges that save bytes or without; keep what is better than the best."""
        reached = False
        for price in self._prices:
            if self._budget.spent and self._best is not None:
                return False
            found = self._attempt(target, price, self._residents if saving else None)
            reached |= found.max_load <= target * (1 + 2 * ROUNDING)
            if found.max_load <= self._most and (self._best is None or _better(found, self._best)):
                self._best = found
        return reached

    def _attempt(self, target: float, price: Price, saving: Residents | None) -> Found:
        state = State(self._group, self._allowance, target)
        shed(state, self._candidates[price], self._budget, saving)
        if len(state.too_hot):
            exchange(state, self._residents, self._budget)
        moved = np.array([segment for segment, _ in state.moves], dtype=np.int64)
        return Found(
            max_load=state.max_load,
            moved_bytes=int(self._group.size[moved].sum()),
            moves=state.moves,
            node=state.node,
        )


def _better(one: Found, other: Found) -> bool:
    """A lower maximum, then fewer bytes, then fewer moves; maxima that are CLOSE_ENOUGH are not told apart."""
    if one.max_load * CLOSE_ENOUGH < other.max_load:
        return True
    cheaper = (one.moved_bytes, len(one.moves)) < (other.moved_bytes, len(other.moves))
    return one.max_load <= other.max_load * CLOSE_ENOUGH and cheaper


def _direct(group: Group, moves: list[tuple[int, int]], final: Integers) -> list[tuple[int, int]]:
    """Each segment moved once, straight to where it ends, where memory has an order for that; else as found."""
    if len({segment for segment, _ in moves}) == len(moves):
        return moves
    last = {segment: at for at, (segment, _) in enumerate(moves)}
    waiting = [segment for segment in sorted(last, key=last.__getitem__) if final[segment] != group.node[segment]]
    return in_order(group, [(segment, int(final[segment])) for segment in waiting]) or moves
