"""The level of a collection changes after it was recorded, over a real etcd and real gRPC."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest

from milvus_tuning.apply import ApplyContext, PreconditionChanged, perform, release_hand_back
from milvus_tuning.clients.collection_levels import read_owned_levels
from milvus_tuning.clients.etcd import EtcdClient, Put
from milvus_tuning.clients.handback import read_owned_keys
from milvus_tuning.clients.milvus import MilvusClient
from milvus_tuning.errors import ApplyError
from milvus_tuning.snapshot import OwnedLevel
from tests.apply.builders import a_config, a_context
from tests.clients.acting_milvus import ActingMilvus, Mood
from tests.clients.milvus_server import a_milvus
from tests.decide.steps import a_level

pytest_plugins = ("tests.apply.servers",)
pytestmark = pytest.mark.integration
UP = a_level("Bounded", "Strong")
RECORD = "milvustuning/policy-1/handback/collection/default/products/consistency_level"
STRONG = "AlterCollection default.products consistency_level=Strong"
BOUNDED = "AlterCollection default.products consistency_level=Bounded"


def record(previous: str, written: str) -> dict[str, str]:
    key = "collection/default/products/consistency_level"
    return {RECORD: json.dumps({"key": key, "value": previous, "written": written})}


@dataclass
class Case:
    """A Milvus with one collection, and an etcd."""

    milvus: ActingMilvus
    context: ApplyContext

    @property
    def etcd(self) -> EtcdClient:
        assert self.context.etcd is not None
        return self.context.etcd

    @property
    def stored(self) -> dict[str, str]:
        """Everything under the root path, without it."""
        prefix = f"{self.context.root_path}/"
        return {entry.key.removeprefix(prefix): entry.value for entry in self.etcd.get_prefix(prefix)}

    def put(self, entries: Mapping[str, str]) -> None:
        """Leave something in etcd."""
        puts = [Put(key=f"{self.context.root_path}/{key}", value=value) for key, value in entries.items()]
        self.etcd.transaction(compare=[], then=puts)


@contextmanager
def serving(etcd: EtcdClient, root_path: str, version: str, **milvus: Any) -> Iterator[Case]:
    recorded = {
        "GetVersion": {"status": {}, "version": version},
        "ShowCollections": {"collection_ids": ["100"], "collection_names": ["products"]},
        "GetReplicas": {"replicas": []},
        "GetQuerySegmentInfo": {"infos": []},
    }
    acting = ActingMilvus(recorded, **milvus)
    with a_milvus(acting.replies) as (uri, _):
        client = MilvusClient(uri)
        yield Case(milvus=acting, context=replace(a_context(etcd=etcd, root_path=root_path), milvus=client))
        client.close()


@pytest.fixture
def case(etcd: EtcdClient, root_path: str) -> Iterator[Case]:
    """A collection at level Bounded, in a version that can change it."""
    with serving(etcd, root_path, "v2.5.5") as made:
        yield made


def test_a_level_is_recorded_and_written_once(case: Case) -> None:
    said = perform(UP, undo=False, context=case.context)
    assert said == "the consistency level of default.products set from Bounded to Strong"
    assert "already" in perform(UP, undo=False, context=case.context)
    assert (case.milvus.level, case.milvus.writes) == ("Strong", [STRONG])
    assert case.stored == record("Bounded", "Strong")


def test_the_record_is_of_a_level_and_of_no_key(case: Case) -> None:
    perform(UP, undo=False, context=case.context)
    root_path = str(case.context.root_path)
    assert read_owned_keys(case.etcd, root_path) == {}
    owned = OwnedLevel(database="default", collection="products", previous="Bounded", written=("Strong",))
    assert read_owned_levels(case.etcd, root_path) == {"policy-1": (owned,)}


def test_undo_restores_the_former_level_and_leaves_no_record(case: Case) -> None:
    perform(UP, undo=False, context=case.context)
    said = perform(UP, undo=True, context=case.context)
    assert said == "the consistency level of default.products handed back: Bounded, as before us"
    assert (case.milvus.level, case.milvus.writes, case.stored) == ("Bounded", [STRONG, BOUNDED], {})
    perform(UP, undo=True, context=case.context)
    assert case.milvus.writes == [STRONG, BOUNDED]


def test_a_later_level_of_ours_keeps_what_was_there_first(case: Case) -> None:
    later = a_level("Strong", "Session")
    perform(UP, undo=False, context=case.context)
    perform(later, undo=False, context=case.context)
    assert (case.milvus.level, case.stored) == ("Session", record("Bounded", "Session"))
    perform(later, undo=True, context=case.context)
    assert (case.milvus.level, case.stored) == ("Strong", record("Bounded", "Strong"))


def test_a_level_that_somebody_set_over_ours_becomes_what_was_there(case: Case) -> None:
    perform(UP, undo=False, context=case.context)
    case.milvus.level = "Eventually"
    perform(a_level("Eventually", "Bounded"), undo=False, context=case.context)
    assert (case.milvus.level, case.stored) == ("Bounded", record("Eventually", "Bounded"))


@pytest.mark.parametrize("undo", [False, True])
def test_a_level_that_nobody_decided_on_is_left_alone(case: Case, undo: bool) -> None:
    case.milvus.level = "Session"
    with pytest.raises(PreconditionChanged, match="is Session, neither"):
        perform(UP, undo=undo, context=case.context)
    assert (case.milvus.writes, case.stored) == ([], {})


def test_a_collection_that_is_gone_is_another_state_than_decided_on(case: Case) -> None:
    case.milvus.level = None
    with pytest.raises(PreconditionChanged, match=r"there is no collection default\.products any more"):
        perform(UP, undo=False, context=case.context)
    assert case.stored == {}


@pytest.mark.parametrize("version", ["v2.3.5", "v2.4.22", "v2.5.4", "master-20240101-abcdef"])
def test_a_version_that_only_stores_the_property_is_refused(etcd: EtcdClient, root_path: str, version: str) -> None:
    with serving(etcd, root_path, version) as case, pytest.raises(ApplyError) as raised:
        perform(UP, undo=False, context=case.context)
    assert (case.milvus.writes, case.stored, raised.value.retryable) == ([], {}, False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"etcd": None}, "etcd is not connected", id="no etcd"),
        pytest.param({"root_path": None}, "root path of Milvus in etcd is not proven", id="no root path"),
        pytest.param({"milvus": None}, "Milvus is not connected", id="no Milvus"),
    ],
)
def test_without_a_place_for_the_record_nothing_is_changed(case: Case, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ApplyError, match=words):
        perform(UP, undo=False, context=replace(case.context, **changes))
    assert case.milvus.writes == []


def test_another_property_is_none_of_ours(case: Case) -> None:
    step = replace(UP, action={**UP.action, "property": "collection.ttl.seconds"})
    with pytest.raises(ApplyError, match=r"collection\.ttl\.seconds is no property"):
        perform(step, undo=False, context=case.context)


def test_without_the_lease_nothing_is_changed(case: Case) -> None:
    def refuse() -> None:
        raise ApplyError("the Lease is held by another operator", retryable=True)

    with pytest.raises(ApplyError, match="Lease"):
        perform(UP, undo=False, context=replace(case.context, require_lease=refuse))
    assert (case.milvus.writes, case.stored) == ([], {})


def test_a_property_that_an_older_version_stored_without_effect_does_not_hide_the_change(case: Case) -> None:
    case.milvus.properties = {"consistency_level": "Strong"}  # and the level is Bounded all the same
    perform(UP, undo=False, context=case.context)
    assert case.milvus.writes == ["AlterCollection default.products consistency_level=0"]
    assert (case.milvus.level, case.stored) == ("Strong", record("Bounded", "Strong"))


def test_what_milvus_refuses_leaves_the_record_as_it_was(case: Case) -> None:
    case.milvus.mood = Mood.PARTIAL
    with pytest.raises(ApplyError, match="ddl is denied") as raised:
        perform(UP, undo=False, context=case.context)
    assert (case.stored, raised.value.retryable) == ({}, False)


@pytest.mark.parametrize("done", [False, True], ids=["the call was lost", "the answer was lost"])
def test_a_call_whose_outcome_is_not_known_is_made_again(case: Case, done: bool) -> None:
    def lose(name: str, context: grpc.ServicerContext, act: Any) -> None:
        if done:
            act()
        context.abort(grpc.StatusCode.UNAVAILABLE, "away")

    gate, case.milvus.gate = case.milvus.gate, lose
    with pytest.raises(ApplyError) as raised:
        perform(UP, undo=False, context=case.context)
    assert raised.value.retryable
    assert case.stored == record("Bounded", "Strong")  # before the outcome is known
    case.milvus.gate = gate
    perform(UP, undo=False, context=case.context)
    assert (case.milvus.level, case.milvus.writes) == ("Strong", [STRONG])
    assert case.stored == record("Bounded", "Strong")


@pytest.mark.parametrize("level", ["Strong", "Session"], ids=["the call was lost", "the answer was lost"])
def test_of_a_later_level_both_are_ours_until_the_outcome_is_known(case: Case, level: str) -> None:
    case.put(record("Bounded", "Strong Session"))
    case.milvus.level = level
    perform(a_level("Strong", "Session"), undo=False, context=case.context)
    assert (case.milvus.level, case.stored) == ("Session", record("Bounded", "Session"))


# -- handing back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "stays", "words"),
    [
        pytest.param("Strong", "Bounded", "handed back: Bounded", id="ours"),
        pytest.param("Session", "Session", "is Session, set by somebody else after us, and stays", id="of others"),
        pytest.param("Bounded", "Bounded", "handed back: Bounded", id="back already"),
        pytest.param(None, None, "the collection is gone", id="gone"),
    ],
)
def test_letting_go_restores_what_is_ours(case: Case, level: str | None, stays: str | None, words: str) -> None:
    case.put(record("Bounded", "Strong"))
    case.milvus.level = level
    assert words in release_hand_back(case.context)
    assert (case.milvus.level, case.stored) == (stays, {})


def test_letting_go_gives_keys_and_levels_back(case: Case) -> None:
    perform(a_config("querycoord.autobalanceinterval", None, "60000"), undo=False, context=case.context)
    perform(UP, undo=False, context=case.context)
    said = release_hand_back(case.context)
    assert "querycoord.autobalanceinterval handed back: unset" in said
    assert "consistency level of default.products handed back" in said
    assert (case.milvus.level, case.stored) == ("Bounded", {})


def test_letting_go_of_keys_alone_needs_no_milvus(case: Case) -> None:
    perform(a_config("querycoord.autobalanceinterval", None, "60000"), undo=False, context=case.context)
    release_hand_back(replace(case.context, milvus=None))
    assert case.stored == {}


def test_letting_go_of_a_level_waits_for_milvus(case: Case) -> None:
    case.put(record("Bounded", "Strong"))
    with pytest.raises(ApplyError) as raised:
        release_hand_back(replace(case.context, milvus=None))
    assert (case.stored, raised.value.retryable) == (record("Bounded", "Strong"), True)


@pytest.mark.parametrize(
    ("level", "step", "stays"),
    [
        pytest.param("Strong", a_level("Strong", "Bounded"), "Bounded", id="ours"),
        pytest.param("Session", a_level("Session", "Bounded", remains="Session"), "Session", id="of others"),
    ],
)
def test_a_step_that_hands_back_settles_the_record(case: Case, level: str, step: Any, stays: str) -> None:
    case.put(record("Bounded", "Strong"))
    case.milvus.level = level
    perform(step, undo=False, context=case.context)
    assert (case.milvus.level, case.stored) == (stays, {})
