"""The changes that are interrupted, one for each kind of step, and what the outside world has to play in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from milvus_tuning.catalogue import config_key, stored_spelling
from milvus_tuning.clients.etcd import EtcdClient, Put
from milvus_tuning.clients.handback import HandBack, record_key
from tests.integration.conftest import Object

TOLERANCE, BALANCE = "queryCoord.scoreUnbalanceTolerationFactor", "queryCoord.autoBalance"
LEASE_SECONDS = 300
Prepare = Callable[[EtcdClient, str, str], None]  # etcd, root path, uid of the policy


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """A spec that calls for one change.

    prepare puts into etcd what an earlier change left; writes is how many outside writes the change takes; effects is
    what changes, seen from outside: how often the Deployment's spec, how often each key.
    """

    spec: Object
    steps: tuple[str, ...]
    writes: int
    effects: Mapping[str, int]
    recording: str = "prometheus_idle.json"
    prepare: Prepare = field(default=lambda *_: None)


def _ours(key: str, written: str, *, leased: bool) -> Prepare:
    """A key that this policy wrote where there was none, with its record."""

    def prepare(etcd: EtcdClient, root_path: str, policy_uid: str) -> None:
        lease = etcd.lease_grant(LEASE_SECONDS) if leased else 0
        record = HandBack(key=stored_spelling(key), previous=None, written=written).text()
        path, record_path = config_key(root_path, key), record_key(root_path, policy_uid, key)
        puts = [Put(key=path, value=written, lease_id=lease), Put(key=record_path, value=record, lease_id=lease)]
        etcd.transaction(compare=[], then=puts)

    return prepare


def _key_and_record(key: str) -> dict[str, int]:
    """Both change, once."""
    return {f"etcd {path.strip('/')}": 1 for path in (config_key("", key), record_key("", "UID", key))}


_SCALED = {"Deployment spec": 1, "patch deployments/scale": 1}
STORIES = {
    "scale out": Story(
        spec={"queryNodes": {"minCount": 3, "maxCount": 5}},
        steps=("ScaleQueryNodes",),
        writes=1,
        effects=_SCALED,
    ),
    "drain and scale in": Story(
        spec={"queryNodes": {"minCount": 1, "maxCount": 1}},
        steps=("DrainQueryNode", "ScaleQueryNodes"),
        writes=2,
        effects={**_SCALED, "patch pods": 1},
    ),
    "set a key": Story(
        spec={"loadBalancing": {"balanceTolerancePercent": 10}},
        steps=("SetConfig",),
        writes=1,
        effects=_key_and_record(TOLERANCE),
    ),
    "hand a key back": Story(
        spec={},
        steps=("SetConfig",),
        writes=1,
        effects=_key_and_record(TOLERANCE),
        prepare=_ours(TOLERANCE, "0.1", leased=False),
    ),
    "take placement": Story(
        spec={"loadBalancing": {"placementOwner": "Operator"}},
        steps=("TakePlacement",),
        writes=2,
        effects=_key_and_record(BALANCE),
    ),
    "return placement": Story(
        spec={"loadBalancing": {"placementOwner": "Milvus"}},
        steps=("ReturnPlacement",),
        writes=2,
        effects=_key_and_record(BALANCE),
        prepare=_ours(BALANCE, "false", leased=True),
    ),
}


def without_node(recorded: Mapping[str, Any], gone: int, stays: int) -> dict[str, Any]:
    """A recorded reply of Milvus once everything of one node is served by another one."""

    def moved(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: moved(value) for name, value in part.items()}
        if isinstance(part, list):
            return list({json.dumps(moved(one)): moved(one) for one in part}.values())
        return str(stays) if part == str(gone) else part

    answer: dict[str, Any] = moved(recorded)
    return answer
