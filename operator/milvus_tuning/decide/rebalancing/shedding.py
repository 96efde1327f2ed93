"""Single moves: each node above the target gives away what takes the most heat off it for the fewest bytes.

What a node gives away is chosen by `covering`. Where the segments that would do are too hot or too big for any other
node, exchanging one of them for a colder one is cheaper than many cold ones: a node may first make the exchanges that
save bytes against what it would give away.

All nodes choose first, then what was chosen goes out in order of heat, each to the node that is the coolest with it on
(longest processing time first). What found no place is left out of the next round, until a round places nothing.
"""

from __future__ import annotations

import enum

import numpy as np

from milvus_tuning.decide.rebalancing.arrays import Bools, Floats, Group, Integers
from milvus_tuning.decide.rebalancing.covering import cover
from milvus_tuning.decide.rebalancing.exchanges import PAIRS_PER_NODE, Residents, swap
from milvus_tuning.decide.rebalancing.state import Budget, State

SAVING_PARTNERS = 5
MOST_SAVING = 32  # segments of a node, the hottest, that are tried in exchanges to save bytes
COST_OF_DESTINATION = 6  # array operations over the nodes to place one segment


class Price(enum.Enum):
    """What a move costs: its bytes, or one, where the number of moves is what is short."""

    BYTES = "bytes"
    MOVES = "moves"


class Candidates:
    """The movable, warm segments of each node, the most heat for the price first. Made once for a group."""

    def __init__(self, group: Group, price: Price) -> None:
        self.cost: Floats = (
            np.maximum(group.size, 1).astype(np.float64) if price is Price.BYTES else np.ones(len(group.heat))
        )
        chosen = np.flatnonzero(group.movable & (group.heat > 0))
        worth = group.heat[chosen] / self.cost[chosen]
        self._order: Integers = chosen[np.lexsort((-group.heat[chosen], -worth, group.node[chosen]))]
        self._edges = np.searchsorted(group.node[self._order], np.arange(len(group.cpu) + 1))

    def of(self, node: int) -> Integers:
        """Segments that were on this node at the start."""
        return self._order[self._edges[node] : self._edges[node + 1]]


def shed(state: State, candidates: Candidates, budget: Budget, residents: Residents | None = None) -> None:
    """Make moves until no node is above the target, or none of them helps; with residents, exchanges that save, too."""
    tried = np.zeros(len(state.group.heat), dtype=bool)
    while len(hot := state.too_hot) and state.total_left > 0:
        chosen: list[Integers] = []
        for node in hot.tolist():
            if not budget.use((len(candidates.of(node)) + 1) * len(state.heat)):
                return
            mine = _choice(state, candidates, node, tried)
            if residents is not None:
                for _ in range(PAIRS_PER_NODE):
                    if not _exchange(state, candidates, residents, budget, node=node, singles=mine):
                        break
                    mine = _choice(state, candidates, node, tried)
            excess = state.excess(node)
            if excess > 0:
                chosen.append(cover(state.group.heat[mine], candidates.cost[mine], excess, mine))
        if chosen and not _place(state, np.concatenate(chosen), tried, budget):
            return


def _choice(state: State, candidates: Candidates, node: int, tried: Bools) -> Integers:
    """What the node can give away as things are."""
    mine = candidates.of(node)
    mine = mine[state.free[mine] & ~tried[mine]]
    return mine[state.placeable(mine)]


def _exchange(
    state: State, candidates: Candidates, residents: Residents, budget: Budget, *, node: int, singles: Integers
) -> bool:
    """Make the exchange that saves the most against giving single segments away; False where none saves."""
    excess = state.excess(node)
    if excess <= 0:
        return False
    heat = np.append(0.0, np.cumsum(state.group.heat[singles]))
    cost = np.append(0.0, np.cumsum(candidates.cost[singles]))
    never = 4.0 * float(state.group.size.sum() + 1)  # for heat that no single segment can take away

    def price(amount: Floats) -> Floats:
        dear: Floats = np.interp(amount, heat, cost) + never * np.maximum(0.0, amount - heat[-1]) / excess
        return dear

    def saved(gain: Floats, moved: Floats) -> Floats:
        return price(np.array(excess)) - price(np.maximum(0.0, excess - gain)) - moved

    mine = residents.of(node, state.free)
    worth = saved(state.group.heat[mine], state.group.size[mine].astype(np.float64))
    mine = mine[worth > 0][-MOST_SAVING:]
    return swap(state, residents, budget, node=node, mine=mine, value=saved, partners=SAVING_PARTNERS)


def _place(state: State, chosen: Integers, tried: Bools, budget: Budget) -> bool:
    """Send out what was chosen, the hottest first; True where anything changed for the next round."""
    heat = state.group.heat[chosen]
    for segment in chosen[np.lexsort((chosen, -heat))].tolist():
        if not budget.use(COST_OF_DESTINATION * len(state.heat)):
            return False
        if state.heat[state.node[segment]] <= state.most_heat[state.node[segment]]:
            continue
        tried[segment] = True
        destination = state.destination(segment)
        if destination >= 0:
            state.move(segment, destination)
    return len(chosen) > 0
