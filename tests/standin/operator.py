"""The loop of the stand-in: one pass over each Milvus object, as milvus-operator goes over it.

What a tuner has to live with is imitated: the spec is written back with defaults by Update under the manager name
`manager`; scale-out happens at once, scale-in by one QueryNode per step and without waiting for a drain; the replica
count of a Deployment that somebody else changed is put back; -1 and the pause annotation are respected; QueryNodes are
replaced from one slot to the other (rolling.py); status comes late.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from tests.standin import objects, rolling
from tests.standin.kube import Kube, Object, Refused

_log = logging.getLogger(__name__)


class StandIn:
    """The operator of all Milvus objects of one namespace."""

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        *,
        image: str,
        step_seconds: float = 15.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._image = image
        self._step_seconds = step_seconds
        self._monotonic = monotonic
        self._next_step: dict[str, float] = {}  # Deployment -> when its next scale-in step may be made

    def run_pass(self) -> None:
        """One pass over every object. A conflict is left to the next pass, as is anything else that fails."""
        found = self._kube.read(self._milvus_path(""))
        for milvus in found["items"] if found else []:
            try:
                self._reconcile(milvus)
            except Refused as refused:
                _log.warning("pass over %s ended early: %s", milvus["metadata"]["name"], refused)

    def _reconcile(self, milvus: Object) -> None:
        name = milvus["metadata"]["name"]
        if milvus["metadata"].get("deletionTimestamp"):
            self._finish(milvus)
            return
        live = self._deployments(milvus)
        if milvus["metadata"].get("annotations", {}).get(objects.PAUSE_ANNOTATION) == "true":
            return
        wanted = objects.with_defaults(milvus)
        if wanted != milvus:
            self._kube.replace(self._milvus_path(name), wanted)
            return  # the write wakes the next pass
        self._ensure("/api/v1", "configmaps", objects.config_map(milvus))
        self._ensure("/api/v1", "services", objects.service(milvus))
        rolls = self._roll(milvus, live)
        wanted = {key: one for key, one in self._wanted(milvus).items() if not (rolls and _is_slot(one))}
        followed = [self._follow(one, live.get(key)) for key, one in wanted.items()]
        self._report(milvus, settled=all(followed) and not rolls)

    def _wanted(self, milvus: Object) -> dict[str, Object]:
        return objects.deployments(milvus, self._image)

    def _roll(self, milvus: Object, live: dict[str, Object]) -> bool:
        """One step of replacing the QueryNodes; whether there is such a thing now."""
        slots = {one["metadata"]["labels"][rolling.SLOT_LABEL]: one for one in live.values() if _is_slot(one)}
        if len(slots) < 2 or milvus["spec"]["components"]["queryNode"]["replicas"] < 0:
            return False
        template = objects.query_node_template(milvus, rolling.active_slot(milvus), self._image)
        step = rolling.next_step(milvus, slots, template, self._query_node_pods(milvus))
        match step:
            case rolling.Begin(slot=slot):
                generation = milvus["metadata"]["generation"]
                self._write(objects.with_template(slots[slot], template, generation))
                self._mark(milvus, slot, str(generation) if _any_runs(slots) else None)
            case rolling.Scale(slot=slot, count=count):
                self._write({**slots[slot], "spec": slots[slot]["spec"] | {"replicas": count}})
            case rolling.Finish():
                self._mark(milvus, rolling.active_slot(milvus), None)
        return step is not None

    def _mark(self, milvus: Object, slot: str, rolling_id: str | None) -> None:
        """Write on the Milvus object which slot is current, and whether it is rolled to."""
        metadata = milvus["metadata"]
        labels = {name: value for name, value in metadata.get("labels", {}).items() if name != rolling.ROLLING_LABEL}
        metadata["labels"] = labels | ({} if rolling_id is None else {rolling.ROLLING_LABEL: rolling_id})
        metadata["annotations"] = metadata.get("annotations", {}) | {rolling.SLOT_ANNOTATION: slot}
        written = self._kube.replace(self._milvus_path(metadata["name"]), milvus)
        metadata["resourceVersion"] = written["metadata"]["resourceVersion"]

    def _write(self, deployment: Object) -> None:
        name = deployment["metadata"]["name"]
        self._kube.replace(f"/apis/apps/v1/namespaces/{self._namespace}/deployments/{name}", deployment)

    def _query_node_pods(self, milvus: Object) -> list[Object]:
        found = self._kube.read(f"/api/v1/namespaces/{self._namespace}/pods") or {"items": []}
        asked = {"app.kubernetes.io/instance": milvus["metadata"]["name"], "app.kubernetes.io/component": "querynode"}
        return [pod for pod in found["items"] if asked.items() <= pod["metadata"].get("labels", {}).items()]

    def _deployments(self, milvus: Object) -> dict[str, Object]:
        path = f"/apis/apps/v1/namespaces/{self._namespace}/deployments"
        found = self._kube.read(path)
        owner = milvus["metadata"]["uid"]
        return {
            one["metadata"]["name"]: one
            for one in (found["items"] if found else [])
            if any(reference["uid"] == owner for reference in one["metadata"].get("ownerReferences", []))
        }

    def _follow(self, wanted: Object, live: Object | None) -> bool:
        """Bring one Deployment a step nearer to its count; whether it is there."""
        path, name = f"/apis/apps/v1/namespaces/{self._namespace}/deployments", wanted["metadata"]["name"]
        target = wanted["spec"]["replicas"]
        if live is None:
            created = {**wanted, "spec": wanted["spec"] | {"replicas": 0 if "querynode" in name else max(target, 0)}}
            self._kube.create(path, created)
            return False
        count = live["spec"]["replicas"]
        if target < 0 or count == target:
            return True
        if count > target and self._monotonic() < self._next_step.get(name, 0.0):
            return False
        live["spec"]["replicas"] = target if target > count else count - 1
        self._kube.replace(f"{path}/{name}", live)
        if target < count:
            self._next_step[name] = self._monotonic() + self._step_seconds
        return bool(live["spec"]["replicas"] == target)

    def _ensure(self, group: str, plural: str, wanted: Object) -> None:
        """Create an object, or write its data over what is there."""
        path, name = f"{group}/namespaces/{self._namespace}/{plural}", wanted["metadata"]["name"]
        live = self._kube.read(f"{path}/{name}")
        if live is None:
            self._kube.create(path, wanted)
        elif "data" in wanted and live.get("data", {}).get("user.yaml") != wanted["data"]["user.yaml"]:
            live["data"] = live.get("data", {}) | wanted["data"]
            self._kube.replace(f"{path}/{name}", live)

    def _report(self, milvus: Object, *, settled: bool) -> None:
        live = self._deployments(milvus)
        after = objects.status(milvus, live, settled=settled, now=datetime.now(UTC))  # noqa: TID251
        if after != milvus.get("status"):
            path = f"{self._milvus_path(milvus['metadata']['name'])}/status"
            self._kube.replace(path, {**milvus, "status": after})

    def _finish(self, milvus: Object) -> None:
        """Take away what was made, then let the object go."""
        if objects.FINALIZER not in milvus["metadata"].get("finalizers", []):
            return
        for name in self._deployments(milvus):
            self._kube.delete(f"/apis/apps/v1/namespaces/{self._namespace}/deployments/{name}")
        milvus["metadata"]["finalizers"].remove(objects.FINALIZER)
        self._kube.replace(self._milvus_path(milvus["metadata"]["name"]), milvus)

    def _milvus_path(self, name: str) -> str:
        path = f"/apis/milvus.io/v1beta1/namespaces/{self._namespace}/milvuses"
        return f"{path}/{name}" if name else path


def _is_slot(deployment: Object) -> bool:
    return rolling.SLOT_LABEL in deployment["metadata"]["labels"]


def _any_runs(slots: dict[str, Object]) -> bool:
    return any(one["spec"]["replicas"] for one in slots.values())
