"""The level of a collection is asked for where a policy declares it or has written it, a few each pass."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest

from milvus_tuning.observe.levels import KEPT_SECONDS, MOST_LEVELS_PER_PASS, LevelCache
from milvus_tuning.snapshot import Collection, OwnedLevel
from tests.clients.milvus_server import Override, refuses
from tests.observe.world import NAMESPACE, NOW, World, observing, serving, snapshot_of

DEMO = "470657475820126434"
DECLARED = {"consistency": {"collections": [{"name": "demo", "level": "Strong"}]}}
RECORD = "by-dev/milvustuning/uid-1/handback/collection/default/demo/consistency_level"
TEXT = json.dumps({"key": "collection/default/demo/consistency_level", "value": "Bounded", "written": "Strong"})
OURS = OwnedLevel(database="default", collection="demo", previous="Bounded", written=("Strong",))


def _world(spec: Mapping[str, Any], reply: Override | None = None) -> World:
    world = World()
    world.spec |= spec
    world.milvus["DescribeCollection"] = reply or {"collectionID": DEMO, "consistency_level": "Session"}
    return world


def _asked(world: World) -> list[str]:
    return [request.collection_name for name, request, _ in world.asked["milvus"] if name == "DescribeCollection"]


def test_a_declared_collection_has_its_level_and_no_shape() -> None:
    world = _world(DECLARED)
    (collection,) = snapshot_of(world).collections
    assert (collection.consistency_level, collection.shape, _asked(world)) == ("Session", None, ["demo"])


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({}, id="nothing declared"),
        pytest.param({"consistency": {"stalenessMilliseconds": 0}}, id="staleness alone"),
        pytest.param({"consistency": {"collections": [{"name": "other", "level": "Strong"}]}}, id="another one"),
        pytest.param(
            {"consistency": {"collections": [{"database": "x", "name": "demo", "level": "Strong"}]}},
            id="of another database",
        ),
    ],
)
def test_what_is_not_declared_is_not_asked_for(spec: Mapping[str, Any]) -> None:
    world = _world(spec)
    assert [one.consistency_level for one in snapshot_of(world).collections] == [None]
    assert _asked(world) == []


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(refuses(grpc.StatusCode.PERMISSION_DENIED, "no"), id="role too small"),
        pytest.param(refuses(grpc.StatusCode.UNAVAILABLE, "no"), id="no answer"),
        pytest.param({"collectionID": "1", "consistency_level": "Strong"}, id="another collection has the name by now"),
    ],
)
def test_a_level_that_cannot_be_read_is_unknown_and_costs_nothing_else(reply: Override) -> None:
    snapshot = snapshot_of(_world(DECLARED, reply))
    assert (snapshot.collections[0].consistency_level, snapshot.problems, len(snapshot.segments)) == (None, (), 12)


def test_a_level_of_ours_is_read_from_the_pass_after_its_record_and_its_record_is_no_key() -> None:
    world = _world({})
    world.etcd[RECORD] = TEXT
    with serving(world), observing(world) as observer:
        first, second = (observer.observe(NAMESPACE, world.parsed_spec(), NOW) for _ in range(2))
    assert [one.collections[0].consistency_level for one in (first, second)] == [None, "Session"]
    assert (second.owned_levels, second.owned_keys) == ({"uid-1": (OURS,)}, {})


def test_many_are_read_in_turn_and_forgotten_once_they_are_old() -> None:
    cache = LevelCache()
    collections = [Collection(collection_id=key, name=f"c{key}") for key in range(MOST_LEVELS_PER_PASS + 5)]
    first = cache.due(collections)
    for one in first:
        cache.keep(one, "Strong", 0.0)
    second = cache.due(collections)
    assert [one.collection_id for one in second[:5]] == list(range(MOST_LEVELS_PER_PASS, MOST_LEVELS_PER_PASS + 5))
    assert cache.level(first[0], KEPT_SECONDS) == "Strong"
    assert cache.level(first[0], KEPT_SECONDS + 1) is None
    assert cache.level(second[0], 0.0) is None
