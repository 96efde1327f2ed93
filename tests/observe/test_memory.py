"""What passes leave to each other: per target and connection, and no more than there is room for."""

from milvus_tuning.clients.connect import MOST_TARGETS_KEPT
from milvus_tuning.observe.memory import ClusterMemory, Memories
from milvus_tuning.snapshot import MISSING, Collection, Sample


def _collection(key: int, searches: Sample) -> Collection:
    return Collection(collection_id=key, name=f"c{key}", searches_per_second=searches)


def test_a_target_keeps_its_memory_while_its_connection_is_the_same() -> None:
    memories, connection = Memories(), object()
    first = memories.of("a", connection)
    assert memories.of("b", connection) is not first
    assert memories.of("a", connection) is first
    assert memories.of("a", object()) is not first
    assert memories.of("a", connection) is not first


def test_the_target_that_was_observed_the_longest_ago_is_forgotten_first() -> None:
    memories, connection = Memories(), object()
    kept, dropped = memories.of("kept", connection), memories.of("dropped", connection)
    memories.of("kept", connection)
    for number in range(MOST_TARGETS_KEPT - 1):
        memories.of(number, connection)
    assert memories.of("kept", connection) is kept
    assert memories.of("dropped", connection) is not dropped


def test_a_missing_number_of_searches_is_no_zero_and_a_pass_without_any_leaves_the_last() -> None:
    memory = ClusterMemory()
    memory.note_searches(
        [_collection(1, Sample(value=5.0)), _collection(2, Sample(value=0.0)), _collection(3, MISSING)]
    )
    memory.note_searches([_collection(1, MISSING)])
    assert memory.searches == {1: 5.0, 2: 0.0}
