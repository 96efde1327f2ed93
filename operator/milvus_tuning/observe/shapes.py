"""What searching a row of each collection depends on: its vector fields and their index.

Bytes of a row are those of its vectors: FLOAT_VECTOR takes 4 bytes a dimension, FLOAT16_VECTOR and BFLOAT16_VECTOR 2,
INT8_VECTOR 1, BINARY_VECTOR an eighth. A sparse vector and an array of vectors have no fixed size and are left out.
Example: a FLOAT_VECTOR of 128 and a BINARY_VECTOR of 512 dimensions make a row of 640 dimensions and 512 + 64 = 576
bytes; the index that counts is the one of the FLOAT_VECTOR.

The answers hardly ever change. They are asked only where a policy needs them, at most MOST_DESCRIBED_PER_PASS
collections a pass, never described and busy ones first, and again after REFRESH_SECONDS.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

from milvus_tuning.clients.milvus import MilvusClient, MilvusError, MilvusFailure
from milvus_tuning.snapshot import Collection, CollectionShape

MOST_DESCRIBED_PER_PASS: Final = 20
REFRESH_SECONDS: Final = 600.0
_BITS_PER_DIMENSION: Final[Mapping[int, int]] = {
    schema_pb2.FloatVector: 32,
    schema_pb2.Float16Vector: 16,
    schema_pb2.BFloat16Vector: 16,
    schema_pb2.Int8Vector: 8,
    schema_pb2.BinaryVector: 1,
}
_VECTORS: Final = frozenset({*_BITS_PER_DIMENSION, schema_pb2.SparseFloatVector})
_SILENT: Final = frozenset({MilvusFailure.UNREACHABLE, MilvusFailure.CREDENTIALS_REJECTED})
_INDEX_TYPE: Final = "index_type"
_PARAMETERS: Final = "params"  # where the user's parameters are one JSON text

_Key = tuple[str, str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Described:
    shape: CollectionShape | None  # None: Milvus refused to describe it
    asked_at: float


class ShapeCache:
    """The shapes of one cluster by database, name and collection id. May be used from several threads.

    All times are of one clock that only goes forward, in seconds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._described: dict[_Key, _Described] = {}

    def due(
        self, collections: Sequence[Collection], searches: Mapping[int, float], now: float
    ) -> tuple[Collection, ...]:
        """What to describe at `now`; what is not among the loaded collections any more is forgotten.

        searches are searches per second by collection id, where they are known.
        """
        loaded = {_key(found) for found in collections}
        with self._lock:
            self._described = {key: one for key, one in self._described.items() if key in loaded}
            asked_at = {key: one.asked_at for key, one in self._described.items()}
        return next_to_describe(collections, searches, asked_at, now)

    def keep(self, collection: Collection, shape: CollectionShape | None, now: float) -> None:
        """Keep how a collection was described at `now`; None where it could not be."""
        with self._lock:
            self._described[_key(collection)] = _Described(shape=shape, asked_at=now)

    def shape(self, collection: Collection) -> CollectionShape | None:
        """The shape, None where it is not known."""
        with self._lock:
            found = self._described.get(_key(collection))
        return None if found is None else found.shape


def next_to_describe(
    collections: Sequence[Collection], searches: Mapping[int, float], asked_at: Mapping[_Key, float], now: float
) -> tuple[Collection, ...]:
    """At most MOST_DESCRIBED_PER_PASS: those never asked for, busiest first, then those asked for the longest ago."""
    new = [found for found in collections if _key(found) not in asked_at]
    old = [found for found in collections if now - asked_at.get(_key(found), now) > REFRESH_SECONDS]
    new.sort(key=lambda found: -searches.get(found.collection_id, 0.0))
    old.sort(key=lambda found: asked_at[_key(found)])
    return (*new, *old)[:MOST_DESCRIBED_PER_PASS]


def with_shapes(
    client: MilvusClient,
    collections: Sequence[Collection],
    cache: ShapeCache,
    searches: Mapping[int, float],
    *,
    deadline: float,
    monotonic: Callable[[], float],
) -> tuple[Collection, ...]:
    """The same collections with their shapes, as far as they are known by the deadline on the clock `monotonic`.

    A collection that cannot be described keeps the shape that it had, and is not asked for again before the others;
    a Milvus that does not answer is asked no more in this pass. Neither is a problem: a shape is then just not known.
    """
    for collection in cache.due(collections, searches, monotonic()):
        if monotonic() >= deadline:
            break
        try:
            cache.keep(collection, _describe(client, collection), monotonic())
        except MilvusError as error:
            cache.keep(collection, cache.shape(collection), monotonic())
            if error.failure in _SILENT:
                break
    return tuple(replace(collection, shape=cache.shape(collection)) for collection in collections)


def shape_of(
    schema: schema_pb2.CollectionSchema, indexes: Iterable[milvus_pb2.IndexDescription]
) -> CollectionShape | None:
    """The shape that a schema and the indexes of its fields make; None where a vector field has no usable dimension."""
    vectors = [field for field in schema.fields if field.data_type in _VECTORS]
    sizes = {field.name: _size(field) for field in vectors}
    if any(size is None for size in sizes.values()):
        return None
    known = {name: size for name, size in sizes.items() if size is not None}
    largest = max(sorted(known), key=lambda name: known[name][1], default="")
    parameters = _parameters(next((one.params for one in indexes if one.field_name == largest), ()))
    return CollectionShape(
        dimension=sum(dimension for dimension, _ in known.values()),
        vector_bytes=sum(size for _, size in known.values()),
        index_type=parameters.pop(_INDEX_TYPE, ""),
        index_parameters=parameters,
    )


def _describe(client: MilvusClient, collection: Collection) -> CollectionShape | None:
    """The shape as Milvus tells it; None where the name belongs to another collection by now."""
    described = client.collection(collection.database, collection.name)
    if described.collectionID != collection.collection_id:
        return None
    return shape_of(described.schema, client.indexes(collection.database, collection.name))


def _size(field: schema_pb2.FieldSchema) -> tuple[int, int] | None:
    """Dimension and bytes of a vector; of a sparse one none of both."""
    if field.data_type not in _BITS_PER_DIMENSION:
        return (0, 0)
    text = next((pair.value for pair in field.type_params if pair.key == "dim"), "")
    return (int(text), int(text) * _BITS_PER_DIMENSION[field.data_type] // 8) if text.isdecimal() else None


def _parameters(pairs: Iterable[common_pb2.KeyValuePair]) -> dict[str, str]:
    """Type, metric and parameters of an index in one mapping; pymilvus sends the latter as one JSON text."""
    found = {pair.key: pair.value for pair in pairs}
    try:
        nested = json.loads(found.pop(_PARAMETERS, "{}"))
    except ValueError:
        return found
    return found | {key: str(value) for key, value in nested.items()} if isinstance(nested, dict) else found


def _key(collection: Collection) -> _Key:
    return (collection.database, collection.name, collection.collection_id)
