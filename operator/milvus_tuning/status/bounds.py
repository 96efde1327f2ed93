"""The 64 KiB that a status may take, and what goes first where it would be larger.

Most of a status is its history. A plan that moved segments has up to ten steps, each naming its segments in all four
parts: 9 KiB for eight moves, and twenty such plans would be 180 KiB. Once such a plan is over, its steps keep what was
moved from where to where (0.3 KiB each), which is all that later decisions and `milvus-tuning history` read of them.

What is still too large loses, in this order: rows of heat and ping-pong from the cold end (20, 10, 5), the ends of what
is said of settings, the oldest plans of the history, the last rows, the last settings. The plans themselves are objects
of their own and keep everything.
"""

from __future__ import annotations

from collections.abc import Iterator

from milvus_tuning.api import MilvusTuningStatus, OperationStatus, StepStatus
from milvus_tuning.plan import StepKind, StepState

LARGEST_STATUS_BYTES = 64 * 1024
FEWER_ROWS = (10, 5)
LEAST_HISTORY = 5
SHORTER_MESSAGES = (512, 128)
FEWER_SETTINGS = (40, 10)


def fitted(status: MilvusTuningStatus, *, largest_bytes: int = LARGEST_STATUS_BYTES) -> MilvusTuningStatus:
    """The status, or the first of the smaller ones that fits; the smallest where none does."""
    found = status
    for smaller in _ever_smaller(status):
        found = smaller
        if len(found.model_dump_json(by_alias=True, exclude_none=True).encode()) <= largest_bytes:
            break
    return found


def remembered(entry: OperationStatus) -> OperationStatus:
    """A finished plan as history keeps it: of moves what was moved, without proof, way back, times and success."""
    return entry.model_copy(update={"steps": [_remembered(step) for step in entry.steps]})


def _remembered(step: StepStatus) -> StepStatus:
    if step.kind != StepKind.MOVE_SEGMENTS:
        return step
    source = {"pod": (step.precondition or {}).get("pod")}
    less = {"precondition": source, "verification": None, "undo": None, "intended_at": None, "finished_at": None}
    return step.model_copy(update=less | ({"message": ""} if step.state == StepState.DONE else {}))


def _ever_smaller(status: MilvusTuningStatus) -> Iterator[MilvusTuningStatus]:
    yield status
    for rows in FEWER_ROWS:
        status = _with_rows(status, rows)
        yield status
    for length in SHORTER_MESSAGES:
        status = _with_messages(status, length)
        yield status
    history = status.history or []
    for oldest in range(1, len(history) - LEAST_HISTORY + 1):
        yield status.model_copy(update={"history": history[oldest:]})
    status = _with_rows(status.model_copy(update={"history": history[-LEAST_HISTORY:] or None}), 0)
    yield status
    for count in FEWER_SETTINGS:
        yield status.model_copy(update={"config": (status.config or [])[:count] or None})


def _with_messages(status: MilvusTuningStatus, length: int) -> MilvusTuningStatus:
    """The status with at most so many characters said of each setting."""
    shorter = [one.model_copy(update={"message": one.message[:length]}) for one in status.config or []]
    return status.model_copy(update={"config": shorter or None})


def _with_rows(status: MilvusTuningStatus, rows: int) -> MilvusTuningStatus:
    """The status with at most so many rows of heat and of ping-pong."""
    heat = status.heat
    if heat is not None:
        fewer = {field: (getattr(heat, field) or [])[:rows] or None for field in ("collections", "segments")}
        heat = heat.model_copy(update=fewer)
    return status.model_copy(update={"heat": heat, "ping_pong": (status.ping_pong or [])[:rows] or None})
