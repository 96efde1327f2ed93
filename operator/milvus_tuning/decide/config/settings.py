"""Declared settings: which Milvus key carries each in this version, how it stands, and the steps that are missing.

Each declared intent and each override becomes a wish (declared.py, overrides.py), which is judged against etcd, the
install and the running processes (judge.py). What a running component reads again is written to etcd at once, in one
spelling, with a record of what was there before. Levels of collections come after the live keys (consistency.py). What
is read at start becomes one change of its own, the last one, written within a restart of its readers (restarts.py). The
zone that QueryNodes prefer comes after all of that (locality.py).

`configDelivery` names the road (road.py): etcd, or the leaves of the Milvus object. What is held on the other one is
handed back there first, so that nothing is held twice.

What this policy wrote and no longer declares is handed back (dropped.py). `placementOwner: Operator` is the key
autoBalance under a lease; it is taken only where nobody else has set that key. What was rolled back is not written
again for a day, be it a value or its handing back (rollbacks.py): it would only be rolled back again.

`pingPong: Damp` is a setting for a time: its keys are written once segments move to and fro (damping.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from milvus_tuning.api import MOST_STEPS, ConfigDelivery, LoadBalancing, MilvusTuningSpec, Mode
from milvus_tuning.catalogue import Intent, Lever, NoLever, find_lever, normalised, parse_version
from milvus_tuning.decide.config.consistency import collection_consistency
from milvus_tuning.decide.config.damping import Damper, damping_levers, damping_text, damps, why_not
from milvus_tuning.decide.config.declared import Declared, declared, unsupported
from milvus_tuning.decide.config.dropped import dropped
from milvus_tuning.decide.config.judge import judged, status_of
from milvus_tuning.decide.config.keys import is_inferred
from milvus_tuning.decide.config.locality import zone_preference
from milvus_tuning.decide.config.overrides import overrides
from milvus_tuning.decide.config.restarts import restart_change
from milvus_tuning.decide.config.road import (
    ETCD,
    REREAD_SINCE,
    as_read,
    other,
    owned_on,
    road_of,
    trouble_on,
)
from milvus_tuning.decide.config.wishes import Outcome, View, wish_of, without_key
from milvus_tuning.plan import Operation, SettingState, SettingStatus, Step
from milvus_tuning.plan.moves import LastMove
from milvus_tuning.snapshot import Snapshot


def setting_steps(
    spec: MilvusTuningSpec,
    snapshot: Snapshot,
    now: datetime,
    policy_uid: str,
    *,
    rollbacks: Sequence[Operation] = (),
    read_only: bool = False,
    damping: bool = False,
    at_work: Sequence[Step] = (),
    moved: LastMove | None = None,
) -> tuple[tuple[Step, ...], tuple[SettingStatus, ...]]:
    """The steps of the next change of settings, and how each stands. No steps where nothing may be written now.

    rollbacks are the operations whose changes are not to be made again yet (`recent_rollbacks`). damping: Milvus moves
    segments to and fro now, so that what `pingPong: Damp` declares is to be written. at_work: the steps of the plan
    that is being carried out, so that what it writes is shown as under way. moved: what Milvus's balancer did last.
    """
    hindrance = _hindrance(spec, snapshot, read_only=read_only)
    base = View(
        snapshot=snapshot,
        version=parse_version(snapshot.milvus_version),
        now=now,
        owned={},
        rollbacks=rollbacks,
        hindrance=hindrance,
        under_way=_written_by(at_work),
        moved=moved,
    )
    view, aside = (_on(road, base, policy_uid) for road in (road_of(spec), other(road_of(spec))))
    wanted = _wanted(spec, view, placement=view if view.road is ETCD else aside, damping=damping)
    aside_back, aside_held = dropped(_claimed(wanted, aside, view), aside)
    back, here_held = dropped(_claimed(wanted, view, view), view)
    handed_back, held = (*aside_back, *back), (*aside_held, *here_held)
    live = (*handed_back, *(one.step for one in wanted if one.step is not None and not one.components))
    at_restart, outcomes = restart_change(
        (*held, *wanted), spec, snapshot, hindrance=hindrance, live_first=bool(live) and hindrance is None
    )
    no_levels = hindrance or trouble_on(ETCD, snapshot)
    levels, level_statuses = collection_consistency(
        spec, snapshot, view.version, policy_uid=policy_uid, hindrance=no_levels, rollbacks=rollbacks
    )
    scheduling, scheduling_statuses = zone_preference(
        spec, snapshot, hindrance=hindrance, rollbacks=rollbacks, at_work=at_work
    )
    statuses = [one.status for one in (*outcomes[len(held) :], *outcomes[: len(held)])]
    steps = (_first(live) if hindrance is None else ()) or levels or at_restart or scheduling
    return steps, _named_once([*statuses, *level_statuses, *scheduling_statuses])


def declares_settings(spec: MilvusTuningSpec) -> bool:
    """Whether the spec has a part that settings are declared in."""
    parts = (spec.load_balancing, spec.consistency, spec.network, spec.storage, spec.config_overrides)
    nodes = spec.query_nodes
    on_nodes = nodes is not None and (nodes.read_concurrency_percent, nodes.zone_preference) != (None, None)
    return on_nodes or any(part is not None for part in parts)


def _wanted(spec: MilvusTuningSpec, view: View, *, placement: View, damping: bool) -> tuple[Outcome, ...]:
    """How everything that is declared stands."""
    snapshot = view.snapshot if view.road is ETCD else as_read(view.snapshot)
    found = declared(spec, snapshot, view.version, view.now)
    outcomes = [_outcome(one, placement if one.intent == Intent.PLACEMENT_OWNER else view) for one in found]
    outcomes += _damped(spec.load_balancing, outcomes, view, seen=damping)
    outcomes += overrides(spec.config_overrides or {}, view)
    return (*outcomes, *(Outcome(status=one) for one in unsupported(spec, view.snapshot, view.version)))


def _claimed(wanted: Sequence[Outcome], view: View, chosen: View) -> frozenset[str | None]:
    """The keys that are laid claim to on the road of a view; the owner of the placement is a matter of etcd."""
    on_etcd = (one.status.intent == Intent.PLACEMENT_OWNER or chosen.road is ETCD for one in wanted)
    return frozenset(one.key for one, etcd in zip(wanted, on_etcd, strict=True) if etcd is (view.road is ETCD))


def _on(road: ConfigDelivery, base: View, policy_uid: str) -> View:
    """The view of one road."""
    owned, elsewhere = (owned_on(one, base.snapshot, policy_uid) for one in (road, other(road)))
    view = replace(base, road=road, owned=owned, held_elsewhere=frozenset(elsewhere))
    return replace(view, hindrance=base.hindrance or view.unreadable())


def _first(live: Sequence[Step]) -> tuple[Step, ...]:
    """What one change of live keys holds: what is inferred waits for a person, and nothing else waits with it."""
    known = [step for step in live if not is_inferred(step)]
    return tuple(known or live)[:MOST_STEPS]


def _written_by(steps: Iterable[Step]) -> Mapping[str, str | None]:
    """What the steps write: key -> value."""
    values = {str(step.action["key"]): step.action.get("value") for step in steps if "key" in step.action}
    return {key: None if value is None else str(value) for key, value in values.items()}


def _named_once(statuses: Sequence[SettingStatus]) -> tuple[SettingStatus, ...]:
    """The statuses with each intent once. Of two for one key the later one stands, a second key goes by its name."""
    found: dict[str, SettingStatus] = {}
    for status in statuses:
        first = found.get(status.intent)
        same = first is None or normalised(first.key or "") == normalised(status.key or "")
        name = status.intent if same or status.key is None else status.key
        found[name] = replace(status, intent=name)
    return tuple(found.values())


def _hindrance(spec: MilvusTuningSpec, snapshot: Snapshot, *, read_only: bool) -> str | None:
    if spec.mode is Mode.OBSERVE:
        return "mode is Observe"
    if spec.paused:
        return "paused"
    if read_only:
        return "the operator is read-only"
    if parse_version(snapshot.milvus_version) is None:
        return f"the server version {snapshot.milvus_version or ''} is not known"
    return None


def _outcome(one: Declared, view: View) -> Outcome:
    """How one declared intent stands."""
    if view.version is None:
        return without_key(one.intent, SettingState.NOT_APPLIED, "the server version is not known")
    lever = find_lever(one.intent, view.version)
    if isinstance(lever, NoLever):
        return _unsupported(lever)
    desired = lever.text(one.value)
    if desired is None:
        message = f"{view.version} has no {one.value} for it, only {', '.join(lever.words)}"
        return without_key(one.intent, SettingState.UNSUPPORTED, message)
    return judged(wish_of(lever, desired, note=one.note, objection=one.objection), view)


def _damped(balancing: LoadBalancing | None, others: Sequence[Outcome], view: View, *, seen: bool) -> list[Outcome]:
    """How the damping of Milvus's balancer stands, beside what is declared by fields of its own."""
    if balancing is None or not damps(balancing):
        return []
    if view.version is None:
        return [without_key(Intent.PING_PONG, SettingState.NOT_APPLIED, "the server version is not known")]
    claims = {outcome.key: outcome.status.intent for outcome in others if outcome.key is not None}
    return [
        _unsupported(lever) if isinstance(lever, NoLever) else _damper(lever, balancing, claims, view, seen=seen)
        for lever in damping_levers(view.version)
    ]


def _damper(lever: Lever, balancing: LoadBalancing, claims: Mapping[str, str], view: View, *, seen: bool) -> Outcome:
    """One lever of the damping. Where it is not to be written it is not claimed either: what we hold goes back."""
    wish = wish_of(lever, damping_text(lever))
    stored = view.stored(wish.key)
    damper = Damper(lever=lever, stored=stored, owned=view.owned.get(wish.key), claimed_by=claims.get(wish.key))
    found = None if view.unreadable() else why_not(damper, balancing, seen=seen)
    if found is None and not view.reread:  # for a time only: that is no ground for a restart
        message = f"a running process reads its files again from Milvus {REREAD_SINCE} on: use configDelivery: Etcd"
        found = SettingState.NOT_APPLIED, message
    return judged(wish, view) if found is None else Outcome(status=status_of(wish, view, *found))


def _unsupported(lever: NoLever) -> Outcome:
    nearest = f"; nearest: {lever.nearest}" if lever.nearest else ""
    return without_key(lever.intent, SettingState.UNSUPPORTED, f"{lever.reason}{nearest}")
