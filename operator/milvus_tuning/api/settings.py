"""What a user declares about Milvus's own configuration, in intents: network, storage, consistency, profile, real keys.

An intent is carried out by the key that acts in exactly the running version (catalogue/levers.yaml), or reported as
Unsupported with what comes nearest. A field that is unset is unmanaged.
"""

from __future__ import annotations

import enum
import re
from decimal import Decimal
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from milvus_tuning.api.base import ApiModel, Percent, Rule
from milvus_tuning.api.placement import CollectionName

QUANTITY = r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$"
"""A Kubernetes quantity without a sign, an exponent or a fraction of a unit."""

_FACTORS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_FACTORS |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
Quantity = Annotated[str, Field(min_length=1, max_length=24, pattern=QUANTITY)]


def number_of(quantity: str) -> int:
    """The whole number that a quantity stands for: `1.5Gi` is 1610612736. Raises ValueError where it is none."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)", quantity)
    if found is None or found[2] not in _FACTORS:
        raise ValueError(f"{quantity!r} is not a quantity such as 64Mi or 10G")
    return int(Decimal(found[1]) * _FACTORS[found[2]])


class Compression(enum.StrEnum):
    """Whether Milvus's components compress what they send each other; clients are never affected."""

    AUTO = "Auto"
    ENABLED = "Enabled"
    DISABLED = "Disabled"


class Network(ApiModel):
    """Traffic between the components of Milvus."""

    compression: Compression | None = Field(
        default=None,
        description="zstd between Milvus's components (never towards clients). Auto: on below 1 Gbit/s, off above 10 "
        "Gbit/s, between them on where the network is a large share of the latency and vectors are longer than 512.",
    )
    link_bits_per_second: Quantity | None = Field(
        default=None, description="Speed of the links between nodes, such as 10G; else node_exporter's is taken."
    )
    connection_pool_size: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="gRPC connections that a proxy, or a shard leader, keeps per QueryNode.",
    )
    max_message_size: Quantity | None = Field(
        default=None, description="Largest request that a proxy takes from a client, such as 64Mi."
    )
    keepalive_seconds: int | None = Field(
        default=None,
        ge=1,
        le=3600,
        description="Silence after which a component asks whether a connection still lives.",
    )

    @model_validator(mode="after")
    def _sizes(self) -> Self:
        if self.max_message_size is not None and not 2**20 <= number_of(self.max_message_size) <= 2**31 - 1:
            raise ValueError("network.maxMessageSize must be between 1Mi and 2047Mi: gRPC sizes are 32-bit numbers")
        return self


class Compaction(enum.StrEnum):
    """Whether Milvus merges small segments and drops deleted rows by itself."""

    AUTOMATIC = "Automatic"
    DISABLED = "Disabled"


class Warmup(enum.StrEnum):
    """Whether data is read into memory when a segment is loaded, or when it is first searched."""

    DISABLED = "Disabled"
    ASYNC = "Async"
    SYNC = "Sync"


class Switch(enum.StrEnum):
    """On or off."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


class Wal(ApiModel):
    """How soon written data is made durable and readable outside of memory."""

    flush_interval_milliseconds: int | None = Field(
        default=None,
        ge=1,
        le=600_000,
        description="Longest time that the log (Woodpecker, from Milvus 2.6) holds entries back to write them at once. "
        "Kafka and Pulsar have no such lever in Milvus.",
    )
    insert_buffer_size: Quantity | None = Field(
        default=None, description="Rows of a segment that a DataNode gathers before it writes them out, such as 16Mi."
    )
    memory_sync_percent: int | None = Field(
        default=None,
        ge=10,
        le=90,
        description="Memory use of a DataNode from which on it writes out its largest buffers.",
    )


class Cache(ApiModel):
    """What of the QueryNodes' memory is for loaded data, and what happens to what does not fit."""

    reserved_memory: Quantity | None = Field(
        default=None, description="Memory of each QueryNode that loaded data may not use, such as 8Gi."
    )
    usable_percent: Percent = Field(
        default=70, description="Share of the rest that loaded data may use: (limit - reserved) x percent."
    )
    warmup: Warmup | None = Field(
        default=None, description="Read data when it is loaded, or when it is first searched."
    )
    mmap: Switch | None = Field(
        default=None, description="Map vectors and indexes from local disk instead of holding them in memory."
    )
    eviction: Switch | None = Field(
        default=None, description="Tiered storage (from Milvus 2.6.4): drop what is not searched, up to the budget."
    )


class Storage(ApiModel):
    """Log, compaction and memory."""

    wal: Wal | None = None
    compaction: Compaction | None = None
    cache: Cache | None = None


class ConsistencyLevel(enum.StrEnum):
    """Milvus's consistency levels."""

    STRONG = "Strong"
    BOUNDED = "Bounded"
    SESSION = "Session"
    EVENTUALLY = "Eventually"


class CollectionConsistency(CollectionName):
    """The level of one collection."""

    level: ConsistencyLevel = Field(description="Its default level: what a search gets that names none.")


class Consistency(ApiModel):
    """How fresh a search's data must be. Nothing here is ever changed that is not declared."""

    staleness_milliseconds: int | None = Field(
        default=None,
        ge=0,
        le=3_600_000,
        description="How old the data of a search at level Bounded may be: common.gracefulTime, read on each search. "
        "Near 0 each search waits for the next time tick of Milvus (200 ms).",
    )
    collections: list[CollectionConsistency] | None = Field(
        default=None,
        max_length=100,
        json_schema_extra={"x-list-map-keys": ["database", "name"]},
        description="Default levels of collections, from Milvus 2.4.23, 2.5.5 and 2.6.",
    )

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [(one.database, one.name) for one in self.collections or ()]
        if len(names) != len(set(names)):
            raise ValueError("consistency.collections must name different collections")
        return self


class ProfileName(enum.StrEnum):
    """A kind of workload."""

    RAG = "RAG"
    RECOMMENDATION = "Recommendation"
    USER_DATA = "UserData"
    FINANCE = "Finance"


class Profile(ApiModel):
    """Goals and starting points of a kind of workload. A profile only proposes; each field of the spec beats it."""

    cel_rules: ClassVar[tuple[Rule, ...]] = ()

    name: ProfileName = Field(description="Which kind of workload.")
    revision: Annotated[int, Field(ge=1, le=1000)] = Field(
        description="Pinned, so that an upgrade of the operator changes nothing; a newer one is reported."
    )


ConfigOverrides = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=128)],
        Annotated[str, Field(max_length=1024)],
    ],
    Field(max_length=50),
]
