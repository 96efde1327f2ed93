"""What the last moves of segments teach: how many may be moved at once, and whether they stayed.

How many: at most 4 at first, more after each plan that was kept, half after one that did harm or did not go through.
It follows from the history alone, so a restart of the operator changes nothing.

    start min(4, maxMovesPerPlan); Kept +1 (in pairs +2); RolledBack or not gone through: half, at least 2

With maxMovesPerPlan 8: 4, Kept 5, Kept 6, RolledBack 3, Kept 4. In pairs 4, 6, 8, 4, 6. A plan that a person called off
says nothing about how many are too many.

Whether they stayed: half of the segments or more of the last plan are not where it put them. Then Milvus's balancer
undid it (it evens out rows), or compaction made new segments of them, which Milvus places anew. Whatever is moved next
would go the same way, so nothing is moved for an hour. A destination that is gone says nothing.

Whether they did harm: moves that were taken back because searches fared worse would do the same harm again, whichever
segments they were. So nothing is moved for an hour either, while the policy asks for the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from milvus_tuning.decide.config.rollbacks import ended_at
from milvus_tuning.decide.readback import find_pod
from milvus_tuning.plan import Operation, Reason, Step, StepKind, StepState, Verdict
from milvus_tuning.snapshot import Snapshot

FIRST_MOVES = 4
LEAST_MOVES = 2
UNDONE_COUNTS = timedelta(hours=1)
TAKEN_BACK_COUNTS = timedelta(hours=1)
UNDONE_SHARE = 0.5  # a few of them may have been compacted; that says nothing about the rest
_STAYED = frozenset({Verdict.KEPT, Verdict.INCONCLUSIVE})
_NOT_FAILED = frozenset({None, Reason.COMPLETED, Reason.CANCELLED})  # None: it still runs
_MOVED = frozenset({StepState.APPLIED, StepState.DONE})


@dataclass(frozen=True, kw_only=True, slots=True)
class Undone:
    """Segments of the last plan of moves that are not where it put them: elsewhere, or no more there at all."""

    operation: Operation
    moved: int
    elsewhere: tuple[int, ...]
    gone: tuple[int, ...]


def most_moves(operations: Sequence[Operation], *, most: int, in_pairs: bool) -> int:
    """How many segments the next plan may move (operations newest last); even where the moves come in pairs."""
    limit = min(FIRST_MOVES, most)
    for operation in operations:
        if moves_segments(operation):
            limit = _after(operation, limit, 2 if in_pairs else 1)
            limit = min(most, max(LEAST_MOVES, limit))
    return limit - limit % 2 if in_pairs else limit


def moves_segments(operation: Operation) -> bool:
    """Whether the operation was about segments."""
    return any(record.step.kind is StepKind.MOVE_SEGMENTS for record in operation.steps)


def failed(operation: Operation) -> bool:
    """Whether it did harm or did not go through; one that still runs, or was called off, did not fail."""
    return operation.verdict is Verdict.ROLLED_BACK or operation.outcome not in _NOT_FAILED


def called_off(operation: Operation) -> bool:
    """Whether a person ended it."""
    return operation.outcome is Reason.CANCELLED


def last_moves(operations: Sequence[Operation]) -> Operation | None:
    """The last operation that was about segments, or None."""
    return next((one for one in reversed(operations) if moves_segments(one)), None)


def undone(operations: Sequence[Operation], snapshot: Snapshot, now: datetime) -> Undone | None:
    """The last moves, where they did not stay and that was found within an hour of their end; else None."""
    last = last_moves(operations)
    if last is None or last.verdict not in _STAYED or last.finished_at is None:
        return None
    if now - last.finished_at >= UNDONE_COUNTS:
        return None
    placed = list(_placed(last, snapshot))
    served = {segment.segment_id: segment.node_ids for segment in snapshot.segments}
    gone = sorted(segment for segment, _ in placed if segment not in served)
    elsewhere = sorted(segment for segment, node_id in placed if segment in served and node_id not in served[segment])
    if not placed or len(gone) + len(elsewhere) < UNDONE_SHARE * len(placed):
        return None
    return Undone(operation=last, moved=len(placed), elsewhere=tuple(elsewhere), gone=tuple(gone))


def fills(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """Those that filled a new QueryNode: what other moves did says nothing about one that serves nothing."""
    return tuple(one for one in operations if one.reason is Reason.NEW_NODE)


def taken_back(operations: Sequence[Operation], intent_digest: str, now: datetime) -> Operation | None:
    """The newest moves that were rolled back within the last hour under these parts of the spec, or None."""
    harmful = (
        one
        for one in operations
        if moves_segments(one)
        and one.verdict is Verdict.ROLLED_BACK
        and one.intent_digest == intent_digest
        and now - ended_at(one) < TAKEN_BACK_COUNTS
    )
    return max(harmful, key=ended_at, default=None)


def segments_of(step: Step) -> tuple[int, ...]:
    """The segment ids that a MoveSegments step names."""
    return tuple(int(one) for one in str(step.action.get("segments") or "").split() if one.isdecimal())


def _after(operation: Operation, limit: int, step: int) -> int:
    if failed(operation):
        return limit // 2
    return limit + step if operation.verdict is Verdict.KEPT else limit


def _placed(operation: Operation, snapshot: Snapshot) -> Iterator[tuple[int, int]]:
    """Segments and the Milvus nodes that they were moved to, where those are still there."""
    for record in operation.steps:
        step = record.step
        if step.kind is not StepKind.MOVE_SEGMENTS or record.state not in _MOVED:
            continue
        node = find_pod(snapshot, step.action.get("pod"), step.action.get("podUid"))
        if node is None or node.node_id is None:
            continue
        for segment_id in segments_of(step):
            yield segment_id, node.node_id
