"""The largest request that a gRPC server takes, told by the server itself, with five bytes and no request.

A gRPC message begins with a byte of flags and four of its length. grpc-go, which Milvus serves with, reads those five
first; where the length is above its limit (`MaxRecvMsgSize`) it answers at once, before it reads the message, and
before any interceptor or handler of Milvus runs:

    RESOURCE_EXHAUSTED  grpc: received message larger than max (2147483648 vs. 67108864)

So the second number is the limit that is in force in that process. What is sent here says that 2 GiB follow, and
nothing follows. A server that would take so much waits for a message that never comes; the stream is then reset and the
connection closed, and the call was never made. It would set memory aside for it all the same, so a caller does not ask
where a limit of 2 GiB and more is possible. No credentials are sent: they are looked at later.

Read in grpc-go 1.54 and 1.75 (`parser.recvMsg`, `Server.processUnaryRPC`), and run against servers of both. A gRPC
client library always sends the message too, so HTTP/2 is spoken here through `h2`.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from milvus_tuning.errors import ObserveError

CLAIMED_BYTES: Final = 2**31
METHOD: Final = "/milvus.proto.milvus.MilvusService/GetVersion"  # a call must exist to have its message read
_PREFIX: Final = struct.pack(">BI", 0, CLAIMED_BYTES)
_RESOURCE_EXHAUSTED: Final = "8"
_WORDS: Final = re.compile(r"received message larger than max \((\d+) vs\. (\d+)\)", re.IGNORECASE)
_MOST_BYTES: Final = 64 * 1024  # an answer has some hundred


class LimitError(ObserveError):
    """A server did not tell its limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerTls:
    """What the server must prove: that it is server_name, to the authorities of a PEM bundle (None: the usual ones)."""

    server_name: str
    authority_pem: str | None = None


def read_receive_limit(host: str, port: int, *, timeout_seconds: float, tls: ServerTls | None = None) -> int:
    """The limit in bytes of the server there; LimitError where it does not tell within the time."""
    deadline = time.monotonic() + timeout_seconds
    where = f"{host}:{port}"
    try:
        with _connected(host, port, timeout_seconds, tls) as stream:
            answer = _answer(stream, where, deadline)
    except (OSError, h2.exceptions.H2Error) as error:
        raise LimitError(f"{where} did not tell the largest request that it takes: {error}") from error
    said = unquote(answer.get("grpc-message", ""))
    found = _WORDS.search(said)
    if answer.get("grpc-status") != _RESOURCE_EXHAUSTED or found is None or int(found[1]) != CLAIMED_BYTES:
        code = answer.get("grpc-status", "none")
        raise LimitError(f"{where} did not refuse a message of {CLAIMED_BYTES} bytes: gRPC status {code} {said}")
    return int(found[2])


@contextlib.contextmanager
def _connected(host: str, port: int, timeout_seconds: float, tls: ServerTls | None) -> Iterator[socket.socket]:
    with socket.create_connection((host, port), timeout=timeout_seconds) as plain:
        if tls is None:
            yield plain
            return
        context = ssl.create_default_context(cadata=tls.authority_pem)
        context.set_alpn_protocols(["h2"])
        with context.wrap_socket(plain, server_hostname=tls.server_name) as secured:
            yield secured


def _answer(stream: socket.socket, authority: str, deadline: float) -> dict[str, str]:
    """The headers and trailers of the answer; empty where the server ends the call without any."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    connection.initiate_connection()
    call = connection.get_next_available_stream_id()
    connection.send_headers(call, _headers(authority))
    connection.send_data(call, _PREFIX)
    stream.sendall(connection.data_to_send())
    answer: dict[str, str] = {}
    read = 0
    try:
        while read < _MOST_BYTES:
            data = _received(stream, deadline)
            read += len(data)
            events = connection.receive_data(data)
            answer |= _headers_of(events)
            if not data or any(isinstance(event, _ENDS) for event in events):
                return answer
            stream.sendall(connection.data_to_send())
        raise OSError(f"its answer is longer than {_MOST_BYTES} bytes")
    finally:
        _give_up(connection, stream, call)


_ENDS: Final = (h2.events.StreamEnded, h2.events.StreamReset, h2.events.ConnectionTerminated)


def _received(stream: socket.socket, deadline: float) -> bytes:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("it did not answer in time")
    stream.settimeout(left)
    return stream.recv(16 * 1024)


def _headers(authority: str) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", METHOD),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", "milvus-tuning-operator"),
    ]


def _headers_of(events: Iterable[h2.events.Event]) -> Mapping[str, str]:
    told = (event for event in events if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived))
    return {str(name): str(value) for event in told for name, value in event.headers or ()}


def _give_up(connection: h2.connection.H2Connection, stream: socket.socket, call: int) -> None:
    """Take the call back where it still stands, and say goodbye: what follows the prefix never comes."""
    with contextlib.suppress(OSError, h2.exceptions.H2Error):
        if not connection.streams[call].closed:
            connection.reset_stream(call)
    with contextlib.suppress(OSError, h2.exceptions.H2Error):
        connection.close_connection()
        stream.sendall(connection.data_to_send())
