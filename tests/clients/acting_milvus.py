"""A Milvus that does what it is asked: load_balance moves segments, load_collection changes the in-memory replicas.

It answers from the recorded replies of GetReplicas and GetQuerySegmentInfo, and changes them. One collection.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import grpc  # type: ignore[import-untyped]

from tests.clients.milvus_server import Acting, Override

Gate = Callable[[str, grpc.ServicerContext, Callable[[], None]], None]
"""Called for each write with its name and what it does: it decides whether and when that happens."""


class Mood(enum.Enum):
    """What Milvus makes of a move."""

    WILLING = enum.auto()
    SILENT = enum.auto()  # answers success and moves nothing, as 2.4 and later do with what they refuse
    PARTIAL = enum.auto()  # moves the first segment, then refuses, as 2.3 may
    BUSY = enum.auto()  # is still at work on the first segment


def _at_once(name: str, context: grpc.ServicerContext, act: Callable[[], None]) -> None:
    act()


@dataclass
class ActingMilvus:
    """The placement of one collection; `writes` are the calls that were carried out."""

    recorded: Mapping[str, Any]
    mood: Mood = Mood.WILLING
    gate: Gate = _at_once
    writes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.replicas = deepcopy(self.recorded["GetReplicas"]["replicas"])
        self.segments = deepcopy(self.recorded["GetQuerySegmentInfo"]["infos"])

    @property
    def replies(self) -> dict[str, Override]:
        """What a server is to answer."""
        return {
            **self.recorded,
            "GetReplicas": lambda _: {"status": {}, "replicas": self.replicas},
            "GetQuerySegmentInfo": lambda _: {"status": {}, "infos": self.segments},
            "LoadBalance": Acting(self._load_balance),
            "LoadCollection": Acting(self._load_collection),
        }

    def nodes_of(self, segment: int) -> list[int]:
        """Where a segment is."""
        found = next(one for one in self.segments if int(one["segmentID"]) == segment)
        return sorted(int(node) for node in found["nodeIds"])

    def place(self, segment: int, *nodes: int) -> None:
        """Put a segment somewhere, as Milvus's balancer does."""
        found = next(one for one in self.segments if int(one["segmentID"]) == segment)
        found["nodeIds"] = [str(node) for node in nodes]

    def _load_balance(self, request: Any, context: grpc.ServicerContext) -> Mapping[str, Any]:
        source, (destination,) = request.src_nodeID, request.dst_nodeIDs
        segments = list(request.sealed_segmentIDs)
        strays = [one for one in segments if source not in self.nodes_of(one)]
        if strays:
            return _refusal(f"segment not found[segment={strays[0]}]")
        if self.mood is Mood.BUSY:
            return _refusal("service internal error: task with the same segment exists")
        served = {Mood.WILLING: segments, Mood.PARTIAL: segments[:1], Mood.SILENT: []}[self.mood]

        def act() -> None:
            for segment in served:
                self.place(segment, *{destination, *self.nodes_of(segment)} - {source})
            self.writes.append(f"LoadBalance {source} -> {destination} {' '.join(map(str, segments))}")

        self.gate("LoadBalance", context, act)
        return _refusal("not enough memory") if self.mood is Mood.PARTIAL else {}

    def _load_collection(self, request: Any, context: grpc.ServicerContext) -> Mapping[str, Any]:
        """New replicas serve every segment from the nodes of the first one: enough to be seen."""
        count = request.replica_number

        def act() -> None:
            first = self.replicas[0]
            self.replicas = [{**first, "replicaID": str(int(first["replicaID"]) + one)} for one in range(count)]
            self.writes.append(f"LoadCollection {count} {' '.join(request.resource_groups)}".strip())

        self.gate("LoadCollection", context, act)
        return {}


def _refusal(reason: str) -> Mapping[str, Any]:
    return {"code": 1100, "error_code": "UnexpectedError", "reason": reason}
