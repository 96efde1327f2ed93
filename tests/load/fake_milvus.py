"""Just enough of a Milvus proxy, over real gRPC on loopback, to run the client against: schema look-up and search."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc  # type: ignore[import-untyped]
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2

Reply = Callable[[int], common_pb2.Status]


class FakeMilvus(milvus_pb2_grpc.MilvusServiceServicer):  # type: ignore[misc]
    """Every collection has one vector field; `reply` answers the n-th search, and keeps what was asked."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.searches: list[milvus_pb2.SearchRequest] = []
        self.found_ids: tuple[int, ...] = (1, 2, 3, 4)

    def Connect(self, request: milvus_pb2.ConnectRequest, context: grpc.ServicerContext) -> milvus_pb2.ConnectResponse:
        return milvus_pb2.ConnectResponse(status=common_pb2.Status(), identifier=1)

    def GetVersion(
        self, request: milvus_pb2.GetVersionRequest, context: grpc.ServicerContext
    ) -> milvus_pb2.GetVersionResponse:
        return milvus_pb2.GetVersionResponse(status=common_pb2.Status(), version="2.3.5")

    def DescribeCollection(
        self, request: milvus_pb2.DescribeCollectionRequest, context: grpc.ServicerContext
    ) -> milvus_pb2.DescribeCollectionResponse:
        dim = common_pb2.KeyValuePair(key="dim", value="4")
        field = schema_pb2.FieldSchema(
            fieldID=100, name="vector", data_type=schema_pb2.DataType.FloatVector, type_params=[dim]
        )
        schema = schema_pb2.CollectionSchema(name=request.collection_name, fields=[field])
        return milvus_pb2.DescribeCollectionResponse(status=common_pb2.Status(), schema=schema)

    def Search(self, request: milvus_pb2.SearchRequest, context: grpc.ServicerContext) -> milvus_pb2.SearchResults:
        self.searches.append(request)
        status = self._reply(len(self.searches))
        ids = schema_pb2.IDs(int_id=schema_pb2.LongArray(data=self.found_ids))
        return milvus_pb2.SearchResults(status=status, results=schema_pb2.SearchResultData(ids=ids))


def good(_: int) -> common_pb2.Status:
    """A good reply at once."""
    return common_pb2.Status()


def slow(_: int) -> common_pb2.Status:
    """A good reply after a second."""
    time.sleep(1.0)
    return common_pb2.Status()


@contextmanager
def a_milvus(reply: Reply = good, *, port: int = 0) -> Iterator[tuple[str, FakeMilvus]]:
    """A server on the loopback, on a free port unless one is given; gives its URI and what it was asked."""
    fake = FakeMilvus(reply)
    server = grpc.server(ThreadPoolExecutor(max_workers=16))
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(fake, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", fake
    finally:
        server.stop(None).wait()
