"""On whose word a plan runs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from milvus_tuning.api import MilvusTuningSpec, Mode
from milvus_tuning.decide.proposing.approval import automatic_obstacle, granted, nodes_added
from milvus_tuning.plan import Ballot, Change, Plan, Prediction, Reason, Risk, Step, StepKind, Vote
from tests.builders import NOON, a_spec
from tests.decide.steps import a_key, a_restart


def a_resize(before: int = 2, after: int = 3) -> Step:
    """A change of the number of QueryNodes."""
    return Step(
        kind=StepKind.SCALE_QUERY_NODES,
        precondition={"desiredCount": before},
        action={"count": after},
        verification={"servingCount": after},
        undo={"count": before},
    )


A_SETTING = Step(
    kind=StepKind.SET_CONFIG,
    precondition={"key": "k", "value": None},
    action={"key": "k", "value": "1"},
    verification={"key": "k", "value": "1"},
    undo={"key": "k", "value": None},
)


def a_change(**changes: Any) -> Change:
    """One QueryNode more, of risk Medium."""
    fields: dict[str, Any] = {
        "policy_name": "rag",
        "policy_uid": "uid-of-rag",
        "policy_generation": 1,
        "intent_digest": "intent",
        "inputs_digest": "inputs",
        "target": "Deployment milvus/my-release-milvus-querynode",
        "sequence": 1,
        "reason": Reason.SCALE_OUT_COMPUTATION,
        "message": "2 -> 3 QueryNodes",
        "steps": (a_resize(),),
        "risk": Risk.MEDIUM,
        "risk_reasons": ("a QueryNode more",),
        "prediction": Prediction(node_count_before=2, node_count_after=3),
        "proposed_at": NOON,
        "expires_at": NOON + timedelta(hours=1),
        **changes,
    }
    return Change(**fields)


def a_plan(ballot: Ballot | None = None, **changes: Any) -> Plan:
    """Plan rag-1 with this change."""
    return Plan(name="rag-1", change=a_change(**changes), ballot=ballot)


def a_policy(
    mode: Mode = Mode.AUTO, *, approved_plans: list[str] | None = None, windows: list[str] | None = None, **bounds: Any
) -> MilvusTuningSpec:
    """A policy with these bounds; windows are the actions that one at 02:00 UTC allows."""
    night = {"name": "night", "schedule": "0 2 * * *", "durationMinutes": 60, "allows": windows}
    return a_spec(
        mode=mode,
        approval={"automatic": bounds, "approved_plans": approved_plans},
        maintenance_windows=[night] if windows else None,
    )


def obstacle(change: Change, spec: MilvusTuningSpec, **facts: Any) -> str | None:
    """What is in the way at noon, with the admission policy in force and nothing begun within the hour."""
    return automatic_obstacle(
        change, spec, **{"started_within_hour": 0, "admission_enforced": True, "now": NOON, **facts}
    )


def word(plan: Plan, spec: MilvusTuningSpec, **facts: Any) -> str | None:
    """On whose word it runs, in the same circumstances."""
    return granted(plan, spec, **{"started_within_hour": 0, "admission_enforced": True, "now": NOON, **facts})


HIGH = {"risk": Risk.HIGH, "risk_reasons": ("a QueryNode less", "it holds a shard leader")}


@pytest.mark.parametrize(
    ("change", "spec", "facts", "expected"),
    [
        pytest.param({}, a_policy(), {}, None, id="within all bounds"),
        pytest.param({}, a_spec(), {}, None, id="within the bounds that hold without a declaration"),
        pytest.param({}, a_policy(Mode.PROPOSE), {}, "mode is Propose", id="mode Propose"),
        pytest.param({}, a_policy(Mode.OBSERVE), {}, "mode is Observe", id="mode Observe"),
        pytest.param(
            {},
            a_policy(),
            {"admission_enforced": False},
            "the admission policy that guards approvals is not in force, and mode Auto is off without it: install it "
            "with the chart on Kubernetes 1.30 or newer, or approve the plan",
            id="nobody guards who approves",
        ),
        pytest.param(
            HIGH,
            a_policy(),
            {},
            "risk High is above maxRisk Medium: a QueryNode less, it holds a shard leader",
            id="risk above the bound",
        ),
        pytest.param(HIGH, a_policy(max_risk="High"), {}, None, id="risk at the bound"),
        pytest.param(
            {}, a_policy(max_risk="Low"), {}, "risk Medium is above maxRisk Low: a QueryNode more", id="a lower bound"
        ),
        pytest.param({"risk": Risk.LOW}, a_policy(max_risk="Low"), {}, None, id="Low is within Low"),
        pytest.param({"steps": (a_resize(2, 4),)}, a_policy(), {}, None, id="as many nodes as the bound"),
        pytest.param(
            {"steps": (a_resize(2, 5),)}, a_policy(), {}, "adds 3 QueryNodes, maxNodesAdded is 2", id="more nodes"
        ),
        pytest.param({}, a_policy(max_nodes_added=0), {}, "adds 1 QueryNode, maxNodesAdded is 0", id="none at all"),
        pytest.param({"steps": (a_resize(9, 2),)}, a_policy(max_nodes_added=0), {}, None, id="fewer nodes add none"),
        pytest.param(
            {"prediction": Prediction(moved_segments=40)},
            a_policy(max_moves=8),
            {},
            "moves 40 segments, maxMoves is 8",
            id="more moves than the bound",
        ),
        pytest.param({"prediction": Prediction(moved_segments=8)}, a_policy(max_moves=8), {}, None, id="as many moves"),
        pytest.param({"prediction": Prediction(moved_segments=40)}, a_policy(), {}, None, id="moves without a bound"),
        pytest.param({}, a_policy(), {"started_within_hour": 5}, None, id="one fewer than the actions per hour"),
        pytest.param(
            {},
            a_policy(),
            {"started_within_hour": 6},
            "6 plans were begun within the hour, maxActionsPerHour is 6",
            id="as many as the actions per hour",
        ),
        pytest.param(
            {},
            a_policy(windows=["ScaleOut"]),
            {},
            "ScaleOut waits for maintenance window night, which opens at 2026-01-06T02:00+00:00 (UTC)",
            id="a closed window",
        ),
        pytest.param(
            {},
            a_policy(windows=["ScaleOut"]),
            {"now": datetime(2026, 1, 5, 2, 30, tzinfo=UTC)},
            None,
            id="an open window",
        ),
        pytest.param({}, a_policy(windows=["ScaleIn"]), {}, None, id="a window for something else"),
        pytest.param(
            {**HIGH, "steps": (a_resize(2, 5),), "prediction": Prediction(moved_segments=9)},
            a_policy(max_moves=8, windows=["ScaleOut"]),
            {"started_within_hour": 7},
            "risk High is above maxRisk Medium: a QueryNode less, it holds a shard leader; adds 3 QueryNodes, "
            "maxNodesAdded is 2; moves 9 segments, maxMoves is 8; 7 plans were begun within the hour, "
            "maxActionsPerHour is 6; ScaleOut waits for maintenance window night, which opens at "
            "2026-01-06T02:00+00:00 (UTC)",
            id="every bound is named",
        ),
        pytest.param(
            {"steps": (replace(a_key(), action={**a_key().action, "evidence": "inferred"}),), "risk": Risk.LOW},
            a_policy(max_risk="High"),
            {},
            "what querycoord.autobalanceinterval does is inferred, not read or run: a person must approve",
            id="a key by inference, whatever risk is allowed",
        ),
        pytest.param(
            {"steps": (replace(a_restart(), action={**a_restart().action, "keys": "a.b", "evidence": "inferred"}),)},
            a_policy(max_risk="High"),
            {},
            "what a.b does is inferred, not read or run: a person must approve",
            id="a restart alone for such a key",
        ),
        pytest.param({"steps": (a_key(),), "risk": Risk.LOW}, a_policy(), {}, None, id="a key that was read or run"),
    ],
)
def test_a_plan_beyond_a_bound_waits_for_a_person(
    change: dict[str, Any], spec: MilvusTuningSpec, facts: dict[str, Any], expected: str | None
) -> None:
    assert obstacle(a_change(**change), spec, **facts) == expected
    assert (word(a_plan(**change), spec, **facts) is None) is (expected is not None)


APPROVED = Ballot(vote=Vote.APPROVED, by="alice")
PROPOSE, LISTED = a_policy(Mode.PROPOSE), a_policy(Mode.PROPOSE, approved_plans=["rag-0", "rag-1"])


@pytest.mark.parametrize(
    ("ballot", "spec", "facts", "expected"),
    [
        pytest.param(None, PROPOSE, {}, None, id="nobody"),
        pytest.param(APPROVED, PROPOSE, {}, "spec.approval by alice", id="a person on the plan"),
        pytest.param(Ballot(vote=Vote.APPROVED), PROPOSE, {}, "spec.approval", id="a person who gives no name"),
        pytest.param(None, LISTED, {}, "listed in spec.approval.approvedPlans of the policy", id="Git"),
        pytest.param(None, a_policy(Mode.PROPOSE, approved_plans=["rag-2"]), {}, None, id="Git names another plan"),
        pytest.param(
            None,
            a_policy(),
            {},
            "automatic: risk Medium within maxRisk Medium, 1 QueryNode added within maxNodesAdded 2",
            id="automatic",
        ),
        pytest.param(APPROVED, LISTED, {}, "spec.approval by alice", id="the plan's own word comes first"),
        pytest.param(APPROVED, a_policy(), {}, "spec.approval by alice", id="a person before the bounds"),
        pytest.param(Ballot(vote=Vote.REJECTED), LISTED, {}, None, id="rejected beats Git"),
        pytest.param(Ballot(vote=Vote.REJECTED), a_policy(), {}, None, id="rejected beats the bounds"),
        pytest.param(Ballot(vote=Vote.CANCELLED), LISTED, {}, None, id="cancelled beats Git"),
        pytest.param(Ballot(vote=Vote.CANCELLED), a_policy(), {}, None, id="cancelled beats the bounds"),
        pytest.param(
            APPROVED,
            a_policy(windows=["ScaleOut"]),
            {"started_within_hour": 9, "admission_enforced": False},
            "spec.approval by alice",
            id="a person waits for no bound",
        ),
        pytest.param(
            None,
            a_policy(approved_plans=["rag-1"], windows=["ScaleOut"]),
            {"started_within_hour": 9, "admission_enforced": False},
            "listed in spec.approval.approvedPlans of the policy",
            id="nor does Git",
        ),
    ],
)
def test_a_plan_runs_on_a_word(
    ballot: Ballot | None, spec: MilvusTuningSpec, facts: dict[str, Any], expected: str | None
) -> None:
    assert word(a_plan(ballot), spec, **facts) == expected


def test_an_automatic_approval_names_the_bounds_that_it_touches() -> None:
    setting: dict[str, Any] = {"steps": (A_SETTING,), "risk": Risk.LOW, "prediction": Prediction(moved_segments=3)}

    assert word(a_plan(**setting), a_policy(max_moves=8)) == (
        "automatic: risk Low within maxRisk Medium, 3 segments moved within maxMoves 8"
    )
    assert word(a_plan(**setting), a_policy()) == "automatic: risk Low within maxRisk Medium"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param((a_resize(2, 5),), 3, id="more"),
        pytest.param((a_resize(5, 4),), 0, id="fewer"),
        pytest.param((A_SETTING,), 0, id="a setting"),
        pytest.param((a_resize(2, 3), A_SETTING, a_resize(3, 5)), 3, id="twice"),
    ],
)
def test_added_nodes_are_counted_from_the_steps(steps: tuple[Step, ...], expected: int) -> None:
    assert nodes_added(a_change(steps=steps)) == expected
