"""Each declared field becomes its intents with their values; what nobody declared becomes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from milvus_tuning.catalogue import Conversion, Intent, Lever, ServerVersion, find_lever
from milvus_tuning.decide.config.cache import watermark_objection
from milvus_tuning.decide.config.declared import Declared, declared, unsupported
from milvus_tuning.decide.config.intents import range_objection, standing
from milvus_tuning.plan import SettingState
from milvus_tuning.snapshot import Snapshot
from tests.builders import NOON, a_snapshot, some_nodes
from tests.decide.config.a_policy import GUARD, HIGH, a_policy, in_etcd, in_files, the_version

EVERYTHING: dict[str, Any] = {
    "loadBalancing": {
        "placementOwner": "Operator",
        "balanceIntervalSeconds": 30,
        "balanceTolerancePercent": 10,
        "overloadedMemoryPercent": 85,
        "routing": "LeastLoaded",
        "pingPong": "Damp",
    },
    "consistency": {"stalenessMilliseconds": 5000, "collections": [{"name": "products", "level": "Bounded"}]},
    "queryNodes": {"minCount": 1, "maxCount": 3, "readConcurrencyPercent": 150},
    "network": {
        "compression": "Enabled",
        "linkBitsPerSecond": "10G",
        "connectionPoolSize": 20,
        "maxMessageSize": "128Mi",
        "keepaliveSeconds": 30,
    },
    "storage": {
        "wal": {"flushIntervalMilliseconds": 100, "insertBufferSize": "32Mi", "memorySyncPercent": 40},
        "compaction": "Disabled",
        "cache": {
            "reservedMemory": "1Gi",
            "usablePercent": 80,
            "warmup": "Sync",
            "mmap": "Enabled",
            "eviction": "Enabled",
        },
    },
}
WATERMARKS = (
    "high watermark 70 %, low 65 %, load guard 85 %: (8.0 GiB - 1.0 GiB) x 80 % = 5.6 GiB for loaded data on each "
    "QueryNode"
)
FIELDS = (
    Declared(intent=Intent.PLACEMENT_OWNER, value=0),
    Declared(intent=Intent.BALANCE_INTERVAL, value=30),
    Declared(intent=Intent.BALANCE_TOLERANCE, value=10),
    Declared(intent=Intent.OVERLOADED_MEMORY, value=85),
    Declared(intent=Intent.ROUTING, value="LeastLoaded"),
    Declared(intent=Intent.STALENESS, value=5000),
    Declared(intent=Intent.READ_CONCURRENCY, value=150),
    Declared(intent=Intent.COMPRESSION, value=1),
    Declared(intent=Intent.POOL_OF_PROXIES, value=20),
    Declared(intent=Intent.POOL_OF_LEADERS, value=20),
    Declared(intent=Intent.MESSAGE_SIZE, value=134217728),
    Declared(intent=Intent.KEEPALIVE, value=30),
    Declared(intent=Intent.WAL_FLUSH, value=100),
    Declared(intent=Intent.WAL_FLUSH_LOCAL, value=100),
    Declared(intent=Intent.INSERT_BUFFER, value=33554432),
    Declared(intent=Intent.MEMORY_SYNC, value=40),
    Declared(intent=Intent.COMPACTION, value=0),
    Declared(intent=Intent.WARMUP, value="Sync"),
    Declared(intent=Intent.WARMUP_VECTOR_FIELD, value="Sync"),
    Declared(intent=Intent.WARMUP_SCALAR_INDEX, value="Sync"),
    Declared(intent=Intent.WARMUP_SCALAR_FIELD, value="Sync"),
    Declared(intent=Intent.MMAP, value=1),
    Declared(intent=Intent.MMAP_VECTOR_FIELD, value=1),
)
SWITCH = (Declared(intent=Intent.EVICTION, value=1),)
BLOCK = (
    Declared(intent=Intent.EVICTION_LOW, value=65, note=WATERMARKS),
    Declared(intent=Intent.EVICTION_HIGH, value=70, note=WATERMARKS),
    Declared(intent=Intent.EVICTION, value=1, note=WATERMARKS),
)


FURTHER = frozenset(one.intent for one in FIELDS if one.intent.value != one.intent.field)
OF_2_4 = frozenset({Intent.POOL_OF_LEADERS, Intent.MMAP_VECTOR_FIELD})


@pytest.mark.parametrize(
    ("version", "further", "eviction"),
    [
        pytest.param("2.3.5", frozenset(), SWITCH, id="2.3.5, one key for each field"),
        pytest.param("2.4.23", OF_2_4, SWITCH, id="2.4.23, two pools and two kinds of mmap"),
        pytest.param("2.5.27", OF_2_4, SWITCH, id="2.5.27"),
        pytest.param("2.6.3", FURTHER, SWITCH, id="2.6.3, before eviction is supported"),
        pytest.param("2.6.4", FURTHER, BLOCK, id="2.6.4, the first with eviction"),
        pytest.param("2.6.20", FURTHER, BLOCK, id="2.6.20"),
        pytest.param("3.0.0", FURTHER, BLOCK, id="3.0.0"),
        pytest.param(None, frozenset(), SWITCH, id="version not known"),
    ],
)
def test_a_policy_that_declares_everything(
    version: str | None, further: frozenset[Intent], eviction: tuple[Declared, ...]
) -> None:
    known = the_version(version) if version else None
    fields = tuple(one for one in FIELDS if one.intent not in FURTHER or one.intent in further)
    assert declared(a_policy(**EVERYTHING), a_snapshot(), known, NOON) == (*fields, *eviction)


def test_every_intent_is_declared_by_a_field_but_those_of_damping() -> None:
    given = {one.intent for one in declared(a_policy(**EVERYTHING), a_snapshot(), the_version("2.6.20"), NOON)}
    assert set(Intent) - given == {Intent.PING_PONG, Intent.PING_PONG_OVERSHOOT}


def test_each_value_outside_of_the_safe_range_of_its_lever_has_an_objection() -> None:
    spec = a_policy(
        network={"keepaliveSeconds": 5, "connectionPoolSize": 20}, storage={"wal": {"memorySyncPercent": 90}}
    )
    found = declared(spec, a_snapshot(), the_version("2.5.27"), NOON)
    objections = {one.intent: (one.objection or "").partition(",")[0] for one in found}
    assert objections == {
        Intent.POOL_OF_PROXIES: "",
        Intent.POOL_OF_LEADERS: "",
        Intent.KEEPALIVE: "5 is outside of the safe range (10 to 60)",
        Intent.MEMORY_SYNC: "90 is outside of the safe range (20 to 50)",
    }


@pytest.mark.parametrize("version", ["2.3.5", "2.5.27", "2.6.20", None])
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="a target only"),
        pytest.param({"loadBalancing": {}, "network": {}, "storage": {}, "consistency": {}}, id="empty parts"),
        pytest.param({"network": {"linkBitsPerSecond": "10G"}}, id="a link speed that nothing uses"),
        pytest.param({"loadBalancing": {"pingPong": "Damp"}}, id="damping, which is for a time"),
        pytest.param({"queryNodes": {"minCount": 1, "maxCount": 3}}, id="a number of QueryNodes"),
        pytest.param({"storage": {"wal": {}}}, id="an empty log"),
    ],
)
def test_what_nobody_declared_is_neither_given_nor_reported(fields: dict[str, Any], version: str | None) -> None:
    known = the_version(version) if version else None
    spec = a_policy(**fields)
    assert declared(spec, a_snapshot(), known, NOON) == ()
    assert unsupported(spec, a_snapshot(), known) == ()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"loadBalancing": {"placementOwner": "Milvus"}}, {Intent.PLACEMENT_OWNER: 1}, id="Milvus places"),
        pytest.param({"loadBalancing": {"routing": "RoundRobin"}}, {Intent.ROUTING: "RoundRobin"}, id="round robin"),
        pytest.param({"network": {"compression": "Disabled"}}, {Intent.COMPRESSION: 0}, id="no compression"),
        pytest.param({"network": {"maxMessageSize": "100M"}}, {Intent.MESSAGE_SIZE: 100_000_000}, id="decimal bytes"),
        pytest.param({"storage": {"compaction": "Automatic"}}, {Intent.COMPACTION: 1}, id="compaction"),
        pytest.param({"storage": {"cache": {"warmup": "Async"}}}, {Intent.WARMUP: "Async"}, id="warmup"),
        pytest.param({"consistency": {"stalenessMilliseconds": 0}}, {Intent.STALENESS: 0}, id="0 is declared, too"),
        pytest.param({"storage": {"cache": {"eviction": "Disabled"}}}, {Intent.EVICTION: 0}, id="no eviction"),
    ],
)
def test_one_field_becomes_one_value(fields: dict[str, Any], expected: dict[Intent, int | str]) -> None:
    found = declared(a_policy(**fields), a_snapshot(), None, NOON)
    assert {one.intent: one.value for one in found} == expected


# -- the load guard ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("guard", "version", "snapshot", "words"),
    [
        pytest.param(80, "2.5.27", a_snapshot(), None, id="75 % with one node lost: 80 % leaves room"),
        pytest.param(70, "2.5.27", a_snapshot(), "75 % of their memory after the loss of one", id="70 % does not"),
        pytest.param(90, "2.5.27", a_snapshot(memory=None), "memory is not known", id="memory not known"),
        pytest.param(80, "2.6.20", a_snapshot(), None, id="at the default high watermark"),
        pytest.param(
            85,
            "2.6.20",
            a_snapshot(settings=in_etcd(**{HIGH: "0.9"})),
            "below the high watermark of 90 %",
            id="below the high watermark in etcd",
        ),
        pytest.param(
            85,
            "2.6.20",
            a_snapshot(settings=in_etcd(**{HIGH: "0.5"}), install_config=in_files(**{HIGH: "0.88"})),
            "below the high watermark of 88 %",
            id="below the high watermark of a file, which holds again once etcd's is gone",
        ),
        pytest.param(85, "2.5.27", a_snapshot(settings=in_etcd(**{HIGH: "0.9"})), None, id="no such watermark in 2.5"),
    ],
)
def test_a_load_guard_is_declared_also_where_it_is_not_safe(
    guard: int, version: str, snapshot: Snapshot, words: str | None
) -> None:
    spec = a_policy(loadBalancing={"overloadedMemoryPercent": guard})
    (one,) = declared(spec, snapshot, the_version(version), NOON)
    assert (one.intent, one.value) == (Intent.OVERLOADED_MEMORY, guard)
    assert (one.objection is None) if words is None else (words in (one.objection or ""))


def test_from_2_6_on_a_guard_below_the_default_watermark_is_objected_to() -> None:
    calm = a_snapshot(some_nodes(3, memory=0.2))
    spec = a_policy(loadBalancing={"overloadedMemoryPercent": 75})
    before, since = (declared(spec, calm, the_version(text), NOON)[0] for text in ("2.5.27", "2.6.20"))
    assert before.objection is None
    assert since.objection is not None


@pytest.mark.parametrize("percent", range(50, 96))
def test_a_guard_at_the_high_watermark_is_safe_and_one_below_is_not(percent: int) -> None:
    snapshot = a_snapshot(install_config=in_files(**{HIGH: f"0.{percent}"}))
    assert watermark_objection(snapshot, the_version("2.6.0"), percent=percent) is None
    assert watermark_objection(snapshot, the_version("2.6.0"), percent=percent - 1) is not None
    assert watermark_objection(snapshot, the_version("2.5.27"), percent=percent - 1) is None


# -- safe ranges ------------------------------------------------------------------------------------------------------


def a_lever(**changes: Any) -> Lever:
    fields: dict[str, Any] = {
        "intent": Intent.KEEPALIVE,
        "key": "grpc.client.keepAliveTime",
        "conversion": Conversion.SECONDS_TO_MILLISECONDS,
        "live": False,
        "component": "every component",
        "since": ServerVersion(2, 3, 0),
        "until": ServerVersion(3, 1, 0),
        "evidence": "source",
        "harm": "connections are closed as too eager",
        **changes,
    }
    return Lever(**fields)


@pytest.mark.parametrize(
    ("lever", "value", "objection"),
    [
        pytest.param(a_lever(minimum=10, maximum=60), 10, None, id="the bounds are safe"),
        pytest.param(a_lever(minimum=10, maximum=60), 60, None, id="both of them"),
        pytest.param(
            a_lever(minimum=10, maximum=60),
            9,
            "9 is outside of the safe range (10 to 60), connections are closed as too eager",
            id="below",
        ),
        pytest.param(
            a_lever(maximum=60),
            61,
            "61 is outside of the safe range (at most 60), connections are closed as too eager",
            id="above, with no lower bound",
        ),
        pytest.param(
            a_lever(minimum=0, harm=""),
            -1,
            "-1 is outside of the safe range (at least 0)",
            id="a bound of 0 is a bound",
        ),
        pytest.param(a_lever(), 10**9, None, id="no range"),
        pytest.param(a_lever(conversion=Conversion.WORD, minimum=1), "Sync", None, id="a word has no range"),
    ],
)
def test_what_leaves_the_safe_range_of_a_lever_says_the_harm(
    lever: Lever, value: int | str, objection: str | None
) -> None:
    assert range_objection(lever, value) == objection


@pytest.mark.parametrize("version", ["2.3.5", "2.4.23", "2.5.27", "2.6.20", "3.0.0"])
def test_the_kind_of_each_value_is_the_one_that_its_lever_takes(version: str) -> None:
    known = the_version(version)
    for one in declared(a_policy(**EVERYTHING), a_snapshot(), known, NOON):
        lever = find_lever(one.intent, known)
        if isinstance(lever, Lever):
            assert isinstance(one.value, str) is (lever.conversion is Conversion.WORD), one.intent
            assert one.objection == range_objection(lever, one.value), one.intent


# -- what holds a key -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("snapshot", "text"),
    [
        pytest.param(a_snapshot(), None, id="nothing: the default holds"),
        pytest.param(a_snapshot(install_config=in_files(**{GUARD: "80"})), "80", id="a file"),
        pytest.param(
            a_snapshot(install_config=in_files(**{GUARD: "80"}), environment_config=in_files(**{GUARD: "70"})),
            "70",
            id="the environment before files",
        ),
        pytest.param(
            a_snapshot(settings=in_etcd(**{GUARD: "60"}), environment_config=in_files(**{GUARD: "70"})),
            "60",
            id="etcd before the environment",
        ),
    ],
)
def test_a_key_stands_as_the_first_of_milvuss_sources_says(snapshot: Snapshot, text: str | None) -> None:
    assert standing(snapshot, GUARD) == text


def test_the_budget_is_reported_and_never_made_the_load_guard() -> None:
    spec = a_policy(storage={"cache": {"reservedMemory": "1Gi", "usablePercent": 80}})
    snapshot = a_snapshot(some_nodes(3, memory=0.5, loaded=3 / 8))
    assert declared(spec, snapshot, the_version("2.6.20"), NOON) == ()
    (status,) = unsupported(spec, snapshot, the_version("2.6.20"))
    assert (status.intent, status.key, status.desired) == ("storage.cache", None, "5.6 GiB")
    assert status.state is SettingState.EFFECTIVE
    assert status.message.endswith("with qn-1 lost a QueryNode must hold 4.5 GiB")
