"""What Milvus says about itself: version, processes, loaded collections, replicas, and where each segment is.

Placement is what the QueryNodes report through the API (GetQuerySegmentInfo), never a gauge: on 2.3.5
`milvus_querynode_segment_num` is 1 whatever the true count. Two calls per collection, within a budget per pass; with
very many collections they are read in turn (`placement_cache`), and what is not known shows as coverage below 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pymilvus.grpc_gen import common_pb2, milvus_pb2

from milvus_tuning.catalogue import ServerVersion, parse_version
from milvus_tuning.clients.milvus import (
    QUERY_NODE_ROLE,
    LoadedCollection,
    MilvusClient,
    MilvusError,
    MilvusFailure,
    MilvusNode,
)
from milvus_tuning.observe.levels import CollectionNames, with_levels
from milvus_tuning.observe.memory import ClusterMemory
from milvus_tuning.observe.placement_cache import Placement
from milvus_tuning.observe.resource_groups import read_resource_groups
from milvus_tuning.observe.shapes import with_shapes
from milvus_tuning.snapshot import (
    Collection,
    Freeze,
    FreezeReason,
    Problem,
    ProblemKind,
    Replica,
    ResourceGroup,
    Segment,
    SegmentState,
)

MOST_DATABASES_PER_PASS: Final = 64  # Milvus's own default limit, rootCoord.maxDatabaseNum
OLDEST_VERSION: Final = ServerVersion(2, 3, 0)
DEFAULT_DATABASE: Final = "default"
FULLY_LOADED_PERCENT: Final = 100
_GROWING: Final = 2  # common.proto, SegmentState
_PLACEMENT_SHARE: Final = 0.75  # of the budget, where shapes or levels are asked for too
_SILENT: Final = frozenset({MilvusFailure.UNREACHABLE, MilvusFailure.CREDENTIALS_REJECTED})
_PROBLEMS: Final = {
    MilvusFailure.CREDENTIALS_REJECTED: ProblemKind.MILVUS_CREDENTIALS_REJECTED,
    MilvusFailure.PERMISSION_DENIED: ProblemKind.PERMISSION_DENIED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class MilvusFacts:
    """One reading. nodes is None where system_info could not be read; coverage is the share of the loaded collections
    whose replicas and segments are known, and young enough to count (`placement_cache`)."""

    version: str | None = None
    nodes: tuple[MilvusNode, ...] | None = None
    collections: tuple[Collection, ...] = ()
    replicas: tuple[Replica, ...] = ()
    segments: tuple[Segment, ...] = ()
    resource_groups: tuple[ResourceGroup, ...] = ()
    coverage: float = 0.0
    freezes: tuple[Freeze, ...] = ()
    problems: tuple[Problem, ...] = ()


def read_milvus(
    client: MilvusClient,
    memory: ClusterMemory,
    *,
    budget_seconds: float,
    shapes: bool = False,
    levels: CollectionNames = frozenset(),
    monotonic: Callable[[], float] = time.monotonic,
) -> MilvusFacts:
    """Read everything within the budget, with the shapes of the collections where asked to; never raises for Milvus.

    levels names the collections whose consistency level is declared; those that were written are read as well.
    memory is what the passes before read through the same connection.
    """
    start = monotonic()
    deadline = start + budget_seconds
    levels = levels | memory.owned_levels
    placed_by = start + budget_seconds * (_PLACEMENT_SHARE if shapes or levels else 1.0)
    try:
        version = client.version()
        facts = MilvusFacts(version=version, nodes=client.nodes(), problems=_version_problems(client, version))
        collections = _loaded(client)
    except MilvusError as error:
        return MilvusFacts(problems=(problem_of(error),))
    facts = replace(facts, collections=tuple(collections), freezes=_loading_freezes(collections))
    facts = _with_placement(client, facts, memory, deadline=placed_by, monotonic=monotonic)
    groups = read_resource_groups(client, facts.replicas, lambda: monotonic() < deadline)
    facts = replace(facts, resource_groups=groups)
    found: Sequence[Collection] = collections
    if levels:
        found = with_levels(client, found, levels, memory.levels, deadline=deadline, monotonic=monotonic)
    if shapes:
        found = with_shapes(client, found, memory.shapes, memory.searches, deadline=deadline, monotonic=monotonic)
    return replace(facts, collections=tuple(found))


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


def _with_placement(
    client: MilvusClient,
    facts: MilvusFacts,
    memory: ClusterMemory,
    *,
    deadline: float,
    monotonic: Callable[[], float],
) -> MilvusFacts:
    """The same facts with what is known of replicas and segments, after reading anew what is due by the deadline.

    A call that Milvus refuses costs its collection; a Milvus that does not answer is asked no more in this pass.
    """
    cache, problems = memory.placement, list[Problem]()
    for collection in cache.due(facts.collections, memory.searches):
        now = monotonic()
        if now >= deadline:
            break
        cache.tried(collection, now)
        try:
            cache.keep(collection, _placement(client, collection), now)
        except MilvusError as error:
            if error.failure is MilvusFailure.NOT_LOADED:  # released meanwhile
                cache.keep(collection, Placement(), now)
                continue
            problems.append(problem_of(error))
            if error.failure in _SILENT:
                break
    known = cache.known(facts.collections, monotonic())
    return replace(
        facts,
        replicas=known.replicas,
        segments=known.segments,
        coverage=known.coverage,
        problems=(*facts.problems, *problems[:1]),
    )


def _placement(client: MilvusClient, collection: Collection) -> Placement:
    """The sealed and growing segments of a collection and its replicas.

    Segments of level L0 (from 2.4) hold deletes only, live with the shard leader and cannot be moved: they are none.
    """
    replicas = client.replicas(collection.database, collection.collection_id)
    found = client.segments(collection.database, collection.name)
    segments = (_segment(info) for info in found if info.level != common_pb2.L0)
    return Placement(
        replicas=tuple(sorted(map(_replica, replicas), key=lambda replica: replica.replica_id)),
        segments=tuple(sorted(segments, key=lambda segment: segment.segment_id)),
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
        partition_id=info.partitionID or None,
        memory_bytes=info.mem_size or None,
    )
