"""A gRPC server as far as its limit goes: it refuses by the length that a message announces, as grpc-go does."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events

RECORDED = bytes.fromhex(
    "0000060400000000000005000040000000000401000000000000040800000000000000000500000806000000000002041010"
    "090e0707000055010500000001885f8b1d75d0620d263d4c4d656440889acac8b21234da8f013840899acac8b5254207317f"
    "af9acac9714b0a429bb9645292a10398aa503b262d8a2671d4a523f2a7f420b4eb4f32e34f29dd0ba8e3a103cf38d7f70000"
    "0403000000000100000000"
)
"""What grpc-go 1.54.0 and 1.75.0 sent, byte by byte the same, with a limit of 67108864."""
RECORDED_LIMIT = 67108864


@dataclass(slots=True)
class LimitServer:
    """limit: bytes; words: its message with {} for both numbers; recorded: bytes that are sent instead of an answer.

    calls are the paths of the calls that came; taken those whose message was not refused, and was waited for.
    """

    limit: int
    status: str = "8"
    words: str = "grpc: received message larger than max ({} vs. {})"
    recorded: bytes | None = None
    calls: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)


@contextmanager
def a_limited(server: LimitServer, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """The server on a port of its own, which is given."""
    with socket.create_server((host, 0)) as listener:
        thread = threading.Thread(target=_accept, args=(listener, server, tls), daemon=True)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=5)


def _accept(listener: socket.socket, server: LimitServer, tls: ssl.SSLContext | None) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return
        try:
            with plain, tls.wrap_socket(plain, server_side=True) if tls else plain as stream:
                _serve(stream, server)
        except OSError:
            continue


def _serve(stream: socket.socket, server: LimitServer) -> None:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    if server.recorded is None:
        stream.sendall(connection.data_to_send())
    paths: dict[int, str] = {}
    while data := stream.recv(65536):
        for event in connection.receive_data(data):
            match event:
                case h2.events.RequestReceived():
                    told = {str(name): str(value) for name, value in event.headers or ()}
                    paths[event.stream_id or 0] = told[":path"]
                    server.calls.append(told[":path"])
                    server.headers.append(told)
                case h2.events.DataReceived():
                    _answer(connection, server, event, paths)
                case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                    server.ended.append(type(event).__name__)
        stream.sendall(connection.data_to_send() if server.recorded is None else server.recorded)


def _answer(
    connection: h2.connection.H2Connection,
    server: LimitServer,
    event: h2.events.DataReceived,
    paths: dict[int, str],
) -> None:
    stream_id = event.stream_id or 0
    _, length = struct.unpack(">BI", (event.data or b"")[:5])
    if length <= server.limit:
        server.taken.append(paths[stream_id])
        return
    said = server.words.format(length, server.limit)
    trailers = [
        (":status", "200"),
        ("content-type", "application/grpc"),
        ("grpc-status", server.status),
        ("grpc-message", said),
    ]
    connection.send_headers(stream_id, trailers, end_stream=True)
