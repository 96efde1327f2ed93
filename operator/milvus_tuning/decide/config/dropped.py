"""What this policy wrote and no longer declares: it goes back, at once or within a restart of those that read it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from milvus_tuning.api import ConfigDelivery
from milvus_tuning.catalogue import (
    Intent,
    ServerVersion,
    lever_with_key,
    levers_of,
    normalised,
    parse_version,
)
from milvus_tuning.catalogue.reading import catalogue
from milvus_tuning.decide.config.evidence import ELSEWHERE, components_of, readers, started_before
from milvus_tuning.decide.config.judge import rolled_back
from milvus_tuning.decide.config.keys import hand_back_steps
from milvus_tuning.decide.config.road import ETCD, RESOURCE, is_reread
from milvus_tuning.decide.config.rollbacks import rollback_of
from milvus_tuning.decide.config.wishes import Outcome, View
from milvus_tuning.decide.words import listed
from milvus_tuning.plan import Operation, SettingState, SettingStatus, Step, on_resource
from milvus_tuning.snapshot import ComponentPod, OwnedKey, Snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """Who reads a key at start."""

    name: str
    component: str


def dropped(claimed: Container[str | None], view: View) -> tuple[tuple[Step, ...], tuple[Outcome, ...]]:
    """The steps that hand back at once what is held and not claimed; and how what may not go yet stands."""
    record = {key: owned for key, owned in view.owned.items() if key not in claimed}
    at_once: list[Step] = []
    held: list[Outcome] = []
    trouble = view.unreadable() if view.road is RESOURCE else None
    for step in hand_back_steps(record, view.snapshot, view.road):
        key = str(step.action["key"])
        rollback = rollback_of(step, view.rollbacks)
        reader = reader_at_start(key, view.version, view.road)
        if trouble is not None or rollback is not None:
            held.append(_held(key, rollback, view, trouble))
        elif reader is None or not _changes(record[key], step):
            at_once.append(step)
        else:
            held.append(_at_restart(reader, step, view))
    return tuple(at_once), tuple(held)


def reader_at_start(key: str, version: ServerVersion | None, road: ConfigDelivery = ETCD) -> Reader | None:
    """Who reads this key at start only, in this version; None for a key that is read live, or by nobody."""
    found = None if version is None else _reader(key, version)
    return None if found is None or (found[1] and is_reread(road, version)) else found[0]


def _reader(key: str, version: ServerVersion) -> tuple[Reader, bool] | None:
    """Who reads a key in this version, and whether live; None for one that nobody reads."""
    lever = lever_with_key(key, version)
    if lever is not None:
        return Reader(name=lever.key, component=lever.component), lever.live
    known = catalogue().find(key)
    if known is None or not known.exists(version) or known.effect(version) is not None:
        return None
    return Reader(name=known.name, component=known.restarts(version)), known.is_live(version)


def keeping(steps: Iterable[Step], record: Mapping[str, OwnedKey], snapshot: Snapshot) -> str | None:
    """Which pods go on with a value that these steps take out of spec.config, in words; None: no pod does.

    Milvus merges its files once, at start: who started while the value was there has it until the next start. Keys that
    are read at start are not named, for they have their restart.
    """
    version = parse_version(snapshot.milvus_version)
    parts: list[str] = []
    for step in steps:
        key = str(step.action.get("key"))
        owned, found = record.get(key), None if version is None else _reader(key, version)
        if not on_resource(step) or step.action.get("value") is not None or owned is None or found is None:
            continue
        if not found[1] or not is_reread(RESOURCE, version) or not _changes(owned, step):
            continue
        pods = [pod.pod for pod in readers(found[0].component, snapshot) if _started_with(owned, pod)]
        if pods:
            parts.append(f"{found[0].name} stays in force on {listed(pods)}, started with it, until their next start")
    return "; ".join(parts) or None


def _started_with(owned: OwnedKey, pod: ComponentPod) -> bool:
    """Whether a pod may have started while the value was there; one whose times are not known may."""
    if owned.written_at is None or pod.started_at is None:
        return True
    return not started_before([pod], owned.written_at)


def acting_at_restart(record: Mapping[str, OwnedKey], snapshot: Snapshot, road: ConfigDelivery = ETCD) -> str | None:
    """Of the recorded keys, where they are handed back without a restart: which act at the next one only, in words."""
    version, steps = parse_version(snapshot.milvus_version), hand_back_steps(record, snapshot, road)
    keys = (str(step.action["key"]) for step in steps if _changes(record[str(step.action["key"])], step))
    found = [reader for reader in (reader_at_start(key, version, road) for key in keys) if reader is not None]
    parts = [f"{one.name} acts at the next restart of {one.component}" for one in found]
    return "; ".join(parts) or None


def _changes(owned: OwnedKey, step: Step) -> bool:
    """Whether handing back changes the value; somebody else's stays, and only the record goes."""
    present = step.precondition["value"]
    return present == owned.written and present != owned.previous


def _at_restart(reader: Reader, step: Step, view: View) -> Outcome:
    key, previous = str(step.action["key"]), step.action["value"]
    names = components_of(reader.component, view.snapshot)
    change = f"{key}: {step.precondition['value']} -> {'unset' if previous is None else previous}"
    under_way = key in view.under_way and view.under_way[key] == previous
    message = f"no longer declared, and read by {reader.component} at start only; "
    message += f"a plan hands back {change} and restarts {listed(names)}" if names else "no pod of it is known"
    return Outcome(
        status=_status(
            reader.name,
            view,
            state=SettingState.APPLYING if under_way else SettingState.PENDING_RESTART,
            message=message,
            desired=None if previous is None else str(previous),
            component=listed(names) or reader.component,
        ),
        step=None if under_way else step,
        key=key,
        components=() if under_way else names,
    )


def _held(key: str, rollback: Operation | None, view: View, trouble: str | None) -> Outcome:
    why = trouble or ""
    if rollback is not None:
        why = f"handing it back was {rolled_back(rollback)}; it is tried again a day later"
    message = f"no longer declared; {why}"
    return Outcome(status=_status(key, view, state=SettingState.NOT_APPLIED, message=message))


def _status(
    key: str,
    view: View,
    *,
    state: SettingState,
    message: str,
    desired: str | None = None,
    component: str | None = None,
) -> SettingStatus:
    stored = view.stored(key)
    return SettingStatus(
        intent=_carried(key),
        key=key,
        desired=desired,
        effective=stored.value if stored else None,
        source=view.place if stored else ELSEWHERE,
        state=state,
        message=message,
        component=component,
    )


def _carried(key: str) -> str:
    """The intent that the key was written for, as far as a version has such a lever; else the key."""
    names = (
        intent for intent in Intent if any(normalised(lever.key) == normalised(key) for lever in levers_of(intent))
    )
    return next(names, key)
