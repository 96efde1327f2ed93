"""How much can go wrong with a change, and how hard it is to take back.

    Low      a live key in its known range; the placement under a lease, or handed back
    Medium   QueryNodes more: they cost, and segments move to them
    High     a QueryNode less: Kubernetes has told the pod to stop, nobody can call it back;
             a key that carries consistency: searches may see older data, or wait for fresh data

A change has the highest class of its steps. Example: one step sets queryCoord.autoBalanceInterval (Low), another
common.gracefulTime (High): the change is High, and the reason names the second alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from milvus_tuning.catalogue import normalised
from milvus_tuning.decide.readback import integer
from milvus_tuning.plan import Risk, Step, StepKind

CONSISTENCY_KEYS = frozenset({normalised("common.gracefulTime")})


def risk_of(steps: Sequence[Step]) -> tuple[Risk, tuple[str, ...]]:
    """The highest class over the steps, and in words what each step of that class does; Low for no steps at all."""
    classes = [_class_of(step) for step in steps]
    highest = max((risk for risk, _ in classes), key=lambda risk: risk.rank, default=Risk.LOW)
    return highest, tuple(reason for risk, reason in classes if risk is highest)


def _class_of(step: Step) -> tuple[Risk, str]:
    match step.kind:
        case StepKind.SCALE_QUERY_NODES:
            return _class_of_size(step)
        case StepKind.DRAIN_QUERY_NODE:
            return Risk.LOW, f"{step.action.get('pod')} gets a mark, which can be taken off again"
        case StepKind.SET_CONFIG:
            return _class_of_key(str(step.action.get("key")))
        case StepKind.TAKE_PLACEMENT:
            return Risk.LOW, f"{step.action.get('key')} is set under a lease: without the operator it runs out"
        case StepKind.RETURN_PLACEMENT:
            return Risk.LOW, f"{step.action.get('key')} is handed back: Milvus balances as it did before"
        case _:
            assert_never(step.kind)


def _class_of_size(step: Step) -> tuple[Risk, str]:
    before, after = integer(step.precondition, "desiredCount"), integer(step.action, "count")
    change = f"{before} -> {after}"
    if before is not None and after is not None and after > before:
        return Risk.MEDIUM, f"QueryNodes more ({change}): they cost, and segments move to them"
    pod = step.verification.get("pod") or "a QueryNode"
    return Risk.HIGH, f"a QueryNode less ({change}): {pod} hands over its segments and cannot be called back"


def _class_of_key(key: str) -> tuple[Risk, str]:
    if normalised(key) in CONSISTENCY_KEYS:
        return Risk.HIGH, f"{key} carries consistency: it says how old the data of a search may be"
    return Risk.LOW, f"{key} is a live key: Milvus reads the former value again as soon as it is put back"
