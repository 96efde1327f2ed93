"""A model of Milvus's own balancer of segments, to know which placements it leaves alone.

ScoreBasedBalancer, the default of Milvus 2.3 to 2.6.19, as 2.3.5 has it (internal/querycoordv2/balance):

    score of a node for a collection = the collection's rows on it + 0.1 x all rows on it

For one replica of one collection at a time the smallest segment goes from the node with the highest score to the one
with the lowest, as long as the two differ by 5 % of the lower score, and the move does not turn the difference round by
more than the difference over 1.3. Heat and memory are none of its business; a move for which the destination has no
memory is refused here, as the QueryNode refuses it.

Three segments of 100 rows on the first of two nodes, none on the second: scores 330 and 0. After one move they are 220
and 110; a second would make them 110 and 220, a difference of 110 turned round, which is not below 110 over 1.3.

Not in the model: rows that are still growing, shard leaders, nodes weighted by memory (2.4 and later), and which of two
equal nodes or segments comes first. Cordoned nodes take no part, as Milvus's stopping and suspended nodes.
"""

from __future__ import annotations

import numpy as np

from milvus_tuning.decide.rebalancing.arrays import Bools, Floats, Group, Integers, sums
from milvus_tuning.decide.rebalancing.groups import groups, order_of
from milvus_tuning.decide.rebalancing.model import Cluster, Identity, Move

GLOBAL_ROW_FACTOR = 0.1  # queryCoord.globalRowCountFactor
UNBALANCE_TOLERATION = 0.05  # queryCoord.scoreUnbalanceTolerationFactor
REVERSE_TOLERATION = 1.3  # queryCoord.reverseUnBalanceTolerationFactor
MOST_ROUNDS = 50  # where it never settles, which real ones do as well (milvus #51244)

NONE = 2**62
"""Rows of a segment that is not there: too many to move."""

RowMove = tuple[int, int, int]
"""A segment, its source and its destination, by their places in the group."""


def balancer_moves(cluster: Cluster) -> tuple[Move, ...]:
    """The moves by which Milvus's balancer would even out the rows, until a round of all collections moves nothing.

    Moves in flight count as done. Raises ConfigError where the cluster contradicts itself.
    """
    return tuple(
        Move(
            segment=cluster.segments[int(group.positions[segment])].id,
            source=group.node_ids[source],
            destination=group.node_ids[destination],
        )
        for group in groups(cluster)
        for segment, source, destination in RowPlacement(cluster, group).even_out()
    )


class RowPlacement:
    """The rows of one group under change. A unit is what is evened by itself: one collection in one replica.

    unit, rows: of each segment; held, least: rows and smallest segment of each unit (U) on each node (N), NONE
    where it has none; total: all rows of each node; member: U x N, the nodes among which a unit is evened.
    """

    def __init__(self, cluster: Cluster, group: Group) -> None:
        segments = [cluster.segments[at] for at in group.positions.tolist()]
        count = len(group.cpu)
        keys: list[tuple[Identity, int]] = [
            (segment.collection, row) for segment, row in zip(segments, group.row.tolist(), strict=True)
        ]
        known = sorted(set(keys), key=lambda key: (order_of(key[0]), key[1]))
        number = {key: at for at, key in enumerate(known)}
        self.group = group
        self.node: Integers = group.node.copy()
        self.rows = np.array([segment.rows for segment in segments], dtype=np.int64)
        self.unit = np.array([number[key] for key in keys], dtype=np.int64)
        self.member: Bools = group.member[[row for _, row in known]] & ~group.cordoned
        place = self.unit * count + self.node
        self.held: Floats = sums(place, self.rows, len(known) * count).reshape(-1, count)
        least = np.full(len(known) * count, NONE, dtype=np.int64)
        np.minimum.at(least, place, self.rows)
        self.least: Integers = least.reshape(-1, count)
        self.total: Floats = sums(self.node, self.rows, count)
        self.used = group.used_bytes
        self._order: Integers = np.lexsort((self.rows, self.unit))
        self._edges = np.searchsorted(self.unit[self._order], np.arange(len(known) + 1))

    def move(self, segment: int, destination: int) -> None:
        """Put a segment on another node."""
        unit, source, rows = int(self.unit[segment]), int(self.node[segment]), int(self.rows[segment])
        for held in (self.held[unit], self.total):
            held[source] -= rows
            held[destination] += rows
        self.used[source] -= self.group.size[segment]
        self.used[destination] += self.group.size[segment]
        self.node[segment] = destination
        self.least[unit, destination] = min(self.least[unit, destination], rows)
        mine = self.of(unit)
        self.least[unit, source] = self.rows[mine[self.node[mine] == source]].min(initial=NONE)

    def of(self, unit: int) -> Integers:
        """The segments of a unit, the smallest first."""
        return self._order[self._edges[unit] : self._edges[unit + 1]]

    def unsettled(self, first: int = 0) -> Bools:
        """Of which units the balancer would move a segment as things are; those from `first` on."""
        member, held = self.member[first:], self.held[first:]
        if not held.size:
            return np.zeros(len(held), dtype=bool)
        return self._moves(held, self.least[first:], member)

    def rests_after(self, segments: Integers, source: int, destination: int) -> Bools:
        """For each of these segments of the source by itself: whether its unit is at rest once it moved.

        All rows of the two nodes are taken as unchanged, since a segment of about as many rows comes back.
        """
        unit, rows = self.unit[segments], self.rows[segments]
        held = self.held[unit]
        held[:, source] -= rows
        held[:, destination] += rows
        least = self.least[unit]
        least[:, destination] = np.minimum(least[:, destination], rows)
        there = np.flatnonzero(self.node == source)
        others = (self.unit[there] == unit[:, None]) & (there != segments[:, None])
        least[:, source] = np.where(others, self.rows[there], NONE).min(axis=1, initial=NONE)
        return ~self._moves(held, least, self.member[unit])

    def _moves(self, held: Floats, least: Integers, member: Bools) -> Bools:
        """For each line of nodes: whether the balancer makes a first move."""
        scores, at = held + np.floor(GLOBAL_ROW_FACTOR * self.total), np.arange(len(held))
        highest = np.where(member, scores, -np.inf).argmax(axis=1)
        lowest = np.where(member, scores, np.inf).argmin(axis=1)
        smallest = least[at, highest]
        helps = _helps(scores[at, highest], scores[at, lowest], smallest)
        moves: Bools = helps & (smallest < NONE) & (member.sum(axis=1) > 1)
        return moves

    def even_out(self) -> list[RowMove]:
        """What the balancer moves until a round of all units moves nothing."""
        moves: list[RowMove] = []
        for _ in range(MOST_ROUNDS):
            before, first = len(moves), 0
            while len(open_units := np.flatnonzero(self.unsettled(first))):
                first += int(open_units[0])
                moves += self._even_out_unit(first)
                first += 1
            if len(moves) == before:
                break
        return moves

    def _even_out_unit(self, unit: int) -> list[RowMove]:
        """One round for one unit: each segment moves at most once."""
        nodes = np.flatnonzero(self.member[unit])
        scores = (self.held[unit] + np.floor(GLOBAL_ROW_FACTOR * self.total))[nodes]
        local = np.full(len(self.total), -1, dtype=np.int64)
        local[nodes] = np.arange(len(nodes))
        waiting: list[list[int]] = [[] for _ in nodes]
        for segment in self.of(unit)[::-1].tolist():
            if local[self.node[segment]] >= 0:
                waiting[local[self.node[segment]]].append(segment)  # the smallest last
        moves: list[RowMove] = []
        while waiting[source := int(scores.argmax())]:
            to = int(scores.argmin())
            segment = waiting[source].pop()
            place, rows, size = int(nodes[to]), self.rows[segment], self.group.size[segment]
            if not _helps(scores[source], scores[to], rows) or (
                self.used[place] + size > self.group.ceiling_bytes[place]
            ):
                break
            moves.append((segment, int(nodes[source]), place))
            self.move(segment, place)
            change = rows + np.floor(GLOBAL_ROW_FACTOR * rows)
            scores[source] -= change
            scores[to] += change
        return moves


def _helps(highest: Floats, lowest: Floats, rows: Integers) -> Bools:
    """Whether a segment of so many rows goes from the highest score to the lowest."""
    difference = highest - lowest
    turned = 2.0 * (rows + np.floor(GLOBAL_ROW_FACTOR * rows)) - difference
    enough: Bools = difference >= UNBALANCE_TOLERATION * lowest
    helps: Bools = enough & (rows > 0) & ((turned <= 0) | (turned * REVERSE_TOLERATION < difference))
    return helps
