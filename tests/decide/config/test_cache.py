"""The memory for loaded data is a budget that is checked, and eviction is one consistent block or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.catalogue import Intent
from milvus_tuning.decide.config.declared import Declared, declared, unsupported
from milvus_tuning.plan import SettingState
from milvus_tuning.snapshot import QueryNode, Snapshot
from tests.builders import NOON, a_snapshot
from tests.decide.config.a_policy import EVICTION, GUARD, HIGH, LOW, in_etcd, in_files, the_version
from tests.decide.config.caches import VERSION, a_cache, eviction, nodes, status

SPAN = "for loaded data on each QueryNode"
TOTAL = {EVICTION: "true", LOW: "0.47", HIGH: "0.52"}


# -- the budget -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "replicas", "state", "message"),
    [
        pytest.param(
            nodes(2, 2, 2),
            1,
            SettingState.EFFECTIVE,
            f"(8.0 GiB - 2.0 GiB) x 70 % = 4.2 GiB {SPAN}; with qn-1 lost a QueryNode must hold 3.0 GiB",
            id="it holds with one node lost",
        ),
        pytest.param(
            nodes(3, 3, 3),
            1,
            SettingState.NOT_APPLIED,
            f"(8.0 GiB - 2.0 GiB) x 70 % = 4.2 GiB {SPAN}; with qn-1 lost a QueryNode must hold 4.5 GiB, "
            "which is above it",
            id="it holds now, not with one node lost",
        ),
        pytest.param(
            nodes(5, 1, 1),
            1,
            SettingState.NOT_APPLIED,
            f"(8.0 GiB - 2.0 GiB) x 70 % = 4.2 GiB {SPAN}; the fullest QueryNode must hold 5.0 GiB, which is above it",
            id="one node is too full now",
        ),
        pytest.param(
            nodes(4),
            1,
            SettingState.EFFECTIVE,
            f"(8.0 GiB - 2.0 GiB) x 70 % = 4.2 GiB {SPAN}; the fullest QueryNode must hold 4.0 GiB",
            id="a single node has nobody to take over",
        ),
        pytest.param(
            nodes(4, 4),
            2,
            SettingState.EFFECTIVE,
            f"(8.0 GiB - 2.0 GiB) x 70 % = 4.2 GiB {SPAN}; the fullest QueryNode must hold 4.0 GiB",
            id="two replicas of one node each: the other one serves",
        ),
        pytest.param(
            nodes(2, 2, 2, 2),
            2,
            SettingState.EFFECTIVE,
            f"(8.0 GiB - 2.0 GiB) x 70 % = 4.2 GiB {SPAN}; with qn-1 lost a QueryNode must hold 4.0 GiB",
            id="two replicas of two: the other node of the replica takes all",
        ),
        pytest.param(
            (*nodes(1, 1), *nodes(0, 0, 1, limit_gib=6)[2:]),
            1,
            SettingState.EFFECTIVE,
            f"(6.0 GiB - 2.0 GiB) x 70 % = 2.8 GiB {SPAN}; with qn-1 lost a QueryNode must hold 1.5 GiB",
            id="the smallest limit counts",
        ),
        pytest.param(
            nodes(2, None, 2),
            1,
            SettingState.NOT_APPLIED,
            f"(8.0 GiB - 2.0 GiB) x 70 % = 4.2 GiB {SPAN}; whether it holds cannot be told: what is loaded is not "
            "known of qn-2",
            id="missing is not zero",
        ),
    ],
)
def test_the_budget_is_told_with_what_must_fit_into_it(
    members: Sequence[QueryNode], replicas: int, state: SettingState, message: str
) -> None:
    snapshot = a_snapshot(members, replicas=replicas)
    found = status(a_cache(reservedMemory="2Gi"), snapshot)
    assert (found.state, found.message) == (state, message)
    assert (found.key, found.effective, found.source) == (None, None, None)
    assert f" = {found.desired} {SPAN}" in message


@pytest.mark.parametrize(
    ("snapshot", "reserved", "message"),
    [
        pytest.param(a_snapshot(nodes()), "2Gi", "the memory limit is not known of any QueryNode", id="no QueryNode"),
        pytest.param(
            a_snapshot(nodes(2, 2, limit_gib=None)),
            "2Gi",
            "the memory limit is not known of qn-1, qn-2",
            id="no limits",
        ),
        pytest.param(
            a_snapshot(nodes(2, 2)),
            "8Gi",
            "reservedMemory 8.0 GiB leaves nothing of the 8.0 GiB of qn-1",
            id="all is reserved",
        ),
    ],
)
def test_without_a_budget_it_says_why(snapshot: Snapshot, reserved: str, message: str) -> None:
    found = status(a_cache(reservedMemory=reserved), snapshot)
    assert (found.state, found.desired) == (SettingState.NOT_APPLIED, None)
    assert found.message == f"there is no budget: {message}"


def test_a_placement_that_is_known_in_part_does_not_tell_whether_it_holds() -> None:
    found = status(a_cache(reservedMemory="2Gi"), a_snapshot(nodes(1, 1, 1), placement_coverage=0.5))
    assert found.state is SettingState.NOT_APPLIED
    assert found.message.endswith("cannot be told: the placement is known of 50 % of the collections")


def test_a_node_that_leaves_or_is_not_ready_is_not_counted() -> None:
    leaving = replace(nodes(1, 1, 1, limit_gib=4)[2], terminating=True)
    found = status(a_cache(reservedMemory="2Gi"), a_snapshot((*nodes(1, 1), leaving)))
    assert found.desired == "4.2 GiB"


# -- eviction ---------------------------------------------------------------------------------------------------------


def a_block(low: int, high: int, guard: int, formula: str) -> dict[Intent, Declared]:
    note = f"high watermark {high} %, low {low} %, load guard {guard} %: {formula} {SPAN}"
    values = {Intent.EVICTION_LOW: low, Intent.EVICTION_HIGH: high, Intent.EVICTION: 1}
    return {intent: Declared(intent=intent, value=value, note=note) for intent, value in values.items()}


LOWERED = (Intent.EVICTION_LOW, Intent.EVICTION_HIGH, Intent.EVICTION)
RAISED = (Intent.EVICTION_HIGH, Intent.EVICTION_LOW, Intent.EVICTION)


@pytest.mark.parametrize(
    ("spec", "stored", "block", "order"),
    [
        pytest.param(
            a_cache(reservedMemory="2Gi", eviction="Enabled"),
            {},
            a_block(47, 52, 90, "(8.0 GiB - 2.0 GiB) x 70 % = 4.2 GiB"),
            LOWERED,
            id="below the default watermarks the low one comes first",
        ),
        pytest.param(
            a_cache(usablePercent=90, eviction="Enabled"),
            {},
            a_block(85, 90, 90, "(8.0 GiB - 0 B) x 90 % = 7.2 GiB"),
            RAISED,
            id="up to the load guard; above the default watermarks the high one comes first",
        ),
        pytest.param(
            a_cache(usablePercent=60, eviction="Enabled"),
            {HIGH: "0.5", LOW: "0.45"},
            a_block(55, 60, 90, "(8.0 GiB - 0 B) x 60 % = 4.8 GiB"),
            RAISED,
            id="above those in etcd",
        ),
        pytest.param(
            a_cache(usablePercent=70, eviction="Enabled", guard=85),
            {GUARD: "80"},
            a_block(65, 70, 80, "(8.0 GiB - 0 B) x 70 % = 5.6 GiB"),
            LOWERED,
            id="the lower load guard counts, here that in etcd",
        ),
        pytest.param(
            a_cache(usablePercent=75, eviction="Enabled"),
            {GUARD: "95"},
            a_block(70, 75, 90, "(8.0 GiB - 0 B) x 75 % = 6.0 GiB"),
            LOWERED,
            id="a higher load guard in etcd may go: the default counts",
        ),
    ],
)
def test_eviction_is_given_with_its_watermarks(
    spec: MilvusTuningSpec, stored: dict[str, str], block: dict[Intent, Declared], order: tuple[Intent, ...]
) -> None:
    snapshot = a_snapshot(nodes(2, 2), settings=in_etcd(**stored))
    assert eviction(spec, snapshot) == tuple(block[intent] for intent in order)
    assert [one.intent for one in unsupported(spec, snapshot, VERSION)] == ["storage.cache"]


@pytest.mark.parametrize(
    ("spec", "snapshot", "message"),
    [
        pytest.param(
            a_cache(usablePercent=91, eviction="Enabled"),
            a_snapshot(nodes(2, 2)),
            "the high watermark of 91 % would be above the load guard of 90 %, and no QueryNode would start again: "
            "raise reservedMemory, or lower usablePercent",
            id="above the default load guard",
        ),
        pytest.param(
            a_cache(usablePercent=90, eviction="Enabled", guard=85),
            a_snapshot(nodes(2, 2)),
            "the high watermark of 90 % would be above the load guard of 85 %, and no QueryNode would start again: "
            "raise reservedMemory, or lower usablePercent",
            id="above the declared load guard",
        ),
        pytest.param(
            a_cache(usablePercent=85, eviction="Enabled", guard=90),
            a_snapshot(nodes(2, 2), settings=in_etcd(**{GUARD: "90"}), install_config=in_files(**{GUARD: "80.5"})),
            "the high watermark of 85 % would be above the load guard of 80.5 %, and no QueryNode would start again: "
            "raise reservedMemory, or lower usablePercent",
            id="above the load guard of a file, which holds again once etcd's is gone",
        ),
        pytest.param(
            a_cache(eviction="Enabled"),
            a_snapshot(nodes(2, 2), settings=in_etcd(**{GUARD: "9O"})),
            "queryCoord.overloadedMemoryThresholdPercentage is set to '9O', which is no number",
            id="a load guard that Milvus reads as 0",
        ),
        pytest.param(
            a_cache(eviction="Enabled"),
            a_snapshot(nodes(2, 2), settings=in_etcd(**{GUARD: "nan"})),
            "queryCoord.overloadedMemoryThresholdPercentage is set to 'nan', which is no number",
            id="a load guard that compares with nothing",
        ),
        pytest.param(
            a_cache(reservedMemory="7Gi", usablePercent=100, eviction="Enabled"),
            a_snapshot(nodes(2, 2)),
            "queryNode.segcore.tieredStorage.memoryLowWatermarkRatio: 7 is outside of the safe range (10 to 90)",
            id="outside of what is safe for one of the keys",
        ),
        pytest.param(
            a_cache(reservedMemory="7Gi", usablePercent=40, eviction="Enabled"),
            a_snapshot(nodes(2, 2)),
            "the budget of 410 MiB is 5 % of 8.0 GiB, too little for watermarks",
            id="no room for a low watermark",
        ),
        pytest.param(
            a_cache(reservedMemory="9Gi", eviction="Enabled"),
            a_snapshot(nodes(2, 2), settings=in_etcd(**TOTAL)),
            "reservedMemory 9.0 GiB leaves nothing of the 8.0 GiB of qn-1",
            id="no budget, whatever is in etcd",
        ),
        pytest.param(
            a_cache(eviction="Enabled"),
            a_snapshot(nodes(2, 2, limit_gib=None)),
            "the memory limit is not known of qn-1, qn-2",
            id="limits not known, and nothing in etcd",
        ),
        pytest.param(
            a_cache(eviction="Enabled"),
            a_snapshot(nodes(), settings=in_etcd(**{**TOTAL, LOW: "0.6"})),
            "the memory limit is not known of any QueryNode",
            id="limits not known, and an inconsistent block in etcd",
        ),
    ],
)
def test_what_cannot_be_consistent_is_not_given_at_all(
    spec: MilvusTuningSpec, snapshot: Snapshot, message: str
) -> None:
    assert eviction(spec, snapshot) == ()
    found = status(spec, snapshot, "storage.cache.eviction")
    assert (found.state, found.key) == (SettingState.NOT_APPLIED, None)
    assert found.message.startswith(f"neither eviction nor its watermarks are set: {message}")


def test_while_the_limits_are_not_known_the_block_in_etcd_stays() -> None:
    spec, snapshot = a_cache(eviction="Enabled"), a_snapshot(nodes(), settings=in_etcd(**TOTAL))
    note = "stays as it stands, it cannot be reckoned now: the memory limit is not known of any QueryNode"
    assert eviction(spec, snapshot) == (
        Declared(intent=Intent.EVICTION_LOW, value=47, note=note),
        Declared(intent=Intent.EVICTION_HIGH, value=52, note=note),
        Declared(intent=Intent.EVICTION, value=1, note=note),
    )
    assert [one.intent for one in unsupported(spec, snapshot, VERSION)] == ["storage.cache"]


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param({EVICTION: "true", HIGH: "0.52"}, id="a part"),
        pytest.param({**TOTAL, EVICTION: "false"}, id="switched off"),
        pytest.param({**TOTAL, LOW: "0.475"}, id="fractions of a percent, which are not ours"),
        pytest.param({**TOTAL, HIGH: "0.95"}, id="above the load guard"),
        pytest.param({**TOTAL, LOW: "x"}, id="no number"),
    ],
)
def test_only_a_whole_and_consistent_block_stays(stored: dict[str, str]) -> None:
    assert eviction(a_cache(eviction="Enabled"), a_snapshot(nodes(), settings=in_etcd(**stored))) == ()


@pytest.mark.parametrize("version", ["2.3.5", "2.5.27", "2.6.0", "2.6.3"])
def test_before_2_6_4_there_is_no_block_and_nothing_is_wrong_with_it(version: str) -> None:
    spec, snapshot = a_cache(usablePercent=95, eviction="Enabled"), a_snapshot(nodes(2, 2))
    assert eviction(spec, snapshot, version) == (Declared(intent=Intent.EVICTION, value=1),)
    assert [one.intent for one in unsupported(spec, snapshot, the_version(version))] == ["storage.cache"]


# -- what needs memory ------------------------------------------------------------------------------------------------

FULL = "all that is loaded must be in memory: 2 of 3 QueryNodes would have to hold 98 % of their memory"


@pytest.mark.parametrize(
    ("cache", "snapshot", "words"),
    [
        pytest.param({"mmap": "Enabled"}, a_snapshot(nodes(5.2, 5.2, 5.2)), None, id="mmap on needs none"),
        pytest.param({"mmap": "Disabled"}, a_snapshot(nodes(2, 2, 2)), None, id="mmap off, and it fits"),
        pytest.param(
            {"mmap": "Disabled"},
            a_snapshot(nodes(5.2, 5.2, 5.2)),
            f"without mmap {FULL}",
            id="mmap off, and it does not",
        ),
        pytest.param(
            {"mmap": "Disabled"},
            a_snapshot(nodes(4, 4, 4), settings=in_etcd(**{GUARD: "70"})),
            "a guard of 70 % would stop that",
            id="mmap off, under the load guard in etcd",
        ),
        pytest.param(
            {"mmap": "Disabled"},
            a_snapshot(nodes(2, 2, 2), settings=in_etcd(**{GUARD: "x"})),
            "is no number",
            id="mmap off, under a load guard that cannot be read",
        ),
        pytest.param(
            {"mmap": "Disabled"}, a_snapshot(nodes(2, None, 2)), "memory is not known of qn-2", id="not known"
        ),
        pytest.param({"eviction": "Disabled"}, a_snapshot(nodes(5.2, 5.2, 5.2)), None, id="eviction is off anyway"),
        pytest.param(
            {"eviction": "Disabled"},
            a_snapshot(nodes(5.2, 5.2, 5.2), settings=in_etcd(**TOTAL)),
            f"without eviction {FULL}",
            id="eviction off, and it does not fit",
        ),
        pytest.param(
            {"eviction": "Disabled"},
            a_snapshot(nodes(2, 2, 2), settings=in_etcd(**TOTAL)),
            None,
            id="eviction off, and it fits",
        ),
    ],
)
def test_what_takes_memory_is_objected_to_where_there_is_none(
    cache: dict[str, Any], snapshot: Snapshot, words: str | None
) -> None:
    found = declared(a_cache(**cache), snapshot, VERSION, NOON)
    assert found
    for one in found:
        assert (one.objection is None) if words is None else (words in (one.objection or "")), one
