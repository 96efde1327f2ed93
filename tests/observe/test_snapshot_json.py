"""The JSON form of a snapshot loses nothing, for any snapshot."""

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.snapshot import (
    Collection,
    CollectionShape,
    ComponentPod,
    EtcdSetting,
    Freeze,
    NodeSearches,
    OwnedKey,
    Problem,
    QueryNode,
    ReadBack,
    Replica,
    ResourceGroup,
    Sample,
    Scheduling,
    Segment,
    Snapshot,
    Traffic,
    Workload,
)
from milvus_tuning.snapshot_json import dump_snapshot, load_snapshot

FINITE = st.floats(allow_nan=False, allow_infinity=False)
TIMES = st.datetimes(timezones=st.just(UTC))
WORDS = st.text(max_size=20)
SAMPLES = st.builds(Sample, value=st.none() | FINITE, age_seconds=FINITE, coverage=st.floats(min_value=0, max_value=1))
TEXTS = st.dictionaries(WORDS, WORDS, max_size=2)
NODES = st.builds(
    QueryNode,
    created_at=st.none() | TIMES,
    cpu_limit_cores=st.none() | FINITE,
    resident_memory_bytes=SAMPLES,
    loaded_bytes=SAMPLES,
    cpu_cores=SAMPLES,
    read_concurrency=SAMPLES,
    queue_latency_milliseconds=SAMPLES,
)

SHAPES = st.builds(CollectionShape, index_parameters=st.dictionaries(WORDS, WORDS, max_size=2))


def _few(elements: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(elements, max_size=2).map(tuple)


SNAPSHOTS = st.builds(
    Snapshot,
    taken_at=TIMES,
    workload=st.none() | st.builds(Workload, autoscalers=_few(WORDS), serving_count=st.none() | st.integers()),
    scheduling=st.none() | st.builds(Scheduling, preference=st.none() | WORDS, others=_few(WORDS)),
    query_nodes=_few(NODES),
    collections=_few(st.builds(Collection, searches_per_second=SAMPLES, shape=st.none() | SHAPES)),
    replicas=_few(st.builds(Replica, leaders=_few(st.tuples(WORDS, st.integers())), node_ids=_few(st.integers()))),
    segments=_few(
        st.builds(
            Segment,
            node_ids=_few(st.integers()),
            partition_id=st.none() | st.integers(),
            memory_bytes=st.none() | st.integers(),
        )
    ),
    placement_coverage=st.floats(min_value=0, max_value=1),
    node_searches=_few(st.builds(NodeSearches, searches_per_second=SAMPLES)),
    resource_groups=_few(st.builds(ResourceGroup, node_ids=_few(st.integers()), capacity=st.none() | st.integers())),
    traffic=st.builds(Traffic, searches_per_second=SAMPLES, p99_milliseconds=SAMPLES),
    settings=st.dictionaries(WORDS, st.builds(EtcdSetting, spellings=_few(WORDS)), max_size=2),
    owned_keys=st.dictionaries(WORDS, st.dictionaries(WORDS, st.builds(OwnedKey), max_size=2), max_size=2),
    components=_few(st.builds(ComponentPod, created_at=st.none() | TIMES, started_at=st.none() | TIMES)),
    read_back=_few(st.builds(ReadBack, values=TEXTS, asked=_few(WORDS), acting=_few(WORDS))),
    install_config=TEXTS,
    environment_config=TEXTS,
    link_bits_per_second=SAMPLES,
    network_share=SAMPLES,
    freezes=_few(st.builds(Freeze)),
    problems=_few(st.builds(Problem)),
)


@given(SNAPSHOTS)
def test_a_snapshot_survives_json_unchanged(snapshot: Snapshot) -> None:
    assert load_snapshot(json.loads(json.dumps(dump_snapshot(snapshot)))) == snapshot


@given(SNAPSHOTS)
def test_the_form_is_plain_json_without_nan(snapshot: Snapshot) -> None:
    json.dumps(dump_snapshot(snapshot), allow_nan=False)


def test_a_recording_without_later_fields_gets_their_defaults() -> None:
    form = {"format": 1, "taken_at": "2026-01-31T12:00:00+00:00"}
    assert load_snapshot(form) == Snapshot(taken_at=datetime(2026, 1, 31, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param({"format": 2}, "format 2", id="a later format"),
        pytest.param({"format": None}, "format None", id="no format"),
        pytest.param({"warp": 9}, "unknown field 'warp'", id="an unknown field"),
        pytest.param({"taken_at": "yesterday"}, r"snapshot\.taken_at", id="a time that is none"),
        pytest.param({"placement_coverage": True}, r"snapshot\.placement_coverage", id="a boolean for a number"),
        pytest.param({"settings_readable": 1}, r"snapshot\.settings_readable", id="a number for a boolean"),
        pytest.param({"query_nodes": [{"pod": "a"}]}, r"snapshot\.query_nodes\[0\]", id="a node without its fields"),
        pytest.param({"query_nodes": {}}, r"snapshot\.query_nodes", id="an object for a list"),
        pytest.param({"freezes": [{"reason": "Bored", "message": ""}]}, r"freezes\[0\]\.reason", id="an unknown word"),
    ],
)
def test_a_wrong_form_is_refused_with_the_place(change: dict[str, Any], complaint: str) -> None:
    form = dump_snapshot(Snapshot(taken_at=datetime(2026, 1, 31, tzinfo=UTC))) | change
    with pytest.raises(ValueError, match=complaint):
        load_snapshot(form)


def test_every_field_of_a_snapshot_is_in_the_form() -> None:
    form = dump_snapshot(Snapshot(taken_at=datetime(2026, 1, 31, tzinfo=UTC)))
    assert set(form) == {"format", *(field.name for field in dataclasses.fields(Snapshot))}
