"""The CRDs are structural, bounded and complete, whatever fields the API gains: properties over the whole schemas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import Field

from milvus_tuning import api, crd

Schema = dict[str, Any]

ROOT = Path(__file__).resolve().parent.parent
UNSTRUCTURAL = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "const", "title", "propertyNames", "patternProperties"}


def openapi(resource: crd.Resource = crd.POLICY) -> Schema:
    schema: Schema = crd.manifest(resource)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def walk(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from walk(field, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            yield from walk(schema[keyword], f"{path}[]")


def at(path: str, resource: crd.Resource = crd.POLICY) -> Schema:
    return dict(walk(openapi(resource)))[path]


POLICY_NODES = list(walk(openapi()))
NODES = [node for resource in crd.RESOURCES for node in walk(openapi(resource))]
OURS = [(path, schema) for path, schema in NODES if path not in {".apiVersion", ".kind", ".metadata"}]


def is_structural(schema: Schema) -> bool:
    return (
        not UNSTRUCTURAL & schema.keys()
        and schema["type"] in {"object", "array", "string", "integer", "boolean"}
        and not ("properties" in schema and "additionalProperties" in schema)
        and schema.get("default", 0) is not None
    )


def is_bounded(schema: Schema) -> bool:
    bounds = {
        "string": "maxLength" in schema or "enum" in schema,
        "array": "maxItems" in schema and "x-kubernetes-list-type" in schema,
        "object": "properties" in schema or "maxProperties" in schema,
    }
    return bounds.get(schema["type"], True)


def test_each_part_of_the_schema_is_structural() -> None:
    assert [path for path, schema in NODES if not is_structural(schema)] == []


def test_each_list_map_and_string_has_a_maximum() -> None:
    assert [path for path, schema in OURS if not is_bounded(schema)] == []


def test_each_integer_of_the_spec_has_both_bounds_and_a_default_within_them() -> None:
    integers = [(path, node) for path, node in POLICY_NODES if path.startswith(".spec") and node["type"] == "integer"]
    assert len(integers) > 20
    for path, node in integers:
        assert node["minimum"] <= node.get("default", node["minimum"]) <= node["maximum"], path


def always_there(schema: Schema) -> set[str]:
    """The fields that a client must give, or that the API server fills in."""
    filled = {name for name, field in schema["properties"].items() if "default" in field}
    return {*schema["required"], *filled}


def test_each_map_list_names_keys_that_are_always_there() -> None:
    lists = [node for _, node in NODES if node.get("x-kubernetes-list-type") == "map"]
    assert len(lists) == 10
    assert [node for node in lists if not set(node["x-kubernetes-list-map-keys"]) <= always_there(node["items"])] == []


def test_each_field_of_the_spec_is_described() -> None:
    fields = [(path, node) for path, node in NODES if path.startswith(".spec.") and not path.endswith("[]")]
    assert [path for path, node in fields if not node.get("description")] == []


def test_status_has_no_defaults() -> None:
    assert [path for path, schema in NODES if path.startswith(".status") and "default" in schema] == []


def test_only_mode_and_paused_are_filled_in_for_a_target_alone() -> None:
    fields = openapi()["properties"]["spec"]["properties"]
    assert {name: field["default"] for name, field in fields.items() if "default" in field} == {
        "mode": "Observe",
        "paused": False,
    }


@pytest.mark.parametrize(
    "path",
    [
        ".spec.queryNodes.scaleOut",
        ".spec.queryNodes.scaleIn",
        ".spec.approval.automatic",
        ".spec.connections.prometheus.labels",
    ],
)
def test_a_block_inside_a_declared_block_defaults_to_empty_so_that_its_own_defaults_fill_it(path: str) -> None:
    assert at(path)["default"] == {}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".spec.mode", {"type": "string", "enum": ["Observe", "Propose", "Auto"], "default": "Observe"}),
        (".spec.approval.automatic.maxRisk", {"enum": ["Low", "Medium", "High"], "default": "Medium"}),
        (".spec.maintenanceWindows", {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
        (".spec.queryNodes.override.expiresAt", {"type": "string", "format": "date-time"}),
        (
            ".spec.queryNodes.scaleOut.capacityAbovePercent",
            {"type": "integer", "minimum": 1, "maximum": 100, "default": 80, "format": "int32"},
        ),
        (".spec.queryNodes.scaleIn.loadBytesPerSecond", {"default": 20_000_000, "format": "int64"}),
        (
            ".spec.loadBalancing.hotSegments.excludeCollections",
            {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["database", "name"], "maxItems": 100},
        ),
        (".spec.loadBalancing.hotSegments.mode", {"enum": ["Off", "Observe", "Act"], "default": "Observe"}),
        (".status.heat.collections", {"x-kubernetes-list-type": "atomic", "maxItems": 20}),
        (".status.conditions", {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
        (".status.conditions[].lastTransitionTime", {"type": "string", "format": "date-time"}),
        (".status.decision.inputs[]", {"type": "string", "nullable": True}),
        (".spec.connections.etcd.endpoints", {"x-kubernetes-list-type": "atomic", "minItems": 1, "maxItems": 16}),
    ],
)
def test_a_field_reads_as(path: str, expected: Schema) -> None:
    schema = at(path)
    assert {keyword: schema.get(keyword) for keyword in expected} == expected


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (".spec", "queryNodes needs connections.prometheus"),
        (".spec", "loadBalancing.hotSegments needs connections.prometheus"),
        (".spec", "inMemoryReplicas needs connections.prometheus"),
        (".spec.inMemoryReplicas", "minCount must not be above maxCount"),
        (".spec.inMemoryReplicas", "computationBelowPercent must be below computationAbovePercent"),
        (".spec.inMemoryReplicas", "a collection's minCount must not be above its maxCount"),
        (".spec.targetRef", "targetRef is immutable"),
        (".spec.queryNodes", "minCount must not be above maxCount"),
        (".spec.connections.prometheus.matchers", "each key must have at most 128 characters"),
        (".spec.maintenanceWindows[]", "schedule must be five cron fields"),
        (".spec.maintenanceWindows[]", "timeZone must be an IANA name"),
    ],
)
def test_a_rule_of_a_type_reaches_the_schema(path: str, message: str) -> None:
    assert any(rule["message"].startswith(message) for rule in at(path)["x-kubernetes-validations"])


def test_the_change_of_a_plan_is_frozen_as_a_whole_and_always_there() -> None:
    """A transition rule is not asked where its field appears or goes, so it stands above a field that is required."""
    spec = at(".spec", crd.PLAN)
    assert spec["required"] == ["change"]
    assert [rule["rule"] for rule in spec["x-kubernetes-validations"]] == ["self.change == oldSelf.change"]


@pytest.mark.parametrize("resource", crd.RESOURCES, ids=lambda resource: resource.kind)
def test_printer_columns_show_fields_that_exist(resource: crd.Resource) -> None:
    paths = {path for path, _ in walk(openapi(resource))} | {".metadata.creationTimestamp"}
    assert {column.json_path for column in resource.columns} <= paths


def test_the_two_kinds_share_a_group_and_a_category_and_no_name() -> None:
    policy, plan = (crd.manifest(resource)["spec"] for resource in crd.RESOURCES)
    assert (policy["group"], policy["names"]["categories"]) == (plan["group"], plan["names"]["categories"])
    assert not set(_names(policy)) & set(_names(plan))
    assert _names(plan) == ["MilvusTuningPlan", "MilvusTuningPlanList", "milvustuningplans", "milvustuningplan", "mvtp"]


def _names(spec: Schema) -> list[str]:
    names = spec["names"]
    return [*(names[key] for key in ("kind", "listKind", "plural", "singular")), *names["shortNames"]]


class UnboundedString(api.ApiModel):
    value: str


class UnboundedMap(api.ApiModel):
    value: dict[str, Annotated[str, Field(max_length=1)]]


class UnboundedList(api.ApiModel):
    value: list[Annotated[str, Field(max_length=1)]]


class Number(api.ApiModel):
    value: float


class Union(api.ApiModel):
    value: int | Annotated[str, Field(max_length=1)]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (UnboundedString, r"value: a string needs maxLength"),
        (UnboundedMap, r"value: a map needs a maximum"),
        (UnboundedList, r"value: a array needs maxItems"),
        (Number, r"value: number cannot be written"),
        (Union, r"value: a union of 2 types"),
    ],
)
def test_a_model_that_has_no_structural_form_is_refused(model: type[api.ApiModel], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        crd.structural_schema(model)


class Sample(api.ApiModel):
    above_zero: Annotated[int, Field(gt=0, lt=10)]
    count: int | None = Field(default=None, ge=1, le=5)


def test_open_bounds_become_closed_ones_and_optional_means_not_required() -> None:
    assert crd.structural_schema(Sample) == {
        "type": "object",
        "required": ["aboveZero"],
        "properties": {
            "aboveZero": {"type": "integer", "minimum": 1, "maximum": 9, "format": "int32"},
            "count": {"type": "integer", "minimum": 1, "maximum": 5, "format": "int32"},
        },
    }


def test_rendering_is_yaml_of_the_manifest_under_a_header_that_names_its_source() -> None:
    text = crd.render()
    assert text.startswith("# Generated by `make manifests`")
    assert list(yaml.safe_load_all(text)) == [crd.manifest(resource) for resource in crd.RESOURCES]
    assert yaml.safe_load(crd.render(crd.PLAN)) == crd.manifest(crd.PLAN)


@pytest.mark.parametrize("path", sorted((ROOT / "manifests" / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_each_example_is_understood_by_the_operator(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    assert (document["apiVersion"], document["kind"]) == (f"{api.GROUP}/{api.VERSION}", api.KIND)
    api.MilvusTuningSpec.model_validate(document["spec"])
