"""The shape of a collection: what its schema and index make, when it is asked for, and what a refusal leaves."""

from collections.abc import Mapping
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]
from pymilvus.grpc_gen import milvus_pb2, schema_pb2

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.observe.shapes import (
    MOST_DESCRIBED_PER_PASS,
    REFRESH_SECONDS,
    ShapeCache,
    next_to_describe,
    shape_of,
)
from milvus_tuning.snapshot import Collection, CollectionShape
from tests.clients.milvus_server import Override, refuses
from tests.observe.world import NAMESPACE, NOW, World, observing, serving, snapshot_of

HOT = {"loadBalancing": {"hotSegments": {"mode": "Observe"}}}
REPLICAS = {"inMemoryReplicas": {"maxCount": 2}}
DEMO = "470657475820126434"
SHAPE = CollectionShape(dimension=128, vector_bytes=512, index_type="HNSW", index_parameters={"M": "16"})


def _field(name: str, kind: str, dimension: object = None) -> dict[str, Any]:
    parameters = [] if dimension is None else [{"key": "dim", "value": str(dimension)}]
    return {"name": name, "data_type": kind, "type_params": parameters}


def _index(field: str, **parameters: str) -> dict[str, Any]:
    return {"field_name": field, "params": [{"key": key, "value": value} for key, value in parameters.items()]}


def _shape(fields: list[dict[str, Any]], *indexes: dict[str, Any]) -> CollectionShape | None:
    schema = ParseDict({"fields": fields}, schema_pb2.CollectionSchema())
    return shape_of(schema, [ParseDict(index, milvus_pb2.IndexDescription()) for index in indexes])


@pytest.mark.parametrize(
    ("fields", "dimension", "vector_bytes"),
    [
        pytest.param([_field("v", "FloatVector", 128)], 128, 512, id="float"),
        pytest.param([_field("v", "Float16Vector", 128)], 128, 256, id="float16"),
        pytest.param([_field("v", "BFloat16Vector", 128)], 128, 256, id="bfloat16"),
        pytest.param([_field("v", "Int8Vector", 128)], 128, 128, id="int8"),
        pytest.param([_field("v", "BinaryVector", 512)], 512, 64, id="binary"),
        pytest.param([_field("v", "SparseFloatVector")], 0, 0, id="sparse: of no fixed size"),
        pytest.param(
            [_field("a", "FloatVector", 128), _field("b", "BinaryVector", 512), _field("id", "Int64")],
            640,
            576,
            id="two vectors and a number",
        ),
        pytest.param([_field("id", "Int64")], 0, 0, id="no vector"),
    ],
)
def test_bytes_of_a_row_are_those_of_its_vectors(
    fields: list[dict[str, Any]], dimension: int, vector_bytes: int
) -> None:
    assert _shape(fields) == CollectionShape(dimension=dimension, vector_bytes=vector_bytes)


def test_a_vector_without_a_dimension_makes_no_shape() -> None:
    assert _shape([_field("v", "FloatVector"), _field("w", "FloatVector", 8)]) is None


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        pytest.param({"M": "16", "efConstruction": "200"}, {"M": "16", "efConstruction": "200"}, id="one by one"),
        pytest.param(
            {"metric_type": "L2", "params": '{"M": 16, "efConstruction": 200}'},
            {"metric_type": "L2", "M": "16", "efConstruction": "200"},
            id="as one JSON text",
        ),
        pytest.param({"params": "{"}, {}, id="a text that is no JSON"),
        pytest.param({"params": "[1]"}, {}, id="a JSON that holds no names"),
        pytest.param({}, {}, id="none"),
    ],
)
def test_parameters_of_the_index(parameters: dict[str, str], expected: dict[str, str]) -> None:
    shape = _shape([_field("v", "FloatVector", 128)], _index("v", index_type="HNSW", **parameters))
    assert shape is not None
    assert (shape.index_type, shape.index_parameters) == ("HNSW", expected)


@pytest.mark.parametrize("turned", [False, True])
def test_the_index_is_that_of_the_largest_vector(turned: bool) -> None:
    fields = [_field("bits", "BinaryVector", 512), _field("v", "FloatVector", 128), _field("name", "VarChar")]
    indexes = [
        _index("name", index_type="INVERTED"),
        _index("bits", index_type="BIN_FLAT"),
        _index("v", index_type="DISKANN"),
    ]
    shape = _shape(fields[::-1] if turned else fields, *(indexes[::-1] if turned else indexes))
    assert shape is not None
    assert shape.index_type == "DISKANN"


def test_of_sparse_vectors_only_the_index_is_known() -> None:
    shape = _shape([_field("s", "SparseFloatVector")], _index("s", index_type="SPARSE_INVERTED_INDEX"))
    assert shape == CollectionShape(dimension=0, vector_bytes=0, index_type="SPARSE_INVERTED_INDEX")


# -- when it is asked for --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "needed"),
    [
        pytest.param({}, False, id="nothing declared"),
        pytest.param({"loadBalancing": {"balanceIntervalSeconds": 60}}, False, id="other balancing"),
        pytest.param({"loadBalancing": {"hotSegments": {"mode": "Off"}}}, False, id="hot segments off"),
        pytest.param({"loadBalancing": {"hotSegments": {}}}, True, id="hot segments"),
        pytest.param({"loadBalancing": {"hotSegments": {"mode": "Act"}}}, True, id="hot segments, acting"),
        pytest.param(REPLICAS, True, id="replicas"),
    ],
)
def test_shapes_are_needed_where_the_cost_of_a_search_decides(spec: Mapping[str, Any], needed: bool) -> None:
    rest = {
        "targetRef": {"kind": "HelmRelease", "name": "my-release"},
        "connections": {"prometheus": {"url": "http://prometheus:9090"}},
    }
    assert MilvusTuningSpec.model_validate({**rest, **spec}).needs_heat == needed


def _collections(count: int) -> list[Collection]:
    return [Collection(collection_id=key, name=f"c{key}") for key in range(count)]


def _asked_at(times: Mapping[int, float]) -> dict[tuple[str, str, int], float]:
    return {("default", f"c{key}", key): at for key, at in times.items()}


@pytest.mark.parametrize(
    ("searches", "asked_at", "expected"),
    [
        pytest.param({}, {}, [0, 1, 2, 3], id="all new"),
        pytest.param({2: 5.0, 3: 9.0}, {}, [3, 2, 0, 1], id="new: busiest first"),
        pytest.param({}, {0: 1000.0, 1: 999.0 - REFRESH_SECONDS, 2: 998.0 - REFRESH_SECONDS}, [3, 2, 1], id="then old"),
        pytest.param({}, dict.fromkeys(range(4), 1000.0 - REFRESH_SECONDS), [], id="all of ten minutes ago"),
    ],
)
def test_the_new_come_before_the_old(
    searches: dict[int, float], asked_at: dict[int, float], expected: list[int]
) -> None:
    found = next_to_describe(_collections(4), searches, _asked_at(asked_at), 1000.0)
    assert [one.collection_id for one in found] == expected


def test_a_pass_describes_a_few_of_thousands_and_the_next_pass_others() -> None:
    cache, collections = ShapeCache(), _collections(3000)
    first = cache.due(collections, {}, 0.0)
    for found in first:
        cache.keep(found, SHAPE, 0.0)
    second = cache.due(collections, {}, 15.0)
    assert len(first) == len(second) == MOST_DESCRIBED_PER_PASS
    assert not set(first) & set(second)


def test_a_collection_of_the_same_name_is_another() -> None:
    cache = ShapeCache()
    before, after = Collection(collection_id=1, name="c"), Collection(collection_id=2, name="c")
    cache.keep(before, SHAPE, 0.0)
    assert cache.due([before], {}, 1.0) == ()
    assert (cache.shape(after), cache.due([after], {}, 1.0)) == (None, (after,))


# -- over the wire ---------------------------------------------------------------------------------------------------


def _world(spec: Mapping[str, Any], **overrides: Override) -> World:
    world = World()
    world.spec |= spec
    world.milvus |= {
        "DescribeCollection": {"collectionID": DEMO, "schema": {"fields": [_field("v", "FloatVector", 128)]}},
        "DescribeIndex": {"index_descriptions": [_index("v", index_type="HNSW", params='{"M": 16}')]},
    }
    world.milvus |= overrides
    return world


def _descriptions(world: World) -> list[str]:
    return [name for name, _, _ in world.asked["milvus"] if name.startswith("Describe")]


@pytest.mark.parametrize("spec", [HOT, REPLICAS], ids=["hot segments", "replicas"])
def test_a_policy_that_needs_shapes_gets_them(spec: Mapping[str, Any]) -> None:
    world = _world(spec)
    snapshot = snapshot_of(world)
    assert (snapshot.collections[0].shape, snapshot.problems) == (SHAPE, ())
    assert _descriptions(world) == ["DescribeCollection", "DescribeIndex"]


def test_for_a_policy_that_does_not_nothing_is_described() -> None:
    world = _world({})
    assert snapshot_of(world).collections[0].shape is None
    assert _descriptions(world) == []


def test_a_shape_is_asked_for_once_for_many_passes() -> None:
    world = _world(HOT)
    with serving(world), observing(world) as observer:
        shapes = [observer.observe(NAMESPACE, world.parsed_spec(), NOW).collections[0].shape for _ in range(3)]
    assert shapes == [SHAPE] * 3
    assert _descriptions(world) == ["DescribeCollection", "DescribeIndex"]


@pytest.mark.parametrize(
    ("overrides", "shape"),
    [
        pytest.param(
            {"DescribeIndex": {"status": {"code": 700, "reason": "index not found"}}},
            CollectionShape(dimension=128, vector_bytes=512),
            id="no index yet",
        ),
        pytest.param({"DescribeIndex": {"status": {"code": 1, "reason": "busy"}}}, None, id="index refused"),
        pytest.param(
            {"DescribeCollection": refuses(grpc.StatusCode.PERMISSION_DENIED, "no")}, None, id="role too small"
        ),
        pytest.param({"DescribeCollection": refuses(grpc.StatusCode.UNAVAILABLE, "no")}, None, id="no answer"),
        pytest.param(
            {"DescribeCollection": {"collectionID": "1", "schema": {"fields": [_field("v", "FloatVector", 8)]}}},
            None,
            id="another collection has the name by now",
        ),
    ],
)
def test_what_cannot_be_described_has_no_shape_and_costs_nothing_else(
    overrides: dict[str, Override], shape: CollectionShape | None
) -> None:
    snapshot = snapshot_of(_world(HOT, **overrides))
    assert (snapshot.collections[0].shape, snapshot.problems, len(snapshot.segments)) == (shape, (), 12)
