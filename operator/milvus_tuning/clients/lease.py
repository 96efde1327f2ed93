"""One writer at a time: a coordination.k8s.io Lease that must be held before each outside write.

The holder renews the Lease every few seconds. Two clocks never meet: whoever waits measures, by its own monotonic
clock, how long the record has not changed, and takes over only when that is longer than the duration the holder wrote
(as client-go does); the holder counts, by its own monotonic clock, from the moment it *began* its last renewal that
went through, and stops a margin earlier. So with 15 s and a margin of 5 s the holder stops writing at the latest 10 s
after a renewal began, while a successor that saw that renewal waits for at least 15 s.

The margin covers a write that was begun just before the end. A write that outlives it meets its own guard
(resourceVersion, mod_revision), because writes are absolute and guarded.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import urllib3
from kubernetes.client import ApiClient, ApiException, CoordinationV1Api, V1Lease, V1LeaseSpec, V1ObjectMeta

from milvus_tuning.errors import ApplyError
from milvus_tuning.settings import Settings

MARGIN_SHARE = 1 / 3  # of the duration; client-go's defaults (15 s, renew deadline 10 s) are the same share
RENEWALS_PER_DURATION = 7  # about every 2 s of 15 s, as client-go
RELEASED_SECONDS = 1  # the duration written with a release: the API wants it above zero
_NOT_FOUND, _CONFLICT = 404, 409

_log = logging.getLogger(__name__)


class LeaseLost(ApplyError):
    """The right to write is not ours (any more): nothing was written, another process or a later pass goes on."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sighting:
    """What somebody else's record looked like, and when by our clock it was first seen like that."""

    record: tuple[str, str, str]  # holder, acquire time, renew time, as written; compared, never computed with
    at: float


class OperatorLease:
    """The Lease named in the settings, acquired and renewed by a thread of its own between start and stop."""

    def __init__(
        self, api_client: ApiClient, settings: Settings, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.identity = f"{settings.pod_name}_{uuid.uuid4().hex[:8]}"
        self._api = CoordinationV1Api(api_client)
        self._name, self._namespace = settings.lease_name, settings.pod_namespace
        self._duration_seconds = settings.lease_seconds
        self._interval_seconds = settings.lease_seconds / RENEWALS_PER_DURATION
        self._timeout_seconds = min(settings.request_timeout_seconds, settings.lease_seconds * MARGIN_SHARE)
        self._monotonic = monotonic
        self._held_until = float("-inf")
        self._sighting: _Sighting | None = None
        self._holder = "nobody yet"
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def held(self) -> bool:
        """Whether we may write now."""
        return not self._stop.is_set() and self._monotonic() < self._held_until

    def require(self) -> None:
        """Raise LeaseLost unless we may write now."""
        if not self.held():
            raise LeaseLost(
                f"the Lease {self._namespace}/{self._name} is not held by {self.identity} (holder: {self._holder}); "
                "nothing was written"
            )

    def start(self) -> None:
        """Begin to acquire and renew, in the background."""
        self._thread = threading.Thread(target=self._run, name="operator-lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop writing at once, then let the Lease go so that a successor need not wait. It cannot be started again."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._release()

    def try_once(self) -> None:
        """Acquire or renew once, as the thread does over and over."""
        began, before = self._monotonic(), self.held()
        try:
            renewed = self._acquire_or_renew()
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            renewed = False
            _log.warning("lease not renewed", extra={"lease": self._name, "error": str(error)})
        if renewed:
            self._held_until = began + self._duration_seconds * (1 - MARGIN_SHARE)
        if before is not self.held():
            _log.info("lease %s", "lost" if before else "acquired", extra={"lease": self._name, "holder": self._holder})

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.try_once()
            except Exception:  # a dead thread would be silent for ever; unrenewed, the right to write ends by itself
                _log.exception("lease not renewed", extra={"lease": self._name})
            self._stop.wait(self._interval_seconds)

    def _acquire_or_renew(self) -> bool:
        lease = self._read()
        if lease is None:
            return self._create()
        spec = lease.spec or V1LeaseSpec()
        if spec.holder_identity not in {self.identity, "", None} and not self._expired(spec):
            self._held_until = float("-inf")
            self._holder = str(spec.holder_identity)
            return False
        return self._write(lease, taken_over=spec.holder_identity != self.identity)

    def _expired(self, spec: V1LeaseSpec) -> bool:
        """Whether the record has not changed for as long as it says. The clock is read after the record."""
        now = self._monotonic()
        record = (str(spec.holder_identity), str(spec.acquire_time), str(spec.renew_time))
        if self._sighting is None or self._sighting.record != record:
            self._sighting = _Sighting(record=record, at=now)
        return now - self._sighting.at > (spec.lease_duration_seconds or self._duration_seconds)

    def _read(self) -> V1Lease | None:
        try:
            return self._api.read_namespaced_lease(self._name, self._namespace, _request_timeout=self._timeout_seconds)
        except ApiException as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    def _create(self) -> bool:
        now = _written_time()
        lease = V1Lease(metadata=V1ObjectMeta(name=self._name), spec=self._spec(now, acquired_at=now, transitions=0))
        return self._unless_conflict(
            lambda: self._api.create_namespaced_lease(self._namespace, lease, _request_timeout=self._timeout_seconds)
        )

    def _write(self, lease: V1Lease, *, taken_over: bool) -> bool:
        now, spec = _written_time(), lease.spec or V1LeaseSpec()
        transitions = (spec.lease_transitions or 0) + (1 if taken_over else 0)
        acquired_at = now if taken_over or spec.acquire_time is None else spec.acquire_time
        lease.spec = self._spec(now, acquired_at=acquired_at, transitions=transitions)
        return self._unless_conflict(lambda: self._replace(lease))  # resourceVersion guards it

    def _release(self) -> None:
        try:
            lease = self._read()
            if lease is None or lease.spec is None or lease.spec.holder_identity != self.identity:
                return
            lease.spec.holder_identity, lease.spec.lease_duration_seconds = "", RELEASED_SECONDS
            self._replace(lease)
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            _log.warning("lease not released; it runs out by itself", extra={"lease": self._name, "error": str(error)})

    def _replace(self, lease: V1Lease) -> None:
        self._api.replace_namespaced_lease(self._name, self._namespace, lease, _request_timeout=self._timeout_seconds)

    def _unless_conflict(self, write: Callable[[], object]) -> bool:
        try:
            write()
        except ApiException as error:
            if error.status != _CONFLICT:
                raise
            return False
        self._holder = self.identity
        return True

    def _spec(self, now: datetime, *, acquired_at: datetime, transitions: int) -> V1LeaseSpec:
        return V1LeaseSpec(
            holder_identity=self.identity,
            lease_duration_seconds=self._duration_seconds,
            acquire_time=_with_microseconds(acquired_at),
            renew_time=now,
            lease_transitions=transitions,
        )


def _written_time() -> datetime:
    """The wall clock, for people who read the Lease: nobody computes with it, others only see that it changes."""
    return _with_microseconds(datetime.now(UTC))  # noqa: TID251


def _with_microseconds(moment: datetime) -> datetime:
    """A moment that isoformat writes with a fraction: the API server's MicroTime refuses one without."""
    return moment if moment.microsecond else moment.replace(microsecond=1)
