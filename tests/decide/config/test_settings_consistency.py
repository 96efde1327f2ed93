"""How stale a Bounded search may be is written where it is declared, and only there; then it goes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.decide import decide
from milvus_tuning.decide.config.keys import hand_back_steps
from milvus_tuning.decide.config.settings import setting_steps
from milvus_tuning.plan import History, Reason, SettingState, SettingStatus, Step, StepKind
from milvus_tuning.snapshot import EtcdSetting, OwnedKey, Snapshot, Workload, WorkloadKind
from tests.builders import NOON, a_spec
from tests.decide.config.test_settings import UID, a_setting, a_snapshot

KEY, INTENT = "common.gracefultime", "consistency.stalenessMilliseconds"
ABSENT, ZERO = {"key": KEY, "value": None}, {"key": KEY, "value": "0"}
TAKEN = {KEY: OwnedKey(previous="5000", written="0")}
WORKLOAD = Workload(
    kind=WorkloadKind.DEPLOYMENT,
    namespace="milvus",
    name="my-release-milvus-querynode",
    desired_count=2,
    ready_count=2,
    serving_count=2,
)


def declaring(milliseconds: int | None, **changes: Any) -> MilvusTuningSpec:
    """A policy about staleness alone; None leaves the whole part out."""
    declared: dict[str, Any] = {} if milliseconds is None else {"consistency": {"stalenessMilliseconds": milliseconds}}
    return a_spec(**declared, **changes).model_copy(update={"query_nodes": None})


def judged(spec: MilvusTuningSpec, snapshot: Snapshot) -> tuple[tuple[Step, ...], SettingStatus]:
    steps, (status,) = setting_steps(spec, snapshot, NOON, UID)
    return steps, status


@pytest.mark.parametrize("version", ["2.3.5", "2.4.23", "2.5.27", "2.6.20", "3.0.0"])
def test_a_declared_staleness_is_set_live_and_its_undo_removes_it(version: str) -> None:
    steps, status = judged(declaring(0), a_snapshot(version=version))
    assert steps == (Step(kind=StepKind.SET_CONFIG, precondition=ABSENT, action=ZERO, verification=ZERO, undo=ABSENT),)
    assert (status.intent, status.key, status.desired, status.state) == (
        INTENT,
        "common.gracefulTime",
        "0",
        SettingState.APPLYING,
    )


def test_it_is_effective_once_it_is_read_back() -> None:
    steps, status = judged(declaring(0), a_snapshot(a_setting(KEY, "0")))
    assert (steps, status.state, status.effective) == ((), SettingState.EFFECTIVE, "0")


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(declaring(None), id="no consistency"),
        pytest.param(a_spec(consistency={}), id="an empty consistency"),
        pytest.param(a_spec(load_balancing={"overloadedMemoryPercent": 90}), id="another part"),
    ],
)
@pytest.mark.parametrize("stored", [(), (a_setting(KEY, "0"),)], ids=["absent", "set by somebody"])
def test_what_is_not_declared_is_not_touched(spec: MilvusTuningSpec, stored: tuple[EtcdSetting, ...]) -> None:
    steps, _ = setting_steps(spec, a_snapshot(*stored), NOON, UID)
    assert KEY not in [step.action["key"] for step in steps]


def test_observe_only_tells() -> None:
    steps, status = judged(declaring(0, mode="Observe"), a_snapshot())
    assert (steps, status.state) == ((), SettingState.NOT_APPLIED)
    assert status.message == "mode is Observe; would set common.gracefultime: unset -> 0"


def test_a_field_that_leaves_the_spec_is_handed_back() -> None:
    held = a_snapshot(a_setting(KEY, "0"), owned=TAKEN)
    kept, _ = setting_steps(declaring(0), held, NOON, UID)
    handed_back, statuses = setting_steps(declaring(None), held, NOON, UID)
    assert kept == ()
    assert [step.action for step in handed_back] == [{"key": KEY, "value": "5000"}]
    assert statuses == ()


def test_a_deletion_hands_it_back() -> None:
    (step,) = hand_back_steps(TAKEN, a_snapshot(a_setting(KEY, "0")))
    assert (step.kind, step.action["value"]) == (StepKind.SET_CONFIG, "5000")


@pytest.mark.parametrize(
    ("milliseconds", "owned", "expected"),
    [
        pytest.param(0, {}, Reason.SETTING_CHANGED, id="declared"),
        pytest.param(None, {}, Reason.NOT_MANAGED, id="not declared"),
        pytest.param(None, TAKEN, Reason.SETTING_CHANGED, id="no longer declared"),
    ],
)
def test_a_policy_about_staleness_alone_is_decided_on(
    milliseconds: int | None, owned: dict[str, OwnedKey], expected: Reason
) -> None:
    stored = (a_setting(KEY, "0"),) if owned else ()
    snapshot = replace(a_snapshot(*stored, owned=owned), workload=WORKLOAD)
    assert decide(declaring(milliseconds), snapshot, History(), NOON, policy_uid=UID).reason is expected
