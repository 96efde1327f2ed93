"""A profile beside the spec: each proposal of each profile whole, each declared field before it, nothing taken."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from milvus_tuning.api import MilvusTuningSpec, ProfileName
from milvus_tuning.catalogue.profiles import profiles, read_profiles
from milvus_tuning.decide.config.profile import profile_view
from milvus_tuning.decide.config.settings import setting_steps
from milvus_tuning.decide.proposing.proposal import intent_digest
from tests.builders import NOON, a_snapshot, a_spec

NEWER = read_profiles(
    "RAG:\n  revisions:\n"
    '    1: {goals: [], proposals: [{field: network.compression, value: Enabled, source: "first"}]}\n'
    '    2: {goals: [], proposals: [{field: network.compression, value: Auto, source: "second"}]}\n'
)
PROPOSED: dict[str, dict[str, str]] = {
    "RAG": {
        "consistency.collections": "Bounded",
        "inMemoryReplicas.minCount": "2",
        "network.compression": "Enabled",
        "storage.cache": "20G",
        "storage.wal.flushIntervalMilliseconds": "5000",
    },
    "Recommendation": {
        "consistency.collections": "Eventually",
        "inMemoryReplicas.minCount": "3",
        "inMemoryReplicas.maxCount": "8",
        "network.compression": "Disabled",
        "storage.cache": "50G",
        "storage.cache.warmup": "Sync",
        "storage.cache.mmap": "Disabled",
    },
    "UserData": {
        "consistency.collections": "Session",
        "inMemoryReplicas.minCount": "2",
        "storage.cache.eviction": "Enabled",
    },
    "Finance": {
        "consistency.collections": "Strong",
        "inMemoryReplicas.minCount": "2",
        "storage.cache.mmap": "Disabled",
    },
}
GOALS: dict[str, dict[str, str]] = {
    "RAG": {
        "objectives.searchesPerSecond": "6500",
        "objectives.searchLatencyP99Milliseconds": "85",
        "availability": "99.95",
    },
    "Recommendation": {
        "objectives.searchesPerSecond": "12000",
        "objectives.searchLatencyP99Milliseconds": "45",
        "availability": "99.99",
    },
    "UserData": {},
    "Finance": {},
}
EVERYTHING: dict[str, Any] = {
    "objectives": {"searchesPerSecond": 100, "searchLatencyP99Milliseconds": 200},
    "in_memory_replicas": {"maxCount": 4},
    "network": {"compression": "Auto"},
    "storage": {
        "wal": {"flushIntervalMilliseconds": 200},
        "cache": {"reservedMemory": "8Gi", "warmup": "Async", "mmap": "Enabled", "eviction": "Disabled"},
    },
    "consistency": {
        "collections": [
            {"name": "products", "level": "Bounded"},
            {"name": "orders", "level": "Strong"},
            {"name": "users", "level": "Bounded"},
        ]
    },
}
DECLARED = {
    "consistency.collections": "Bounded (2 collections), Strong (1 collection)",
    "inMemoryReplicas.minCount": "1",
    "inMemoryReplicas.maxCount": "4",
    "network.compression": "Auto",
    "storage.cache": "(limit - 8Gi) x 70 %",
    "storage.wal.flushIntervalMilliseconds": "200",
    "storage.cache.warmup": "Async",
    "storage.cache.mmap": "Enabled",
    "storage.cache.eviction": "Disabled",
}


def pinned(name: str, revision: int = 1, **changes: Any) -> MilvusTuningSpec:
    return a_spec(profile={"name": name, "revision": revision}, **changes)


def test_without_a_profile_there_is_no_view() -> None:
    assert profile_view(a_spec()) is None


@pytest.mark.parametrize("name", list(ProfileName))
def test_what_is_not_declared_is_proposed(name: str) -> None:
    view = profile_view(pinned(name))
    assert view is not None
    assert {row.field: row.proposed for row in view.rows} == PROPOSED[name]
    assert {goal.goal: str(goal.wanted) for goal in view.goals} == GOALS[name]
    assert [row.declared for row in view.rows] == [None] * len(PROPOSED[name])
    assert all(row.source for row in view.rows)
    assert (view.name, view.revision, view.newest_revision, view.message) == (name, 1, 1, "")


@pytest.mark.parametrize("name", list(ProfileName))
def test_each_field_of_the_spec_beats_the_profile(name: str) -> None:
    view = profile_view(pinned(name, **EVERYTHING))
    assert view is not None
    assert {row.field: (row.proposed, row.declared) for row in view.rows} == {
        field: (value, DECLARED[field]) for field, value in PROPOSED[name].items()
    }
    wanted = {goal.goal: goal.wanted for goal in view.goals}
    declared = {
        "objectives.searchesPerSecond": Decimal(100),
        "objectives.searchLatencyP99Milliseconds": Decimal(200),
        "availability": Decimal(GOALS[name].get("availability", 0)),
    }
    assert wanted == {goal: declared[goal] for goal in GOALS[name]}


@pytest.mark.parametrize("field", sorted(DECLARED))
def test_a_declared_block_says_nothing_of_the_fields_beside_it(field: str) -> None:
    """Only what the spec says itself counts as declared, but for the defaults of a block that is in force."""
    blocks: dict[str, dict[str, Any]] = {
        "consistency.collections": {"consistency": {"stalenessMilliseconds": 1000}},
        "network.compression": {"network": {"keepaliveSeconds": 10}},
        "storage.wal.flushIntervalMilliseconds": {"storage": {"wal": {"memorySyncPercent": 50}}},
        "storage.cache": {"storage": {"compaction": "Automatic"}},
    }
    changes = blocks.get(field, {"storage": {"cache": {"usablePercent": 60}}})
    rows = [row for name in ProfileName for row in _rows(pinned(name, **changes)) if row.field == field]
    assert rows
    assert {row.declared for row in rows} == {None}


def test_a_declared_cache_has_a_budget_without_a_reserve() -> None:
    [row] = [
        row for row in _rows(pinned("RAG", storage={"cache": {"mmap": "Enabled"}})) if row.field == "storage.cache"
    ]
    assert row.declared == "limit x 70 %"


def _rows(spec: MilvusTuningSpec) -> Any:
    view = profile_view(spec)
    return view.rows if view else ()


@pytest.mark.parametrize(
    ("revision", "message", "proposed"),
    [
        pytest.param(
            1,
            "revision 2 is there; revision 1 of profile RAG is pinned and stays until profile.revision says otherwise",
            ["Enabled"],
            id="a newer one is told of and not taken",
        ),
        pytest.param(2, "", ["Auto"], id="the newest"),
        pytest.param(
            3,
            "revision 3 of profile RAG is not known to this operator, whose newest is 2: nothing is proposed; "
            "set profile.revision to 2, or upgrade the operator",
            [],
            id="one that is not known",
        ),
    ],
)
def test_the_pinned_revision_counts(revision: int, message: str, proposed: list[str]) -> None:
    view = profile_view(pinned("RAG", revision), NEWER)
    assert view is not None
    assert (view.revision, view.newest_revision, view.message) == (revision, 2, message)
    assert [row.proposed for row in view.rows] == proposed


def test_a_profile_that_is_not_known_proposes_nothing() -> None:
    view = profile_view(pinned("Finance"), NEWER)
    assert view is not None
    assert (view.newest_revision, view.rows, view.goals) == (None, (), ())
    assert view.message == "profile Finance is not known to this operator: nothing is proposed; upgrade the operator"


@pytest.mark.parametrize("name", list(ProfileName))
@pytest.mark.parametrize("version", ["2.3.5", "2.4.23", "2.5.27", "2.6.20"])
def test_a_profile_writes_nothing_and_makes_no_plan_another_one(name: str, version: str) -> None:
    snapshot = a_snapshot(milvus_version=version, settings_readable=True, etcd_root_path="by-dev")
    assert setting_steps(pinned(name, mode="Auto"), snapshot, NOON, "uid") == ((), ())
    assert intent_digest(pinned(name)) == intent_digest(a_spec())


def test_the_cost_of_strong_is_told() -> None:
    [strong] = [one for one in profiles()["Finance"][1].proposals if one.value == "Strong"]
    assert "200 to 400 ms" in strong.note
