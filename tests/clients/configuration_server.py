"""Milvus's internal call ShowConfigurations over real gRPC on loopback, by the service of each kind of process."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc  # type: ignore[import-untyped]
from pymilvus.grpc_gen import common_pb2

from milvus_tuning.clients.configuration import METHOD, Request, Response


@dataclass(slots=True)
class Process:
    """What one process says. values: service -> key as listed -> value; a service without an entry is not implemented.

    asked: (service, pattern) of each call.
    """

    values: dict[str, dict[str, str]]
    status: common_pb2.Status = field(default_factory=common_pb2.Status)
    asked: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def a_process(process: Process, address: str = "127.0.0.1:0") -> Iterator[str]:
    """A server; gives its host:port."""
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    for service, values in process.values.items():
        handler = grpc.unary_unary_rpc_method_handler(
            _answer(process, service, values),
            request_deserializer=Request.FromString,
            response_serializer=Response.SerializeToString,
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {METHOD: handler}),))
    port = server.add_insecure_port(address)
    server.start()
    try:
        yield f"{address.rpartition(':')[0]}:{port}"
    finally:
        server.stop(None).wait()


def _answer(process: Process, service: str, values: Mapping[str, str]) -> Callable[[Any, grpc.ServicerContext], Any]:
    """As Milvus: the keys that contain the pattern in lower case."""

    def answer(request: Any, _: grpc.ServicerContext) -> Any:
        process.asked.append((service, request.pattern))
        if process.status.code:
            return Response(status=process.status)
        listed = {key: value for key, value in values.items() if request.pattern.lower() in key}
        pairs = [common_pb2.KeyValuePair(key=key, value=value) for key, value in listed.items()]
        return Response(status=process.status, configuations=pairs)

    return answer
