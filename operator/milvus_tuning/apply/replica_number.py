"""The number of in-memory replicas of a collection that serves, changed by load_collection with an absolute number.

Only from Milvus 2.4.13 on: before, the call is refused for a loaded collection, and releasing it first would take it
from its clients. A collection that is not loaded is never loaded here, and the number is always sent: where it is left
out, Milvus takes its default and may drop replicas.

    count is the target     nothing to do
    count is as decided     written
    anything else           PreconditionChanged: somebody else changes it
"""

from __future__ import annotations

from milvus_tuning.apply.context import (
    ApplyContext,
    PreconditionChanged,
    connected_milvus,
    milvus_errors,
    number_of,
    optional_text,
    text_of,
)
from milvus_tuning.catalogue import ServerVersion, parse_version
from milvus_tuning.clients.milvus import MilvusClient
from milvus_tuning.errors import ApplyError
from milvus_tuning.plan import Step

# Milvus commit 975a9797a2: load_collection on a loaded collection changes its replicas. Older servers refuse it.
OLDEST_VERSION = ServerVersion(2, 4, 13)


def set_replica_number(step: Step, *, undo: bool, context: ApplyContext) -> str:
    """Carry out (or take back) a SetReplicaNumber step; what was asked of Milvus, in words."""
    client = connected_milvus(context)
    parameters = step.undo if undo else step.action
    target = number_of(parameters, "count")
    expected = number_of(step.action if undo else step.precondition, "count")
    database, collection = text_of(parameters, "database"), text_of(parameters, "collection")
    name = f"{database}.{collection}"
    if target < 1:
        raise ApplyError(f"{target} is no number of in-memory replicas", retryable=False)
    with milvus_errors(f"changing the in-memory replicas of {name} to {target}"):
        _check_version(client)
        count = _replica_count(client, database, collection)
        if count == target:
            return f"{name} has {target} in-memory replicas already"
        if count != expected:
            text = f"{name} has {count} in-memory replicas, neither {expected} nor {target}"
            raise PreconditionChanged(f"{text}: somebody else changes it")
        groups = (optional_text(parameters, "resourceGroups") or "").split()
        context.require_lease()
        client.load_collection(database, collection, replica_number=target, resource_groups=groups)
    return f"asked Milvus for {target} in-memory replicas of {name}, {count} before"


def _check_version(client: MilvusClient) -> None:
    text = client.version()
    version = parse_version(text)
    if version is None or version < OLDEST_VERSION:
        raise ApplyError(
            f"Milvus {text} does not change the replicas of a collection that serves; {OLDEST_VERSION} is the first "
            "that does",
            retryable=False,
        )


def _replica_count(client: MilvusClient, database: str, collection: str) -> int:
    found = (one for one in client.loaded_collections(database) if one.name == collection)
    loaded = next(found, None)
    if loaded is None:
        raise PreconditionChanged(f"{database}.{collection} is not loaded any more")
    return len(client.replicas(database, loaded.collection_id))
