"""Better places that Milvus's balancer leaves alone, for clusters where it owns the placement.

It evens out rows (see `milvus_balancer`) and undoes what makes them uneven within seconds. So a hot segment s of a node
H changes places with a colder segment t of nearly as many rows of a node D, each within its replica's nodes:

1. Neither collection becomes less even over the two: rows_c(H) - rows_c(D) >= rows(s), and for t the other way round.
2. The rows that a node gains or loses, added up over the whole plan, are at most ROWS_TOLERANCE of its rows.
3. The model of the balancer moves nothing that it would not have moved anyhow. What it is about to move is left to it.

Segments below ROWS_TOLERANCE of the rows of D move by themselves, after all pairs. The hard rules are those of the free
planner, memory at every step among them: a pair is made in the order for which memory suffices.

Two nodes of cpu 1, each with two collections of one segment and equal rows, heats 6 and 5 on the first and 1 and 2 on
the second: 11 and 3. Exchanging 5 for 1 gives 7 and 7, and each node has as many rows as before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from milvus_tuning.decide.rebalancing.arrays import Bools, Floats, Group, Integers
from milvus_tuning.decide.rebalancing.bounds import floor
from milvus_tuning.decide.rebalancing.milvus_balancer import RowPlacement
from milvus_tuning.decide.rebalancing.model import Cluster, Move
from milvus_tuning.decide.rebalancing.outcome import RebalancePlan, Refusal
from milvus_tuning.decide.rebalancing.planning import budget_of, plan_by
from milvus_tuning.decide.rebalancing.search import AIM, WORTHWHILE_RATIO
from milvus_tuning.decide.rebalancing.state import Allowance, Budget, State

ROWS_TOLERANCE = 0.02
"""Of a node's rows. The balancer tolerates 5 % of the lower score; growing rows and inserts need the rest."""
PARTNERS = 12  # nodes tried as the other side, the coolest first; more only where none of them has a pair
MOST_TRIED = 16  # exchanges held against the model: the best ones, then those that change the nodes' rows the least
COST_OF_PAIR = 8  # array operations for each pair that is looked at
COST_OF_SCORE = 4  # for each score of the model


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class _Swap:
    """Changes to be made together; the order of the fields is the order of preference.

    uneven_rows: what the one node has more and the other less afterwards.
    """

    max_load: float
    moved_bytes: int
    moves: tuple[tuple[int, int], ...]
    uneven_rows: int


def row_neutral_moves(
    cluster: Cluster, *, out_of_time: Callable[[], bool] = lambda: False, work: int | None = None
) -> RebalancePlan:
    """Plan moves that Milvus's balancer will not undo. Raises ConfigError where the cluster contradicts itself.

    The moves come in pairs (out, back), so that a plan that is cut at an even number is row-neutral too; segments small
    enough to move by themselves come after all pairs. work and out_of_time are as for `plan_rebalance`.
    """

    def search(group: Group, allowance: Allowance, budget: Budget) -> list[tuple[int, int]]:
        return _Search(cluster, group, allowance, budget).moves()

    plan = plan_by(cluster, search, budget_of(cluster, out_of_time, work), refused=Refusal.NOT_NEUTRAL)
    return plan if len(plan.groups) < 2 else _pairs_first(plan)


class _Search:
    """One search in one group."""

    def __init__(self, cluster: Cluster, group: Group, allowance: Allowance, budget: Budget) -> None:
        self._cluster, self._group, self._budget = cluster, group, budget
        self._enough = floor(group) * AIM
        self._state = State(group, allowance, np.inf)
        self._made: list[_Swap] = []

    def moves(self) -> list[tuple[int, int]]:
        """The moves of the group; none where none is worth it."""
        if self._state.max_load * (1 - WORTHWHILE_RATIO) < self._enough or not self._group.movable.any():
            return []
        self._begin()
        self._lower(self._pair)
        self._lower(self._single)
        while self._made and not self._is_left_alone():
            self._undo()
        return self._state.moves

    def _begin(self) -> None:
        """What the balancer would do by itself, and what is left to it."""
        untouched = RowPlacement(self._cluster, self._group)
        self._without_us = set(untouched.even_out())
        self._placement = RowPlacement(self._cluster, self._group)
        self._restless = self._placement.unsettled()
        busy = self._restless.copy()
        busy[[int(untouched.unit[segment]) for segment, _, _ in self._without_us]] = True
        self._ours: Bools = (self._placement.rows > 0) & ~busy[self._placement.unit]
        self._rows_left: Floats = ROWS_TOLERANCE * self._placement.total

    def _lower(self, best: Callable[[int], _Swap | None]) -> None:
        """Help the hottest node again and again; keep what lowers the maximum by enough, undo what comes after."""
        state = self._state
        kept, lowest = len(self._made), state.max_load
        while not self._budget.spent and state.max_load > self._enough:
            swap = best(int((state.heat / self._group.cpu).argmax()))
            if swap is None:
                break
            self._made.append(swap)
            if state.max_load <= lowest * (1 - WORTHWHILE_RATIO):
                kept, lowest = len(self._made), state.max_load
        while len(self._made) > kept:
            self._undo()

    def _pair(self, hot: int) -> _Swap | None:
        """Make the best exchange of the hottest node that the balancer leaves alone."""
        state = self._state
        if not state.takes[hot] or state.left[hot] < 2 or state.total_left < 2:
            return None
        loads = state.heat / self._group.cpu
        partners = np.flatnonzero(state.takes & (state.left >= 2) & (loads < loads[hot]))
        mine = self._residents(hot)
        mine = mine[self._group.heat[mine] > 0]
        found: list[_Swap] = []
        most_even: list[_Swap] = []
        for number, partner in enumerate(partners[np.argsort(loads[partners], kind="stable")].tolist()):
            if found and (number >= PARTNERS or found[0].max_load <= self._enough):
                break
            more = self._pairs(hot, mine, partner)
            found = sorted([*found, *more])[:MOST_TRIED]
            most_even = sorted([*most_even, *more], key=lambda swap: (swap.uneven_rows, swap))[:MOST_TRIED]
        return self._make_best(found) or self._make_best(most_even)

    def _pairs(self, hot: int, mine: Integers, partner: int) -> list[_Swap]:
        """The best exchanges with one partner."""
        state, group, rows = self._state, self._group, self._placement.rows
        theirs = self._residents(partner)
        mine = mine[state.allowed[group.row[mine], partner]]
        theirs = theirs[state.allowed[group.row[theirs], hot]]
        scores = COST_OF_SCORE * (len(mine) + len(theirs)) * len(group.cpu)
        if not len(mine) or not len(theirs) or not self._budget.use(COST_OF_PAIR * len(mine) * len(theirs) + scores):
            return []
        one, other = mine[:, None], theirs[None, :]
        possible = self._keeps_even(mine, theirs, hot, partner)
        uneven, moved = np.abs(rows[one] - rows[other]), group.size[one] + group.size[other]
        possible &= uneven <= min(self._rows_left[hot], self._rows_left[partner])
        after = self._hotter(hot, partner, group.heat[one] - group.heat[other])
        possible &= after <= state.heat[hot] / group.cpu[hot] * (1 - WORTHWHILE_RATIO)
        mine_first, theirs_first = self._orders(group.size[one], group.size[other], hot, partner)
        places = np.flatnonzero(possible & (mine_first | theirs_first))
        by_load = places[np.lexsort((moved.flat[places], after.flat[places]))][:MOST_TRIED]
        by_rows = places[np.lexsort((after.flat[places], uneven.flat[places]))][:MOST_TRIED]
        found = []
        for row, column in (divmod(at, len(theirs)) for at in np.union1d(by_load, by_rows).tolist()):
            moves = ((int(mine[row]), partner), (int(theirs[column]), hot))
            found.append(
                _Swap(
                    max_load=float(after[row, column]),
                    moved_bytes=int(moved[row, column]),
                    moves=moves if mine_first[row, column] else moves[::-1],
                    uneven_rows=int(uneven[row, column]),
                )
            )
        return found

    def _single(self, hot: int) -> _Swap | None:
        """Make the best move of a small segment off the hottest node that the balancer leaves alone."""
        state, group, placement = self._state, self._group, self._placement
        mine = self._residents(hot)
        work = COST_OF_PAIR * len(mine) * len(group.cpu)
        if state.left[hot] < 1 or state.total_left < 1 or not work or not self._budget.use(work):
            return None
        rows, held = placement.rows[mine][:, None], placement.held[placement.unit[mine]]
        after = np.maximum(
            (state.heat[hot] - group.heat[mine][:, None]) / group.cpu[hot],
            (state.heat + group.heat[mine][:, None]) / group.cpu,
        )
        possible = state.allowed[group.row[mine]] & (state.left >= 1) & (rows < ROWS_TOLERANCE * placement.total)
        possible &= rows <= np.minimum(self._rows_left, self._rows_left[hot])
        possible &= held[:, [hot]] - held >= rows
        possible &= state.used + group.size[mine][:, None] <= group.ceiling_bytes
        possible &= after <= state.heat[hot] / group.cpu[hot] * (1 - WORTHWHILE_RATIO)
        possible[:, hot] = False
        places = np.flatnonzero(possible)
        best = places[np.argsort(after.flat[places], kind="stable")][:MOST_TRIED].tolist()
        return self._make_best(
            [
                _Swap(
                    max_load=float(after[row, to]),
                    moved_bytes=int(group.size[mine[row]]),
                    moves=((int(mine[row]), to),),
                    uneven_rows=int(placement.rows[mine[row]]),
                )
                for row, to in (divmod(at, len(group.cpu)) for at in best)
            ]
        )

    def _residents(self, node: int) -> Integers:
        state = self._state
        return np.flatnonzero((state.node == node) & state.free & self._ours)

    def _keeps_even(self, mine: Integers, theirs: Integers, hot: int, partner: int) -> Bools:
        """Which pairs leave each collection as even over the two nodes as it is; pairs of one collection do."""
        unit, rows, held = self._placement.unit, self._placement.rows, self._placement.held
        over = held[:, hot] - held[:, partner]
        out = (over[unit[mine]] >= rows[mine]) & self._placement.rests_after(mine, hot, partner)
        back = (-over[unit[theirs]] >= rows[theirs]) & self._placement.rests_after(theirs, partner, hot)
        even: Bools = (out[:, None] & back) | (unit[mine][:, None] == unit[theirs])
        return even

    def _hotter(self, hot: int, partner: int, gain: Floats) -> Floats:
        """The higher load of the two once so much heat went over."""
        heat, cpu = self._state.heat, self._group.cpu
        higher: Floats = np.maximum((heat[hot] - gain) / cpu[hot], (heat[partner] + gain) / cpu[partner])
        return higher

    def _orders(self, mine: Integers, theirs: Integers, hot: int, partner: int) -> tuple[Bools, Bools]:
        """Whether memory allows the hot node's segment first, and whether it allows the other one first."""
        used, ceiling = self._state.used, self._group.ceiling_bytes
        return (
            (used[partner] + mine <= ceiling[partner]) & (used[hot] - mine + theirs <= ceiling[hot]),
            (used[hot] + theirs <= ceiling[hot]) & (used[partner] - theirs + mine <= ceiling[partner]),
        )

    def _make_best(self, swaps: Sequence[_Swap]) -> _Swap | None:
        """Make the first of these that leaves the balancer at rest; None where none does."""
        for swap in swaps:
            if not self._budget.use(COST_OF_SCORE * self._placement.held.size):
                return None
            self._spend(swap, 1.0)
            for segment, destination in swap.moves:
                self._state.move(segment, destination)
                self._placement.move(segment, destination)
            if not (self._placement.unsettled() & ~self._restless).any():
                return swap
            self._take_back(swap)
        return None

    def _undo(self) -> None:
        self._take_back(self._made.pop())

    def _take_back(self, swap: _Swap) -> None:
        self._state.take_back(len(swap.moves))
        for segment, _ in swap.moves:
            self._placement.move(segment, int(self._group.node[segment]))
        self._spend(swap, -1.0)

    def _spend(self, swap: _Swap, sign: float) -> None:
        """Take the rows by which the swap changes its nodes off what is left to them, or give them back."""
        change = np.zeros(len(self._rows_left))
        for segment, destination in swap.moves:
            change[destination] += self._placement.rows[segment]
            change[self._group.node[segment]] -= self._placement.rows[segment]
        self._rows_left -= sign * np.abs(change)

    def _is_left_alone(self) -> bool:
        """Whether the model of the balancer, run to its end, moves only what it would have moved without us."""
        after = RowPlacement(self._cluster, self._group.moved(self._state.node.copy()))
        return set(after.even_out()) <= self._without_us


def _pairs_first(plan: RebalancePlan) -> RebalancePlan:
    """Single moves behind all pairs. Groups share no node, so each group's moves stay possible in their order."""
    pairs: list[Move] = []
    singles: list[Move] = []
    at = 0
    while at < len(plan.moves):
        one, other = plan.moves[at], plan.moves[min(at + 1, len(plan.moves) - 1)]
        paired = (one.source, one.destination) == (other.destination, other.source)
        (pairs if paired else singles).extend((one, other) if paired else (one,))
        at += 1 + paired
    return replace(plan, moves=(*pairs, *singles))
