"""Which Milvus node runs in which pod.

Milvus knows nodes by an id that changes on every start, Kubernetes knows pods by name. They are matched by two
witnesses that must agree: the IP with which the node registered (its session in etcd, or system_info), and the node id
that the pod's own series carry. Anything else (a restarted container whose old session still lives, pods that share the
node's address) is no identity, and nothing acts on such a node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from milvus_tuning.clients.milvus import MilvusNode
from milvus_tuning.snapshot import Problem, ProblemKind, QueryNode


def node_ids_by_pod(
    pods: Sequence[QueryNode], nodes: Sequence[MilvusNode], said_by_pod: Mapping[str, frozenset[int]]
) -> dict[str, int]:
    """The Milvus node id of each pod of which it is known beyond doubt."""
    pods_at = Counter(pod.ip for pod in pods)
    ids_at: dict[str, set[int]] = {}
    for node in nodes:
        ids_at.setdefault(node.ip, set()).add(node.node_id)
    matched: dict[str, int] = {}
    for pod in pods:
        at_address = ids_at.get(pod.ip, set())
        if (
            pod.ip
            and pods_at[pod.ip] == 1
            and len(at_address) == 1
            and said_by_pod.get(pod.pod, frozenset()) == at_address
        ):
            matched[pod.pod] = next(iter(at_address))
    return matched


def identity_problems(
    pods: Sequence[QueryNode], nodes: Sequence[MilvusNode], said_by_pod: Mapping[str, frozenset[int]]
) -> tuple[Problem, ...]:
    """One problem per ready pod that stays and whose node is not known, with what each witness says."""
    matched = node_ids_by_pod(pods, nodes, said_by_pod)
    unknown = (pod for pod in pods if pod.ready and not pod.terminating and pod.pod not in matched)
    return tuple(
        Problem(
            kind=ProblemKind.NODE_IDENTITY_UNKNOWN,
            message=f"QueryNode pod {pod.pod}: Milvus names node {_ids(_at(pod, nodes))} at {pod.ip or 'no IP'}, "
            f"the pod's own metrics say node {_ids(said_by_pod.get(pod.pod, frozenset()))}; they must agree on one",
        )
        for pod in unknown
    )


def _at(pod: QueryNode, nodes: Sequence[MilvusNode]) -> frozenset[int]:
    return frozenset(node.node_id for node in nodes if node.ip == pod.ip)


def _ids(ids: frozenset[int]) -> str:
    return " and ".join(str(found) for found in sorted(ids)) or "none"
