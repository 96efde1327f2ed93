"""What is special about the course of an operation that moves segments.

    asked, and the outcome is not known    Milvus may still be moving: nothing is taken back before its tasks have ended
    a move cannot be begun                 those before it stay and the rest is left out, once they are good without it
    a move cannot be taken back            the earlier ones stay as well, and Milvus's balancer is let go all the same

Moves are good without the rest when each QueryNode has got as many segments as it has given (swaps come in pairs, out
and back, of equal rows), or when no balancer is held off: then each move is good by itself. Example, of a swap of two
pairs: after 7: 1 -> 2, 8: 2 -> 1 the rest may be left out; after 7: 1 -> 2 alone the pair is finished first, or taken
back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from milvus_tuning.decide.readback import effect, integer
from milvus_tuning.plan import Operation, Parameters, StepKind, StepRecord, StepState, segment_ids
from milvus_tuning.snapshot import Snapshot

# Milvus gives up a move after queryCoord.segmentTaskTimeout, 120 s in all versions; from 2.4 on it goes on with it
# although nobody waits for the answer any more.
TASK_SECONDS = 130.0
ASK_AGAIN_SECONDS = 30.0  # a move back that Milvus answered but did not make
THROTTLE_SECONDS = 600.0  # how long a move waits for searches that suffer
# Milvus's answer is not its effect; a level is read from a proxy, which may go on telling the former one for a while.
PATIENT_KINDS = frozenset({StepKind.MOVE_SEGMENTS, StepKind.SET_REPLICA_NUMBER, StepKind.SET_COLLECTION_PROPERTY})


def is_move(record: StepRecord) -> bool:
    """Whether the step moves segments."""
    return record.step.kind is StepKind.MOVE_SEGMENTS


def may_stop_before(operation: Operation, index: int) -> bool:
    """Whether the moves before this step are good without the rest; also where there are none."""
    holds = any(record.step.kind is StepKind.TAKE_PLACEMENT for record in operation.steps[:index])
    return not holds or _in_balance(operation.steps[:index])


def has_moved(operation: Operation, index: int) -> bool:
    """Whether a step before this one has moved segments."""
    return any(is_move(record) and record.state is StepState.DONE for record in operation.steps[:index])


def _in_balance(records: Sequence[StepRecord]) -> bool:
    gained: Counter[str] = Counter()
    for record in records:
        if is_move(record) and record.state is StepState.DONE:
            moved = len(segment_ids(record.step.action))
            gained[str(record.step.action.get("pod"))] += moved
            gained[str(record.step.precondition.get("pod"))] -= moved
    return not any(gained.values())


def balancer_at_large(operation: Operation, index: int, snapshot: Snapshot) -> str | None:
    """That Milvus's balancer is not held off any more, although this operation has held it off; else None.

    Where etcd cannot be read nothing is said: the lease is renewed before the call, and that shows it.
    """
    held = (one.step for one in operation.steps[:index] if one.step.kind is StepKind.TAKE_PLACEMENT)
    taken = next(held, None)
    if taken is None or not snapshot.settings_readable:
        return None
    seen = effect(taken, snapshot)
    return None if seen.reached else f"Milvus's balancer is not held off any more: {seen.message}"


def may_take_back(operation: Operation, record: StepRecord, snapshot: Snapshot, now: datetime) -> bool:
    """Whether the snapshot tells about a move that is to be taken back: nothing may be under way since.

    intended_at of an undoing lies ahead where Milvus may still be at work. Where the balancer was held off anew for the
    way back, it gets the same time for it as on the way there.
    """
    if record.intended_at is not None and snapshot.taken_at <= record.intended_at:
        return False
    held_anew = (
        one for one in operation.steps if one.step.kind is StepKind.RETURN_PLACEMENT and one.state is StepState.UNDONE
    )
    return all(settled(one.step.undo, one.finished_at, now) for one in held_anew)


def settled(part: Parameters, since: datetime | None, now: datetime) -> bool:
    """Whether Milvus has had the settleSeconds that this part of a step names; True where it names none."""
    seconds = integer(part, "settleSeconds")
    return not seconds or since is None or now - since >= timedelta(seconds=seconds)
