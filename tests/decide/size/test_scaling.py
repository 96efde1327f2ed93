"""How many QueryNodes: size, limits, skew, windows and rest."""

from dataclasses import replace
from typing import Any

import pytest

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.decide import decide
from milvus_tuning.plan import Decision, Reason, Step, StepKind
from milvus_tuning.snapshot import Problem, ProblemKind, Sample, Snapshot, Traffic
from tests.builders import NOON, a_finished_operation, a_history, a_node, a_snapshot, a_spec, some_nodes


def decide_lasting(snapshot: Snapshot, spec: MilvusTuningSpec | None = None, **history: Any) -> Decision:
    """Decide after the cluster has looked like this for an hour (or for lasting_seconds)."""
    return decide(spec or a_spec(), snapshot, a_history(snapshot, **history), NOON)


@pytest.mark.parametrize(
    ("nodes", "cpu", "limits", "after"),
    [
        pytest.param(2, 0.9, {}, 4, id="2 at 90 % for a target of 50 % are 4"),
        pytest.param(2, 0.75, {}, 3, id="2 at 75 % are exactly 3"),
        pytest.param(4, 0.61, {}, 5, id="4 at 61 % are 5"),
        pytest.param(2, 1.0, {"scale_out": {"max_step": 1}}, 3, id="one at a time with maxStep 1"),
        pytest.param(3, 1.0, {"scale_out": {"max_step": 9}}, 6, id="as many as it takes with a large maxStep"),
        pytest.param(2, 1.0, {"max_count": 3}, 3, id="up to maxCount"),
        pytest.param(1, 0.9, {"min_count": 1}, 2, id="1 at 90 % are 2"),
    ],
)
def test_computation_decides_the_size(nodes: int, cpu: float, limits: dict[str, Any], after: int) -> None:
    decision = decide_lasting(a_snapshot(nodes, cpu=cpu), a_spec(**limits))

    assert (decision.reason, decision.desired_count) == (Reason.SCALE_OUT_COMPUTATION, after)
    assert decision.steps == (
        Step(
            kind=StepKind.SCALE_QUERY_NODES,
            precondition={"desiredCount": nodes},
            action={"count": after},
            verification={"servingCount": after, "deadlineSeconds": 900},
            undo={"count": nodes},
        ),
    )


def test_the_message_has_the_numbers() -> None:
    decision = decide_lasting(a_snapshot(2, cpu=0.9), lasting_seconds=150)

    assert decision.message == (
        "computation 90 % has been above 60 % for 150 s (window 120 s): "
        "2 -> 4 QueryNodes, 4 wanted for a target of 50 %"
    )


@pytest.mark.parametrize(
    ("memory", "lasting", "reason"),
    [
        pytest.param(0.85, 600, Reason.SCALE_OUT_CAPACITY, id="above 80 % for ten minutes"),
        pytest.param(0.85, 585, Reason.STABILIZING, id="not yet ten minutes"),
        pytest.param(1.0, 0, Reason.SCALE_OUT_CAPACITY, id="at 100 % at once"),
        pytest.param(0.8, 3600, Reason.STEADY, id="at the threshold is not above it"),
    ],
)
def test_capacity_waits_for_its_window_unless_it_is_at_its_limit(memory: float, lasting: float, reason: Reason) -> None:
    assert decide_lasting(a_snapshot(2, memory=memory), lasting_seconds=lasting).reason is reason


def test_the_signal_that_wants_more_nodes_leads() -> None:
    decision = decide_lasting(a_snapshot(4, cpu=0.65, memory=0.98), a_spec(max_count=9))

    assert decision.desired_count == 6
    assert decision.reason is Reason.SCALE_OUT_CAPACITY


def test_a_ratio_within_the_tolerance_of_the_target_changes_nothing() -> None:
    spec = a_spec(query_nodes={"computation_target_percent": 60, "tolerance_percent": 10})

    assert decide_lasting(a_snapshot(3, cpu=0.65), spec).reason is Reason.WITHIN_TOLERANCE


@pytest.mark.parametrize(
    ("cpus", "reason"),
    [
        pytest.param((0.9, 0.2, 0.2), Reason.SKEW_NOT_CAPACITY, id="one hot, the mean below"),
        pytest.param((0.95, 0.55, 0.55), Reason.SCALE_OUT_COMPUTATION, id="one hot, the mean above as well"),
        pytest.param((0.66, 0.56, 0.56), Reason.STEADY, id="above, but within the bound of the imbalance"),
        pytest.param((0.5, 0.1, 0.1), Reason.STEADY, id="skewed without being busy"),
    ],
)
def test_skew_comes_before_size(cpus: tuple[float, ...], reason: Reason) -> None:
    nodes = [a_node(f"qn-{number}", node_id=number, cpu=cpu) for number, cpu in enumerate(cpus, start=1)]

    assert decide_lasting(a_snapshot(nodes)).reason is reason


def test_growth_under_a_skew_names_the_skew() -> None:
    decision = decide_lasting(a_snapshot(3, cpu=0.6, hot="qn-2", hot_cpu=1.0))

    assert "qn-2 is 36 % above the mean" in decision.message


def test_the_bound_of_the_skew_is_an_objective() -> None:
    snapshot = a_snapshot(3, cpu=0.5, hot="qn-2", hot_cpu=0.7)

    strict = decide_lasting(snapshot, a_spec(objectives={"nodeImbalancePercent": 10}))
    lax = decide_lasting(snapshot, a_spec(objectives={"nodeImbalancePercent": 60}))

    assert (strict.reason, lax.reason) == (Reason.SKEW_NOT_CAPACITY, Reason.STEADY)


def test_at_the_maximum_the_wish_is_said() -> None:
    decision = decide_lasting(a_snapshot(6, cpu=0.9))

    assert (decision.reason, decision.limited, decision.steps) == (Reason.AT_MAXIMUM, Reason.AT_MAXIMUM, ())
    assert "11 QueryNodes wanted, maxCount is 6" in decision.message


@pytest.mark.parametrize(
    ("max_count", "max_step", "limited"), [(3, 2, Reason.AT_MAXIMUM), (9, 1, Reason.STEP_LIMITED), (9, 9, None)]
)
def test_what_cut_the_wish_down(max_count: int, max_step: int, limited: Reason | None) -> None:
    spec = a_spec(max_count=max_count, scale_out={"max_step": max_step})

    assert decide_lasting(a_snapshot(2, cpu=1.0), spec).limited is limited


@pytest.mark.parametrize(
    ("version", "nodes", "step", "after"),
    [
        pytest.param("2.3.5", 4, 4, 6, id="2.3.5: in pairs"),
        pytest.param("2.4.12", 4, 4, 6, id="2.4.12: in pairs"),
        pytest.param("2.4.13", 4, 4, 5, id="2.4.13 can change replicas live"),
        pytest.param("2.3.5", 4, 1, None, id="2.3.5: no pair within maxStep 1"),
    ],
)
def test_nodes_come_in_multiples_of_fixed_replicas(version: str, nodes: int, step: int, after: int | None) -> None:
    snapshot = replace(a_snapshot(nodes, cpu=0.61, replicas=2), milvus_version=version)

    decision = decide_lasting(snapshot, a_spec(max_count=8, scale_out={"max_step": step}))

    if after is None:
        assert (decision.reason, decision.steps) == (Reason.REPLICA_MULTIPLE, ())
    else:
        assert decision.desired_count == after


def test_fewer_than_the_minimum_is_corrected_at_once() -> None:
    decision = decide(a_spec(min_count=4), a_snapshot(2, cpu=0.1), a_history(a_snapshot(2), lasting_seconds=0), NOON)

    assert (decision.reason, decision.desired_count) == (Reason.BELOW_MINIMUM, 4)


def test_more_than_the_maximum_leaves_one_at_a_time_without_a_window() -> None:
    snapshot = a_snapshot(6, cpu=0.3, memory=0.3)

    decision = decide_lasting(snapshot, a_spec(max_count=4), lasting_seconds=0)

    assert (decision.reason, decision.desired_count, len(decision.steps)) == (Reason.ABOVE_MAXIMUM, 5, 2)


@pytest.mark.parametrize(
    ("cpu", "ended", "reason"),
    [
        pytest.param(0.9, 299, Reason.COOLDOWN, id="out rests five minutes"),
        pytest.param(0.9, 300, Reason.SCALE_OUT_COMPUTATION, id="out after five minutes"),
        pytest.param(0.1, 599, Reason.COOLDOWN, id="in rests ten minutes"),
        pytest.param(0.1, 600, Reason.SCALE_IN, id="in after ten minutes"),
    ],
)
def test_a_change_of_size_is_followed_by_a_rest(cpu: float, ended: float, reason: Reason) -> None:
    past = a_finished_operation(ended_seconds_ago=ended)

    assert decide_lasting(a_snapshot(3, cpu=cpu, memory=0.25), operations=[past]).reason is reason


def test_a_change_of_a_setting_is_followed_by_no_rest() -> None:
    past = a_finished_operation(ended_seconds_ago=10, kind=StepKind.SET_CONFIG)

    assert decide_lasting(a_snapshot(2, cpu=0.9), operations=[past]).reason is Reason.SCALE_OUT_COMPUTATION


def test_a_changed_size_starts_the_windows_anew() -> None:
    before, now = a_snapshot(2, cpu=0.9), a_snapshot(3, cpu=0.9)

    assert decide(a_spec(), now, a_history(before), NOON).reason is Reason.STABILIZING


def test_nothing_to_do_says_why_neither_way() -> None:
    decision = decide_lasting(a_snapshot(3))

    assert (decision.reason, decision.desired_count, decision.steps) == (Reason.STEADY, 3, ())
    assert [rejection.alternative for rejection in decision.rejected] == ["ScaleOut 3 -> 4", "ScaleIn 3 -> 2"]
    assert decision.inputs["computationRatio"] == pytest.approx(0.5)


def test_an_unmeasured_latency_of_an_idle_cluster_is_in_nobodys_way() -> None:
    snapshot = replace(a_snapshot(3, cpu=0.01, memory=0.25), traffic=Traffic(p99_milliseconds=Sample.missing()))

    assert decide_lasting(snapshot).reason is Reason.SCALE_IN


@pytest.mark.parametrize(
    ("missing", "reason", "after"),
    [
        pytest.param(1, Reason.SCALE_OUT_COMPUTATION, 5, id="three of four: 3 x 0.9 over 4 nodes is still 68 %"),
        pytest.param(2, Reason.METRICS_MISSING, 4, id="two of four are no majority"),
        pytest.param(4, Reason.METRICS_MISSING, 4, id="none"),
    ],
)
def test_an_increase_may_rest_on_a_majority(missing: int, reason: Reason, after: int) -> None:
    blind = tuple(replace(node, cpu_cores=Sample.missing()) for node in some_nodes(missing, cpu=0.9))
    seen = some_nodes(4, cpu=0.9)[missing:]

    decision = decide_lasting(a_snapshot((*blind, *seen)), a_spec(max_count=5))

    assert (decision.reason, decision.desired_count) == (reason, after)


def test_an_increase_must_hold_even_if_the_unseen_node_were_idle() -> None:
    """3 x 0.75 over 4 nodes is 56 %: not certainly above 60 %."""
    nodes = some_nodes(4, cpu=0.75)
    blind = replace(nodes[0], cpu_cores=Sample.missing())

    assert decide_lasting(a_snapshot((blind, *nodes[1:]))).reason is Reason.METRICS_MISSING


def test_signals_of_a_part_of_the_nodes_fill_no_window_of_a_decrease() -> None:
    snapshot = a_snapshot(3, cpu=0.1, memory=0.25)
    whole = a_history(snapshot)
    partial = replace(whole, signals=tuple(replace(one, computation_coverage=0.9) for one in whole.signals))

    assert decide(a_spec(), snapshot, whole, NOON).reason is Reason.SCALE_IN
    assert decide(a_spec(), snapshot, partial, NOON).reason is Reason.STABILIZING


def test_a_skew_that_has_become_an_overload_waits_for_its_window() -> None:
    before, now = a_snapshot(3, cpu=0.2, hot="qn-2"), a_snapshot(3, cpu=0.55, hot="qn-2")

    assert decide(a_spec(), before, a_history(before), NOON).reason is Reason.SKEW_NOT_CAPACITY
    assert decide(a_spec(), now, a_history(before), NOON).reason is Reason.STABILIZING


def test_a_problem_of_the_metrics_is_told_in_its_own_words() -> None:
    problem = Problem(kind=ProblemKind.METRICS_MISSING, message="no series process_resident_memory_bytes")
    snapshot = replace(a_snapshot(3, cpu=None, memory=None), problems=(problem,))

    decision = decide_lasting(snapshot)

    assert decision.reason is Reason.METRICS_MISSING
    assert problem.message in decision.message


def test_capacity_alone_may_add_a_node_while_computation_is_unknown() -> None:
    assert decide_lasting(a_snapshot(2, cpu=None, memory=0.9)).reason is Reason.SCALE_OUT_CAPACITY


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cpu_cores": Sample.missing()}, Reason.METRICS_MISSING),
        ({"cpu_cores": Sample(value=0.1, age_seconds=90.0)}, Reason.METRICS_STALE),
        ({"loaded_bytes": Sample(value=1e9, coverage=0.5)}, Reason.METRICS_MISSING),
    ],
)
def test_one_unusable_number_keeps_every_node(changes: dict[str, Sample], reason: Reason) -> None:
    nodes = some_nodes(3, cpu=0.1, memory=0.25)
    blind = replace(nodes[0], **changes)  # type: ignore[arg-type]

    decision = decide(a_spec(), a_snapshot((blind, *nodes[1:])), a_history(a_snapshot(nodes)), NOON)

    assert (decision.reason, decision.steps) == (reason, ())
    assert "qn-1" in decision.message
