"""Watermarks are in order whatever is declared, stored or missing, and what is missing makes nothing hold."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from milvus_tuning.catalogue import Intent
from milvus_tuning.decide.config.declared import unsupported
from milvus_tuning.plan import SettingState
from milvus_tuning.snapshot import QueryNode
from tests.builders import a_snapshot
from tests.decide.config.a_policy import EVICTION, GUARD, HIGH, LOW, in_etcd, in_files
from tests.decide.config.caches import VERSION, a_cache, eviction, nodes, status

ratios = st.none() | st.integers(0, 120).map(lambda percent: str(Decimal(percent) / 100)) | st.just("x")
guards = st.none() | st.integers(0, 100).map(str) | st.sampled_from(("x", "nan", "87.5"))
caches = st.fixed_dictionaries(
    {"eviction": st.sampled_from(("Enabled", "Disabled")), "usablePercent": st.integers(1, 100)},
    optional={"reservedMemory": st.integers(0, 10_000).map(lambda size: f"{size}Mi")},
)
members = st.lists(st.none() | st.floats(0, 8), max_size=3).flatmap(
    lambda held: st.sampled_from((8, 6.3, 4, None)).map(lambda limit: nodes(*held, limit_gib=limit))
)


def stored_keys(guard: str | None, low: str | None, high: str | None, switch: str | None) -> dict[str, str]:
    given_keys = {GUARD: guard, LOW: low, HIGH: high, EVICTION: switch}
    return {key: value for key, value in given_keys.items() if value is not None}


switches = st.sampled_from((None, "true", "false"))
stores = st.builds(stored_keys, guards, ratios, ratios, switches)
declared_guards = st.none() | st.integers(50, 95)


@given(caches, declared_guards, members, stores, stores)
@settings(max_examples=60)
def test_watermarks_are_whole_and_in_order_or_not_there(
    cache: dict[str, Any], guard: int | None, found: tuple[QueryNode, ...], etcd: dict[str, str], files: dict[str, str]
) -> None:
    spec = a_cache(guard=guard, **cache)
    snapshot = a_snapshot(found, settings=in_etcd(**etcd), install_config=in_files(**files))
    block = eviction(spec, snapshot)
    assert block == eviction(spec, snapshot)
    values = {one.intent: one.value for one in block}
    if cache["eviction"] == "Disabled":
        assert values == {Intent.EVICTION: 0}
        return
    told = [one for one in unsupported(spec, snapshot, VERSION) if one.intent == "storage.cache.eviction"]
    assert bool(block) is not bool(told)
    if block:
        assert [one.objection for one in block] == [None, None, None]
        assert values[Intent.EVICTION] == 1
        lowest = min(float(etcd.get(GUARD, "100")), float(files.get(GUARD, "90")), guard or 100)
        assert 0 < int(values[Intent.EVICTION_LOW]) < int(values[Intent.EVICTION_HIGH]) <= lowest


@given(caches, members, stores)
@settings(max_examples=60)
def test_writing_the_block_key_by_key_never_crosses_the_watermarks(
    cache: dict[str, Any], found: tuple[QueryNode, ...], etcd: dict[str, str]
) -> None:
    low, high = Decimal(etcd.get(LOW, "0.75").replace("x", "0")), Decimal(etcd.get(HIGH, "0.8").replace("x", "0"))
    for one in eviction(a_cache(**cache), a_snapshot(found, settings=in_etcd(**etcd))):
        crossed = low > high
        low = Decimal(one.value) / 100 if one.intent is Intent.EVICTION_LOW else low
        high = Decimal(one.value) / 100 if one.intent is Intent.EVICTION_HIGH else high
        assert crossed or low <= high


@given(members, st.integers(1, 100))
@settings(max_examples=60)
def test_what_is_missing_never_makes_a_budget_hold(found: tuple[QueryNode, ...], usable: int) -> None:
    spec, snapshot = a_cache(usablePercent=usable), a_snapshot(found)
    for lost in range(len(found)):
        fewer = (*found[:lost], replace(found[lost], loaded_bytes=replace(found[lost].loaded_bytes, value=None)))
        unread = replace(snapshot, query_nodes=(*fewer, *found[lost + 1 :]))
        assert status(spec, unread).state is SettingState.NOT_APPLIED
