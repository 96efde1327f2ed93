"""How much can go wrong with a change, and how hard it is to take back.

    Low      a live key in its known range; the placement under a lease, or handed back; a row-neutral swap of segments,
             which Milvus's balancer leaves alone: the plan holds it off meanwhile and lets it go again
    Medium   QueryNodes more: they cost, and segments move to them; segments moved where the policy places them;
             an in-memory replica more: it takes the collection's memory once more;
             a key whose effect or range is inferred, neither read in Milvus's source nor run
    High     a QueryNode less: Kubernetes has told the pod to stop, nobody can call it back;
             an in-memory replica less: it takes its load onto the others, and loading it again takes its time;
             a key or level that carries consistency: searches may see older data, or wait for fresh data;
             pods that are replaced: what they serve is served by fewer meanwhile, and by nobody where there is one;
             a zone that QueryNodes prefer: milvus-operator replaces them all for it

A change has the highest class of its steps. Example: one step sets queryCoord.autoBalanceInterval (Low), another
common.gracefulTime (High): the change is High, and the reason names the second alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from milvus_tuning.catalogue import normalised
from milvus_tuning.decide.config.keys import is_inferred
from milvus_tuning.decide.readback import integer
from milvus_tuning.decide.seen.pods import leads_back
from milvus_tuning.plan import Risk, Step, StepKind, segment_ids
from milvus_tuning.snapshot import COORDINATORS, MIX_COORD

_ALONE = {"Proxy": "all searches and writes fail", "DataNode": "no data is written to storage"}
_ALONE |= dict.fromkeys((MIX_COORD, *COORDINATORS), "requests wait or fail")
_IDLE = "nobody does its work"
CONSISTENCY_KEYS = frozenset({normalised("common.gracefulTime")})


def risk_of(steps: Sequence[Step]) -> tuple[Risk, tuple[str, ...]]:
    """The highest class over the steps, and in words what each step of that class does; Low for no steps at all."""
    swaps = any(step.kind is StepKind.RETURN_PLACEMENT for step in steps)
    classes = [
        _class_of_moves(step, swaps) if step.kind is StepKind.MOVE_SEGMENTS else _class_of(step) for step in steps
    ]
    highest = max((risk for risk, _ in classes), key=lambda risk: risk.rank, default=Risk.LOW)
    return highest, tuple(reason for risk, reason in classes if risk is highest)


def _class_of(step: Step) -> tuple[Risk, str]:
    match step.kind:
        case StepKind.SCALE_QUERY_NODES:
            return _class_of_size(step)
        case StepKind.DRAIN_QUERY_NODE:
            return Risk.LOW, f"{step.action.get('pod')} gets a mark, which can be taken off again"
        case StepKind.SET_CONFIG | StepKind.SET_COLLECTION_PROPERTY:
            return _class_of_setting(step)
        case StepKind.SET_REPLICA_NUMBER:
            return _class_of_replicas(step)
        case StepKind.RESTART_COMPONENT | StepKind.SET_SCHEDULING:
            return _class_of_restart(step)
        case StepKind.TAKE_PLACEMENT | StepKind.RETURN_PLACEMENT:
            return _class_of_placement(step)
        case _:
            raise ValueError(f"{step.kind} has no class of its own")


def _class_of_placement(step: Step) -> tuple[Risk, str]:
    key = step.action.get("key")
    if step.kind is StepKind.TAKE_PLACEMENT:
        return Risk.LOW, f"{key} is set under a lease: without the operator it runs out"
    return Risk.LOW, f"{key} is handed back: Milvus balances as it did before"


def _class_of_moves(step: Step, swaps: bool) -> tuple[Risk, str]:
    count, way = len(segment_ids(step.action)), f"{step.precondition.get('pod')} to {step.action.get('pod')}"
    moved = f"{count} segment{'' if count == 1 else 's'} from {way}"
    if swaps:
        return Risk.LOW, f"row-neutral swap: {moved}"
    return Risk.MEDIUM, f"moves {moved}: each is loaded there before it is released here"


def _class_of_replicas(step: Step) -> tuple[Risk, str]:
    before, after = integer(step.precondition, "count"), integer(step.action, "count")
    name = f"{step.action.get('database')}.{step.action.get('collection')} ({before} -> {after})"
    if before is not None and after is not None and after > before:
        return Risk.MEDIUM, f"in-memory replicas more of {name}: each takes the memory of the whole collection"
    return Risk.HIGH, f"in-memory replicas less of {name}: the others carry its load, and it is gone at once"


def _class_of_setting(step: Step) -> tuple[Risk, str]:
    level = step.kind is StepKind.SET_COLLECTION_PROPERTY
    return _class_of_level(step) if level else _class_of_key(step)


def _class_of_level(step: Step) -> tuple[Risk, str]:
    name = f"{step.action.get('database')}.{step.action.get('collection')}"
    before, after = step.precondition.get("value"), step.verification.get("value")
    if before is not None and before == after:
        return Risk.LOW, f"the level of {name} stays {after}: only the record of a former one goes"
    change = f"consistency level of {name}: {before} -> {after}"
    return Risk.HIGH, f"{change}: what a search that names none waits for, and how old its data may be"


def _class_of_restart(step: Step) -> tuple[Risk, str]:
    component, count = str(step.action.get("component")), integer(step.precondition, "count")
    if step.kind is StepKind.SET_SCHEDULING:
        return Risk.HIGH, f"milvus-operator replaces all {count} QueryNodes for it, one at a time: each loads anew"
    if leads_back(step):
        return Risk.LOW, f"{component} is restarted again only where the change is taken back"
    if count != 1:
        return Risk.HIGH, f"restarts {component}: {count} pods, one at a time"
    return Risk.HIGH, f"restarts {component}: 1 pod, so {_ALONE.get(component, _IDLE)} until another one is ready"


def _class_of_size(step: Step) -> tuple[Risk, str]:
    before, after = integer(step.precondition, "desiredCount"), integer(step.action, "count")
    change = f"{before} -> {after}"
    if before is not None and after is not None and after > before:
        return Risk.MEDIUM, f"QueryNodes more ({change}): they cost, and segments move to them"
    pod = step.verification.get("pod") or "a QueryNode"
    return Risk.HIGH, f"a QueryNode less ({change}): {pod} hands over its segments and cannot be called back"


def _class_of_key(step: Step) -> tuple[Risk, str]:
    key = str(step.action.get("key"))
    inferred = is_inferred(step)
    doubt = "; its effect or range is inferred, not read or run" if inferred else ""
    if normalised(key) in CONSISTENCY_KEYS:
        return Risk.HIGH, f"{key} carries consistency: it says how old the data of a search may be{doubt}"
    if inferred:
        return Risk.MEDIUM, f"{key} is set{doubt}"
    return Risk.LOW, f"{key} is a live key: Milvus reads the former value again as soon as it is put back"
