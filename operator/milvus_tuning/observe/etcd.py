"""Milvus's settings in etcd, once the root path is proved to be this cluster's.

A wrong root path would take every write and have no effect, so it counts only where Milvus itself has registered under
it: `<root>/<meta>/session/querynode-<id>` holds {"ServerID": 4, "Address": "10.0.0.7:21123", ...}, and one of the
addresses must be that of a QueryNode pod. The same sessions name the internal address of every other process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from milvus_tuning.catalogue import config_prefix, normalised
from milvus_tuning.clients.etcd import EtcdClient, EtcdEntry, EtcdError, EtcdFailure
from milvus_tuning.clients.handback import read_owned_keys
from milvus_tuning.clients.milvus import QUERY_NODE_ROLE, MilvusNode, host_of
from milvus_tuning.snapshot import EtcdSetting, OwnedKey, Problem, ProblemKind

SESSION_PREFIX = "session/"


@dataclass(frozen=True, kw_only=True, slots=True)
class MilvusProcess:
    """A component that is registered: its role in Milvus's word (`querynode`, `rootcoord`), and its host:port.

    The coordinators of one process up to 2.5 are registered one by one, each with a port of its own.
    """

    role: str
    address: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EtcdFacts:
    """One reading. root_path and sessions are None where the root path is not proved, and then nothing was read.

    sessions are the QueryNodes that are registered now, which is what QueryCoord itself goes by; processes are all that
    are.
    """

    root_path: str | None = None
    sessions: tuple[MilvusNode, ...] | None = None
    processes: tuple[MilvusProcess, ...] = ()
    settings: Mapping[str, EtcdSetting] = field(default_factory=dict)
    owned_keys: Mapping[str, Mapping[str, OwnedKey]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def read_etcd(client: EtcdClient, *, root_path: str, meta_path: str, pod_ips: frozenset[str]) -> EtcdFacts:
    """Prove the root path and read all settings; never raises for what etcd does."""
    sessions_at = f"{root_path}/{meta_path.strip('/')}/{SESSION_PREFIX}"
    try:
        registered = client.get_prefix(sessions_at)
        sessions = sessions_of(registered)
        hosts = frozenset(session.ip for session in sessions)
        if not hosts & pod_ips:
            return EtcdFacts(problems=(_unproved(f"{sessions_at}{QUERY_NODE_ROLE}-", hosts, pod_ips),))
        entries = client.get_prefix(config_prefix(root_path))
        owned_keys = read_owned_keys(client, root_path)
    except EtcdError as error:
        denied = error.failure in (EtcdFailure.CREDENTIALS_REJECTED, EtcdFailure.PERMISSION_DENIED)
        hint = "; see spec.connections.etcd.credentialsSecretRef" if denied else ""
        return EtcdFacts(problems=(Problem(kind=ProblemKind.ETCD_UNREACHABLE, message=f"{error}{hint}"),))
    settings = settings_of(entries, config_prefix(root_path))
    return EtcdFacts(
        root_path=root_path,
        sessions=sessions,
        processes=processes_of(registered),
        settings=settings,
        owned_keys=owned_keys,
    )


def sessions_of(entries: Sequence[EtcdEntry]) -> tuple[MilvusNode, ...]:
    """The QueryNodes that the sessions name; what is no session is passed over."""
    return tuple(
        MilvusNode(node_id=node_id, role=QUERY_NODE_ROLE, ip=host_of(process.address), cpu_core_count=None)
        for node_id, process in _sessions(entries)
        if process.role == QUERY_NODE_ROLE
    )


def processes_of(entries: Sequence[EtcdEntry]) -> tuple[MilvusProcess, ...]:
    """Every process that the sessions name."""
    return tuple(process for _, process in _sessions(entries))


def _sessions(entries: Sequence[EtcdEntry]) -> Iterator[tuple[int, MilvusProcess]]:
    """Node id and process of each; the role is in the key (`session/querynode-4`), as `querynode` or `rootcoord`."""
    for entry in entries:
        role = entry.key.rpartition("/")[2].partition("-")[0]
        try:
            session = json.loads(entry.value)
            yield int(session["ServerID"]), MilvusProcess(role=role, address=str(session["Address"]))
        except (ValueError, KeyError, TypeError):
            continue


def settings_of(entries: Sequence[EtcdEntry], prefix: str) -> dict[str, EtcdSetting]:
    """The settings by normalised key. Of several spellings of one key the first in the order of names is shown."""
    spellings: dict[str, list[EtcdEntry]] = {}
    for entry in sorted(entries, key=lambda found: found.key):
        spellings.setdefault(normalised(entry.key.removeprefix(prefix)), []).append(entry)
    return {key: _setting(found, prefix) for key, found in spellings.items()}


def _setting(entries: Sequence[EtcdEntry], prefix: str) -> EtcdSetting:
    first = entries[0]
    return EtcdSetting(
        key=first.key.removeprefix(prefix),
        value=first.value,
        spellings=tuple(entry.key.removeprefix(prefix) for entry in entries),
        revision=first.mod_revision,
        leased=first.lease_id != 0,
    )


def _unproved(sessions_at: str, hosts: frozenset[str], pod_ips: frozenset[str]) -> Problem:
    if not hosts:
        said = "holds no session of a QueryNode"
    else:
        said = f"belongs to QueryNodes at {', '.join(sorted(hosts))}, not to ours at {', '.join(sorted(pod_ips))}"
    text = f"etcd: {sessions_at}* {said}; is spec.connections.etcd.rootPath that of this Milvus?"
    return Problem(kind=ProblemKind.ETCD_UNREACHABLE, message=text)
