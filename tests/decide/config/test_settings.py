"""A declared setting is written where a live lever carries it, reported where none does, handed back when dropped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from milvus_tuning.api import LoadBalancing, MilvusTuningSpec, Mode, PlacementOwner, TargetKind, TargetReference
from milvus_tuning.catalogue import normalised
from milvus_tuning.decide.config.guard import load_guard_objection
from milvus_tuning.decide.config.keys import hand_back_steps
from milvus_tuning.decide.config.settings import setting_steps
from milvus_tuning.plan import SettingState, SettingStatus, Step, StepKind
from milvus_tuning.snapshot import EtcdSetting, OwnedKey, QueryNode, Sample, Snapshot
from tests.decide.running.running import running

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UID = "policy-1"
GIB = 1024**3
INTERVAL, TOLERANCE = "querycoord.autobalanceinterval", "querycoord.scoreunbalancetolerationfactor"
PLACEMENT = "querycoord.autobalance"


def a_spec(*, mode: Mode = Mode.AUTO, paused: bool = False, **balancing: object) -> MilvusTuningSpec:
    return MilvusTuningSpec(
        target_ref=TargetReference(kind=TargetKind.HELM_RELEASE, name="milvus"),
        mode=mode,
        paused=paused,
        load_balancing=LoadBalancing.model_validate(balancing) if balancing else None,
    )


def a_setting(key: str, value: str, *, spellings: tuple[str, ...] | None = None, leased: bool = False) -> EtcdSetting:
    return EtcdSetting(
        key=key, value=value, spellings=spellings or (f"by-dev/config/{key}",), revision=7, leased=leased
    )


def a_node(name: str, *, used_gib: float = 5, limit_gib: int = 10) -> QueryNode:
    return QueryNode(
        pod=name,
        pod_uid=name,
        node_id=1,
        ip="10.0.0.1",
        memory_limit_bytes=limit_gib * GIB,
        resident_memory_bytes=Sample(value=used_gib * GIB),
        loaded_bytes=Sample(value=used_gib * GIB / 2),
    )


def a_snapshot(
    *settings: EtcdSetting,
    version: str | None = "v2.5.27",
    owned: Mapping[str, OwnedKey] | None = None,
    readable: bool = True,
    root_path: str | None = "by-dev",
    nodes: tuple[QueryNode, ...] = (),
) -> Snapshot:
    snapshot = Snapshot(
        taken_at=NOW,
        milvus_version=version,
        query_nodes=nodes,
        settings={normalised(setting.key): setting for setting in settings},
        settings_readable=readable,
        etcd_root_path=root_path,
        owned_keys={UID: owned} if owned else {},
    )
    return running(snapshot)


def judged(spec: MilvusTuningSpec, snapshot: Snapshot) -> tuple[tuple[Step, ...], SettingStatus]:
    steps, (status,) = setting_steps(spec, snapshot, NOW, UID)
    return steps, status


def test_a_spec_that_declares_nothing_asks_for_nothing() -> None:
    assert setting_steps(a_spec(), a_snapshot(a_setting(INTERVAL, "3000")), NOW, UID) == ((), ())


def test_a_live_key_that_differs_is_set_and_its_old_value_is_the_undo() -> None:
    steps, status = judged(a_spec(balanceIntervalSeconds=60), a_snapshot(a_setting(INTERVAL, "3000")))
    before, after = {"key": INTERVAL, "value": "3000"}, {"key": INTERVAL, "value": "60000"}
    assert steps == (
        Step(kind=StepKind.SET_CONFIG, precondition=before, action=after, verification=after, undo=before),
    )
    assert (status.state, status.desired, status.effective, status.source) == (
        SettingState.APPLYING,
        "60000",
        "3000",
        "etcd",
    )


def test_a_key_that_was_absent_is_removed_again_by_the_undo() -> None:
    steps, status = judged(a_spec(balanceIntervalSeconds=60), a_snapshot())
    assert steps[0].undo == {"key": INTERVAL, "value": None}
    assert (status.effective, status.source) == (None, "default")


def test_effective_needs_the_value_read_back_and_shows_the_evidence() -> None:
    steps, status = judged(a_spec(balanceIntervalSeconds=60), a_snapshot(a_setting(INTERVAL, "60000")))
    assert steps == ()
    assert status.state is SettingState.EFFECTIVE
    assert "balance check" in status.message


@pytest.mark.parametrize(
    ("snapshot", "state", "words"),
    [
        pytest.param(a_snapshot(version="2.5.1"), SettingState.UNSUPPORTED, "2.5.3", id="no lever in this version"),
        pytest.param(a_snapshot(version=None), SettingState.NOT_APPLIED, "version", id="version not known"),
        pytest.param(a_snapshot(version="master-1"), SettingState.NOT_APPLIED, "version", id="version not readable"),
        pytest.param(a_snapshot(readable=False), SettingState.NOT_APPLIED, "etcd", id="etcd not readable"),
        pytest.param(a_snapshot(root_path=None), SettingState.NOT_APPLIED, "root path", id="root path not proven"),
        pytest.param(
            a_snapshot(a_setting(INTERVAL, "60000"), root_path=None),
            SettingState.NOT_APPLIED,
            "root path",
            id="equal, under a root path that is not proven",
        ),
        pytest.param(
            a_snapshot(a_setting(INTERVAL, "60000", spellings=("a", "b"))),
            SettingState.SHADOWED,
            "several spellings",
            id="two spellings, even with the right value",
        ),
        pytest.param(
            a_snapshot(a_setting(INTERVAL, "3000", spellings=("by-dev/config/queryCoord/autoBalanceInterval",))),
            SettingState.SHADOWED,
            "remove that key",
            id="one other spelling",
        ),
    ],
)
def test_what_cannot_be_written_says_why(snapshot: Snapshot, state: SettingState, words: str) -> None:
    steps, status = judged(a_spec(balanceIntervalSeconds=60), snapshot)
    assert steps == ()
    assert status.state is state
    assert words in status.message


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(a_spec(mode=Mode.OBSERVE, balanceIntervalSeconds=60), id="Observe"),
        pytest.param(a_spec(paused=True, balanceIntervalSeconds=60), id="paused"),
    ],
)
def test_without_leave_to_act_the_change_is_told_and_not_made(spec: MilvusTuningSpec) -> None:
    steps, status = judged(spec, a_snapshot())
    assert steps == ()
    assert status.state is SettingState.NOT_APPLIED
    assert "would set" in status.message


def test_a_read_only_operator_only_tells() -> None:
    steps, _ = setting_steps(a_spec(balanceIntervalSeconds=60), a_snapshot(), NOW, UID, read_only=True)
    assert steps == ()


def test_a_tolerance_that_acts_on_this_version_is_written_as_a_ratio() -> None:
    steps, _ = judged(a_spec(balanceTolerancePercent=5), a_snapshot(version="v2.3.5"))
    assert steps[0].action == {"key": TOLERANCE, "value": "0.05"}


def test_a_tolerance_that_milvus_ignores_is_unsupported_with_the_nearest_lever() -> None:
    steps, status = judged(a_spec(balanceTolerancePercent=5), a_snapshot(version="v2.5.27"))
    assert steps == ()
    assert status.state is SettingState.UNSUPPORTED
    assert "reverseUnBalanceTolerationFactor" in status.message


def test_placement_is_taken_under_a_lease_where_nobody_set_the_key() -> None:
    steps, status = judged(a_spec(placementOwner=PlacementOwner.OPERATOR), a_snapshot(version="v2.3.5"))
    assert [step.kind for step in steps] == [StepKind.TAKE_PLACEMENT]
    assert steps[0].action == {"key": PLACEMENT, "value": "false", "leaseSeconds": 300}
    assert status.state is SettingState.APPLYING


def test_placement_is_effective_while_our_lease_holds_it() -> None:
    snapshot = a_snapshot(
        a_setting(PLACEMENT, "false", leased=True), owned={PLACEMENT: OwnedKey(previous=None, written="false")}
    )
    steps, status = judged(a_spec(placementOwner=PlacementOwner.OPERATOR), snapshot)
    assert steps == ()
    assert status.state is SettingState.EFFECTIVE


@pytest.mark.parametrize("value", ["false", "true"])
def test_a_placement_key_of_others_is_never_taken_over(value: str) -> None:
    steps, status = judged(a_spec(placementOwner=PlacementOwner.OPERATOR), a_snapshot(a_setting(PLACEMENT, value)))
    assert steps == ()
    assert status.state is SettingState.NOT_APPLIED
    assert "somebody else" in status.message


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(a_spec(placementOwner=PlacementOwner.MILVUS), id="back to Milvus"),
        pytest.param(a_spec(), id="no longer declared"),
    ],
)
def test_placement_goes_back_when_it_is_no_longer_wanted(spec: MilvusTuningSpec) -> None:
    snapshot = a_snapshot(
        a_setting(PLACEMENT, "false", leased=True), owned={PLACEMENT: OwnedKey(previous=None, written="false")}
    )
    steps, _ = setting_steps(spec, snapshot, NOW, UID)
    assert [step.kind for step in steps] == [StepKind.RETURN_PLACEMENT]
    assert steps[0].verification == {"key": PLACEMENT, "value": None}


def test_a_key_that_is_no_longer_declared_is_handed_back_and_another_is_kept() -> None:
    snapshot = a_snapshot(
        a_setting(INTERVAL, "60000"),
        a_setting("querycoord.overloadedmemorythresholdpercentage", "85"),
        owned={
            INTERVAL: OwnedKey(previous="3000", written="60000"),
            "querycoord.overloadedmemorythresholdpercentage": OwnedKey(previous=None, written="85"),
        },
    )
    steps, _ = setting_steps(a_spec(overloadedMemoryPercent=85), snapshot, NOW, UID)
    assert [(step.kind, step.action) for step in steps] == [(StepKind.SET_CONFIG, {"key": INTERVAL, "value": "3000"})]


def test_keys_of_another_policy_are_not_ours_to_hand_back() -> None:
    snapshot = a_snapshot(a_setting(INTERVAL, "60000"), owned={INTERVAL: OwnedKey(previous=None, written="60000")})
    assert setting_steps(a_spec(), snapshot, NOW, "policy-2") == ((), ())


def test_a_value_that_somebody_changed_after_us_is_verified_to_stay() -> None:
    snapshot = a_snapshot(a_setting(INTERVAL, "5000"))
    (step,) = hand_back_steps({INTERVAL: OwnedKey(previous="3000", written="60000")}, snapshot)
    assert step.action == {"key": INTERVAL, "value": "3000"}
    assert step.verification == {"key": INTERVAL, "value": "5000"}


@pytest.mark.parametrize(
    ("nodes", "percent", "objection"),
    [
        pytest.param((a_node("a"), a_node("b"), a_node("c")), 80, None, id="fits with one node lost: 75 %"),
        pytest.param((a_node("a"), a_node("b"), a_node("c")), 70, "75 %", id="does not fit with one node lost"),
        pytest.param((a_node("a", used_gib=9),), 85, "90 %", id="below what is loaded now"),
        pytest.param((a_node("a", used_gib=5),), 85, None, id="a single node has nobody to take over"),
        pytest.param((), 85, "not known", id="no node known"),
        pytest.param((a_node("a", limit_gib=0), a_node("b")), 85, "memory is not known of a", id="no limit"),
    ],
)
def test_the_load_guard_leaves_room_for_a_lost_node(
    nodes: tuple[QueryNode, ...], percent: int, objection: str | None
) -> None:
    found = load_guard_objection(a_snapshot(nodes=nodes), NOW, percent=percent)
    assert (objection in found) if objection is not None and found is not None else found is objection


def test_a_load_guard_that_leaves_no_room_is_refused() -> None:
    snapshot = a_snapshot(nodes=(a_node("a", used_gib=9), a_node("b", used_gib=9)))
    steps, status = judged(a_spec(overloadedMemoryPercent=90), snapshot)
    assert steps == ()
    assert status.state is SettingState.NOT_APPLIED
    assert "180 %" in status.message
