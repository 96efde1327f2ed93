"""What processes say of the declared keys: whom is asked what, how often, and a whole pass over real gRPC."""

from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.catalogue import ServerVersion, parse_version
from milvus_tuning.observe.etcd import MilvusProcess
from milvus_tuning.observe.read_back import (
    KEPT_SECONDS,
    MOST_CALLS_PER_PASS,
    RETRY_SECONDS,
    Question,
    ReadBackCache,
    ask,
    declared_keys,
    questions,
)
from milvus_tuning.snapshot import ComponentPod, ReadBack, Snapshot
from tests.clients.configuration_server import Process, a_process
from tests.clients.http_server import Asked, Reply, a_server
from tests.observe.test_components import MIX_COORD_POD
from tests.observe.world import NAMESPACE, NOW, QUERY_NODE_PODS, World, a_session, observe, observing, serving

STARTED = datetime(2026, 1, 31, 11, tzinfo=UTC)
V235, V265, V2614 = ServerVersion(2, 3, 5), ServerVersion(2, 6, 5), ServerVersion(2, 6, 14)
QUERY_NODE, QUERY_COORD = "milvus.proto.query.QueryNode", "milvus.proto.query.QueryCoord"


def _spec(**fields: Any) -> MilvusTuningSpec:
    return MilvusTuningSpec.model_validate({"targetRef": {"kind": "HelmRelease", "name": "my-release"}} | fields)


@pytest.mark.parametrize(
    ("fields", "version", "keys"),
    [
        pytest.param({}, "2.3.5", (), id="nothing declared"),
        pytest.param(
            {"loadBalancing": {"balanceIntervalSeconds": 60}}, "2.3.5", ("queryCoord.checkChannelInterval",), id="2.3"
        ),
        pytest.param(
            {"loadBalancing": {"balanceIntervalSeconds": 60}}, "2.5.27", ("queryCoord.autoBalanceInterval",), id="2.5"
        ),
        pytest.param({"consistency": {}}, "2.3.5", (), id="an empty section"),
        pytest.param(
            {"consistency": {"stalenessMilliseconds": 0}, "configOverrides": {"queryNode.x": "1"}},
            "2.3.5",
            ("common.gracefulTime", "queryNode.x"),
            id="a zero is declared, and so is an override",
        ),
    ],
)
def test_the_keys_are_those_that_carry_what_is_declared_in_this_version(
    fields: dict[str, Any], version: str, keys: tuple[str, ...]
) -> None:
    release = parse_version(version)
    assert release is not None
    assert declared_keys(_spec(**fields), release) == keys


def a_pod(component: str, *, name: str = "", **fields: Any) -> ComponentPod:
    name = name or component.lower()
    usual: dict[str, Any] = {"component": component, "pod": name, "pod_uid": name, "started_at": STARTED}
    return ComponentPod(**(usual | fields))


KEYS = ("common.gracefulTime", "dataCoord.segment.maxSize", "proxy.maxTaskNum", "queryCoord.autoBalance", "queryNode.x")
COMMON, DATA_COORD, QC, QN = KEYS[0], KEYS[1], KEYS[3], KEYS[4]


@pytest.mark.parametrize(
    ("component", "version", "asked"),
    [
        pytest.param("QueryNode", V235, [("querynode", "10.0.0.1:21123", (COMMON, QN))], id="a QueryNode"),
        pytest.param("DataNode", V235, [("datanode", "10.0.0.1:21124", (COMMON,))], id="a DataNode: shared keys"),
        pytest.param("IndexNode", V235, [("indexnode", "10.0.0.1:21121", (COMMON,))], id="an IndexNode"),
        pytest.param("Proxy", V235, [], id="a proxy has no such call"),
        pytest.param(
            "MixCoord",
            V235,
            [
                ("rootcoord", "10.0.0.1:53100", (COMMON,)),
                ("querycoord", "10.0.0.1:19531", (COMMON, QC)),
                ("datacoord", "10.0.0.1:13333", (COMMON, DATA_COORD)),
            ],
            id="a coordinator process of three",
        ),
        pytest.param("MixCoord", V265, [("mixcoord", "10.0.0.1:53100", (COMMON,))], id="MixCoord tells RootCoord's"),
        pytest.param(
            "MixCoord",
            V2614,
            [("mixcoord", "10.0.0.1:9091", (COMMON, DATA_COORD, QC))],
            id="MixCoord over HTTP tells all",
        ),
        pytest.param("StreamingNode", V265, [("streamingnode", "10.0.0.1:22222", (COMMON, QN))], id="a StreamingNode"),
    ],
)
def test_each_kind_of_process_is_asked_what_it_can_tell(
    component: str, version: ServerVersion, asked: list[tuple[str, str, tuple[str, ...]]]
) -> None:
    found = questions(KEYS, version, [a_pod(component)], {component.lower(): "10.0.0.1"}, ())
    assert [(one.role, one.address, one.keys) for one in found] == asked
    assert {one.management for one in found} <= {version == V2614 and component == "MixCoord"}


def test_the_port_of_a_session_beats_the_default() -> None:
    processes = [
        MilvusProcess(role="querynode", address="10.0.0.1:7777"),
        MilvusProcess(role="querynode", address="10.0.0.2:8888"),
    ]
    found = questions([QN], V235, [a_pod("QueryNode")], {"querynode": "10.0.0.1"}, processes)
    assert [one.address for one in found] == ["10.0.0.1:7777"]


@pytest.mark.parametrize(
    ("pods", "addresses"),
    [
        pytest.param([a_pod("QueryNode", started_at=None)], {"querynode": "10.0.0.1"}, id="does not run"),
        pytest.param([a_pod("QueryNode", ready=False)], {"querynode": "10.0.0.1"}, id="is not ready"),
        pytest.param([a_pod("QueryNode", terminating=True)], {"querynode": "10.0.0.1"}, id="leaves"),
        pytest.param([a_pod("QueryNode")], {}, id="without an IP"),
        pytest.param(
            [a_pod("QueryNode", name="a"), a_pod("QueryNode", name="b")],
            {"a": "10.0.0.1", "b": "10.0.0.1"},
            id="two on the network of one host cannot be told apart",
        ),
    ],
)
def test_a_pod_that_cannot_answer_for_itself_is_not_asked(pods: list[ComponentPod], addresses: dict[str, str]) -> None:
    assert questions([QN], V235, pods, addresses, ()) == ()


def a_question(number: int, *, started: str = "1", key: str = QN) -> Question:
    name = f"pod-{number:02}"
    return Question(pod=name, pod_uid=name, started=started, role="querynode", address="a:1", keys=(key,))


CONFIGS = {"configs": [{"key": "queryCoord.autoBalance", "value": "false", "source": "EtcdSource"}]}


@pytest.mark.parametrize(
    ("reply", "values"),
    [
        pytest.param(Reply(body=CONFIGS), {"querycoordautobalance": "false"}, id="it tells"),
        pytest.param(Reply(status=404), None, id="it has no such call"),
    ],
)
def test_mix_coord_is_asked_over_http(reply: Reply, values: dict[str, str] | None) -> None:
    def answer(_: Asked) -> Reply:
        return reply

    with a_server(answer) as (address, _):
        assert ask(replace(a_question(1, key=QC), address=address.removeprefix("http://"), management=True)) == values


def _answering(cache: ReadBackCache, asked: list[Question], now: float) -> list[str]:
    """One pass in which everybody answers; whom it asked."""
    due = cache.due(asked, now)
    for question in due:
        cache.keep(question, {"a": question.pod})
    return [one.pod for one in due]


def test_many_processes_take_turns() -> None:
    cache, asked = ReadBackCache(), [a_question(number) for number in range(MOST_CALLS_PER_PASS + 5)]
    names = [one.pod for one in asked]
    assert _answering(cache, asked, 0.0) == names[:MOST_CALLS_PER_PASS]
    assert _answering(cache, asked, 15.0) == [*names[MOST_CALLS_PER_PASS:], *names[: MOST_CALLS_PER_PASS - 5]]
    assert [one.pod for one in cache.known(15.0)] == names


def test_an_answer_counts_until_the_process_is_asked_again_or_it_is_old() -> None:
    cache, question = ReadBackCache(), a_question(1)
    cache.due([question], 0.0)
    cache.keep(question, {"a": "1"})
    kept = (ReadBack(pod="pod-01", values={"a": "1"}, asked=("querynodex",)),)
    assert (cache.known(KEPT_SECONDS), cache.known(KEPT_SECONDS + 1)) == (kept, ())
    cache.due([question], 15.0)
    assert cache.known(15.0) == ()


def test_a_silent_process_is_asked_again_after_a_while_and_takes_nobodys_turn() -> None:
    cache, silent, other = ReadBackCache(), a_question(1), a_question(2)
    assert cache.due([silent, other], 0.0) == (silent, other)
    cache.keep(other, {"a": "1"})
    assert cache.due([silent, other], RETRY_SECONDS - 1) == (other,)
    assert cache.due([silent, other], RETRY_SECONDS) == (silent,)


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(a_question(1, started="2"), id="its container was restarted"),
        pytest.param(a_question(1, key="queryNode.y"), id="other keys are declared"),
        pytest.param(a_question(2), id="it is gone"),
    ],
)
def test_an_answer_ends_with_its_question(later: Question) -> None:
    cache, question = ReadBackCache(), a_question(1)
    cache.due([question], 0.0)
    cache.keep(question, {"a": "1"})
    cache.due([later], 15.0)
    cache.keep(question, {"a": "late"})
    assert cache.known(15.0) == ()


def test_the_processes_of_one_pod_are_one_reading() -> None:
    cache, asked = ReadBackCache(), [a_question(1), a_question(1, key="queryNode.y")]
    for question in cache.due(asked, 0.0):
        cache.keep(question, {question.keys[0]: "1"})
    assert cache.known(0.0) == (
        ReadBack(pod="pod-01", values={QN: "1", "queryNode.y": "1"}, asked=("querynodex", "querynodey")),
    )


def a_reading(pod: str, **values: str) -> ReadBack:
    """What a pod told of all that it was asked."""
    return ReadBack(pod=pod, values=values, asked=tuple(sorted(values)))


def a_declaring_world(**fields: Any) -> World:
    world = World()
    world.spec |= fields
    return world


def _register(world: World, role: str, node_id: int, address: str) -> None:
    world.etcd[f"by-dev/meta/session/{role}"] = a_session(node_id, address)


def _pass(world: World, processes: dict[str, tuple[str, Process]]) -> Snapshot:
    """One pass with processes by the key of their session, each with its IP; the first registers under its own port."""
    with ExitStack() as stack:
        for number, (session, (ip, process)) in enumerate(processes.items()):
            address = stack.enter_context(a_process(process, f"{ip}:0"))
            _register(world, session, 3 - number, address)
        stack.enter_context(serving(world))
        return observe(world)


def test_a_pass_reads_back_from_the_processes_whose_sessions_are_in_etcd() -> None:
    nodes = [Process(values={QUERY_NODE: {"querynode.scheduler.maxreadconcurrentratio": text}}) for text in "12"]
    coordinator = Process(values={QUERY_COORD: {"querycoord.overloadedmemorythresholdpercentage": "85"}})
    snapshot = _pass(
        a_declaring_world(
            loadBalancing={"overloadedMemoryPercent": 85},
            configOverrides={"queryNode.scheduler.maxReadConcurrentRatio": "2"},
        ),
        {
            "querynode-3": ("127.45.0.7", nodes[0]),
            "querynode-2": ("127.45.0.8", nodes[1]),
            "querycoord": ("127.45.0.9", coordinator),
        },
    )
    assert snapshot.problems == ()
    assert snapshot.read_back == (
        a_reading(MIX_COORD_POD, querycoordoverloadedmemorythresholdpercentage="85"),
        a_reading(QUERY_NODE_PODS[0], querynodeschedulermaxreadconcurrentratio="1"),
        a_reading(QUERY_NODE_PODS[1], querynodeschedulermaxreadconcurrentratio="2"),
    )


def test_a_policy_that_declares_no_setting_asks_nobody() -> None:
    node = Process(values={QUERY_NODE: {"common.gracefultime": "5000"}})
    snapshot = _pass(World(), {"querynode-3": ("127.45.0.7", node)})
    assert (snapshot.read_back, node.asked) == ((), [])


def test_a_silent_process_is_left_out_and_is_no_problem() -> None:
    node = Process(values={QUERY_NODE: {"common.gracefultime": "5000"}})
    snapshot = _pass(
        a_declaring_world(consistency={"stalenessMilliseconds": 4000}), {"querynode-3": ("127.45.0.7", node)}
    )
    assert snapshot.problems == ()
    assert snapshot.read_back == (a_reading(QUERY_NODE_PODS[0], commongracefultime="5000"),)


def test_a_process_that_falls_silent_is_left_out_from_the_next_pass_on() -> None:
    world = a_declaring_world(consistency={"stalenessMilliseconds": 4000})
    with ExitStack() as stack:
        process = ExitStack()
        node = Process(values={QUERY_NODE: {"common.gracefultime": "5000"}})
        _register(world, "querynode-3", 3, process.enter_context(a_process(node, "127.45.0.7:0")))
        stack.enter_context(serving(world))
        observer = stack.enter_context(observing(world))
        first = observer.observe(NAMESPACE, world.parsed_spec(), NOW)
        process.close()
        second = observer.observe(NAMESPACE, world.parsed_spec(), NOW)
    assert [one.pod for one in first.read_back] == [QUERY_NODE_PODS[0]]
    assert second.read_back == ()
