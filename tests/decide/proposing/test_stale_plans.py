"""When a plan is no longer the one to run: another world, another intent, another change that is called for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from milvus_tuning.api import MilvusTuningSpec, Mode
from milvus_tuning.decide import decide
from milvus_tuning.decide.proposing.proposal import (
    WANTS_NONE,
    staleness,
)
from milvus_tuning.decide.readback import Sight, look
from milvus_tuning.plan import Decision, Reason, Step
from milvus_tuning.snapshot import (
    Freeze,
    FreezeReason,
    OwnedKey,
    Problem,
    ProblemKind,
    Snapshot,
)
from tests.builders import NOON, a_history, a_snapshot, a_spec
from tests.decide.proposing.proposal_cases import (
    BUSY,
    IDLE,
    SETTINGS_SPEC,
    SPEC,
    UID,
    a_decision,
    a_plan,
    asked_for,
    with_key,
    with_victim,
)
from tests.decide.steps import (
    HAND_BACK,
    INTERVAL,
    INTERVAL_KEY,
    PLACEMENT_KEY,
    TAKE,
    a_key,
    a_move,
    a_replica_change,
    a_scale,
    a_scale_in,
    moved_segments,
)


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
