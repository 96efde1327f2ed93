"""A pod is matched with its Milvus node only where two witnesses agree."""

import pytest

from milvus_tuning.clients.milvus import MilvusNode
from milvus_tuning.clients.podmetrics import node_ids_in, read_node_ids
from milvus_tuning.observe.identity import identity_problems, node_ids_by_pod
from milvus_tuning.snapshot import QueryNode
from tests.clients.http_server import Reply, a_server
from tests.observe.world import PATIENT_SECONDS

EXPOSED = """# TYPE milvus_num_node gauge
milvus_num_node{node_id="2",role_name="datacoord"} 1
milvus_num_node{node_id="4",role_name="querynode"} 1
"""


def a_pod(name: str, ip: str, *, ready: bool = True, terminating: bool = False) -> QueryNode:
    return QueryNode(pod=name, pod_uid=name, node_id=None, ip=ip, ready=ready, terminating=terminating)


def a_node(node_id: int, ip: str) -> MilvusNode:
    return MilvusNode(node_id=node_id, role="querynode", ip=ip, cpu_core_count=1)


@pytest.mark.parametrize(
    ("pods", "nodes", "said", "matched"),
    [
        pytest.param([a_pod("a", "1")], [a_node(4, "1")], {"a": {4}}, {"a": 4}, id="both agree"),
        pytest.param([a_pod("a", "1")], [a_node(4, "1")], {"a": {5}}, {}, id="they disagree"),
        pytest.param([a_pod("a", "1")], [a_node(4, "1")], {}, {}, id="the pod says nothing"),
        pytest.param([a_pod("a", "1")], [], {"a": {4}}, {}, id="Milvus does not know it"),
        pytest.param([a_pod("a", "1")], [a_node(4, "2")], {"a": {4}}, {}, id="Milvus knows it elsewhere"),
        pytest.param([a_pod("a", "1")], [a_node(4, "1")], {"a": {3, 4}}, {}, id="the pod says two, just restarted"),
        pytest.param(
            [a_pod("a", "1")], [a_node(3, "1"), a_node(4, "1")], {"a": {4}}, {}, id="the older session still lives"
        ),
        pytest.param(
            [a_pod("a", "1"), a_pod("b", "1")], [a_node(4, "1")], {"a": {4}}, {}, id="two pods at one address"
        ),
        pytest.param([a_pod("a", "")], [a_node(4, "")], {"a": {4}}, {}, id="no address yet"),
    ],
)
def test_two_witnesses_must_agree_on_one_node(
    pods: list[QueryNode], nodes: list[MilvusNode], said: dict[str, set[int]], matched: dict[str, int]
) -> None:
    assert node_ids_by_pod(pods, nodes, {pod: frozenset(ids) for pod, ids in said.items()}) == matched


@pytest.mark.parametrize(
    ("pod", "problems"),
    [
        pytest.param(a_pod("a", "1"), 1, id="ready"),
        pytest.param(a_pod("a", "1", ready=False), 0, id="not ready yet"),
        pytest.param(a_pod("a", "1", terminating=True), 0, id="leaving"),
    ],
)
def test_only_a_ready_pod_that_stays_is_a_problem(pod: QueryNode, problems: int) -> None:
    assert len(identity_problems([pod], [], {})) == problems


def exposed_by(url: str) -> frozenset[int]:
    return read_node_ids("127.0.0.1", port=int(url.rpartition(":")[2]), timeout_seconds=PATIENT_SECONDS)


def test_a_pod_tells_the_node_it_runs() -> None:
    with a_server(lambda _: Reply(body=EXPOSED)) as (url, asked):
        found = exposed_by(url)
    assert found == {4}
    assert (asked[0].path, "Authorization" in asked[0].headers) == ("/metrics", False)


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_pod_that_refuses_tells_nothing(status: int) -> None:
    with a_server(lambda _: Reply(status=status, body=EXPOSED)) as (url, _):
        assert exposed_by(url) == frozenset()


def test_a_pod_that_does_not_answer_tells_nothing() -> None:
    assert read_node_ids("127.0.0.1", port=1, timeout_seconds=1) == frozenset()


def test_no_query_node_in_the_text_is_no_node() -> None:
    assert node_ids_in('milvus_num_node{node_id="2",role_name="proxy"} 1') == frozenset()
