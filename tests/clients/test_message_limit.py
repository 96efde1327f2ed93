"""The largest request that a server takes: told by a refusal, without sending one and without any call being made."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc  # type: ignore[import-untyped]
import pytest

from milvus_tuning.clients.message_limit import CLAIMED_BYTES, METHOD, LimitError, ServerTls, read_receive_limit
from tests.clients.limit_server import RECORDED, RECORDED_LIMIT, LimitServer, a_limited
from tests.cluster.api_only import free_ports
from tests.cluster.pki import Authority, Identity

HOST = "127.0.0.1"


def asked(server: LimitServer, *, timeout_seconds: float = 5.0) -> int:
    with a_limited(server) as port:
        return read_receive_limit(HOST, port, timeout_seconds=timeout_seconds)


@pytest.mark.parametrize(
    ("server", "limit"),
    [
        pytest.param(LimitServer(limit=0, recorded=RECORDED), RECORDED_LIMIT, id="the recorded answer of grpc-go"),
        pytest.param(LimitServer(limit=134217728), 134217728, id="grpc-go's words"),
        pytest.param(
            LimitServer(limit=1048576, words="SERVER: Received message larger than max ({} vs. {})"),
            1048576,
            id="the words of gRPC's C core",
        ),
        pytest.param(
            LimitServer(limit=4, words="grpc:%20received%20message%20larger%20than%20max%20({}%20vs.%20{})"),
            4,
            id="percent-encoded",
        ),
        pytest.param(LimitServer(limit=CLAIMED_BYTES - 1), CLAIMED_BYTES - 1, id="the largest that can be told"),
    ],
)
def test_the_refusal_names_the_limit(server: LimitServer, limit: int) -> None:
    assert asked(server) == limit


def test_no_message_and_no_credentials_are_sent() -> None:
    server = LimitServer(limit=1024)
    assert asked(server) == 1024
    assert (server.calls, server.taken) == ([METHOD], [])
    assert not {"authorization", "dbname"} & server.headers[0].keys()


def test_a_server_that_takes_the_claim_is_left_without_a_message() -> None:
    server = LimitServer(limit=CLAIMED_BYTES)
    started = time.monotonic()
    with pytest.raises(LimitError, match="timed out"):
        asked(server, timeout_seconds=0.3)
    assert time.monotonic() - started < 2
    assert server.taken == [METHOD]
    assert server.ended[:1] == ["StreamReset"], "it is told at once not to wait"


@pytest.mark.parametrize(
    ("server", "words"),
    [
        pytest.param(
            LimitServer(limit=1, status="12", words="unknown service"), "gRPC status 12 unknown", id="no Milvus"
        ),
        pytest.param(LimitServer(limit=1, words="too many requests"), "gRPC status 8 too many", id="another refusal"),
        pytest.param(
            LimitServer(limit=1, words="grpc: received message larger than max (9 vs. {1})"),
            "did not refuse",
            id="another message",
        ),
        pytest.param(
            LimitServer(limit=1, recorded=b"HTTP/1.1 400 Bad Request\r\n\r\n"), "did not tell", id="no HTTP/2"
        ),
    ],
)
def test_another_answer_is_no_limit(server: LimitServer, words: str) -> None:
    with pytest.raises(LimitError, match=words):
        asked(server, timeout_seconds=2)


def test_nobody_listening_is_told_with_the_address() -> None:
    port = free_ports(1)[0]
    with pytest.raises(LimitError, match=f"{HOST}:{port} did not tell"):
        read_receive_limit(HOST, port, timeout_seconds=1)


@contextmanager
def a_grpc_server(called: list[str]) -> Iterator[int]:
    """A whole gRPC server with a limit of 1 MiB, another implementation than Milvus's."""

    def answer(_: bytes, __: grpc.ServicerContext) -> bytes:
        called.append(METHOD)
        return b""

    service, _, method = METHOD.removeprefix("/").partition("/")
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.max_receive_message_length", 1048576)])
    handlers = {method: grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port(f"{HOST}:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def test_a_whole_grpc_server_never_gets_the_call() -> None:
    called: list[str] = []
    with a_grpc_server(called) as port:
        assert read_receive_limit(HOST, port, timeout_seconds=5) == 1048576
        with grpc.insecure_channel(f"{HOST}:{port}") as channel:
            channel.unary_unary(METHOD)(b"", timeout=5)
    assert called == [METHOD], "the plain call alone"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(folder=tmp_path_factory.mktemp("pki"))
    made.create()
    made.issue(Identity(name="proxy", user="proxy"), hosts=["DNS:milvus.test"])
    return made


def test_a_server_with_tls_must_prove_its_name(authority: Authority) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.folder / "proxy.crt", authority.folder / "proxy.key")
    context.set_alpn_protocols(["h2"])
    pem = authority.certificate.read_text(encoding="utf-8")
    with a_limited(LimitServer(limit=1024), tls=context) as port:
        known = ServerTls(server_name="milvus.test", authority_pem=pem)
        assert read_receive_limit(HOST, port, timeout_seconds=5, tls=known) == 1024
        for other in (ServerTls(server_name="elsewhere.test", authority_pem=pem), ServerTls(server_name="milvus.test")):
            with pytest.raises(LimitError, match="CERTIFICATE_VERIFY_FAILED"):
                read_receive_limit(HOST, port, timeout_seconds=5, tls=other)
