"""The client on the wire: each search is sent once, and an error of gRPC or of Milvus is a failed search."""

import asyncio

import pytest
from pymilvus.grpc_gen import common_pb2

from tests.load.errors import LoadError
from tests.load.fake_milvus import FakeMilvus, Reply, a_milvus, good, slow
from tests.load.target import MilvusTarget, address_of, build_requests


async def search_once(uri: str, requests: list[bytes], timeout_seconds: float) -> str | None:
    async with MilvusTarget(uri, requests) as target:
        return await target.search(timeout_seconds=timeout_seconds)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        pytest.param(good, None, id="good"),
        pytest.param(lambda _: common_pb2.Status(code=106, error_code=1), "milvus:106", id="new error code"),
        pytest.param(lambda _: common_pb2.Status(error_code=1), "milvus:UnexpectedError", id="old error code"),
        pytest.param(lambda _: 1 / 0, "UNKNOWN", id="server raises"),
        pytest.param(slow, "DEADLINE_EXCEEDED", id="too slow"),
    ],
)
def test_a_reply_is_read_for_its_error_and_never_asked_for_again(reply: Reply, error: str | None) -> None:
    with a_milvus(reply) as (uri, fake):
        requests = build_requests(uri, ["docs"], limit=10, nq=1, seed=1)
        assert asyncio.run(search_once(uri, requests, 0.5)) == error
        assert len(fake.searches) == 1


def test_a_server_that_is_gone_fails_the_search_at_once() -> None:
    with a_milvus() as (uri, _):
        requests = build_requests(uri, ["docs"], limit=10, nq=1, seed=1)
    assert asyncio.run(search_once(uri, requests, 5.0)) == "UNAVAILABLE"


def test_a_server_that_comes_back_is_found_again_within_seconds() -> None:
    async def search_until_good(target: MilvusTarget) -> None:
        while await target.search(timeout_seconds=1.0) is not None:
            await asyncio.sleep(0.05)

    async def outlive_a_restart() -> None:
        with a_milvus() as (uri, _):
            requests = build_requests(uri, ["docs"], limit=10, nq=1, seed=1)
            target = MilvusTarget(uri, requests)
            await search_until_good(target)
        assert await target.search(timeout_seconds=1.0) == "UNAVAILABLE"
        with a_milvus(port=int(uri.rpartition(":")[2])):
            await asyncio.wait_for(search_until_good(target), 5.0)

    asyncio.run(outlive_a_restart())


def test_the_collections_are_searched_in_turn_with_the_vectors_asked_for() -> None:
    async def search(uri: str, requests: list[bytes]) -> None:
        async with MilvusTarget(uri, requests) as target:
            for _ in range(4):
                await target.search(timeout_seconds=5.0)

    with a_milvus() as (uri, fake):
        asyncio.run(search(uri, build_requests(uri, ["hot", "cold"], limit=10, nq=8, seed=1)))
        assert [(request.collection_name, request.nq) for request in fake.searches] == [("hot", 8), ("cold", 8)] * 2
        assert len({request.placeholder_group for request in fake.searches}) == 2


@pytest.mark.parametrize(
    ("found_ids", "error"),
    [
        pytest.param((1, 2, 3, 4), None, id="the same rows"),
        pytest.param((4, 3, 2, 1), None, id="in another order"),
        pytest.param((1, 2, 3, 5), None, id="one row swapped by rounding"),
        pytest.param((1, 2, 7, 8), "ROWS_MISSING", id="rows of a segment gone"),
        pytest.param((), "ROWS_MISSING", id="nothing found"),
    ],
)
def test_a_verified_reply_must_hold_the_rows_of_the_first(found_ids: tuple[int, ...], error: str | None) -> None:
    async def search_twice(uri: str, fake: FakeMilvus) -> list[str | None]:
        request = build_requests(uri, ["docs"], limit=4, nq=1, seed=1)[0]
        async with MilvusTarget(uri, [request], verify=True) as target:
            first = await target.search(timeout_seconds=5.0)
            fake.found_ids = found_ids
            return [first, await target.search(timeout_seconds=5.0)]

    with a_milvus() as (uri, fake):
        assert asyncio.run(search_twice(uri, fake)) == [None, error]


@pytest.mark.parametrize("uri", ["127.0.0.1:19530", "https://milvus:19530", "http://milvus", ""])
def test_an_address_that_cannot_be_used_is_refused(uri: str) -> None:
    with pytest.raises(LoadError, match="http://HOST:PORT"):
        address_of(uri)
