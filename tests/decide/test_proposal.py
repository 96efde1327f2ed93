"""Plans from decisions: what a plan is named, what it holds, and when it is no longer the one to run."""

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
from milvus_tuning.catalogue import normalised
from milvus_tuning.decide import decide
from milvus_tuning.decide.load import signal
from milvus_tuning.decide.proposal import (
    MOST_NAME_CHARACTERS,
    WANTS_NONE,
    declared_text,
    inputs_digest,
    intent_digest,
    plan_name,
    propose,
    same_change,
    staleness,
    steps_digest,
)
from milvus_tuning.decide.readback import Sight, look
from milvus_tuning.plan import Course, Decision, Parameters, Phase, Plan, Reason, Risk, Step
from milvus_tuning.snapshot import (
    EtcdSetting,
    Freeze,
    FreezeReason,
    OwnedKey,
    Problem,
    ProblemKind,
    Snapshot,
)
from tests.builders import NOON, a_history, a_snapshot, a_spec
from tests.decide.steps import (
    HAND_BACK,
    INTERVAL,
    INTERVAL_KEY,
    PLACEMENT_KEY,
    TAKE,
    a_drain,
    a_key,
    a_move,
    a_replica_change,
    a_scale,
    a_scale_in,
    moved_segments,
)

UID = "6f1a2c9e-0b1d-4a55-9c1e-2f6d3e8b7a10"
SPEC = a_spec()
SETTINGS_SPEC = a_spec(load_balancing={"balanceIntervalSeconds": 30})
BUSY = a_snapshot(2, cpu=0.9)
IDLE = a_snapshot(3, cpu=0.1, memory=0.25)
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
STEPS = (a_scale(2, 3), a_scale(2, 4), *a_scale_in(), a_drain("qn-1"), INTERVAL, TAKE, HAND_BACK)


def a_decision(*steps: Step, reason: Reason = Reason.STEADY, **changes: Any) -> Decision:
    return Decision(reason=reason, message=f"because of {reason}", steps=steps, **changes)


def a_plan(steps: Sequence[Step], snapshot: Snapshot, spec: MilvusTuningSpec = SPEC) -> Plan:
    """A plan that was proposed from this snapshot at noon."""
    return propose(
        a_decision(*steps, reason=Reason.SCALE_OUT_COMPUTATION),
        spec=spec,
        snapshot=snapshot,
        signal=signal(snapshot, NOON),
        policy_name="rag",
        policy_uid=UID,
        generation=3,
        sequence=7,
        now=NOON,
    )


def with_key(value: str | None, key: str = INTERVAL_KEY, **changes: Any) -> Snapshot:
    """Two QueryNodes of a Milvus that reads the balance interval live, and what etcd holds."""
    entry = {} if value is None else {key: EtcdSetting(key=key, value=value, spellings=(key,), revision=1)}
    settings = {normalised(name): setting for name, setting in entry.items()}
    reading = {"settings_readable": True, "etcd_root_path": "by-dev", "milvus_version": "2.5.27"}
    return replace(a_snapshot(2), settings=settings, **{**reading, **changes})


def with_victim(snapshot: Snapshot = IDLE, **changes: Any) -> Snapshot:
    nodes = [replace(node, **changes) if node.pod == "qn-2" else node for node in snapshot.query_nodes]
    return replace(snapshot, query_nodes=tuple(nodes))


def asked_for(snapshot: Snapshot, count: int) -> Snapshot:
    assert snapshot.workload is not None
    return replace(snapshot, workload=replace(snapshot.workload, desired_count=count))


def as_stored(step: Step) -> Step:
    """With its numbers as text, as the API keeps them."""

    def text(part: Parameters) -> Parameters:
        return {name: None if value is None else str(value) for name, value in part.items()}

    return Step(
        kind=step.kind,
        precondition=text(step.precondition),
        action=text(step.action),
        verification=text(step.verification),
        undo=text(step.undo),
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
    "query_nodes": {"readConcurrencyPercent": 200},
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
        "queryNodes": {"readConcurrencyPercent": 200},
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


# -- staleness --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "seen", "sight", "words"),
    [
        pytest.param((a_scale(2, 3),), BUSY, Sight.BEFORE, None, id="the count it starts from"),
        pytest.param((a_scale(2, 3),), asked_for(BUSY, 3), Sight.AFTER, "already", id="the count it asks for"),
        pytest.param((a_scale(2, 3),), asked_for(BUSY, 5), Sight.FOREIGN, "somebody else", id="another count"),
        pytest.param((a_scale(2, 3),), replace(BUSY, workload=None), Sight.UNKNOWN, None, id="no owner to be read"),
        pytest.param(a_scale_in(), IDLE, Sight.BEFORE, None, id="the victim as it was"),
        pytest.param(a_scale_in(), with_victim(deletion_cost=-1000), Sight.AFTER, None, id="marked already"),
        pytest.param(a_scale_in(), with_victim(pod_uid="new"), Sight.FOREIGN, "not a ready", id="the victim replaced"),
        pytest.param(a_scale_in(), with_victim(terminating=True), Sight.FOREIGN, "not a ready", id="it leaves"),
        pytest.param(a_scale_in(), with_victim(ready=False), Sight.FOREIGN, "not a ready", id="it is not ready"),
        pytest.param(
            a_scale_in(), with_victim(grace_period_seconds=30), Sight.FOREIGN, "grace period", id="another grace period"
        ),
        pytest.param(a_scale_in(), replace(IDLE, workload=None), Sight.UNKNOWN, None, id="no pods to be read"),
        pytest.param(a_scale_in(), asked_for(IDLE, 2), Sight.BEFORE, "already", id="one less is asked for already"),
        pytest.param(a_scale_in(), asked_for(IDLE, 4), Sight.BEFORE, "somebody else", id="another count than before"),
        pytest.param((INTERVAL,), with_key(None), Sight.BEFORE, None, id="the key is absent"),
        pytest.param((INTERVAL,), with_key("30000"), Sight.AFTER, "already", id="the key has the value"),
        pytest.param((INTERVAL,), with_key("5"), Sight.FOREIGN, "somebody else", id="the key has another value"),
        pytest.param((INTERVAL,), with_key(None, settings_readable=False), Sight.UNKNOWN, None, id="etcd unreadable"),
        pytest.param(
            (TAKE, INTERVAL), with_key("5"), Sight.BEFORE, "somebody else", id="a later key has another value"
        ),
        pytest.param((TAKE,), with_key("false", PLACEMENT_KEY), Sight.AFTER, "already", id="the placement is taken"),
        pytest.param((HAND_BACK,), with_key(None), Sight.AFTER, "already", id="the placement is back"),
        pytest.param(
            (a_key(before=None, after=None),), with_key(None), Sight.AFTER, None, id="only the record is to be settled"
        ),
    ],
)
def test_a_plan_is_stale_when_the_world_it_starts_from_is_another(
    steps: Sequence[Step], seen: Snapshot, sight: Sight, words: str | None
) -> None:
    assert look(steps[0], seen).sight is sight

    found = staleness(a_plan(steps, IDLE), SPEC, seen, None)

    assert (found is None) is (words is None)
    assert words is None or words in (found or "")


@pytest.mark.parametrize(
    ("spec", "stale"),
    [
        pytest.param(SPEC, False, id="as it was"),
        pytest.param(a_spec(mode=Mode.OBSERVE, paused=True), False, id="other permissions"),
        pytest.param(a_spec(max_count=7), True, id="another bound"),
    ],
)
def test_a_plan_is_stale_when_the_declared_intent_changed(spec: MilvusTuningSpec, stale: bool) -> None:
    found = staleness(a_plan((a_scale(2, 3),), BUSY), spec, BUSY, a_decision(a_scale(2, 3)))

    assert ("declares" in (found or "")) is stale


@pytest.mark.parametrize(
    ("steps", "seen", "wanted", "stale"),
    [
        pytest.param((a_scale(2, 3),), BUSY, (a_scale(2, 3),), False, id="the same"),
        pytest.param((a_scale(2, 3),), BUSY, (a_scale(2, 4),), True, id="more of it"),
        pytest.param((a_scale(2, 3),), BUSY, a_scale_in(2), True, id="the opposite"),
        pytest.param((a_scale(2, 3),), BUSY, (INTERVAL,), True, id="something else"),
        pytest.param(a_scale_in(pod="qn-2"), IDLE, a_scale_in(pod="qn-1"), False, id="another victim"),
        pytest.param((INTERVAL,), with_key(None), (a_scale(2, 3),), True, id="a size in place of a setting"),
    ],
)
def test_a_plan_is_stale_when_another_change_is_called_for(
    steps: Sequence[Step], seen: Snapshot, wanted: Sequence[Step], stale: bool
) -> None:
    decision = a_decision(*wanted, reason=Reason.SCALE_OUT_CAPACITY)

    found = staleness(a_plan(steps, seen), SPEC, seen, decision)

    assert found == ("another change is called for now: because of CapacityAboveTarget" if stale else None)


# Segments 5000, 5003 are on node 1, 5001 on node 2.
SWAP = (TAKE, a_move(5000), a_move(5001, source="qn-2", destination="qn-1"), HAND_BACK)
THREE = replace(a_snapshot(3), settings_readable=True, etcd_root_path="by-dev")


def with_segments(where: dict[int, tuple[int, ...] | None]) -> Snapshot:
    return replace(THREE, segments=tuple(moved_segments(THREE.segments, where)))


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        pytest.param(THREE, None, id="as it was proposed"),
        pytest.param(with_segments({5000: (1, 2)}), None, id="one is being moved"),
        pytest.param(with_segments({5000: (2,)}), "somebody did it already: 1 of 1", id="one was moved"),
        pytest.param(with_segments({5001: (3,)}), "5001 of default.products is on neither", id="one is elsewhere"),
        pytest.param(with_segments({5001: None}), "5001 of default.products is on neither", id="one was compacted"),
        pytest.param(replace(THREE, query_nodes=THREE.query_nodes[1:]), "qn-1 is not a ready pod", id="a pod is gone"),
        pytest.param(replace(THREE, placement_coverage=0.5, replicas=(), segments=()), None, id="placement not read"),
    ],
)
def test_a_plan_that_moves_is_stale_when_its_segments_moved(seen: Snapshot, words: str | None) -> None:
    found = staleness(a_plan(SWAP, THREE), SPEC, seen, None)

    assert found is None if words is None else words in (found or "")


@pytest.mark.parametrize(
    ("decision", "stale"),
    [
        pytest.param(a_decision(*SWAP), False, id="the same"),
        pytest.param(
            a_decision(TAKE, a_move(5003), a_move(5004, source="qn-2", destination="qn-1"), HAND_BACK),
            False,
            id="other segments of the same hot node: the noise of the heat",
        ),
        pytest.param(a_decision(TAKE, a_move(5001, source="qn-2"), HAND_BACK), True, id="another hot node"),
        pytest.param(a_decision(a_move(5000)), True, id="free moves in place of a swap"),
        pytest.param(a_decision(a_scale(3, 4)), True, id="a QueryNode in place of moves"),
        pytest.param(a_decision(reason=Reason.NO_BETTER_PLACEMENT), True, id="nothing would be better"),
        pytest.param(a_decision(reason=Reason.NO_NEUTRAL_SWAP), True, id="nothing would stay"),
        pytest.param(a_decision(reason=Reason.STEADY), True, id="no node is hot"),
        pytest.param(a_decision(reason=Reason.HEAT_UNKNOWN), False, id="heat is not known: it waits"),
        pytest.param(a_decision(reason=Reason.STABILIZING), False, id="for too short a time: it waits"),
        pytest.param(a_decision(reason=Reason.SKEW_NOT_CAPACITY), False, id="a reason of the size says nothing"),
        pytest.param(a_decision(reason=Reason.AT_MAXIMUM), False, id="nor does its bound"),
    ],
)
def test_a_plan_that_moves_is_stale_when_no_moves_are_called_for(decision: Decision, stale: bool) -> None:
    found = staleness(a_plan(SWAP, THREE), SPEC, THREE, decision)

    assert (found is not None) is stale, found


@pytest.mark.parametrize(
    ("seen", "decision", "stale"),
    [
        pytest.param(THREE, a_decision(a_replica_change(1, 2)), False, id="the same"),
        pytest.param(THREE, a_decision(a_replica_change(1, 3)), True, id="another number"),
        pytest.param(THREE, a_decision(a_replica_change(1, 2, collection="images")), True, id="another collection"),
        pytest.param(THREE, a_decision(reason=Reason.WITHIN_TOLERANCE), True, id="not hot any more"),
        pytest.param(THREE, a_decision(reason=Reason.HEAT_UNKNOWN), False, id="heat is not known: it waits"),
        pytest.param(a_snapshot(4, replicas=2), None, True, id="somebody did it"),
    ],
)
def test_a_plan_for_replicas_is_stale(seen: Snapshot, decision: Decision | None, stale: bool) -> None:
    found = staleness(a_plan((a_replica_change(1, 2),), THREE), SPEC, seen, decision)

    assert (found is not None) is stale, found


# Reasons that a decision without steps may have although the change is still wanted, or is not known not to be.
SAYS_NOTHING = {
    # it waits, or somebody must allow it
    Reason.STABILIZING,
    Reason.COOLDOWN,
    Reason.OBSERVE_ONLY,
    Reason.PAUSED,
    Reason.READ_ONLY,
    Reason.REJECTED,
    # it is wanted, and its steps are withheld
    Reason.SCALE_OUT_COMPUTATION,
    Reason.SCALE_OUT_CAPACITY,
    Reason.SCALE_IN,
    Reason.BELOW_MINIMUM,
    Reason.ABOVE_MAXIMUM,
    Reason.MANUAL_OVERRIDE,
    Reason.STEP_LIMITED,
    Reason.SETTING_CHANGED,
    Reason.PLACEMENT_CHANGED,
    Reason.HOT_NODE,
    Reason.NEW_NODE,
    Reason.HOT_COLLECTION,
    Reason.COLD_COLLECTION,
    Reason.MANUAL_ACTION_REQUIRED,
    # the decision could not be made
    Reason.FROZEN,
    Reason.CONFLICT,
    Reason.HELM_OWNS_FIELD,
    Reason.TARGET_NOT_FOUND,
    Reason.TARGET_UNSUPPORTED,
    Reason.MILVUS_UNREACHABLE,
    Reason.METRICS_MISSING,
    Reason.METRICS_STALE,
    Reason.VERSION_UNSUPPORTED,
    Reason.NODE_IDENTITY_UNKNOWN,
    Reason.HEAT_UNKNOWN,
    Reason.INVALID_SPEC,
    Reason.SECRET_NOT_FOUND,
    Reason.PERMISSION_DENIED,
    # the course and the outcome of an operation, never a decision's
    Reason.UNKNOWN_OPERATION,
    Reason.IN_PROGRESS,
    Reason.COMPLETED,
    Reason.INSUFFICIENT_CAPACITY,
    Reason.DRAIN_STUCK,
    Reason.PRECONDITION_CHANGED,
    Reason.UNDONE,
    Reason.CANCELLED,
    Reason.ROLLED_BACK,
    Reason.HANDED_BACK,
    Reason.HAND_BACK_INCOMPLETE,
}


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_to_do_nothing_is_known_to_stand_against_a_plan_or_not(reason: Reason) -> None:
    assert (reason in WANTS_NONE) is not (reason in SAYS_NOTHING), f"{reason} must be in exactly one of the two sets"
    decision = a_decision(reason=reason)

    for steps, seen in (((a_scale(2, 3),), BUSY), (a_scale_in(), IDLE)):
        found = staleness(a_plan(steps, seen), SPEC, seen, decision)

        assert found == (f"no change is called for any more: because of {reason}" if reason in WANTS_NONE else None)


@pytest.mark.parametrize(
    ("steps", "seen", "stale"),
    [
        pytest.param(a_scale_in(), IDLE, False, id="still idle: the window began anew"),
        pytest.param(a_scale_in(), a_snapshot(3, cpu=0.5, memory=0.25), True, id="computation is up"),
        pytest.param(a_scale_in(), a_snapshot(3, cpu=0.1, memory=0.7), True, id="memory is up"),
        pytest.param(a_scale_in(), a_snapshot(3, cpu=None, memory=0.25), False, id="not measured"),
        pytest.param((a_scale(3, 4),), a_snapshot(3, cpu=0.5), False, id="a node more hurts nobody meanwhile"),
    ],
)
def test_no_node_is_taken_away_while_a_load_that_rose_makes_its_window(
    steps: Sequence[Step], seen: Snapshot, stale: bool
) -> None:
    found = staleness(a_plan(steps, seen), SPEC, seen, a_decision(reason=Reason.STABILIZING))

    assert found == ("the load rose: because of Stabilizing" if stale else None)


@pytest.mark.parametrize(
    ("reason", "seconds", "stale"),
    [
        pytest.param(Reason.MANUAL_OVERRIDE, 3599, False, id="it still holds"),
        pytest.param(Reason.MANUAL_OVERRIDE, 3600, True, id="it is over"),
        pytest.param(Reason.SCALE_OUT_CAPACITY, 3600, False, id="the plan has another ground"),
    ],
)
def test_a_plan_for_an_override_ends_with_it(reason: Reason, seconds: int, stale: bool) -> None:
    """The rules count again from then on, and they may still be waiting for their windows."""
    spec = a_spec(query_nodes={"override": {"count": 3, "expiresAt": "2026-01-05T13:00:00Z"}})
    plan = a_plan((a_scale(2, 3),), BUSY, spec)
    plan = replace(plan, change=replace(plan.change, reason=reason))
    later = replace(BUSY, taken_at=NOON + timedelta(seconds=seconds))

    found = staleness(plan, spec, later, a_decision(reason=Reason.COOLDOWN))

    assert found == ("the override that it was made for expired at 2026-01-05T13:00:00Z" if stale else None)
    assert staleness(plan, spec, later, a_decision(a_scale(2, 3))) is None


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize(
    ("seen", "words"),
    [
        pytest.param(with_key(None), None, id="still missing"),
        pytest.param(with_key(None, settings_readable=False), None, id="etcd cannot be read"),
        pytest.param(with_key(None, etcd_root_path=None), None, id="the root path is not proven"),
        pytest.param(
            with_key(None, freezes=(Freeze(reason=FreezeReason.LOADING, message="loads"),), milvus_version="2.5.1"),
            None,
            id="frozen",
        ),
        pytest.param(
            with_key(None, milvus_version=None, problems=(Problem(kind=ProblemKind.MILVUS_UNREACHABLE, message="x"),)),
            None,
            id="Milvus is not reachable",
        ),
        pytest.param(
            with_key(None, milvus_version="2.5.1"), "no write any more", id="another version, without the key"
        ),
    ],
)
def test_a_plan_for_a_setting_is_judged_by_the_settings_and_not_by_the_size(
    seen: Snapshot, words: str | None, paused: bool
) -> None:
    """The decision speaks of the size as soon as no setting can be written, and is Steady about that."""
    spec = a_spec(load_balancing={"balanceIntervalSeconds": 30}, paused=paused)
    plan = a_plan((INTERVAL,), with_key(None), SETTINGS_SPEC)

    found = staleness(plan, spec, seen, a_decision(reason=Reason.STEADY))

    assert (found is None) is (words is None)
    assert words is None or words in (found or "")


def test_a_plan_to_hand_a_key_back_waits_as_long_as_its_record_stands() -> None:
    held = with_key("30000", owned_keys={UID: {INTERVAL_KEY: OwnedKey(previous=None, written="30000")}})
    plan = a_plan((a_key(before="30000", after=None),), held)

    assert staleness(plan, SPEC, held, a_decision(reason=Reason.NOT_MANAGED)) is None
    found = staleness(plan, SPEC, replace(held, owned_keys={}), a_decision(reason=Reason.NOT_MANAGED))
    assert found == "the declared settings call for no write any more"


@pytest.mark.parametrize(
    ("spec", "seen"),
    [
        pytest.param(SPEC, BUSY, id="a node more"),
        pytest.param(SPEC, IDLE, id="a node less"),
        pytest.param(SETTINGS_SPEC, with_key(None), id="a setting"),
    ],
)
def test_a_plan_just_proposed_is_not_stale(spec: MilvusTuningSpec, seen: Snapshot) -> None:
    decision = decide(spec, seen, a_history(seen), NOON, policy_uid=UID)
    assert decision.steps
    plan = a_plan(decision.steps, seen, spec)

    assert staleness(plan, spec, seen, decision) is None
    assert staleness(plan, spec, seen, None) is None
