"""Settings come to rest: the next judgement finds what the steps wrote, and letting go leaves nothing of ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

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
from milvus_tuning.catalogue import normalised
from milvus_tuning.decide.settings import setting_steps
from milvus_tuning.plan import SettingState, Step, StepKind
from milvus_tuning.snapshot import EtcdSetting, OwnedKey, Snapshot

NOW, UID = datetime(2026, 1, 1, tzinfo=UTC), "policy-1"
KEYS = (
    "querycoord.autobalanceinterval",
    "querycoord.scoreunbalancetolerationfactor",
    "querycoord.autobalance",
    "common.gracefultime",
)
VERSIONS = ("2.3.5", "2.3.21", "2.4.22", "2.4.23", "2.5.2", "2.5.27", "2.6.22", "2.6.23", "3.0.0", "3.0.1", "3.1.0")


def a_spec(balancing: LoadBalancing | None, consistency: Consistency | None = None) -> MilvusTuningSpec:
    target = TargetReference(kind=TargetKind.MILVUS, name="milvus")
    return MilvusTuningSpec(target_ref=target, mode=Mode.AUTO, load_balancing=balancing, consistency=consistency)


def an_entry(key: str, value: str, *, leased: bool = False) -> EtcdSetting:
    return EtcdSetting(key=key, value=value, spellings=(key,), revision=1, leased=leased)


balancings = st.builds(
    LoadBalancing,
    placement_owner=st.none() | st.sampled_from(PlacementOwner),
    balance_interval_seconds=st.none() | st.integers(1, 3600),
    balance_tolerance_percent=st.none() | st.integers(1, 100),
)
consistencies = st.none() | st.builds(Consistency, staleness_milliseconds=st.none() | st.integers(0, 3_600_000))
snapshots = st.builds(
    lambda version, settings: Snapshot(
        taken_at=NOW,
        milvus_version=version,
        settings={normalised(key): an_entry(key, value) for key, value in settings.items()},
        settings_readable=True,
        etcd_root_path="by-dev",
    ),
    st.sampled_from(VERSIONS),
    st.dictionaries(st.sampled_from(KEYS), st.sampled_from(("false", "true", "3000", "0.05"))),
)


def after(steps: tuple[Step, ...], snapshot: Snapshot) -> Snapshot:
    """What etcd holds once the steps are carried out, records included."""
    settings, owned = dict(snapshot.settings), dict(snapshot.owned_keys.get(UID, {}))
    for step in steps:
        key, value = str(step.action["key"]), step.action["value"]
        entry = settings.pop(normalised(key), None)
        record = owned.pop(key, None)
        before = record.previous if record is not None else entry.value if entry else None
        if value is not None:
            taken = step.kind is StepKind.TAKE_PLACEMENT
            settings[normalised(key)] = an_entry(key, str(value), leased=taken)
        if value != before:
            owned[key] = OwnedKey(previous=before, written=None if value is None else str(value))
    return replace(snapshot, settings=settings, owned_keys={UID: owned})


@given(balancings, consistencies, snapshots)
def test_judging_again_on_the_result_asks_for_nothing(
    balancing: LoadBalancing, consistency: Consistency | None, snapshot: Snapshot
) -> None:
    spec = a_spec(balancing, consistency)
    steps, _ = setting_steps(spec, snapshot, NOW, UID)
    again, statuses = setting_steps(spec, after(steps, snapshot), NOW, UID)
    assert again == ()
    assert all(status.state is not SettingState.APPLYING for status in statuses)


@given(balancings, consistencies, snapshots)
def test_letting_go_leaves_everything_as_it_was(
    balancing: LoadBalancing, consistency: Consistency | None, snapshot: Snapshot
) -> None:
    steps, _ = setting_steps(a_spec(balancing, consistency), snapshot, NOW, UID)
    held = after(steps, snapshot)
    back, _ = setting_steps(a_spec(None), held, NOW, UID)
    let_go = after(back, held)
    values = {key: entry.value for key, entry in snapshot.settings.items()}
    assert {key: entry.value for key, entry in let_go.settings.items()} == values
    assert let_go.owned_keys == {UID: {}}


@given(balancings, snapshots)
def test_a_staleness_that_is_not_declared_is_never_written(balancing: LoadBalancing, snapshot: Snapshot) -> None:
    steps, _ = setting_steps(a_spec(balancing, Consistency()), snapshot, NOW, UID)
    assert "common.gracefultime" not in [step.action["key"] for step in steps]


@given(balancings, consistencies, snapshots)
def test_every_declared_intent_has_a_status_and_every_step_its_four_parts(
    balancing: LoadBalancing, consistency: Consistency | None, snapshot: Snapshot
) -> None:
    steps, statuses = setting_steps(a_spec(balancing, consistency), snapshot, NOW, UID)
    parts = [balancing.model_dump(), consistency.model_dump() if consistency else {}]
    declared = [value for part in parts for value in part.values() if value is not None]
    assert len(statuses) == len(declared)
    for step in steps:
        assert step.precondition["key"] == step.action["key"] == step.verification["key"] == step.undo["key"]
        assert step.undo["value"] == step.precondition["value"]
