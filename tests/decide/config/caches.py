"""What the tests of the memory for loaded data share: policies, QueryNodes, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.decide.config.declared import Declared, declared, unsupported
from milvus_tuning.plan import SettingStatus
from milvus_tuning.snapshot import QueryNode, Snapshot
from tests.builders import GIB, NOON, a_node
from tests.decide.config.a_policy import a_policy, the_version

VERSION = the_version("2.6.20")


def a_cache(*, guard: int | None = None, **cache: Any) -> MilvusTuningSpec:
    balancing = {} if guard is None else {"loadBalancing": {"overloadedMemoryPercent": guard}}
    return a_policy(storage={"cache": cache}, **balancing)


def nodes(*loaded_gib: float | None, limit_gib: float | None = 8) -> tuple[QueryNode, ...]:
    """QueryNodes of 8 GiB that have so much loaded."""
    return tuple(
        replace(
            a_node(f"qn-{number}", node_id=number, memory=None if held is None else held / 8, loaded=held and held / 8),
            memory_limit_bytes=None if limit_gib is None else int(limit_gib * GIB),
        )
        for number, held in enumerate(loaded_gib, start=1)
    )


def status(spec: MilvusTuningSpec, snapshot: Snapshot, intent: str = "storage.cache") -> SettingStatus:
    (found,) = (one for one in unsupported(spec, snapshot, VERSION) if one.intent == intent)
    return found


def eviction(spec: MilvusTuningSpec, snapshot: Snapshot, version: str = "2.6.20") -> tuple[Declared, ...]:
    found = declared(spec, snapshot, the_version(version), NOON)
    return tuple(one for one in found if one.intent.field == "storage.cache.eviction")
