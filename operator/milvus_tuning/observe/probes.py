"""Probes: what a process does, where it cannot be asked what it has read.

A proxy answers no call about its configuration (`read_back`). The largest request that its gRPC server takes it tells
all the same, by refusing a larger one before anything of Milvus sees it (`clients.message_limit`): five bytes are sent,
no credentials, and no call is made. What is told is the value that is in force in that very process, so it counts also
for a key that is read at start, whatever the age of the pod:

    proxy.grpc.serverMaxRecvSize stored as 128 MiB; proxy-a refuses above 67108864 bytes, proxy-b above 134217728
    proxy-a works by the former value still, proxy-b by the new one

Each proxy is probed once for as long as its container runs, and only where a policy declares the key. One that did not
tell is left out, and probed again after RETRY_SECONDS. None is probed where a source of its configuration says 2 GiB or
more (MOST_BYTES), nor while etcd cannot be read: it might take the claim for a message to come.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from milvus_tuning.catalogue import normalised
from milvus_tuning.clients.message_limit import CLAIMED_BYTES, LimitError, ServerTls, read_receive_limit
from milvus_tuning.clients.milvus import DEFAULT_PORT, MilvusClient
from milvus_tuning.observe.target import Target
from milvus_tuning.snapshot import EtcdSetting, ReadBack

RECEIVE_LIMIT: Final = "proxy.grpc.serverMaxRecvSize"
MOST_PROBES_PER_PASS: Final = 20
TIMEOUT_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 300.0
MOST_BYTES: Final = CLAIMED_BYTES - 1
_NAME: Final = normalised(RECEIVE_LIMIT)
_FALLBACK: Final = normalised("grpc.serverMaxRecvSize")
_PORT: Final = normalised("proxy.port")
_PROXY: Final = "Proxy"


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """A proxy to be probed. started: since when its container runs, as text."""

    pod: str
    pod_uid: str
    started: str
    host: str
    port: int
    tls: ServerTls | None = None


def probes(
    keys: Iterable[str], target: Target, settings: Mapping[str, EtcdSetting], client: MilvusClient | None
) -> tuple[Probe, ...]:
    """The proxies to be probed for these keys: ready, each with an IP of its own.

    client has the certificates where proxies serve with TLS; without it those are left out.
    """
    if _NAME not in {normalised(key) for key in keys} or _may_take_the_claim(target, settings):
        return ()
    tls = _tls(client) if target.found.milvus_tls else None
    if target.found.milvus_tls and tls is None:
        return ()
    addresses = dict(target.addresses)
    sharing = Counter(addresses.values())  # several on one host's own network cannot be told apart
    return tuple(
        Probe(
            pod=pod.pod,
            pod_uid=pod.pod_uid,
            started=pod.started_at.isoformat(),
            host=addresses[pod.pod],
            port=_port(target),
            tls=tls,
        )
        for pod in target.components
        if pod.component == _PROXY and pod.ready and not pod.terminating and pod.started_at is not None
        if pod.pod in addresses and sharing[addresses[pod.pod]] == 1
    )


def probe_limit(probe: Probe) -> int | None:
    """The bytes of the largest request that the proxy takes; None where it does not tell."""
    try:
        return read_receive_limit(probe.host, probe.port, timeout_seconds=TIMEOUT_SECONDS, tls=probe.tls)
    except LimitError:
        return None


@dataclass(slots=True)
class ProbeCache:
    """What the proxies of one cluster told, for as long as their containers run. May be used from several threads."""

    _told: dict[Probe, int] = field(default_factory=dict)
    _tried: dict[Probe, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def due(self, wanted: Sequence[Probe], now: float) -> tuple[Probe, ...]:
        """Those to be made in this pass, the ones that have waited longest first; they count as tried from here on."""
        with self._lock:
            current = frozenset(wanted)
            self._told = {probe: told for probe, told in self._told.items() if probe in current}
            self._tried = {probe: at for probe, at in self._tried.items() if probe in current}
            waiting = [probe for probe in wanted if probe not in self._told and self._waited(probe, now)]
            waiting.sort(key=lambda one: (self._tried.get(one, float("-inf")), one.pod))
            chosen = tuple(waiting[:MOST_PROBES_PER_PASS])
            self._tried |= dict.fromkeys(chosen, now)
            return chosen

    def keep(self, probe: Probe, limit: int) -> None:
        """Remember what a proxy told."""
        with self._lock:
            if probe in self._tried:
                self._told[probe] = limit

    def known(self) -> tuple[ReadBack, ...]:
        """What is known by proxy, in the form in which processes that can be asked tell it."""
        with self._lock:
            told = sorted((probe.pod, str(limit)) for probe, limit in self._told.items())
        return tuple(ReadBack(pod=pod, values={_NAME: limit}, asked=(_NAME,), acting=(_NAME,)) for pod, limit in told)

    def _waited(self, probe: Probe, now: float) -> bool:
        return probe not in self._tried or now - self._tried[probe] >= RETRY_SECONDS


def _may_take_the_claim(target: Target, settings: Mapping[str, EtcdSetting]) -> bool:
    stored = {key: entry.value for key, entry in settings.items()}
    sources = (stored, target.environment_config, target.install_config)
    texts = [source[key] for source in sources for key in (_NAME, _FALLBACK) if key in source]
    return any(_number(text) > MOST_BYTES for text in texts)


def _port(target: Target) -> int:
    text = target.environment_config.get(_PORT) or target.install_config.get(_PORT) or ""
    return _number(text) or DEFAULT_PORT


def _number(text: str) -> int:
    return int(text) if text.strip().isdecimal() else 0


def _tls(client: MilvusClient | None) -> ServerTls | None:
    """As the connection to Milvus has it, but to the pod: the name in the certificate is that of the Service."""
    if client is None:
        return None
    parts = urlsplit(client.uri)
    name = (client.tls.server_name if client.tls else None) or parts.hostname
    if parts.scheme != "https" or name is None:
        return None
    return ServerTls(server_name=name, authority_pem=client.tls.authority_pem if client.tls else None)
