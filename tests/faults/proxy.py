"""A scripted fault proxy between the operator and what it writes to: the Kubernetes API server and Milvus's etcd.

Two plain listeners on loopback, one for each server; towards the API server the proxy speaks TLS as its administrator.
Milvus is played by the test, which asks the same script (milvus.py). Every request is passed on and kept in the
journal. Requests that change the outside world (the replica count, a mark on a pod, a Milvus object, a key or lease in
etcd, a placement in Milvus) are counted, in the order in which they arrive; at the one that the script names something
goes wrong:

    refuse         the connection is closed and nothing is sent
    delay          it is held back for longer than anybody waits, and sent all the same
    conflict       409, or a transaction whose guards do not hold; nothing is sent
    server error   503 in the words of either server; nothing is sent
    cut            it is sent, and the reply is lost
    before sent    the process is killed, and nothing is sent
    reply lost     it is sent, the process is killed, and the reply is lost
    before record  the reply arrives; the process is killed at its next write of any kind, which is not sent

Our own records (a plan, the status of a MilvusTuning) are no outside writes, nor are the Lease and Events. Those of
plans are counted too, and a script may name one of them.
"""

from __future__ import annotations

import contextlib
import enum
import http.client
import json
import re
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import urlsplit

HOP_BY_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "proxy-connection"})
CHUNK_BYTES: Final = 65536
_SCALED = re.compile(r"/apis/apps/v1/namespaces/[^/]+/deployments/[^/]+(/scale)?$")
_POD = re.compile(r"/api/v1/namespaces/[^/]+/pods/[^/]+(/eviction)?$")
_MILVUS = re.compile(r"/apis/milvus\.io/[^/]+/namespaces/[^/]+/milvuses/[^/]+$")
_ETCD = re.compile(r"/v3/(kv/(txn|put|deleterange)|lease/(grant|revoke))$")
_MOVED = re.compile(r"/milvus\.proto\.milvus\.MilvusService/(LoadBalance|LoadCollection|AlterCollection)$")
_STATUS = re.compile(r"/apis/milvustuning\.io/[^/]+/namespaces/[^/]+/milvustunings/[^/]+/status$")
_PLAN = re.compile(r"/apis/milvustuning\.io/[^/]+/namespaces/[^/]+/milvustuningplans(/.*)?$")


class Fault(enum.StrEnum):
    """What goes wrong; see the module's text."""

    REFUSE = "refuse"
    DELAY = "delay"
    CONFLICT = "conflict"
    SERVER_ERROR = "server error"
    CUT = "cut"
    BEFORE_SENT = "before sent"
    REPLY_LOST = "reply lost"
    BEFORE_RECORD = "before record"


CRASHES: Final = (Fault.BEFORE_SENT, Fault.REPLY_LOST, Fault.BEFORE_RECORD)
NOT_SENT: Final = frozenset({Fault.REFUSE, Fault.CONFLICT, Fault.SERVER_ERROR, Fault.BEFORE_SENT})


class Kind(enum.Enum):
    """What a request is to us."""

    OUTSIDE = enum.auto()  # a write that changes something beyond our own objects
    PLAN = enum.auto()  # a write of a plan, our log
    RECORD = enum.auto()  # another write of what we say of ourselves
    OTHER = enum.auto()  # reads, watches, dry runs, the Lease, Events, what kopf keeps


_COUNTED = frozenset({Kind.OUTSIDE, Kind.PLAN})


def kind_of(method: str, path: str, query: str = "") -> Kind:
    """What a request is."""
    if "dryRun=" in query:
        return Kind.OTHER
    if method in {"PUT", "PATCH", "DELETE"} and any(one.match(path) for one in (_SCALED, _POD, _MILVUS)):
        return Kind.OUTSIDE
    if method == "POST" and any(one.match(path) for one in (_ETCD, _POD, _MOVED)):
        return Kind.OUTSIDE
    if method in {"POST", "PUT", "PATCH", "DELETE"} and _PLAN.match(path):
        return Kind.PLAN
    return Kind.RECORD if method in {"PUT", "PATCH"} and _STATUS.match(path) else Kind.OTHER


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """At the at-th write of this kind (the first is 1) this goes wrong, once."""

    fault: Fault
    at: int
    kind: Kind = Kind.OUTSIDE
    delay_seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.fault} at {self.kind.name.lower()} write {self.at}"


@dataclass(kw_only=True, slots=True)
class Entry:
    """A request as it came in. status is None where no reply was had or given; number counts those of a kind."""

    at: float  # time.monotonic()
    method: str
    path: str
    kind: Kind
    number: int | None = None
    status: int | None = None
    fault: Fault | None = None

    def __str__(self) -> str:
        told = f" [{self.fault}]" if self.fault else ""
        return f"{self.at:.2f} {self.method} {self.path} -> {self.status}{told}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Upstream:
    """A real server: its address, and the TLS to speak to it (None: plain)."""

    url: str
    tls: ssl.SSLContext | None = None

    def connect(self) -> http.client.HTTPConnection:
        """A new connection."""
        address = urlsplit(self.url).netloc
        if self.tls is not None:
            return http.client.HTTPSConnection(address, context=self.tls, timeout=90)
        return http.client.HTTPConnection(address, timeout=90)


@dataclass(slots=True)
class Play:
    """The script, how far it has been played, and the journal. Shared by the listeners of one operator."""

    script: Script | None
    kill: Callable[[], None]
    journal: list[Entry] = field(default_factory=list)
    crashed: threading.Event = field(default_factory=threading.Event)
    _writes: Counter[Kind] = field(default_factory=Counter)
    _last_breath: bool = False  # the process dies at its next write
    _dead: bool = False  # nothing is passed on until the next process is announced
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, method: str, path: str, query: str = "") -> Entry:
        """Note a request and say what happens to it; returns after the process is dead where that is its fate."""
        with self._lock:
            entry = Entry(at=time.monotonic(), method=method, path=path, kind=kind_of(method, path, query))
            self.journal.append(entry)
            if self._dead:
                entry.fault = Fault.REFUSE
            elif self._last_breath and entry.kind is not Kind.OTHER:
                self._die(entry, Fault.BEFORE_RECORD)
            elif entry.kind in _COUNTED:
                self._count(entry)
        return entry

    def _count(self, entry: Entry) -> None:
        self._writes[entry.kind] += 1
        entry.number = self._writes[entry.kind]
        if self.script is not None and (self.script.kind, self.script.at) == (entry.kind, entry.number):
            entry.fault = self.script.fault
            if entry.fault is Fault.BEFORE_SENT:
                self._die(entry, Fault.BEFORE_SENT)

    def answered(self, entry: Entry, status: int) -> bool:
        """Note the reply of the real server; whether it may reach the process."""
        with self._lock:
            entry.status = status
            if entry.fault is Fault.REPLY_LOST and not self._dead:
                self._die(entry, Fault.REPLY_LOST)
            elif entry.fault is Fault.BEFORE_RECORD:
                self._last_breath = True
            return not self._dead and entry.fault is not Fault.CUT

    def _die(self, entry: Entry, fault: Fault) -> None:
        entry.fault = fault
        self._last_breath, self._dead = False, True
        self.crashed.set()
        self.kill()

    def next_process(self) -> None:
        """Another process is about to be started: pass its requests on, the script is over."""
        with self._lock:
            self.script, self._dead = None, False

    def writes(self, kind: Kind) -> list[Entry]:
        """The writes of this kind that were counted so far."""
        return [entry for entry in list(self.journal) if entry.number is not None and entry.kind is kind]

    @property
    def played(self) -> bool:
        """Whether what the script names has come to pass."""
        return any(entry.number is not None and entry.fault is not None for entry in list(self.journal))

    @property
    def settled(self) -> bool:
        """Whether every outside write that was sent, however late, has been answered by the server."""
        return all(entry.status is not None for entry in self.writes(Kind.OUTSIDE) if entry.fault not in NOT_SENT)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, upstream: Upstream, play: Play) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.play = upstream, play

    def handle_error(self, *_: object) -> None:
        """Nothing: a killed process leaves broken connections behind."""


class FaultProxy:
    """One listener in front of one server, from `with` to its end; `url` is where the operator is to be sent."""

    def __init__(self, upstream: Upstream, play: Play) -> None:
        self._server = _Server(upstream, play)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    """A connection of the operator, with one of its own to the real server."""

    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each reply waits 40 ms for an acknowledgement

    def setup(self) -> None:
        super().setup()
        self._upstream = self.server.upstream.connect()

    def finish(self) -> None:
        self._upstream.close()
        with contextlib.suppress(OSError):
            super().finish()

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        play, (path, _, query) = self.server.play, self.path.partition("?")
        entry = play.enter(self.command, path, query)
        if (entry.fault is not None and entry.fault in NOT_SENT) or (entry.fault and entry.number is None):
            self._turn_away(entry, path)
            return
        if entry.fault is Fault.DELAY and play.script is not None:
            time.sleep(play.script.delay_seconds)
        try:
            reply = self._ask(body)
        except (OSError, http.client.HTTPException):
            self.close_connection = True
            return
        if play.answered(entry, reply.status):
            with contextlib.suppress(OSError):
                self._pass_on(reply)
        else:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _handle

    def _turn_away(self, entry: Entry, path: str) -> None:
        """Answer in the place of the server, or not at all."""
        if entry.fault not in {Fault.CONFLICT, Fault.SERVER_ERROR}:
            self.close_connection = True
            return
        entry.status, answer = _forged(entry.fault, path)
        content = json.dumps(answer).encode()
        self.send_response_only(entry.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _ask(self, body: bytes) -> http.client.HTTPResponse:
        self._upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        self._upstream.putheader("Host", urlsplit(self.server.upstream.url).netloc)
        for name, value in self.headers.items():
            if name.lower() not in {"host", *HOP_BY_HOP}:
                self._upstream.putheader(name, value)
        self._upstream.endheaders(body or None)
        return self._upstream.getresponse()

    def _pass_on(self, reply: http.client.HTTPResponse) -> None:
        """The reply as it comes; one without a length (a watch) piece by piece, as soon as each piece is there."""
        whole = reply.headers.get("Content-Length") is not None or reply.status in {204, 304}
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        if not whole:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if whole:
            self.wfile.write(reply.read())
            return
        while piece := reply.read1(CHUNK_BYTES):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Nothing: the journal tells."""


def _forged(fault: Fault, path: str) -> tuple[int, object]:
    """The words in which the server itself would refuse."""
    if path.endswith("/kv/txn") and fault is Fault.CONFLICT:
        return 200, {"header": {}}  # the gateway leaves out what is false: the guards did not hold
    if path.startswith("/v3/"):
        return 503, {"code": 14, "error": "etcdserver: leader changed", "message": "etcdserver: leader changed"}
    code, reason = (409, "Conflict") if fault is Fault.CONFLICT else (503, "ServiceUnavailable")
    message = "the object has been modified" if fault is Fault.CONFLICT else "the server is currently unable to answer"
    return code, {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "code": code,
        "message": message,
    }
