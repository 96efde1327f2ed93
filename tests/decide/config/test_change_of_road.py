"""From one road to the other: the old one is left first, no key is held on both, and everything goes back."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.catalogue import normalised
from milvus_tuning.decide.config.settings import setting_steps
from milvus_tuning.plan import MILVUS_RESOURCE, ROAD, Step
from milvus_tuning.snapshot import EtcdSetting, OwnedKey, ResourceConfig, Snapshot
from tests.builders import NOON
from tests.decide.config.roads import (
    INTERVAL,
    LEAF,
    TOLERANCE,
    UID,
    a_snapshot,
    a_spec,
    judged,
    ours,
    stored,
    written,
)
from tests.decide.running.running import running

ROADS = [None, MILVUS_RESOURCE]


def after(snapshot: Snapshot, steps: tuple[Step, ...]) -> Snapshot:
    """The snapshot once the steps are made, with the records of what was there."""
    config = snapshot.resource_config or ResourceConfig()
    places: dict[object, dict[str, EtcdSetting]] = {
        None: dict(snapshot.settings),
        MILVUS_RESOURCE: dict(config.settings),
    }
    records: dict[object, dict[str, OwnedKey]] = {
        None: dict(snapshot.owned_keys.get(UID, {})),
        MILVUS_RESOURCE: dict(config.owned_keys.get(UID, {})),
    }
    for step in steps:
        road, key, value = step.action.get(ROAD), str(step.action["key"]), step.action["value"]
        name, held = normalised(key), records[road].get(key)
        present = places[road].get(name)
        if held is not None and held.previous == value:
            del records[road][key]
        else:
            previous = held.previous if held else present.value if present else None
            records[road][key] = ours(str(value), previous)
        places[road].pop(name, None)
        if value is not None:
            places[road] |= stored({key: str(value)})
    leaves = {key: one.value for key, one in places[MILVUS_RESOURCE].items()}
    changed = replace(
        snapshot,
        settings=places[None],
        owned_keys={UID: records[None]},
        install_config=leaves,
        resource_config=replace(
            config, settings=places[MILVUS_RESOURCE], owned_keys={UID: records[MILVUS_RESOURCE]}, rendered=leaves
        ),
    )
    return running(changed)


def holds(snapshot: Snapshot) -> dict[object, set[str]]:
    """The keys that are held, by road."""
    config = snapshot.resource_config or ResourceConfig()
    return {None: set(snapshot.owned_keys.get(UID, {})), MILVUS_RESOURCE: set(config.owned_keys.get(UID, {}))}


@given(
    course=st.lists(
        st.tuples(st.sampled_from(ROADS), st.sampled_from([None, 30, 60]), st.sampled_from([None, 10, 20])),
        min_size=1,
        max_size=5,
    ),
    beneath=st.dictionaries(st.sampled_from([INTERVAL, TOLERANCE]), st.just("7000"), max_size=2),
    patience=st.integers(1, 4),
)
def test_no_key_is_held_twice_and_everything_goes_back(
    course: list[tuple[str | None, int | None, int | None]], beneath: dict[str, str], patience: int
) -> None:
    snapshot = a_snapshot(leaves=beneath)
    leaves = {normalised(key): value for key, value in beneath.items()}
    for road, interval, tolerance in [*course, (course[-1][0], None, None)]:
        numbers = {"balanceIntervalSeconds": interval, "balanceTolerancePercent": tolerance}
        declared = {name: value for name, value in numbers.items() if value is not None}
        spec = a_spec(road, **({"loadBalancing": declared} if declared else {}))
        for _ in range(patience if declared else 4):  # the declaration may change before all is done
            steps, _ = setting_steps(spec, snapshot, NOON, UID)
            for step in steps:
                snapshot = after(snapshot, (step,))
                held = holds(snapshot)
                assert not held[None] & held[MILVUS_RESOURCE]
        if patience == 4:
            assert holds(snapshot)[MILVUS_RESOURCE if road is None else None] == set()
    assert holds(snapshot) == {None: set(), MILVUS_RESOURCE: set()}
    assert snapshot.settings == {}
    assert snapshot.install_config == leaves


def test_the_old_road_is_left_before_the_new_one_is_taken() -> None:
    held = a_snapshot(leaves=LEAF, held={INTERVAL: ours("60000")})
    spec = a_spec(None, loadBalancing={"balanceIntervalSeconds": 90})
    first, status = judged(spec, held)
    assert written(first) == [(MILVUS_RESOURCE, INTERVAL, None)]
    assert "once it is handed back in spec.config" in status.message
    second, _ = judged(spec, after(held, first))
    assert written(second) == [(None, INTERVAL, "90000")]


def test_what_is_held_in_an_object_that_may_not_be_written_stays_and_is_said() -> None:
    snapshot = a_snapshot(leaves=LEAF, held={INTERVAL: ours("60000")}, trouble="it would roll")
    for road in ROADS:
        steps, statuses = setting_steps(a_spec(road), snapshot, NOON, UID)
        assert steps == ()
        assert ["it would roll" in one.message for one in statuses] == [True]
