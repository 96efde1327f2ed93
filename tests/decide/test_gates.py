"""What stands in the way of any change, and the words for it."""

from dataclasses import replace
from typing import Any

import pytest

from milvus_tuning.api import MilvusTuningSpec, Mode
from milvus_tuning.decide import decide
from milvus_tuning.plan import Decision, Reason, StepKind
from milvus_tuning.snapshot import Freeze, FreezeReason, Problem, ProblemKind, Snapshot, WorkloadKind
from tests.builders import NOON, a_finished_operation, a_history, a_node, a_snapshot, a_spec


def decide_overloaded(
    snapshot: Snapshot | None = None, spec: MilvusTuningSpec | None = None, **options: Any
) -> Decision:
    """Decide on a cluster whose overload would add a node if nothing were in the way."""
    seen = snapshot or a_snapshot(2, cpu=0.9)
    return decide(spec or a_spec(), seen, a_history(seen), NOON, **options)


def test_nothing_is_in_the_way_of_the_usual_cluster() -> None:
    assert decide_overloaded().reason is Reason.SCALE_OUT_COMPUTATION


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (ProblemKind.TARGET_NOT_FOUND, Reason.TARGET_NOT_FOUND),
        (ProblemKind.TARGET_AMBIGUOUS, Reason.TARGET_UNSUPPORTED),
        (ProblemKind.TARGET_UNSUPPORTED, Reason.TARGET_UNSUPPORTED),
        (ProblemKind.INVALID_CONNECTION, Reason.INVALID_SPEC),
        (ProblemKind.SECRET_NOT_FOUND, Reason.SECRET_NOT_FOUND),
        (ProblemKind.PERMISSION_DENIED, Reason.PERMISSION_DENIED),
        (ProblemKind.MILVUS_UNREACHABLE, Reason.MILVUS_UNREACHABLE),
        (ProblemKind.MILVUS_CREDENTIALS_REJECTED, Reason.MILVUS_UNREACHABLE),
        (ProblemKind.VERSION_UNKNOWN, Reason.VERSION_UNSUPPORTED),
        (ProblemKind.VERSION_UNSUPPORTED, Reason.VERSION_UNSUPPORTED),
        (ProblemKind.PROMETHEUS_UNREACHABLE, Reason.METRICS_MISSING),
        (ProblemKind.PROMETHEUS_CREDENTIALS_REJECTED, Reason.METRICS_MISSING),
        (ProblemKind.NODE_IDENTITY_UNKNOWN, Reason.NODE_IDENTITY_UNKNOWN),
    ],
)
def test_a_problem_stops_everything_and_is_passed_on_in_its_own_words(kind: ProblemKind, reason: Reason) -> None:
    problem = Problem(kind=kind, message="10.0.0.9:9090 refused the connection")

    decision = decide_overloaded(replace(a_snapshot(2, cpu=0.9), problems=(problem,)))

    assert (decision.reason, decision.message, decision.steps) == (reason, problem.message, ())


def test_every_kind_of_problem_that_is_not_about_etcd_or_single_series_stops_the_size() -> None:
    free = {ProblemKind.ETCD_UNREACHABLE, ProblemKind.METRICS_MISSING}

    for kind in set(ProblemKind) - free:
        snapshot = replace(a_snapshot(2, cpu=0.9), problems=(Problem(kind=kind, message="no"),))
        assert decide_overloaded(snapshot).steps == ()


@pytest.mark.parametrize(
    ("workload", "reason", "words"),
    [
        pytest.param({"autoscalers": ("HorizontalPodAutoscaler/qn",)}, Reason.CONFLICT, "Autoscaler/qn", id="an HPA"),
        pytest.param({"autoscalers": ("ScaledObject/qn",)}, Reason.CONFLICT, "ScaledObject/qn", id="KEDA"),
        pytest.param({"desired_count": -1}, Reason.CONFLICT, "-1", id="replicas -1"),
        pytest.param(
            {"foreign_reverts": 3, "replicas_owner": "argocd"}, Reason.CONFLICT, "argocd", id="GitOps reverts"
        ),
        pytest.param({"replicas_owner": "helm"}, Reason.HELM_OWNS_FIELD, "allowHelmOwnedFields", id="Helm renders it"),
        pytest.param({"desired_count": 0}, Reason.FROZEN, "stopped on purpose", id="stopped on purpose"),
        pytest.param({"desired_count": 3}, Reason.FROZEN, "3 QueryNodes desired, 2 ready", id="between two sizes"),
        pytest.param({"serving_count": 1}, Reason.FROZEN, "1 serving", id="one node not in Milvus yet"),
    ],
)
def test_what_others_do_with_the_workload(workload: dict[str, object], reason: Reason, words: str) -> None:
    decision = decide_overloaded(a_snapshot(2, cpu=0.9, workload=workload))

    assert (decision.reason, decision.steps) == (reason, ())
    assert words in decision.message


@pytest.mark.parametrize(
    ("workload", "spec"),
    [
        pytest.param({"foreign_reverts": 2}, a_spec(), id="two reverts may be chance"),
        pytest.param(
            {"replicas_owner": "helm"},
            a_spec(target_ref={"kind": "HelmRelease", "name": "my-release", "allowHelmOwnedFields": True}),
            id="Helm's field with the explicit permission",
        ),
        pytest.param(
            {"replicas_owner": "helm", "kind": WorkloadKind.MILVUS},
            a_spec(target_ref={"kind": "Milvus", "name": "my-release"}),
            id="a custom resource, whose replica count is not Helm's",
        ),
    ],
)
def test_what_is_not_in_the_way(workload: dict[str, object], spec: MilvusTuningSpec) -> None:
    assert decide_overloaded(a_snapshot(2, cpu=0.9, workload=workload), spec).steps


def test_mode_propose_makes_no_plan_for_a_field_that_helm_owns() -> None:
    snapshot = a_snapshot(2, cpu=0.9, workload={"replicas_owner": "helm"})

    decision = decide_overloaded(snapshot, a_spec(mode=Mode.PROPOSE))

    assert (decision.reason, decision.steps) == (Reason.HELM_OWNS_FIELD, ())


def test_mode_observe_recommends_although_helm_owns_the_field() -> None:
    snapshot = a_snapshot(2, cpu=0.9, workload={"replicas_owner": "helm"})

    decision = decide_overloaded(snapshot, a_spec(mode=Mode.OBSERVE))

    assert (decision.reason, decision.desired_count, decision.steps) == (Reason.SCALE_OUT_COMPUTATION, 4, ())


@pytest.mark.parametrize(
    ("version", "words"),
    [(None, "unknown"), ("master-20240101-abcdef", "master"), ("2.2.16", "older than 2.3.0")],
)
def test_a_version_that_is_unknown_or_too_old(version: str | None, words: str) -> None:
    decision = decide_overloaded(replace(a_snapshot(2, cpu=0.9), milvus_version=version))

    assert decision.reason is Reason.VERSION_UNSUPPORTED
    assert words in decision.message


def test_a_node_of_unknown_identity_stops_everything() -> None:
    nodes = (a_node("qn-1", node_id=1, cpu=0.9), a_node("qn-2", node_id=None, cpu=0.9))

    assert decide_overloaded(a_snapshot(nodes)).reason is Reason.NODE_IDENTITY_UNKNOWN


@pytest.mark.parametrize("reason", list(FreezeReason))
def test_every_freeze_holds_everything(reason: FreezeReason) -> None:
    snapshot = replace(a_snapshot(2, cpu=0.9), freezes=(Freeze(reason=reason, message="since 30 s"),))

    decision = decide_overloaded(snapshot)

    assert (decision.reason, decision.message) == (Reason.FROZEN, f"{reason}: since 30 s")


def test_a_leaving_pod_freezes_by_itself() -> None:
    nodes = (*a_snapshot(2, cpu=0.9).query_nodes, a_node("qn-3", node_id=3, terminating=True))

    assert decide_overloaded(a_snapshot(nodes)).reason is Reason.FROZEN


@pytest.mark.parametrize(
    ("spec", "options", "withheld"),
    [
        pytest.param(a_spec(mode=Mode.OBSERVE), {}, Reason.OBSERVE_ONLY, id="mode Observe"),
        pytest.param(a_spec(paused=True), {}, Reason.PAUSED, id="paused"),
        pytest.param(a_spec(), {"read_only": True}, Reason.READ_ONLY, id="a read-only operator"),
    ],
)
def test_without_permission_it_says_what_it_would_do(
    spec: MilvusTuningSpec, options: dict[str, Any], withheld: Reason
) -> None:
    decision = decide_overloaded(spec=spec, **options)

    assert (decision.reason, decision.desired_count, decision.steps) == (Reason.SCALE_OUT_COMPUTATION, 4, ())
    assert "not done" in decision.message
    assert decision.rejected[-1].reason is withheld


def test_a_target_alone_changes_nothing() -> None:
    spec = MilvusTuningSpec.model_validate({"targetRef": {"kind": "HelmRelease", "name": "r"}, "mode": "Auto"})

    assert decide_overloaded(spec=spec) == Decision(
        reason=Reason.NOT_MANAGED,
        message="none of queryNodes, loadBalancing, inMemoryReplicas, network, storage, consistency and "
        "configOverrides is declared: there is nothing "
        "that this object would change",
    )


def test_settings_that_failed_a_moment_ago_let_the_size_have_its_turn() -> None:
    snapshot = replace(a_snapshot(2, cpu=0.9), milvus_version="2.5.27", settings_readable=True, etcd_root_path="by-dev")
    spec = a_spec(load_balancing={"balanceIntervalSeconds": 30})
    failed = a_finished_operation(ended_seconds_ago=60, outcome=Reason.UNDONE, kind=StepKind.SET_CONFIG)

    first = decide(spec, snapshot, a_history(snapshot), NOON)
    then = decide(spec, snapshot, a_history(snapshot, operations=[failed]), NOON)

    assert (first.reason, then.reason) == (Reason.SETTING_CHANGED, Reason.SCALE_OUT_COMPUTATION)
