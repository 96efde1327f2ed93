"""The level of a collection in Milvus's words, and the text of its record."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]
from pymilvus.grpc_gen import milvus_pb2

from milvus_tuning.clients.collection_levels import (
    LevelRecord,
    level_of,
    level_record_key,
    parse_level_record,
    property_value,
)
from milvus_tuning.clients.etcd import EtcdEntry, EtcdError

RECORD = LevelRecord(database="Shop", collection="My_Users", previous="Bounded", written=("Strong", "Session"))


def described(level: int, **properties: str) -> Any:
    pairs = [{"key": key, "value": value} for key, value in properties.items()]
    return ParseDict({"consistency_level": level, "properties": pairs}, milvus_pb2.DescribeCollectionResponse())


@pytest.mark.parametrize(
    ("number", "level"),
    [(0, "Strong"), (1, "Session"), (2, "Bounded"), (3, "Eventually"), (4, "Customized"), (9, "9")],
)
def test_a_level_has_the_name_that_milvus_takes(number: int, level: str) -> None:
    assert level_of(described(number)) == level


@pytest.mark.parametrize(
    ("properties", "value"),
    [
        pytest.param({}, "Strong", id="its name"),
        pytest.param({"consistency_level": "Bounded"}, "Strong", id="over another name"),
        pytest.param({"consistency_level": "Strong"}, "0", id="its number, where the name would change nothing"),
        pytest.param({"consistency_level": "0"}, "Strong", id="its name, where the number would change nothing"),
        pytest.param({"mmap.enabled": "Strong"}, "Strong", id="beside other properties"),
    ],
)
def test_what_is_written_changes_the_property(properties: dict[str, str], value: str) -> None:
    assert property_value(described(2, **properties), "Strong") == value


def test_a_record_is_read_as_it_was_written_under_the_names_as_they_are() -> None:
    path = level_record_key("/by-dev/", "uid-1", "Shop", "My_Users")
    entry = EtcdEntry(key=path, value=RECORD.text(), mod_revision=7, lease_id=0)
    assert path == "by-dev/milvustuning/uid-1/handback/collection/Shop/My_Users/consistency_level"
    assert parse_level_record(entry) == RECORD


@pytest.mark.parametrize("text", ["", "Bounded", "{}", '{"key": "a/b", "value": "Bounded", "written": "Strong"}'])
def test_a_text_of_others_is_no_record(text: str) -> None:
    with pytest.raises(EtcdError, match="no record of a collection's level"):
        parse_level_record(EtcdEntry(key="k", value=text, mod_revision=7, lease_id=0))
