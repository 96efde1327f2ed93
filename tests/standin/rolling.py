"""How milvus-operator replaces QueryNodes: from the Deployment of one slot to that of the other, one node more.

A template that is new goes into the idle slot, the annotation names that slot, and a label marks the roll. Then, each
time that both slots are stable, one step: with as many QueryNodes as asked for one more on the new slot, with more one
less on the old one. It is over when the old slot has no pod at all. With other limits of resources the new slot comes
to its full count first. A template that the other slot still has turns the roll round; any other one waits for its end.

    asked for 2      old 2, new 0    old 2, new 1    old 1, new 1    old 1, new 2    old 0, new 2    the label goes
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.standin.kube import Object

SLOT_ANNOTATION = "milvus.io/querynode-current-group-id"
ROLLING_LABEL = "milvus.io/querynode-rolling-id"
GENERATION_ANNOTATION = "milvus.io/generation"
SLOT_LABEL = "milvus.io/querynode-group-id"


@dataclass(frozen=True, kw_only=True)
class Begin:
    """Put the template into this slot and make it the current one."""

    slot: str


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Set the count of this slot."""

    slot: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Finish:
    """Take the label away."""


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Nothing may be done until the slots are stable, or their pods are gone."""


Step = Begin | Scale | Finish | Wait


def active_slot(milvus: Object) -> str:
    """The slot whose Deployment carries the QueryNodes, "0" or "1"."""
    return str(milvus["metadata"].get("annotations", {}).get(SLOT_ANNOTATION, "0"))


def is_rolling(milvus: Object) -> bool:
    """Whether the label of a roll is there."""
    return ROLLING_LABEL in milvus["metadata"].get("labels", {})


def next_step(milvus: Object, slots: Mapping[str, Object], template: Object, pods: Sequence[Object]) -> Step | None:
    """The next step of a roll; None where there is none, and the count is followed as ever.

    slots are the live Deployments by slot, pods those of all QueryNodes.
    """
    current = active_slot(milvus)
    other = "1" if current == "0" else "0"
    new, old = slots[current], slots[other]
    if not _same(new, template) and _same(old, template):
        return Begin(slot=other)
    if is_rolling(milvus) and _over(milvus, new, old, [pod for pod in pods if _slot(pod) == other]):
        return Finish()
    if is_rolling(milvus) or (new["spec"]["replicas"] and old["spec"]["replicas"]):
        stable = _stable(new, pods, current) and _stable(old, pods, other)
        return _scale(milvus, new, old) or Wait() if stable else Wait()
    if _same(new, template):
        return None
    return Begin(slot=other if new["spec"]["replicas"] else current)


def _scale(milvus: Object, new: Object, old: Object) -> Step | None:
    wanted = milvus["spec"]["components"]["queryNode"]["replicas"]
    ahead, behind = new["spec"]["replicas"], old["spec"]["replicas"]
    less = Scale(slot=_slot(old), count=behind - 1)
    if not behind:
        return Scale(slot=_slot(new), count=wanted) if ahead < wanted else None  # never in while it rolls
    if _limits(new) != _limits(old):
        full = max(behind, wanted)
        return Scale(slot=_slot(new), count=full) if ahead < full else less
    if ahead + behind > wanted:
        return less
    return Scale(slot=_slot(new), count=ahead + max(1, wanted - ahead - behind))


def _over(milvus: Object, new: Object, old: Object, left: Sequence[Object]) -> bool:
    wanted = milvus["spec"]["components"]["queryNode"]["replicas"]
    whole = wanted <= new["spec"]["replicas"] and _up_to_date(new)
    return whole and not old["spec"]["replicas"] and _up_to_date(old) and not left


def _stable(deployment: Object, pods: Sequence[Object], slot: str) -> bool:
    leaving = any(pod["metadata"].get("deletionTimestamp") for pod in pods if _slot(pod) == slot)
    return _up_to_date(deployment) and not leaving


def _up_to_date(deployment: Object) -> bool:
    status, count = deployment.get("status", {}), deployment["spec"]["replicas"]
    counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")}
    return status.get("observedGeneration") == deployment["metadata"]["generation"] and counts == {count}


def _slot(found: Object) -> str:
    return str(found["metadata"]["labels"].get(SLOT_LABEL, ""))


def _limits(deployment: Object) -> Object:
    limits: Object = deployment["spec"]["template"]["spec"]["containers"][0].get("resources", {}).get("limits", {})
    return limits


def _same(deployment: Object, template: Object) -> bool:
    return _shape(deployment["spec"]["template"]) == _shape(template)


def _shape(template: Object) -> str:
    """What the template says, without its slot and without what the API server adds."""
    metadata, spec = template["metadata"], template["spec"]
    container = spec["containers"][0]
    labels = {name: value for name, value in metadata["labels"].items() if name != SLOT_LABEL}
    parts = (metadata.get("annotations") or {}, labels, spec.get("affinity"), spec.get("topologySpreadConstraints"))
    return json.dumps(
        [*parts, container["image"], container.get("env"), container.get("resources") or {}], sort_keys=True
    )
