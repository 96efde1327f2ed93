"""What a spec declares of Milvus's configuration, as values of intents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from milvus_tuning.api import LoadBalancing, MilvusTuningSpec, PlacementOwner
from milvus_tuning.catalogue import Intent, ServerVersion
from milvus_tuning.decide.guard import load_guard_objection
from milvus_tuning.plan import SettingStatus
from milvus_tuning.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class Declared:
    """An intent with the value that is declared for it."""

    intent: Intent
    value: int | str
    """A word for Conversion.WORD, else a number; a switch is 0 or 1."""
    note: str = ""
    """How it came about."""
    objection: str | None = None
    """Why it is not written although it has a lever: unsafe now."""


def declared(
    spec: MilvusTuningSpec, snapshot: Snapshot, version: ServerVersion | None, now: datetime
) -> tuple[Declared, ...]:
    """Every declared intent, safe or not."""
    del version
    return tuple(_declared(spec, snapshot, now))


def unsupported(spec: MilvusTuningSpec, snapshot: Snapshot, version: ServerVersion | None) -> tuple[SettingStatus, ...]:
    """What is declared and has no key at all."""
    del spec, snapshot, version
    return ()


def _declared(spec: MilvusTuningSpec, snapshot: Snapshot, now: datetime) -> Iterator[Declared]:
    balancing = spec.load_balancing or LoadBalancing()
    if balancing.placement_owner is not None:
        yield Declared(intent=Intent.PLACEMENT_OWNER, value=int(balancing.placement_owner is PlacementOwner.MILVUS))
    if balancing.balance_interval_seconds is not None:
        yield Declared(intent=Intent.BALANCE_INTERVAL, value=balancing.balance_interval_seconds)
    if balancing.balance_tolerance_percent is not None:
        yield Declared(intent=Intent.BALANCE_TOLERANCE, value=balancing.balance_tolerance_percent)
    if balancing.overloaded_memory_percent is not None:
        percent = balancing.overloaded_memory_percent
        objection = load_guard_objection(snapshot, now, percent=percent)
        yield Declared(intent=Intent.OVERLOADED_MEMORY, value=percent, objection=objection)
    if spec.consistency is not None and spec.consistency.staleness_milliseconds is not None:
        yield Declared(intent=Intent.STALENESS, value=spec.consistency.staleness_milliseconds)
