"""Instant queries against a Prometheus HTTP API, through prometheus-api-client.

The session under it is narrow on purpose: it follows no redirect (credentials stay with the configured host), takes no
proxy and no netrc from the environment, posts the query in the body (a long list of pods fits no URL), reads a bounded
number of bytes within a bounded time, and turns 401 and 403 into an error of their own.
"""

from __future__ import annotations

import enum
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from milvus_tuning.clients.tls import context_for
from milvus_tuning.errors import ObserveError

LARGEST_REPLY_BYTES = 16 * 1024 * 1024
CONNECTIONS = 16  # queries asked at once; more would be opened and thrown away
_CHUNK_BYTES = 64 * 1024
_SHOWN_BYTES = 300


class PrometheusFailure(enum.StrEnum):
    """What kind of trouble it was."""

    UNREACHABLE = "Unreachable"
    CREDENTIALS_REJECTED = "CredentialsRejected"
    REFUSED = "Refused"


class PrometheusError(ObserveError):
    """A query failed."""

    def __init__(self, message: str, failure: PrometheusFailure) -> None:
        super().__init__(message)
        self.failure = failure


@dataclass(frozen=True, kw_only=True, slots=True)
class PrometheusTls:
    """What an https address must prove: authority_pem is a PEM bundle (None: the system's), server_name the name."""

    authority_pem: str | None = None
    server_name: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One element of an instant vector. value is None where Prometheus gave NaN or an infinity."""

    labels: Mapping[str, str]
    value: float | None


class PrometheusClient:
    """A connection to one Prometheus. May be used from several threads."""

    def __init__(
        self,
        url: str,
        *,
        credentials: str | None = None,
        tls: PrometheusTls | None = None,
        timeout_seconds: float = 5.0,
    ) -> None:
        self.url = url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._session = _NarrowSession(timeout_seconds)
        if credentials:
            self._session.headers["Authorization"] = _authorization(credentials)
        self._connect = PrometheusConnect(url=self.url, session=self._session, method="POST")
        self._session.mount(self.url, _Adapter(self.url, tls or PrometheusTls()))

    def query(self, promql: str) -> tuple[Series, ...]:
        """The instant vector of an expression, evaluated at Prometheus's own now."""
        options = {"timeout": f"{max(1, math.floor(self._timeout_seconds))}s", "partial_response": "false"}
        try:
            found = self._connect.custom_query(promql, params=options)
            return tuple(_series(element) for element in found)
        except PrometheusApiClientException as error:
            raise PrometheusError(f"Prometheus at {self.url} refused: {error}", PrometheusFailure.REFUSED) from error
        except (KeyError, TypeError, ValueError) as error:  # before the next: requests' JSON error is both
            raise PrometheusError(
                f"{self.url} does not speak the Prometheus HTTP API: {error!r}", PrometheusFailure.REFUSED
            ) from error
        except requests.RequestException as error:
            raise PrometheusError(
                f"Prometheus at {self.url} does not answer: {error}", PrometheusFailure.UNREACHABLE
            ) from error

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


class _NarrowSession(requests.Session):
    def __init__(self, timeout_seconds: float) -> None:
        super().__init__()
        self.trust_env = False
        self._timeout_seconds = timeout_seconds

    def request(self, method: str | bytes, url: str | bytes, **options: Any) -> requests.Response:  # type: ignore[override]  # noqa: ANN401
        """As requests does it, but narrow (see the module); raises PrometheusError for 401, 403 and redirects."""
        options |= {"allow_redirects": False, "stream": True, "timeout": self._timeout_seconds, "auth": None}
        options["data"] = options.pop("params", None)
        deadline = time.monotonic() + self._timeout_seconds
        response = super().request(method, url, **options)
        response._content = _bounded(response, deadline)
        if response.status_code in (401, 403):
            text = f"Prometheus at {_text(url)} rejected the credentials: HTTP {response.status_code}"
            raise PrometheusError(text, PrometheusFailure.CREDENTIALS_REJECTED)
        if 300 <= response.status_code < 400:
            text = f"{_text(url)} redirects to {response.headers.get('Location')}; redirects are not followed"
            raise PrometheusError(text, PrometheusFailure.REFUSED)
        if response.status_code in (502, 503, 504):
            text = f"{_text(url)}: HTTP {response.status_code} {response.text[:_SHOWN_BYTES]}"
            raise PrometheusError(text, PrometheusFailure.UNREACHABLE)
        return response


class _Adapter(HTTPAdapter):
    """Verifies against exactly the authority that was given."""

    def __init__(self, url: str, tls: PrometheusTls) -> None:
        self._url, self._tls = url, tls
        retry = Retry(total=1, connect=1, read=0, status=0, redirect=0)
        super().__init__(max_retries=retry, pool_maxsize=CONNECTIONS)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        name = self._tls.server_name
        options["ssl_context"] = context_for((self._url,), self._tls.authority_pem)
        if name is not None:
            options |= {"server_hostname": name, "assert_hostname": name}
        super().init_poolmanager(*arguments, **options)

    def cert_verify(self, *_: object) -> None:
        """Nothing to add: requests would put its own bundle beside ours."""


def _bounded(response: requests.Response, deadline: float) -> bytes:
    parts, size = [], 0
    for part in response.iter_content(_CHUNK_BYTES):
        size += len(part)
        if size > LARGEST_REPLY_BYTES:
            raise PrometheusError(f"{response.url}: more than {LARGEST_REPLY_BYTES} bytes", PrometheusFailure.REFUSED)
        if time.monotonic() > deadline:
            raise PrometheusError(f"{response.url} answers too slowly", PrometheusFailure.UNREACHABLE)
        parts.append(part)
    return b"".join(parts)


def _authorization(credentials: str) -> str:
    """Basic for username:password, else Bearer; a bearer token never holds a colon."""
    if ":" not in credentials:
        return f"Bearer {credentials}"
    username, _, password = credentials.partition(":")
    return str(requests.auth._basic_auth_str(username, password))


def _series(element: Mapping[str, Any]) -> Series:
    value = float(element["value"][1])
    return Series(labels=element["metric"], value=value if math.isfinite(value) else None)


def _text(url: str | bytes) -> str:
    return url.decode() if isinstance(url, bytes) else url
