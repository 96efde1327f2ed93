"""Segments are moved from where they are to where they are not yet, and only under the Lease; over real gRPC."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest

from milvus_tuning.apply import ApplyContext, PreconditionChanged, perform
from milvus_tuning.clients.etcd import EtcdClient
from milvus_tuning.clients.handback import HandBack, record_key
from milvus_tuning.clients.milvus import MilvusClient
from milvus_tuning.errors import ApplyError
from milvus_tuning.plan import Step
from milvus_tuning.snapshot import QueryNode
from tests.apply.builders import a_context
from tests.builders import a_node
from tests.clients.acting_milvus import ActingMilvus, Mood
from tests.clients.http_server import Asked, Reply, a_server
from tests.clients.milvus_server import Override, RecordedMilvus, a_milvus, refuses
from tests.decide.steps import a_move

RECORDED = {
    "GetVersion": {"status": {}, "version": "v2.3.5"},
    "GetReplicas": {"replicas": [{"replicaID": "1", "collectionID": "100", "node_ids": ["1", "2", "3"]}]},
    "GetQuerySegmentInfo": {
        "infos": [
            {"segmentID": str(number), "collectionID": "100", "num_rows": "10", "nodeIds": ["1"], "state": "Sealed"}
            for number in (7, 8, 9)
        ]
    },
}
NODES = (a_node("qn-1", node_id=1), a_node("qn-2", node_id=2))
STEP = a_move(7, 8)


@dataclass
class Case:
    """A Milvus with segments 7, 8 and 9 on node 1, and the calls made of it."""

    milvus: ActingMilvus
    served: RecordedMilvus
    context: ApplyContext

    def perform(self, step: Step = STEP, *, undo: bool = False, **context: Any) -> str:
        return perform(step, undo=undo, context=replace(self.context, **context))

    @property
    def writes(self) -> list[str]:
        return [name for name, _, _ in self.served.asked if name == "LoadBalance"]


@pytest.fixture
def case() -> Iterator[Case]:
    milvus = ActingMilvus(RECORDED)
    with a_milvus(milvus.replies) as (uri, served):
        context = replace(a_context(), milvus=MilvusClient(uri), query_nodes=NODES)
        yield Case(milvus=milvus, served=served, context=context)


def test_the_segments_go_with_one_call_to_one_node(case: Case) -> None:
    message = case.perform()

    assert case.milvus.writes == ["LoadBalance 1 -> 2 7 8"]
    assert message == ("asked Milvus to move 2 segments (7, 8) of default.products from qn-1 (node 1) to qn-2 (node 2)")
    _, request, metadata = next(one for one in case.served.asked if one[0] == "LoadBalance")
    assert (request.db_name, request.collectionName, metadata["dbname"]) == ("default", "products", "default")


def test_doing_it_twice_is_doing_it_once(case: Case) -> None:
    case.perform()

    assert "there already" in case.perform()
    assert len(case.writes) == 1


def test_undo_moves_back_what_is_still_there(case: Case) -> None:
    case.perform()
    case.milvus.place(8, 3)  # somebody else's by now

    case.perform(undo=True)

    assert (case.milvus.nodes_of(7), case.milvus.nodes_of(8)) == ([1], [3])
    assert case.milvus.writes[-1] == "LoadBalance 2 -> 1 7"


@pytest.mark.parametrize(
    ("nodes", "moved"),
    [
        pytest.param((2,), [8], id="one is there already"),
        pytest.param((1, 2), [8], id="one is on both: its move is under way"),
    ],
)
def test_what_is_on_its_way_is_left_out(case: Case, nodes: tuple[int, ...], moved: list[int]) -> None:
    case.milvus.place(7, *nodes)

    case.perform()

    assert case.milvus.writes == [f"LoadBalance 1 -> 2 {' '.join(map(str, moved))}"]


def test_a_segment_that_is_elsewhere_stops_the_step_by_name(case: Case) -> None:
    case.milvus.place(7, 3)

    with pytest.raises(PreconditionChanged, match=r"1 segment \(7\)"):
        case.perform()
    assert case.writes == []


def test_a_segment_that_was_compacted_stops_the_step_by_name(case: Case) -> None:
    case.milvus.segments = [one for one in case.milvus.segments if one["segmentID"] != "8"]

    with pytest.raises(PreconditionChanged, match=r"1 segment \(8\)"):
        case.perform()
    assert case.writes == []


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        pytest.param((NODES[0],), "qn-2 .* is gone", id="no destination"),
        pytest.param((NODES[1],), "qn-1 .* is gone", id="no source"),
        pytest.param((NODES[0], replace(NODES[1], pod_uid="another")), "is gone", id="another pod of that name"),
        pytest.param((NODES[0], replace(NODES[1], terminating=True)), "terminating", id="leaving"),
        pytest.param((NODES[0], replace(NODES[1], ready=False)), "not ready", id="not ready"),
        pytest.param((NODES[0], replace(NODES[1], node_id=None)), "not known", id="no id"),
    ],
)
def test_a_pod_that_cannot_serve_stops_the_step(case: Case, nodes: tuple[QueryNode, ...], words: str) -> None:
    with pytest.raises(PreconditionChanged, match=words):
        case.perform(query_nodes=nodes)
    assert case.writes == []


def test_the_id_is_that_of_the_pass_and_not_of_the_plan(case: Case) -> None:
    """After a restart of Milvus in the same pod it has another id."""
    case.perform(query_nodes=(NODES[0], replace(NODES[1], node_id=42)))

    assert case.milvus.writes == ["LoadBalance 1 -> 42 7 8"]


def test_a_success_that_moved_nothing_is_no_lie_of_ours(case: Case) -> None:
    case.milvus.mood = Mood.SILENT

    assert case.perform().startswith("asked Milvus to move")
    assert case.milvus.nodes_of(7) == [1]


def test_what_milvus_refuses_is_not_tried_again(case: Case) -> None:
    case.milvus.mood = Mood.PARTIAL

    with pytest.raises(ApplyError, match="not enough memory") as raised:
        case.perform()
    assert not raised.value.retryable


def test_what_milvus_is_still_at_work_on_is_tried_again(case: Case) -> None:
    """After a lost answer the same call comes once more."""
    case.milvus.mood = Mood.BUSY

    with pytest.raises(ApplyError, match="same segment exists") as raised:
        case.perform()
    assert raised.value.retryable


def test_without_the_lease_nothing_is_moved(case: Case) -> None:
    def refuse() -> None:
        raise ApplyError("the Lease is held by another operator", retryable=True)

    with pytest.raises(ApplyError, match="Lease"):
        case.perform(require_lease=refuse)
    assert case.writes == []


@pytest.mark.parametrize(
    ("reply", "retryable"),
    [
        pytest.param(refuses(grpc.StatusCode.UNAVAILABLE, "no route"), True, id="it does not answer"),
        pytest.param({"status": {"code": 1, "reason": "service not ready[querycoord]"}}, True, id="it is not ready"),
        pytest.param(refuses(grpc.StatusCode.UNAUTHENTICATED, "who?"), False, id="credentials"),
        pytest.param({"status": {"code": 65535, "reason": "no such thing"}}, False, id="it refuses"),
    ],
)
def test_trouble_with_milvus_says_whether_to_come_again(reply: Override, retryable: bool) -> None:
    with a_milvus({"GetQuerySegmentInfo": reply}) as (uri, _):
        context = replace(a_context(), milvus=MilvusClient(uri), query_nodes=NODES)
        with pytest.raises(ApplyError, match=r"moving segments of default\.products") as raised:
            perform(STEP, undo=False, context=context)
    assert raised.value.retryable is retryable


def test_without_a_connection_it_comes_again() -> None:
    with pytest.raises(ApplyError, match="not connected") as raised:
        perform(STEP, undo=False, context=replace(a_context(), query_nodes=NODES))
    assert raised.value.retryable


@pytest.mark.parametrize(
    ("seconds_left", "moves"),
    [pytest.param(300, 1, id="still ours"), pytest.param(0, 0, id="run out: Milvus balances again")],
)
def test_the_lease_that_holds_the_balancer_off_is_renewed_before_the_call(
    case: Case, seconds_left: int, moves: int
) -> None:
    outcome = nullcontext() if moves else pytest.raises(ApplyError, match="ran out")
    with an_etcd(seconds_left) as (etcd, asked), outcome:
        case.perform(etcd=etcd, root_path="by-dev")

    assert (len(case.writes), [one.path for one in asked][-1]) == (moves, "/v3/lease/keepalive")


@contextmanager
def an_etcd(seconds_left: int) -> Iterator[tuple[EtcdClient, list[Asked]]]:
    """An etcd with one record of ours, under a lease that has so many seconds left."""
    record = HandBack(key="querycoord.autobalance", previous=None, written="false")
    key = record_key("by-dev", "policy-1", record.key)
    encoded = {name: b64encode(text.encode()).decode() for name, text in (("key", key), ("value", record.text()))}
    answers = {
        "/v3/kv/range": {"kvs": [{**encoded, "mod_revision": "7", "lease": "42"}], "count": "1"},
        "/v3/lease/keepalive": {"result": {"ID": "42", "TTL": str(seconds_left)}},
    }
    with a_server(lambda asked: Reply(body=answers[asked.path])) as (address, asked):
        client = EtcdClient([address], timeout_seconds=5)
        yield client, asked
        client.close()
