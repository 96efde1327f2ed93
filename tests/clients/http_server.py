"""A real HTTP server on loopback that answers what a function says, and keeps what it was asked."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A request as it came in; path is without the query part."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What to answer; a body that is no text is sent as JSON."""

    status: int = 200
    body: Any = ""
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Callable[[Asked], Reply]


@contextmanager
def a_server(answer: Answer) -> Iterator[tuple[str, list[Asked]]]:
    """A server on a free port; gives its address and the growing list of requests."""
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True  # else each reply waits 40 ms for an acknowledgement
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            path, _, query = self.path.partition("?")
            request = Asked(
                method=self.command,
                path=path,
                query=query,
                headers=dict(self.headers),
                body=self.rfile.read(length).decode(),
            )
            asked.append(request)
            self._send(answer(request))

        def _send(self, reply: Reply) -> None:
            content = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content.encode())))
            self.end_headers()
            self.wfile.write(content.encode())

        do_GET = do_POST = _handle

        def log_message(self, *_: object) -> None:
            """Nothing: the test says what went wrong."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with _serving(server):
        yield f"http://127.0.0.1:{server.server_address[1]}", asked


@contextmanager
def _serving(server: ThreadingHTTPServer) -> Iterator[None]:
    """Take one connection after another; at the end a connection of our own wakes the one who waits for the next.

    The library's own loop looks whether to stop only now and then, which costs a test with four servers a blink each.
    """
    stopped = threading.Event()

    def serve() -> None:
        while not stopped.is_set():
            server.handle_request()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        socket.create_connection(("127.0.0.1", server.server_port)).close()
        thread.join()
        server.server_close()
