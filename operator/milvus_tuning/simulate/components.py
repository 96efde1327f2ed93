"""What of the model cluster is no QueryNode: the pods of the other components, and Milvus's keys in etcd.

pod          evicted, it is gone at once; another one comes in its place, and is ready after its start time
key          is set, and what was before us is kept beside it, until it is handed back
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from milvus_tuning.catalogue import ServerVersion, parse_version

STREAMING_SINCE = ServerVersion(2, 6, 0)
PODS: Mapping[str, int] = {"DataNode": 1, "MixCoord": 1, "Proxy": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPod:
    """A pod of a component, and since when its container runs."""

    component: str
    number: int
    started_at_seconds: float
    ready_at_seconds: float

    @property
    def pod(self) -> str:
        """The pod's name."""
        return f"{self.component.lower()}-{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelKey:
    """A key that the operator wrote, and what was there before it."""

    value: str | None
    previous: str | None
    written_at_seconds: float


@dataclass(slots=True, kw_only=True)
class ModelComponents:
    """The pods and the keys. start_seconds: from a pod's creation until it is ready. evicted: pods by component."""

    start_seconds: float
    pods: list[ModelPod] = field(default_factory=list)
    keys: dict[str, ModelKey] = field(default_factory=dict)
    evicted: Counter[str] = field(default_factory=Counter)
    _created: int = 0

    @classmethod
    def of(cls, version: str, *, start_seconds: float) -> ModelComponents:
        """Those of an install of this version; they run since long ago."""
        release, made = parse_version(version), cls(start_seconds=start_seconds)
        newer = release is not None and release >= STREAMING_SINCE
        for component, count in {**PODS, "StreamingNode" if newer else "IndexNode": 1}.items():
            for _ in range(count):
                made._create(component, at_seconds=-86_400.0)
        return made

    def evict(self, pod: str, *, at_seconds: float) -> bool:
        """Whether there was such a pod; another one is on its way then."""
        found = next((one for one in self.pods if one.pod == pod), None)
        if found is None:
            return False
        self.pods.remove(found)
        self.evicted[found.component] += 1
        self._create(found.component, at_seconds=at_seconds)
        return True

    def write(self, key: str, value: str | None, *, at_seconds: float) -> None:
        """The key gets the value. What was there before us is not ours any more, and its record goes."""
        before = self.keys.get(key)
        previous = None if before is None else before.previous
        if before is not None and previous == value:
            del self.keys[key]
        elif before is None or before.value != value:
            self.keys[key] = ModelKey(value=value, previous=previous, written_at_seconds=at_seconds)

    def _create(self, component: str, *, at_seconds: float) -> None:
        self._created += 1
        ready = at_seconds + self.start_seconds
        self.pods.append(
            ModelPod(component=component, number=self._created, started_at_seconds=at_seconds, ready_at_seconds=ready)
        )
