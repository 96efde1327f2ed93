"""What every write needs: the connections, whose policy it is, and the right to write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import urllib3
from kubernetes.client import ApiClient, ApiException

from milvus_tuning.clients.etcd import EtcdClient, EtcdError, EtcdFailure
from milvus_tuning.clients.milvus import MilvusClient, MilvusError, MilvusFailure
from milvus_tuning.errors import ApplyError
from milvus_tuning.plan import Parameters
from milvus_tuning.snapshot import QueryNode, Workload

CONFLICT_RETRIES = 4  # status updates of a busy Deployment bump resourceVersion; more than this is a fight
NOT_FOUND, CONFLICT = 404, 409
MERGE_PATCH, APPLY_PATCH = "application/merge-patch+json", "application/apply-patch+yaml"
_WORTH_RETRYING = frozenset({CONFLICT, 408, 429, 500, 502, 503, 504})
_PASSING = frozenset({MilvusFailure.UNREACHABLE, MilvusFailure.BUSY})


@dataclass(frozen=True, kw_only=True, slots=True)
class ApplyContext:
    """The connections and names of one pass.

    require_lease raises LeaseLost (an ApplyError) when we may not write; it is called right before each write. etcd and
    root_path are None where they were not found, or the root path was not proven by Milvus's own session keys. milvus
    is None where it cannot be reached; query_nodes are those of the pass, for the ids of today. clock tells when a key
    is written, for the record beside it; without one the record does not say.
    """

    api_client: ApiClient
    etcd: EtcdClient | None
    root_path: str | None
    namespace: str
    workload: Workload
    policy_uid: str
    require_lease: Callable[[], None]
    timeout_seconds: float
    milvus: MilvusClient | None = None
    query_nodes: tuple[QueryNode, ...] = ()
    clock: Callable[[], datetime] | None = None


class PreconditionChanged(ApplyError):
    """The world is neither as the step was decided for nor as the step would make it: somebody else acts there."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


def text_of(parameters: Parameters, name: str) -> str:
    """A parameter that must be text."""
    value = parameters.get(name)
    if not isinstance(value, str):
        raise ApplyError(f"the step has no text {name!r}: {dict(parameters)}", retryable=False)
    return value


def optional_text(parameters: Parameters, name: str) -> str | None:
    """A parameter that is text, or null for absent."""
    return None if parameters.get(name) is None else text_of(parameters, name)


def number_of(parameters: Parameters, name: str) -> int:
    """A parameter that must be a number."""
    value = parameters.get(name)
    if not isinstance(value, int):
        raise ApplyError(f"the step has no number {name!r}: {dict(parameters)}", retryable=False)
    return value


@contextmanager
def kubernetes_errors(what: str) -> Iterator[None]:
    """Turn trouble with the API server into an ApplyError that says what was tried."""
    try:
        yield
    except ApiException as error:
        text = f"{what}: HTTP {error.status} {error.reason}: {_reply(error)}"
        raise ApplyError(text, retryable=error.status in _WORTH_RETRYING) from error
    except urllib3.exceptions.HTTPError as error:
        raise ApplyError(f"{what}: {error}", retryable=True) from error


@contextmanager
def etcd_errors(what: str) -> Iterator[None]:
    """Turn trouble with etcd into an ApplyError that says what was tried."""
    try:
        yield
    except EtcdError as error:
        raise ApplyError(f"{what}: {error}", retryable=error.failure is EtcdFailure.UNREACHABLE) from error


def connected_milvus(context: ApplyContext) -> MilvusClient:
    """Milvus's proxy; ApplyError where it cannot be reached."""
    if context.milvus is None:
        raise ApplyError("Milvus is not connected: nothing can be asked of it", retryable=True)
    return context.milvus


@contextmanager
def milvus_errors(what: str) -> Iterator[None]:
    """Turn trouble with Milvus into an ApplyError that says what was tried.

    What Milvus refuses is not tried again, but where a task of it is at work on the same segment that will be over.
    """
    try:
        yield
    except MilvusError as error:
        raise ApplyError(f"{what}: {error}", retryable=error.failure in _PASSING) from error


def _reply(error: ApiException) -> str:
    return str(error.body or "")[:500].strip()


def workload_name(context: ApplyContext) -> str:
    """The workload in words, for messages."""
    return f"{context.workload.kind} {context.workload.namespace}/{context.workload.name}"


def unless_conflict(write: Callable[[], object]) -> bool:
    """Make a write that is guarded by resourceVersion; False when the object has changed meanwhile."""
    try:
        write()
    except ApiException as error:
        if error.status != CONFLICT:
            raise
        return False
    return True
