"""The whole table of levers: what each field becomes in exact versions, and that no row contradicts the catalogue."""

import types
import typing
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError, create_model

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.api.settings import Network
from milvus_tuning.catalogue import (
    Conversion,
    Intent,
    Lever,
    NoLever,
    ServerVersion,
    find_lever,
    levers_of,
    parse_version,
)
from milvus_tuning.catalogue.levers import LeverError, gaps_of, read_levers
from milvus_tuning.catalogue.lint import KeyState, Setting, judge
from milvus_tuning.catalogue.reading import catalogue
from milvus_tuning.catalogue.registry import Evidence

DATA = Path(__file__).parent / "data"
VERSIONS = ("2.3.5", "2.3.21", "2.4.6", "2.4.23", "2.5.2", "2.5.27", "2.6.3", "2.6.20", "2.6.23", "3.0.0")
EXAMPLES: Mapping[Intent, int | str] = {
    Intent.BALANCE_INTERVAL: 60,
    Intent.BALANCE_TOLERANCE: 10,
    Intent.OVERLOADED_MEMORY: 85,
    Intent.PLACEMENT_OWNER: 0,
    Intent.STALENESS: 2000,
    Intent.ROUTING: "RoundRobin",
    Intent.READ_CONCURRENCY: 150,
    Intent.COMPRESSION: 1,
    Intent.POOL_OF_PROXIES: 20,
    Intent.POOL_OF_LEADERS: 20,
    Intent.MESSAGE_SIZE: 134217728,
    Intent.KEEPALIVE: 30,
    Intent.WAL_FLUSH: 100,
    Intent.WAL_FLUSH_LOCAL: 20,
    Intent.INSERT_BUFFER: 33554432,
    Intent.MEMORY_SYNC: 35,
    Intent.COMPACTION: 0,
    Intent.WARMUP: "Sync",
    Intent.WARMUP_VECTOR_FIELD: "Sync",
    Intent.WARMUP_SCALAR_INDEX: "Disabled",
    Intent.WARMUP_SCALAR_FIELD: "Disabled",
    Intent.MMAP: 1,
    Intent.MMAP_VECTOR_FIELD: 1,
    Intent.EVICTION: 1,
    Intent.EVICTION_LOW: 56,
    Intent.EVICTION_HIGH: 70,
}
CALM = {
    "queryCoord.autoBalanceInterval": 30,
    "queryCoord.reverseUnBalanceTolerationFactor": 200,
    "queryCoord.scoreUnbalanceTolerationFactor": 30,
}
"""What damping (decide/config/damping.py) writes: its number depends on the key."""
NOT_THE_FIELDS = frozenset({Intent.PING_PONG, Intent.PING_PONG_OVERSHOOT, Intent.EVICTION_LOW, Intent.EVICTION_HIGH})
"""Intents whose number is worked out and is not that of the field."""


def at(text: str) -> ServerVersion:
    version = parse_version(text)
    assert version is not None
    return version


def example(lever: Lever) -> int | str:
    return CALM[lever.key] if lever.intent.field == "loadBalancing.pingPong" else EXAMPLES[lever.intent]


def said(intent: Intent, version: ServerVersion) -> str:
    found = find_lever(intent, version)
    if isinstance(found, NoLever):
        return f"none: {found.reason}; nearest: {found.nearest}"
    force = "live" if found.live else "restart"
    return f"{found.key} = {found.text(example(found))} | {force} | {found.component} | {found.ground}"


def test_each_field_in_each_version_is_this_key_or_this_reason() -> None:
    """levers-table.yaml is the table as a person would read it; a row that differs is a change of behaviour."""
    table = {intent.value: {text: said(intent, at(text)) for text in VERSIONS} for intent in Intent}
    assert table == yaml.safe_load((DATA / "levers-table.yaml").read_text(encoding="utf-8"))


VERSION = st.builds(ServerVersion, st.just(2), st.integers(3, 6), st.integers(0, 60))


@st.composite
def a_safe_value(draw: st.DrawFn, lever: Lever) -> int | str:
    if lever.words:
        return draw(st.sampled_from(sorted(lever.words)))
    if lever.conversion is Conversion.SWITCH:
        return draw(st.sampled_from((0, 1)))
    assert lever.minimum is not None
    assert lever.maximum is not None
    return draw(st.integers(lever.minimum, lever.maximum))


@given(st.sampled_from(Intent), VERSION, st.data())
def test_no_field_ever_becomes_a_key_that_this_patch_lacks_or_a_value_that_it_refuses(
    intent: Intent, version: ServerVersion, data: st.DataObject
) -> None:
    found = find_lever(intent, version)
    if isinstance(found, NoLever):
        assert found.reason
        assert found.nearest
        return
    key = catalogue().find(found.key)
    assert key is not None
    assert key.certain(version)
    assert key.effect(version) is None
    text = found.text(data.draw(a_safe_value(found)))
    assert text is not None
    finding = judge(Setting(key=found.key, value=text), version, catalogue())
    assert finding.state in ({KeyState.OK} if found.live or found.why_restart else {KeyState.RESTART}), finding


@pytest.mark.parametrize(
    ("version", "vectors", "indexes"),
    [
        ("2.3.21", None, None),
        ("2.4.0", None, "queryNode.mmap.mmapEnabled"),
        ("2.4.9", None, "queryNode.mmap.mmapEnabled"),
        ("2.4.10", "queryNode.mmap.vectorField", "queryNode.mmap.vectorIndex"),
        ("3.0.0", "queryNode.mmap.vectorField", "queryNode.mmap.vectorIndex"),
    ],
)
def test_mmap_has_one_switch_before_it_has_one_for_each_kind(
    version: str, vectors: str | None, indexes: str | None
) -> None:
    found = [find_lever(intent, at(version)) for intent in (Intent.MMAP_VECTOR_FIELD, Intent.MMAP)]
    assert [lever.key if isinstance(lever, Lever) else None for lever in found] == [vectors, indexes]


@pytest.mark.parametrize(
    ("version", "async_word"), [("2.3.6", "async"), ("2.5.27", "async"), ("2.6.0", None), ("3.0.0", None)]
)
def test_the_word_async_has_no_text_where_milvus_ignores_it(version: str, async_word: str | None) -> None:
    found = find_lever(Intent.WARMUP, at(version))
    assert isinstance(found, Lever)
    assert found.text("Async") == async_word


def test_what_was_run_is_ground_for_exactly_that_release() -> None:
    run = [(intent, text) for intent in Intent for text in VERSIONS if ground(intent, text) is Evidence.RUN]
    assert run == [(Intent.PLACEMENT_OWNER, "2.3.5"), (Intent.STALENESS, "2.3.5")]


def ground(intent: Intent, version: str) -> Evidence | None:
    found = find_lever(intent, at(version))
    return found.ground if isinstance(found, Lever) else None


def test_no_lever_is_what_was_likened_to_it() -> None:
    keys = {lever.key.lower() for intent in Intent for lever in levers_of(intent)}
    likened = {"dataNode.segment.syncPeriod", "queryNode.cache.memoryLimit", "queryNode.mmap.mmapDirPath"}
    assert keys.isdisjoint(name.lower() for name in likened)
    reason = gaps_of(Intent.WAL_FLUSH)[0][2].reason
    assert "dataNode.segment.syncPeriod is not it" in reason


@pytest.mark.parametrize("intent", [intent for intent in Intent if intent not in NOT_THE_FIELDS])
def test_the_field_can_say_every_end_of_the_safe_range(intent: Intent) -> None:
    for lever in levers_of(intent):
        for value in lever.words or (lever.minimum, lever.maximum):
            if value is not None:
                accepts(intent.field, value)


@pytest.mark.parametrize("size", [67108864, 268435456])
def test_the_safe_message_sizes_are_sizes_that_the_network_can_have(size: int) -> None:
    assert Network.model_validate({"maxMessageSize": str(size)}).max_message_size == str(size)


def test_a_value_outside_of_the_field_would_be_seen() -> None:
    with pytest.raises(ValidationError):
        accepts("loadBalancing.overloadedMemoryPercent", 40)


def accepts(path: str, value: int | str) -> None:
    """Raises ValidationError where the field of the policy does not take the value."""
    model: type[BaseModel] = MilvusTuningSpec
    *parents, leaf = path.split(".")
    for name in parents:
        model = next(kind for kind in kinds(named(model, name).annotation) if issubclass(kind, BaseModel))
    field = named(model, leaf)
    quantity = str in kinds(field.annotation) and isinstance(value, int)
    alone = create_model("Alone", value=(field.annotation, field))
    alone.model_validate({leaf: str(value) if quantity else value})


def named(model: type[BaseModel], alias: str) -> Any:
    return next(field for field in model.model_fields.values() if field.alias == alias)


def kinds(annotation: Any) -> list[Any]:
    """The types of an annotation, without None and without what is annotated."""
    if typing.get_origin(annotation) is Annotated:
        return kinds(typing.get_args(annotation)[0])
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return [kind for part in typing.get_args(annotation) for kind in kinds(part)]
    return [] if annotation is type(None) else [annotation]


REAL: dict[str, Any] = yaml.safe_load(
    files("milvus_tuning.catalogue").joinpath("levers.yaml").read_text(encoding="utf-8")
)
FAST_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
ROUTING = Intent.ROUTING.value


@pytest.mark.parametrize(
    ("intent", "fields", "said"),
    [
        pytest.param("network.keepaliveSeconds", {"mechanism": ""}, "lacks ['mechanism']", id="without a mechanism"),
        pytest.param("network.keepaliveSeconds", {"ground": None}, "lacks ['ground']", id="without a ground"),
        pytest.param("network.keepaliveSeconds", {"harm": ""}, "lacks ['harm']", id="without the harm"),
        pytest.param("network.keepaliveSeconds", {"max": 5}, "does not know ['max']", id="with a slip of the pen"),
        pytest.param("network.keepaliveSeconds", {"maximum": None}, "the safe range", id="without a largest value"),
        pytest.param("network.keepaliveSeconds", {"minimum": 61}, "the safe range", id="with an empty range"),
        pytest.param(
            "network.keepaliveSeconds", {"minimum": -1}, "out of range, 10000 to 3600000 ms", id="below the key's own"
        ),
        pytest.param("network.keepaliveSeconds", {"live": True}, "reads it at start only", id="not live"),
        pytest.param("network.keepaliveSeconds", {"component": "Proxy"}, "every component reads it", id="one of many"),
        pytest.param("network.keepaliveSeconds", {"component": "Pod"}, "nothing that restarts", id="no component"),
        pytest.param("network.keepaliveSeconds", {"since": "1.9.0"}, "does not have the key in 1.9.0", id="too early"),
        pytest.param("network.keepaliveSeconds", {"until": "2.3.0"}, "before it starts", id="backwards"),
        pytest.param("network.keepaliveSeconds", {"ground": "run"}, "run_on", id="run everywhere"),
        pytest.param("network.keepaliveSeconds", {"ground": "hearsay"}, "'hearsay'", id="hearsay"),
        pytest.param("network.keepaliveSeconds", {"run_on": ["3.2.0"]}, "outside of the row", id="run elsewhere"),
        pytest.param("network.keepaliveSeconds", {"until": "soon"}, "'soon' is not a version", id="no version"),
        pytest.param(ROUTING, {"key": "proxy.replicaSelection"}, "no such key", id="an unknown key"),
        pytest.param(ROUTING, {"words": {"RoundRobin": "robin"}}, "'robin' is none of", id="a word that is none"),
        pytest.param(ROUTING, {"words": {}}, "belong together", id="without words"),
        pytest.param(ROUTING, {"minimum": 1}, "no minimum", id="a word with a range"),
        pytest.param(ROUTING, {"component": "QueryNode"}, "says that Proxy reads it", id="another component"),
        pytest.param(ROUTING, {"why_restart": "so"}, "is for nothing else", id="a restart explained in vain"),
        pytest.param("storage.cache.warmup", {"why_restart": ""}, "reads it again", id="a restart without a reason"),
        pytest.param(
            "storage.wal.memorySyncPercent",
            {
                "key": "dataNode.segment.syncPeriod",
                "conversion": "Seconds",
                "minimum": 60,
                "maximum": 90,
                "live": True,
                "since": "2.3.0",
                "until": "2.5.0",
            },
            "reads it at start only",
            id="not live to the end",
        ),
        pytest.param(
            "loadBalancing.balanceTolerancePercent",
            {"until": "2.5.0"},
            "noop, read, but without effect",
            id="without effect from some patch on",
        ),
        pytest.param(
            "loadBalancing.balanceIntervalSeconds", {"until": "2.4.0"}, "begins inside of the one before", id="overlap"
        ),
    ],
)
def test_a_row_that_cannot_be_is_refused_with_the_field_and_what_is_wrong(
    intent: str, fields: dict[str, object], said: str
) -> None:
    first, *rest = REAL[intent]["levers"]
    changed = REAL | {intent: REAL[intent] | {"levers": [first | fields, *rest]}}
    with pytest.raises(LeverError, match=r"levers\.yaml: ") as caught:
        read_levers(yaml.dump(changed, Dumper=FAST_DUMPER))
    assert intent in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: {", "not YAML"),
        ("loadBalancing.routing: {}", "levers"),
        ("loadBalancing.route: {levers: []}", "not a valid Intent"),
        ("loadBalancing.routing: {levers: []}", "nothing is said of loadBalancing.balanceIntervalSeconds"),
        (
            "loadBalancing.routing: {levers: [], gaps: [{since: 2.3.0, until: 2.4.0, reason: so, nearest: ''}]}",
            "what is nearest",
        ),
    ],
)
def test_a_file_that_is_no_table_is_refused(text: str, said: str) -> None:
    with pytest.raises(LeverError, match=said):
        read_levers(text)
