"""What the running processes show of a key, where its value comes from, and who has read it at start.

Milvus takes a value from etcd before one from an environment variable, and that before one from a file. What a process
shows of its configuration is what its sources say now: for a key that it reads again that is what acts, for a key that
it read at start it is so only in a process that started after the value was written. Worked example:

    proxy.maxTaskNum, read at start, written at 12:00; proxy-1 runs since 11:00, proxy-2 since 12:03, both show it
    proxy-1 still works by the former value: the key is not in force until proxy-1 has restarted, too
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from milvus_tuning.catalogue import EVERY_COMPONENT, Intent, normalised
from milvus_tuning.decide.config.road import ETCD, SETTLE_SECONDS
from milvus_tuning.decide.config.wishes import View, Wish
from milvus_tuning.snapshot import COORDINATORS, MIX_COORD, ComponentPod, EtcdSetting, Snapshot

IN_ETCD, IN_ENVIRONMENT, IN_FILE, BY_DEFAULT, ELSEWHERE = "etcd", "environment", "file", "default", "file or default"
CLOCKS = timedelta(minutes=1)  # what the clocks of machines may differ by; Kubernetes asks for much less
STILL_MOVING = timedelta(minutes=15)
"""Within it a move of before may be seen: what a snapshot knows of a placement may be 10 minutes old (ping_pong.LATE),
and Milvus gives a task 2 minutes (queryCoord.segmentTaskTimeout)."""
_INDEX_NODE, _DATA_NODE = "IndexNode", "DataNode"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What the processes of a component say of one key: by pod, in order of name; None where it has no value there.

    acting are the pods whose value was seen in what they do: it is in force there, whenever they started.
    """

    values: tuple[tuple[str, str | None], ...]
    acting: frozenset[str] = frozenset()

    def other(self, wish: Wish) -> tuple[str, str] | None:
        """The first pod that shows another value than the desired one, and that value."""
        return next(((pod, value) for pod, value in self.values if value is not None and not wish.same(value)), None)

    @property
    def without(self) -> tuple[str, ...]:
        """The pods that were asked and have no value for it."""
        return tuple(pod for pod, value in self.values if value is None)

    def acts(self, pod: str, wish: Wish) -> bool:
        """Whether what the pod does shows the desired value."""
        return pod in self.acting and any(one == pod and value and wish.same(value) for one, value in self.values)

    def proves(self, wish: Wish) -> bool:
        """Whether a process was asked, and all that were show the desired value."""
        return bool(self.values) and not self.without and self.other(wish) is None


def components_of(text: str, snapshot: Snapshot) -> tuple[str, ...]:
    """The components that run in this install, of those that the catalogue names; coordinators may run as one."""
    running = sorted({pod.component for pod in snapshot.components})
    if text == EVERY_COMPONENT:
        return tuple(running)
    found = [part for word in re.split(r", | and ", text) for part in _runs_as(word, running)]
    return tuple(dict.fromkeys(found))


def readers(component: str, snapshot: Snapshot) -> tuple[ComponentPod, ...]:
    """The pods that read the key and stay, by name."""
    names = components_of(component, snapshot)
    pods = (pod for pod in snapshot.components if pod.component in names and not pod.terminating)
    return tuple(sorted(pods, key=lambda pod: pod.pod))


def shown(wish: Wish, snapshot: Snapshot) -> Shown:
    """What the running processes that read the key say of it.

    Where none of them was asked, those that show it: they read the same etcd. A proxy can be probed at most, and a
    QueryNode is not asked for `queryCoord.overloadedMemoryThresholdPercentage`, though it reads it.
    """
    name = normalised(wish.name)
    pods = {pod.pod for pod in readers(wish.component, snapshot)}
    told = sorted((one for one in snapshot.read_back if one.tells(name)), key=lambda one: one.pod)
    asked = [one for one in told if one.pod in pods] or [one for one in told if name in one.values]
    return Shown(
        values=tuple((one.pod, one.values.get(name)) for one in asked),
        acting=frozenset(one.pod for one in asked if name in one.acting),
    )


def started_before(pods: Sequence[ComponentPod], since: datetime) -> tuple[str, ...]:
    """The pods whose process started before this moment; of one that does not run yet nothing is to be feared.

    Kubernetes tells whole seconds, cut off: who started at 12:00:05 may have done so at 12:00:05.9, after a write at
    12:00:05.2. Who started in the second of the write counts as after it, since Milvus reads etcd well after the start
    of its container.
    """
    second = since.replace(microsecond=0)
    return tuple(
        pod.pod
        for pod in pods
        if (pod.started_at is None and pod.ready) or (pod.started_at is not None and pod.started_at < second)
    )


def written_at(wish: Wish, stored: EtcdSetting, view: View) -> datetime | None:
    """When we wrote the value that is stored; None where it is not ours, or the record does not say."""
    owned = view.owned.get(wish.key)
    return owned.written_at if owned is not None and owned.written == stored.value else None


def is_settling(wish: Wish, stored: EtcdSetting, view: View) -> bool:
    """Whether it was written so lately that processes may not have read it yet."""
    since = written_at(wish, stored, view)
    return since is not None and (view.now - since).total_seconds() < SETTLE_SECONDS[view.road]


def moved_all_the_same(wish: Wish, stored: EtcdSetting, view: View) -> str | None:
    """What Milvus's balancer was seen to do although we have switched it off, in words; None where it holds still."""
    since = written_at(wish, stored, view)
    if wish.intent != Intent.PLACEMENT_OWNER or not wish.same("false") or since is None or view.moved is None:
        return None
    if view.moved.at - since <= STILL_MOVING:
        return None
    return f"stored in etcd since {since:%Y-%m-%dT%H:%M:%SZ}, and Milvus moves segments all the same: {view.moved}"


def beside_etcd(name: str, snapshot: Snapshot) -> tuple[str | None, str]:
    """The value that the install itself gives a key, and where: an environment variable goes before a file."""
    key = normalised(name)
    if key in snapshot.environment_config:
        return snapshot.environment_config[key], IN_ENVIRONMENT
    if key in snapshot.install_config:
        return snapshot.install_config[key], IN_FILE
    return None, BY_DEFAULT if snapshot.install_config else ELSEWHERE


def above(name: str, view: View) -> tuple[str, str] | None:
    """The value that goes before the road, and where it is: etcd and the environment before a file; None: nothing."""
    if view.road is ETCD:
        return None
    key, snapshot = normalised(name), view.snapshot
    if key in snapshot.settings:
        return snapshot.settings[key].value, IN_ETCD
    return (snapshot.environment_config[key], IN_ENVIRONMENT) if key in snapshot.environment_config else None


def beside(name: str, view: View) -> tuple[str | None, str]:
    """The value that a key has from elsewhere than its road, and where."""
    return above(name, view) or beside_etcd(name, view.snapshot)


def _runs_as(word: str, running: Sequence[str]) -> tuple[str, ...]:
    if word in running:
        return (word,)
    if word in COORDINATORS and MIX_COORD in running:
        return (MIX_COORD,)
    if word == MIX_COORD:
        return tuple(one for one in running if one in COORDINATORS)
    return (_DATA_NODE,) if word == _INDEX_NODE and _DATA_NODE in running else ()
