"""From relocations to steps: what becomes one step, what fits into a plan, and that a swap is never cut in half."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.api import OperationStatus
from milvus_tuning.decide.placement.steps import (
    MOST_MOVE_STEPS,
    MOST_SEGMENTS_PER_STEP,
    Relocation,
    move_steps,
    replica_steps,
    within_room,
)
from milvus_tuning.decide.readback import Sight, look
from milvus_tuning.decide.running.operation import begin
from milvus_tuning.plan import Decision, Reason, Step, StepKind, segment_ids
from milvus_tuning.snapshot import Collection
from milvus_tuning.status.records import operation_from_status, operation_to_status
from tests.builders import NOON, a_snapshot
from tests.decide.steps import a_move, a_replica_change

# Segments 5000, 5003, ... are on node 1, 5001, 5004, ... on node 2, 5002, 5005, ... on node 3.
SNAPSHOT = a_snapshot(3)


def out(segment: int, source: int = 1, destination: int = 2, collection: int = 100) -> Relocation:
    return Relocation(
        collection_id=collection, segment_id=segment, source_node_id=source, destination_node_id=destination
    )


def back(segment: int) -> Relocation:
    return out(segment, 2, 1)


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([out(5000)], [a_move(5000)], id="one segment"),
        pytest.param([out(5000), out(5003)], [a_move(5000, 5003)], id="the same way twice is one step"),
        pytest.param(
            [out(5000), back(5001), out(5003)],
            [a_move(5000), a_move(5001, source="qn-2", destination="qn-1"), a_move(5003)],
            id="the order stays, also where the first and the last go the same way",
        ),
        pytest.param(
            [out(5000), out(5003, destination=3)],
            [a_move(5000), a_move(5003, destination="qn-3")],
            id="another destination is another step",
        ),
        pytest.param(
            [out(5000), out(6000, collection=200)],
            [a_move(5000), a_move(6000, collection="images")],
            id="another collection is another step",
        ),
    ],
)
def test_consecutive_relocations_of_one_way_become_one_step(moves: list[Relocation], expected: list[Step]) -> None:
    two = replace(SNAPSHOT, collections=(*SNAPSHOT.collections, Collection(collection_id=200, name="images")))

    assert move_steps(moves, two, hold_balancer=False) == tuple(expected)


def test_a_step_has_at_most_sixteen_segments() -> None:
    steps = move_steps([out(number) for number in range(20)], SNAPSHOT, hold_balancer=False)

    assert [len(segment_ids(step.action)) for step in steps] == [16, 4]


def test_a_swap_holds_the_balancer_off_from_before_the_first_move_to_after_the_last() -> None:
    steps = move_steps([out(5000), back(5001)], SNAPSHOT, hold_balancer=True)

    assert [step.kind for step in steps] == [
        StepKind.TAKE_PLACEMENT,
        StepKind.MOVE_SEGMENTS,
        StepKind.MOVE_SEGMENTS,
        StepKind.RETURN_PLACEMENT,
    ]
    take, give = steps[0], steps[-1]
    assert (take.action["value"], take.verification["settleSeconds"]) == ("false", 10)
    assert (give.precondition, give.action) == (
        {"key": take.action["key"], "value": "false"},
        {"key": take.action["key"], "value": None},
    )
    assert give.undo == {**take.action, "settleSeconds": 10}


@pytest.mark.parametrize("hold", [True, False])
def test_no_relocation_makes_no_step_at_all(hold: bool) -> None:
    assert move_steps([], SNAPSHOT, hold_balancer=hold) == ()


@pytest.mark.parametrize(
    ("move", "words"),
    [
        pytest.param(out(1, source=9), "node 9", id="an unknown source"),
        pytest.param(out(1, destination=9), "node 9", id="an unknown destination"),
        pytest.param(out(1, collection=7), "collection 7", id="an unknown collection"),
    ],
)
def test_what_is_not_there_makes_no_step(move: Relocation, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        move_steps([move], SNAPSHOT, hold_balancer=False)


RELOCATIONS = st.lists(st.builds(out, st.integers(1, 999), st.sampled_from([1, 2]), st.just(3)), max_size=60)
PAIRS = st.lists(st.tuples(st.integers(1, 999), st.sampled_from([2, 3])), max_size=20).map(
    lambda pairs: [one for segment, other in pairs for one in (out(segment, 1, other), out(segment + 1000, other, 1))]
)


@given(RELOCATIONS)
def test_steps_are_the_relocations_that_fit_in_their_order(moves: list[Relocation]) -> None:
    steps, kept = move_steps(moves, SNAPSHOT, hold_balancer=False), within_room(moves, hold_balancer=False)

    assert [one for step in steps for one in segment_ids(step.action)] == [move.segment_id for move in kept]
    assert list(kept) == moves[: len(kept)]
    assert len(steps) <= MOST_MOVE_STEPS
    assert all(len(segment_ids(step.action)) <= MOST_SEGMENTS_PER_STEP for step in steps)
    assert len(kept) == len(moves) or len(steps) == MOST_MOVE_STEPS


@given(PAIRS)
def test_a_cut_swap_is_a_swap(moves: list[Relocation]) -> None:
    steps = move_steps(moves, SNAPSHOT, hold_balancer=True)

    gained = dict.fromkeys(("qn-1", "qn-2", "qn-3"), 0)
    for step in steps[1:-1]:
        count = len(segment_ids(step.action))
        gained[str(step.action["pod"])] += count
        gained[str(step.precondition["pod"])] -= count
    assert set(gained.values()) == {0}
    assert len(steps) <= 10


def test_a_step_starts_where_the_segments_are() -> None:
    """What the builder makes from a snapshot, the read-back knows as the state before it."""
    (step,) = move_steps([out(5000), out(5003)], SNAPSHOT, hold_balancer=False)

    assert look(step, SNAPSHOT).sight is Sight.BEFORE


def test_steps_survive_their_stored_form() -> None:
    """Ids, also a single one, stay text; numbers come back as numbers."""
    steps = (*move_steps([out(5000), back(5001)], SNAPSHOT, hold_balancer=True), a_replica_change())
    operation = begin(Decision(reason=Reason.HOT_NODE, message="", steps=steps), operation_id="x", now=NOON)

    stored = OperationStatus.model_validate(operation_to_status(operation).model_dump(by_alias=True))

    assert [record.step for record in operation_from_status(stored).steps] == list(steps)


@pytest.mark.parametrize(
    ("before", "after", "groups", "former", "expected"),
    [
        pytest.param(1, 2, (), None, "", id="Milvus's own group"),
        pytest.param(1, 2, ("rg1",), None, "rg1", id="one for all"),
        pytest.param(1, 2, ("rg1", "rg2"), None, "rg1", id="one each: the first stays"),
        pytest.param(3, 2, ("rg1", "rg2"), None, "rg1", id="one each, and more before: not known, so one for all"),
        pytest.param(2, 1, ("rg1",), ("rg1", "rg2"), "rg1 rg2", id="where the former ones are known"),
    ],
)
def test_the_way_back_names_groups_that_milvus_takes(
    before: int, after: int, groups: tuple[str, ...], former: tuple[str, ...] | None, expected: str
) -> None:
    collection = Collection(collection_id=100, name="products")

    (step,) = replica_steps(
        collection, before=before, after=after, resource_groups=groups, deadline_seconds=600, former_groups=former
    )

    assert (step.action["count"], step.action["resourceGroups"]) == (after, " ".join(groups))
    assert (step.undo["count"], step.undo["resourceGroups"]) == (before, expected)
    assert len(expected.split()) in {0, 1, before}
