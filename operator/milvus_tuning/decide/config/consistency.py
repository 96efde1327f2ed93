"""Declared default levels of collections: how each stands, and the step that is missing.

The user declares the level; none is ever chosen here. What it was before is recorded when it is changed, and goes back
once it is not declared any more; a level that somebody else set meanwhile stays. Only loaded collections are changed:
the level of one that is not searched matters to nobody, and it is not read.

    declared Strong, level Bounded                          Bounded -> Strong
    not declared, record Bounded before us, level Strong    Strong -> Bounded
    not declared, record Bounded before us, level Session   Session stays, the record goes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from milvus_tuning.api import CollectionConsistency, MilvusTuningSpec
from milvus_tuning.catalogue import LEVEL_PROPERTY, ServerVersion, level_is_fixed
from milvus_tuning.decide.config.rollbacks import ended_at, rollback_of
from milvus_tuning.decide.seen.level import milvus_trouble, named
from milvus_tuning.plan import Operation, SettingState, SettingStatus, Step, StepKind
from milvus_tuning.snapshot import OwnedLevel, Snapshot

INTENT = "consistency.collections"
SOURCE = "collection"
MOST_AT_ONCE = 4  # of the ten steps of a plan: keys that are declared beside them need some as well


@dataclass(frozen=True, kw_only=True, slots=True)
class _View:
    """What the judgement of one collection rests on."""

    snapshot: Snapshot
    version: ServerVersion | None
    rollbacks: Sequence[Operation]
    hindrance: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Subject:
    """A collection, the level that is declared for it (None: none any more), and the one that was read."""

    database: str
    collection: str
    desired: str | None
    effective: str | None
    unknown: str  # why none was read

    def status(self, state: SettingState, message: str) -> SettingStatus:
        """How it stands."""
        return SettingStatus(
            intent=f"{INTENT} ({self.database}.{self.collection})",
            key=None if state is SettingState.UNSUPPORTED else LEVEL_PROPERTY,
            desired=self.desired,
            effective=self.effective,
            source=None if self.effective is None else SOURCE,
            state=state,
            message=message,
        )

    def step(self, before: str, after: str, remains: str) -> Step:
        """From one level to another; remains is the level that is to be seen then."""
        what = {"database": self.database, "collection": self.collection, "property": LEVEL_PROPERTY}
        former = {**what, "value": before}
        return Step(
            kind=StepKind.SET_COLLECTION_PROPERTY,
            precondition=former,
            action={**what, "value": after},
            verification={**what, "value": remains},
            undo=former,
        )


_Outcome = tuple[Step | None, SettingStatus]


def collection_consistency(
    spec: MilvusTuningSpec,
    snapshot: Snapshot,
    version: ServerVersion | None,
    *,
    policy_uid: str = "",
    hindrance: str | None = None,
    rollbacks: Sequence[Operation] = (),
) -> tuple[tuple[Step, ...], tuple[SettingStatus, ...]]:
    """The steps that the declared levels need, those that hand levels back first, and how each stands.

    version: of the server, None where it is not known. policy_uid: whose records are handed back once not declared.
    hindrance: why nothing may be written now, whatever it is. rollbacks: operations that are not to be made again yet.
    """
    view = _View(snapshot=snapshot, version=version, rollbacks=rollbacks, hindrance=hindrance)
    declared = (spec.consistency.collections if spec.consistency else None) or ()
    names = {(one.database, one.name) for one in declared}
    held = [one for one in snapshot.owned_levels.get(policy_uid, ()) if (one.database, one.collection) not in names]
    outcomes = [*(_handed_back(one, view) for one in held), *(_judged(one, view) for one in declared)]
    begun = [step for step, _ in outcomes if step is not None][:MOST_AT_ONCE]
    statuses = (_waiting(status) if step is not None and step not in begun else status for step, status in outcomes)
    return tuple(begun), tuple(statuses)


def level_in_words(step: Step) -> str:
    """What a SetCollectionProperty step does: "consistency level of default.products Bounded -> Strong"."""
    name = f"{step.action.get('database')}.{step.action.get('collection')}"
    return f"consistency level of {name} {step.precondition.get('value')} -> {step.verification.get('value')}"


def _judged(one: CollectionConsistency, view: _View) -> _Outcome:
    """How one declared level stands, with the step that it needs."""
    desired = str(one.level)
    subject = _subject(one.database, one.name, desired, view)
    fixed = _fixed(view)
    if fixed is not None:
        return None, subject.status(SettingState.UNSUPPORTED, fixed)
    if subject.effective is None:
        return None, subject.status(SettingState.NOT_APPLIED, subject.unknown)
    if subject.effective == desired:
        message = "as DescribeCollection tells it; a search that names a level of its own gets that one"
        return None, subject.status(SettingState.EFFECTIVE, message)
    step = subject.step(subject.effective, desired, desired)
    return _applying(step, subject, f"{subject.effective} -> {desired}", view)


def _handed_back(owned: OwnedLevel, view: _View) -> _Outcome:
    """How a level stands that was written and is not declared any more."""
    subject = _subject(owned.database, owned.collection, None, view)
    unknown = _fixed(view) or subject.unknown
    if subject.effective is None or unknown:
        message = f"no longer declared; it goes back to {owned.previous} once that can be done: {unknown}"
        return None, subject.status(SettingState.NOT_APPLIED, message)
    ours = subject.effective in owned.written
    remains = owned.previous if ours else subject.effective
    step = subject.step(subject.effective, owned.previous, remains)
    change = f"{subject.effective} -> {remains}" if ours else f"{remains} is not ours and stays"
    return _applying(step, subject, f"no longer declared: {change}", view)


def _applying(step: Step, subject: _Subject, change: str, view: _View) -> _Outcome:
    """The step, unless something is against it now."""
    rollback = rollback_of(step, view.rollbacks)
    if rollback is not None:
        ended = f"{ended_at(rollback):%Y-%m-%dT%H:%M:%SZ}: {rollback.verdict_message}"
        message = f"{change}: rolled back at {ended}; it is tried again a day later"
        return None, subject.status(SettingState.NOT_APPLIED, message)
    hindrance = view.hindrance or _no_record(view.snapshot)
    if hindrance is not None:
        return None, subject.status(SettingState.NOT_APPLIED, f"{hindrance}; would set {change}")
    return step, subject.status(SettingState.APPLYING, f"setting {change}")


def _waiting(status: SettingStatus) -> SettingStatus:
    message = f"waits for other collections, of which {MOST_AT_ONCE} are changed at once; then {status.message}"
    return replace(status, state=SettingState.NOT_APPLIED, message=message)


def _fixed(view: _View) -> str | None:
    return None if view.version is None else level_is_fixed(view.version)


def _subject(database: str, collection: str, desired: str | None, view: _View) -> _Subject:
    """The collection as the snapshot shows it."""
    trouble = "the server version is not known" if view.version is None else milvus_trouble(view.snapshot)
    found = None if trouble else named(view.snapshot, database, collection)
    level = found.consistency_level if found else None
    name = f"{database}.{collection}"
    if found is None:
        unknown = trouble or f"there is no loaded collection {name}: load it, or mend the name"
    else:
        unknown = "" if level else f"Milvus has not told the level of {name} yet (DescribeCollection)"
    return _Subject(database=database, collection=collection, desired=desired, effective=level, unknown=unknown)


def _no_record(snapshot: Snapshot) -> str | None:
    """Why the level that was there before could not be recorded, or None."""
    if not snapshot.settings_readable:
        return "etcd could not be read, where the former level is to be recorded"
    return "the root path in etcd is not proven" if snapshot.etcd_root_path is None else None
