"""Whether a collection may have one in-memory replica more, or one fewer: the checks, in order.

More:

    maximum     it has fewer than its maxCount
    groups      all its replicas are in one resource group: which group a further copy should serve is not ours to say
    nodes       the resource group has a QueryNode for each replica
    nodes first more QueryNodes, where queryNodes allows them and they would get a part of the collection
    fit         each node of the group carries its share of the copies under the load guard (`fit`)
    N-1 fit     and does so with one more of them lost
    version     from Milvus 2.4.13 on, since before the number can only be changed by releasing the collection

Fewer: more than minCount, resource groups as above, and the predicted even computation stays 10 percent points below
what would call for a replica again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from milvus_tuning.catalogue import ServerVersion
from milvus_tuning.decide.rebalancing.model import DEFAULT_RESOURCE_GROUP
from milvus_tuning.decide.replicas.case import Case, ReplicaChange, groups_of, nodes_of, segments_of
from milvus_tuning.decide.replicas.fit import why_no_room
from milvus_tuning.decide.replicas.gain import LEAST_SHARE_RATIO
from milvus_tuning.decide.size.context import LIVE_REPLICA_CHANGE
from milvus_tuning.decide.words import listed, percent
from milvus_tuning.plan import Reason, Rejection
from milvus_tuning.snapshot import Snapshot

SWING_MARGIN_PERCENT: Final = 10  # a replica less must not call for itself again


Check = Callable[[Case, ReplicaChange], Rejection | None]


def why_no_more(case: Case, change: ReplicaChange) -> Rejection | None:
    """The first check that a replica more does not pass, or None."""
    return _first((_maximum, _groups, _nodes, _nodes_first, why_no_room, _version), case, change)


def why_not_raised(case: Case, change: ReplicaChange) -> Rejection | None:
    """The same where minCount asks for the replica: more QueryNodes are no answer to that."""
    return _first((_maximum, _groups, _nodes, why_no_room, _version), case, change)


def why_no_less(case: Case, change: ReplicaChange) -> Rejection | None:
    """The first check that a replica less does not pass, or None."""
    return _first((_minimum, _groups, _overload, _version), case, change)


def find_growth(case: Case) -> tuple[ReplicaChange | None, tuple[Rejection, ...]]:
    """The hottest collection that may have a replica more, and why hotter ones may not.

    Only a collection that makes 20 % of the heat or more counts: of another one the QueryNodes would feel nothing.
    """
    rejected: list[Rejection] = []
    for change in _hottest_first(case):
        rejection = why_no_more(case, change)
        if rejection is None:
            return change, tuple(rejected)
        rejected.append(rejection)
    return None, tuple(rejected)


def hottest(case: Case) -> ReplicaChange | None:
    """A replica more of the hottest collection, whether or not it may have one; None where none is hot."""
    return next(_hottest_first(case), None)


# -- checks -----------------------------------------------------------------------------------------------------------


def _first(checks: Sequence[Check], case: Case, change: ReplicaChange) -> Rejection | None:
    return next((found for check in checks if (found := check(case, change)) is not None), None)


def _hottest_first(case: Case) -> Iterator[ReplicaChange]:
    by_id = {collection.collection_id: collection for collection in case.snapshot.collections}
    for hot in sorted(case.heat.collections, key=lambda one: (-one.cores, one.database, one.name)):
        before = case.replicas_of(hot.collection_id)
        if hot.share_ratio >= LEAST_SHARE_RATIO and hot.collection_id in by_id and before:
            yield ReplicaChange(collection=by_id[hot.collection_id], before=before, after=before + 1)


def _maximum(case: Case, change: ReplicaChange) -> Rejection | None:
    most = case.bounds(change.collection)[1]
    if change.after <= most:
        return None
    message = f"{change.collection.full_name} has {change.before} in-memory replicas, maxCount is {most}"
    return change.reject(Reason.AT_MAXIMUM, message)


def _minimum(case: Case, change: ReplicaChange) -> Rejection | None:
    least = case.bounds(change.collection)[0]
    if change.after >= least:
        return None
    message = f"{change.collection.full_name} has {change.before} in-memory replicas, minCount is {least}"
    return change.reject(Reason.AT_MINIMUM, message)


def _groups(case: Case, change: ReplicaChange) -> Rejection | None:
    """Milvus takes one resource group, or as many as there are replicas."""
    groups = groups_of(case, change.collection.collection_id)
    if len(groups) == 1 or len(groups) == change.after:
        return None
    message = (
        f"the replicas of {change.collection.full_name} are in the resource groups {listed(groups)}, and Milvus takes "
        f"one group or as many as replicas: call load_collection with replica_number={change.after} and the "
        "resource_groups of your choice"
    )
    return change.reject(Reason.MANUAL_ACTION_REQUIRED, message)


def _nodes(case: Case, change: ReplicaChange) -> Rejection | None:
    groups = groups_of(case, change.collection.collection_id)
    nodes = nodes_of(case, groups)
    if change.after <= len(nodes):
        return None
    message = (
        f"resource group {listed(groups)} has {len(nodes)} QueryNodes, and Milvus refuses {change.after} in-memory "
        "replicas there: it needs one for each; add a QueryNode first"
    )
    return change.reject(Reason.REPLICA_NEEDS_NODES, message)


def _nodes_first(case: Case, change: ReplicaChange) -> Rejection | None:
    """Up: nodes first, replicas second. A collection with no more segments than nodes gains nothing from a node."""
    rules = case.spec.query_nodes
    if rules is None or next_node_count(case.snapshot, case.version) > rules.max_count:
        return None
    sealed, _ = segments_of(case.snapshot, change.collection.collection_id)
    mine = [one for one in case.snapshot.replicas if one.collection_id == change.collection.collection_id]
    nodes = min((len(replica.node_ids) for replica in mine), default=0)
    if len(sealed) <= nodes:
        return None
    message = (
        f"there are {case.count} of at most {rules.max_count} QueryNodes, and another one would take its part of the "
        f"{len(sealed)} segments of {change.collection.full_name}: nodes come before replicas"
    )
    return change.reject(Reason.REPLICA_NEEDS_NODES, message)


def next_node_count(snapshot: Snapshot, version: ServerVersion | None) -> int:
    """The next larger number of QueryNodes: before 2.4.13 the next multiple of the in-memory replicas."""
    copies = Counter(replica.collection_id for replica in snapshot.replicas)
    fixed = version is None or version < LIVE_REPLICA_CHANGE
    multiple = max(copies.values(), default=1) if fixed else 1
    return (len(snapshot.members) // multiple + 1) * multiple


def _version(case: Case, change: ReplicaChange) -> Rejection | None:
    if case.version is not None and case.version >= LIVE_REPLICA_CHANGE:
        return None
    name, groups = change.collection.full_name, groups_of(case, change.collection.collection_id)
    message = (
        f"Milvus {case.version} changes the number of in-memory replicas only while a collection is not loaded: {name} "
        f"CANNOT BE SEARCHED from the first of these commands until the second is through: {commands(change, groups)}. "
        f"The nearest lever that keeps it loaded: more QueryNodes, in multiples of {change.before}"
    )
    return change.reject(Reason.MANUAL_ACTION_REQUIRED, message)


def commands(change: ReplicaChange, groups: Sequence[str]) -> str:
    """What a person can type in Python with pymilvus to change the number where Milvus cannot do it live."""
    name, database = change.collection.name, change.collection.database
    named = ", ".join(f'"{group}"' for group in groups)
    where = "" if tuple(groups) in {(), (DEFAULT_RESOURCE_GROUP,)} else f", _resource_groups=[{named}]"
    return (
        f'client = MilvusClient(uri, db_name="{database}"); client.release_collection("{name}"); '
        f'client.load_collection("{name}", replica_number={change.after}{where})'
    )


def _overload(case: Case, change: ReplicaChange) -> Rejection | None:
    even, hot = case.load.signal.even_computation_ratio, case.heat_of(change.collection.collection_id)
    if even is None or hot is None:
        message = f"what {change.collection.full_name} takes of the computation is not known"
        return change.reject(Reason.HEAT_UNKNOWN, message)
    factor = case.load_factor(change)
    most_percent = case.rules.computation_above_percent - SWING_MARGIN_PERCENT
    if even * factor * 100 < most_percent:
        return None
    message = (
        f"even computation would go from {percent(even)} to {percent(even * factor)}, and must stay below "
        f"{most_percent} % (computationAbovePercent {case.rules.computation_above_percent} less "
        f"{SWING_MARGIN_PERCENT}): the replica would soon be called for again"
    )
    return change.reject(Reason.WOULD_OVERLOAD, message)
