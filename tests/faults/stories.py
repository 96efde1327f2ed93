"""The changes that are interrupted, one for each kind of step, and what the outside world has to play in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from milvus_tuning.api import Consistency, MilvusTuningSpec, TargetKind, TargetReference
from milvus_tuning.catalogue import config_key, parse_version, stored_spelling
from milvus_tuning.clients.collection_levels import level_record_key
from milvus_tuning.clients.etcd import EtcdClient, Put
from milvus_tuning.clients.handback import HandBack, record_key
from milvus_tuning.decide.config.consistency import collection_consistency
from milvus_tuning.decide.config.restart_steps import restart_bracket
from milvus_tuning.decide.placement.steps import Relocation, move_steps, replica_steps
from milvus_tuning.plan import Step, StepKind
from milvus_tuning.snapshot import Segment, Snapshot
from tests.integration.conftest import Object

TOLERANCE, BALANCE = "queryCoord.scoreUnbalanceTolerationFactor", "queryCoord.autoBalance"
LEASE_SECONDS = 300
STRONG = {"collections": [{"name": "demo", "level": "Strong"}]}
SETTLE_SECONDS = 1  # nobody plays that Milvus takes longer to read a key
Prepare = Callable[[EtcdClient, str, str], None]  # etcd, root path, uid of the policy
Planned = Callable[[Snapshot], tuple[Step, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """A spec that calls for one change, or a change that is under way already (planned), its first step to be begun.

    prepare puts into etcd what an earlier change left, and leaf (key and value) is what it left in the Milvus object;
    writes is how many outside writes the change takes; effects is what changes, seen from outside: how often the spec
    of the QueryNodes' owner, how often each key. The stand-in of milvus-operator runs a target of kind Milvus.
    """

    spec: Object
    steps: tuple[str, ...]
    writes: int
    effects: Mapping[str, int]
    recording: str = "prometheus_idle.json"
    prepare: Prepare = field(default=lambda *_: None)
    planned: Planned | None = None
    leaf: tuple[str, str] | None = None
    milvus_version: str | None = None  # another one than the recorded


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


def _a_swap(snapshot: Snapshot) -> tuple[Step, ...]:
    """The first segment of one QueryNode against the first of the other."""
    (first, one), (second, other) = (
        (segment.segment_id, segment.node_ids[0]) for segment in _first_of_each_node(snapshot.segments)
    )
    collection = snapshot.collections[0].collection_id
    swap = [
        Relocation(collection_id=collection, segment_id=segment, source_node_id=source, destination_node_id=goal)
        for segment, source, goal in ((first, one, other), (second, other, one))
    ]
    take, *moves, give = move_steps(swap, snapshot, hold_balancer=True)
    return replace(take, verification={**take.verification, "settleSeconds": SETTLE_SECONDS}), *moves, give


def _first_of_each_node(segments: Iterable[Segment]) -> Iterable[Segment]:
    return {segment.node_ids: segment for segment in sorted(segments, key=lambda one: -one.segment_id)}.values()


def _a_replica_more(snapshot: Snapshot) -> tuple[Step, ...]:
    groups = (snapshot.replicas[0].resource_group,)
    return replica_steps(snapshot.collections[0], before=1, after=2, resource_groups=groups, deadline_seconds=600)


def _strong(snapshot: Snapshot) -> tuple[Step, ...]:
    """The recorded collection, declared Strong as in the spec of the story, with the level that Milvus tells."""
    consistency = Consistency.model_validate(STRONG)
    spec = MilvusTuningSpec(
        target_ref=TargetReference(kind=TargetKind.HELM_RELEASE, name="my-release"), consistency=consistency
    )
    steps, _ = collection_consistency(spec, snapshot, parse_version(snapshot.milvus_version))
    return steps


def _level_record(collection: str) -> dict[str, int]:
    """It changes once."""
    return {f"etcd {level_record_key('', 'UID', 'default', collection).strip('/')}": 1}


def _a_restart(component: str, snapshot: Snapshot) -> tuple[Step, ...]:
    """A key between the two halves of a restart of the component, as for one that is read at start."""
    found = restart_bracket([component], snapshot)
    if isinstance(found, str):
        raise TypeError(found)
    back, forward = found
    absent, ours = ({"key": stored_spelling(TOLERANCE), "value": value} for value in (None, "0.1"))
    key = Step(kind=StepKind.SET_CONFIG, precondition=absent, action=ours, verification=ours, undo=absent)
    return *back, key, *forward


INTERVAL, RESOURCE_VERSION = "queryCoord.autoBalanceInterval", "v2.5.27"  # reads a mounted file again
_MILVUS = {"kind": "Milvus", "name": "my-release"}
_ON_RESOURCE = {"targetRef": _MILVUS, "configDelivery": "MilvusResource"}
_WRITTEN = {"Milvus spec": 1, "patch milvuses": 1}
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
    "set a leaf of the Milvus object": Story(
        spec={**_ON_RESOURCE, "loadBalancing": {"balanceIntervalSeconds": 60}},
        steps=("SetConfig",),
        writes=1,
        effects=_WRITTEN,
        milvus_version=RESOURCE_VERSION,
    ),
    "hand a leaf of the Milvus object back": Story(
        spec=_ON_RESOURCE,
        steps=("SetConfig",),
        writes=1,
        effects=_WRITTEN,
        leaf=(INTERVAL, "60000"),
        milvus_version=RESOURCE_VERSION,
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
    "swap segments": Story(
        spec={},
        steps=("TakePlacement", "MoveSegments", "MoveSegments", "ReturnPlacement"),
        writes=6,
        effects={**dict.fromkeys(_key_and_record(BALANCE), 2), "milvus LoadBalance": 2},
        planned=_a_swap,
    ),
    "change the in-memory replicas": Story(
        spec={},
        steps=("SetReplicaNumber",),
        writes=1,
        effects={"milvus LoadCollection": 1},
        planned=_a_replica_more,
        milvus_version="v2.4.13",
    ),
    "change a consistency level": Story(
        spec={"consistency": STRONG},
        steps=("SetCollectionProperty",),
        writes=2,
        effects={**_level_record("demo"), "milvus AlterCollection": 1},
        planned=_strong,
        milvus_version="v2.5.5",
    ),
    "restart a component": Story(
        spec={"loadBalancing": {"balanceTolerancePercent": 10}},
        steps=("RestartComponent", "SetConfig", "RestartComponent"),
        writes=2,
        effects={**_key_and_record(TOLERANCE), "create pods/eviction": 1},
        planned=partial(_a_restart, "Proxy"),
    ),
    "restart the QueryNodes": Story(
        spec={"loadBalancing": {"balanceTolerancePercent": 10}},
        steps=("RestartComponent", "SetConfig", "RestartComponent"),
        writes=3,
        effects={**_key_and_record(TOLERANCE), "create pods/eviction": 2},
        planned=partial(_a_restart, "QueryNode"),
    ),
    "prefer a zone": Story(
        spec={
            "targetRef": _MILVUS,
            "queryNodes": {"minCount": 2, "maxCount": 2, "zonePreference": "WithProxies"},
        },
        steps=("SetScheduling",),
        writes=1,
        effects=_WRITTEN,
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
