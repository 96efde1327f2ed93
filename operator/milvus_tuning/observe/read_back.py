"""What the running processes say of the keys that a policy declares: the proof that a value has reached them.

Milvus's internal call ShowConfigurations answers in every line from 2.3 to 2.6, in each component but the proxy. Seen
on 2.3.5, over the ports that the sessions in etcd name (QueryNode 21123, DataNode 21124, IndexNode 21121, QueryCoord
19531, DataCoord 13333, RootCoord 53100; the last three in one process, each with its own service):

- The answer has the keys below the component's own prefix and the shared ones (common, grpc, log, etcd and more), in
  lower case with dots, the shared ones once more without dots. 370 entries, 15 KB, 10 ms.
- A key written to etcd shows after 4 to 5 s, in whichever spelling it is stored, as long as milvus.yaml or etcd also
  has it in lower case with dots; one that is stored in another spelling only and is in no file is not listed. What is
  removed from etcd shows its former value after the same time. An environment variable shows over the file.
- A key below a wrong root path never shows. A key of which only the code knows a default is not listed.
- A dead key shows its value like any other, and so does one that is no key at all: the answer proves that the value has
  arrived, not that it acts. A key that is read at start only shows the new value at once, while the process goes on
  with the old one: what is in force tells the start of its container (`ComponentPod.started_at`).
- A proxy answers UNIMPLEMENTED. `/management/config/get` and `/api/v1/_cluster/configs` are 404 on 2.3.5.

Up to 2.5 the processes are asked this way alone. Read in the source of 2.6, not run: its MixCoord answers for all three
services with what is RootCoord's and shared, so queryCoord and dataCoord keys cannot be read back before 2.6.14; from
then on MixCoord is asked by `GET /management/config/get` on its metrics port instead. The QueryNode in a StreamingNode
answers as a QueryNode.

Nothing is asked where the policy declares no such key. At most MOST_CALLS_PER_PASS calls are made in a pass, in turns;
an answer counts until the process is asked again, for KEPT_SECONDS at most and no longer than its container runs. A
process that is silent, or where TLS between components is on, is left out and asked again after RETRY_SECONDS.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.catalogue import EVERY_COMPONENT, Intent, Lever, ServerVersion, find_lever, normalised
from milvus_tuning.catalogue.reading import catalogue
from milvus_tuning.clients.configuration import ConfigurationError, read_configuration, read_management
from milvus_tuning.clients.milvus import host_of
from milvus_tuning.clients.podmetrics import METRICS_PORT
from milvus_tuning.observe.etcd import MilvusProcess
from milvus_tuning.snapshot import ComponentPod, ReadBack

MOST_CALLS_PER_PASS: Final = 20
TIMEOUT_SECONDS: Final = 1.0
KEPT_SECONDS: Final = 120.0
RETRY_SECONDS: Final = 30.0  # for one that was silent: a NetworkPolicy must not cost each pass its timeouts
MANAGEMENT_SINCE: Final = ServerVersion(2, 6, 14)
MERGED_SINCE: Final = ServerVersion(2, 6, 0)
MIX_COORD: Final = "mixcoord"
_COORDINATORS: Final = ("rootcoord", "querycoord", "datacoord")


@dataclass(frozen=True, kw_only=True, slots=True)
class Role:
    """How a kind of process is asked: gRPC service, default port, and the prefixes of its own keys in the answer."""

    word: str
    service: str
    port: int
    sections: tuple[str, ...]


ROLES: Final = {
    "querynode": Role(word="QueryNode", service="milvus.proto.query.QueryNode", port=21123, sections=("querynode",)),
    "streamingnode": Role(
        word="StreamingNode", service="milvus.proto.query.QueryNode", port=22222, sections=("querynode",)
    ),
    "datanode": Role(word="DataNode", service="milvus.proto.data.DataNode", port=21124, sections=("datanode",)),
    "indexnode": Role(word="IndexNode", service="milvus.proto.index.IndexNode", port=21121, sections=("indexnode",)),
    "rootcoord": Role(
        word="RootCoord", service="milvus.proto.rootcoord.RootCoord", port=53100, sections=("rootcoord",)
    ),
    "querycoord": Role(
        word="QueryCoord", service="milvus.proto.query.QueryCoord", port=19531, sections=("querycoord",)
    ),
    "datacoord": Role(word="DataCoord", service="milvus.proto.data.DataCoord", port=13333, sections=("datacoord",)),
    MIX_COORD: Role(
        word="MixCoord", service="milvus.proto.rootcoord.RootCoord", port=53100, sections=("rootcoord", MIX_COORD)
    ),
}
_SECTIONS: Final = frozenset(
    {"proxy", "streaming", *(name for role in ROLES.values() for name in role.sections), *ROLES}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One call: a process in a pod, and the keys that it can tell. started: since when its container runs, as text."""

    pod: str
    pod_uid: str
    started: str
    role: str
    address: str
    keys: tuple[str, ...]
    management: bool = False


def declared_keys(spec: MilvusTuningSpec, version: ServerVersion) -> tuple[str, ...]:
    """The real keys that carry what the policy declares in this version, and those of configOverrides, in order."""
    tree = spec.model_dump(by_alias=True, exclude_none=True, mode="json")
    levers = (find_lever(intent, version) for intent in Intent if _declared(tree, intent.field))
    keys = {lever.key for lever in levers if isinstance(lever, Lever)}
    return tuple(sorted(keys | set(spec.config_overrides or ())))


def questions(
    keys: Sequence[str],
    version: ServerVersion,
    pods: Iterable[ComponentPod],
    addresses: Mapping[str, str],
    processes: Sequence[MilvusProcess],
) -> tuple[Question, ...]:
    """Whom to ask for which of the keys: the ready processes that read them and have a call to tell.

    addresses are the IPs by pod. Ports are those of the sessions; where none is known for a pod, Milvus's defaults.
    """
    running = [pod for pod in pods if pod.ready and pod.started_at and not pod.terminating and pod.pod in addresses]
    sharing = Counter((pod.component, addresses[pod.pod]) for pod in running)  # several on one host's own network
    found = (
        _question(pod, role, address, keys, version)
        for pod in running
        if sharing[pod.component, addresses[pod.pod]] == 1
        for role, address in _processes_of(pod, addresses[pod.pod], version, processes)
    )
    return tuple(question for question in found if question.keys)


def ask(question: Question) -> dict[str, str] | None:
    """The values by normalised key; None where the process does not tell."""
    try:
        if question.management:
            return read_management(question.address, question.keys, timeout_seconds=TIMEOUT_SECONDS)
        service = ROLES[question.role].service
        return read_configuration(question.address, service, question.keys, timeout_seconds=TIMEOUT_SECONDS)
    except ConfigurationError:
        return None


@dataclass(slots=True)
class _Kept:
    """The last answer to a question, None where there was none, and when it was asked for."""

    at: float
    values: Mapping[str, str] | None = None


@dataclass(slots=True)
class ReadBackCache:
    """The answers of one cluster's processes between passes. May be used from several threads."""

    _kept: dict[Question, _Kept] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def due(self, asked: Sequence[Question], now: float) -> tuple[Question, ...]:
        """The questions of this pass, those that have waited longest first; they count as asked from here on."""
        with self._lock:
            current = frozenset(asked)
            self._kept = {question: kept for question, kept in self._kept.items() if question in current}
            waiting = [question for question in asked if not self._silent(question, now)]
            waiting.sort(key=lambda one: (self._at(one), one.pod, one.role))
            chosen = tuple(waiting[:MOST_CALLS_PER_PASS])
            self._kept |= {question: _Kept(at=now) for question in chosen}
            return chosen

    def keep(self, question: Question, values: Mapping[str, str]) -> None:
        """Remember an answer."""
        with self._lock:
            if question in self._kept:
                self._kept[question].values = values

    def known(self, now: float) -> tuple[ReadBack, ...]:
        """What is known by pod, in the order of their names; a pod of several processes has the values of all."""
        by_pod: dict[str, dict[str, str]] = {}
        asked: dict[str, set[str]] = {}
        with self._lock:
            for question, kept in self._kept.items():
                if kept.values is not None and now - kept.at <= KEPT_SECONDS:
                    by_pod.setdefault(question.pod, {}).update(kept.values)
                    asked.setdefault(question.pod, set()).update(map(normalised, question.keys))
        return tuple(ReadBack(pod=pod, values=by_pod[pod], asked=tuple(sorted(asked[pod]))) for pod in sorted(by_pod))

    def _silent(self, question: Question, now: float) -> bool:
        kept = self._kept.get(question)
        return kept is not None and kept.values is None and now - kept.at < RETRY_SECONDS

    def _at(self, question: Question) -> float:
        kept = self._kept.get(question)
        return float("-inf") if kept is None else kept.at


def _question(pod: ComponentPod, role: str, address: str, keys: Sequence[str], version: ServerVersion) -> Question:
    management = role == MIX_COORD and version >= MANAGEMENT_SINCE
    sections = (*ROLES[role].sections, *_COORDINATORS) if management else ROLES[role].sections
    word = ROLES[role].word
    return Question(
        pod=pod.pod,
        pod_uid=pod.pod_uid,
        started=pod.started_at.isoformat() if pod.started_at else "",
        role=role,
        address=f"{_host(host_of(address))}:{METRICS_PORT}" if management else address,
        keys=tuple(key for key in keys if _tells(key, sections, word, version)),
        management=management,
    )


def _tells(key: str, sections: Sequence[str], word: str, version: ServerVersion) -> bool:
    """Whether a process can tell a key: its own, or a shared one that it reads by the catalogue."""
    section = key.partition(".")[0].lower()
    if section in _SECTIONS:
        return section in sections
    known = catalogue().find(key)
    reads = known.restarts(version) if known else EVERY_COMPONENT
    return reads == EVERY_COMPONENT or word in reads.replace(",", " ").split()


def _processes_of(
    pod: ComponentPod, ip: str, version: ServerVersion, processes: Sequence[MilvusProcess]
) -> tuple[tuple[str, str], ...]:
    """Role and address of the processes in a pod."""
    several = pod.component == "MixCoord" and version < MERGED_SINCE
    roles = [role for role in (_COORDINATORS if several else (pod.component.lower(),)) if role in ROLES]
    known = {found.role: found.address for found in processes if host_of(found.address) == ip}
    return tuple((role, known.get(role, f"{_host(ip)}:{ROLES[role].port}")) for role in roles)


def _host(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip


def _declared(tree: Mapping[str, Any], path: str) -> bool:
    """Whether a field of the policy is set."""
    at: Any = tree
    for name in path.split("."):
        at = at.get(name) if isinstance(at, Mapping) else None
    return at is not None
