"""QueryNodes of a real Milvus 2.3.5 restarted for a key that they read at start, under steady searches.

The probe of the key is `queryNode.grpc.serverMaxSendSize`: with 256 KiB a QueryNode refuses to send the hits of a large
search, which the proxy asks for again and again, with the default of 512 MiB it sends them. That no two leave at once
comes from a watch of the pods, who evicted them from the audit log, and what was lost from the load client.

While a QueryNode hands over, Milvus 2.3.5 answers searches without some rows, however it was told to stop: after a
plain `kubectl delete pod` for 10 to 12 s in all, in two stretches, the second when its balancer fills the successor.
So rows are missing of some replies, and of none once nothing moves. Where the machine has time no search is lost;
where it has little, a proxy may ask a shard leader that has just moved ("channel not found") and give up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from pymilvus import MilvusClient, MilvusException

from tests.cluster.audit import requests
from tests.demo.table import incomplete_replies, lost_searches
from tests.e2e.rolling import PodWatch
from tests.e2e.test_config import CONFIG, PASSES_SECONDS, declaring, entries, pods, state
from tests.e2e.world import COLLECTION, DATASET, OPERATOR, OPERATOR_NAMESPACE, World
from tests.load.process import LoadProcess
from tests.load.report import Second, summarise
from tests.load.target import REQUESTS_PER_COLLECTION
from tests.waiting import wait_for

pytestmark = pytest.mark.e2e

SIZE = "queryNode.grpc.serverMaxSendSize"
INTENT = f"configOverrides.{SIZE}"
STORED = f"{CONFIG}{SIZE.lower()}"
SMALL, SMALLER = "262144", "262143"  # bytes
VECTORS, HITS, PATIENCE_SECONDS = 12, 16_384, 15.0  # 1 MiB from each shard leader, in about a second
LOW = 0.15
ROLL_SECONDS = 240.0
QUIET_SECONDS = 8  # of the load; Milvus's balancer may move a shard leader half a minute after the rows are even
REPLACED = 6  # one and its successor, then both, then both again
MISSING_SECONDS_OF_ONE = 40  # four times what a deletion by hand costs
MOST_LOST = 0.02  # of all searches; none of 480, and 11 of 886 on a machine with twenty times too much to do


def evictions(world: World) -> int:
    """How many pods the operator has evicted, by the API server's audit log."""
    user = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR}"
    found = requests(world.audit_log)
    return sum(one.user == user and one.subresource == "eviction" and one.succeeded for one in found)


def declare(world: World, value: str | None, **changes: Any) -> None:
    """The policy with this value of the key, or without it."""
    world.tune("main", declaring(configOverrides=None if value is None else {SIZE: value}, **changes))


def approve(world: World, number: int) -> None:
    """A person's word on the plan of this number, once it is there."""
    wait_for(lambda: len(world.plans("main")) == number, f"plan {number}")
    world.vote(world.plans("main")[-1], "Approved")


def ended(world: World, outcomes: list[str]) -> Callable[[], bool]:
    """Whether the steps of the plans ended so, and none is at work."""
    return lambda: world.outcomes("main") == outcomes and not world.at_work("main")


def others(world: World) -> Mapping[str, frozenset[str]]:
    """The pods of all components but the QueryNodes."""
    return {component: uids for component, uids in pods(world).items() if component != "querynode"}


def finds_many(world: World) -> bool:
    """Whether a search with many hits is answered."""
    try:
        client = MilvusClient(world.uri, timeout=20)
        try:
            client.search(COLLECTION, [[0.5] * DATASET.dim] * VECTORS, limit=HITS, timeout=PATIENCE_SECONDS)
        finally:
            client.close()
    except (MilvusException, grpc.RpcError):
        return False
    return True


def await_many_hits(world: World) -> None:
    """Await that such a search is answered."""
    wait_for(lambda: finds_many(world), "many hits to be sent", seconds=90, every=2)


def test_query_nodes_are_restarted_one_at_a_time_under_searches(calm: World, tmp_path: Path) -> None:
    await_many_hits(calm)
    _alone_nothing_leaves(calm)
    before, rows, evicted = others(calm), calm.placement().rows, evictions(calm)

    with PodWatch(world=calm, log=tmp_path / "pods") as watch, calm.load(LOW) as load:
        # Replies are compared with the first to the same request: let each be answered once while nothing moves.
        wait_for(lambda: sum(second.ok for second in load.seconds) > REQUESTS_PER_COLLECTION, "a reply to each request")
        approve(calm, 1)
        _called_off_half_way(calm, watch)

        declare(calm, SMALLER)
        approve(calm, 2)
        _paused_half_way(calm, watch, load)
        assert calm.settings() == {STORED: SMALLER}
        wait_for(lambda: state(calm, INTENT) == "Effective", "QueryNodes to be asked what they read")
        assert not finds_many(calm)

        declare(calm, None)
        approve(calm, 3)
        wait_for(ended(calm, ["Cancelled", "Completed", "Completed"]), "the key to be withdrawn", seconds=ROLL_SECONDS)
        assert calm.settings() == {}
        await_many_hits(calm)
        everything = load.stop()

    seconds = sum(1 for second in load.seconds if incomplete_replies(summarise([second])))
    print(f"{everything.sent} searches, failed {everything.errors}, rows missing in {seconds} s")
    assert lost_searches(everything) <= MOST_LOST * everything.sent
    assert seconds <= MISSING_SECONDS_OF_ONE * REPLACED
    moments = watch.moments()
    assert max(len(one.leaving) for one in moments) == 1, "two leave at once"
    assert min(len(one.ready) for one in moments) == 1, "one of two is always ready"
    assert len(watch.left()) == evictions(calm) - evicted == REPLACED
    assert others(calm) == before, "the pods of the other components stay"
    assert calm.placement().rows == rows


def _alone_nothing_leaves(world: World) -> None:
    """Negative control: one QueryNode could hand over to nobody."""
    world.scale(1)
    evicted, alone = evictions(world), pods(world)
    declare(world, SMALL)
    wait_for(lambda: state(world, INTENT) == "PendingRestart", "the restart to be due")
    time.sleep(PASSES_SECONDS)
    assert "has one QueryNode only" in entries(world)[INTENT]["message"]
    assert (world.plans("main"), world.settings(), evictions(world)) == ([], {}, evicted)
    assert pods(world) == alone
    world.scale(2)


def _called_off_half_way(world: World, watch: PodWatch) -> None:
    """Cancelled after the first eviction: the key goes, then the one that came is replaced; the other one stays."""
    old = pods(world)["querynode"]
    wait_for(lambda: len(watch.left()) == 1, "the first QueryNode to leave", every=0.5)
    world.vote(world.plans("main")[-1], "Cancelled")
    wait_for(ended(world, ["Cancelled"]), "the roll to be taken back", seconds=ROLL_SECONDS)
    assert world.settings() == {}
    assert len(watch.left()) == 2
    assert len(pods(world)["querynode"] & old) == 1, "the one that was not reached"


def _paused_half_way(world: World, watch: PodWatch, load: LoadProcess) -> None:
    """Paused after the first eviction: the next one waits, and goes when the pause is over."""
    wait_for(lambda: len(watch.left()) == 3, "the first QueryNode to leave", every=0.5)
    declare(world, SMALLER, paused=True)
    wait_for(lambda: "waits: paused" in _roll(world)["message"], "the roll to be held")
    world.await_even(2)  # nothing else is in its way any more
    time.sleep(PASSES_SECONDS)
    wait_for(
        lambda: _all_rows(load.seconds[-QUIET_SECONDS:]), "replies with all rows once Milvus moves nothing", seconds=90
    )
    assert len(watch.left()) == 3
    assert world.at_work("main")
    declare(world, SMALLER)
    wait_for(ended(world, ["Cancelled", "Completed"]), "the roll to go on to its end", seconds=ROLL_SECONDS)


def _all_rows(seconds: Sequence[Second]) -> bool:
    """Whether there were replies, none of which lacked rows."""
    seen = summarise(seconds)
    return seen.ok > 0 and not incomplete_replies(seen)


def _roll(world: World) -> Mapping[str, Any]:
    """The log of the step that replaces pods."""
    steps: list[Mapping[str, Any]] = world.plans("main")[-1]["status"]["steps"]
    return steps[-1]
