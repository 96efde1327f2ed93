"""Damping is written while segments move to and fro, by the key that acts, and stays until it is no longer declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.api import LoadBalancing, MilvusTuningSpec, Mode, PlacementOwner, TargetKind, TargetReference
from milvus_tuning.catalogue import Intent, Lever, NoLever, normalised, parse_version
from milvus_tuning.decide.config.damping import damping_levers, damping_text
from milvus_tuning.decide.config.settings import setting_steps
from milvus_tuning.decide.proposing.proposal import intent_digest, staleness
from milvus_tuning.plan import (
    Decision,
    Operation,
    Plan,
    Reason,
    SettingState,
    SettingStatus,
    Step,
    StepKind,
    StepRecord,
    Verdict,
)
from milvus_tuning.snapshot import EtcdSetting, OwnedKey, Snapshot
from tests.builders import NOON, a_change, a_workload, some_nodes
from tests.decide.config.test_settings_properties import UID, VERSIONS, an_entry, changes, in_the_end, keys_of
from tests.decide.running.running import running

INTERVAL = "querycoord.autobalanceinterval"
OVERSHOOT = "querycoord.reverseunbalancetolerationfactor"
TOLERANCE = "querycoord.scoreunbalancetolerationfactor"
KEYS = (INTERVAL, OVERSHOOT, TOLERANCE)
PING_PONG = Intent.PING_PONG
DAMPED = {INTERVAL: "30000", OVERSHOOT: "2"}
ELSEWHERE = "loadBalancing.balanceIntervalSeconds"


def a_spec(*, mode: Mode = Mode.AUTO, paused: bool = False, **balancing: object) -> MilvusTuningSpec:
    return MilvusTuningSpec(
        target_ref=TargetReference(kind=TargetKind.MILVUS, name="milvus"),
        mode=mode,
        paused=paused,
        load_balancing=LoadBalancing.model_validate({"pingPong": "Damp", **balancing}),
    )


def a_snapshot(
    settings: Mapping[str, str] | None = None,
    *,
    version: str = "2.6.18",
    owned: Mapping[str, OwnedKey] | None = None,
    readable: bool = True,
) -> Snapshot:
    snapshot = Snapshot(
        taken_at=NOON,
        milvus_version=version,
        settings={normalised(key): an_entry(key, value) for key, value in (settings or {}).items()},
        settings_readable=readable,
        etcd_root_path="by-dev",
        owned_keys={UID: owned} if owned else {},
    )
    return running(snapshot)


def judged(
    spec: MilvusTuningSpec, snapshot: Snapshot, *, seen: bool, rollbacks: tuple[Operation, ...] = ()
) -> tuple[dict[str, str | None], dict[str, SettingStatus]]:
    """Key -> value of the steps, and the statuses by intent."""
    steps, statuses = setting_steps(spec, snapshot, NOON, UID, damping=seen, rollbacks=rollbacks)
    return (
        {str(step.action["key"]): None if (value := step.action["value"]) is None else str(value) for step in steps},
        {status.intent: status for status in statuses},
    )


@pytest.mark.parametrize(
    ("version", "written"),
    [
        pytest.param("2.3.5", {TOLERANCE: "0.3"}, id="2.3"),
        pytest.param("2.3.21", {TOLERANCE: "0.3"}, id="the last of 2.3"),
        pytest.param("2.4.0", {OVERSHOOT: "2"}, id="tolerance broken, no interval yet"),
        pytest.param("2.4.22", {OVERSHOOT: "2"}, id="before the interval"),
        pytest.param("2.4.23", DAMPED, id="the interval is there"),
        pytest.param("2.5.2", {OVERSHOOT: "2"}, id="2.5 before the interval"),
        pytest.param("2.5.3", DAMPED, id="2.5 with the interval"),
        pytest.param("2.6.18", DAMPED, id="that of milvus#51244"),
        pytest.param("2.6.22", DAMPED, id="the last with the tolerance broken"),
        pytest.param("2.6.23", {TOLERANCE: "0.3"}, id="tolerance mended"),
        pytest.param("3.0.0", DAMPED, id="3.0.0, broken"),
        pytest.param("3.0.1", {TOLERANCE: "0.3"}, id="3.0.1, mended"),
        pytest.param("3.1.0", {}, id="newer than what is known"),
        pytest.param("2.6.23-rc.1", {}, id="not a release"),
    ],
)
def test_the_key_that_acts_in_the_version_is_written(version: str, written: dict[str, str]) -> None:
    steps, statuses = judged(a_spec(), a_snapshot(version=version), seen=True)
    assert steps == written
    expected = SettingState.APPLYING if written else SettingState.UNSUPPORTED
    assert {status.state for status in statuses.values()} == {expected}
    assert set(statuses) == {PING_PONG, *([Intent.PING_PONG_OVERSHOOT] if written == DAMPED else [])}


def test_without_a_lever_the_way_by_hand_is_named() -> None:
    _, statuses = judged(a_spec(), a_snapshot(version="3.1.0"), seen=True)
    assert "newer than what is known" in statuses[PING_PONG].message
    assert "milvus#51244" in statuses[PING_PONG].message


@pytest.mark.parametrize("version", VERSIONS)
def test_every_lever_is_live_and_has_a_value(version: str) -> None:
    known = parse_version(version)
    assert known is not None
    for lever in damping_levers(known):
        assert isinstance(lever, NoLever) or (lever.live and damping_text(lever))


def test_nothing_is_written_while_nothing_moves_to_and_fro() -> None:
    steps, statuses = judged(a_spec(), a_snapshot({INTERVAL: "3000"}), seen=False)
    assert steps == {}
    assert statuses[PING_PONG].state is SettingState.STANDING_BY
    assert statuses[PING_PONG].message == f"no segments move to and fro; would set {INTERVAL} = 30000"


@pytest.mark.parametrize("ping_pong", ["Observe", None])
def test_nothing_is_written_where_damping_is_not_declared(ping_pong: str | None) -> None:
    assert judged(a_spec(pingPong=ping_pong), a_snapshot({INTERVAL: "3000"}), seen=True) == ({}, {})


def test_the_step_is_an_ordinary_one_with_its_undo() -> None:
    steps, _ = setting_steps(a_spec(), a_snapshot({INTERVAL: "3000", OVERSHOOT: "2.0"}), NOON, UID, damping=True)
    before, damped = {"key": INTERVAL, "value": "3000"}, {"key": INTERVAL, "value": "30000"}
    assert steps == (
        Step(kind=StepKind.SET_CONFIG, precondition=before, action=damped, verification=damped, undo=before),
    )


OURS = {INTERVAL: OwnedKey(previous="3000", written="30000"), OVERSHOOT: OwnedKey(previous=None, written="2")}


@pytest.mark.parametrize("seen", [True, False], ids=["still moving", "come to rest, or after a restart"])
def test_what_damps_stays_as_long_as_damping_is_declared(*, seen: bool) -> None:
    steps, statuses = judged(a_spec(), a_snapshot(DAMPED, owned=OURS), seen=seen)
    assert steps == {}
    assert {status.state for status in statuses.values()} == {SettingState.EFFECTIVE}


@pytest.mark.parametrize("ping_pong", ["Observe", None])
def test_what_damped_is_handed_back_when_damping_is_not_declared_any_more(ping_pong: str | None) -> None:
    steps, _ = judged(a_spec(pingPong=ping_pong), a_snapshot(DAMPED, owned=OURS), seen=True)
    assert steps == {INTERVAL: "3000", OVERSHOOT: None}


def test_an_upgrade_hands_the_old_key_back_and_waits_for_ping_pong_before_it_writes_the_new_one() -> None:
    upgraded = a_snapshot(DAMPED, owned=OURS, version="2.6.23")
    assert judged(a_spec(), upgraded, seen=False)[0] == {INTERVAL: "3000", OVERSHOOT: None}
    assert judged(a_spec(), upgraded, seen=True)[0] == {INTERVAL: "3000", OVERSHOOT: None, TOLERANCE: "0.3"}


@pytest.mark.parametrize(
    ("seen", "state"), [(True, SettingState.NOT_APPLIED), (False, SettingState.STANDING_BY)], ids=["seen", "not seen"]
)
def test_a_key_with_a_field_of_its_own_is_left_to_it(*, seen: bool, state: SettingState) -> None:
    steps, statuses = judged(a_spec(balanceIntervalSeconds=5), a_snapshot({OVERSHOOT: "2"}), seen=seen)
    assert steps == {INTERVAL: "5000"}
    assert statuses[PING_PONG].state is state
    assert ELSEWHERE in statuses[PING_PONG].message


def test_a_field_that_takes_over_what_damped_gets_its_own_value() -> None:
    steps, _ = judged(a_spec(balanceIntervalSeconds=5), a_snapshot(DAMPED, owned=OURS), seen=True)
    assert steps == {INTERVAL: "5000"}


def test_what_such_a_field_left_behind_is_handed_back_unless_damping_is_needed() -> None:
    left = a_snapshot({INTERVAL: "5000"}, owned={INTERVAL: OwnedKey(previous="3000", written="5000")})
    assert judged(a_spec(), left, seen=False)[0] == {INTERVAL: "3000"}
    assert judged(a_spec(), left, seen=True)[0] == DAMPED


@pytest.mark.parametrize(
    ("value", "written"),
    [
        pytest.param("60000", {}, id="calmer"),
        pytest.param("30000", {}, id="as calm"),
        pytest.param("3000", {INTERVAL: "30000"}, id="the default"),
        pytest.param("1m", {INTERVAL: "30000"}, id="no number, which Milvus reads as 0"),
    ],
)
def test_what_somebody_else_set_is_never_made_livelier(value: str, written: dict[str, str]) -> None:
    steps, statuses = judged(a_spec(), a_snapshot({INTERVAL: value, OVERSHOOT: "3"}), seen=True)
    assert steps == written
    assert statuses[Intent.PING_PONG_OVERSHOOT].state is SettingState.STANDING_BY


def test_what_somebody_else_changed_since_is_written_again_only_while_it_is_needed() -> None:
    changed = a_snapshot({INTERVAL: "4000", OVERSHOOT: "2"}, owned=OURS)
    assert judged(a_spec(), changed, seen=True)[0] == {INTERVAL: "30000"}
    steps, _ = setting_steps(a_spec(), changed, NOON, UID)
    assert [(step.precondition["value"], step.verification["value"]) for step in steps] == [("4000", "4000")]


def test_while_the_operator_places_segments_there_is_nothing_to_damp() -> None:
    steps, statuses = judged(a_spec(placementOwner="Operator"), a_snapshot(), seen=True)
    assert set(steps) == {"querycoord.autobalance"}
    assert statuses[PING_PONG].state is SettingState.STANDING_BY


@pytest.mark.parametrize(
    ("spec", "snapshot", "words"),
    [
        pytest.param(a_spec(mode=Mode.OBSERVE), a_snapshot(), "mode is Observe; would set", id="mode Observe"),
        pytest.param(a_spec(paused=True), a_snapshot(), "paused; would set", id="paused"),
        pytest.param(a_spec(), a_snapshot(readable=False), "etcd could not be read", id="etcd not readable"),
        pytest.param(a_spec(), a_snapshot(version="master-1"), "version is not known", id="unknown version"),
    ],
)
def test_where_nothing_may_be_written_the_message_says_why(
    spec: MilvusTuningSpec, snapshot: Snapshot, words: str
) -> None:
    steps, statuses = judged(spec, snapshot, seen=True)
    assert steps == {}
    assert statuses[PING_PONG].state is SettingState.NOT_APPLIED
    assert words in statuses[PING_PONG].message


def test_several_spellings_are_told_and_not_added_to() -> None:
    doubled = EtcdSetting(key=INTERVAL, value="3000", spellings=("a", "b"), revision=1)
    snapshot = replace(a_snapshot({OVERSHOOT: "2"}), settings={normalised(INTERVAL): doubled})
    steps, statuses = judged(a_spec(), snapshot, seen=True)
    assert INTERVAL not in steps
    assert statuses[PING_PONG].state is SettingState.SHADOWED


def test_damping_that_was_rolled_back_rests_for_a_day() -> None:
    (step, *_), _ = setting_steps(a_spec(), a_snapshot(), NOON, UID, damping=True)
    rolled_back = Operation(
        operation_id="1",
        reason=Reason.SETTING_CHANGED,
        message="",
        started_at=NOON,
        finished_at=NOON,
        steps=(StepRecord(step=step),),
        verdict=Verdict.ROLLED_BACK,
        verdict_message="P99 rose",
    )
    steps, statuses = judged(a_spec(), a_snapshot(), seen=True, rollbacks=(rolled_back,))
    assert steps == {OVERSHOOT: "2"}
    assert statuses[PING_PONG].state is SettingState.NOT_APPLIED


def a_plan(steps: tuple[Step, ...], spec: MilvusTuningSpec) -> Plan:
    change = a_change(steps=steps, policy_uid=UID, intent_digest=intent_digest(spec), reason=Reason.SETTING_CHANGED)
    return Plan(name="rag-1", change=change)


@pytest.mark.parametrize("seen", [True, False], ids=["still moving", "come to rest"])
def test_a_plan_that_waits_while_paused_is_stale_once_the_moves_have_stopped(*, seen: bool) -> None:
    spec, snapshot = a_spec(), replace(a_snapshot(), workload=a_workload(some_nodes(2)), query_nodes=some_nodes(2))
    steps, _ = setting_steps(spec, snapshot, NOON, UID, damping=True)
    paused = Decision(reason=Reason.PAUSED, message="paused")
    found = staleness(a_plan(steps, spec), spec, snapshot, paused, damping=seen)
    assert (found is None) is seen
    assert seen or "no segments move to and fro" in (found or "")


# -- whatever else is declared and stored ---------------------------------------------------------------------------

specs = st.builds(
    lambda owner, interval, tolerance: a_spec(
        placementOwner=owner, balanceIntervalSeconds=interval, balanceTolerancePercent=tolerance
    ),
    st.none() | st.sampled_from(PlacementOwner),
    st.none() | st.integers(1, 3600),
    st.none() | st.integers(1, 100),
)
snapshots = st.builds(
    lambda version, settings: a_snapshot(settings, version=version),
    st.sampled_from(VERSIONS),
    st.dictionaries(st.sampled_from(KEYS), st.sampled_from(("0.05", "1.3", "3000", "60000", "x"))),
)


@given(specs, snapshots, st.booleans())
def test_once_written_it_is_at_rest_whether_or_not_the_moves_go_on(
    spec: MilvusTuningSpec, snapshot: Snapshot, still_seen: bool
) -> None:
    end = in_the_end(spec, snapshot, damping=True)
    again, statuses = setting_steps(spec, end, NOON, UID, damping=still_seen)
    assert again == ()
    assert all(status.state is not SettingState.APPLYING for status in statuses)


def balancing_of(spec: MilvusTuningSpec) -> dict[str, object]:
    """What else is declared of balancing."""
    return spec.load_balancing.model_dump(exclude={"ping_pong"}, by_alias=True) if spec.load_balancing else {}


@given(specs, snapshots)
def test_letting_go_of_it_leaves_everything_as_it_was(spec: MilvusTuningSpec, snapshot: Snapshot) -> None:
    held = in_the_end(spec, snapshot, damping=True)
    nothing = spec.model_copy(update={"load_balancing": None})
    found = in_the_end(nothing, held, damping=True).settings
    assert {key: entry.value for key, entry in found.items()} == {
        key: entry.value for key, entry in snapshot.settings.items()
    }


@given(specs, snapshots, st.booleans())
def test_no_key_is_written_twice_and_none_without_its_lever(
    spec: MilvusTuningSpec, snapshot: Snapshot, seen: bool
) -> None:
    made = changes(spec, snapshot, damping=seen)
    without = spec.model_copy(update={"load_balancing": LoadBalancing.model_validate(balancing_of(spec))})
    keys = [key for steps in made for key in keys_of(steps)]
    assert len(keys) == len(set(keys))
    plain = {key for steps in changes(without, snapshot) for key in keys_of(steps)}
    assert plain <= set(keys)
    version = parse_version(snapshot.milvus_version)
    assert version is not None
    levers = [lever.key.lower() for lever in damping_levers(version) if isinstance(lever, Lever)]
    assert set(keys) - plain <= set(levers if seen else [])
