"""Who else changes the number of QueryNodes, told from the record of what we wrote."""

from dataclasses import replace
from datetime import timedelta

import pytest

from milvus_tuning.api import FIELD_MANAGER
from milvus_tuning.decide import decide
from milvus_tuning.decide.size.reverts import foreign_reverts
from milvus_tuning.plan import Operation, Reason, Step, StepKind, StepRecord, StepState
from tests.builders import NOON, a_finished_operation, a_history, a_snapshot, a_spec


def a_resize(
    before: int,
    after: int,
    *,
    minutes_ago: float = 30,
    state: StepState = StepState.DONE,
    outcome: Reason = Reason.COMPLETED,
    written: bool = True,
) -> Operation:
    """A finished change of size."""
    step = Step(
        kind=StepKind.SCALE_QUERY_NODES,
        precondition={"desiredCount": before},
        action={"count": after},
        verification={"servingCount": after},
        undo={"count": before},
    )
    operation = a_finished_operation(ended_seconds_ago=60 * minutes_ago, outcome=outcome)
    record = StepRecord(step=step, state=state, intended_at=operation.started_at if written else None)
    return replace(operation, steps=(record,))


def a_skipped_resize(*, written: bool) -> Operation:
    """A change of size that ended because the world had changed."""
    return a_resize(2, 3, state=StepState.SKIPPED, outcome=Reason.PRECONDITION_CHANGED, written=written)


CASES = {
    "nothing was ever written": ([], 2, 0),
    "what we wrote stands": ([a_resize(2, 3)], 3, 0),
    "the next operation found what we left": ([a_resize(2, 3), a_resize(3, 4)], 4, 0),
    "somebody put it back since": ([a_resize(2, 3)], 2, 1),
    "put back three times": ([a_resize(2, 3), a_resize(2, 3), a_resize(2, 3)], 2, 3),
    "put back twice, then left alone": ([a_resize(2, 3), a_resize(2, 3), a_resize(2, 3)], 3, 2),
    "what was written over an hour ago counts no more": ([a_resize(2, 3, minutes_ago=61)], 2, 0),
    "put back while it was being verified": ([a_skipped_resize(written=True)], 2, 1),
    "given up before anything was written": ([a_skipped_resize(written=False)], 5, 0),
    "restored by ourselves": (
        [a_resize(2, 3, state=StepState.UNDONE, outcome=Reason.INSUFFICIENT_CAPACITY)],
        2,
        0,
    ),
    "a drain that got stuck keeps its number": (
        [a_resize(3, 2, state=StepState.FAILED, outcome=Reason.DRAIN_STUCK)],
        2,
        0,
    ),
    "a setting in between does not matter": (
        [a_resize(2, 3), a_finished_operation(kind=StepKind.SET_CONFIG), a_resize(2, 3)],
        3,
        1,
    ),
}


@pytest.mark.parametrize(("operations", "desired_count", "expected"), CASES.values(), ids=CASES.keys())
def test_numbers_that_somebody_else_changed(operations: list[Operation], desired_count: int, expected: int) -> None:
    assert foreign_reverts(operations, desired_count=desired_count, now=NOON) == expected


@pytest.mark.parametrize(
    ("reverts", "owner", "reason", "told"),
    [
        pytest.param(2, "argocd-controller", Reason.SCALE_OUT_COMPUTATION, None, id="twice may be chance"),
        pytest.param(3, "argocd-controller", Reason.CONFLICT, "field manager argocd-controller", id="by name"),
        pytest.param(3, None, Reason.CONFLICT, "somebody put", id="by an unknown hand"),
        pytest.param(3, FIELD_MANAGER, Reason.CONFLICT, "somebody put", id="our own name accuses nobody"),
    ],
)
def test_the_third_revert_is_a_conflict(reverts: int, owner: str | None, reason: Reason, told: str | None) -> None:
    snapshot = a_snapshot(2, cpu=0.9, workload={"replicas_owner": owner})
    past = [a_resize(2, 3, minutes_ago=50 - 10 * number) for number in range(reverts)]

    decision = decide(a_spec(), snapshot, a_history(snapshot, operations=past), NOON)

    assert (decision.reason, bool(decision.steps)) == (reason, reason is not Reason.CONFLICT)
    assert told is None or told in decision.message


def test_an_hour_without_writes_ends_the_conflict() -> None:
    snapshot = a_snapshot(2, cpu=0.9)
    past = [a_resize(2, 3, minutes_ago=50 - 10 * number) for number in range(3)]
    later = NOON + timedelta(minutes=11)
    history = a_history(replace(snapshot, taken_at=later), until=later, operations=past)

    assert decide(a_spec(), snapshot, history, NOON + timedelta(minutes=9)).reason is Reason.CONFLICT
    assert decide(a_spec(), replace(snapshot, taken_at=later), history, later).reason is Reason.SCALE_OUT_COMPUTATION
