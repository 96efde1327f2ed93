"""The memory of a QueryNode that loaded data may use, and what carries it out: mmap, and eviction from Milvus 2.6.4.

    budget          = (smallest memory limit of a serving QueryNode - reservedMemory) x usablePercent
    need            = most that a QueryNode must hold: now, or after the loss of any one of them
    high watermark  = budget / that memory limit, in whole percent;  low watermark = 5 points less

Example: three QueryNodes of 16 GiB, 4 GiB reserved, 70 %: a budget of 8.4 GiB, watermarks of 52 % and 47 %. With 4 GiB
loaded on each the two that are left after a loss hold 6 GiB each: the budget holds. With 6 GiB they hold 9 GiB.

No Milvus has a key for the size of a cache in bytes, so the budget itself is reported only. It is never made the load
guard (`queryCoord.overloadedMemoryThresholdPercentage`): nobody could reload what a lost QueryNode held.

Eviction is one block of three keys. From 2.6 on a QueryNode does not start unless low <= high <= load guard, also where
eviction is off (source of 2.6, initcore.InitTieredStorage; milvus#53053 is the same check of the disk). So the block is
given whole and consistent, or not at all, and a load guard below the high watermark that is in force is objected to.
Where memory limits are not known for a time, a consistent block that is in etcd stays as it is.

A node that is lost hands over to the others of its replicas. Bytes are known per node, not per replica, so each set of
others is asked to take all of them: exact with one replica per collection, on the safe side with several. Where no
other is left nobody takes over: the other replicas serve.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from milvus_tuning.api import Cache, MilvusTuningSpec, Switch, number_of
from milvus_tuning.catalogue import Conversion, Intent, ServerVersion, normalised
from milvus_tuning.decide.config.guard import load_guard_objection
from milvus_tuning.decide.config.intents import Declared, beneath_etcd, lever_of, range_objection, standing
from milvus_tuning.decide.load import node_loads, placement_gaps
from milvus_tuning.decide.words import listed, size
from milvus_tuning.plan import SettingState, SettingStatus
from milvus_tuning.snapshot import QueryNode, Snapshot

BUDGET_INTENT: Final = "storage.cache"
TIERED_STORAGE_CHECKED: Final = ServerVersion(2, 6, 0)  # from here on a QueryNode checks the order at its start
EVICTION_SINCE: Final = ServerVersion(2, 6, 4)  # tiered storage is supported from here on
WATERMARK_GAP_PERCENT: Final = 5  # as between Milvus's own defaults, 75 % and 80 %
DEFAULT_HIGH_WATERMARK_PERCENT: Final = 80.0  # in 2.6 and 3.0
DEFAULT_LOAD_GUARD_PERCENT: Final = 90.0  # in all versions
LOAD_GUARD_KEY: Final = "queryCoord.overloadedMemoryThresholdPercentage"
LOW_WATERMARK_KEY: Final = "queryNode.segcore.tieredStorage.memoryLowWatermarkRatio"
HIGH_WATERMARK_KEY: Final = "queryNode.segcore.tieredStorage.memoryHighWatermarkRatio"
EVICTION_KEY: Final = "queryNode.segcore.tieredStorage.evictionEnabled"


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """Bytes that loaded data may use on each QueryNode, and how many percent of the limit that is, rounded down."""

    bytes: int
    percent: int
    limit_bytes: int
    formula: str

    def __str__(self) -> str:
        return f"{self.formula} = {size(self.bytes)} for loaded data on each QueryNode"


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """Most bytes of loaded data that a QueryNode must hold; lost is the pod whose loss asks for it, None for now."""

    bytes: float
    lost: str | None

    def __str__(self) -> str:
        when = f"with {self.lost} lost a QueryNode" if self.lost else "the fullest QueryNode"
        return f"{when} must hold {size(self.bytes)}"


def budget_of(cache: Cache, snapshot: Snapshot) -> Budget | str:
    """The budget, or why there is none."""
    if not _limits_known(snapshot):
        unknown = listed(node.pod for node in snapshot.members if not node.memory_limit_bytes)
        return f"the memory limit is not known of {unknown or 'any QueryNode'}"
    limit_bytes, pod = min((node.memory_limit_bytes or 0, node.pod) for node in snapshot.members)
    reserved_bytes = number_of(cache.reserved_memory) if cache.reserved_memory else 0
    if reserved_bytes >= limit_bytes:
        return f"reservedMemory {size(reserved_bytes)} leaves nothing of the {size(limit_bytes)} of {pod}"
    usable = (limit_bytes - reserved_bytes) * cache.usable_percent
    return Budget(
        bytes=usable // 100,
        percent=usable // limit_bytes,
        limit_bytes=limit_bytes,
        formula=f"({size(limit_bytes)} - {size(reserved_bytes)}) x {cache.usable_percent} %",
    )


def need_of(snapshot: Snapshot, now: datetime) -> Need | str:
    """What must be loaded on one QueryNode at most, or why that cannot be told."""
    loads = {load.pod: load.loaded_bytes for load in node_loads(snapshot, now)}
    unknown = [pod for pod, loaded in loads.items() if loaded is None]
    if unknown or not loads:
        return f"what is loaded is not known of {listed(unknown) or 'any QueryNode'}"
    gaps = placement_gaps(snapshot.placement_coverage)
    if gaps:
        return gaps[0].what
    known = {pod: loaded for pod, loaded in loads.items() if loaded is not None}
    fullest = Need(bytes=max(known.values()), lost=None)
    return max((fullest, *_after_losses(known, snapshot)), key=lambda need: need.bytes)


def budget_status(cache: Cache, snapshot: Snapshot) -> SettingStatus:
    """The budget, and whether it holds with one QueryNode lost; as of the snapshot."""
    budget, need = budget_of(cache, snapshot), need_of(snapshot, snapshot.taken_at)
    if isinstance(budget, str):
        return _status(BUDGET_INTENT, SettingState.NOT_APPLIED, f"there is no budget: {budget}")
    if isinstance(need, str):
        message = f"{budget}; whether it holds cannot be told: {need}"
        return _status(BUDGET_INTENT, SettingState.NOT_APPLIED, message, desired=size(budget.bytes))
    holds = need.bytes <= budget.bytes
    message = f"{budget}; {need}" + ("" if holds else ", which is above it")
    state = SettingState.EFFECTIVE if holds else SettingState.NOT_APPLIED
    return _status(BUDGET_INTENT, state, message, desired=size(budget.bytes))


def mmap_objection(spec: MilvusTuningSpec, snapshot: Snapshot, now: datetime) -> str | None:
    """Why mmap must not be switched off now: what is loaded would not fit into memory, also with one node lost."""
    return _memory_objection("without mmap", spec, snapshot, now)


def eviction(
    spec: MilvusTuningSpec, cache: Cache, snapshot: Snapshot, version: ServerVersion | None, now: datetime
) -> tuple[Declared, ...]:
    """Eviction as declared: with its watermarks from 2.6.4 on, with nothing where they cannot be consistent."""
    if cache.eviction is None:
        return ()
    if cache.eviction is Switch.DISABLED:
        text = standing(snapshot, EVICTION_KEY)
        on = text is not None and Conversion.SWITCH.same(text, "true")
        objection = _memory_objection("without eviction", spec, snapshot, now) if on else None
        return (Declared(intent=Intent.EVICTION, value=0, objection=objection),)
    if version is None or version < EVICTION_SINCE:
        return (Declared(intent=Intent.EVICTION, value=1),)
    block = _block(spec, cache, snapshot, version)
    return () if isinstance(block, str) else block


def eviction_trouble(
    spec: MilvusTuningSpec, cache: Cache, snapshot: Snapshot, version: ServerVersion | None
) -> SettingStatus | None:
    """Why eviction is not given although it is declared and the version has it; None where it is given."""
    if cache.eviction is not Switch.ENABLED or version is None or version < EVICTION_SINCE:
        return None
    block = _block(spec, cache, snapshot, version)
    if not isinstance(block, str):
        return None
    return _status(Intent.EVICTION, SettingState.NOT_APPLIED, f"neither eviction nor its watermarks are set: {block}")


def watermark_objection(snapshot: Snapshot, version: ServerVersion | None, *, percent: int) -> str | None:
    """Why the load guard must not be set to this percentage: QueryNodes would not start again; None before 2.6."""
    if version is None or version < TIERED_STORAGE_CHECKED:
        return None
    high = _highest_watermark_percent(snapshot)
    if percent >= high:
        return None
    return (
        f"a guard of {percent} % is below the high watermark of {high:g} % ({HIGH_WATERMARK_KEY}): no QueryNode would "
        f"start again. Lower that one first, wherever it is set"
    )


# -- eviction ---------------------------------------------------------------------------------------------------------


def _block(
    spec: MilvusTuningSpec, cache: Cache, snapshot: Snapshot, version: ServerVersion
) -> tuple[Declared, ...] | str:
    """Watermarks and switch in the order to write them, or why there is no consistent block."""
    budget, guard = budget_of(cache, snapshot), _load_guard_percent(spec, snapshot)
    if isinstance(guard, str):
        return guard
    if isinstance(budget, str):
        return budget if _limits_known(snapshot) else _kept(snapshot, guard, budget)
    high = budget.percent
    low = high - WATERMARK_GAP_PERCENT
    if low < 1:
        return (
            f"the budget of {size(budget.bytes)} is {high} % of {size(budget.limit_bytes)}, too little for watermarks"
        )
    if high > guard:
        return (
            f"the high watermark of {high} % would be above the load guard of {guard:g} %, and no QueryNode would "
            f"start again: raise reservedMemory, or lower usablePercent"
        )
    note = f"high watermark {high} %, low {low} %, load guard {guard:g} %: {budget}"
    lower = Declared(intent=Intent.EVICTION_LOW, value=low, note=note)
    upper = Declared(intent=Intent.EVICTION_HIGH, value=high, note=note)
    switch = Declared(intent=Intent.EVICTION, value=1, note=note)
    raised = high > _high_watermark_percent(snapshot)
    block = (upper, lower, switch) if raised else (lower, upper, switch)  # low <= high holds after each write
    return next(_outside(block, version), None) or block


def _kept(snapshot: Snapshot, guard: float, missing: str) -> tuple[Declared, ...] | str:
    """The block that is in etcd, whole; to hand it back for want of an observation would be a change as well."""
    keys = (LOW_WATERMARK_KEY, HIGH_WATERMARK_KEY, EVICTION_KEY)
    stored = [one.value for key in keys if (one := snapshot.settings.get(normalised(key))) is not None]
    if len(stored) < len(keys) or not Conversion.SWITCH.same(stored[2], "true"):
        return missing
    low, high = (round(_percent(text)) for text in stored[:2])
    same = Conversion.PERCENT_TO_RATIO.same
    if not 0 < low < high <= guard or not same(stored[0], _ratio(low)) or not same(stored[1], _ratio(high)):
        return missing
    note = f"stays as it stands, it cannot be reckoned now: {missing}"
    values = ((Intent.EVICTION_LOW, low), (Intent.EVICTION_HIGH, high), (Intent.EVICTION, 1))
    return tuple(Declared(intent=intent, value=value, note=note) for intent, value in values)


def _outside(block: tuple[Declared, ...], version: ServerVersion) -> Iterator[str]:
    """What of the block is outside of the safe range of its lever."""
    for one in block:
        lever = lever_of(one.intent, version)
        objection = range_objection(lever, one.value) if lever is not None else None
        if lever is not None and objection is not None:
            yield f"{lever.key}: {objection}"


def _load_guard_percent(spec: MilvusTuningSpec, snapshot: Snapshot) -> float | str:
    """The lowest load guard of those declared, in etcd and of the install, or what is wrong with one of them.

    Each of them may hold by the time that a QueryNode starts: what is in etcd may go, what is declared may come.
    """
    texts = _texts(snapshot, LOAD_GUARD_KEY, default=DEFAULT_LOAD_GUARD_PERCENT)
    numbers = [_number(text) for text in texts]
    unreadable = [text for text, number in zip(texts, numbers, strict=True) if number is None]
    if unreadable:
        return f"{LOAD_GUARD_KEY} is set to {unreadable[0]!r}, which is no number"
    declared = spec.load_balancing.overloaded_memory_percent if spec.load_balancing else None
    return min(number for number in (*numbers, declared) if number is not None)


def _highest_watermark_percent(snapshot: Snapshot) -> float:
    """The highest high watermark of etcd and of the install; Milvus takes what it cannot read for 0."""
    texts = _texts(snapshot, HIGH_WATERMARK_KEY, default=DEFAULT_HIGH_WATERMARK_PERCENT / 100)
    return max(_percent(text) for text in texts)


def _high_watermark_percent(snapshot: Snapshot) -> float:
    """The high watermark that is in force."""
    text = standing(snapshot, HIGH_WATERMARK_KEY)
    return DEFAULT_HIGH_WATERMARK_PERCENT if text is None else _percent(text)


def _texts(snapshot: Snapshot, key: str, *, default: float) -> tuple[str, ...]:
    """What is in etcd, if anything, and what holds without it."""
    stored, beneath = snapshot.settings.get(normalised(key)), beneath_etcd(snapshot, key)
    without = str(default) if beneath is None else beneath
    return (without,) if stored is None else (stored.value, without)


def _percent(ratio: str) -> float:
    """0.55 -> 55, without the dust of binary fractions."""
    return round(100 * (_number(ratio) or 0.0), 6)


def _ratio(percent: int) -> str:
    return Conversion.PERCENT_TO_RATIO.text(percent)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _limits_known(snapshot: Snapshot) -> bool:
    return bool(snapshot.members) and all(node.memory_limit_bytes for node in snapshot.members)


# -- memory -----------------------------------------------------------------------------------------------------------


def _memory_objection(without: str, spec: MilvusTuningSpec, snapshot: Snapshot, now: datetime) -> str | None:
    """Why everything that is loaded cannot be in memory, under the load guard and with one node lost."""
    guard = _load_guard_percent(spec, snapshot)
    objection = guard if isinstance(guard, str) else load_guard_objection(snapshot, now, percent=int(guard))
    return f"{without} all that is loaded must be in memory: {objection}" if objection is not None else None


def _after_losses(loaded: Mapping[str, float], snapshot: Snapshot) -> Iterator[Need]:
    """What the others would hold each, for the loss of each node and each set that takes over."""
    for lost in snapshot.members:
        for nodes in _takers(lost, snapshot):
            total = math.fsum(loaded[node.pod] for node in nodes) + loaded[lost.pod]
            yield Need(bytes=total / len(nodes), lost=lost.pod)


def _takers(lost: QueryNode, snapshot: Snapshot) -> Iterator[tuple[QueryNode, ...]]:
    """The sets of nodes that take over, never empty: the others of each replica, or all others where it has none."""
    others = tuple(node for node in snapshot.members if node.pod != lost.pod)
    mine = [replica for replica in snapshot.replicas if lost.node_id is not None and lost.node_id in replica.node_ids]
    sets = [tuple(node for node in others if node.node_id in replica.node_ids) for replica in mine] or [others]
    yield from (nodes for nodes in dict.fromkeys(sets) if nodes)


def _status(intent: str, state: SettingState, message: str, *, desired: str | None = None) -> SettingStatus:
    return SettingStatus(
        intent=intent, key=None, desired=desired, effective=None, source=None, state=state, message=message
    )
