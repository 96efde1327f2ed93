"""Checks over a snapshot: the target, Milvus, etcd, and whose pod is which node. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from milvus_tuning.api import ConfigDelivery, MilvusTuningSpec
from milvus_tuning.decide.config.road import trouble_on
from milvus_tuning.doctor.check import Check, failure, ok, warning
from milvus_tuning.snapshot import Problem, ProblemKind, Snapshot, Workload, WorkloadKind

DEFAULT_GRACE_PERIOD_SECONDS: Final = 30  # what Kubernetes gives where nothing is set, as the Milvus chart leaves it
_TARGET: Final = frozenset({ProblemKind.TARGET_NOT_FOUND, ProblemKind.TARGET_AMBIGUOUS, ProblemKind.TARGET_UNSUPPORTED})
_MENDS: Final[Mapping[ProblemKind, str]] = MappingProxyType(
    {
        ProblemKind.TARGET_NOT_FOUND: "spec.targetRef must name a release or Milvus object of this namespace",
        ProblemKind.TARGET_AMBIGUOUS: "give each install a release name of its own",
        ProblemKind.TARGET_UNSUPPORTED: "this form of install cannot be scaled by the operator",
        ProblemKind.MILVUS_UNREACHABLE: "set spec.connections.milvus, and let NetworkPolicies admit the operator",
        ProblemKind.MILVUS_CREDENTIALS_REJECTED: "put username:password of a Milvus user into "
        "spec.connections.milvus.credentialsSecretRef",
        ProblemKind.PROMETHEUS_UNREACHABLE: "check spec.connections.prometheus.url and NetworkPolicies",
        ProblemKind.PROMETHEUS_CREDENTIALS_REJECTED: "check spec.connections.prometheus.credentialsSecretRef",
        ProblemKind.METRICS_MISSING: "have port 9091 of the Milvus pods scraped (chart: metrics.serviceMonitor; "
        "milvus-operator: let Prometheus select its PodMonitor) and check labels and matchers",
        ProblemKind.ETCD_UNREACHABLE: "set spec.connections.etcd; without etcd no balance setting can be changed",
        ProblemKind.SECRET_NOT_FOUND: "create the Secret in the namespace of the MilvusTuning",
        ProblemKind.PERMISSION_DENIED: "grant what is named",
        ProblemKind.INVALID_CONNECTION: "correct the field that is named",
        ProblemKind.VERSION_UNKNOWN: "run a released version of Milvus",
        ProblemKind.VERSION_UNSUPPORTED: "upgrade Milvus to 2.3 or later",
        ProblemKind.NODE_IDENTITY_UNKNOWN: "let the operator reach port 9091 of the pods, or have them scraped; "
        "hostNetwork is not supported",
    }
)


def cluster_checks(snapshot: Snapshot, spec: MilvusTuningSpec) -> tuple[Check, ...]:
    """What the observation found, source by source."""
    workload = snapshot.workload
    if workload is None:
        return tuple(_of_problem("target", problem) for problem in snapshot.problems)
    return (
        *_target(workload, snapshot, spec),
        *_milvus(snapshot),
        *_identity(snapshot),
        *_etcd(snapshot, spec),
        *_road(snapshot, spec),
        *_prometheus(snapshot, spec),
    )


def _target(workload: Workload, snapshot: Snapshot, spec: MilvusTuningSpec) -> list[Check]:
    serving = "unknown" if workload.serving_count is None else workload.serving_count
    text = f"{workload.kind} {workload.namespace}/{workload.name}: {workload.desired_count} QueryNodes desired, "
    checks = [ok("target", f"{text}{workload.ready_count} ready, {serving} serving")]
    if workload.autoscalers:
        mend = "remove the autoscaler, or leave spec.queryNodes out"
        checks.append(failure("one writer", f"{', '.join(workload.autoscalers)} writes the size too", mend))
    if _helm_in_the_way(workload, spec):
        mend = "set queryNode.replicas to -1 in the chart's values, or targetRef.allowHelmOwnedFields to true"
        checks.append(warning("field owner", "Helm owns the replica count; it will not be written", mend))
    checks += [_waiting(freeze.reason, freeze.message) for freeze in snapshot.freezes]
    return checks + _pods(snapshot)


def _helm_in_the_way(workload: Workload, spec: MilvusTuningSpec) -> bool:
    owned = workload.kind is WorkloadKind.DEPLOYMENT and workload.replicas_owner == "helm"
    return owned and not spec.target_ref.allow_helm_owned_fields


def _waiting(reason: str, message: str) -> Check:
    return warning("quiet", f"{reason}: {message}", "nothing is begun until this is over")


def _pods(snapshot: Snapshot) -> list[Check]:
    checks = []
    unlimited = [node.pod for node in snapshot.query_nodes if not node.memory_limit_bytes or not node.cpu_limit_cores]
    if unlimited:
        mend = "set resources.limits.cpu and .memory of the QueryNodes: load is measured against them"
        checks.append(failure("limits", f"no CPU or memory limit on {', '.join(unlimited)}", mend))
    graces = [node.grace_period_seconds for node in snapshot.query_nodes]
    if graces and min(graces) <= DEFAULT_GRACE_PERIOD_SECONDS:
        text = f"a leaving QueryNode is killed after {min(graces)} s, which is too short to hand over its segments"
        checks.append(warning("grace period", text, "raise terminationGracePeriodSeconds of the QueryNode pods"))
    return checks


def _milvus(snapshot: Snapshot) -> list[Check]:
    kinds = (
        ProblemKind.MILVUS_UNREACHABLE,
        ProblemKind.MILVUS_CREDENTIALS_REJECTED,
        ProblemKind.VERSION_UNKNOWN,
        ProblemKind.VERSION_UNSUPPORTED,
        ProblemKind.PERMISSION_DENIED,
        ProblemKind.SECRET_NOT_FOUND,
        ProblemKind.INVALID_CONNECTION,
    )
    found = [_of_problem("milvus", problem) for problem in snapshot.problems if problem.kind in kinds]
    if found:
        return found
    text = f"{snapshot.milvus_version}, {len(snapshot.collections)} collections loaded"
    checks = [ok("milvus", f"{text}, {len(snapshot.segments)} segments")]
    if snapshot.placement_coverage < 1:
        share = f"the placement of {snapshot.placement_coverage:.0%} of the collections is known and recent"
        checks.append(warning("placement", share, "nothing is scaled in without the whole placement"))
    return checks


def _identity(snapshot: Snapshot) -> list[Check]:
    unknown = [problem for problem in snapshot.problems if problem.kind is ProblemKind.NODE_IDENTITY_UNKNOWN]
    if unknown:
        return [_of_problem("node identity", problem) for problem in unknown]
    known = sum(1 for node in snapshot.query_nodes if node.node_id is not None)
    return [ok("node identity", f"{known} pods matched with their Milvus nodes")] if known else []


def _etcd(snapshot: Snapshot, spec: MilvusTuningSpec) -> list[Check]:
    on_etcd = spec.config_delivery is not ConfigDelivery.MILVUS_RESOURCE
    needed = on_etcd and (spec.load_balancing is not None or spec.consistency is not None)
    problem = snapshot.problem(ProblemKind.ETCD_UNREACHABLE)
    if problem is not None:
        mend = _MENDS[problem.kind]
        return [failure("etcd", problem.message, mend) if needed else warning("etcd", problem.message, mend)]
    if snapshot.etcd_root_path is None:
        text = "no address of Milvus's etcd was found"
        mend = "set spec.connections.etcd.endpoints and rootPath"
        return [failure("etcd", text, mend) if needed else warning("etcd", text, mend)]
    text = f"root path {snapshot.etcd_root_path} proved by Milvus's sessions, {len(snapshot.settings)} settings stored"
    return [ok("etcd", text)]


def _road(snapshot: Snapshot, spec: MilvusTuningSpec) -> list[Check]:
    """Whether keys can go to the Milvus object, where they are to."""
    if spec.config_delivery is not ConfigDelivery.MILVUS_RESOURCE:
        return []
    trouble = trouble_on(ConfigDelivery.MILVUS_RESOURCE, snapshot)
    if trouble is not None:
        return [failure("spec.config", trouble, "mend that, or leave configDelivery out: keys go to etcd then")]
    stored = snapshot.resource_config.settings if snapshot.resource_config else {}
    return [ok("spec.config", f"keys may be written to the Milvus object, which has {len(stored)}")]


def _prometheus(snapshot: Snapshot, spec: MilvusTuningSpec) -> list[Check]:
    kinds = (
        ProblemKind.PROMETHEUS_UNREACHABLE,
        ProblemKind.PROMETHEUS_CREDENTIALS_REJECTED,
        ProblemKind.METRICS_MISSING,
    )
    found = [_of_problem("prometheus", problem) for problem in snapshot.problems if problem.kind in kinds]
    if found:
        return found
    if spec.connections is None or spec.connections.prometheus is None:
        mend = "set spec.connections.prometheus: the number of QueryNodes is decided from its series"
        return [warning("prometheus", "none is configured", mend)]
    ages = [node.resident_memory_bytes.age_seconds for node in snapshot.members if node.resident_memory_bytes.coverage]
    text = f"{len(ages)} of {len(snapshot.members)} QueryNodes scraped, the oldest {max(ages, default=0):.0f} s ago"
    if len(ages) < len(snapshot.members):
        return [warning("prometheus", text, _MENDS[ProblemKind.METRICS_MISSING])]
    return [ok("prometheus", text)]


def _of_problem(name: str, problem: Problem) -> Check:
    return failure(name, problem.message, _MENDS.get(problem.kind, ""))
