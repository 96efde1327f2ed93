"""Keys that are read at start are written within one restart of their readers, and never outside of one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.catalogue import ServerVersion
from milvus_tuning.catalogue.reading import catalogue
from milvus_tuning.decide.config import restarts
from milvus_tuning.decide.config.dropped import acting_at_restart
from milvus_tuning.decide.config.settings import setting_steps
from milvus_tuning.decide.proposing.proposal import intent_digest, same_change, staleness
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
    StepState,
    Verdict,
)
from milvus_tuning.snapshot import EtcdSetting, OwnedKey, Snapshot
from tests.builders import NOON, a_change, a_spec, a_workload, some_nodes
from tests.decide.config.test_settings import UID
from tests.decide.running.running import running
from tests.decide.steps import a_key, a_restart

TASKS, IO, QUEUE = "proxy.maxTaskNum", "dataNode.dataSync.ioConcurrency", "queryNode.dataSync.flowGraph.maxQueueLength"
CAP, EVERY = "queryCoord.taskExecutionCap", "common.session.retryTimes"
V2527 = ServerVersion(2, 5, 27)
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


HELD = {TASKS.lower(): OURS}
STORED = {TASKS: "512"}


def test_a_key_that_is_stored_while_older_pods_run_needs_a_restart_alone() -> None:
    steps, _ = setting_steps(overriding(STORED), a_snapshot(STORED, owned=HELD), NOON, UID)
    (step,) = steps
    assert step.action == {
        "component": "Proxy",
        "when": "Forward",
        "keys": TASKS.lower(),
        "evidence": "inferred",  # its range is: a person must approve, as for the write
    }
    _, statuses = judged(overriding(STORED), a_snapshot(STORED, owned=HELD))
    assert statuses[TASKS].state is SettingState.PENDING_RESTART
    assert statuses[TASKS].message.endswith(
        "reads it at the next start (effect or range is inferred); a plan restarts Proxy"
    )


@pytest.mark.parametrize(
    ("owned", "since", "state"),
    [
        pytest.param(None, None, SettingState.NO_EVIDENCE, id="somebody else's value, equal by chance"),
        pytest.param(
            replace(OURS, written_at=None), None, SettingState.NO_EVIDENCE, id="ours, since nobody knows when"
        ),
        pytest.param(replace(OURS, written="77"), None, SettingState.NO_EVIDENCE, id="somebody has written it since"),
        pytest.param(OURS, timedelta(minutes=30), SettingState.EFFECTIVE, id="the pods are younger"),
        pytest.param(OURS, timedelta(minutes=60, seconds=59), SettingState.PENDING_RESTART, id="clocks may differ"),
    ],
)
def test_nothing_restarts_for_what_is_not_ours_or_is_read_already(
    owned: OwnedKey | None, since: timedelta | None, state: SettingState
) -> None:
    snapshot = a_snapshot(STORED, owned=None if owned is None else {TASKS.lower(): owned})
    if since is not None:
        snapshot = running(snapshot, components=("Proxy",), started_at=NOON - since)
    steps, statuses = judged(overriding(STORED), snapshot)
    assert (steps, statuses[TASKS].state) == ([], state)
    assert "a plan restarts" not in statuses[TASKS].message


def test_what_is_written_and_what_is_stored_already_go_into_one_change() -> None:
    steps, _ = judged(overriding({TASKS: "512", IO: "8"}), a_snapshot(STORED, owned=HELD))
    assert steps == ["Back DataNode", f"{IO.lower()}=8", "Forward DataNode", "Forward Proxy"], (
        "on the way back the proxies keep what they had"
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"mode": "Observe"}, "mode is Observe", id="Observe"),
        pytest.param({"paused": True}, "paused", id="paused"),
    ],
)
def test_the_restart_alone_needs_leave_as_well(changes: dict[str, Any], why: str) -> None:
    steps, statuses = judged(overriding(STORED, **changes), a_snapshot(STORED, owned=HELD))
    assert steps == []
    assert statuses[TASKS].message.endswith(f"a plan restarts Proxy; {why}")


def rolled_back(*steps: Step) -> Operation:
    return Operation(
        operation_id="an hour ago",
        reason=Reason.SETTING_CHANGED,
        message="",
        started_at=NOON - timedelta(hours=1),
        steps=tuple(StepRecord(step=step, state=StepState.DONE) for step in steps),
        verdict=Verdict.ROLLED_BACK,
        verdict_message="searches got slower",
    )


@pytest.mark.parametrize(
    ("operation", "again"),
    [
        pytest.param(rolled_back(a_restart("Proxy")), False, id="this very restart"),
        pytest.param(rolled_back(a_restart("DataNode"), a_restart("Proxy")), False, id="among others"),
        pytest.param(rolled_back(a_restart("DataNode")), True, id="that of another component"),
        pytest.param(
            rolled_back(a_key(TASKS.lower(), after="512"), a_restart("Proxy")),
            False,
            id="the write with its restart, whose key could not be withdrawn",
        ),
        pytest.param(
            rolled_back(a_key(TASKS.lower(), after="77"), a_restart("Proxy")), True, id="a write of another value"
        ),
    ],
)
def test_a_restart_that_was_rolled_back_is_not_made_again_for_a_day(operation: Operation, *, again: bool) -> None:
    snapshot = a_snapshot(STORED, owned=HELD)
    steps, (status,) = setting_steps(overriding(STORED), snapshot, NOON, UID, rollbacks=[operation])
    assert (bool(steps), status.state) == (again, SettingState.PENDING_RESTART)
    assert ("that was rolled back at" in status.message) is not again


def test_many_keys_are_named_within_the_room_of_a_step() -> None:
    known = [key.name for key in catalogue().keys.values() if key.restarts(V2527) == "DataNode"]
    _, statuses = judged(overriding(dict.fromkeys(known, "7")), a_snapshot())
    stored = {key: "7" for key, one in statuses.items() if one.state is SettingState.PENDING_RESTART}
    assert len(stored) > restarts.MOST_NAMED
    held = {key.lower(): replace(OURS, written="7") for key in stored}
    (step,), _ = setting_steps(overriding(stored), a_snapshot(stored, owned=held), NOON, UID)
    assert str(step.action["keys"]).endswith(" more")
    assert len(str(step.action["keys"])) < 1024


def a_cluster(stored: dict[str, str], pods_since: timedelta) -> Snapshot:
    nodes = some_nodes(2)
    snapshot = replace(a_snapshot(stored, owned=HELD), workload=a_workload(nodes), query_nodes=nodes)
    return running(snapshot, components=("DataNode", "Proxy"), started_at=NOON - pods_since)


@pytest.mark.parametrize(
    ("snapshot", "wanted"),
    [
        pytest.param(a_cluster(STORED, timedelta(days=1)), True, id="the pods are older still"),
        pytest.param(a_cluster(STORED, timedelta(minutes=5)), False, id="somebody has replaced them"),
        pytest.param(
            a_cluster({TASKS: "77"}, timedelta(days=1)), True, id="another value: another change is called for"
        ),
    ],
)
def test_a_plan_that_only_restarts_is_stale_once_the_pods_are_younger(snapshot: Snapshot, *, wanted: bool) -> None:
    spec = overriding(STORED)
    steps, _ = setting_steps(spec, a_cluster(STORED, timedelta(days=1)), NOON, UID)
    change = a_change(steps=steps, policy_uid=UID, intent_digest=intent_digest(spec), reason=Reason.SETTING_CHANGED)
    nothing = Decision(reason=Reason.PAUSED, message="paused")
    assert (staleness(Plan(name="rag-1", change=change), spec, snapshot, nothing) is None) is wanted


def test_restarts_of_two_components_are_two_changes() -> None:
    assert not same_change([a_restart("Proxy")], [a_restart("DataNode")])
    assert same_change([a_restart("Proxy")], [a_restart("Proxy", count=3)])
