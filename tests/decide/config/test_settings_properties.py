"""Settings come to rest: the next judgement finds what the steps wrote, and letting go leaves nothing of ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.api import (
    Consistency,
    LoadBalancing,
    MilvusTuningSpec,
    Mode,
    PlacementOwner,
    TargetKind,
    TargetReference,
)
from milvus_tuning.catalogue import normalised, parse_version
from milvus_tuning.catalogue.reading import catalogue
from milvus_tuning.decide.config.dropped import reader_at_start
from milvus_tuning.decide.config.settings import setting_steps
from milvus_tuning.plan import SettingState, SettingStatus, Step, StepKind
from milvus_tuning.snapshot import EtcdSetting, OwnedKey, Snapshot
from tests.decide.running.running import running

NOW, UID = datetime(2026, 1, 1, tzinfo=UTC), "policy-1"
KEYS = (
    "querycoord.autobalanceinterval",
    "querycoord.scoreunbalancetolerationfactor",
    "querycoord.autobalance",
    "common.gracefultime",
    "proxy.maxtasknum",
)
VERSIONS = ("2.3.5", "2.3.21", "2.4.22", "2.4.23", "2.5.2", "2.5.27", "2.6.22", "2.6.23", "3.0.0", "3.0.1", "3.1.0")
OVERRIDES = {
    "proxy.maxTaskNum": "512",
    "queryCoord.taskExecutionCap": "64",
    "queryNode.grouping.maxNQ": "500",
    "dataCoord.segment.maxSize": "1024",
    "queryCoord.autoBalance": "false",
    "proxy.retryTimesOnReplica": "3",
    "proxy/retryTimesOnReplica": "4",
    "queryNode.ioPoolSize": "8",
    "dataNode.dataSync.ioConcurrency": "8",
    "common.session.retryTimes": "40",
    "proxy.maxTaskNumber": "12",
    "etcd.rootPath": "mine",
    "common.retentionDuration": "0",
    "dataCoord.gc.interval": "soon",
}


def a_spec(
    balancing: LoadBalancing | None, consistency: Consistency | None = None, overrides: dict[str, str] | None = None
) -> MilvusTuningSpec:
    return MilvusTuningSpec(
        target_ref=TargetReference(kind=TargetKind.MILVUS, name="milvus"),
        mode=Mode.AUTO,
        load_balancing=balancing,
        consistency=consistency,
        config_overrides=overrides,
    )


def an_entry(key: str, value: str, *, leased: bool = False) -> EtcdSetting:
    return EtcdSetting(key=key, value=value, spellings=(key,), revision=1, leased=leased)


balancings = st.builds(
    LoadBalancing,
    placement_owner=st.none() | st.sampled_from(PlacementOwner),
    balance_interval_seconds=st.none() | st.integers(1, 3600),
    balance_tolerance_percent=st.none() | st.integers(1, 100),
)
consistencies = st.none() | st.builds(Consistency, staleness_milliseconds=st.none() | st.integers(0, 3_600_000))
overrides = st.sets(st.sampled_from(sorted(OVERRIDES))).map(lambda keys: {key: OVERRIDES[key] for key in sorted(keys)})
specs = st.builds(a_spec, balancings, consistencies, overrides)
snapshots = st.builds(
    lambda version, settings: running(
        Snapshot(
            taken_at=NOW,
            milvus_version=version,
            settings={normalised(key): an_entry(key, value) for key, value in settings.items()},
            settings_readable=True,
            etcd_root_path="by-dev",
        )
    ),
    st.sampled_from(VERSIONS),
    st.dictionaries(st.sampled_from(KEYS), st.sampled_from(("false", "true", "3000", "0.05"))),
)


def after(steps: tuple[Step, ...], snapshot: Snapshot) -> Snapshot:
    """What etcd holds and the processes show once the steps are carried out, records included."""
    settings, owned = dict(snapshot.settings), dict(snapshot.owned_keys.get(UID, {}))
    restarted = {step.action["component"] for step in steps if step.kind is StepKind.RESTART_COMPONENT}
    for step in steps:
        if step.kind is StepKind.RESTART_COMPONENT:
            continue
        key, value = str(step.action["key"]), step.action["value"]
        entry = settings.pop(normalised(key), None)
        record = owned.pop(key, None)
        before = record.previous if record is not None else entry.value if entry else None
        if value is not None:
            taken = step.kind is StepKind.TAKE_PLACEMENT
            settings[normalised(key)] = an_entry(key, str(value), leased=taken)
        if value != before:
            written = None if value is None else str(value)
            owned[key] = OwnedKey(previous=before, written=written, written_at=NOW - timedelta(minutes=2))
    changed = running(replace(snapshot, settings=settings, owned_keys={UID: owned}))
    return replace(
        changed,
        components=tuple(
            replace(now, started_at=NOW - timedelta(minutes=1) if now.component in restarted else before.started_at)
            for now, before in zip(changed.components, snapshot.components, strict=True)
        ),
    )


def changes(spec: MilvusTuningSpec, snapshot: Snapshot, *, damping: bool = False) -> list[tuple[Step, ...]]:
    """The changes that it takes until nothing is to be done any more; there are few, or this fails."""
    made: list[tuple[Step, ...]] = []
    for _ in range(8):
        steps, _ = setting_steps(spec, snapshot, NOW, UID, damping=damping)
        if not steps:
            return made
        made.append(steps)
        snapshot = after(steps, snapshot)
    raise AssertionError(f"does not come to rest: {made}")


def in_the_end(spec: MilvusTuningSpec, snapshot: Snapshot, *, damping: bool = False) -> Snapshot:
    """The cluster after all of these changes."""
    for steps in changes(spec, snapshot, damping=damping):
        snapshot = after(steps, snapshot)
    return snapshot


def statuses_of(spec: MilvusTuningSpec, snapshot: Snapshot) -> tuple[SettingStatus, ...]:
    return setting_steps(spec, snapshot, NOW, UID)[1]


def keys_of(steps: tuple[Step, ...]) -> list[str]:
    return [str(step.action["key"]) for step in steps if step.kind is not StepKind.RESTART_COMPONENT]


def is_held_up(status: SettingStatus) -> bool:
    """Whether the message says why the plan with the restart cannot be made now, after what it would do."""
    return status.message.partition(" and restarts ")[2].count("; ") > 0


@given(specs, snapshots)
def test_judging_again_on_the_result_asks_for_nothing(spec: MilvusTuningSpec, snapshot: Snapshot) -> None:
    end = in_the_end(spec, snapshot)
    assert setting_steps(spec, end, NOW, UID)[0] == ()
    for status in statuses_of(spec, end):
        assert status.state is not SettingState.APPLYING
        assert status.state is not SettingState.PENDING_RESTART or is_held_up(status)


@given(specs, snapshots)
def test_live_keys_go_first_and_keys_read_at_start_stand_between_both_halves_of_a_restart(
    spec: MilvusTuningSpec, snapshot: Snapshot
) -> None:
    version = parse_version(snapshot.milvus_version)
    made = changes(spec, snapshot)
    for steps in made:
        at_start = [key for key in keys_of(steps) if reader_at_start(key, version) is not None]
        halves = [step.action.get("when") for step in steps]
        if not at_start:
            assert set(halves) == {None}
            continue
        assert at_start == keys_of(steps)
        assert sorted(set(halves), key=halves.index) == ["Back", None, "Forward"]
        assert halves.count("Back") == halves.count("Forward")
    with_restart = [any(step.kind is StepKind.RESTART_COMPONENT for step in steps) for steps in made]
    assert with_restart == sorted(with_restart)


@given(specs, snapshots)
def test_only_keys_of_the_catalogue_are_written_and_none_that_is_refused_or_does_nothing(
    spec: MilvusTuningSpec, snapshot: Snapshot
) -> None:
    version = parse_version(snapshot.milvus_version)
    written = {normalised(key) for steps in changes(spec, snapshot) for key in keys_of(steps)}
    assert version is not None
    for key in written:
        known = catalogue().find(key)
        assert known is not None
        assert known.effect(version) is None
    never = {SettingState.REFUSED, SettingState.DEAD, SettingState.UNSUPPORTED}
    standing = [status for status in statuses_of(spec, snapshot) if status.state not in never]
    assert written <= {normalised(status.key or "") for status in standing}


@given(specs, snapshots)
def test_letting_go_leaves_everything_as_it_was(spec: MilvusTuningSpec, snapshot: Snapshot) -> None:
    let_go = in_the_end(a_spec(None), in_the_end(spec, snapshot))
    values = {key: entry.value for key, entry in snapshot.settings.items()}
    assert {key: entry.value for key, entry in let_go.settings.items()} == values
    assert let_go.owned_keys in ({}, {UID: {}})


@given(balancings, snapshots)
def test_a_staleness_that_is_not_declared_is_never_written(balancing: LoadBalancing, snapshot: Snapshot) -> None:
    steps, _ = setting_steps(a_spec(balancing, Consistency()), snapshot, NOW, UID)
    assert "common.gracefultime" not in keys_of(steps)


@given(specs, snapshots)
def test_every_declared_intent_has_a_status_and_every_write_its_four_parts(
    spec: MilvusTuningSpec, snapshot: Snapshot
) -> None:
    steps, statuses = setting_steps(spec, snapshot, NOW, UID)
    parts = [spec.load_balancing, spec.consistency]
    declared = [value for part in parts if part for value in part.model_dump().values() if value is not None]
    assert len(statuses) == len(declared) + len(spec.config_overrides or {})
    assert len({status.intent for status in statuses}) == len(statuses)
    for step in steps:
        name = "component" if step.kind is StepKind.RESTART_COMPONENT else "key"
        assert step.precondition[name] == step.action[name] == step.verification[name] == step.undo[name]
        assert step.undo.get("value") == step.precondition.get("value")
