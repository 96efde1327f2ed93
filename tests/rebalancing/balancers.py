"""Two others to compare with, on the same documents: a model of Milvus's own balancer, and the obvious greedy one.

The model of ScoreBasedBalancer (the default of Milvus 2.3 to 2.6.19) goes by what it does: the score of a node for a
collection is the collection's rows on it plus a tenth of all rows on it; from the node with the highest score the
smallest segment goes to the node with the lowest, as long as the two differ by 5 % of the lower score and the move does
not turn the difference round by more than it was over 1.3. Heat and memory are none of its business; a move that has no
memory is refused here, as the QueryNode would. It has not been held against recorded placements of a real Milvus.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.rebalancing.validator import Document

GLOBAL_ROW_FACTOR = 0.1  # queryCoord.globalRowCountFactor
UNBALANCE_TOLERATION = 0.05  # queryCoord.scoreUnbalanceTolerationFactor
REVERSE_TOLERATION = 1.3  # queryCoord.reverseUnBalanceTolerationFactor
MOST_ROUNDS = 50


class _Placement:
    """Segments on nodes under change, with the moves that were made."""

    def __init__(self, document: Document) -> None:
        self.names = [node["id"] for node in document["nodes"]]
        place_of = {name: at for at, name in enumerate(self.names)}
        self.segments = document["segments"]
        self.node = [place_of[segment["node"]] for segment in self.segments]
        ratio = document.get("limits", {}).get("memory_ceiling_ratio", 0.9)
        self.ceiling = np.array([node["memory_bytes"] * ratio for node in document["nodes"]])
        self.cpu = np.array([float(node["cpu"]) for node in document["nodes"]])
        self.used = self._sum("memory_bytes")
        self.heat = self._sum("heat")
        self.rows = self._sum("rows")
        self.moves: list[Document] = []

    def _sum(self, field: str) -> NDArray[np.float64]:
        amounts = np.zeros(len(self.names))
        np.add.at(amounts, self.node, [float(segment[field]) for segment in self.segments])
        return amounts

    def fits(self, at: int, to: int) -> bool:
        return bool(self.used[to] + self.segments[at]["memory_bytes"] <= self.ceiling[to])

    def move(self, at: int, to: int) -> None:
        segment, source = self.segments[at], self.node[at]
        for amounts, field in ((self.used, "memory_bytes"), (self.heat, "heat"), (self.rows, "rows")):
            amounts[source] -= segment[field]
            amounts[to] += segment[field]
        self.node[at] = to
        self.moves.append({"segment": segment["id"], "source": self.names[source], "destination": self.names[to]})


def score_based(document: Document) -> list[Document]:
    """The moves until a round moves nothing."""
    placement = _Placement(document)
    of_collection: dict[Any, list[int]] = defaultdict(list)
    for at, segment in enumerate(placement.segments):
        of_collection[segment["collection"]].append(at)
    for _ in range(MOST_ROUNDS):
        before = len(placement.moves)
        for members in of_collection.values():
            _even_rows(placement, members)
        if len(placement.moves) == before:
            break
    return placement.moves


def _even_rows(placement: _Placement, members: list[int]) -> None:
    """One round for one collection."""
    rows = np.zeros(len(placement.names))
    waiting: dict[int, list[int]] = defaultdict(list)
    for at in sorted(members, key=lambda at: -int(placement.segments[at]["rows"])):
        rows[placement.node[at]] += placement.segments[at]["rows"]
        waiting[placement.node[at]].append(at)  # the smallest last
    scores = rows + GLOBAL_ROW_FACTOR * placement.rows
    while True:
        source, to = int(scores.argmax()), int(scores.argmin())
        difference = float(scores[source] - scores[to])
        if difference <= UNBALANCE_TOLERATION * scores[to] or not waiting[source]:
            return
        at = waiting[source].pop()
        change = placement.segments[at]["rows"] * (1 + GLOBAL_ROW_FACTOR)
        if 2 * change - difference > difference / REVERSE_TOLERATION or not placement.fits(at, to):
            return
        placement.move(at, to)
        scores[source] -= change
        scores[to] += change


def greedy(document: Document) -> list[Document]:
    """From the hottest node the hottest segment that helps goes to the coolest node, until none does."""
    placement = _Placement(document)
    hottest: dict[int, list[int]] = defaultdict(list)
    for at in sorted(range(len(placement.segments)), key=lambda at: (-placement.segments[at]["heat"], at)):
        hottest[placement.node[at]].append(at)
    while True:
        loads = placement.heat / placement.cpu
        source = int(loads.argmax())
        found = next(_helping(placement, hottest[source], loads, source), None)
        if found is None:
            return placement.moves
        at, to = found
        hottest[source].remove(at)
        placement.move(at, to)


def _helping(placement: _Placement, members: list[int], loads: NDArray[np.float64], source: int) -> Any:
    to = int(loads.argmin())
    for at in members:
        heat = placement.segments[at]["heat"]
        if 0 < heat < (loads[source] - loads[to]) * placement.cpu[to] and placement.fits(at, to):
            yield at, to
