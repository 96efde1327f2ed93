"""Two hot collections on one QueryNode: Milvus leaves them there, for its rows are even; we do not.

Each claim stands beside its negative control on the same cluster: the same placement without load moves nothing, and
Milvus's own balancer keeps the bad placement for many of its rounds, one a second on 2.3.5. Figures come from the load
client and from Milvus's placement.
"""

import os
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from pymilvus import MilvusClient

from tests import hot
from tests.demo.table import lost_searches
from tests.e2e.test_scaling import finished
from tests.e2e.world import COLLECTION, OPERATOR, OPERATOR_NAMESPACE, World, load_options, spec
from tests.load.process import LoadProcess
from tests.waiting import wait_for

pytestmark = pytest.mark.e2e

SEED = int(os.environ.get("E2E_SEED", "7"))
AUTO_BALANCE = "by-dev/config/querycoord.autobalance"
BALANCE_ROUNDS_SECONDS = 20.0  # many rounds of one second, and more than three even of a slow coordinator
COLD_SECONDS = 45.0  # three windows
FORGET_SECONDS = 40.0  # until what was just measured at full load is out of the operator's rates
STAYS_SECONDS = 300.0
ROUNDS, MEASURE_SECONDS = 5, 8.0
OVERLOAD, WHISPER = 1.15, 0.05  # shares of what the bad placement carries
TOLERANCE = "by-dev/config/querycoord.scoreunbalancetolerationfactor"
EVEN, UNEVEN = [12, 12], [11, 13]  # segments of the collection by QueryNode
MOST_PUSHES, UNDISTURBED_SECONDS = 12, 20.0
REREAD_SECONDS = 6  # Milvus 2.3 asks etcd for its settings every 5 s
LEAST_GAIN, LEAST_OF_BEST = 1.4, 0.95


@contextmanager
def collections(world: World) -> Iterator[tuple[str, ...]]:
    """Four collections of one segment each, of which Milvus puts two on each QueryNode; dropped afterwards."""
    names = hot.names_of(SEED)
    try:
        hot.make(world.uri, names)
        yield names
    finally:
        hot.drop(world.uri, names)


def policy(**changes: Any) -> dict[str, Any]:
    """Hot segments alone, with short windows."""
    hot_segments = {"mode": "Act", "windowSeconds": 10, "cooldownSeconds": 5}
    return spec(queryNodes=None, loadBalancing={"hotSegments": hot_segments}, **changes)


def test_a_hot_node_that_milvus_leaves_is_cured_and_stays_cured(calm: World) -> None:
    with collections(calm) as names:
        calm.await_even(2)
        where = hot.settled(calm.uri, names)
        pair = hot.pair_on_one_node(where, SEED)
        assert pair is not None, f"Milvus did not put them two and two: {where}"
        print(f"seed {SEED}: {', '.join(names)}; searched are {' and '.join(pair)}")
        assert hot.stays(calm.uri, names, BALANCE_ROUNDS_SECONDS)
        bad_qps = hot.figures(calm.uri, pair, MEASURE_SECONDS).qps

        _cold_skew_moves_nothing(calm, names, pair, bad_qps)
        with _load(calm, pair, OVERLOAD * bad_qps) as load:
            wait_for(lambda: _told(calm), "the plan with what a replica or a node would do instead", seconds=180)
            wait_for(finished(calm, 1), "the hot node to be cured", seconds=120, every=2)
            assert calm.outcomes("main") == ["Completed"]
            cured = hot.settled(calm.uri, names)
            assert not hot.together(cured, pair)
            assert _moved(where, cured) == 2, "one out, one back"
            assert lost_searches(load.stop()) == 0
        assert AUTO_BALANCE not in calm.settings(), "Milvus balances again"

        calm.kubectl("-n", OPERATOR_NAMESPACE, "rollout", "restart", "deployment", OPERATOR)
        calm.kubectl("-n", OPERATOR_NAMESPACE, "rollout", "status", "deployment", OPERATOR, "--timeout=120s")
        assert hot.stays(calm.uri, names, STAYS_SECONDS)
        assert len(calm.outcomes("main")) == 1
        calm.untune()
        assert AUTO_BALANCE not in calm.settings()

        _is_better_and_near_the_best(calm, names, pair)


def _told(world: World) -> bool:
    """Whether status tells of the plan at work, and of the ways that were not chosen."""
    decision = world.status("main").get("decision", {})
    return decision.get("reason") == "InProgress" and len(decision.get("rejected", [])) >= 2


def _cold_skew_moves_nothing(world: World, names: tuple[str, ...], pair: tuple[str, str], bad_qps: float) -> None:
    """The same placement with few searches: as skewed, but nobody waits."""
    before = hot.settled(world.uri, names)
    with _load(world, pair, WHISPER * bad_qps) as load:
        time.sleep(FORGET_SECONDS)
        world.tune("main", policy())
        wait_for(lambda: "heat" in world.status("main"), "heat in status", seconds=60)
        time.sleep(COLD_SECONDS)
        assert world.plans("main") == []
        assert hot.settled(world.uri, names) == before
        assert lost_searches(load.stop()) == 0


def _is_better_and_near_the_best(world: World, names: tuple[str, ...], pair: tuple[str, str]) -> None:
    """All placements of two and two by turns: Milvus's, ours, and the third."""
    first, second = pair
    cold = [name for name in names if name not in pair]
    ours = hot.settled(world.uri, names)
    partner = next(name for name in cold if ours[name].node_id == ours[first].node_id)
    other = next(name for name in cold if name != partner)
    measured: dict[str, list[hot.Figures]] = {"Milvus's": [], "ours": [], "the other": []}
    for _ in range(ROUNDS):
        measured["ours"].append(hot.figures(world.uri, pair, MEASURE_SECONDS))
        hot.exchange(world.uri, second, partner)  # both hot ones together, as Milvus had them
        measured["Milvus's"].append(hot.figures(world.uri, pair, MEASURE_SECONDS))
        hot.exchange(world.uri, second, other)  # apart again, the cold ones the other way round
        measured["the other"].append(hot.figures(world.uri, pair, MEASURE_SECONDS))
        hot.exchange(world.uri, partner, other)
    print(_table(measured))
    gains = _ratios(measured["ours"], measured["Milvus's"])
    of_best = statistics.median(
        here.qps / max(here.qps, bad.qps, there.qps)
        for here, bad, there in zip(*(measured[name] for name in ("ours", "Milvus's", "the other")), strict=True)
    )
    assert statistics.median(gains) >= LEAST_GAIN, f"gains {gains}"
    assert of_best >= LEAST_OF_BEST


def _ratios(one: list[hot.Figures], other: list[hot.Figures]) -> list[float]:
    return [round(here.qps / there.qps, 2) for here, there in zip(one, other, strict=True)]


def _table(measured: Mapping[str, list[hot.Figures]]) -> str:
    lines = [f"{'placement':12} {'QPS median':>10} {'lowest':>8} {'highest':>8} {'P99 ms median':>14}"]
    for name, figures in measured.items():
        rates = [one.qps for one in figures]
        p99 = statistics.median(one.p99_ms for one in figures)
        lines.append(f"{name:12} {statistics.median(rates):10.1f} {min(rates):8.1f} {max(rates):8.1f} {p99:14.0f}")
    return "\n".join(lines)


def _moved(before: Mapping[str, hot.Seat], after: Mapping[str, hot.Seat]) -> int:
    return sum(before[name] != after[name] for name in before)


def _load(world: World, pair: tuple[str, str], rate: float) -> LoadProcess:
    return LoadProcess(load_options(world.uri, pair, rate=rate))


def test_moves_to_and_fro_are_seen_and_damped(calm: World) -> None:
    """Somebody moves segments, Milvus moves as many back. The QueryNodes are those of the test before: not new."""
    calm.tune("main", watching("Observe"))
    wait_for(lambda: calm.condition("main", "PlacementStable"), "the watch over the placement", seconds=60)
    time.sleep(UNDISTURBED_SECONDS)
    assert "pingPong" not in calm.status("main"), "nothing moves where nobody disturbs"

    for _ in range(MOST_PUSHES):
        _push(calm, count=4)
        wait_for(lambda: _counts(calm) == EVEN, "Milvus to even out the segments again", seconds=60, every=0.5)
        if "pingPong" in calm.status("main"):
            break
    (seen,) = calm.status("main")["pingPong"]
    assert (seen["database"], seen["name"]) == ("default", COLLECTION)
    assert seen["netZeroPercent"] >= 50
    assert calm.condition("main", "PlacementStable")["reason"] == "PingPong"
    assert TOLERANCE not in calm.settings(), "watching alone writes nothing"

    calm.tune("main", watching("Damp"))
    wait_for(lambda: calm.settings().get(TOLERANCE) == "0.3", "the tolerance of the balancer to be raised", seconds=60)
    time.sleep(REREAD_SECONDS)
    _push(calm, count=1)
    wait_for(lambda: _counts(calm) == UNEVEN, "the pushed segment to have one place")
    time.sleep(UNDISTURBED_SECONDS)
    assert _counts(calm) == UNEVEN, "what it evened out before it leaves now"
    calm.untune()
    assert TOLERANCE not in calm.settings()
    wait_for(lambda: _counts(calm) == EVEN, "Milvus to balance as it did before", seconds=60)


def _counts(world: World) -> list[int]:
    """Segments of the collection by QueryNode, those under way twice."""
    return sorted(len(node.segments) for node in world.placement().nodes.values())


def _push(world: World, *, count: int) -> None:
    """Move so many segments from one QueryNode to the other."""
    source, target = sorted(world.placement().nodes.values(), key=lambda node: node.node_id)
    client = MilvusClient(world.uri)
    handler = client._get_connection()
    handler.load_balance(COLLECTION, source.node_id, [target.node_id], list(source.segments[:count]))
    client.close()


def watching(mode: str) -> dict[str, Any]:
    """A policy about moves to and fro alone."""
    return spec(queryNodes=None, loadBalancing={"pingPong": mode})
