"""What came of a change, told by the outside alone: objects, the API server's audit log, and etcd's own history."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from milvus_tuning.clients.resource_config import CONFIG_ANNOTATION
from tests.cluster.audit import requests
from tests.faults import history
from tests.faults.ending import Ending, endings
from tests.faults.harness import Case, cost_of

USER_AGENT = "milvus-tuning/"
CHANGED = frozenset({"deployments", "pods", "milvuses"})
EVICTION = "eviction"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A key in etcd; whether it hangs on a lease."""

    value: str
    leased: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """The end of a change: two runs that went alike have equal ends.

    effects counts what the outside saw: changes of the spec of the QueryNodes' owner (its generation), writes of the
    operator that the API server carried out (its audit log), changes of each key (etcd's history), and what Milvus
    carried out.
    """

    endings: tuple[Ending, ...]
    replicas: int
    pod_costs: tuple[str | None, ...]
    gone_pod_costs: tuple[str | None, ...]
    keys: Mapping[str, Stored]
    resource: str  # spec.config of the Milvus object and our record of it; empty where there is none
    placement: Mapping[int, tuple[int, ...]]  # of the segments, and how many in-memory replicas (0)
    effects: Mapping[str, int]


def end_of(case: Case, phase: str) -> End:
    """How the case stands now; phase is the one that its plan was to reach."""
    deployment = case.api.call("GET", case.release.deployment_path)
    grown = deployment["metadata"]["generation"] - case.generation
    return End(
        endings=endings(case.api, case.namespace, phase),
        replicas=case.release.count,
        pod_costs=tuple(sorted(map(cost_of, case.query_nodes()), key=str)),
        gone_pod_costs=tuple(case.gone),
        keys={
            _name(case, key): Stored(value=_timeless(one.value), leased=one.leased)
            for key, one in _entries(case).items()
        },
        resource=_resource(case),
        placement=_placement(case),
        effects={
            **({f"{deployment['kind']} spec": grown} if grown else {}),
            **_carried_out(case),
            **_key_changes(case),
            **Counter(f"milvus {write.split()[0]}" for write in case.milvus.writes),
        },
    )


def _resource(case: Case) -> str:
    milvus = case.resource()
    if milvus is None:
        return ""
    record = milvus["metadata"]["annotations"].get(CONFIG_ANNOTATION, "")
    return _timeless(f"{json.dumps(milvus['spec']['config'])} {record}".replace(case.uid, "UID"))


def _placement(case: Case) -> dict[int, tuple[int, ...]]:
    nodes = {int(one["segmentID"]): tuple(sorted(map(int, one["nodeIds"]))) for one in case.milvus.segments}
    return {0: (len(case.milvus.replicas),), **nodes}


def _carried_out(case: Case) -> Counter[str]:
    """The operator's writes on foreign objects that succeeded; a pod that is leaving already is evicted once."""
    done = [
        request
        for request in requests(case.servers.audit_log, namespace=case.namespace)
        if request.agent.startswith(USER_AGENT) and request.succeeded and request.resource in CHANGED
    ]
    evicted = {request.name for request in done if request.subresource == EVICTION}
    others = (
        f"{request.verb} {'/'.join(filter(None, (request.resource, request.subresource)))}"
        for request in done
        if request.subresource != EVICTION
    )
    return Counter([*others, *(["create pods/eviction"] * len(evicted))])


def _key_changes(case: Case) -> Counter[str]:
    """How often each key was put or deleted since the operator came: each revision against the one before."""
    found: Counter[str] = Counter()
    before = _entries(case, revision=case.revision)
    for revision in range(case.revision + 1, history.revision(case.servers.etcd_address) + 1):
        after = _entries(case, revision=revision)
        changed = (key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
        found.update(f"etcd {_name(case, key)}" for key in changed)
        before = after
    return found


def _name(case: Case, key: str) -> str:
    """A key without what differs from case to case."""
    return key.removeprefix(case.root_path).replace(case.uid, "UID").strip("/")


def _timeless(value: str) -> str:
    """A record without the time at which it was written."""
    return re.sub(r'("writtenAt": ?)"[^"]+"', r'\1"WHEN"', value)


def _entries(case: Case, *, revision: int = 0) -> dict[str, history.Entry]:
    """The configuration keys and our records, as etcd had them at a revision (0: now)."""
    found = history.entries(case.servers.etcd_address, f"{case.root_path}/", revision=revision)
    return {key: entry for key, entry in found.items() if not key.startswith(f"{case.root_path}/meta/")}
