"""Milvus's processes beside what etcd and the install hold, for the tests of settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from milvus_tuning.catalogue.reading import catalogue
from milvus_tuning.snapshot import ComponentPod, ReadBack, Snapshot

COMPONENTS = ("DataNode", "MixCoord", "Proxy", "QueryNode", "StreamingNode")
LONG_AGO = timedelta(days=1)


def a_component(component: str, pod: str = "", *, started_at: datetime | None) -> ComponentPod:
    """A pod of a component that runs since then."""
    name = pod or component.lower()
    return ComponentPod(component=component, pod=name, pod_uid=f"uid-of-{name}", started_at=started_at)


def running(
    snapshot: Snapshot, *, components: Sequence[str] = COMPONENTS, started_at: datetime | None = None
) -> Snapshot:
    """The same with a pod of each component that runs (for a day) and shows what its sources say, as Milvus does."""
    since = started_at or snapshot.taken_at - LONG_AGO
    pods = tuple(a_component(one, started_at=since) for one in components)
    stored = {key: entry.value for key, entry in snapshot.settings.items()}
    values = {**snapshot.install_config, **snapshot.environment_config, **stored}
    asked = tuple(catalogue().keys)
    return replace(
        snapshot, components=pods, read_back=tuple(ReadBack(pod=one.pod, values=values, asked=asked) for one in pods)
    )
