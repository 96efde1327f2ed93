"""Two others to compare with, on the same documents: Milvus's own balancer, and the obvious greedy one."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milvus_tuning.decide.rebalancing import balancer_moves
from tests.rebalancing.planning import CLUSTER
from tests.rebalancing.validator import Document


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
        self.moves: list[Document] = []

    def _sum(self, field: str) -> NDArray[np.float64]:
        amounts = np.zeros(len(self.names))
        np.add.at(amounts, self.node, [float(segment[field]) for segment in self.segments])
        return amounts

    def fits(self, at: int, to: int) -> bool:
        return bool(self.used[to] + self.segments[at]["memory_bytes"] <= self.ceiling[to])

    def move(self, at: int, to: int) -> None:
        segment, source = self.segments[at], self.node[at]
        for amounts, field in ((self.used, "memory_bytes"), (self.heat, "heat")):
            amounts[source] -= segment[field]
            amounts[to] += segment[field]
        self.node[at] = to
        self.moves.append({"segment": segment["id"], "source": self.names[source], "destination": self.names[to]})


def score_based(document: Document) -> list[Document]:
    """The moves of the package's model of Milvus's balancer, until a round moves nothing."""
    moves = balancer_moves(CLUSTER.validate_python(document))
    return [{"segment": move.segment, "source": move.source, "destination": move.destination} for move in moves]


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
