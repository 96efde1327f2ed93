"""Decisions that change nothing, each with its reason, numbers and what was turned down."""

from __future__ import annotations

from datetime import datetime

from milvus_tuning.decide.size.context import Context
from milvus_tuning.decide.words import seconds
from milvus_tuning.plan import Decision, History, Operation, Reason, Rejection, StepKind


def nothing(context: Context, reason: Reason, message: str) -> Decision:
    """The size stays as it is."""
    return Decision(reason=reason, message=message, inputs=context.inputs(), desired_count=context.count)


def refused(
    context: Context, reason: Reason, message: str, alternative: str, limited: Reason | None = None
) -> Decision:
    """The size stays as it is although something else suggested itself."""
    return Decision(
        reason=reason,
        message=message,
        inputs=context.inputs(),
        rejected=(Rejection(alternative=alternative, reason=reason, message=message),),
        desired_count=context.count,
        limited=limited,
    )


def rest(context: Context, count: int, cooldown_seconds: int, why: str) -> Decision | None:
    """A rest after the last change of size, or None when it is over."""
    last = last_change_of_size(context.history)
    if last is None:
        return None
    passed_seconds = (context.now - last).total_seconds()
    if passed_seconds >= cooldown_seconds:
        return None
    kind = "ScaleOut" if count > context.count else "ScaleIn"
    message = (
        f"{why}; {context.count} -> {count} waits for the rest of {cooldown_seconds} s after the last operation, "
        f"which ended {seconds(passed_seconds)} ago"
    )
    return refused(context, Reason.COOLDOWN, message, f"{kind} {context.count} -> {count}")


def last_change_of_size(history: History) -> datetime | None:
    """When the last operation on the number of QueryNodes ended, however it ended."""
    ends = [operation.finished_at for operation in history.operations if changes_size(operation)]
    return max((end for end in ends if end is not None), default=None)


def changes_size(operation: Operation) -> bool:
    """Whether the operation was about the number of QueryNodes."""
    return any(record.step.kind is StepKind.SCALE_QUERY_NODES for record in operation.steps)
