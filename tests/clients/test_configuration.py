"""What a process says of its configuration, over real gRPC and HTTP: only what was asked for, and never a secret."""

import pytest
from pymilvus.grpc_gen import common_pb2

from milvus_tuning.clients.configuration import (
    ConfigurationError,
    Request,
    Response,
    is_secret,
    read_configuration,
    read_management,
    shared_pattern,
)
from tests.clients.configuration_server import Process, a_process
from tests.clients.http_server import Asked, Reply, a_server
from tests.cluster.api_only import free_ports

QUERY_COORD = "milvus.proto.query.QueryCoord"
# What a QueryCoord of 2.3.5 sent for the pattern "querycoord.task", byte by byte, and what it was sent.
RECORDED = b'\n\x00\x12"\n\x1bquerycoord.taskexecutioncap\x12\x03256\x12\x1c\n\x17querycoord.taskmergecap\x12\x011'
RECORDED_REQUEST = b"\n\x00\x12\x0fquerycoord.task"
LISTED = {
    "querycoord.autobalance": "true",
    "querycoord.taskexecutioncap": "256",
    "common.gracefultime": "5000",
    "commongracefultime": "5000",
    "minio.secretaccesskey": "hidden",
    "miniosecretaccesskey": "hidden",
}


def a_query_coord(**values: str) -> Process:
    return Process(values={QUERY_COORD: LISTED | values})


def test_the_messages_are_those_of_a_real_server() -> None:
    answer = Response.FromString(RECORDED)
    assert Request(base=common_pb2.MsgBase(), pattern="querycoord.task").SerializeToString() == RECORDED_REQUEST
    assert {pair.key: pair.value for pair in answer.configuations} == {
        "querycoord.taskexecutioncap": "256",
        "querycoord.taskmergecap": "1",
    }


@pytest.mark.parametrize(
    ("keys", "found", "pattern"),
    [
        pytest.param(["queryCoord.autoBalance"], {"querycoordautobalance": "true"}, "querycoord.autobalance", id="one"),
        pytest.param(
            ["queryCoord.autoBalance", "queryCoord.taskExecutionCap"],
            {"querycoordautobalance": "true", "querycoordtaskexecutioncap": "256"},
            "querycoord.",
            id="several of one component",
        ),
        pytest.param(
            ["queryCoord.autoBalance", "common.gracefulTime"],
            {"querycoordautobalance": "true", "commongracefultime": "5000"},
            "",
            id="one of them shared",
        ),
        pytest.param(["queryCoord.checkChannelInterval"], {}, "querycoord.checkchannelinterval", id="not listed"),
        pytest.param(
            ["queryCoord.autoBalance", "minio.secretAccessKey"],
            {"querycoordautobalance": "true"},
            "querycoord.autobalance",
            id="a secret is not asked for",
        ),
    ],
)
def test_what_is_asked_for_is_what_is_told(keys: list[str], found: dict[str, str], pattern: str) -> None:
    process = a_query_coord()
    with a_process(process) as address:
        assert read_configuration(address, QUERY_COORD, keys, timeout_seconds=5) == found
    assert process.asked == [(QUERY_COORD, pattern)]


def test_secrets_alone_are_no_call() -> None:
    process = a_query_coord()
    with a_process(process) as address:
        assert read_configuration(address, QUERY_COORD, ["minio.secretAccessKey"], timeout_seconds=5) == {}
    assert process.asked == []


def test_a_process_without_the_call_says_so() -> None:
    with a_process(a_query_coord()) as address, pytest.raises(ConfigurationError, match="UNIMPLEMENTED"):
        read_configuration(address, "milvus.proto.proxy.Proxy", ["common.gracefulTime"], timeout_seconds=5)


def test_a_process_that_refuses_gives_its_reason() -> None:
    process = a_query_coord()
    process.status = common_pb2.Status(code=5, reason="not healthy")
    with a_process(process) as address, pytest.raises(ConfigurationError, match=r"refused.*not healthy"):
        read_configuration(address, QUERY_COORD, ["common.gracefulTime"], timeout_seconds=5)


def test_nobody_listening_is_told_with_the_address() -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(ConfigurationError, match=address):
        read_configuration(address, QUERY_COORD, ["common.gracefulTime"], timeout_seconds=2)


@pytest.mark.parametrize(
    ("keys", "pattern"),
    [
        pytest.param(["queryNode.a", "queryNode.b"], "querynode.", id="the same section"),
        pytest.param(["queryNode.ab", "queryNode.abc"], "querynode.ab", id="one begins with the other"),
        pytest.param(["queryNode.a", "common.a"], "", id="nothing in common"),
    ],
)
def test_the_pattern_is_in_each_of_the_keys(keys: list[str], pattern: str) -> None:
    assert shared_pattern(keys) == pattern


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        ("minio.accessKeyID", True),
        ("minio.secretAccessKey", True),
        ("etcd.auth.password", True),
        ("kafka.saslPassword", True),
        ("kafkasaslusername", True),
        ("pulsar.authParams", True),
        ("common.gracefulTime", False),
        ("proxy.accessLog.enable", False),
    ],
)
def test_what_may_hold_a_secret_is_known_by_its_name(key: str, secret: bool) -> None:
    assert is_secret(key) is secret


CONFIGS = {
    "configs": [
        {"key": "queryCoord.autoBalance", "value": "true", "source": "EtcdSource"},
        {"key": "queryCoord.balanceTriggerOrder", "error": "key not found"},
        {"key": "queryCoord.ip", "source": "FileSource"},
    ]
}


def test_mix_coord_tells_over_http_and_a_key_that_it_lacks_is_absent() -> None:
    keys = ["queryCoord.autoBalance", "queryCoord.balanceTriggerOrder", "queryCoord.ip", "minio.secretAccessKey"]
    with a_server(lambda _: Reply(body=CONFIGS)) as (address, asked):
        found = read_management(address.removeprefix("http://"), keys, timeout_seconds=5)
    assert found == {"querycoordautobalance": "true", "querycoordip": ""}
    assert [(one.path, one.query) for one in asked] == [
        ("/management/config/get", "keys=queryCoord.autoBalance%2CqueryCoord.balanceTriggerOrder%2CqueryCoord.ip")
    ]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        pytest.param(Reply(status=404), "HTTP 404", id="an older version"),
        pytest.param(Reply(status=302, headers={"Location": "http://elsewhere"}), "HTTP 302", id="a redirect"),
        pytest.param(Reply(body="hello"), "no list of configs", id="no JSON"),
        pytest.param(Reply(body={"configs": ["a"]}), "no list of configs", id="another form"),
    ],
)
def test_an_answer_that_is_none_is_an_error(reply: Reply, words: str) -> None:
    def answer(_: Asked) -> Reply:
        return reply

    with a_server(answer) as (address, _), pytest.raises(ConfigurationError, match=words):
        read_management(address.removeprefix("http://"), ["queryCoord.autoBalance"], timeout_seconds=5)


def test_nobody_listening_over_http_is_told() -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(ConfigurationError, match="did not answer"):
        read_management(address, ["queryCoord.autoBalance"], timeout_seconds=2)
