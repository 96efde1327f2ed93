"""What the planner is told: nodes, segments and limits, as docs/rebalancing.md describes them for files.

Heat is any unit that adds up (estimated CPU seconds per second, say); the load of a node is the heat on it divided by
its cpu. Values are checked where an object is made; how the objects belong together is checked in `groups`.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from pydantic import AllowInfNan, ConfigDict, Field
from pydantic.dataclasses import dataclass

Identity = int | str
"""A node or segment id, as Milvus gives it (a number) or as a person writes it."""

Amount = Annotated[float, Field(ge=0), AllowInfNan(False)]
Bytes = Annotated[int, Field(ge=0, le=2**62)]

DEFAULT_RESOURCE_GROUP = "__default_resource_group"  # Milvus's own name of it
DEFAULT_CEILING_RATIO = 0.9  # queryCoord.overloadedMemoryThresholdPercentage of Milvus 2.3 to 2.6: 90
DEFAULT_TIME_BUDGET_SECONDS = 60.0

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, slots=True, config=_STRICT)
class Node:
    """One QueryNode. `replica` is the short form, where all collections share their replica groups."""

    id: Identity
    memory_bytes: Bytes
    cpu: Annotated[float, Field(gt=0), AllowInfNan(False)]
    resource_group: str = DEFAULT_RESOURCE_GROUP
    replica: Identity | None = None
    cordoned: bool = False


@dataclass(frozen=True, kw_only=True, slots=True, config=_STRICT)
class Segment:
    """One copy of a sealed segment on one node. Without `replica` it is that of its collection on its node."""

    id: Identity
    memory_bytes: Bytes
    heat: Amount
    node: Identity
    collection: Identity = ""
    replica: Identity | None = None
    channel: str = ""
    rows: Annotated[int, Field(ge=0)] = 0
    pinned: bool = False


@dataclass(frozen=True, kw_only=True, slots=True, config=_STRICT)
class Replica:
    """The nodes of one replica of one collection: its segments move among these only."""

    id: Identity
    collection: Identity
    nodes: tuple[Identity, ...]


@dataclass(frozen=True, kw_only=True, slots=True, config=_STRICT)
class Leader:
    """A shard leader: adds a fixed load (in units of node load, that is heat per cpu) to its node."""

    node: Identity
    load: Amount


@dataclass(frozen=True, kw_only=True, slots=True, config=_STRICT)
class Move:
    """One segment from one node to another."""

    segment: Identity
    source: Identity
    destination: Identity


@dataclass(frozen=True, kw_only=True, slots=True, config=_STRICT)
class Limits:
    """What a plan may do. None is no limit. The time is kept by the caller, who alone has a clock."""

    max_moves: Annotated[int, Field(ge=0)] | None = None
    max_moves_per_node: Annotated[int, Field(ge=0)] | None = None
    time_budget_seconds: Annotated[float, Field(gt=0), AllowInfNan(False)] = DEFAULT_TIME_BUDGET_SECONDS
    memory_ceiling_ratio: Annotated[float, Field(gt=0, le=1)] = DEFAULT_CEILING_RATIO


@dataclass(frozen=True, kw_only=True, slots=True, config=_STRICT)
class Cluster:
    """Everything a plan is made from. Without `replicas` (the full form) the label `replica` of the nodes counts."""

    nodes: tuple[Node, ...]
    segments: tuple[Segment, ...]
    limits: Limits = field(default_factory=Limits)
    replicas: tuple[Replica, ...] = ()
    leaders: tuple[Leader, ...] = ()
    in_flight: tuple[Move, ...] = ()
