"""A Milvus that does what it is asked: load_balance moves segments, load_collection changes the in-memory replicas,
alter_collection the consistency level.

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

LEVELS = {"0": "Strong", "1": "Session", "2": "Bounded", "3": "Eventually", "4": "Customized"}


class Mood(enum.Enum):
    """What Milvus makes of a write."""

    WILLING = enum.auto()
    SILENT = enum.auto()  # answers success and does nothing, as 2.4 and later do with moves they refuse
    PARTIAL = enum.auto()  # moves the first segment, then refuses, as 2.3 may
    BUSY = enum.auto()  # is still at work on the first segment


def _at_once(name: str, context: grpc.ServicerContext, act: Callable[[], None]) -> None:
    act()


@dataclass
class ActingMilvus:
    """The placement of one collection and its level; `writes` are the calls that were carried out.

    level is None once the collection is gone; properties are those that Milvus keeps beside it, before 2.6.
    """

    recorded: Mapping[str, Any]
    mood: Mood = Mood.WILLING
    gate: Gate = _at_once
    writes: list[str] = field(default_factory=list)
    level: str | None = "Bounded"
    properties: dict[str, str] = field(default_factory=dict)

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
            "DescribeCollection": lambda _: self._described(),
            "AlterCollection": Acting(self._alter_collection),
        }

    def nodes_of(self, segment: int) -> list[int]:
        """Where a segment is."""
        found = next(one for one in self.segments if int(one["segmentID"]) == segment)
        return sorted(int(node) for node in found["nodeIds"])

    def place(self, segment: int, *nodes: int) -> None:
        """Put a segment somewhere, as Milvus's balancer does."""
        found = next(one for one in self.segments if int(one["segmentID"]) == segment)
        found["nodeIds"] = [str(node) for node in nodes]

    def hand_over(self, gone: int, *, stays: int, new: int) -> None:
        """A node leaves, another one of its replicas serves everything of it, and a new one joins them with nothing."""
        for segment in self.segments:
            nodes = {stays if int(node) == gone else int(node) for node in segment["nodeIds"]}
            segment["nodeIds"] = [str(node) for node in sorted(nodes)]
        for replica in self.replicas:
            for group in (replica, *replica["shard_replicas"]):
                group["node_ids"] = [*(node for node in group["node_ids"] if int(node) != gone), str(new)]
            for shard in replica["shard_replicas"]:
                shard["leaderID"] = str(stays) if int(shard["leaderID"]) == gone else shard["leaderID"]

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

    def _described(self) -> Mapping[str, Any]:
        if self.level is None:
            return {"status": {"code": 100, "error_code": "UnexpectedError", "reason": "collection not found"}}
        properties = [{"key": key, "value": value} for key, value in self.properties.items()]
        key = self.recorded["ShowCollections"]["collection_ids"][0]
        return {"status": {}, "collectionID": key, "consistency_level": self.level, "properties": properties}

    def _alter_collection(self, request: Any, context: grpc.ServicerContext) -> Mapping[str, Any]:
        """As 2.4.23 and 2.5.5: a call that changes no property is passed over, whatever the level is."""
        wanted = {pair.key: pair.value for pair in request.properties}
        if self.mood is Mood.BUSY:
            return _refusal("service internal error: task with the same segment exists")
        if self.mood is Mood.PARTIAL:
            return _refusal("ddl is denied")

        def act() -> None:
            told = " ".join(f"{key}={value}" for key, value in wanted.items())
            self.writes.append(f"AlterCollection {request.db_name}.{request.collection_name} {told}")
            if wanted.items() <= self.properties.items() or self.mood is Mood.SILENT:
                return
            self.properties |= wanted
            self.level = LEVELS.get(wanted["consistency_level"], wanted["consistency_level"])

        self.gate("AlterCollection", context, act)
        return {}


def _refusal(reason: str) -> Mapping[str, Any]:
    return {"code": 1100, "error_code": "UnexpectedError", "reason": reason}
