"""Keys that are read at start are written within one restart of their readers, and never outside of one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.decide.config import restarts
from milvus_tuning.decide.config.dropped import acting_at_restart
from milvus_tuning.decide.settings import setting_steps
from milvus_tuning.plan import SettingState, SettingStatus, Step, StepKind
from milvus_tuning.snapshot import EtcdSetting, OwnedKey, Snapshot
from tests.builders import NOON, a_spec
from tests.decide.running import running
from tests.decide.test_settings import UID

TASKS, IO, QUEUE = "proxy.maxTaskNum", "dataNode.dataSync.ioConcurrency", "queryNode.dataSync.flowGraph.maxQueueLength"
CAP, EVERY = "queryCoord.taskExecutionCap", "common.session.retryTimes"
OURS = OwnedKey(previous="1024", written="512", written_at=NOON - timedelta(hours=1))


def overriding(keys: dict[str, str], **changes: Any) -> MilvusTuningSpec:
    return a_spec(config_overrides=keys, **changes)


def a_snapshot(
    stored: dict[str, str] | None = None,
    *,
    owned: dict[str, OwnedKey] | None = None,
    components: tuple[str, ...] = ("DataNode", "MixCoord", "Proxy", "QueryNode"),
) -> Snapshot:
    entries = {
        key.lower().replace(".", ""): EtcdSetting(key=key.lower(), value=value, spellings=(key.lower(),), revision=1)
        for key, value in (stored or {}).items()
    }
    snapshot = Snapshot(
        taken_at=NOON,
        milvus_version="2.5.27",
        settings=entries,
        settings_readable=True,
        etcd_root_path="by-dev",
        owned_keys={UID: owned} if owned else {},
    )
    return running(snapshot, components=components)


def judged(
    spec: MilvusTuningSpec, snapshot: Snapshot, *, at_work: tuple[Step, ...] = ()
) -> tuple[list[str], dict[str, SettingStatus]]:
    """The steps in a word each, and the statuses by the key that is overridden."""
    steps, statuses = setting_steps(spec, snapshot, NOON, UID, at_work=at_work)
    return [in_a_word(step) for step in steps], {one.intent.removeprefix("configOverrides."): one for one in statuses}


def in_a_word(step: Step) -> str:
    if step.kind is StepKind.RESTART_COMPONENT:
        return f"{step.action['when']} {step.action['component']}"
    return f"{step.action['key']}={step.action['value']}"


def test_all_keys_that_are_read_at_start_are_one_change() -> None:
    steps, statuses = judged(overriding({TASKS: "512", IO: "8"}), a_snapshot())
    assert sorted(steps[:2]) == ["Back DataNode", "Back Proxy"]
    assert steps[2:4] == [f"{IO.lower()}=8", f"{TASKS.lower()}=512"]
    assert sorted(steps[4:]) == ["Forward DataNode", "Forward Proxy"]
    assert {one.state for one in statuses.values()} == {SettingState.PENDING_RESTART}
    assert statuses[TASKS].message.endswith(
        "a plan sets proxy.maxtasknum: unset -> 512 and restarts Proxy (effect or range is inferred)"
    )


def test_live_keys_go_first() -> None:
    steps, statuses = judged(overriding({TASKS: "512", CAP: "64"}), a_snapshot())
    assert steps == [f"{CAP.lower()}=64"]
    assert statuses[TASKS].message.endswith("(effect or range is inferred); after the keys that are read live")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"mode": "Observe"}, "mode is Observe", id="Observe"),
        pytest.param({"paused": True}, "paused", id="paused"),
    ],
)
def test_without_leave_to_act_the_restart_is_told_and_not_made(changes: dict[str, Any], why: str) -> None:
    steps, statuses = judged(overriding({TASKS: "512"}, **changes), a_snapshot())
    assert steps == []
    assert statuses[TASKS].state is SettingState.PENDING_RESTART
    assert statuses[TASKS].message.endswith(f"(effect or range is inferred); {why}")


def test_what_a_plan_has_no_room_for_follows_in_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarts, "MOST_STEPS", 10)
    known = [
        "dataNode.channel.workPoolSize",
        "dataNode.dataSync.flowGraph.maxParallelism",
        "dataNode.dataSync.flowGraph.maxQueueLength",
        IO,
        "proxy.checkWorkloadRequestNum",
        TASKS,
        "proxy.retryTimesOnReplica",
    ]
    steps, statuses = judged(overriding(dict.fromkeys(known, "7")), a_snapshot())
    assert len(steps) == 10
    assert "proxy.retrytimesonreplica=7" not in steps
    assert "in the plan after that of datanode.channel.workpoolsize" in statuses["proxy.retryTimesOnReplica"].message


def test_while_the_plan_is_at_work_the_key_is_being_applied() -> None:
    spec = overriding({TASKS: "512"})
    at_work, _ = setting_steps(spec, a_snapshot(), NOON, UID)
    before = judged(spec, a_snapshot(), at_work=at_work)
    written = a_snapshot({TASKS: "512"}, owned={TASKS.lower(): replace(OURS, written_at=NOON)})
    for steps, statuses in (before, judged(spec, written, at_work=at_work)):
        assert (steps, statuses[TASKS].state) == ([], SettingState.APPLYING)
    assert judged(spec, written)[1][TASKS].state is SettingState.PENDING_RESTART


def test_a_key_that_is_no_longer_declared_is_handed_back_within_a_restart() -> None:
    steps, statuses = judged(overriding({}), a_snapshot({TASKS: "512"}, owned={TASKS.lower(): OURS}))
    assert steps == ["Back Proxy", "proxy.maxtasknum=1024", "Forward Proxy"]
    status = statuses[TASKS]
    assert (status.state, status.desired, status.effective, status.component) == (
        SettingState.PENDING_RESTART,
        "1024",
        "512",
        "Proxy",
    )
    assert status.message == (
        "no longer declared, and read by Proxy at start only; a plan hands back proxy.maxtasknum: 512 -> 1024 and "
        "restarts Proxy"
    )


@pytest.mark.parametrize(
    "stored", [pytest.param({TASKS: "77"}, id="somebody else's"), pytest.param({TASKS: "1024"}, id="as before us")]
)
def test_where_handing_back_changes_no_value_nothing_restarts(stored: dict[str, str]) -> None:
    steps, statuses = judged(overriding({}), a_snapshot(stored, owned={TASKS.lower(): OURS}))
    assert (steps, statuses) == (["proxy.maxtasknum=1024"], {})


@pytest.mark.parametrize(
    ("stored", "version", "expected"),
    [
        pytest.param({TASKS: "512"}, "2.5.27", f"{TASKS} acts at the next restart of Proxy", id="at start"),
        pytest.param({TASKS: "77"}, "2.5.27", None, id="somebody else's, which stays"),
        pytest.param({TASKS: "512"}, None, None, id="version not known"),
        pytest.param({CAP: "512"}, "2.5.27", None, id="read live"),
        pytest.param({"some.key": "512"}, "2.5.27", None, id="read by nobody"),
    ],
)
def test_on_deletion_it_is_said_what_acts_at_the_next_restart_only(
    stored: dict[str, str], version: str | None, expected: str | None
) -> None:
    record = {key.lower(): OURS for key in stored}
    assert acting_at_restart(record, replace(a_snapshot(stored), milvus_version=version)) == expected
