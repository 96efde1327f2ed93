"""What a snapshot shows of the pods of a component that are replaced one at a time.

The next pod is named only while nothing of the component is missing:

    a pod is leaving, or fewer are there than the step was decided for    wait: its successor is on its way
    QueryNode: milvus-operator moves them from one slot to the other      wait: it replaces them itself
    a pod that is not to be replaced is not ready                         wait
    a pod that is to be replaced is not ready                             this one next: it serves nobody
    QueryNode: a sealed segment is not served by ready nodes              wait
    otherwise                                                             the first by name

Example: of proxy-a, proxy-b (both old) proxy-a goes; proxy-c comes and is not ready: wait; it is: proxy-b goes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from milvus_tuning.decide.seen.serving import not_served
from milvus_tuning.decide.seen.sight import Sight, View, integer
from milvus_tuning.decide.words import listed
from milvus_tuning.plan import Step
from milvus_tuning.snapshot import ComponentPod, Snapshot

QUERY_NODE = "QueryNode"
FORWARD, BACK = "Forward", "Back"
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def leads_back(step: Step) -> bool:
    """Whether a RestartComponent acts on the way back only."""
    return step.action.get("when") == BACK


def component_of(step: Step) -> str:
    """The component that a RestartComponent replaces, in the catalogue's word."""
    return str(step.action.get("component"))


def pods_of(component: str, snapshot: Snapshot) -> tuple[ComponentPod, ...]:
    """Its pods in the order of their names, those that leave too."""
    found = (pod for pod in snapshot.components if pod.component == component)
    return tuple(sorted(found, key=lambda pod: (pod.pod, pod.pod_uid)))


def running_since(pod: ComponentPod) -> datetime:
    """Since when the pod has the configuration that it has; long ago where nothing tells."""
    return max(pod.created_at or _LONG_AGO, pod.started_at or _LONG_AGO)


def look_at_component(step: Step, snapshot: Snapshot) -> View:
    """Whether the component has as many pods as the step was decided for."""
    component, count = component_of(step), integer(step.precondition, "count") or 0
    staying = [pod for pod in pods_of(component, snapshot) if not pod.terminating]
    if not staying:
        return View(sight=Sight.UNKNOWN, message=f"no pod of {component} is seen")
    message = f"{len(staying)} of {count} pods of {component} are there"
    if len(staying) < count:
        return View(sight=Sight.UNKNOWN, message=message)
    if len(staying) > count:
        message = f"{component} has {len(staying)} pods, not {count}: somebody else changed the number"
        return View(sight=Sight.FOREIGN, message=message)
    return View(sight=Sight.BEFORE, message=message)


def next_pod(step: Step, snapshot: Snapshot, is_due: Callable[[ComponentPod], bool]) -> ComponentPod | str | None:
    """The pod to be replaced next, or what is waited for, or None: none is due and the component is whole."""
    component, pods = component_of(step), pods_of(component_of(step), snapshot)
    count, leaving = integer(step.precondition, "count") or 1, [pod.pod for pod in pods if pod.terminating]
    if leaving:
        return f"{listed(leaving)} is leaving"
    if len(pods) < count:
        return f"{len(pods)} of {count} pods of {component} are there"
    outgoing = [pod.pod for pod in pods if pod.outgoing]
    if outgoing:
        return f"milvus-operator replaces {listed(outgoing)} from its other slot"
    starting = [pod.pod for pod in pods if not pod.ready and not is_due(pod)]
    if starting:
        return f"{listed(starting)} is not ready yet"
    due = sorted((pod for pod in pods if is_due(pod)), key=lambda pod: pod.ready)
    if due and not due[0].ready:
        return due[0]
    missing = not_served(snapshot) if component == QUERY_NODE else None
    return missing or (due[0] if due else None)


def still_due(step: Step, snapshot: Snapshot, is_due: Callable[[ComponentPod], bool]) -> int:
    """How many pods are to be replaced yet; one that is leaving is not."""
    return sum(1 for pod in pods_of(component_of(step), snapshot) if not pod.terminating and is_due(pod))
