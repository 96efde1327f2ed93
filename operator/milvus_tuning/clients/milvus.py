"""A thin client of a Milvus proxy: the few calls that an observation is made of, and the three that change it.

It uses pymilvus's generated service over a gRPC channel of its own, and not its MilvusClient: that one repeats a failed
call for minutes, keeps state between databases and knows no call for system_info. Here every call is one request with
a deadline, the database travels with the call, and credentials and certificates stay in memory. Checked against 2.3.5;
the messages are the same from 2.3 to 2.6.
"""

from __future__ import annotations

import base64
import enum
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped]
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc

from milvus_tuning.errors import ObserveError

DEFAULT_PORT = 19530
QUERY_NODE_ROLE = "querynode"
LARGEST_REPLY_BYTES = 64 * 1024 * 1024  # about a million segments; more is not a cluster this can be read from
# A proxy keeps system_info for 5 s (metricsinfo.DefaultMetricsRetention), and each call that it answers from what it
# keeps prolongs that: asked every 3 s it goes on naming a node that is gone and never names a new one (seen on 2.3.5).
SYSTEM_INFO_REST_SECONDS = 6.0
LOAD_BALANCE_SECONDS = 130.0  # above queryCoord.segmentTaskTimeout, 120 s in all versions: Milvus gives up first
ALTER_COLLECTION_SECONDS = 30.0  # it is written to the log of every channel from 2.6 on
LOAD_COLLECTION_SECONDS = 30.0  # it only writes down what is wanted; loading goes on after the answer
# Of the time of a call, for what a pass can do without: silence of another component must not cost the placement.
_SHORT_SHARE = 1 / 8
_OPTIONS = (
    ("grpc.max_receive_message_length", LARGEST_REPLY_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 5_000),  # gRPC's own 120 s would outlast the outage
    # A connection to a proxy that is gone without a word would be kept for minutes. Milvus allows a ping each 5 s.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.enable_http_proxy", 0),  # the environment does not decide where credentials go
)


class MilvusFailure(enum.StrEnum):
    """What kind of trouble it was."""

    UNREACHABLE = "Unreachable"
    CREDENTIALS_REJECTED = "CredentialsRejected"
    PERMISSION_DENIED = "PermissionDenied"
    NOT_LOADED = "NotLoaded"
    NO_INDEX = "NoIndex"
    BUSY = "Busy"  # a task is at work on the same segment already
    REFUSED = "Refused"


class MilvusError(ObserveError):
    """A call to Milvus failed."""

    def __init__(self, message: str, failure: MilvusFailure) -> None:
        super().__init__(message)
        self.failure = failure


@dataclass(frozen=True, kw_only=True, slots=True)
class MilvusTls:
    """What an https address must prove: authority_pem is a PEM bundle (None: the usual ones), server_name the name."""

    authority_pem: str | None = None
    server_name: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MilvusNode:
    """A process of the cluster as system_info names it. ip is without the port."""

    node_id: int
    role: str
    ip: str
    cpu_core_count: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedCollection:
    """A collection that is loaded or being loaded."""

    collection_id: int
    name: str
    load_percent: int


class MilvusClient:
    """A connection to one Milvus cluster, through its proxy. May be used from several threads."""

    def __init__(
        self,
        uri: str,
        *,
        token: str | None = None,
        tls: MilvusTls | None = None,
        timeout_seconds: float = 5.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.uri = uri
        self.tls = tls
        self._monotonic = monotonic
        self._nodes: tuple[float, tuple[MilvusNode, ...]] | None = None
        self._timeout_seconds = timeout_seconds
        self._credentials = (("authorization", base64.b64encode(token.encode()).decode()),) if token else ()
        self._channel = _channel(uri, tls)
        self._stub = milvus_pb2_grpc.MilvusServiceStub(self._channel)

    def version(self) -> str:
        """The server's version in its own words, such as v2.3.5."""
        return str(self._call("GetVersion", milvus_pb2.GetVersionRequest()).version)

    def databases(self) -> tuple[str, ...]:
        """The names of all databases."""
        return tuple(self._call("ListDatabases", milvus_pb2.ListDatabasesRequest()).db_names)

    def loaded_collections(self, database: str) -> tuple[LoadedCollection, ...]:
        """The collections of a database that are loaded, wholly or in part, in the order of their names."""
        request = milvus_pb2.ShowCollectionsRequest(db_name=database, type=milvus_pb2.ShowType.InMemory)
        answer = self._call("ShowCollections", request, database=database)
        columns = zip(answer.collection_ids, answer.collection_names, answer.inMemory_percentages, strict=True)
        found = (LoadedCollection(collection_id=key, name=name, load_percent=share) for key, name, share in columns)
        return tuple(sorted(found, key=lambda collection: collection.name))

    def replicas(self, database: str, collection_id: int) -> list[milvus_pb2.ReplicaInfo]:
        """The ReplicaInfo messages of a loaded collection."""
        request = milvus_pb2.GetReplicasRequest(collectionID=collection_id, with_shard_nodes=True, db_name=database)
        return list(self._call("GetReplicas", request, database=database).replicas)

    def segments(self, database: str, collection: str) -> list[milvus_pb2.QuerySegmentInfo]:
        """The QuerySegmentInfo messages of a loaded collection: where each segment is served, in reality."""
        request = milvus_pb2.GetQuerySegmentInfoRequest(dbName=database, collectionName=collection)
        return list(self._call("GetQuerySegmentInfo", request, database=database).infos)

    def collection(self, database: str, collection: str) -> milvus_pb2.DescribeCollectionResponse:
        """The description of a collection, with its schema."""
        request = milvus_pb2.DescribeCollectionRequest(db_name=database, collection_name=collection)
        return self._short_call("DescribeCollection", request, database=database)

    def indexes(self, database: str, collection: str) -> list[milvus_pb2.IndexDescription]:
        """The IndexDescription messages of a collection; none where no field has an index."""
        request = milvus_pb2.DescribeIndexRequest(db_name=database, collection_name=collection)
        try:
            return list(self._short_call("DescribeIndex", request, database=database).index_descriptions)
        except MilvusError as error:
            if error.failure is MilvusFailure.NO_INDEX:
                return []
            raise

    def resource_groups(self) -> tuple[str, ...]:
        """The names of all resource groups, in order."""
        answer = self._short_call("ListResourceGroups", milvus_pb2.ListResourceGroupsRequest())
        return tuple(sorted(answer.resource_groups))

    def resource_group(self, name: str) -> milvus_pb2.ResourceGroup:
        """The ResourceGroup message of a group; it names its nodes from 2.4."""
        request = milvus_pb2.DescribeResourceGroupRequest(resource_group=name)
        return self._short_call("DescribeResourceGroup", request).resource_group

    def nodes(self) -> tuple[MilvusNode, ...]:
        """Every process that answers the coordinators, from system_info; at most SYSTEM_INFO_REST_SECONDS old.

        Asked more often, the last answer is given again, so that the proxy's own copy can grow old.
        """
        kept = self._nodes
        if kept is not None and self._monotonic() - kept[0] < SYSTEM_INFO_REST_SECONDS:
            return kept[1]
        found = self._ask_nodes()
        self._nodes = (self._monotonic(), found)
        return found

    def _ask_nodes(self) -> tuple[MilvusNode, ...]:
        request = milvus_pb2.GetMetricsRequest(request='{"metric_type":"system_info"}')
        answer = self._call("GetMetrics", request)
        try:
            infos = [node["infos"] for node in json.loads(answer.response)["nodes_info"]]
            return tuple(_node(info) for info in infos if not info.get("has_error"))
        except (ValueError, KeyError, TypeError) as error:
            raise MilvusError(f"{self._where('GetMetrics')} gave no system_info", MilvusFailure.REFUSED) from error

    # -- writes ------------------------------------------------------------------------------------------------------

    def load_balance(
        self, database: str, collection: str, *, source: int, destination: int, segments: Sequence[int]
    ) -> None:
        """Move sealed segments of a loaded collection from one node to another of the same in-memory replica.

        Milvus answers when its tasks are over. From 2.4 on it also answers success for what it refused to move, so only
        the placement tells what was done; before, a caller that gives up cancels the tasks.
        """
        request = milvus_pb2.LoadBalanceRequest(
            db_name=database,
            collectionName=collection,
            src_nodeID=source,
            dst_nodeIDs=[destination],
            sealed_segmentIDs=list(segments),
        )
        self._call("LoadBalance", request, database=database, timeout_seconds=LOAD_BALANCE_SECONDS)

    def load_collection(
        self, database: str, collection: str, *, replica_number: int, resource_groups: Sequence[str]
    ) -> None:
        """Ask for so many in-memory replicas; on a loaded collection this changes them from Milvus 2.4.13 on.

        The answer comes before new replicas serve. The number is always sent: left out, Milvus may take 1.
        """
        request = milvus_pb2.LoadCollectionRequest(
            db_name=database,
            collection_name=collection,
            replica_number=replica_number,
            resource_groups=list(resource_groups),
        )
        self._call("LoadCollection", request, database=database, timeout_seconds=LOAD_COLLECTION_SECONDS)

    def set_collection_property(self, database: str, collection: str, name: str, value: str) -> None:
        """Set one property of a collection, and no other."""
        request = milvus_pb2.AlterCollectionRequest(
            db_name=database,
            collection_name=collection,
            properties=[common_pb2.KeyValuePair(key=name, value=value)],
        )
        self._call("AlterCollection", request, database=database, timeout_seconds=ALTER_COLLECTION_SECONDS)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _call(self, method: str, request: object, *, database: str = "", timeout_seconds: float | None = None) -> Any:  # noqa: ANN401
        call: Callable[..., Any] = getattr(self._stub, method)
        metadata = (*self._credentials, *((("dbname", database),) if database else ()))
        try:
            answer = call(request, timeout=timeout_seconds or self._timeout_seconds, metadata=metadata)
        except grpc.RpcError as error:
            raise _transport_error(self._where(method), error) from error
        except ValueError as error:  # the channel was closed: credentials or address have just changed
            raise MilvusError(f"{self._where(method)} was cut off: {error}", MilvusFailure.UNREACHABLE) from error
        self._check(method, answer if isinstance(answer, common_pb2.Status) else answer.status)
        return answer

    def _short_call(self, method: str, request: object, *, database: str = "") -> Any:  # noqa: ANN401
        return self._call(method, request, database=database, timeout_seconds=self._timeout_seconds * _SHORT_SHARE)

    def _check(self, method: str, status: common_pb2.Status) -> None:
        """Raise what the status of a reply says; code is the newer field, error_code the one of 2.2 and before."""
        if status.code == 0 and status.error_code == common_pb2.Success:
            return
        reason = status.reason or f"code {status.code or status.error_code}"
        raise MilvusError(f"{self._where(method)} refused: {reason}", _status_failure(status))

    def _where(self, method: str) -> str:
        return f"Milvus at {self.uri}, {method},"


def _channel(uri: str, tls: MilvusTls | None) -> grpc.Channel:
    parts = urlsplit(uri)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    address = f"{host}:{parts.port or DEFAULT_PORT}"
    if parts.scheme != "https":
        return grpc.insecure_channel(address, options=_OPTIONS)
    tls = tls or MilvusTls()
    authority = tls.authority_pem.encode() if tls.authority_pem else None
    names = (("grpc.ssl_target_name_override", tls.server_name),) if tls.server_name else ()
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(authority), options=(*_OPTIONS, *names))


def _transport_error(where: str, error: grpc.RpcError) -> MilvusError:
    code, details = error.code(), error.details()
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return MilvusError(f"{where} rejected the credentials: {details}", MilvusFailure.CREDENTIALS_REJECTED)
    if code is grpc.StatusCode.PERMISSION_DENIED:
        return MilvusError(f"{where} is not allowed: {details}", MilvusFailure.PERMISSION_DENIED)
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
        return MilvusError(f"{where} does not answer: {details}", MilvusFailure.UNREACHABLE)
    return MilvusError(f"{where} failed ({code.name}): {details}", MilvusFailure.REFUSED)


_FAILURES_BY_CODE = {
    100: MilvusFailure.NOT_LOADED,  # merr.ErrCollectionNotFound
    101: MilvusFailure.NOT_LOADED,  # merr.ErrCollectionNotLoaded
    400: MilvusFailure.NOT_LOADED,  # merr.ErrReplicaNotFound: what 2.3.5 says of a collection that was released
    700: MilvusFailure.NO_INDEX,  # merr.ErrIndexNotFound: what DescribeIndex says of a collection without an index
}
_FAILURES_BY_ERROR_CODE = {
    common_pb2.IndexNotExist: MilvusFailure.NO_INDEX,
    common_pb2.PermissionDenied: MilvusFailure.PERMISSION_DENIED,
}
_FAILURES_BY_WORDS = {
    "not loaded": MilvusFailure.NOT_LOADED,
    "permission deny": MilvusFailure.PERMISSION_DENIED,
    "auth check failure": MilvusFailure.CREDENTIALS_REJECTED,
    "unauthenticated": MilvusFailure.CREDENTIALS_REJECTED,
    "same segment exists": MilvusFailure.BUSY,
    "not ready": MilvusFailure.UNREACHABLE,
    "not healthy": MilvusFailure.UNREACHABLE,
    "service unavailable": MilvusFailure.UNREACHABLE,
}


def _status_failure(status: common_pb2.Status) -> MilvusFailure:
    """By the newer code, the older one, or words where the same code stands for many things."""
    coded = _FAILURES_BY_CODE.get(status.code) or _FAILURES_BY_ERROR_CODE.get(status.error_code)
    reason = status.reason.lower()
    told = (failure for words, failure in _FAILURES_BY_WORDS.items() if words in reason)
    return coded or next(told, MilvusFailure.REFUSED)


def _node(info: dict[str, Any]) -> MilvusNode:
    hardware = info.get("hardware_infos") or {}
    cores = hardware.get("cpu_core_count")
    return MilvusNode(
        node_id=int(info["id"]),
        role=str(info.get("type", "")),
        ip=host_of(str(hardware.get("ip", ""))),
        cpu_core_count=int(cores) if cores else None,
    )


def host_of(address: str) -> str:
    """The host of `10.0.0.1:21123`, `[fd00::1]:21123` or a bare address."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address if address.count(":") > 1 else address.partition(":")[0]
