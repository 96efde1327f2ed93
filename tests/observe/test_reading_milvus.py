"""Reading one Milvus pass after pass, over real gRPC: segments, placement by turns, and what a refusal costs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest

from milvus_tuning.clients.milvus import MilvusClient
from milvus_tuning.observe.memory import ClusterMemory
from milvus_tuning.observe.milvus import MilvusFacts, read_milvus
from milvus_tuning.snapshot import Collection, ProblemKind, Sample, Segment, SegmentState
from tests.clients.milvus_server import ByRequest, Override, RecordedMilvus, a_milvus, refuses
from tests.observe.world import NAMESPACE, NOW, PATIENT_SECONDS, World, a_vector, observing, serving


def _segment(key: int, **more: Any) -> dict[str, Any]:
    return {"segmentID": key, "collectionID": key, "num_rows": 10, "nodeIds": [1], "state": "Sealed"} | more


def _milvus(collections: int, **overrides: Override) -> dict[str, Override]:
    """A Milvus with collections c1, c2, ..., each with one replica and one segment of its own id."""
    keys = range(1, collections + 1)
    recorded: dict[str, Override] = {
        "GetVersion": {"version": "v2.6.0"},
        "GetMetrics": {"response": '{"nodes_info": []}'},
        "ListDatabases": {"db_names": ["default"]},
        "ShowCollections": {
            "collection_ids": list(keys),
            "collection_names": [f"c{key}" for key in keys],
            "inMemory_percentages": [100] * collections,
        },
        "GetReplicas": ByRequest(
            lambda request: {
                "replicas": [{"replicaID": request.collectionID, "collectionID": request.collectionID, "node_ids": [1]}]
            }
        ),
        "GetQuerySegmentInfo": ByRequest(lambda request: {"infos": [_segment(int(request.collectionName[1:]))]}),
    }
    return recorded | overrides


@contextmanager
def _serving(recorded: Mapping[str, Override]) -> Iterator[tuple[MilvusClient, RecordedMilvus]]:
    with a_milvus(recorded) as (uri, servicer):
        client = MilvusClient(uri, timeout_seconds=PATIENT_SECONDS)
        yield client, servicer
        client.close()


def _read(
    client: MilvusClient, memory: ClusterMemory | None = None, *, budget_seconds: float = 10.0, **more: Any
) -> MilvusFacts:
    return read_milvus(client, memory or ClusterMemory(), budget_seconds=budget_seconds, **more)


def _placed(facts: MilvusFacts) -> set[int]:
    return {segment.collection_id for segment in facts.segments}


@pytest.mark.parametrize(
    ("said", "partition_id", "memory_bytes"),
    [
        pytest.param({"partitionID": 7, "mem_size": 4096}, 7, 4096, id="as 2.6 says it"),
        pytest.param({"partitionID": 7}, 7, None, id="without a size, as before"),
        pytest.param({}, None, None, id="with nothing"),
    ],
)
def test_a_segment_has_the_partition_and_size_that_milvus_tells(
    said: dict[str, Any], partition_id: int | None, memory_bytes: int | None
) -> None:
    with _serving(_milvus(1, GetQuerySegmentInfo={"infos": [_segment(1, **said)]})) as (client, _):
        assert _read(client).segments == (
            Segment(
                segment_id=1,
                collection_id=1,
                rows=10,
                node_ids=(1,),
                state=SegmentState.SEALED,
                partition_id=partition_id,
                memory_bytes=memory_bytes,
            ),
        )


def test_what_holds_deletes_only_is_no_segment() -> None:
    infos = [_segment(1, level="L1"), _segment(2, level="L0"), _segment(3, level="Legacy"), _segment(4, level="L2")]
    with _serving(_milvus(1, GetQuerySegmentInfo={"infos": infos})) as (client, _):
        assert [segment.segment_id for segment in _read(client).segments] == [1, 3, 4]


def test_more_collections_than_a_pass_reads_are_all_known_after_the_next() -> None:
    with _serving(_milvus(230)) as (client, servicer):
        memory = ClusterMemory()
        first, asked = _read(client, memory), len(servicer.asked)
        second = _read(client, memory)
        calls = [name for name, _, _ in servicer.asked[asked:] if name == "GetReplicas"]
    assert (len(_placed(first)), first.coverage) == (200, 200 / 230)
    assert (len(_placed(second)), len(second.replicas), second.coverage) == (230, 230, 1.0)
    assert len(calls) == 200


def test_a_busy_collection_is_read_in_every_pass() -> None:
    busy = Collection(collection_id=1, name="c1", searches_per_second=Sample(value=3.0))
    idle = Collection(collection_id=2, name="c2", searches_per_second=Sample(value=0.0))
    with _serving(_milvus(420)) as (client, servicer):
        memory = ClusterMemory()
        memory.note_searches([busy, idle])
        for _ in range(2):
            _read(client, memory)
        read = [request.collectionID for name, request, _ in servicer.asked if name == "GetReplicas"]
    assert (read.count(1), read.count(2)) == (2, 1)


def test_a_pass_that_runs_out_of_time_goes_on_where_the_one_before_ended() -> None:
    ticks = count()
    with _serving(_milvus(6)) as (client, _):
        memory = ClusterMemory()
        passes = [_read(client, memory, budget_seconds=6.0, monotonic=lambda: float(next(ticks))) for _ in range(2)]
    assert [facts.coverage for facts in passes] == [5 / 6, 1.0]


def test_a_refusal_costs_its_collection_and_is_a_problem() -> None:
    def segments(request: Any) -> Mapping[str, Any]:
        if request.collectionName == "c1":
            return {"status": {"code": 1, "reason": "node not found"}}
        return {"infos": [_segment(int(request.collectionName[1:]))]}

    with _serving(_milvus(3, GetQuerySegmentInfo=ByRequest(segments))) as (client, _):
        facts = _read(client)
    assert (_placed(facts), facts.coverage) == ({2, 3}, 2 / 3)
    assert [problem.kind for problem in facts.problems] == [ProblemKind.MILVUS_UNREACHABLE]
    assert "node not found" in facts.problems[0].message


def test_a_milvus_that_falls_silent_is_asked_no_more() -> None:
    gone = refuses(grpc.StatusCode.UNAVAILABLE, "gone")
    with _serving(_milvus(3, GetReplicas=gone)) as (client, servicer):
        facts = _read(client)
    assert sum(1 for name, _, _ in servicer.asked if name == "GetReplicas") == 1
    assert (facts.coverage, len(facts.problems)) == (0.0, 1)


def test_how_busy_collections_are_is_known_from_the_pass_before() -> None:
    world = World(milvus=_milvus(420))
    world.prometheus["collection_searches"] = a_vector(({"collection_name": "c1"}, 3.0), ({"collection_name": "c2"}, 0))
    with serving(world), observing(world) as observer:
        coverages = [observer.observe(NAMESPACE, world.parsed_spec(), NOW).placement_coverage for _ in range(2)]
    read = [request.collectionID for name, request, _ in world.asked["milvus"] if name == "GetReplicas"]
    assert (read.count(1), read.count(2)) == (2, 1)
    assert coverages == [200 / 420, 399 / 420]


def test_another_connection_remembers_nothing() -> None:
    with _serving(_milvus(2)) as (client, _):
        memory = ClusterMemory()
        _read(client, memory)
        facts = _read(client, memory, budget_seconds=0.0)
        other = _read(client, ClusterMemory(), budget_seconds=0.0)
    assert (facts.coverage, other.coverage) == (1.0, 0.0)
