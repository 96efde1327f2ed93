"""The fault proxy on its own: what it passes on, counts and breaks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import urllib3

from tests.clients.http_server import Asked, Reply, a_server
from tests.faults.proxy import Fault, FaultProxy, Kind, Play, Script, Upstream, kind_of

TXN, RANGE = "/v3/kv/txn", "/v3/kv/range"
PLANS = "/apis/milvustuning.io/v1alpha1/namespaces/n/milvustuningplans"
APPS = "/apis/apps/v1/namespaces/n/deployments/querynode"
OURS = "/apis/milvustuning.io/v1alpha1/namespaces/n/milvustunings/rag"


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("PATCH", f"{APPS}/scale", Kind.OUTSIDE),
        ("PUT", APPS, Kind.OUTSIDE),
        ("GET", f"{APPS}/scale", Kind.OTHER),
        ("PATCH", "/api/v1/namespaces/n/pods/p", Kind.OUTSIDE),
        ("POST", "/api/v1/namespaces/n/pods/p/eviction", Kind.OUTSIDE),
        ("PATCH", "/apis/milvus.io/v1beta1/namespaces/n/milvuses/m", Kind.OUTSIDE),
        ("POST", TXN, Kind.OUTSIDE),
        ("POST", "/v3/lease/grant", Kind.OUTSIDE),
        ("POST", "/v3/lease/keepalive", Kind.OTHER),
        ("POST", RANGE, Kind.OTHER),
        ("PUT", f"{OURS}/status", Kind.RECORD),
        ("PATCH", OURS, Kind.OTHER),
        ("POST", PLANS, Kind.PLAN),
        ("PUT", f"{PLANS}/rag-1/status", Kind.PLAN),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/n/leases/operator", Kind.OTHER),
        ("POST", "/api/v1/namespaces/n/events", Kind.OTHER),
    ],
)
def test_outside_writes_are_told_from_our_own(method: str, path: str, kind: Kind) -> None:
    assert kind_of(method, path) is kind


@contextmanager
def played(script: Script | None) -> Iterator[tuple[Play, str, list[Asked], list[str]]]:
    """A proxy before a server that says 200; with what reached the server, and the kills."""
    kills: list[str] = []
    play = Play(script=script, kill=lambda: kills.append("killed"))
    with (
        a_server(lambda _: Reply(body={"succeeded": True})) as (url, asked),
        FaultProxy(Upstream(url=url), play) as proxy,
    ):
        yield play, proxy.url, asked, kills


def post(url: str, timeout_seconds: float = 5.0) -> int | None:
    """The status, or None where no reply came."""
    try:
        with urllib3.PoolManager(retries=False, timeout=timeout_seconds) as pool:
            return pool.request("POST", url, body="{}").status
    except urllib3.exceptions.HTTPError:
        return None


@pytest.mark.parametrize(
    ("fault", "statuses", "reached", "killed"),
    [
        (Fault.REFUSE, [200, None, 200], 2, 0),
        (Fault.CONFLICT, [200, 200, 200], 2, 0),
        (Fault.SERVER_ERROR, [200, 503, 200], 2, 0),
        (Fault.CUT, [200, None, 200], 3, 0),
        (Fault.BEFORE_SENT, [200, None, None], 1, 1),
        (Fault.REPLY_LOST, [200, None, None], 2, 1),
        (Fault.BEFORE_RECORD, [200, 200, None], 2, 1),
    ],
)
def test_it_breaks_the_write_that_the_script_names(
    fault: Fault, statuses: list[int | None], reached: int, killed: int
) -> None:
    with played(Script(fault=fault, at=2)) as (play, url, asked, kills):
        found = [post(f"{url}{TXN}") for _ in range(3)]

        assert (found, len(asked), len(kills)) == (statuses, reached, killed)
        assert play.played
        assert play.crashed.is_set() is bool(killed)


def test_what_is_held_back_arrives_after_its_caller_has_gone() -> None:
    with played(Script(fault=Fault.DELAY, at=1, delay_seconds=0.4)) as (play, url, asked, _):
        assert post(f"{url}{TXN}", timeout_seconds=0.1) is None
        assert (asked, play.settled) == ([], False)

        assert post(f"{url}{RANGE}") == 200
        waited = threading.Event()
        while not play.settled and not waited.wait(0.05):
            pass
        assert [one.path for one in asked] == [RANGE, TXN]


def test_a_dry_run_is_no_write() -> None:
    assert kind_of("POST", PLANS, "dryRun=All") is Kind.OTHER


def test_a_script_may_name_a_write_of_a_plan() -> None:
    with played(Script(fault=Fault.BEFORE_SENT, at=1, kind=Kind.PLAN)) as (_, url, asked, kills):
        assert [post(f"{url}{path}") for path in (TXN, PLANS)] == [200, None]
        assert (len(kills), [one.path for one in asked]) == (1, [TXN])


def test_after_a_crash_the_next_process_is_served() -> None:
    with played(Script(fault=Fault.BEFORE_RECORD, at=1)) as (play, url, asked, kills):
        assert post(f"{url}{TXN}") == 200
        assert post(f"{url}{RANGE}") == 200
        assert post(f"{url}{PLANS}") is None
        play.next_process()

        assert [post(f"{url}{path}") for path in (PLANS, TXN)] == [200, 200]
        assert (len(kills), [one.path for one in asked]) == (1, [TXN, RANGE, PLANS, TXN])


def test_a_watch_comes_through_piece_by_piece() -> None:
    gate = threading.Event()

    class Watch(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"4\r\none\n\r\n")
            gate.wait(5)
            self.wfile.write(b"4\r\ntwo\n\r\n0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Watch)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    upstream = Upstream(url=f"http://127.0.0.1:{server.server_address[1]}")
    with FaultProxy(upstream, Play(script=None, kill=lambda: None)) as proxy, urllib3.PoolManager() as pool:
        pieces = pool.request("GET", proxy.url, preload_content=False).stream(decode_content=False)
        first = next(pieces)
        gate.set()
        assert [first, *pieces] == [b"one\n", b"two\n"]
    server.shutdown()
    server.server_close()
