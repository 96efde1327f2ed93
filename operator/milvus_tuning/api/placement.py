"""What a user declares about places and copies: Milvus's balancer, hot segments, the number of in-memory replicas."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from milvus_tuning.api.base import ApiModel, Percent, Rule, Seconds


class PlacementOwner(enum.StrEnum):
    """Who decides on which QueryNode a segment lives."""

    MILVUS = "Milvus"
    OPERATOR = "Operator"


class CollectionName(ApiModel):
    """A collection."""

    database: Annotated[str, Field(min_length=1, max_length=255)] = Field(
        default="default", description="Its database."
    )
    name: Annotated[str, Field(min_length=1, max_length=255)] = Field(description="Its name.")


def _require_different(collections: Sequence[CollectionName] | None, field: str) -> None:
    """Raise ValueError where a collection is listed twice."""
    names = [(one.database, one.name) for one in collections or ()]
    if len(names) != len(set(names)):
        raise ValueError(f"{field} must name different collections")


class HotSegmentsMode(enum.StrEnum):
    """What is done about segments that are searched more than others."""

    OFF = "Off"
    OBSERVE = "Observe"
    ACT = "Act"


class HotSegments(ApiModel):
    """Segments by the work that searching them is, and better places for them.

    While placementOwner is Milvus, only what leaves the rows of each QueryNode as they are is moved, since Milvus's
    balancer evens out rows and would undo anything else.
    """

    mode: HotSegmentsMode = Field(
        default=HotSegmentsMode.OBSERVE,
        description="Off: heat is not measured. Observe: it is reported. Act: hot segments are moved, by plans.",
    )
    max_moves_per_plan: Annotated[int, Field(ge=2, le=100)] = Field(
        default=8, description="Most segments that one plan moves; after a plan that did harm, half of it."
    )
    window_seconds: Seconds = Field(default=120, description="How long a QueryNode must stay busier than the others.")
    cooldown_seconds: Seconds = Field(default=120, description="Rest after a change before segments are moved.")
    exclude_collections: list[CollectionName] | None = Field(
        default=None,
        max_length=100,
        json_schema_extra={"x-list-map-keys": ["database", "name"]},
        description="Collections whose segments are never moved.",
    )

    @model_validator(mode="after")
    def _names(self) -> Self:
        _require_different(self.exclude_collections, "excludeCollections")
        return self


class PingPong(enum.StrEnum):
    """What is done about segments that Milvus's balancer moves to and fro."""

    OBSERVE = "Observe"
    DAMP = "Damp"


class Routing(enum.StrEnum):
    """How a proxy chooses among the in-memory replicas of a shard."""

    LEAST_LOADED = "LeastLoaded"
    ROUND_ROBIN = "RoundRobin"


class LoadBalancing(ApiModel):
    """How Milvus balances segments.

    Each intent is carried out by the key that acts in the running version, or reported as Unsupported.
    """

    placement_owner: PlacementOwner | None = Field(
        default=None, description="Operator: Milvus's own balancer is held off under a lease while this object exists."
    )
    balance_interval_seconds: int | None = Field(
        default=None, ge=1, le=3600, description="Least time between two rounds of Milvus's balancer."
    )
    balance_tolerance_percent: int | None = Field(
        default=None, ge=1, le=100, description="Difference of row counts that Milvus's balancer leaves alone."
    )
    overloaded_memory_percent: int | None = Field(
        default=None,
        ge=50,
        le=95,
        description="Memory use above which a QueryNode refuses to load more (a load guard, not a balance trigger).",
    )
    routing: Routing | None = Field(
        default=None,
        description="How a proxy chooses among in-memory replicas. LeastLoaded: by load and response time; RoundRobin.",
    )
    hot_segments: HotSegments | None = None
    ping_pong: PingPong | None = Field(
        default=None,
        description="Segments that Milvus's balancer moves to and fro. Observe: reported. Damp: also slowed down, by "
        "the lever that acts in the running version.",
    )


ReplicaCount = Annotated[int, Field(ge=1, le=20)]


class CollectionReplicas(CollectionName):
    """Bounds for one collection."""

    min_count: ReplicaCount | None = Field(default=None, description="Fewest in-memory replicas of it.")
    max_count: ReplicaCount | None = Field(default=None, description="Most in-memory replicas of it.")


class InMemoryReplicas(ApiModel):
    """Bounds and rules for the number of in-memory replicas, collection by collection.

    A replica more serves a hot collection from more QueryNodes, and takes its memory once more. From Milvus 2.4.13 it
    is changed while the collection serves; before, the operator only says what a person can do.
    """

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.minCount <= self.maxCount", "minCount must not be above maxCount"),
        Rule(
            "self.computationBelowPercent < self.computationAbovePercent",
            "computationBelowPercent must be below computationAbovePercent, or the number would swing",
        ),
        Rule(
            "!has(self.collections) || self.collections.all(one, (has(one.minCount) ? one.minCount : self.minCount) "
            "<= (has(one.maxCount) ? one.maxCount : self.maxCount))",
            "a collection's minCount must not be above its maxCount; what it leaves out is as for all collections",
        ),
    )

    min_count: ReplicaCount = Field(default=1, description="Fewest in-memory replicas of a collection.")
    max_count: ReplicaCount = Field(description="Most in-memory replicas of a collection.")
    computation_above_percent: Percent = Field(
        default=60,
        description="Computation of the QueryNodes, evenly placed, above which the hottest collection grows.",
    )
    computation_below_percent: Percent = Field(
        default=25, description="Computation below which the collection with the coldest replicas shrinks."
    )
    window_seconds: Seconds = Field(default=300, description="How long computation must stay there.")
    cooldown_seconds: Seconds = Field(default=600, description="Rest after a change before the number is changed.")
    load_deadline_seconds: Annotated[int, Field(ge=10, le=86_400)] = Field(
        default=1800, description="When the new replica does not serve by then the former number is restored."
    )
    collections: list[CollectionReplicas] | None = Field(
        default=None,
        max_length=100,
        json_schema_extra={"x-list-map-keys": ["database", "name"]},
        description="Bounds of their own for these collections.",
    )

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.min_count > self.max_count:
            raise ValueError("minCount must not be above maxCount")
        if self.computation_below_percent >= self.computation_above_percent:
            raise ValueError("computationBelowPercent must be below computationAbovePercent, or the number would swing")
        if any((one.min_count or self.min_count) > (one.max_count or self.max_count) for one in self.collections or ()):
            raise ValueError("a collection's minCount must not be above its maxCount")
        _require_different(self.collections, "inMemoryReplicas.collections")
        return self
