"""A collection to search: K sealed segments of equal size, loaded, the same for the same seed.

The index is FLAT: a search reads every vector, so its CPU cost is proportional to the rows a QueryNode holds (a skew of
rows is a skew of work), it needs no IndexNode time, and results are exact. Measured on Milvus 2.3.5: a search of 8
vectors over 60,000 rows of 128 dimensions takes 15 ms of server CPU in all, at 1 as at 64 searches in flight. A single
vector would not do: Milvus joins waiting searches into one, and under a backlog each would cost half as much.

Each batch is flushed into segments of its own, one per shard, and compaction is off for the collection, so that they
stay as many as asked for. The description carries the parameters: a collection made with the same ones is kept, another
one of ours is made anew, and a collection that is not ours is never touched.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from pymilvus import DataType, MilvusClient

from tests.load.errors import LoadError

MARK = "search load test data "
MAX_MESSAGE_BYTES = 8_000_000  # below Kafka's limit of 10 MB, which holds for one shard's part of an insert
FLOAT_BYTES = 4
LOADED_TIMEOUT_SECONDS = 300
CONSISTENCY_LEVEL = "Bounded"  # that of most installs, and of the searches here, which name none of their own


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """What a collection holds; `segments` is a multiple of `shards`, `rows` of the number of batches."""

    rows: int
    dim: int
    segments: int
    shards: int = 1
    seed: int = 1

    def __post_init__(self) -> None:
        if min(self.rows, self.dim, self.segments, self.shards) < 1 or self.segments % self.shards:
            raise ValueError(f"rows, dim, segments and shards are 1 or more, segments a multiple of shards: {self}")
        if self.rows % self.batches:
            raise ValueError(f"{self.rows} rows do not divide into {self.batches} equal batches")
        if self.batch_rows * self.dim * FLOAT_BYTES > MAX_MESSAGE_BYTES:
            raise ValueError(f"a batch of {self.batch_rows} x {self.dim} exceeds {MAX_MESSAGE_BYTES} bytes")

    @property
    def batches(self) -> int:
        """Inserts, each flushed by itself."""
        return self.segments // self.shards

    @property
    def batch_rows(self) -> int:
        """Rows of one insert."""
        return self.rows // self.batches

    @property
    def description(self) -> str:
        """The mark by which the collection is known again."""
        return MARK + json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A collection ready to be searched; `seconds` is what it took, near nothing when it was there."""

    collection: str
    rows: int
    segments: int
    seconds: float


def prepare(uri: str, collection: str, dataset: Dataset, *, replicas: int = 1) -> Prepared:
    """Make the collection unless it is there, load it, wait until it is loaded."""
    start_seconds = time.monotonic()
    client = MilvusClient(uri)
    try:
        if not _is_there(client, collection, dataset):
            _make(client, collection, dataset)
        _index(client, collection)
        _load(client, collection, replicas)
        segments = _sealed_segments(client, collection)
    finally:
        client.close()
    if sum(segments.values()) != dataset.rows or len(segments) != dataset.segments:
        raise LoadError(f"{collection} has segments {segments}, wanted {dataset}")
    seconds = round(time.monotonic() - start_seconds, 1)
    return Prepared(collection=collection, rows=dataset.rows, segments=len(segments), seconds=seconds)


def _is_there(client: MilvusClient, collection: str, dataset: Dataset) -> bool:
    if not client.has_collection(collection):
        return False
    description = client.describe_collection(collection)["description"]
    if not description.startswith(MARK):
        raise LoadError(f"collection {collection} was not made by this tool and is left alone")
    rows = client.get_collection_stats(collection)["row_count"]
    if description == dataset.description and int(rows) == dataset.rows:
        return True
    client.drop_collection(collection)
    return False


def _make(client: MilvusClient, collection: str, dataset: Dataset) -> None:
    schema = client.create_schema(auto_id=False, description=dataset.description)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dataset.dim)
    properties = {"collection.autocompaction.enabled": "false"}
    client.create_collection(
        collection,
        schema=schema,
        num_shards=dataset.shards,
        consistency_level=CONSISTENCY_LEVEL,
        properties=properties,
    )
    draw = np.random.default_rng(dataset.seed)
    for batch in range(dataset.batches):
        vectors = draw.standard_normal((dataset.batch_rows, dataset.dim), dtype=np.float32)
        first_id = batch * dataset.batch_rows
        client.insert(collection, [{"id": first_id + row, "vector": vector} for row, vector in enumerate(vectors)])
        client.flush(collection)


def _index(client: MilvusClient, collection: str) -> None:
    """Does nothing where the index is there already, so that a broken-off run is taken up again."""
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="L2")
    client.create_index(collection, index)


def _load(client: MilvusClient, collection: str, replicas: int) -> None:
    if _is_loaded(client, collection) and len(client.describe_replica(collection)) != replicas:
        client.release_collection(collection)
    client.load_collection(collection, replica_number=replicas, timeout=LOADED_TIMEOUT_SECONDS)
    if not _is_loaded(client, collection):
        raise LoadError(f"collection {collection} is not loaded: {client.get_load_state(collection)}")


def _is_loaded(client: MilvusClient, collection: str) -> bool:
    return bool(client.get_load_state(collection)["state"].name == "Loaded")


def _sealed_segments(client: MilvusClient, collection: str) -> Mapping[int, int]:
    """Rows by segment, as the data coordinator has them."""
    infos = client.list_persistent_segments(collection)
    return {info.segment_id: info.num_rows for info in infos}
