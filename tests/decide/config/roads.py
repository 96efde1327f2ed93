"""A Milvus object with leaves, records and a ConfigMap, beside what etcd holds; and what is written there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.catalogue import normalised
from milvus_tuning.decide.config.settings import setting_steps
from milvus_tuning.plan import MILVUS_RESOURCE, ROAD, SettingStatus, Step
from milvus_tuning.snapshot import EtcdSetting, OwnedKey, ResourceConfig, Snapshot
from tests.builders import NOON
from tests.decide.running.running import running

UID = "policy-1"
INTERVAL, TOLERANCE = "querycoord.autobalanceinterval", "querycoord.scoreunbalancetolerationfactor"
PLACEMENT, TASKS = "querycoord.autobalance", "proxy.maxtasknum"
LEAF = {INTERVAL: "60000"}
LONG_AGO, LATELY = NOON - timedelta(hours=1), NOON - timedelta(seconds=30)


def a_spec(road: str | None = MILVUS_RESOURCE, /, **declared: object) -> MilvusTuningSpec:
    spec = {"targetRef": {"kind": "Milvus", "name": "milvus"}, "mode": "Auto", **declared}
    return MilvusTuningSpec.model_validate(spec | ({"configDelivery": road} if road else {}))


BALANCE: dict[str, Any] = {"loadBalancing": {"balanceIntervalSeconds": 60}}


def stored(values: Mapping[str, str]) -> dict[str, EtcdSetting]:
    return {
        normalised(key): EtcdSetting(key=key, value=value, spellings=(key,), revision=0)
        for key, value in values.items()
    }


def a_snapshot(
    *,
    leaves: Mapping[str, str] | None = None,
    held: Mapping[str, OwnedKey] | None = None,
    etcd: Mapping[str, str] | None = None,
    held_in_etcd: Mapping[str, OwnedKey] | None = None,
    environment: Mapping[str, str] | None = None,
    readable: bool = True,
    version: str = "v2.5.27",
    trouble: str | None = None,
    rendered: Mapping[str, str] | None = None,
) -> Snapshot:
    """A Milvus object whose ConfigMap has followed; etcd is empty, or not readable."""
    found = {normalised(key): value for key, value in (leaves or {}).items()}
    config = ResourceConfig(
        settings=stored(leaves or {}),
        owned_keys={UID: held} if held else {},
        rendered=found if rendered is None else rendered,
        trouble=trouble,
    )
    snapshot = Snapshot(
        taken_at=NOON,
        milvus_version=version,
        settings=stored(etcd or {}) if readable else {},
        settings_readable=readable,
        etcd_root_path="by-dev" if readable else None,
        owned_keys={UID: held_in_etcd} if held_in_etcd else {},
        resource_config=config,
        install_config=found,
        environment_config={normalised(key): value for key, value in (environment or {}).items()},
    )
    return running(snapshot)


def ours(written: str, previous: str | None = None) -> OwnedKey:
    return OwnedKey(previous=previous, written=written, written_at=LONG_AGO)


def judged(spec: MilvusTuningSpec, snapshot: Snapshot) -> tuple[tuple[Step, ...], SettingStatus]:
    steps, (status, *_) = setting_steps(spec, snapshot, NOON, UID)
    return steps, status


def written(steps: tuple[Step, ...]) -> list[tuple[object, ...]]:
    """Road, key, value of each key that the steps write."""
    return [(step.action.get(ROAD), step.action["key"], step.action["value"]) for step in steps if "key" in step.action]
