"""Reading and writing MilvusTuning objects: the write-ahead log lives in their status.

Status is written by our own replace with resourceVersion, awaited, never through kopf's patch object: what an outside
call relies on must be in the API server before the call is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

import urllib3
from kubernetes.client import ApiClient, ApiException, CustomObjectsApi
from pydantic import ValidationError

from milvus_tuning.api import GROUP, PLURAL, VERSION, MilvusTuningStatus
from milvus_tuning.errors import ApplyError, ObserveError

CONFLICT_RETRIES = 4
_NOT_FOUND, _CONFLICT = 404, 409


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """Which MilvusTuning; the uid tells it from another one of the same name."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredTuning:
    """A MilvusTuning as it stands in the API server."""

    reference: Reference
    generation: int
    deleting: bool
    body: dict[str, Any]
    status: MilvusTuningStatus


@contextmanager
def read_errors(what: str) -> Iterator[None]:
    """Turn trouble with the API server into an ObserveError that says what was read."""
    try:
        yield
    except ApiException as error:
        raise ObserveError(f"{what}: HTTP {error.status} {error.reason}") from error
    except urllib3.exceptions.HTTPError as error:
        raise ObserveError(f"{what}: {error}") from error


class TuningStore:
    """The MilvusTuning objects of the API server."""

    def __init__(self, api_client: ApiClient, *, timeout_seconds: float) -> None:
        self._api = CustomObjectsApi(api_client)
        self._timeout_seconds = timeout_seconds

    def read(self, reference: Reference) -> StoredTuning | None:
        """The object now, or None when it, or this very uid of it, is gone."""
        with read_errors(f"reading MilvusTuning {reference.namespace}/{reference.name}"):
            try:
                answer = self._api.get_namespaced_custom_object(
                    GROUP,
                    VERSION,
                    reference.namespace,
                    PLURAL,
                    reference.name,
                    _request_timeout=self._timeout_seconds,
                )
            except ApiException as error:
                if error.status == _NOT_FOUND:
                    return None
                raise
        stored = _stored(cast("dict[str, Any]", answer))
        return stored if stored.reference.uid == reference.uid else None

    def older_rival(self, stored: StoredTuning) -> str | None:
        """The name of an older MilvusTuning with the same target, or None. Of two, the older has the say."""
        namespace = stored.reference.namespace
        with read_errors(f"reading the MilvusTunings of namespace {namespace}"):
            answer = self._api.list_namespaced_custom_object(
                GROUP, VERSION, namespace, PLURAL, _request_timeout=self._timeout_seconds
            )
        mine = _seniority(stored.body)
        rivals = [
            body["metadata"]["name"]
            for body in cast("dict[str, Any]", answer)["items"]
            if _target(body) == _target(stored.body) and _seniority(body) < mine
        ]
        return min(rivals, default=None)

    def write_status(self, stored: StoredTuning, status: MilvusTuningStatus) -> StoredTuning:
        """Replace the status and return the object as stored.

        A conflict is resolved by reading again, as only we write this status and a change of metadata does not matter
        to it. A change of the spec, or another uid, ends it with ApplyError: the decision was made for something else.
        """
        current: StoredTuning | None = stored
        for _ in range(CONFLICT_RETRIES):
            if current is None or current.generation != stored.generation:
                break
            try:
                return self._replace(current, status)
            except ApiException as error:
                if error.status != _CONFLICT:
                    raise ApplyError(f"writing status: {error.reason}: {error.body}", retryable=True) from error
            except urllib3.exceptions.HTTPError as error:
                raise ApplyError(f"writing status: {error}", retryable=True) from error
            current = self.read(stored.reference)
        name = f"{stored.reference.namespace}/{stored.reference.name}"
        raise ApplyError(f"writing status of {name}: the object changed meanwhile", retryable=True)

    def _replace(self, current: StoredTuning, status: MilvusTuningStatus) -> StoredTuning:
        fields = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        body = {**current.body, "status": fields}
        reference = current.reference
        replaced = self._api.replace_namespaced_custom_object_status(
            GROUP,
            VERSION,
            reference.namespace,
            PLURAL,
            reference.name,
            body,
            _request_timeout=self._timeout_seconds,
        )
        return _stored(cast("dict[str, Any]", replaced))


def _stored(body: dict[str, Any]) -> StoredTuning:
    metadata, raw = body["metadata"], body.get("status") or {}
    status = _status(raw)
    return StoredTuning(
        reference=Reference(namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"]),
        generation=metadata.get("generation", 0),
        deleting="deletionTimestamp" in metadata,
        body=body,
        status=status,
    )


def _target(body: dict[str, Any]) -> tuple[str, str]:
    reference = body["spec"]["targetRef"]
    return reference["kind"], reference["name"]


def _seniority(body: dict[str, Any]) -> tuple[str, str]:
    """Older first; what was made within the same second goes by name."""
    return body["metadata"]["creationTimestamp"], body["metadata"]["name"]


def _status(raw: dict[str, Any]) -> MilvusTuningStatus:
    try:
        return MilvusTuningStatus.model_validate(raw)
    except ValidationError:  # written by another version: keep the parts that decisions rest on, as far as they read
        return _kept_parts(raw)


def _kept_parts(raw: dict[str, Any]) -> MilvusTuningStatus:
    kept = MilvusTuningStatus()
    for name in ("history", "lastPlan", "benefit"):
        with suppress(ValidationError):
            part = MilvusTuningStatus.model_validate({name: raw.get(name)})
            kept = kept.model_copy(update={field: getattr(part, field) for field in part.model_fields_set})
    return kept
