"""The client speaks etcd's JSON gateway: encoding without a server, everything else against a real one."""

from __future__ import annotations

import socket
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.clients import etcd as module
from milvus_tuning.clients.etcd import (
    Delete,
    EtcdClient,
    EtcdEntry,
    EtcdError,
    EtcdFailure,
    EtcdTls,
    Put,
    Unchanged,
)
from milvus_tuning.errors import ObserveError
from tests.apply.etcd_server import RunningEtcd
from tests.cluster.api_only import free_ports
from tests.cluster.pki import Authority, Identity

pytest_plugins = ("tests.apply.servers",)
NOT_THERE = 0


@given(st.text(min_size=1).filter(lambda text: text.isprintable()), st.text())
def test_a_prefix_range_holds_exactly_the_keys_with_the_prefix(prefix: str, rest: str) -> None:
    start, end = prefix.encode(), b64decode(module._range_end(prefix))
    assert start <= (prefix + rest).encode() < end


@pytest.mark.parametrize(
    ("endpoint", "tls", "address"),
    [
        pytest.param("etcd:2379", None, "http://etcd:2379", id="plain by default"),
        pytest.param("etcd:2379", EtcdTls(), "https://etcd:2379", id="TLS where it is configured"),
        pytest.param("https://etcd:2379/", None, "https://etcd:2379", id="a scheme wins"),
    ],
)
def test_endpoints_become_addresses(endpoint: str, tls: EtcdTls | None, address: str) -> None:
    assert module._address(endpoint, tls) == address


def test_a_client_needs_an_endpoint() -> None:
    with pytest.raises(ValueError, match="endpoint"):
        EtcdClient([])


def test_nobody_listening_is_unreachable_and_names_every_address() -> None:
    first, second = free_ports(2)
    with pytest.raises(EtcdError) as caught:
        EtcdClient([f"127.0.0.1:{first}", f"127.0.0.1:{second}"], timeout_seconds=1).get("a")
    assert caught.value.failure is EtcdFailure.UNREACHABLE
    assert not caught.value.sent
    assert isinstance(caught.value, ObserveError)
    assert f"127.0.0.1:{first}" in str(caught.value)
    assert f"127.0.0.1:{second}" in str(caught.value)


class Answers:
    """A server on loopback that gives the same answer to everything and keeps what it was asked."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        asked: list[tuple[str, str | None]] = []

        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True  # else each reply waits 40 ms for an acknowledgement

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                asked.append((self.path, self.headers.get("Authorization")))
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.asked = asked
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Answers:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_a_write_that_may_have_happened_is_not_sent_to_the_next_endpoint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, Answers(200, b'{"succeeded": true}') as other:
        first = f"127.0.0.1:{silent.getsockname()[1]}"
        client = EtcdClient([first, other.address], timeout_seconds=0.5)
        with pytest.raises(EtcdError) as caught:
            client.transaction(compare=[], then=[Put(key="a", value="x")])
        assert caught.value.failure is EtcdFailure.UNREACHABLE
        assert caught.value.sent
        assert other.asked == []
        assert client.get("a") is None  # a read may go on to the next one
        assert [path for path, _ in other.asked] == ["/v3/kv/range"]


def test_what_is_no_etcd_is_told() -> None:
    with Answers(404, b"<html>") as server, pytest.raises(EtcdError, match="HTTP 404 and no JSON") as caught:
        EtcdClient([server.address]).get("a")
    assert caught.value.failure is EtcdFailure.REFUSED


def test_credentials_follow_no_redirect() -> None:
    with Answers(200, b'{"token": "t"}') as stranger:
        elsewhere = {"Location": f"http://{stranger.address}/v3/auth/authenticate"}
        with Answers(307, b"{}", elsewhere) as server, pytest.raises(EtcdError):
            EtcdClient([server.address], username="tuner", password="secret").get("a")
        assert stranger.asked == []


def test_credentials_take_no_proxy_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with Answers(200, b'{"token": "t"}') as proxy, Answers(200, b'{"token": "t"}') as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
        monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
        assert EtcdClient([server.address], username="tuner", password="secret").get("a") is None
        assert server.asked == [("/v3/auth/authenticate", None), ("/v3/kv/range", "t")]
        assert proxy.asked == []


@pytest.mark.integration
def test_a_key_is_written_read_and_removed(etcd: EtcdClient, root_path: str) -> None:
    key = f"{root_path}/config/querycoord.autobalance"
    assert etcd.get(key) is None
    assert etcd.transaction(compare=[Unchanged(key=key, mod_revision=NOT_THERE)], then=[Put(key=key, value="fälse")])
    entry = etcd.get(key)
    assert entry is not None
    assert entry == EtcdEntry(key=key, value="fälse", mod_revision=entry.mod_revision)
    assert etcd.transaction(compare=[Unchanged(key=key, mod_revision=entry.mod_revision)], then=[Delete(key=key)])
    assert etcd.get(key) is None


@pytest.mark.integration
def test_a_guard_that_does_not_hold_writes_nothing(etcd: EtcdClient, root_path: str) -> None:
    key, other = f"{root_path}/a", f"{root_path}/b"
    assert etcd.transaction(compare=[], then=[Put(key=key, value="1")])
    writes = [Put(key=key, value="2"), Put(key=other, value="2")]
    assert not etcd.transaction(compare=[Unchanged(key=key, mod_revision=NOT_THERE)], then=writes)
    assert etcd.get(key) is not None
    assert [entry.value for entry in etcd.get_prefix(f"{root_path}/")] == ["1"]


@pytest.mark.integration
def test_a_prefix_read_leaves_neighbours_out(etcd: EtcdClient, root_path: str) -> None:
    keys = [f"{root_path}/config/a", f"{root_path}/config/b", f"{root_path}/config0", f"{root_path}/confi"]
    etcd.transaction(compare=[], then=[Put(key=key, value="x") for key in keys])
    assert [entry.key for entry in etcd.get_prefix(f"{root_path}/config/")] == keys[:2]


@pytest.mark.integration
def test_a_prefix_with_too_many_keys_is_refused(
    etcd: EtcdClient, root_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEYS_PER_READ", 2)
    etcd.transaction(compare=[], then=[Put(key=f"{root_path}/{name}", value="x") for name in "abc"])
    with pytest.raises(EtcdError, match="more than 2 keys"):
        etcd.get_prefix(f"{root_path}/")


@pytest.mark.integration
def test_a_key_on_a_lease_goes_when_the_lease_is_revoked(etcd: EtcdClient, root_path: str) -> None:
    lease_id = etcd.lease_grant(60)
    etcd.transaction(compare=[], then=[Put(key=f"{root_path}/a", value="x", lease_id=lease_id)])
    entry = etcd.get(f"{root_path}/a")
    assert entry is not None
    assert entry.lease_id == lease_id
    assert 55 <= etcd.lease_ttl(lease_id) <= 60
    assert etcd.lease_keepalive(lease_id) == 60
    etcd.lease_revoke(lease_id)
    assert etcd.get(f"{root_path}/a") is None
    assert etcd.lease_ttl(lease_id) == 0
    assert etcd.lease_keepalive(lease_id) == 0
    etcd.lease_revoke(lease_id)  # once more is no error


@pytest.mark.integration
def test_a_key_on_a_lease_goes_when_nobody_renews_it(etcd: EtcdClient, root_path: str) -> None:
    lease_id = etcd.lease_grant(1)
    etcd.transaction(compare=[], then=[Put(key=f"{root_path}/a", value="x", lease_id=lease_id)])
    deadline = time.monotonic() + 10
    while etcd.get(f"{root_path}/a") is not None and time.monotonic() < deadline:
        time.sleep(0.2)
    assert etcd.get(f"{root_path}/a") is None


@pytest.mark.integration
def test_the_next_endpoint_is_asked_when_one_is_down(etcd_address: str, root_path: str) -> None:
    (closed,) = free_ports(1)
    client = EtcdClient([f"127.0.0.1:{closed}", etcd_address], timeout_seconds=2)
    assert client.transaction(compare=[], then=[Put(key=f"{root_path}/a", value="x")])
    assert client.get(f"{root_path}/a") is not None


@pytest.fixture(scope="module")
def guarded_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An etcd with users: root, and tuner who may touch `by-dev/` only. Its tokens live for two seconds."""
    with RunningEtcd(tmp_path_factory.mktemp("guarded"), "--auth-token-ttl=2") as address:
        admin = EtcdClient([address])
        for user in ("root", "tuner"):
            admin._call("/v3/auth/role/add", {"name": user})
            admin._call("/v3/auth/user/add", {"name": user, "password": "secret"})
            admin._call("/v3/auth/user/grant", {"user": user, "role": user})
        prefix = {"key": module._encoded("by-dev/"), "range_end": module._range_end("by-dev/")}
        admin._call("/v3/auth/role/grant", {"name": "tuner", "perm": {"permType": "READWRITE", **prefix}})
        admin._call("/v3/auth/enable", {})
        yield address


@pytest.mark.integration
def test_a_token_is_fetched_and_renewed_when_it_has_run_out(guarded_etcd: str) -> None:
    client = EtcdClient([guarded_etcd], username="tuner", password="secret")
    assert client.transaction(compare=[], then=[Put(key="by-dev/a", value="x")])
    time.sleep(4)
    assert client.get("by-dev/a") is not None


@pytest.mark.integration
@pytest.mark.parametrize(
    ("user", "key", "failure"),
    [
        pytest.param(("tuner", "wrong"), "by-dev/a", EtcdFailure.CREDENTIALS_REJECTED, id="wrong password"),
        pytest.param(("nobody", "secret"), "by-dev/a", EtcdFailure.CREDENTIALS_REJECTED, id="unknown user"),
        pytest.param((None, None), "by-dev/a", EtcdFailure.CREDENTIALS_REJECTED, id="no user where one is needed"),
        pytest.param(("tuner", "secret"), "other/a", EtcdFailure.PERMISSION_DENIED, id="outside of the granted prefix"),
    ],
)
def test_what_the_server_refuses_is_told_apart(
    guarded_etcd: str, user: tuple[str | None, str | None], key: str, failure: EtcdFailure
) -> None:
    with pytest.raises(EtcdError) as caught:
        EtcdClient([guarded_etcd], username=user[0], password=user[1]).get(key)
    assert caught.value.failure is failure
    assert "secret" not in str(caught.value)


@pytest.mark.integration
def test_a_user_at_a_server_without_users_is_told(etcd_address: str) -> None:
    with pytest.raises(EtcdError) as caught:
        EtcdClient([etcd_address], username="tuner", password="secret").get("a")
    assert "authentication is not enabled" in str(caught.value)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority of the test's own, with a certificate for the name etcd.test."""
    made = Authority(folder=tmp_path_factory.mktemp("pki"))
    made.create()
    made.issue(Identity(name="etcd", user="etcd"), hosts=["DNS:etcd.test"])
    return made


@pytest.fixture(scope="module")
def tls_etcd(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An etcd that speaks TLS only."""
    folder = authority.folder
    options = (f"--cert-file={folder / 'etcd.crt'}", f"--key-file={folder / 'etcd.key'}")
    with RunningEtcd(tmp_path_factory.mktemp("tls"), *options, scheme="https") as address:
        yield address


@pytest.mark.integration
def test_a_server_that_proves_its_name_to_the_given_authority_is_spoken_to(tls_etcd: str, authority: Authority) -> None:
    tls = EtcdTls(authority_pem=authority.certificate.read_text(), server_name="etcd.test")
    client = EtcdClient([tls_etcd], tls=tls, timeout_seconds=5)
    assert client.get("a") is None


@pytest.mark.integration
@pytest.mark.parametrize(
    ("known", "name"),
    [
        pytest.param(True, "other.test", id="another name"),
        pytest.param(True, None, id="the address instead of the name"),
        pytest.param(False, "etcd.test", id="an authority that is not known"),
    ],
)
def test_a_server_that_proves_nothing_is_not_spoken_to(
    tls_etcd: str, authority: Authority, *, known: bool, name: str | None
) -> None:
    pem = authority.certificate.read_text() if known else None
    with pytest.raises(EtcdError) as caught:
        EtcdClient([tls_etcd], tls=EtcdTls(authority_pem=pem, server_name=name), timeout_seconds=5).get("a")
    assert caught.value.failure is EtcdFailure.UNREACHABLE
    assert any(word in str(caught.value) for word in ("certificate verify failed", "doesn't match"))
