"""Two moves at once, for nodes that no single move can help.

    exchange   s from the hot node a to b, t from b back to a: for small differences, and where b has no memory
    relay      t from b to some c, then s from a to b: where b is full of heat or memory and c is not

Loads 12 and 8, the segments on the first 6 and 6, on the second 5 and 3: no single move lowers the maximum below 11,
exchanging 6 and 5 gives 11 and 9. Both moves of a pair are made in the order in which memory allows them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from milvus_tuning.decide.rebalancing.arrays import Bools, Floats, Group, Integers
from milvus_tuning.decide.rebalancing.state import Budget, State

PARTNERS = 24  # nodes tried as the other side, those with the most room first
MOST_MINE = 256  # segments of the hot node tried in exchanges
MOST_RELAYED = 24  # segments of the hot node tried in relays, each with RELAY_TRIES on the other side
RELAY_TRIES = 3
STEPS = np.array([0, 1, 2, 3, 5, 8, 13, 21, 34])  # from the best fit in heat on towards colder gains
PAIRS_PER_NODE = 16
LEAST_PROGRESS = 0.02  # of the excess; less is not worth two moves


class Residents:
    """The movable segments of each node, the coldest first. Made once for a group."""

    def __init__(self, group: Group) -> None:
        chosen = np.flatnonzero(group.movable)
        self._order: Integers = chosen[np.lexsort((group.heat[chosen], group.node[chosen]))]
        self._edges = np.searchsorted(group.node[self._order], np.arange(len(group.cpu) + 1))

    def of(self, node: int, free: Bools) -> Integers:
        """Those of this node that did not move yet."""
        mine = self._order[self._edges[node] : self._edges[node + 1]]
        return mine[free[mine]]


Value = Callable[[Floats, Floats], Floats]
"""From heat gained and bytes moved to how good an exchange is; more is better, nothing at or below 0 is made."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """An exchange."""

    value: float
    mine: int
    theirs: int
    partner: int


def exchange(state: State, residents: Residents, budget: Budget) -> None:
    """Help each node that is still too hot, the hottest first, as far as pairs of moves can."""
    everything = 4.0 * float(state.group.size.sum() + 1)
    for node in state.too_hot.tolist():
        for _ in range(PAIRS_PER_NODE):
            excess = state.excess(node)
            if state.heat[node] <= state.most_heat[node] or budget.spent:
                break

            def value(gain: Floats, moved: Floats, excess: float = excess) -> Floats:
                progress = np.minimum(gain / excess, 1.0) - LEAST_PROGRESS
                return np.where(progress > 0, progress * everything / LEAST_PROGRESS - moved, 0.0)

            mine = _around(state, residents.of(node, state.free), excess, MOST_MINE)
            if not swap(state, residents, budget, node=node, mine=mine, value=value) and not _relay(
                state, residents, node, budget
            ):
                break


def swap(
    state: State,
    residents: Residents,
    budget: Budget,
    *,
    node: int,
    mine: Integers,
    value: Value,
    partners: int = PARTNERS,
) -> bool:
    """Make the best exchange of one of these segments of the node, if any has a value; False where none has."""
    if not len(mine) or state.total_left < 2 or state.left[node] < 2 or not state.takes[node]:
        return False
    best: _Pair | None = None
    for partner in _partners(state, node)[:partners]:
        if state.left[partner] < 2 or not budget.use(len(mine) * len(STEPS) * 8):
            continue
        pair = _pair(state, mine, residents.of(partner, state.free), value, node=node, partner=partner)
        if pair is not None and (best is None or pair.value > best.value):
            best = pair
    if best is None:
        return False
    moves = [(best.mine, best.partner), (best.theirs, node)]
    if state.used[best.partner] + state.group.size[best.mine] > state.group.ceiling_bytes[best.partner]:
        moves.reverse()
    for segment, destination in moves:
        state.move(segment, destination)
    return True


def _partners(state: State, node: int) -> list[int]:
    slack = state.slack()
    slack[node] = -1.0
    order = np.argsort(-slack, kind="stable")[:PARTNERS]
    return [int(other) for other in order if slack[other] > 0]


def _pair(state: State, mine: Integers, theirs: Integers, value: Value, *, node: int, partner: int) -> _Pair | None:
    """The best exchange with one partner, if any has a value."""
    if not len(theirs):
        return None
    heat, size, row = state.group.heat, state.group.size, state.group.row
    slack = state.most_heat[partner] - state.heat[partner]
    at = np.searchsorted(heat[theirs], heat[mine] - slack)[:, None] + STEPS
    inside = at < len(theirs)
    at = np.minimum(at, len(theirs) - 1)
    other = theirs[at]
    own = np.broadcast_to(mine[:, None], other.shape)
    gain = heat[own] - heat[other]
    possible = inside & (gain > 0) & (state.heat[partner] + gain <= state.most_heat[partner])
    possible &= state.allowed[row[mine], partner][:, None] & state.allowed[row[theirs], node][at]
    possible &= _memory(state, size[own], size[other], node, partner)
    values = np.where(possible, value(gain, (size[own] + size[other]).astype(np.float64)), 0.0)
    best = int(values.argmax())
    found = float(values.flat[best])
    return _Pair(found, int(own.flat[best]), int(other.flat[best]), partner) if found > 0 else None


def _memory(state: State, mine: Integers, theirs: Integers, node: int, partner: int) -> Bools:
    """Whether one of the two orders is possible."""
    used, ceiling = state.used, state.group.ceiling_bytes
    mine_first = (used[partner] + mine <= ceiling[partner]) & (used[node] - mine + theirs <= ceiling[node])
    theirs_first = (used[node] + theirs <= ceiling[node]) & (used[partner] - theirs + mine <= ceiling[partner])
    possible: Bools = mine_first | theirs_first
    return possible


def _relay(state: State, residents: Residents, node: int, budget: Budget) -> bool:
    if state.total_left < 2 or state.left[node] < 1:
        return False
    group = state.group
    mine = _around(state, residents.of(node, state.free), state.excess(node), MOST_RELAYED)
    partners = [place for place in _by_room(state, node) if state.left[place] >= 2]
    for partner in partners:
        theirs = residents.of(partner, state.free)
        for segment in mine.tolist():
            if not state.allowed[group.row[segment], partner]:
                continue
            if not budget.use(4 * len(theirs) + 18 * len(group.cpu)):
                return False
            if _make_room(state, segment, partner, theirs):
                return True
    return False


def _by_room(state: State, node: int) -> list[int]:
    """Other nodes that take segments in, the coolest first, full of memory or not."""
    room = np.where(state.takes, state.heat / state.group.cpu, np.inf)
    room[node] = np.inf
    return [int(place) for place in np.argsort(room, kind="stable")[:PARTNERS] if np.isfinite(room[place])]


def _make_room(state: State, segment: int, partner: int, theirs: Integers) -> bool:
    """Send the cheapest fitting segment of the partner on, and the hot node's segment in its place."""
    group = state.group
    heat = state.heat[partner] + group.heat[segment] - state.most_heat[partner]
    size = state.used[partner] + group.size[segment] - group.ceiling_bytes[partner]
    enough = theirs[(group.heat[theirs] >= heat) & (group.size[theirs] >= size)]
    for relayed in enough[np.lexsort((group.heat[enough], group.size[enough]))][:RELAY_TRIES].tolist():
        onward = state.destination(relayed, but=int(state.node[segment]))
        if onward < 0:
            continue
        state.move(relayed, onward)
        if state.fits(segment)[partner] and state.total_left >= 1:
            state.move(segment, partner)
            return True
        state.take_back(1)
    return False


def _around(state: State, mine: Integers, excess: float, most: int) -> Integers:
    """Of segments in order of heat those that are just enough, hotter ones after them, then the hottest of the rest."""
    warm = mine[state.group.heat[mine] > 0]
    first = int(np.searchsorted(state.group.heat[warm], excess))
    return np.concatenate((warm[first:][:most], warm[:first][::-1][: max(0, most - (len(warm) - first))]))
