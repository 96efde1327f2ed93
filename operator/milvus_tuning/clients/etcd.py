"""A thin client of etcd's v3 JSON gateway: keys, guarded transactions and leases, nothing else.

The gateway (`POST /v3/kv/range` and so on, on the client port) speaks base64 for keys and values and text for 64-bit
numbers. Every call has a timeout. Endpoints are tried in turn; a write goes to the next endpoint only when the first
could not be reached at all, because a write that was sent may have happened. Nothing of the environment is read (no
proxies, no netrc), no redirect is followed: credentials go to the endpoints they were given for and nowhere else.

With a user, each endpoint gives a token for name and password; a token that the server no longer knows is asked for
anew, once.
"""

from __future__ import annotations

import enum
import json
import threading
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import urllib3

from milvus_tuning.clients.tls import context_for
from milvus_tuning.errors import ObserveError

KEYS_PER_READ = 5000  # far above any configuration; more means the prefix is not what it was taken for
_UNAUTHENTICATED, _UNAVAILABLE, _PERMISSION_DENIED = 16, 14, 7  # gRPC status codes
_AUTH_FAILED = ("authentication failed", "user name is empty", "auth token", "revision of auth store is old")


class EtcdFailure(enum.StrEnum):
    """What kind of trouble it was."""

    UNREACHABLE = "Unreachable"
    CREDENTIALS_REJECTED = "CredentialsRejected"
    PERMISSION_DENIED = "PermissionDenied"
    REFUSED = "Refused"


class EtcdError(ObserveError):
    """A call to etcd failed. sent tells whether a write may have happened all the same."""

    def __init__(self, message: str, failure: EtcdFailure, *, sent: bool) -> None:
        super().__init__(message)
        self.failure = failure
        self.sent = sent


@dataclass(frozen=True, kw_only=True, slots=True)
class EtcdTls:
    """What an https endpoint must prove: its authority (a PEM bundle; None: the system's) and its name."""

    authority_pem: str | None = None
    server_name: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EtcdEntry:
    """A stored key. lease_id is 0 where no lease holds it."""

    key: str
    value: str
    mod_revision: int
    lease_id: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Unchanged:
    """A guard: the key was last changed at this revision; 0 means that it does not exist."""

    key: str
    mod_revision: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Put:
    """Write a key; with a lease it goes when the lease does."""

    key: str
    value: str
    lease_id: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Delete:
    """Remove a key; no error when it is not there."""

    key: str


class EtcdClient:
    """A connection to one etcd cluster. May be used from several threads.

    endpoints are `host:port` or addresses with a scheme; without one, https is used where tls is given.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        username: str | None = None,
        password: str | None = None,
        tls: EtcdTls | None = None,
        timeout_seconds: float = 5.0,
    ) -> None:
        if not endpoints:
            raise ValueError("an etcd client needs at least one endpoint")
        self._endpoints = tuple(_address(endpoint, tls) for endpoint in endpoints)
        self._user = {"name": username, "password": password or ""} if username else None
        self._timeout_seconds = timeout_seconds
        self._tokens: dict[str, str] = {}
        self._lock = threading.Lock()
        self._pool = _pool(self._endpoints, tls)

    def get(self, key: str) -> EtcdEntry | None:
        """The key as stored, or None."""
        entries = self._range({"key": _encoded(key)})
        return entries[0] if entries else None

    def get_prefix(self, prefix: str) -> tuple[EtcdEntry, ...]:
        """All keys that begin with the prefix, in the order of their names."""
        body = {"key": _encoded(prefix), "range_end": _range_end(prefix), "limit": str(KEYS_PER_READ)}
        return self._range(body)

    def transaction(self, *, compare: Sequence[Unchanged], then: Sequence[Put | Delete]) -> bool:
        """Do all of `then` at once if all guards hold; whether they did."""
        body = {"compare": [_guard(guard) for guard in compare], "success": [_operation(step) for step in then]}
        answer = self._call("/v3/kv/txn", body, write=True)
        return bool(answer.get("succeeded", False))

    def lease_grant(self, ttl_seconds: int) -> int:
        """A new lease that ends ttl_seconds after it was last kept alive; its id."""
        return int(self._call("/v3/lease/grant", {"TTL": str(ttl_seconds)}, write=True)["ID"])

    def lease_keepalive(self, lease_id: int) -> int:
        """Renew a lease; the seconds it now has, 0 when it is gone."""
        answer = self._call("/v3/lease/keepalive", {"ID": str(lease_id)}, write=True)
        return int(answer.get("result", {}).get("TTL", 0))

    def lease_ttl(self, lease_id: int) -> int:
        """The seconds a lease still has, 0 when it is gone."""
        return max(0, int(self._call("/v3/lease/timetolive", {"ID": str(lease_id)}).get("TTL", -1)))

    def lease_revoke(self, lease_id: int) -> None:
        """End a lease and remove every key that hangs on it; no error when it is gone."""
        try:
            self._call("/v3/lease/revoke", {"ID": str(lease_id)}, write=True)
        except EtcdError as error:
            if "lease not found" not in str(error):
                raise

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _range(self, body: Mapping[str, object]) -> tuple[EtcdEntry, ...]:
        answer = self._call("/v3/kv/range", body)
        if answer.get("more"):
            raise EtcdError(
                f"etcd holds more than {KEYS_PER_READ} keys where few are expected", EtcdFailure.REFUSED, sent=True
            )
        return tuple(_entry(raw) for raw in answer.get("kvs", ()))

    def _call(self, path: str, body: Mapping[str, object], *, write: bool = False) -> dict[str, Any]:
        """The answer of the first endpoint that has one."""
        failures: list[str] = []
        for endpoint in self._endpoints:
            try:
                return self._call_with_token(endpoint, path, body)
            except EtcdError as error:
                if error.failure is not EtcdFailure.UNREACHABLE or (write and error.sent):
                    raise
                failures.append(str(error))
        raise EtcdError("; ".join(failures), EtcdFailure.UNREACHABLE, sent=False)

    def _call_with_token(self, endpoint: str, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        if self._user is None:
            return self._post(endpoint, path, body)
        with self._lock:
            known = self._tokens.get(endpoint)
        try:
            return self._post(endpoint, path, body, token=known or self._authenticate(endpoint))
        except EtcdError as error:
            if error.failure is not EtcdFailure.CREDENTIALS_REJECTED or known is None:
                raise
        return self._post(endpoint, path, body, token=self._authenticate(endpoint))

    def _authenticate(self, endpoint: str) -> str:
        answer = self._post(endpoint, "/v3/auth/authenticate", cast("dict[str, object]", self._user))
        token = str(answer["token"])
        with self._lock:
            self._tokens[endpoint] = token
        return token

    def _post(
        self, endpoint: str, path: str, body: Mapping[str, object], *, token: str | None = None
    ) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"} | ({"Authorization": token} if token else {})
        try:
            response = self._pool.request(
                "POST",
                endpoint + path,
                body=json.dumps(body),
                headers=headers,
                timeout=urllib3.Timeout(total=self._timeout_seconds),
                retries=False,
                redirect=False,
            )
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
            raise _unreachable(endpoint, path, error, sent=False) from error
        except urllib3.exceptions.HTTPError as error:
            raise _unreachable(endpoint, path, error, sent=True) from error
        return _answer(endpoint, path, response)


def _pool(endpoints: Sequence[str], tls: EtcdTls | None) -> urllib3.PoolManager:
    tls = tls or EtcdTls()
    context = context_for(endpoints, tls.authority_pem)
    return urllib3.PoolManager(ssl_context=context, server_hostname=tls.server_name, assert_hostname=tls.server_name)


def _address(endpoint: str, tls: EtcdTls | None) -> str:
    if "://" in endpoint:
        return endpoint.rstrip("/")
    return f"{'http' if tls is None else 'https'}://{endpoint.rstrip('/')}"


def _unreachable(endpoint: str, path: str, error: Exception, *, sent: bool) -> EtcdError:
    text = f"etcd at {endpoint} does not answer ({path}): {error}"
    return EtcdError(text, EtcdFailure.UNREACHABLE, sent=sent)


def _answer(endpoint: str, path: str, response: urllib3.BaseHTTPResponse) -> dict[str, Any]:
    try:
        answer = json.loads(response.data)
    except ValueError:
        answer = None
    if response.status == 200 and isinstance(answer, dict) and "error" not in answer:
        return answer
    if not isinstance(answer, dict):
        text = f"{endpoint}{path} answered HTTP {response.status} and no JSON: is this an etcd of version 3.4 or later?"
        raise EtcdError(text, EtcdFailure.REFUSED, sent=True)
    raise _refusal(f"etcd at {endpoint} refused {path}", answer)


def _refusal(what: str, answer: Mapping[str, Any]) -> EtcdError:
    detail = answer.get("error") or answer.get("message") or "no reason given"
    if isinstance(detail, dict):  # streaming calls (keepalive) wrap the status once more
        answer, detail = detail, detail.get("message", "no reason given")
    code, text = answer.get("code"), f"{what}: {detail}"
    if code == _UNAUTHENTICATED or any(part in str(detail) for part in _AUTH_FAILED):
        return EtcdError(text, EtcdFailure.CREDENTIALS_REJECTED, sent=True)
    if code == _PERMISSION_DENIED or "permission denied" in str(detail):
        return EtcdError(text, EtcdFailure.PERMISSION_DENIED, sent=True)
    if code == _UNAVAILABLE:
        return EtcdError(text, EtcdFailure.UNREACHABLE, sent=True)
    return EtcdError(text, EtcdFailure.REFUSED, sent=True)


def _encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def _decoded(text: str) -> str:
    return b64decode(text).decode(errors="replace")


def _range_end(prefix: str) -> str:
    """The first key after all keys with the prefix: the last byte that can be raised is raised (`a/` ends at `a0`)."""
    raised = prefix.encode().rstrip(b"\xff")
    end = raised[:-1] + bytes([raised[-1] + 1]) if raised else b"\x00"
    return b64encode(end).decode()


def _entry(raw: Mapping[str, Any]) -> EtcdEntry:
    return EtcdEntry(
        key=_decoded(raw["key"]),
        value=_decoded(raw.get("value", "")),
        mod_revision=int(raw["mod_revision"]),
        lease_id=int(raw.get("lease", 0)),
    )


def _guard(guard: Unchanged) -> dict[str, object]:
    return {"key": _encoded(guard.key), "target": "MOD", "result": "EQUAL", "mod_revision": str(guard.mod_revision)}


def _operation(step: Put | Delete) -> dict[str, object]:
    match step:
        case Put(key=key, value=value, lease_id=lease_id):
            return {"request_put": {"key": _encoded(key), "value": _encoded(value), "lease": str(lease_id)}}
        case Delete(key=key):
            return {"request_delete_range": {"key": _encoded(key)}}
