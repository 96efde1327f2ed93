"""The road of the Milvus object: what is written there, and what goes before it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import ValidationError

from milvus_tuning.catalogue import normalised
from milvus_tuning.decide import decide
from milvus_tuning.decide.config.dropped import keeping
from milvus_tuning.decide.config.keys import hand_back_steps
from milvus_tuning.decide.config.road import FILE_SETTLE_SECONDS, RESOURCE
from milvus_tuning.decide.config.settings import setting_steps
from milvus_tuning.decide.readback import effect, is_undone, look, obstacle
from milvus_tuning.decide.seen.sight import Sight
from milvus_tuning.plan import MILVUS_RESOURCE, ROAD, History, SettingState, Step, StepKind
from milvus_tuning.snapshot import OwnedKey, Snapshot
from tests.builders import NOON
from tests.builders import a_snapshot as a_cluster
from tests.decide.config.roads import (
    BALANCE,
    INTERVAL,
    LATELY,
    LEAF,
    LONG_AGO,
    PLACEMENT,
    TASKS,
    TOLERANCE,
    UID,
    a_snapshot,
    a_spec,
    judged,
    ours,
    written,
)
from tests.decide.running.running import a_component

# -- how a key stands -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("readable", [True, False], ids=["etcd is read", "etcd cannot be read"])
def test_a_key_goes_to_the_object_whether_or_not_etcd_can_be_read(readable: bool) -> None:
    steps, status = judged(a_spec(**BALANCE), a_snapshot(leaves={INTERVAL: "3000"}, readable=readable))
    before, after = {"key": INTERVAL, "value": "3000"}, {"key": INTERVAL, "value": "60000"}
    action = {**after, ROAD: MILVUS_RESOURCE}
    assert steps == (
        Step(kind=StepKind.SET_CONFIG, precondition=before, action=action, verification=after, undo=before),
    )
    assert (status.state, status.effective, status.source) == (SettingState.APPLYING, "3000", "spec.config")


@pytest.mark.parametrize("road", [None, "Etcd"])
def test_without_the_field_it_goes_to_etcd(road: str | None) -> None:
    steps, status = judged(a_spec(road, **BALANCE), a_snapshot(leaves={INTERVAL: "3000"}))
    assert written(steps) == [(None, INTERVAL, "60000")]
    assert status.source == "file"


@pytest.mark.parametrize(
    ("snapshot", "state", "source", "words"),
    [
        (a_snapshot(leaves=LEAF), SettingState.EFFECTIVE, "spec.config", "read back from mixcoord"),
        (replace(a_snapshot(leaves=LEAF), read_back=()), SettingState.NO_EVIDENCE, "spec.config", "could be asked"),
        (a_snapshot(etcd={INTERVAL: "3000"}), SettingState.SHADOWED, "etcd", "3000 from etcd goes before spec.config"),
        (a_snapshot(leaves=LEAF, etcd={INTERVAL: "3000"}), SettingState.SHADOWED, "etcd", "3000 from etcd"),
        (a_snapshot(environment={INTERVAL: "3000"}), SettingState.SHADOWED, "environment", "3000 from environment"),
        (a_snapshot(etcd=LEAF), SettingState.EFFECTIVE, "etcd", "read back"),
        (a_snapshot(etcd=LEAF, leaves={INTERVAL: "3000"}), SettingState.EFFECTIVE, "etcd", "read back"),
        (a_snapshot(trouble="it would roll"), SettingState.NOT_APPLIED, None, "it would roll"),
        (a_snapshot(trouble="it would roll", leaves=LEAF), SettingState.EFFECTIVE, None, "set in the install"),
        (
            a_snapshot(leaves={INTERVAL: "5000"}, held={INTERVAL: ours("60000")}),
            SettingState.NOT_APPLIED,
            "spec.config",
            "somebody else has made it 5000",
        ),
        (a_snapshot(held={INTERVAL: ours("60000")}), SettingState.NOT_APPLIED, None, "made it absent"),
    ],
    ids=[
        "seen on the process",
        "nobody could be asked",
        "etcd goes before",
        "etcd goes before what is there",
        "the environment goes before",
        "etcd has it already",
        "etcd has it already, over another one",
        "the object may not be written",
        "the object may not be written, and has it",
        "somebody put it back",
        "somebody took it out",
    ],
)
def test_how_a_declared_key_stands_that_is_not_written(
    snapshot: Snapshot, state: SettingState, source: str | None, words: str
) -> None:
    steps, status = judged(a_spec(**BALANCE), snapshot)
    assert (steps, status.state) == ((), state)
    assert source is None or status.source == source
    assert words in status.message


def test_an_environment_variable_that_does_not_act_shadows_nothing() -> None:
    snapshot = a_snapshot(leaves=LEAF, environment={INTERVAL: "3000"})
    acting = tuple(replace(one, values={normalised(INTERVAL): "60000"}) for one in snapshot.read_back)
    _, status = judged(a_spec(**BALANCE), replace(snapshot, read_back=acting))
    assert (status.state, status.source) == (SettingState.EFFECTIVE, "spec.config")


@pytest.mark.parametrize(
    ("age_seconds", "state"),
    [(FILE_SETTLE_SECONDS - 1, SettingState.APPLYING), (FILE_SETTLE_SECONDS + 1, SettingState.SHADOWED)],
)
def test_a_mounted_file_takes_its_time(age_seconds: float, state: SettingState) -> None:
    held = OwnedKey(previous=None, written="60000", written_at=NOON - timedelta(seconds=age_seconds))
    snapshot = a_snapshot(leaves=LEAF, held={INTERVAL: held})
    former = tuple(replace(one, values={normalised(INTERVAL): "3000"}) for one in snapshot.read_back)
    _, status = judged(a_spec(**BALANCE), replace(snapshot, read_back=former))
    assert status.state is state


def test_a_value_that_is_declared_anew_is_written_over_what_somebody_put_back() -> None:
    snapshot = a_snapshot(leaves={INTERVAL: "5000"}, held={INTERVAL: ours("60000")})
    steps, _ = judged(a_spec(loadBalancing={"balanceIntervalSeconds": 90}), snapshot)
    assert written(steps) == [(MILVUS_RESOURCE, INTERVAL, "90000")]


@pytest.mark.parametrize("key", ["minio.address", "etcd.endpoints", "rootCoord.enableActiveStandby"])
def test_what_milvus_operator_keeps_itself_is_refused(key: str) -> None:
    steps, status = judged(a_spec(configOverrides={key: "true"}), a_snapshot())
    assert (steps, status.state) == ((), SettingState.REFUSED)


def test_the_owner_of_the_placement_is_a_matter_of_etcd() -> None:
    spec = a_spec(loadBalancing={"placementOwner": "Operator", "balanceIntervalSeconds": 60})
    steps, _ = setting_steps(spec, a_snapshot(), NOON, UID)
    assert {step.kind: step.action.get(ROAD) for step in steps} == {
        StepKind.TAKE_PLACEMENT: None,
        StepKind.SET_CONFIG: MILVUS_RESOURCE,
    }
    held = a_snapshot(etcd={PLACEMENT: "false"}, held_in_etcd={PLACEMENT: ours("false")}, leaves=LEAF)
    assert setting_steps(spec, held, NOON, UID)[0] == ()


# -- what is not read again -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "kinds"),
    [
        ("v2.4.4", [StepKind.RESTART_COMPONENT, StepKind.SET_CONFIG, StepKind.RESTART_COMPONENT]),
        ("v2.3.5", [StepKind.RESTART_COMPONENT, StepKind.SET_CONFIG, StepKind.RESTART_COMPONENT]),
        ("v2.4.5", [StepKind.SET_CONFIG]),
    ],
)
def test_before_2_4_5_a_live_key_is_carried_with_a_restart(version: str, kinds: list[StepKind]) -> None:
    steps, status = judged(a_spec(consistency={"stalenessMilliseconds": 1000}), a_snapshot(version=version))
    assert [step.kind for step in steps] == kinds
    assert (status.component == "Proxy") is (len(kinds) > 1)
    assert ("in etcd no restart is needed" in status.message) is (len(kinds) > 1)


def test_before_2_4_5_handing_a_live_key_back_takes_a_restart_too() -> None:
    snapshot = a_snapshot(version="v2.3.5", leaves={TOLERANCE: "0.1"}, held={TOLERANCE: ours("0.1")})
    steps, _ = setting_steps(a_spec(), snapshot, NOON, UID)
    assert [step.kind for step in steps] == [
        StepKind.RESTART_COMPONENT,
        StepKind.SET_CONFIG,
        StepKind.RESTART_COMPONENT,
    ]


def test_damping_is_no_ground_for_a_restart() -> None:
    spec, snapshot = a_spec(loadBalancing={"pingPong": "Damp"}), a_snapshot(version="v2.4.1")
    steps, statuses = setting_steps(spec, snapshot, NOON, UID, damping=True)
    assert steps == ()
    assert "from Milvus 2.4.5 on" in statuses[0].message
    later, _ = setting_steps(spec, replace(snapshot, milvus_version="v2.5.27"), NOON, UID, damping=True)
    assert {step.action.get(ROAD) for step in later} == {MILVUS_RESOURCE}


def test_a_key_that_is_read_at_start_stands_between_two_restarts_on_this_road_too() -> None:
    steps, _ = setting_steps(a_spec(configOverrides={"proxy.maxTaskNum": "2048"}), a_snapshot(), NOON, UID)
    assert [step.action.get("when") for step in steps] == ["Back", None, "Forward"]
    assert written(steps) == [(MILVUS_RESOURCE, TASKS, "2048")]


# -- who goes on with it ----------------------------------------------------------------------------------------------


def taken_out(previous: str | None = None) -> str | None:
    """What is said of pods when the leaf is handed back."""
    held = {INTERVAL: ours("60000", previous)}
    snapshot = a_snapshot(leaves=LEAF, held=held)
    pods = (
        a_component("MixCoord", "mix-old", started_at=LONG_AGO - timedelta(days=1)),
        a_component("MixCoord", "mix-new", started_at=LATELY),
        a_component("Proxy", started_at=LATELY),
    )
    snapshot = replace(snapshot, components=pods)
    return keeping(hand_back_steps(held, snapshot, RESOURCE), held, snapshot)


def test_pods_that_started_with_a_value_that_is_taken_out_are_named() -> None:
    said = taken_out() or ""
    assert "mix-new" in said
    assert "mix-old" not in said
    assert "proxy" not in said
    assert taken_out(previous="3000") is None  # they read that again


def test_the_plan_that_takes_it_out_says_so_and_restarts_nothing() -> None:
    leaf = a_snapshot(leaves=LEAF, held={INTERVAL: ours("60000")})
    cluster = replace(
        a_cluster(3),
        milvus_version=leaf.milvus_version,
        resource_config=leaf.resource_config,
        components=(a_component("MixCoord", "mix-new", started_at=LATELY),),
    )
    decision = decide(a_spec(), cluster, History(), NOON, policy_uid=UID)
    assert [step.kind for step in decision.steps] == [StepKind.SET_CONFIG]
    assert "spec.config querycoord.autobalanceinterval 60000 -> absent" in decision.message
    assert "stays in force on mix-new" in decision.message


# -- what a step shows ------------------------------------------------------------------------------------------------


def a_step(before: str | None, value: str | None) -> Step:
    ends = ({"key": INTERVAL, "value": one} for one in (before, value, value, before))
    precondition, action, verification, undo = ends
    return Step(
        kind=StepKind.SET_CONFIG,
        precondition=precondition,
        action={**action, ROAD: MILVUS_RESOURCE},
        verification=verification,
        undo=undo,
    )


@pytest.mark.parametrize(
    ("leaves", "sight"),
    [({}, Sight.BEFORE), (LEAF, Sight.AFTER), ({INTERVAL: "5"}, Sight.FOREIGN)],
    ids=["before", "after", "foreign"],
)
def test_a_step_on_this_road_is_looked_for_in_the_object_alone(leaves: dict[str, str], sight: Sight) -> None:
    for etcd in ({}, LEAF, {INTERVAL: "7"}):
        assert look(a_step(None, "60000"), a_snapshot(leaves=leaves, etcd=etcd)).sight is sight
    assert look(a_step(None, "60000"), a_snapshot(leaves=leaves, readable=False)).sight is sight
    assert is_undone(a_step(None, "60000"), a_snapshot(leaves=leaves, readable=False)) is False


def test_without_the_object_nothing_is_known() -> None:
    snapshot = replace(a_snapshot(leaves=LEAF), resource_config=None)
    assert look(a_step(None, "60000"), snapshot).sight is Sight.UNKNOWN
    assert is_undone(a_step(None, "60000"), snapshot) is None
    assert obstacle(a_step(None, "60000"), snapshot) is None


@pytest.mark.parametrize(
    ("step", "leaves", "rendered", "reached"),
    [
        (a_step(None, "60000"), LEAF, {normalised(INTERVAL): "60000"}, True),
        (a_step(None, "60000"), LEAF, {}, False),
        (a_step("60000", None), {}, {normalised(INTERVAL): "60000"}, False),
        (a_step("60000", None), {}, {}, True),
        (a_step("60000", None), {}, {normalised(INTERVAL): "3000"}, True),
    ],
    ids=["followed", "not followed yet", "still there", "gone", "the template's own value is back"],
)
def test_a_step_has_its_effect_once_the_config_map_has_followed(
    step: Step, leaves: dict[str, str], rendered: dict[str, str], reached: bool
) -> None:
    assert effect(step, a_snapshot(leaves=leaves, rendered=rendered)).reached is reached


def test_a_helm_release_with_this_road_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"needs targetRef\.kind Milvus"):
        a_spec(targetRef={"kind": "HelmRelease", "name": "milvus"})
    assert a_spec("Etcd", targetRef={"kind": "HelmRelease", "name": "milvus"}).config_delivery == "Etcd"
