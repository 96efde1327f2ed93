"""From a MilvusTuning to connections: which address, which credentials, which certificate authority.

What the spec names wins; the rest is `Found` on the target itself. Credentials come from Secrets of the object's own
namespace and go to the address beside them and nowhere else. Secrets are read anew on each call, so a rotated password
takes effect; a client is kept as long as nothing it was made from has changed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, cast

from milvus_tuning.api import Connections, EtcdConnection, MilvusConnection, MilvusTuningSpec, SecretKeyReference, Tls
from milvus_tuning.clients.etcd import EtcdClient, EtcdTls
from milvus_tuning.clients.kube import KubeError, KubeFailure, KubeReader
from milvus_tuning.clients.milvus import MilvusClient, MilvusTls
from milvus_tuning.clients.prometheus import PrometheusClient, PrometheusTls
from milvus_tuning.settings import Settings
from milvus_tuning.snapshot import Problem, ProblemKind

DEFAULT_ROOT_PATH = "by-dev"  # Milvus: etcd.rootPath; the Helm chart does not set it
DEFAULT_META_PATH = "meta"  # Milvus: etcd.metaSubPath
MOST_TARGETS_KEPT = 512

Client = MilvusClient | PrometheusClient | EtcdClient
_T = TypeVar("_T")
_ClientT = TypeVar("_ClientT", MilvusClient, PrometheusClient, EtcdClient)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Addresses that the target itself tells: its Service, and the etcd section of its configuration."""

    milvus_address: str | None = None  # host:port
    milvus_tls: bool = False
    etcd_endpoints: tuple[str, ...] = ()
    root_path: str = DEFAULT_ROOT_PATH
    meta_path: str = DEFAULT_META_PATH


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterConnections:
    """A client for each source, or what is in the way; None where nothing is configured and nothing was found.

    root_path is where Milvus's etcd keys should be; whether they are is proved by the observation.
    """

    milvus: MilvusClient | Problem
    prometheus: PrometheusClient | Problem | None
    etcd: EtcdClient | Problem | None
    root_path: str
    meta_path: str = DEFAULT_META_PATH


class _Unusable(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True, kw_only=True, slots=True)
class _Access:
    """All that a client is made from; equal accesses share a client."""

    addresses: tuple[str, ...]
    credentials: str | None = field(default=None, repr=False)
    secure: bool = False
    authority_pem: str | None = field(default=None, repr=False)
    server_name: str | None = None


class Connector:
    """Makes and keeps clients. May be used from several threads."""

    def __init__(self, reader: KubeReader, settings: Settings) -> None:
        self._reader = reader
        self._timeout_seconds = settings.request_timeout_seconds / 2  # two tries fit into one pass
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, ...], tuple[_Access, Client]] = {}

    def connect(self, namespace: str, spec: MilvusTuningSpec, found: Found) -> ClusterConnections:
        """The connections of one MilvusTuning. Asks Kubernetes for Secrets; opens nothing yet."""
        declared = spec.connections or Connections()
        key = (namespace, spec.target_ref.kind.value, spec.target_ref.name)
        return ClusterConnections(
            milvus=_problem_or(lambda: self._milvus(key, declared.milvus or MilvusConnection(), found)),
            prometheus=_problem_or(lambda: self._prometheus(key, declared)),
            etcd=_problem_or(lambda: self._etcd(key, declared.etcd or EtcdConnection(), found)),
            root_path=((declared.etcd and declared.etcd.root_path) or found.root_path).strip("/"),
            meta_path=found.meta_path,
        )

    def close(self) -> None:
        """Close every client."""
        with self._lock:
            for _, client in self._kept.values():
                client.close()
            self._kept.clear()

    def _milvus(self, key: tuple[str, ...], declared: MilvusConnection, found: Found) -> MilvusClient:
        address = declared.uri or found.milvus_address
        if address is None:
            text = "no Service with a port for Milvus was found beside the target; set spec.connections.milvus.uri"
            raise _Unusable(Problem(kind=ProblemKind.MILVUS_UNREACHABLE, message=text))
        if "://" not in address:
            secure = declared.tls is not None or found.milvus_tls
            address = f"{'https' if secure else 'http'}://{address}"
        access = self._access(key[0], (address,), declared.credentials_secret_ref, declared.tls)

        def make() -> MilvusClient:
            tls = MilvusTls(authority_pem=access.authority_pem, server_name=access.server_name)
            return MilvusClient(address, token=access.credentials, tls=tls, timeout_seconds=self._timeout_seconds)

        return self._keep((*key, "milvus"), access, make)

    def _prometheus(self, key: tuple[str, ...], declared: Connections) -> PrometheusClient | None:
        wish = declared.prometheus
        if wish is None:
            return None
        access = self._access(key[0], (wish.url,), wish.credentials_secret_ref, wish.tls)

        def make() -> PrometheusClient:
            tls = PrometheusTls(authority_pem=access.authority_pem, server_name=access.server_name)
            timeout = self._timeout_seconds
            return PrometheusClient(wish.url, credentials=access.credentials, tls=tls, timeout_seconds=timeout)

        return self._keep((*key, "prometheus"), access, make)

    def _etcd(self, key: tuple[str, ...], declared: EtcdConnection, found: Found) -> EtcdClient | None:
        endpoints = tuple(declared.endpoints) if declared.endpoints else found.etcd_endpoints
        if not endpoints:
            return None
        access = self._access(key[0], endpoints, declared.credentials_secret_ref, declared.tls)
        username, colon, password = (access.credentials or "").partition(":")
        if access.credentials and not colon:
            text = "the credentials of etcd must be username:password; the Secret holds no colon"
            raise _Unusable(Problem(kind=ProblemKind.INVALID_CONNECTION, message=text))

        def make() -> EtcdClient:
            tls = EtcdTls(authority_pem=access.authority_pem, server_name=access.server_name) if access.secure else None
            timeout = self._timeout_seconds
            return EtcdClient(endpoints, username=username or None, password=password, tls=tls, timeout_seconds=timeout)

        return self._keep((*key, "etcd"), access, make)

    def _access(
        self, namespace: str, addresses: tuple[str, ...], credentials: SecretKeyReference | None, tls: Tls | None
    ) -> _Access:
        return _Access(
            addresses=addresses,
            credentials=self._secret(namespace, credentials),
            secure=tls is not None,
            authority_pem=self._secret(namespace, tls.ca_secret_ref if tls else None),
            server_name=tls.server_name if tls else None,
        )

    def _secret(self, namespace: str, reference: SecretKeyReference | None) -> str | None:
        if reference is None:
            return None
        try:
            return self._reader.secret_value(namespace, reference.name, reference.key)
        except KubeError as error:
            if error.failure is KubeFailure.UNREACHABLE:
                raise
            denied = error.failure is KubeFailure.FORBIDDEN
            kind = ProblemKind.PERMISSION_DENIED if denied else ProblemKind.SECRET_NOT_FOUND
            raise _Unusable(Problem(kind=kind, message=str(error))) from error

    def _keep(self, key: tuple[str, ...], access: _Access, make: Callable[[], _ClientT]) -> _ClientT:
        with self._lock:
            before = self._kept.get(key)
            if before is not None and before[0] == access:
                return cast("_ClientT", before[1])
            client = _made(make)
            self._kept[key] = (access, client)
            dropped = [before] if before is not None else []
            while len(self._kept) > MOST_TARGETS_KEPT * 3:
                dropped.append(self._kept.pop(next(iter(self._kept))))
        for _, old in dropped:
            old.close()
        return client


def _made(make: Callable[[], _ClientT]) -> _ClientT:
    """What a constructor refuses (an authority that is no PEM, an address that is none) the user must mend."""
    try:
        return make()
    except (ValueError, OSError) as error:
        text = f"the connection cannot be set up: {error}"
        raise _Unusable(Problem(kind=ProblemKind.INVALID_CONNECTION, message=text)) from error


def _problem_or(make: Callable[[], _T]) -> _T | Problem:
    try:
        return make()
    except _Unusable as unusable:
        return unusable.problem
