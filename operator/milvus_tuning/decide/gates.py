"""What must hold before anything is decided; the first thing in the way is the answer.

Order: what the target is, who else writes, what could not be observed, what is going on in the cluster. Gates about the
number of QueryNodes count only where the spec manages it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from milvus_tuning.api import FIELD_MANAGER, MilvusTuningSpec, Mode
from milvus_tuning.catalogue import ServerVersion, parse_version
from milvus_tuning.decide.words import listed
from milvus_tuning.plan import Decision, Reason
from milvus_tuning.snapshot import ProblemKind, Snapshot, Workload, WorkloadKind

OLDEST_VERSION = ServerVersion(2, 3, 0)
MOST_FOREIGN_REVERTS = 2  # one may be an accident of timing, two a coincidence; the third is somebody's will
HELM = "helm"

_TARGET: Mapping[ProblemKind, Reason] = MappingProxyType(
    {
        ProblemKind.TARGET_NOT_FOUND: Reason.TARGET_NOT_FOUND,
        ProblemKind.TARGET_AMBIGUOUS: Reason.TARGET_UNSUPPORTED,
        ProblemKind.TARGET_UNSUPPORTED: Reason.TARGET_UNSUPPORTED,
        ProblemKind.INVALID_CONNECTION: Reason.INVALID_SPEC,
        ProblemKind.SECRET_NOT_FOUND: Reason.SECRET_NOT_FOUND,
        ProblemKind.PERMISSION_DENIED: Reason.PERMISSION_DENIED,
    }
)
_MILVUS: Mapping[ProblemKind, Reason] = MappingProxyType(
    {
        ProblemKind.MILVUS_UNREACHABLE: Reason.MILVUS_UNREACHABLE,
        ProblemKind.MILVUS_CREDENTIALS_REJECTED: Reason.MILVUS_UNREACHABLE,
    }
)
_METRICS: Mapping[ProblemKind, Reason] = MappingProxyType(
    {
        ProblemKind.PROMETHEUS_UNREACHABLE: Reason.METRICS_MISSING,
        ProblemKind.PROMETHEUS_CREDENTIALS_REJECTED: Reason.METRICS_MISSING,
    }
)

_Gate = Callable[[MilvusTuningSpec, Snapshot], Decision | None]


def closed_gate(spec: MilvusTuningSpec, snapshot: Snapshot) -> Decision | None:
    """What is in the way of any change, or None."""
    gates: tuple[_Gate, ...] = (_target, _milvus, _version, _freeze)
    return _first(gates, spec, snapshot)


def closed_size_gate(spec: MilvusTuningSpec, snapshot: Snapshot) -> Decision | None:
    """What is in the way of deciding on the number of QueryNodes, or None."""
    gates: tuple[_Gate, ...] = (_target, _conflict, _helm, _milvus, _version, _metrics, _identity, _freeze, _settled)
    return _first(gates, spec, snapshot)


def closed_placement_gate(spec: MilvusTuningSpec, snapshot: Snapshot) -> Decision | None:
    """What is in the way of deciding where data is loaded (segments, in-memory replicas), or None.

    Who else writes the number of QueryNodes does not matter for that; that the number stands still does.
    """
    gates: tuple[_Gate, ...] = (_target, _milvus, _version, _metrics, _identity, _freeze, _settled)
    return _first(gates, spec, snapshot)


def _first(gates: tuple[_Gate, ...], spec: MilvusTuningSpec, snapshot: Snapshot) -> Decision | None:
    return next((found for gate in gates if (found := gate(spec, snapshot)) is not None), None)


def _target(_: MilvusTuningSpec, snapshot: Snapshot) -> Decision | None:
    found = _from_problem(snapshot, _TARGET)
    if found is None and snapshot.workload is None:
        return _stop(Reason.TARGET_NOT_FOUND, "the owner of the QueryNodes was not found")
    return found


def _conflict(_: MilvusTuningSpec, snapshot: Snapshot) -> Decision | None:
    workload = _workload(snapshot)
    where = f"{workload.kind} {workload.namespace}/{workload.name}"
    if workload.autoscalers:
        who = listed(workload.autoscalers)
        return _stop(Reason.CONFLICT, f"{who} scales {where} already: delete it, or remove spec.queryNodes here")
    if workload.desired_count < 0:
        return _stop(
            Reason.CONFLICT,
            f"{where} asks for {workload.desired_count} QueryNodes, which hands the number to an autoscaler: set a "
            "number of 0 or more",
        )
    if workload.foreign_reverts > MOST_FOREIGN_REVERTS:
        known = workload.replicas_owner not in {None, FIELD_MANAGER}  # ours when the last write was ours again
        who = f" (field manager {workload.replicas_owner})" if known else ""
        return _stop(
            Reason.CONFLICT,
            f"somebody{who} put the number of QueryNodes of {where} back {workload.foreign_reverts} times within an "
            "hour: let it ignore that field",
        )
    return None


def _helm(spec: MilvusTuningSpec, snapshot: Snapshot) -> Decision | None:
    """Helm's ownership stands in the way of a write only; mode Observe recommends all the same."""
    workload = _workload(snapshot)
    owned = workload.kind is WorkloadKind.DEPLOYMENT and (workload.replicas_owner or "").lower() == HELM
    if not owned or spec.target_ref.allow_helm_owned_fields or spec.mode is Mode.OBSERVE:
        return None
    return _stop(
        Reason.HELM_OWNS_FIELD,
        f"Helm renders the replica count of Deployment {workload.namespace}/{workload.name}: set queryNode.replicas to "
        "-1 in the chart's values, or targetRef.allowHelmOwnedFields to true and know that a helm upgrade puts its own "
        "value back",
    )


def _milvus(_: MilvusTuningSpec, snapshot: Snapshot) -> Decision | None:
    return _from_problem(snapshot, _MILVUS)


def _version(_: MilvusTuningSpec, snapshot: Snapshot) -> Decision | None:
    problem = snapshot.problem(ProblemKind.VERSION_UNKNOWN, ProblemKind.VERSION_UNSUPPORTED)
    if problem is not None:
        return _stop(Reason.VERSION_UNSUPPORTED, problem.message)
    version = parse_version(snapshot.milvus_version)
    if version is None:
        said = f"{snapshot.milvus_version!r}" if snapshot.milvus_version else "nothing"
        return _stop(Reason.VERSION_UNSUPPORTED, f"the version of Milvus is unknown (it says {said})")
    if version < OLDEST_VERSION:
        return _stop(Reason.VERSION_UNSUPPORTED, f"Milvus {version} is older than {OLDEST_VERSION}")
    return None


def _metrics(_: MilvusTuningSpec, snapshot: Snapshot) -> Decision | None:
    return _from_problem(snapshot, _METRICS)


def _identity(_: MilvusTuningSpec, snapshot: Snapshot) -> Decision | None:
    problem = snapshot.problem(ProblemKind.NODE_IDENTITY_UNKNOWN)
    if problem is not None:
        return _stop(Reason.NODE_IDENTITY_UNKNOWN, problem.message)
    unknown = [node.pod for node in snapshot.members if node.node_id is None]
    if unknown:
        return _stop(
            Reason.NODE_IDENTITY_UNKNOWN,
            f"which Milvus node runs in {listed(unknown)} is not known beyond doubt; nothing acts on a guess",
        )
    return None


def _freeze(_: MilvusTuningSpec, snapshot: Snapshot) -> Decision | None:
    if not snapshot.freezes:
        return None
    return _stop(Reason.FROZEN, "; ".join(f"{freeze.reason}: {freeze.message}" for freeze in snapshot.freezes))


def _settled(_: MilvusTuningSpec, snapshot: Snapshot) -> Decision | None:
    """Desired, ready and serving must agree: a cluster between two sizes is not a base for a third."""
    workload, members = _workload(snapshot), len(snapshot.members)
    if workload.desired_count == 0:
        return _stop(
            Reason.FROZEN,
            "0 QueryNodes are asked for: taken as stopped on purpose, as a HorizontalPodAutoscaler takes it; set 1 or "
            "more to start again",
        )
    serving = members if workload.serving_count is None else workload.serving_count
    leaving = [node.pod for node in snapshot.query_nodes if node.terminating]
    if leaving:
        return _stop(Reason.FROZEN, f"{listed(leaving)} is still leaving")
    if not workload.desired_count == workload.ready_count == serving == members:
        pending = [f"{node.pod} {node.pending_reason}" for node in snapshot.query_nodes if node.pending_reason]
        note = f" ({listed(pending)})" if pending else ""
        return _stop(
            Reason.FROZEN,
            f"{workload.desired_count} QueryNodes desired, {workload.ready_count} ready, {serving} serving{note}: "
            "waiting until they agree",
        )
    return None


def _workload(snapshot: Snapshot) -> Workload:
    if snapshot.workload is None:
        raise ValueError("the target gate comes first: it stops where there is no workload")
    return snapshot.workload


def _from_problem(snapshot: Snapshot, reasons: Mapping[ProblemKind, Reason]) -> Decision | None:
    problem = snapshot.problem(*reasons)
    return None if problem is None else _stop(reasons[problem.kind], problem.message)


def _stop(reason: Reason, message: str) -> Decision:
    return Decision(reason=reason, message=message)
