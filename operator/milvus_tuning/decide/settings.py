"""Declared settings: which Milvus key carries each in this version, how it stands, and the step that is missing.

Only keys that a running component reads again are written, to etcd, one spelling, with a record of what was there
before. A key that acts after a restart only is reported as PendingRestart and not written: in etcd it would be armed
at once, and the next crash would apply it outside of any window. Effective means: read back from etcd with the
declared value, in one spelling, under a root path that is proven, by a lever with evidence that it is read live.

What this policy wrote and no longer declares is handed back. `placementOwner: Operator` is the key autoBalance under
a lease; it is taken only where nobody else has set that key. What was rolled back is not written again for a day, be
it a value or its handing back (rollbacks.py): it would only be rolled back again.

`pingPong: Damp` is a setting for a time: its keys are written once segments move to and fro (damping.py).
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from milvus_tuning.api import LoadBalancing, MilvusTuningSpec, Mode, PlacementOwner
from milvus_tuning.catalogue import (
    Intent,
    Lever,
    NoLever,
    find_lever,
    levers_of,
    normalised,
    parse_version,
    stored_spelling,
)
from milvus_tuning.decide.damping import Damper, damping_levers, damping_text, damps, why_not
from milvus_tuning.decide.guard import load_guard_objection
from milvus_tuning.decide.rollbacks import ended_at, rollback_of
from milvus_tuning.plan import Operation, SettingState, SettingStatus, Step, StepKind
from milvus_tuning.snapshot import EtcdSetting, OwnedKey, Snapshot

PLACEMENT_LEASE_SECONDS = 300  # longer than a restart of ours, short enough that a forgotten balancer comes back soon
PLACEMENT_KEY = stored_spelling("queryCoord.autoBalance")
IN_ETCD, ELSEWHERE = "etcd", "file or default"


@dataclass(frozen=True, kw_only=True, slots=True)
class _View:
    """What the judgement of one setting rests on."""

    snapshot: Snapshot
    now: datetime
    owned: Mapping[str, OwnedKey]
    rollbacks: Sequence[Operation]
    hindrance: str | None  # why nothing is written now, whatever the setting

    def stored(self, key: str) -> EtcdSetting | None:
        """The key as it stands in etcd."""
        return self.snapshot.settings.get(normalised(key))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Outcome:
    """How one setting stands, the step it needs, and the key it lays claim to (None: whatever we hold goes back)."""

    status: SettingStatus
    step: Step | None = None
    key: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wish:
    """A declared intent with the lever that carries it, and the text its key should have."""

    intent: Intent
    lever: Lever
    desired: str

    @property
    def key(self) -> str:
        """The key as it is written to etcd."""
        return stored_spelling(self.lever.key)

    def status(self, state: SettingState, message: str, stored: EtcdSetting | None = None) -> SettingStatus:
        """How this wish stands; stored is what etcd holds, where that is known."""
        return SettingStatus(
            intent=self.intent,
            key=self.lever.key,
            desired=self.desired,
            effective=stored.value if stored else None,
            source=IN_ETCD if stored else ELSEWHERE,
            state=state,
            message=message,
        )


def setting_steps(
    spec: MilvusTuningSpec,
    snapshot: Snapshot,
    now: datetime,
    policy_uid: str,
    *,
    rollbacks: Sequence[Operation] = (),
    read_only: bool = False,
    damping: bool = False,
) -> tuple[tuple[Step, ...], tuple[SettingStatus, ...]]:
    """The steps that the declared settings need, and how each stands. No steps where nothing may be written now.

    rollbacks are the operations whose changes are not to be made again yet (`recent_rollbacks`). damping: Milvus moves
    segments to and fro now, so that what `pingPong: Damp` declares is to be written.
    """
    view = _View(
        snapshot=snapshot,
        now=now,
        owned=snapshot.owned_keys.get(policy_uid, {}),
        rollbacks=rollbacks,
        hindrance=_hindrance(spec, snapshot, read_only=read_only),
    )
    outcomes = [_outcome(intent, number, view) for intent, number in _declared(spec)]
    outcomes += _damped(spec.load_balancing, outcomes, view, seen=damping)
    handed_back, held = _dropped({outcome.key for outcome in outcomes}, view)
    statuses = {status.intent: status for status in (*(outcome.status for outcome in outcomes), *held)}
    wanted = tuple(outcome.step for outcome in outcomes if outcome.step is not None)
    return (*handed_back, *wanted) if view.hindrance is None else (), tuple(statuses.values())


def declares_settings(spec: MilvusTuningSpec) -> bool:
    """Whether the spec has a part that settings are declared in."""
    return spec.load_balancing is not None or spec.consistency is not None


def hand_back_steps(record: Mapping[str, OwnedKey], snapshot: Snapshot) -> tuple[Step, ...]:
    """The steps that hand back the recorded keys, by name. What somebody else changed since then stays."""
    return tuple(_hand_back(key, record[key], snapshot) for key in sorted(record))


def _dropped(claimed: Container[str | None], view: _View) -> tuple[tuple[Step, ...], tuple[SettingStatus, ...]]:
    """What is held and no longer declared: the steps that hand it back, and how what may not go back yet stands."""
    steps = hand_back_steps({key: owned for key, owned in view.owned.items() if key not in claimed}, view.snapshot)
    rollbacks = {str(step.action["key"]): rollback_of(step, view.rollbacks) for step in steps}
    going = tuple(step for step in steps if rollbacks[str(step.action["key"])] is None)
    return going, tuple(_held(key, rollback, view) for key, rollback in rollbacks.items() if rollback is not None)


def _held(key: str, rollback: Operation, view: _View) -> SettingStatus:
    stored = view.stored(key)
    carried = (intent for intent in Intent if any(stored_spelling(lever.key) == key for lever in levers_of(intent)))
    return SettingStatus(
        intent=next(carried, key),
        key=key,
        desired=None,
        effective=stored.value if stored else None,
        source=IN_ETCD if stored else ELSEWHERE,
        state=SettingState.NOT_APPLIED,
        message=f"no longer declared; handing it back was {_rolled_back(rollback)}; it is tried again a day later",
    )


def _rolled_back(rollback: Operation) -> str:
    return f"rolled back at {ended_at(rollback):%Y-%m-%dT%H:%M:%SZ}: {rollback.verdict_message}"


def _declared(spec: MilvusTuningSpec) -> Iterator[tuple[Intent, int]]:
    """The declared intents as numbers; a switch is 0 or 1."""
    yield from _declared_balancing(spec.load_balancing or LoadBalancing())
    if spec.consistency is not None and spec.consistency.staleness_milliseconds is not None:
        yield Intent.STALENESS, spec.consistency.staleness_milliseconds


def _declared_balancing(balancing: LoadBalancing) -> Iterator[tuple[Intent, int]]:
    if balancing.placement_owner is not None:
        yield Intent.PLACEMENT_OWNER, int(balancing.placement_owner is PlacementOwner.MILVUS)
    if balancing.balance_interval_seconds is not None:
        yield Intent.BALANCE_INTERVAL, balancing.balance_interval_seconds
    if balancing.balance_tolerance_percent is not None:
        yield Intent.BALANCE_TOLERANCE, balancing.balance_tolerance_percent
    if balancing.overloaded_memory_percent is not None:
        yield Intent.OVERLOADED_MEMORY, balancing.overloaded_memory_percent


def _hindrance(spec: MilvusTuningSpec, snapshot: Snapshot, *, read_only: bool) -> str | None:
    if spec.mode is Mode.OBSERVE:
        return "mode is Observe"
    if spec.paused:
        return "paused"
    if read_only:
        return "the operator is read-only"
    if parse_version(snapshot.milvus_version) is None:
        return f"the server version {snapshot.milvus_version or ''} is not known"
    return _unreadable(snapshot)


def _unreadable(snapshot: Snapshot) -> str | None:
    if not snapshot.settings_readable:
        return "etcd could not be read"
    return "the root path in etcd is not proven" if snapshot.etcd_root_path is None else None


def _outcome(intent: Intent, number: int, view: _View) -> _Outcome:
    """How one declared intent stands."""
    version = parse_version(view.snapshot.milvus_version)
    if version is None:
        return _without_lever(intent, SettingState.NOT_APPLIED, "the server version is not known")
    lever = find_lever(intent, version)
    if isinstance(lever, NoLever):
        return _unsupported(lever)
    return _judged(_Wish(intent=intent, lever=lever, desired=lever.conversion.text(number)), view)


def _damped(
    balancing: LoadBalancing | None, declared: Sequence[_Outcome], view: _View, *, seen: bool
) -> list[_Outcome]:
    """How the damping of Milvus's balancer stands, beside what is declared by fields of its own."""
    if balancing is None or not damps(balancing):
        return []
    version = parse_version(view.snapshot.milvus_version)
    if version is None:
        return [_without_lever(Intent.PING_PONG, SettingState.NOT_APPLIED, "the server version is not known")]
    claims = {outcome.key: outcome.status.intent for outcome in declared if outcome.key is not None}
    return [
        _unsupported(lever) if isinstance(lever, NoLever) else _damper(lever, balancing, claims, view, seen=seen)
        for lever in damping_levers(version)
    ]


def _damper(lever: Lever, balancing: LoadBalancing, claims: Mapping[str, str], view: _View, *, seen: bool) -> _Outcome:
    """One lever of the damping. Where it is not to be written it is not claimed either: what we hold goes back."""
    wish = _Wish(intent=lever.intent, lever=lever, desired=damping_text(lever))
    stored = view.stored(wish.key)
    damper = Damper(lever=lever, stored=stored, owned=view.owned.get(wish.key), claimed_by=claims.get(wish.key))
    found = None if _unreadable(view.snapshot) else why_not(damper, balancing, seen=seen)
    return _judged(wish, view) if found is None else _Outcome(status=wish.status(*found, stored))


def _judged(wish: _Wish, view: _View) -> _Outcome:
    if not wish.lever.live:
        return _restart_only(wish, view)
    trouble = _unreadable(view.snapshot)
    if trouble is not None:
        return _Outcome(status=wish.status(SettingState.NOT_APPLIED, trouble), key=wish.key)
    return _live(wish, view)


def _unsupported(lever: NoLever) -> _Outcome:
    nearest = f"; nearest: {lever.nearest}" if lever.nearest else ""
    return _without_lever(lever.intent, SettingState.UNSUPPORTED, f"{lever.reason}{nearest}")


def _without_lever(intent: Intent, state: SettingState, message: str) -> _Outcome:
    status = SettingStatus(
        intent=intent, key=None, desired=None, effective=None, source=None, state=state, message=message
    )
    return _Outcome(status=status)


def _restart_only(wish: _Wish, view: _View) -> _Outcome:
    message = (
        f"{wish.lever.key} acts after a restart of {wish.lever.component} only. It is not written to etcd, "
        f"where the next crash would arm it: set it in the configuration of the install ({wish.lever.evidence})"
    )
    return _Outcome(status=wish.status(SettingState.PENDING_RESTART, message, view.stored(wish.key)))


def _live(wish: _Wish, view: _View) -> _Outcome:
    stored = view.stored(wish.key)
    if stored is not None and len(stored.spellings) > 1:
        message = f"stored in several spellings ({', '.join(stored.spellings)}): which one acts is a matter of chance"
        return _Outcome(status=wish.status(SettingState.SHADOWED, message, stored), key=wish.key)
    if wish.intent is Intent.PLACEMENT_OWNER:
        return _placement(wish, stored, view)
    if stored is not None and wish.lever.conversion.same(stored.value, wish.desired):
        return _Outcome(status=wish.status(SettingState.EFFECTIVE, wish.lever.evidence, stored), key=wish.key)
    if stored is not None and _other_spelling(stored, wish.key):
        message = f"stored as {stored.spellings[0]}, which a second spelling would shadow: remove that key"
        return _Outcome(status=wish.status(SettingState.SHADOWED, message, stored), key=wish.key)
    objection = _objection(wish, view)
    if objection is not None:
        return _Outcome(status=wish.status(SettingState.NOT_APPLIED, objection, stored), key=wish.key)
    return _applying(wish, stored, view, _set_config(wish.key, stored, wish.desired))


def _other_spelling(stored: EtcdSetting, key: str) -> bool:
    return any(not spelling.endswith(key) for spelling in stored.spellings)


def _objection(wish: _Wish, view: _View) -> str | None:
    if wish.intent is not Intent.OVERLOADED_MEMORY:
        return None
    return load_guard_objection(view.snapshot, view.now, percent=int(wish.desired))


def _placement(wish: _Wish, stored: EtcdSetting | None, view: _View) -> _Outcome:
    if wish.desired == "true":
        return _placement_of_milvus(wish, stored, view)
    if stored is None:
        return _applying(wish, stored, view, take_placement())
    owned = view.owned.get(wish.key)
    if owned is not None and stored.leased and owned.written == stored.value:
        return _Outcome(status=wish.status(SettingState.EFFECTIVE, wish.lever.evidence, stored), key=wish.key)
    message = f"{wish.key} = {stored.value} is set by somebody else, and a key of others is never taken over: remove it"
    return _Outcome(status=wish.status(SettingState.NOT_APPLIED, message, stored), key=wish.key)


def _placement_of_milvus(wish: _Wish, stored: EtcdSetting | None, view: _View) -> _Outcome:
    """Nothing to write: what is ours is handed back by not being claimed, what is not ours is not touched."""
    if wish.key in view.owned:
        state = SettingState.APPLYING if view.hindrance is None else SettingState.NOT_APPLIED
        return _Outcome(status=wish.status(state, view.hindrance or "placement is being handed back", stored))
    if stored is None:
        return _Outcome(status=wish.status(SettingState.EFFECTIVE, "not in etcd: Milvus's own configuration decides"))
    if wish.lever.conversion.same(stored.value, wish.desired):
        return _Outcome(status=wish.status(SettingState.EFFECTIVE, wish.lever.evidence, stored))
    message = f"{wish.key} = {stored.value} is set by somebody else and left alone: Milvus does not balance"
    return _Outcome(status=wish.status(SettingState.NOT_APPLIED, message, stored))


def _applying(wish: _Wish, stored: EtcdSetting | None, view: _View, step: Step) -> _Outcome:
    change = f"{wish.key}: {stored.value if stored else 'unset'} -> {wish.desired}"
    rollback = rollback_of(step, view.rollbacks)
    if rollback is not None:
        message = f"{_rolled_back(rollback)}; change the value to try again"
        return _Outcome(status=wish.status(SettingState.NOT_APPLIED, message, stored), key=wish.key)
    if view.hindrance is not None:
        message = f"{view.hindrance}; would set {change}"
        return _Outcome(status=wish.status(SettingState.NOT_APPLIED, message, stored), key=wish.key)
    return _Outcome(status=wish.status(SettingState.APPLYING, f"setting {change}", stored), step=step, key=wish.key)


def _set_config(key: str, stored: EtcdSetting | None, value: str | None) -> Step:
    before = {"key": key, "value": stored.value if stored else None}
    after = {"key": key, "value": value}
    return Step(kind=StepKind.SET_CONFIG, precondition=before, action=after, verification=after, undo=before)


def take_placement() -> Step:
    """Hold Milvus's balancer off, under a lease; what was not there before goes when it is taken back."""
    absent, ours = {"key": PLACEMENT_KEY, "value": None}, {"key": PLACEMENT_KEY, "value": "false"}
    return Step(
        kind=StepKind.TAKE_PLACEMENT,
        precondition=absent,
        action={**ours, "leaseSeconds": PLACEMENT_LEASE_SECONDS},
        verification=ours,
        undo=absent,
    )


def _hand_back(key: str, owned: OwnedKey, snapshot: Snapshot) -> Step:
    stored = snapshot.settings.get(normalised(key))
    present = stored.value if stored else None
    before = {"key": key, "value": present}
    # A value that is not ours any more is left alone: what is verified is that it stays.
    remains = owned.previous if present == owned.written else present
    placement = key == PLACEMENT_KEY
    return Step(
        kind=StepKind.RETURN_PLACEMENT if placement else StepKind.SET_CONFIG,
        precondition=before,
        action={"key": key, "value": owned.previous},
        verification={"key": key, "value": remains},
        undo={**before, "leaseSeconds": PLACEMENT_LEASE_SECONDS} if placement else before,
    )
