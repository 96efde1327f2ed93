"""Collections of one segment each, of which some are hot: where Milvus has them, and other places to compare with.

Milvus's balancer evens out rows and knows nothing of searches. Four collections of equal rows on two QueryNodes end up
two and two; which of them are searched is drawn afterwards, among those that it put on one node.
"""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pymilvus import MilvusClient, MilvusException

from tests.e2e.world import World, load_options, wait_for
from tests.load.commands import calibrate_by_process
from tests.load.prepare import Dataset, prepare

WORDS = ("albums", "books", "clips", "docs", "events", "faces", "games", "hotels", "images", "jobs")
COUNT = 4
DATASET = Dataset(rows=15_000, dim=128, segments=1)
CONCURRENCY = 16  # beyond what either placement carries: the figure is throughput, not latency
EXCHANGE_SECONDS = 60.0


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


@contextmanager
def collections(world: World, seed: int) -> Iterator[tuple[str, ...]]:
    """Collections with names of this seed, loaded; dropped afterwards."""
    draw = random.Random(seed)
    names = tuple(f"{word}_{draw.randrange(1000)}" for word in draw.sample(WORDS, COUNT))
    try:
        for name in names:
            prepare(world.uri, name, DATASET)
        yield names
    finally:
        client = MilvusClient(world.uri)
        for name in names:
            if client.has_collection(name):
                client.drop_collection(name)
        client.close()


def seats(world: World, names: Sequence[str]) -> Mapping[str, Seat] | None:
    """Where Milvus says the segment of each collection is; None while one is under way."""
    client = MilvusClient(world.uri)
    try:
        found = {name: client._get_connection().get_query_segment_info(name) for name in names}
    except MilvusException:
        return None
    finally:
        client.close()
    sealed = {name: [info for info in infos if len(info.nodeIds) == 1] for name, infos in found.items()}
    if any(len(infos) != 1 for infos in sealed.values()):
        return None
    return {name: Seat(segment_id=info.segmentID, node_id=info.nodeIds[0]) for name, (info,) in sealed.items()}


def settled(world: World, names: Sequence[str]) -> Mapping[str, Seat]:
    """The seats once nothing is under way."""
    return wait_for(lambda: seats(world, names), f"{', '.join(names)} to have one place each")


def together(where: Mapping[str, Seat], names: Sequence[str]) -> bool:
    """Whether these collections are on one QueryNode."""
    return len({where[name].node_id for name in names}) == 1


def exchange(world: World, one: str, other: str) -> None:
    """Let two collections of equal rows change places; Milvus's balancer has no reason to undo that."""
    before = settled(world, (one, other))
    assert before[one].node_id != before[other].node_id
    wanted = {one: before[other].node_id, other: before[one].node_id}

    def done() -> bool:
        client = MilvusClient(world.uri)
        try:
            for name, seat in settled(world, (one, other)).items():
                if seat.node_id != wanted[name]:
                    client._get_connection().load_balance(name, seat.node_id, [wanted[name]], [seat.segment_id])
        except MilvusException:  # the balancer of Milvus is at the same segment
            return False
        finally:
            client.close()
        return all(seat.node_id == wanted[name] for name, seat in settled(world, (one, other)).items())

    wait_for(done, f"{one} and {other} to change places", seconds=EXCHANGE_SECONDS)


def stays(world: World, names: Sequence[str], seconds: float) -> bool:
    """Whether the collections keep their places for so long."""
    before, end = settled(world, names), time.monotonic() + seconds
    while time.monotonic() < end:
        if settled(world, names) != before:
            return False
        time.sleep(1.0)
    return True


def figures(world: World, hot: Sequence[str], seconds: float) -> Figures:
    """Throughput and P99 of a closed loop over the hot collections."""
    options = load_options(world.uri, hot)
    (step,) = calibrate_by_process(options, seconds=seconds, concurrencies=(CONCURRENCY,)).steps
    assert step.failed == 0
    assert step.p99_ms is not None
    return Figures(qps=step.qps, p99_ms=step.p99_ms)
