"""How one wish stands in the running cluster, and the step that it needs.

A value is in etcd in one spelling, under a root path that is proven, or the install has it already; else it is written.
In force it is only where running processes were seen to have it:

    stored, every process that was asked shows it, read live              Effective
    stored, read at start, and every reader started after the write       Effective, where the processes show it, too
    stored, read at start, and what each reader does shows it             Effective, whenever they started
    stored, nobody could be asked                                         NoEvidence
    autoBalance is off, and Milvus moved a segment long after the write   NoEvidence, with the move
    stored, a process shows another value                                 Shadowed; just written: Applying
    stored, read at start, and a reader is older than the write           PendingRestart: a restart, where we wrote it
    read at start, and not stored                                         PendingRestart: a step inside of a restart

A key that is read at start is never in etcd before the change that restarts its readers: the next crash would apply it.

On the road of the Milvus object (road.py) "stored" is a leaf of its spec.config, and three things are looked at first:

    etcd or an environment variable has another value                     Shadowed: it goes before the file
    still held in etcd by this policy                                     Applying: handed back there first
    somebody put back a leaf that we had written                          NotApplied: said, not fought
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from milvus_tuning.catalogue import Intent, normalised
from milvus_tuning.catalogue.reading import catalogue
from milvus_tuning.decide.config.evidence import (
    BY_DEFAULT,
    CLOCKS,
    IN_ETCD,
    IN_FILE,
    Shown,
    above,
    beside,
    beside_etcd,
    components_of,
    is_settling,
    moved_all_the_same,
    readers,
    shown,
    started_before,
    written_at,
)
from milvus_tuning.decide.config.keys import set_config, take_placement
from milvus_tuning.decide.config.road import ETCD, NAMES, REREAD_SINCE, other
from milvus_tuning.decide.config.rollbacks import ended_at, restart_rollback, rollback_of
from milvus_tuning.decide.config.wishes import Outcome, View, Wish
from milvus_tuning.decide.words import listed
from milvus_tuning.plan import Operation, SettingState, SettingStatus, Step
from milvus_tuning.snapshot import EtcdSetting

KEPT_BY_MILVUS_OPERATOR = "enableactivestandby"


def judged(wish: Wish, view: View) -> Outcome:
    """How a wish stands, and the step that it needs."""
    dead = _dead(wish, view)
    if dead is not None:
        return Outcome(status=status_of(wish, view, SettingState.DEAD, dead))
    if view.road is not ETCD and normalised(wish.name).endswith(KEPT_BY_MILVUS_OPERATOR):
        message = "milvus-operator itself sets and removes this leaf of spec.config: use configDelivery: Etcd"
        return Outcome(status=status_of(wish, view, SettingState.REFUSED, message))
    wish = _carried(wish, view)
    trouble = view.unreadable()
    if trouble is not None:
        known = None if view.road is ETCD and view.snapshot.settings_readable else _from_install(wish, view)
        return known or _settled(wish, view, SettingState.NOT_APPLIED, trouble)
    if wish.intent == Intent.PLACEMENT_OWNER:
        return _in_several_spellings(wish, view) or _placement(wish, view.stored(wish.key), view)
    if wish.key in view.held_elsewhere:
        return _after_hand_back(wish, view)
    return _in_several_spellings(wish, view) or _shadowed(wish, view) or _in_place(wish, view.stored(wish.key), view)


def status_of(wish: Wish, view: View, state: SettingState, message: str) -> SettingStatus:
    """How this wish stands, with the value that is in force as far as it is known, and where that is from."""
    effective, source = _in_force(wish, view.stored(wish.key), view)
    names = () if wish.live else components_of(wish.component, view.snapshot) or (wish.component,)
    return SettingStatus(
        intent=wish.intent,
        key=wish.name,
        desired=wish.desired,
        effective=effective,
        source=source,
        state=state,
        message=wish.told(message),
        component=listed(names) or None,
    )


def rolled_back(rollback: Operation) -> str:
    """That a change was rolled back, when and why."""
    return f"rolled back at {ended_at(rollback):%Y-%m-%dT%H:%M:%SZ}: {rollback.verdict_message}"


def _in_several_spellings(wish: Wish, view: View) -> Outcome | None:
    stored = view.stored(wish.key)
    if stored is None or len(stored.spellings) < 2:
        return None
    message = f"stored in several spellings ({', '.join(stored.spellings)}): which one acts is a matter of chance"
    return _settled(wish, view, SettingState.SHADOWED, message)


def _in_place(wish: Wish, stored: EtcdSetting | None, view: View) -> Outcome:
    """How a wish stands by what its road holds, in one spelling or not at all."""
    reverted = _reverted(wish, stored, view)
    if reverted is not None:
        return reverted
    if stored is None:
        return _from_install(wish, view) or _missing(wish, None, view)
    if wish.same(stored.value):
        return _stands(wish, stored, view)
    if view.road is ETCD and any(not spelling.endswith(wish.key) for spelling in stored.spellings):
        message = f"stored as {stored.spellings[0]}, which a second spelling would shadow: remove that key"
        return _settled(wish, view, SettingState.SHADOWED, message)
    return _missing(wish, stored, view)


def _settled(wish: Wish, view: View, state: SettingState, message: str) -> Outcome:
    """A wish that nothing is done for now, and whose key stays as it is."""
    return Outcome(status=status_of(wish, view, state, message), key=wish.key)


def _in_force(wish: Wish, stored: EtcdSetting | None, view: View) -> tuple[str | None, str]:
    seen = shown(wish, view.snapshot)
    differs = seen.other(wish)
    said = differs[1] if differs is not None else next((value for _, value in seen.values if value is not None), None)
    acts = seen.proves(wish) and stored is not None and wish.same(stored.value)
    if stored is not None and (acts or above(wish.name, view) is None):
        return (stored.value if said is None else said), view.place
    value, source = beside(wish.name, view)
    if value is not None or not seen.values:
        return (value if said is None else said), source
    return said, BY_DEFAULT if said is None else IN_FILE  # a file of the image, where the install does not set it


def _dead(wish: Wish, view: View) -> str | None:
    """Why nothing reads the key in this version; a lever on such a key would be a mistake of the catalogue."""
    known = catalogue().find(wish.name)
    effect = known.effect(view.version) if known is not None and view.version is not None else None
    return None if effect is None else f"{wish.name} does nothing in {view.version}: {effect.reason}"


# -- the road of the Milvus object -------------------------------------------------------------------------------------


def _carried(wish: Wish, view: View) -> Wish:
    """The wish as its road carries it: what no running process reads again waits for a restart."""
    if not wish.live or view.reread or wish.intent == Intent.PLACEMENT_OWNER:
        return wish
    told = f"a running process reads its files again from Milvus {REREAD_SINCE} on; in etcd no restart is needed"
    return replace(wish, live=False, note=f"{wish.note}; {told}" if wish.note else told)


def _after_hand_back(wish: Wish, view: View) -> Outcome:
    there = NAMES[other(view.road)]
    state = SettingState.APPLYING if view.hindrance is None else SettingState.NOT_APPLIED
    message = f"written to {view.place} once it is handed back in {there}, which has it from this policy"
    return _settled(wish, view, state, f"{view.hindrance}; {message}" if view.hindrance else message)


def _shadowed(wish: Wish, view: View) -> Outcome | None:
    """How a wish stands that what goes before its road decides; None where nothing does, or the processes say so."""
    found, stored = above(wish.name, view), view.stored(wish.key)
    if found is None:
        return None
    value, source = found
    if wish.same(value):
        return None if stored is not None and wish.same(stored.value) else _from_install(wish, view)
    if source != IN_ETCD and shown(wish, view.snapshot).proves(wish):
        return None
    mend = "" if source == IN_ETCD else ", or use configDelivery: Etcd"
    message = f"{value} from {source} goes before {view.place}: remove it there{mend}"
    return _settled(wish, view, SettingState.SHADOWED, message)


def _reverted(wish: Wish, stored: EtcdSetting | None, view: View) -> Outcome | None:
    """That somebody changed a leaf after we had written the same: a tool that does so would do it for ever."""
    owned, present = view.owned.get(wish.key), stored.value if stored else None
    if view.road is ETCD or owned is None or owned.written is None or present == owned.written:
        return None
    if not wish.same(owned.written) or (present is not None and wish.same(present)):
        return None
    since = f" at {owned.written_at:%Y-%m-%dT%H:%M:%SZ}" if owned.written_at else ""
    message = (
        f"{view.place} was set to {owned.written}{since}, and somebody else has made it "
        f"{'absent' if present is None else present} since (a GitOps tool that names the key?): not written again. "
        "Set it there, or take it out there; then take the field out here and declare it again, or change its value"
    )
    return _settled(wish, view, SettingState.NOT_APPLIED, message)


# -- the value is there ----------------------------------------------------------------------------------------------


def _stands(wish: Wish, stored: EtcdSetting, view: View) -> Outcome:
    """The stored value is the desired one: whether running processes have it."""
    seen = shown(wish, view.snapshot)
    not_yet = _not_in_force(wish, stored, seen, view)
    if not_yet is not None:
        settled = _settled(wish, view, *not_yet)
        return _for_a_restart(settled, wish, stored, seen, view) if not wish.live else settled
    settling = is_settling(wish, stored, view)
    differs = seen.other(wish)
    if seen.proves(wish):
        return _settled(wish, view, SettingState.EFFECTIVE, f"{wish.evidence}; {_told_by(seen)}")
    if seen.values and settling:
        return _settled(wish, view, SettingState.APPLYING, f"written just now; {_pods(seen)} may not have read it yet")
    if differs is not None:
        shows = f"{differs[0]} has {differs[1]}: something goes before {view.place} there"
        message = f"stored in {view.place} as declared, and {shows}"
        return _settled(wish, view, SettingState.SHADOWED, message)
    if seen.values:
        shows = f"{listed(seen.without)}, which was asked, has no value for it"
        message = f"stored in {view.place} as declared, and {shows}"
        return _settled(wish, view, SettingState.NO_EVIDENCE, message)
    message = f"stored in {view.place} as declared; no running {wish.component} could be asked"
    return _settled(wish, view, SettingState.NO_EVIDENCE, message)


def _not_in_force(wish: Wish, stored: EtcdSetting, seen: Shown, view: View) -> tuple[SettingState, str] | None:
    """Why a stored value is not in force whatever processes have read, or not known to be; None for no such reason."""
    if not wish.live:
        return _not_read_yet(wish, stored, seen, view)
    moved = moved_all_the_same(wish, stored, view)
    return None if moved is None else (SettingState.NO_EVIDENCE, moved)


def _not_read_yet(wish: Wish, stored: EtcdSetting, seen: Shown, view: View) -> tuple[SettingState, str] | None:
    """Of a key that is read at start: who started before it was written, and does not act by it; None for nobody."""
    if view.under_way.get(wish.key) == wish.desired:
        return SettingState.APPLYING, f"written; {wish.component} restarts, one pod at a time"
    left = [pod for pod in readers(wish.component, view.snapshot) if not seen.acts(pod.pod, wish)]
    since = written_at(wish, stored, view)
    if since is None:
        unsettled = [pod.pod for pod in left if pod.ready or pod.started_at is not None]
        return _since_unknown(wish, seen, unsettled, view)
    older = started_before(left, since)
    if not older:
        return None
    return SettingState.PENDING_RESTART, (
        f"stored in {view.place} since {since:%Y-%m-%dT%H:%M:%SZ}; {listed(older)} started before that, and "
        f"{'reads' if len(older) == 1 else 'read'} it at the next start"
    )


def _for_a_restart(settled: Outcome, wish: Wish, stored: EtcdSetting, seen: Shown, view: View) -> Outcome:
    """The same where the restart alone is missing: of a value that we wrote, and of pods that are clearly older.

    Since when a value of somebody else is stored nobody says, and whether they want the restart neither. A minute
    between clocks must not replace pods that have read it. Nor is a change carried through by the back door that was
    rolled back, and whose key could not be withdrawn.
    """
    since = written_at(wish, stored, view)
    names = components_of(wish.component, view.snapshot)
    if settled.status.state is not SettingState.PENDING_RESTART or since is None or not names:
        return settled
    left = [pod for pod in readers(wish.component, view.snapshot) if not seen.acts(pod.pod, wish)]
    if not started_before(left, since - CLOCKS):
        return settled
    write = set_config(wish.key, stored, wish.desired, road=view.road)
    rollback = rollback_of(write, view.rollbacks) or restart_rollback(names, view.rollbacks)
    if rollback is not None:
        message = f"{settled.status.message}; that was {rolled_back(rollback)}; it is tried again a day later"
        return replace(settled, status=replace(settled.status, message=message))
    message = f"{settled.status.message}; a plan restarts {listed(names)}"
    status = replace(settled.status, message=message)
    return replace(settled, status=status, components=names, stored=True, inferred=wish.inferred)


def _since_unknown(wish: Wish, seen: Shown, left: Sequence[str], view: View) -> tuple[SettingState, str] | None:
    """Of a key that is read at start and was stored nobody knows when; left are the pods that do not act by it."""
    stored, differs = f"stored in {view.place} as declared", seen.other(wish)
    if differs is not None and differs[0] in seen.acting:
        pod, value = differs
        return (
            SettingState.PENDING_RESTART,
            f"{stored}, and {pod} still works by {value}: {wish.component} reads it at start",
        )
    if seen.values and not left:
        return None
    return SettingState.NO_EVIDENCE, f"{stored}, since when is not known; {wish.component} reads it at start only"


def _from_install(wish: Wish, view: View) -> Outcome | None:
    """How it stands where the install itself has the desired value, and etcd nothing; None where it has another.

    A process that shows another value has not taken the install's: then it is written.
    """
    value, source = beside(wish.name, view)
    seen = shown(wish, view.snapshot)
    if value is None or not wish.same(value) or (seen.values and not seen.proves(wish)):
        return None
    if seen.proves(wish):
        message = f"set in the install ({source}); {_told_by(seen)}"
        return _settled(wish, view, SettingState.EFFECTIVE, message)
    message = f"set as declared in the install ({source}); no running {wish.component} could be asked"
    return _settled(wish, view, SettingState.NO_EVIDENCE, message)


def _told_by(seen: Shown) -> str:
    """Who told the value, and how: what a process does says more than what it has read."""
    by_probe = seen.acting.issuperset(pod for pod, _ in seen.values)
    return f"a probe shows it at work on {_pods(seen)}" if by_probe else f"read back from {_pods(seen)}"


def _pods(seen: Shown) -> str:
    return listed(pod for pod, _ in seen.values)


# -- the value is not there ------------------------------------------------------------------------------------------


def _missing(wish: Wish, stored: EtcdSetting | None, view: View) -> Outcome:
    if wish.objection is not None:
        return _settled(wish, view, SettingState.NOT_APPLIED, wish.objection)
    step = set_config(wish.key, stored, wish.desired, inferred=wish.inferred, road=view.road)
    return _applying(wish, stored, view, step)


def _applying(wish: Wish, stored: EtcdSetting | None, view: View, step: Step) -> Outcome:
    change = f"{wish.key}: {stored.value if stored else 'unset'} -> {wish.desired}"
    rollback = rollback_of(step, view.rollbacks)
    if rollback is not None:
        message = f"{rolled_back(rollback)}; change the value to try again"
        return _settled(wish, view, SettingState.NOT_APPLIED, message)
    if not wish.live:
        return _at_restart(wish, view, step, change)
    if view.hindrance is not None:
        return _settled(wish, view, SettingState.NOT_APPLIED, f"{view.hindrance}; would set {change}")
    return Outcome(status=status_of(wish, view, SettingState.APPLYING, f"setting {change}"), step=step, key=wish.key)


def _at_restart(wish: Wish, view: View, step: Step, change: str) -> Outcome:
    """The step of a key that is read at start: it waits for a change that restarts its readers (restarts.py)."""
    names = components_of(wish.component, view.snapshot)
    if view.under_way.get(wish.key) == wish.desired:
        return _settled(wish, view, SettingState.APPLYING, f"setting {change}, then {listed(names)} restarts")
    message = f"read by {wish.component} at start only; a plan sets {change} and restarts {listed(names)}"
    if not names:
        message = f"read by {wish.component} at start only, and no pod of it is known; would set {change}"
        return _settled(wish, view, SettingState.PENDING_RESTART, message)
    status = status_of(wish, view, SettingState.PENDING_RESTART, message)
    return Outcome(status=status, step=step, key=wish.key, components=names)


# -- who decides where segments live -----------------------------------------------------------------------------------


def _placement(wish: Wish, stored: EtcdSetting | None, view: View) -> Outcome:
    if wish.same("true"):
        return _placement_of_milvus(wish, stored, view)
    if stored is None:
        return _applying(wish, stored, view, take_placement())
    owned = view.owned.get(wish.key)
    if owned is not None and stored.leased and owned.written == stored.value:
        return _stands(wish, stored, view)
    message = f"{wish.key} = {stored.value} is set by somebody else, and a key of others is never taken over: remove it"
    return _settled(wish, view, SettingState.NOT_APPLIED, message)


def _placement_of_milvus(wish: Wish, stored: EtcdSetting | None, view: View) -> Outcome:
    """Nothing to write: what is ours is handed back by not being claimed, what is not ours is not touched."""
    if wish.key in view.owned:
        state = SettingState.APPLYING if view.hindrance is None else SettingState.NOT_APPLIED
        return Outcome(status=status_of(wish, view, state, view.hindrance or "placement is being handed back"))
    if stored is None:
        return Outcome(status=_left_to_install(wish, view))
    if wish.same(stored.value):
        return Outcome(status=_stands(wish, stored, view).status)
    message = f"{wish.key} = {stored.value} is set by somebody else and left alone: Milvus does not balance"
    return Outcome(status=status_of(wish, view, SettingState.NOT_APPLIED, message))


def _left_to_install(wish: Wish, view: View) -> SettingStatus:
    """The key is not in etcd: Milvus balances, unless the install says otherwise."""
    (value, source), seen = beside_etcd(wish.name, view.snapshot), shown(wish, view.snapshot)
    other = seen.other(wish)
    if other is not None:
        message = f"not in etcd, and {other[0]} has {other[1]} from the install: Milvus does not balance"
        return status_of(wish, view, SettingState.NOT_APPLIED, message)
    if value is not None and not wish.same(value):
        message = f"the install ({source}) sets {wish.name} = {value}: Milvus does not balance"
        return status_of(wish, view, SettingState.NOT_APPLIED, message)
    message = "not in etcd: Milvus's own configuration decides"
    if seen.values:
        return status_of(wish, view, SettingState.EFFECTIVE, f"{message}; seen on {_pods(seen)}")
    return status_of(wish, view, SettingState.NO_EVIDENCE, f"{message}; no running {wish.component} could be asked")
