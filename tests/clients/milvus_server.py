"""A Milvus proxy over real gRPC on loopback, answering the calls of an observation from recorded messages."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc  # type: ignore[import-untyped]
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc

REPLIES = {
    "GetVersion": milvus_pb2.GetVersionResponse,
    "ListDatabases": milvus_pb2.ListDatabasesResponse,
    "ShowCollections": milvus_pb2.ShowCollectionsResponse,
    "GetReplicas": milvus_pb2.GetReplicasResponse,
    "GetQuerySegmentInfo": milvus_pb2.GetQuerySegmentInfoResponse,
    "GetMetrics": milvus_pb2.GetMetricsResponse,
    "DescribeCollection": milvus_pb2.DescribeCollectionResponse,
    "DescribeIndex": milvus_pb2.DescribeIndexResponse,
    "ListResourceGroups": milvus_pb2.ListResourceGroupsResponse,
    "DescribeResourceGroup": milvus_pb2.DescribeResourceGroupResponse,
    "LoadBalance": common_pb2.Status,
    "LoadCollection": common_pb2.Status,
    "AlterCollection": common_pb2.Status,
}


@dataclass(frozen=True, slots=True)
class ByRequest:
    """A reply that depends on the request."""

    reply: Callable[[Any], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Acting:
    """A reply to a request that changes something, or a gRPC error in its place."""

    reply: Callable[[Any, grpc.ServicerContext], Mapping[str, Any]]


Override = Mapping[str, Any] | Callable[[grpc.ServicerContext], Mapping[str, Any]] | ByRequest | Acting


class RecordedMilvus(milvus_pb2_grpc.MilvusServiceServicer):  # type: ignore[misc]
    """recorded: the reply of each call as JSON, or what makes it; a call without one is not implemented, as in an older
    version. asked: (call, request, metadata)."""

    def __init__(self, recorded: Mapping[str, Override]) -> None:
        self._recorded = recorded
        self._lock = threading.Lock()
        self.asked: list[tuple[str, Any, dict[str, str]]] = []

    def _reply(self, name: str, request: Any, context: grpc.ServicerContext) -> Any:
        with self._lock:
            self.asked.append((name, request, dict(context.invocation_metadata())))
        found = self._recorded.get(name, refuses(grpc.StatusCode.UNIMPLEMENTED, f"unknown method {name}"))
        if isinstance(found, ByRequest):
            return ParseDict(dict(found.reply(request)), REPLIES[name]())
        if isinstance(found, Acting):
            return ParseDict(dict(found.reply(request, context)), REPLIES[name]())
        return ParseDict(dict(found(context) if callable(found) else found), REPLIES[name]())

    def GetVersion(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._reply("GetVersion", request, context)

    def ListDatabases(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._reply("ListDatabases", request, context)

    def ShowCollections(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._reply("ShowCollections", request, context)

    def GetReplicas(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._reply("GetReplicas", request, context)

    def GetQuerySegmentInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._reply("GetQuerySegmentInfo", request, context)

    def GetMetrics(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._reply("GetMetrics", request, context)

    def DescribeCollection(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._reply("DescribeCollection", request, context)

    def DescribeIndex(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._reply("DescribeIndex", request, context)

    def ListResourceGroups(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._reply("ListResourceGroups", request, context)

    def DescribeResourceGroup(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._reply("DescribeResourceGroup", request, context)

    def LoadBalance(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._reply("LoadBalance", request, context)

    def LoadCollection(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._reply("LoadCollection", request, context)

    def AlterCollection(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._reply("AlterCollection", request, context)


@contextmanager
def a_milvus(recorded: Mapping[str, Override]) -> Iterator[tuple[str, RecordedMilvus]]:
    """A server on a free port of the loopback; gives its URI and the servicer."""
    servicer = RecordedMilvus(recorded)
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", servicer
    finally:
        server.stop(None).wait()


def refuses(code: grpc.StatusCode, details: str) -> Callable[[grpc.ServicerContext], Mapping[str, Any]]:
    """A reply that is a gRPC error."""

    def reply(context: grpc.ServicerContext) -> Mapping[str, Any]:
        context.abort(code, details)
        raise AssertionError("abort raises")

    return reply
