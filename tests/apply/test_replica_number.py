"""In-memory replicas are written over exactly the number decided on, and only where Milvus can; over real gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from milvus_tuning.apply import ApplyContext, PreconditionChanged, perform
from milvus_tuning.clients.milvus import MilvusClient
from milvus_tuning.errors import ApplyError
from tests.apply.builders import a_context
from tests.clients.acting_milvus import ActingMilvus
from tests.clients.milvus_server import a_milvus
from tests.decide.steps import a_replica_change

UP = a_replica_change(1, 2)


def recorded(version: str = "v2.4.13", collection: str = "products", count: int = 1) -> dict[str, Any]:
    return {
        "GetVersion": {"status": {}, "version": version},
        "ShowCollections": {
            "collection_ids": ["100"],
            "collection_names": [collection],
            "inMemory_percentages": ["100"],
        },
        "GetReplicas": {"replicas": [{"replicaID": str(1 + one), "collectionID": "100"} for one in range(count)]},
        "GetQuerySegmentInfo": {"infos": []},
    }


@dataclass
class Case:
    """A Milvus with one collection."""

    milvus: ActingMilvus
    context: ApplyContext

    def perform(self, *, undo: bool = False, **context: Any) -> str:
        return perform(UP, undo=undo, context=replace(self.context, **context))


@contextmanager
def a_case(**changes: Any) -> Iterator[Case]:
    milvus = ActingMilvus(recorded(**changes))
    with a_milvus(milvus.replies) as (uri, _):
        yield Case(milvus=milvus, context=replace(a_context(), milvus=MilvusClient(uri)))


def test_the_number_is_written_with_its_resource_groups_and_once() -> None:
    with a_case() as case:
        assert case.perform() == "asked Milvus for 2 in-memory replicas of default.products, 1 before"
        assert "already" in case.perform()

    assert case.milvus.writes == ["LoadCollection 2 rg1"]


def test_undo_writes_the_former_number() -> None:
    with a_case() as case:
        case.perform()
        case.perform(undo=True)

    assert case.milvus.writes == ["LoadCollection 2 rg1", "LoadCollection 1 rg1"]


@pytest.mark.parametrize("version", ["v2.3.5", "v2.4.12", "2.4.13-rc1", "master-20240101-abcdef"])
def test_a_version_that_would_need_a_release_is_refused(version: str) -> None:
    with a_case(version=version) as case, pytest.raises(ApplyError, match=r"2\.4\.13 is the first") as raised:
        case.perform()

    assert (case.milvus.writes, raised.value.retryable) == ([], False)


@pytest.mark.parametrize("version", ["v2.4.13", "v2.4.23-gpu", "v2.6.0"])
def test_a_version_that_can_is_not(version: str) -> None:
    with a_case(version=version) as case:
        case.perform()

    assert len(case.milvus.writes) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"count": 3}, "3 in-memory replicas, neither 1 nor 2", id="somebody else asked for three"),
        pytest.param({"collection": "images"}, "not loaded", id="a released collection is not loaded by us"),
    ],
)
def test_another_state_than_decided_on_is_left_alone(changes: dict[str, Any], words: str) -> None:
    with a_case(**changes) as case, pytest.raises(PreconditionChanged, match=words):
        case.perform()

    assert case.milvus.writes == []


def test_without_the_lease_nothing_is_changed() -> None:
    def refuse() -> None:
        raise ApplyError("the Lease is held by another operator", retryable=True)

    with a_case() as case, pytest.raises(ApplyError, match="Lease"):
        case.perform(require_lease=refuse)

    assert case.milvus.writes == []
