"""Collections of one segment each, of which some are hot: where Milvus has them, and other places to compare with.

Milvus's balancer evens out rows and knows nothing of searches. Four collections of equal rows on two QueryNodes end up
two and two; which of them are searched is drawn afterwards, among those that it put on one node.
"""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pymilvus import MilvusClient, MilvusException

from tests.cluster.processes import wait_for
from tests.load.commands import calibrate_by_process
from tests.load.options import RunOptions
from tests.load.prepare import Dataset, prepare

WORDS = ("albums", "books", "clips", "docs", "events", "faces", "games", "hotels", "images", "jobs")
COUNT = 4
DATASET = Dataset(rows=15_000, dim=128, segments=1)
CONCURRENCY = 16  # beyond what either placement carries: the figure is throughput, not latency
SETTLE_SECONDS, EXCHANGE_SECONDS = 60.0, 60.0
SEARCH_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Seat:
    """The one segment of a collection, and the QueryNode that serves it."""

    segment_id: int
    node_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What searches of the hot collections met in a closed loop."""

    qps: float
    p99_ms: float


def names_of(seed: int) -> tuple[str, ...]:
    """The names of the collections that this seed stands for."""
    draw = random.Random(seed)
    return tuple(f"{word}_{draw.randrange(1000)}" for word in draw.sample(WORDS, COUNT))


def make(uri: str, names: Sequence[str]) -> None:
    """Make and load the collections, those that are not there."""
    for name in names:
        prepare(uri, name, DATASET)


def drop(uri: str, names: Sequence[str]) -> None:
    """Remove the collections."""
    client = MilvusClient(uri)
    for name in names:
        if client.has_collection(name):
            client.drop_collection(name)
    client.close()


def release(uri: str, names: Sequence[str]) -> None:
    """Take the collections off the QueryNodes; they are loaded again in seconds."""
    client = MilvusClient(uri)
    for name in names:
        client.release_collection(name)
    client.close()


def seats(uri: str, names: Sequence[str]) -> Mapping[str, Seat] | None:
    """Where Milvus says the segment of each collection is; None while one is under way."""
    client = MilvusClient(uri)
    try:
        found = {name: client._get_connection().get_query_segment_info(name) for name in names}
    except MilvusException:
        return None
    finally:
        client.close()
    if any(len(infos) != 1 or len(infos[0].nodeIds) != 1 for infos in found.values()):
        return None
    return {name: Seat(segment_id=info.segmentID, node_id=info.nodeIds[0]) for name, (info,) in found.items()}


def settled(uri: str, names: Sequence[str]) -> Mapping[str, Seat]:
    """The seats once nothing is under way."""
    found: Mapping[str, Seat] | None = None

    def all_seated() -> bool:
        nonlocal found
        found = seats(uri, names)
        return found is not None

    wait_for(f"{', '.join(names)} to have one place each", all_seated, seconds=SETTLE_SECONDS)
    return found or {}


def together(where: Mapping[str, Seat], names: Sequence[str]) -> bool:
    """Whether these collections are on one QueryNode."""
    return len({where[name].node_id for name in names}) == 1


def pair_on_one_node(where: Mapping[str, Seat], seed: int) -> tuple[str, str] | None:
    """Two collections that are on one QueryNode; which node, the seed draws. None where they are not two and two."""
    chosen = random.Random(seed).choice(sorted({seat.node_id for seat in where.values()}))
    pair = sorted(name for name, seat in where.items() if seat.node_id == chosen)
    return (pair[0], pair[1]) if len(pair) == COUNT / 2 else None


def exchange(uri: str, one: str, other: str) -> None:
    """Let two collections of equal rows change places; Milvus's balancer has no reason to undo that."""
    before = settled(uri, (one, other))
    wanted = {one: before[other].node_id, other: before[one].node_id}

    def done() -> bool:
        client = MilvusClient(uri)
        try:
            for name, seat in settled(uri, (one, other)).items():
                if seat.node_id != wanted[name]:
                    client._get_connection().load_balance(name, seat.node_id, [wanted[name]], [seat.segment_id])
        except MilvusException:  # the balancer of Milvus is at the same segment
            return False
        finally:
            client.close()
        return all(seat.node_id == wanted[name] for name, seat in settled(uri, (one, other)).items())

    wait_for(f"{one} and {other} to change places", done, seconds=EXCHANGE_SECONDS)


def stays(uri: str, names: Sequence[str], seconds: float) -> bool:
    """Whether the collections keep their places for so long."""
    before, end = settled(uri, names), time.monotonic() + seconds
    while time.monotonic() < end:
        if settled(uri, names) != before:
            return False
        time.sleep(1.0)
    return True


def figures(uri: str, hot: Sequence[str], seconds: float) -> Figures:
    """Throughput and P99 of a closed loop over the hot collections; AssertionError where a search fails."""
    options = RunOptions(uri=uri, collections=tuple(hot), timeout_seconds=SEARCH_TIMEOUT_SECONDS)
    (step,) = calibrate_by_process(options, seconds=seconds, concurrencies=(CONCURRENCY,)).steps
    assert step.failed == 0
    assert step.p99_ms is not None
    return Figures(qps=step.qps, p99_ms=step.p99_ms)
