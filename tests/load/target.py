"""Searches over gRPC at the least cost: requests are serialised once, replies are read for their status alone.

On the two cores that Milvus and the client share, a search must cost the client little: the asyncio stub with ready
bytes took 0.6 ms of CPU, futures of the threaded stub 0.75 ms. Nothing here retries: pymilvus would send a
failed search again and hide it, so its client is used to look up the schema and build requests, never to send them.
"""

import itertools
from collections.abc import Sequence
from types import TracebackType
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped]
import numpy as np
from pymilvus import DataType, MilvusClient
from pymilvus.client.prepare import Prepare
from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

from tests.load.errors import LoadError

SEARCH_METHOD = "/milvus.proto.milvus.MilvusService/Search"
REQUESTS_PER_COLLECTION = 64  # different vectors, so that no two neighbouring searches ask the same
ROWS_MISSING = "ROWS_MISSING"
ROUNDING_SWAPS = 1  # two rows at the same distance but for the last bit may change places at the end of the list
CHANNEL_OPTIONS = (
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),  # the default of two minutes would outlast the fault under test
)


def address_of(uri: str) -> str:
    """`http://host:19530` as gRPC's `host:19530`."""
    parts = urlsplit(uri)
    if parts.scheme != "http" or not parts.hostname or not parts.port:
        raise LoadError(f"an address reads http://HOST:PORT, not {uri!r}")
    return f"{parts.hostname}:{parts.port}"


def build_requests(uri: str, collections: Sequence[str], *, limit: int, nq: int, seed: int) -> list[bytes]:
    """Serialised searches, the collections in turn; looks up each one's vector field and its dimension."""
    address_of(uri)
    client = MilvusClient(uri)
    try:
        per_collection = [_requests_for(client, name, limit=limit, nq=nq, seed=seed) for name in collections]
    finally:
        client.close()
    return list(itertools.chain.from_iterable(zip(*per_collection, strict=True)))


def _requests_for(client: MilvusClient, collection: str, *, limit: int, nq: int, seed: int) -> list[bytes]:
    fields = client.describe_collection(collection)["fields"]
    field = next((field for field in fields if field["type"] == DataType.FLOAT_VECTOR), None)
    if field is None:
        raise LoadError(f"collection {collection} has no field of floating-point vectors")
    draw = np.random.default_rng(seed)
    vectors = draw.standard_normal((REQUESTS_PER_COLLECTION, nq, field["params"]["dim"]), dtype=np.float32)
    return [_request(collection, field["name"], list(batch), limit) for batch in vectors]


def _request(collection: str, field: str, vectors: list[np.ndarray], limit: int) -> bytes:
    request = Prepare.search_requests_with_expr(collection, field, {"params": {}}, limit, data=vectors)
    return bytes(request.SerializeToString())


class MilvusTarget:
    """One connection to a Milvus proxy that sends the given requests in turn.

    With `verify` each reply is compared with the first one to the same request: over data that stands still and an
    exact index, a reply without the rows of one segment is a lost search, though Milvus calls it a success.
    """

    def __init__(self, uri: str, requests: Sequence[bytes], *, verify: bool = False) -> None:
        self._channel = grpc.aio.insecure_channel(address_of(uri), options=CHANNEL_OPTIONS)
        self._call = self._channel.unary_unary(SEARCH_METHOD)
        self._requests = itertools.cycle(requests)
        self._first_ids: dict[bytes, frozenset[int | str]] | None = {} if verify else None

    async def __aenter__(self) -> "MilvusTarget":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def search(self, *, timeout_seconds: float) -> str | None:
        """One search; the error is gRPC's status (DEADLINE_EXCEEDED, ...), Milvus's (`milvus:106`) or ROWS_MISSING."""
        request = next(self._requests)
        try:
            reply: bytes = await self._call(request, timeout=timeout_seconds)
        except grpc.aio.AioRpcError as error:
            return str(error.code().name)
        found = milvus_pb2.SearchResults.FromString(reply)
        return error_of(found.status) or self._verify(request, found.results)

    def _verify(self, request: bytes, results: schema_pb2.SearchResultData) -> str | None:
        if self._first_ids is None:
            return None
        ids = frozenset(results.ids.int_id.data or results.ids.str_id.data)
        first_ids = self._first_ids.setdefault(request, ids)
        return ROWS_MISSING if not ids or len(first_ids - ids) > ROUNDING_SWAPS else None


def error_of(status: common_pb2.Status) -> str | None:
    """The error inside a reply that gRPC delivered: Milvus 2.3 fills `code`, and `error_code` for older clients."""
    if status.code:
        return f"milvus:{status.code}"
    return f"milvus:{common_pb2.ErrorCode.Name(status.error_code)}" if status.error_code else None
