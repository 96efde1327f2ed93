"""What Milvus says about itself: version, processes, loaded collections, replicas, and where each segment is.

Placement is what the QueryNodes report through the API (GetQuerySegmentInfo), never a gauge: on 2.3.5
`milvus_querynode_segment_num` is 1 whatever the true count. Two calls per collection, within a budget per pass; what
was left out shows as coverage below 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from pymilvus.grpc_gen import milvus_pb2

from milvus_tuning.catalogue import ServerVersion, parse_version
from milvus_tuning.clients.milvus import (
    QUERY_NODE_ROLE,
    LoadedCollection,
    MilvusClient,
    MilvusError,
    MilvusFailure,
    MilvusNode,
)
from milvus_tuning.snapshot import (
    Collection,
    Freeze,
    FreezeReason,
    Problem,
    ProblemKind,
    Replica,
    Segment,
    SegmentState,
)

MOST_COLLECTIONS_PER_PASS: Final = 200
MOST_DATABASES_PER_PASS: Final = 64  # Milvus's own default limit, rootCoord.maxDatabaseNum
OLDEST_VERSION: Final = ServerVersion(2, 3, 0)
DEFAULT_DATABASE: Final = "default"
FULLY_LOADED_PERCENT: Final = 100
_GROWING: Final = 2  # common.proto, SegmentState
_PROBLEMS: Final = {
    MilvusFailure.CREDENTIALS_REJECTED: ProblemKind.MILVUS_CREDENTIALS_REJECTED,
    MilvusFailure.PERMISSION_DENIED: ProblemKind.PERMISSION_DENIED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class MilvusFacts:
    """One reading. nodes is None where system_info could not be read; coverage is the share of the loaded collections
    whose replicas and segments were read."""

    version: str | None = None
    nodes: tuple[MilvusNode, ...] | None = None
    collections: tuple[Collection, ...] = ()
    replicas: tuple[Replica, ...] = ()
    segments: tuple[Segment, ...] = ()
    coverage: float = 0.0
    freezes: tuple[Freeze, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Placement:
    replicas: tuple[Replica, ...]
    segments: tuple[Segment, ...]


def read_milvus(
    client: MilvusClient, *, budget_seconds: float, monotonic: Callable[[], float] = time.monotonic
) -> MilvusFacts:
    """Read everything within the budget; never raises for what Milvus does."""
    deadline = monotonic() + budget_seconds
    try:
        version = client.version()
        facts = MilvusFacts(version=version, nodes=client.nodes(), problems=_version_problems(client, version))
        collections = _loaded(client)
    except MilvusError as error:
        return MilvusFacts(problems=(problem_of(error),))
    facts = replace(facts, collections=tuple(collections), freezes=_loading_freezes(collections))
    return _with_placement(client, facts, lambda: monotonic() < deadline)


def problem_of(error: MilvusError) -> Problem:
    """What a failed call means for the snapshot."""
    return Problem(kind=_PROBLEMS.get(error.failure, ProblemKind.MILVUS_UNREACHABLE), message=str(error))


def query_nodes(nodes: tuple[MilvusNode, ...]) -> tuple[MilvusNode, ...]:
    """The QueryNodes among the processes (from 2.6 also those embedded in StreamingNodes; their pods are not ours)."""
    return tuple(node for node in nodes if node.role == QUERY_NODE_ROLE)


def _version_problems(client: MilvusClient, text: str) -> tuple[Problem, ...]:
    version = parse_version(text)
    if version is None:
        message = f"Milvus at {client.uri} says its version is {text!r}, which names no release"
        return (Problem(kind=ProblemKind.VERSION_UNKNOWN, message=message),)
    if version < OLDEST_VERSION:
        message = f"Milvus at {client.uri} is {version}; {OLDEST_VERSION} is the oldest that is supported"
        return (Problem(kind=ProblemKind.VERSION_UNSUPPORTED, message=message),)
    return ()


def _loaded(client: MilvusClient) -> list[Collection]:
    """The loaded collections of all databases; of the default one only where the role may not list databases."""
    try:
        databases = client.databases()[:MOST_DATABASES_PER_PASS] or (DEFAULT_DATABASE,)
    except MilvusError as error:
        if error.failure not in (MilvusFailure.PERMISSION_DENIED, MilvusFailure.REFUSED):
            raise
        databases = (DEFAULT_DATABASE,)
    return [_collection(database, found) for database in databases for found in client.loaded_collections(database)]


def _collection(database: str, found: LoadedCollection) -> Collection:
    return Collection(
        collection_id=found.collection_id, name=found.name, database=database, load_percent=found.load_percent
    )


def _loading_freezes(collections: list[Collection]) -> tuple[Freeze, ...]:
    loading = [found for found in collections if found.load_percent < FULLY_LOADED_PERCENT]
    if not loading:
        return ()
    named = ", ".join(f"{found.database}.{found.name} {found.load_percent} %" for found in loading[:5])
    return (Freeze(reason=FreezeReason.LOADING, message=f"{len(loading)} collections are being loaded: {named}"),)


def _with_placement(client: MilvusClient, facts: MilvusFacts, time_is_left: Callable[[], bool]) -> MilvusFacts:
    """The same facts with replicas and segments of as many collections as the budget allows."""
    read: list[_Placement] = []
    problems = list(facts.problems)
    for collection in facts.collections[:MOST_COLLECTIONS_PER_PASS]:
        if not time_is_left():
            break
        try:
            read.append(_placement(client, collection))
        except MilvusError as error:
            if error.failure is MilvusFailure.NOT_LOADED:  # released meanwhile
                read.append(_Placement(replicas=(), segments=()))
                continue
            problems.append(problem_of(error))
            break
    return replace(
        facts,
        replicas=tuple(replica for placement in read for replica in placement.replicas),
        segments=tuple(segment for placement in read for segment in placement.segments),
        coverage=len(read) / len(facts.collections) if facts.collections else 1.0,
        problems=tuple(problems),
    )


def _placement(client: MilvusClient, collection: Collection) -> _Placement:
    replicas = client.replicas(collection.database, collection.collection_id)
    segments = client.segments(collection.database, collection.name)
    return _Placement(
        replicas=tuple(sorted(map(_replica, replicas), key=lambda replica: replica.replica_id)),
        segments=tuple(sorted(map(_segment, segments), key=lambda segment: segment.segment_id)),
    )


def _replica(info: milvus_pb2.ReplicaInfo) -> Replica:
    shards = sorted(info.shard_replicas, key=lambda shard: str(shard.dm_channel_name))
    return Replica(
        replica_id=info.replicaID,
        collection_id=info.collectionID,
        node_ids=tuple(sorted(info.node_ids)),
        resource_group=info.resource_group_name,
        leaders=tuple((shard.dm_channel_name, shard.leaderID) for shard in shards if shard.leaderID > 0),
    )


def _segment(info: milvus_pb2.QuerySegmentInfo) -> Segment:
    return Segment(
        segment_id=info.segmentID,
        collection_id=info.collectionID,
        rows=info.num_rows,
        node_ids=tuple(sorted(set(info.nodeIds))),
        state=SegmentState.GROWING if info.state == _GROWING else SegmentState.SEALED,
    )
