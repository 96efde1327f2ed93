"""Plans from decisions: what a plan is named, and what it holds."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.api import MOST_DECLARED_CHARACTERS, MilvusTuningSpec, Mode
from milvus_tuning.decide import decide
from milvus_tuning.decide.load import signal
from milvus_tuning.decide.proposing.proposal import (
    MOST_NAME_CHARACTERS,
    declared_text,
    inputs_digest,
    intent_digest,
    plan_name,
    propose,
    same_change,
    steps_digest,
)
from milvus_tuning.plan import Course, Phase, Plan, Risk, Step
from tests.builders import NOON, a_history, a_snapshot, a_spec
from tests.decide.proposing.proposal_cases import (
    BUSY,
    SPEC,
    STEPS,
    SUBDOMAIN,
    UID,
    a_decision,
    a_plan,
    as_stored,
)
from tests.decide.steps import (
    HAND_BACK,
    INTERVAL,
    PLACEMENT_KEY,
    TAKE,
    a_key,
    a_scale,
    a_scale_in,
)

# -- digests and names ------------------------------------------------------------------------------------------------


def test_the_digest_of_an_intent_is_the_same_in_every_version_of_the_operator() -> None:
    """A changed value here turns every waiting plan stale when the operator is upgraded."""
    spec = MilvusTuningSpec.model_validate(
        {
            "targetRef": {"kind": "HelmRelease", "name": "my-release"},
            "connections": {"prometheus": {"url": "http://prometheus:9090"}},
            "queryNodes": {"minCount": 2, "maxCount": 6},
        }
    )

    assert intent_digest(spec) == "16fbb532e3fbea8d"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"mode": Mode.PROPOSE}, id="mode"),
        pytest.param({"paused": True}, id="paused"),
        pytest.param({"approval": {"approvedPlans": ["rag-0123456789"], "expiryMinutes": 5}}, id="approval"),
        pytest.param({"verification": {"windowSeconds": 60}}, id="verification"),
        pytest.param(
            {
                "maintenance_windows": [
                    {"name": "n", "schedule": "0 2 * * *", "durationMinutes": 60, "allows": ["ScaleIn"]}
                ]
            },
            id="maintenance windows",
        ),
        pytest.param({"profile": {"name": "RAG", "revision": 1}}, id="a profile, which only proposes"),
        pytest.param({"scale_in": {"capacity_below_percent": 60}}, id="a default written out"),
    ],
)
def test_what_only_says_whether_and_when_is_no_part_of_the_intent(changes: dict[str, Any]) -> None:
    assert intent_digest(a_spec(**changes)) == intent_digest(SPEC)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"max_count": 7}, id="a bound"),
        pytest.param({"scale_out": {"max_step": 3}}, id="a rule"),
        pytest.param(
            {"query_nodes": {"override": {"count": 4, "expiresAt": "2026-01-05T13:00:00Z"}}}, id="an override"
        ),
        pytest.param({"objectives": {"nodeImbalancePercent": 30}}, id="an objective"),
        pytest.param({"load_balancing": {"balanceIntervalSeconds": 60}}, id="a setting"),
        pytest.param({"consistency": {"stalenessMilliseconds": 0}}, id="consistency"),
        pytest.param({"connections": {"prometheus": {"url": "http://other:9090"}}}, id="where it is measured"),
        pytest.param({"target_ref": {"kind": "HelmRelease", "name": "other"}}, id="the target"),
    ],
)
def test_what_a_change_is_decided_from_is_part_of_the_intent(changes: dict[str, Any]) -> None:
    assert intent_digest(a_spec(**changes)) != intent_digest(SPEC)


def test_each_field_of_the_spec_is_known_to_be_intent_or_not() -> None:
    """A new field lands in the digest by itself; whether that is right is to be said here."""
    intent = {"target_ref", "connections", "objectives", "query_nodes", "load_balancing", "consistency"}
    intent |= {"in_memory_replicas", "network", "storage", "config_overrides", "config_delivery"}
    permission = {"mode", "paused", "approval", "verification", "maintenance_windows"}
    proposals = {"profile"}

    assert set(MilvusTuningSpec.model_fields) == intent | permission | proposals


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        pytest.param({"a": 0.70012}, {"a": 0.70049}, True, id="noise below three digits"),
        pytest.param({"a": 0.701}, {"a": 0.702}, False, id="the third digit"),
        pytest.param({"a": 12_345.0}, {"a": 12_349.0}, True, id="three digits of a large number"),
        pytest.param({"a": 1, "b": None}, {"b": None, "a": 1}, True, id="order"),
        pytest.param({"a": None}, {"a": 0}, False, id="missing is not zero"),
        pytest.param({"a": 1001}, {"a": 1002}, False, id="whole numbers count in full"),
        pytest.param({"a": float("nan")}, {"a": float("nan")}, True, id="not a number"),
    ],
)
def test_inputs_are_equal_to_three_digits(left: dict[str, Any], right: dict[str, Any], equal: bool) -> None:
    assert (inputs_digest(a_decision(inputs=left)) == inputs_digest(a_decision(inputs=right))) is equal


def named(policy: str = "rag", **changes: Any) -> str:
    given_: dict[str, Any] = {"steps": (a_scale(2, 3),), "policy_uid": UID, "generation": 3, "sequence": 7}
    return plan_name(policy, **{**given_, **changes})


DECLARING: dict[str, Any] = {
    "load_balancing": {"balanceIntervalSeconds": 60},
    "network": {"compression": "Enabled"},
    "storage": {"cache": {"reservedMemory": "8Gi"}},
    "consistency": {"collections": [{"name": "produkte-ä", "level": "Strong"}]},
    "config_overrides": {"queryCoord.taskExecutionCap": "128"},
    "query_nodes": {"readConcurrencyPercent": 200, "zonePreference": "WithProxies"},
    "config_delivery": "Etcd",
    "in_memory_replicas": {"maxCount": 3},
    "profile": {"name": "RAG", "revision": 1},
}


def test_a_plan_keeps_what_was_declared_of_the_configuration_and_nothing_else() -> None:
    assert json.loads(declared_text(a_spec(**DECLARING)) or "") == {
        "loadBalancing": {"balanceIntervalSeconds": 60},
        "network": {"compression": "Enabled"},
        "storage": {"cache": {"reservedMemory": "8Gi", "usablePercent": 70}},
        "consistency": {"collections": [{"database": "default", "name": "produkte-ä", "level": "Strong"}]},
        "configOverrides": {"queryCoord.taskExecutionCap": "128"},
        "queryNodes": {"readConcurrencyPercent": 200, "zonePreference": "WithProxies"},
        "configDelivery": "Etcd",
    }


def test_where_nothing_is_declared_the_record_says_so() -> None:
    assert declared_text(SPEC) == "{}"


@pytest.mark.parametrize(("length", "kept"), [(900, True), (1024, False)])
def test_a_record_that_is_too_long_is_not_kept(length: int, kept: bool) -> None:
    overrides = {f"queryCoord.key{number}": "x" * length for number in range(16)}
    text = declared_text(a_spec(config_overrides=overrides))
    assert (text is not None) is kept
    assert text is None or len(text.encode()) <= MOST_DECLARED_CHARACTERS


def test_what_else_is_declared_makes_a_plan_of_the_same_steps_no_other_one() -> None:
    plain, declaring = a_plan((a_scale(2, 3),), BUSY), a_plan((a_scale(2, 3),), BUSY, a_spec(**DECLARING))
    assert (plain.change.declared, declaring.change.declared) == ("{}", declared_text(a_spec(**DECLARING)))
    assert declaring.name == plain.name
    assert same_change(declaring.change.steps, plain.change.steps)
    assert replace(plain.change, declared=declaring.change.declared) == plain.change


def test_the_name_of_a_plan_is_the_policys_and_ten_hex_characters() -> None:
    assert re.fullmatch(r"rag-[0-9a-f]{10}", named())


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"sequence": 8}, id="sequence"),
        pytest.param({"generation": 4}, id="generation"),
        pytest.param({"policy_uid": "another"}, id="uid"),
        pytest.param({"steps": (a_scale(2, 4),)}, id="steps"),
        pytest.param({"steps": (a_scale(2, 3, deadlineSeconds=60),)}, id="a part of a step"),
    ],
)
def test_another_plan_has_another_name(changes: dict[str, Any]) -> None:
    assert named(**changes) != named()


def test_noise_in_what_was_measured_names_no_other_plan() -> None:
    """The same change from other numbers; the digest of the inputs tells them apart."""
    noisy = a_snapshot(2, cpu=0.93)
    calm, restless = (
        propose(
            decide(SPEC, seen, a_history(seen), NOON),
            spec=SPEC,
            snapshot=seen,
            signal=signal(seen, NOON),
            policy_name="rag",
            policy_uid=UID,
            generation=3,
            sequence=7,
            now=at,
        )
        for seen, at in ((BUSY, NOON), (noisy, NOON + timedelta(seconds=40)))
    )

    assert calm.name == restless.name
    assert calm.change.inputs_digest != restless.change.inputs_digest


@given(st.from_regex(SUBDOMAIN, fullmatch=True).map(lambda name: (name * 40)[:253].rstrip("-.")), st.integers(1, 9))
def test_every_name_is_one_that_kubernetes_takes(policy: str, sequence: int) -> None:
    name = named(policy, sequence=sequence)

    assert len(name) <= MOST_NAME_CHARACTERS
    assert SUBDOMAIN.fullmatch(name)


@pytest.mark.parametrize("ending", [".", "-", "-.", "a"])
def test_a_name_that_is_cut_at_a_dot_stays_a_name(ending: str) -> None:
    policy = ("a" * (242 - len(ending)) + ending).ljust(253, "b")

    assert SUBDOMAIN.fullmatch(named(policy))
    assert len(named(policy)) == MOST_NAME_CHARACTERS - (len(ending) if ending != "a" else 0)


@given(st.lists(st.sampled_from(STEPS), max_size=4))
def test_steps_have_the_digest_of_their_stored_form(steps: list[Step]) -> None:
    assert steps_digest(steps) == steps_digest([as_stored(step) for step in steps])


@pytest.mark.parametrize("part", [one.name for one in fields(Step) if one.name != "kind"])
def test_each_part_of_a_step_counts_and_absent_is_not_empty(part: str) -> None:
    changes: list[dict[str, Any]] = [{part: {"key": "a", "value": value}} for value in ("1", "2", "", None)]
    digests = {steps_digest((replace(INTERVAL, **change),)) for change in changes}

    assert len(digests) == 4


# -- what a change aims at --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        pytest.param((), (), True, id="nothing"),
        pytest.param((a_scale(2, 3),), (a_scale(2, 3, deadlineSeconds=60),), True, id="another deadline"),
        pytest.param((a_scale(2, 3),), (a_scale("2", "3"),), True, id="the stored form"),
        pytest.param((a_scale(2, 3),), (a_scale(2, 4),), False, id="another count"),
        pytest.param((a_scale(2, 3),), (a_scale(1, 3),), False, id="from another count"),
        pytest.param((a_scale(2, 3),), (a_scale(3, 2),), False, id="the opposite"),
        pytest.param(a_scale_in(pod="qn-1"), a_scale_in(pod="qn-2"), True, id="another victim"),
        pytest.param(a_scale_in(3), a_scale_in(4), False, id="another size with a drain"),
        pytest.param(a_scale_in(), a_scale_in()[1:], False, id="without the drain"),
        pytest.param(a_scale_in(), a_scale_in()[::-1], False, id="in another order"),
        pytest.param((INTERVAL,), (a_key(before="5"),), True, id="from another value"),
        pytest.param((INTERVAL,), (a_key("queryCoord/autoBalanceInterval"),), True, id="another spelling of the key"),
        pytest.param((INTERVAL,), (a_key(after="40000"),), False, id="another value"),
        pytest.param((INTERVAL,), (a_key(after=None),), False, id="removed"),
        pytest.param((INTERVAL,), (a_key("querycoord.balanceintervalseconds"),), False, id="another key"),
        pytest.param((TAKE,), (a_key(PLACEMENT_KEY, after="false"),), False, id="another kind"),
        pytest.param((TAKE,), (HAND_BACK,), False, id="taken and handed back"),
        pytest.param((INTERVAL,), (INTERVAL, TAKE), False, id="one step more"),
    ],
)
def test_two_changes_are_the_same_when_they_aim_at_the_same(
    left: Sequence[Step], right: Sequence[Step], same: bool
) -> None:
    assert same_change(left, right) is same
    assert same_change(right, left) is same


@given(st.lists(st.sampled_from(STEPS), max_size=4), st.lists(st.sampled_from(STEPS), max_size=4))
def test_sameness_is_reflexive_and_symmetric(left: list[Step], right: list[Step]) -> None:
    assert same_change(left, [as_stored(step) for step in left])
    assert same_change(left, right) is same_change(right, left)


# -- proposing --------------------------------------------------------------------------------------------------------


def test_a_proposal_holds_the_decision_and_what_it_was_made_from() -> None:
    decision, now = decide(SPEC, BUSY, a_history(BUSY), NOON), NOON + timedelta(microseconds=1)
    plan = propose(
        decision,
        spec=SPEC,
        snapshot=BUSY,
        signal=signal(BUSY, NOON),
        policy_name="rag",
        policy_uid=UID,
        generation=3,
        sequence=7,
        now=now,
    )
    change = plan.change

    assert plan == Plan(name=named(steps=decision.steps), change=change)
    assert plan.course == Course(phase=Phase.PROPOSED)
    assert (change.policy_name, change.policy_uid, change.policy_generation, change.sequence) == ("rag", UID, 3, 7)
    assert (change.reason, change.message, change.steps) == (decision.reason, decision.message, decision.steps)
    assert (change.intent_digest, change.inputs_digest) == (intent_digest(SPEC), inputs_digest(decision))
    assert change.target == "Deployment milvus/my-release-milvus-querynode"
    assert (change.risk, len(change.risk_reasons)) == (Risk.MEDIUM, 1)
    assert (change.prediction.node_count_before, change.prediction.node_count_after) == (2, 4)
    assert (change.proposed_at, change.expires_at) == (NOON, NOON + timedelta(minutes=60))


def test_a_plan_expires_as_the_policy_says() -> None:
    plan = a_plan((a_scale(2, 3),), BUSY, a_spec(approval={"expiryMinutes": 5}))

    assert plan.change.expires_at == NOON + timedelta(minutes=5)


def test_a_decision_without_steps_or_owner_is_not_proposed() -> None:
    with pytest.raises(ValueError, match="without steps"):
        a_plan((), BUSY)
    with pytest.raises(ValueError, match="owner"):
        a_plan((a_scale(2, 3),), replace(BUSY, workload=None))
