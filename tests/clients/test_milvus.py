"""The Milvus client over real gRPC: what it sends, what it makes of replies, and of refusals."""

import base64
import threading
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest

from milvus_tuning.clients.milvus import LoadedCollection, MilvusClient, MilvusError, MilvusFailure, MilvusNode, host_of
from tests.clients.milvus_server import a_milvus, refuses

SYSTEM_INFO = (
    '{"nodes_info":['
    '{"infos":{"has_error":false,"type":"querynode","id":7,"hardware_infos":{"ip":"10.0.0.7:21123","cpu_core_count":4}}},'
    '{"infos":{"has_error":true,"type":"querynode","id":8,"hardware_infos":{"ip":"10.0.0.8:21123"}}},'
    '{"infos":{"has_error":false,"type":"proxy","id":9,"hardware_infos":{"ip":"[fd00::9]:19529"}}}]}'
)


def test_credentials_travel_as_milvus_wants_them_and_the_database_with_the_call() -> None:
    with a_milvus({"ShowCollections": {}}) as (uri, served):
        MilvusClient(uri, token="root:Milvus").loaded_collections("tenant")
    _, request, metadata = served.asked[0]
    assert metadata["authorization"] == base64.b64encode(b"root:Milvus").decode()
    assert (request.db_name, metadata["dbname"]) == ("tenant", "tenant")


def test_without_credentials_none_are_sent() -> None:
    with a_milvus({"GetVersion": {"version": "v2.3.5"}}) as (uri, served):
        assert MilvusClient(uri).version() == "v2.3.5"
    assert "authorization" not in served.asked[0][2]


def test_loaded_collections_come_in_the_order_of_names() -> None:
    reply = {
        "collection_ids": ["2", "1"],
        "collection_names": ["b", "a"],
        "inMemory_percentages": ["50", "100"],
    }
    with a_milvus({"ShowCollections": reply}) as (uri, _):
        found = MilvusClient(uri).loaded_collections("default")
    assert found == (
        LoadedCollection(collection_id=1, name="a", load_percent=100),
        LoadedCollection(collection_id=2, name="b", load_percent=50),
    )


def test_system_info_gives_the_processes_that_answer() -> None:
    with a_milvus({"GetMetrics": {"response": SYSTEM_INFO}}) as (uri, _):
        found = MilvusClient(uri).nodes()
    assert found == (
        MilvusNode(node_id=7, role="querynode", ip="10.0.0.7", cpu_core_count=4),
        MilvusNode(node_id=9, role="proxy", ip="fd00::9", cpu_core_count=None),
    )


def test_system_info_is_asked_for_so_seldom_that_the_proxys_copy_grows_old() -> None:
    now = [100.0]
    with a_milvus({"GetMetrics": {"response": SYSTEM_INFO}}) as (uri, served):
        client = MilvusClient(uri, monotonic=lambda: now[0])
        asked = []
        for now[0] in (100.0, 103.0, 105.9, 106.1, 109.0, 113.0):
            client.nodes()
            asked.append(len(served.asked))
    assert asked == [1, 1, 1, 2, 2, 3]


@pytest.mark.parametrize("text", ["", "[]", '{"nodes_info": 3}', '{"nodes_info": [{"infos": {"id": "x"}}]}'])
def test_garbled_system_info_is_refused(text: str) -> None:
    with a_milvus({"GetMetrics": {"response": text}}) as (uri, _), pytest.raises(MilvusError, match="no system_info"):
        MilvusClient(uri).nodes()


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        pytest.param(
            refuses(grpc.StatusCode.UNAUTHENTICATED, "auth check failure"),
            MilvusFailure.CREDENTIALS_REJECTED,
            id="wrong password",
        ),
        pytest.param(
            refuses(grpc.StatusCode.PERMISSION_DENIED, "PrivilegeLoad: permission deny"),
            MilvusFailure.PERMISSION_DENIED,
            id="role without the right",
        ),
        pytest.param(refuses(grpc.StatusCode.UNAVAILABLE, "gone"), MilvusFailure.UNREACHABLE, id="unavailable"),
        pytest.param(refuses(grpc.StatusCode.UNIMPLEMENTED, "what?"), MilvusFailure.REFUSED, id="unknown call"),
        pytest.param(
            {"status": {"code": 101, "error_code": "UnexpectedError", "reason": "collection not loaded"}},
            MilvusFailure.NOT_LOADED,
            id="released meanwhile",
        ),
        pytest.param(
            {"status": {"code": 400, "error_code": "MetaFailed", "reason": "replica not found[replica=999]"}},
            MilvusFailure.NOT_LOADED,
            id="released meanwhile, as 2.3.5 says it",
        ),
        pytest.param(
            {"status": {"error_code": "UnexpectedError", "reason": "boom"}}, MilvusFailure.REFUSED, id="old error field"
        ),
        pytest.param(
            {"status": {"code": 1, "reason": "service not ready[proxy=1]"}},
            MilvusFailure.UNREACHABLE,
            id="starting",
        ),
    ],
)
def test_a_refusal_is_an_error_of_its_kind(reply: Any, failure: MilvusFailure) -> None:
    with a_milvus({"GetReplicas": reply}) as (uri, _), pytest.raises(MilvusError) as caught:
        MilvusClient(uri).replicas("default", 1)
    assert caught.value.failure is failure


def test_nobody_listening_is_unreachable_at_once() -> None:
    with pytest.raises(MilvusError, match="does not answer") as caught:
        MilvusClient("http://127.0.0.1:1", timeout_seconds=2).version()
    assert caught.value.failure is MilvusFailure.UNREACHABLE


@pytest.mark.parametrize(
    ("address", "host"),
    [("10.0.0.1:21123", "10.0.0.1"), ("[fd00::1]:21123", "fd00::1"), ("fd00::1", "fd00::1"), ("", "")],
)
def test_the_host_of_an_address(address: str, host: str) -> None:
    assert host_of(address) == host


def test_a_closed_connection_is_an_error_of_ours() -> None:
    with a_milvus({"GetVersion": {"version": "v2.3.5"}}) as (uri, _):
        client = MilvusClient(uri)
        client.close()
        with pytest.raises(MilvusError, match="cut off"):
            client.version()


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"code": 700, "reason": "index not found[collection=demo]"}, id="as from 2.3"),
        pytest.param({"error_code": "IndexNotExist", "reason": "index not exist"}, id="the old error field"),
    ],
)
def test_a_collection_without_an_index_has_none(status: dict[str, Any]) -> None:
    with a_milvus({"DescribeIndex": {"status": status}}) as (uri, _):
        assert MilvusClient(uri).indexes("default", "demo") == []


def test_indexes_that_are_refused_are_not_taken_for_none() -> None:
    reply = {"status": {"code": 1, "reason": "service not ready"}}
    with a_milvus({"DescribeIndex": reply}) as (uri, _), pytest.raises(MilvusError, match="not ready"):
        MilvusClient(uri).indexes("default", "demo")


def test_a_description_that_does_not_come_costs_a_part_of_the_time_of_a_call_only() -> None:
    over, remaining = threading.Event(), list[float]()

    def hangs(context: grpc.ServicerContext) -> dict[str, Any]:
        remaining.append(context.time_remaining())
        over.wait(30)
        return {}

    with a_milvus({"DescribeCollection": hangs}) as (uri, _):
        with pytest.raises(MilvusError) as caught:
            MilvusClient(uri, timeout_seconds=16).collection("default", "demo")
        over.set()
    assert caught.value.failure is MilvusFailure.UNREACHABLE
    assert 0 < remaining[0] < 4  # an eighth of its 16 s, as gRPC rounds it


def test_a_move_names_one_source_one_destination_and_its_segments() -> None:
    with a_milvus({"LoadBalance": {}}) as (uri, served):
        MilvusClient(uri).load_balance("tenant", "products", source=7, destination=8, segments=[1, 2])
    _, request, metadata = served.asked[0]
    assert (request.db_name, request.collectionName, metadata["dbname"]) == ("tenant", "products", "tenant")
    assert (request.src_nodeID, list(request.dst_nodeIDs), list(request.sealed_segmentIDs)) == (7, [8], [1, 2])


def test_a_move_may_take_longer_than_any_other_call() -> None:
    def slow(context: grpc.ServicerContext) -> dict[str, Any]:
        remaining.append(context.time_remaining())
        return {}

    remaining: list[float] = []
    with a_milvus({"LoadBalance": slow, "LoadCollection": slow, "GetVersion": slow}) as (uri, _):
        client = MilvusClient(uri, timeout_seconds=4)
        client.load_balance("default", "products", source=7, destination=8, segments=[1])
        client.load_collection("default", "products", replica_number=2, resource_groups=[])
        client.version()
    assert [round(seconds, -1) for seconds in remaining] == [130, 30, 0]


def test_the_number_of_replicas_is_always_sent() -> None:
    with a_milvus({"LoadCollection": {}}) as (uri, served):
        MilvusClient(uri).load_collection("tenant", "products", replica_number=1, resource_groups=["rg1"])
    _, request, _ = served.asked[0]
    assert (request.db_name, request.collection_name) == ("tenant", "products")
    assert (request.replica_number, list(request.resource_groups)) == (1, ["rg1"])


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        pytest.param({"code": 1, "reason": "service not ready[querycoord]"}, MilvusFailure.UNREACHABLE, id="not ready"),
        pytest.param({"code": 103, "reason": "collection not fully loaded"}, MilvusFailure.REFUSED, id="not loaded"),
        pytest.param({"error_code": "UnexpectedError", "reason": "no memory"}, MilvusFailure.REFUSED, id="older words"),
    ],
)
def test_a_move_that_is_refused_says_so(status: dict[str, Any], failure: MilvusFailure) -> None:
    with a_milvus({"LoadBalance": status}) as (uri, _), pytest.raises(MilvusError, match="LoadBalance") as raised:
        MilvusClient(uri).load_balance("default", "products", source=7, destination=8, segments=[1])
    assert raised.value.failure is failure
