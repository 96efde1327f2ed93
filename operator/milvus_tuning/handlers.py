"""kopf's side of the operator: watch MilvusTuning, run a pass for each, map our errors. Nothing else knows kopf.

A pass runs on a timer, and at once after a change of the spec or a word on one of its plans; deletion hands back what
was taken. Timers run beside handlers in kopf, so one lock per object keeps its passes apart. Only the holder of the
Lease does anything.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import defaultdict
from typing import Any, cast

import kopf

from milvus_tuning.api import FINALIZER, GROUP, PLAN_PLURAL, PLURAL, VERSION
from milvus_tuning.clients.lease import OperatorLease
from milvus_tuning.errors import ApplyError, ObserveError
from milvus_tuning.metrics import Metrics, serve
from milvus_tuning.plan import Phase
from milvus_tuning.reconcile import Reconciler
from milvus_tuning.settings import Settings
from milvus_tuning.store import Reference
from milvus_tuning.turn import Event

RETRY_SECONDS = 10
HEARTBEAT_SECONDS = 5.0
SILENCE_SECONDS = 60.0  # the event loop has not turned for this long: the process is no longer any use
WATCH_TIMEOUT_SECONDS = 60  # a dead watch stays silent: ask anew often enough to notice

_log = logging.getLogger(__name__)


class Heartbeat:
    """Shows that kopf's event loop still turns; what is wrong otherwise, in words for /healthz."""

    def __init__(self) -> None:
        self._last_beat = time.monotonic()

    async def beat(self) -> None:
        """Keep the time of the last turn of the loop, for as long as the loop lives."""
        while True:
            self._last_beat = time.monotonic()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    def trouble(self) -> str | None:
        """None, or that the loop stands still."""
        silent_seconds = time.monotonic() - self._last_beat
        return None if silent_seconds < SILENCE_SECONDS else f"the event loop has not turned for {silent_seconds:.0f} s"


class Handlers:
    """What kopf calls, bound to its collaborators."""

    def __init__(self, reconciler: Reconciler, lease: OperatorLease) -> None:
        self._reconciler = reconciler
        self._lease = lease
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def run_pass(self, body: kopf.Body, **_: object) -> None:
        """One pass over the object; what fails is tried again at the next tick, from what is then."""
        self._run_pass(_reference(body))

    def hear(self, body: kopf.Body, **_: object) -> None:
        """A plan changed: where a person's word on it waits to be heard, a pass over its policy hears it."""
        policy = _policy_of(body)
        if policy is not None and _awaits_a_pass(body):
            self._run_pass(policy)

    def _run_pass(self, reference: Reference) -> None:
        if not self._lease.held():
            return
        with self._locks[reference.uid]:
            try:
                self._reconciler.run_pass(reference, _emit)
            except (ObserveError, ApplyError) as error:
                _log.warning("pass ended early", extra={"tuning": reference.name, "error": str(error)})

    def hand_back(self, body: kopf.Body, **_: object) -> None:
        """Give back what was taken, then let the object go."""
        reference = _reference(body)
        if not self._lease.held():
            raise kopf.TemporaryError("another operator process holds the Lease", delay=RETRY_SECONDS)
        with self._locks[reference.uid]:
            try:
                self._reconciler.hand_back(reference, _emit)
            except (ObserveError, ApplyError) as error:
                raise kopf.TemporaryError(str(error), delay=RETRY_SECONDS) from error
        self._locks.pop(reference.uid, None)


def build_registry(
    handlers: Handlers, lease: OperatorLease, settings: Settings, heartbeat: Heartbeat
) -> kopf.OperatorRegistry:
    """kopf's registry of our handlers."""
    registry = kopf.OperatorRegistry()
    tasks: set[asyncio.Task[None]] = set()

    @kopf.on.startup(registry=registry)
    async def start(**_: object) -> None:
        tasks.add(asyncio.create_task(heartbeat.beat()))
        await asyncio.to_thread(lease.start)

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: object) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.to_thread(lease.stop)

    @kopf.on.login(registry=registry)
    def login(**about: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401 - handed through to kopf as it came
        return kopf.login_with_service_account(**about) or kopf.login_with_kubeconfig(**about)

    resource = (GROUP, VERSION, PLURAL)
    kopf.timer(*resource, registry=registry, interval=settings.interval_seconds, id="pass")(handlers.run_pass)
    kopf.on.update(*resource, registry=registry, field="spec", id="spec")(handlers.run_pass)
    kopf.on.event(GROUP, VERSION, PLAN_PLURAL, registry=registry, id="plan")(handlers.hear)
    kopf.on.delete(*resource, registry=registry, id="hand-back")(handlers.hand_back)
    return registry


def kopf_settings() -> kopf.OperatorSettings:
    """kopf's own settings: state in annotations under our prefix, our finalizer, bounded watches, no peering."""
    settings = kopf.OperatorSettings()
    settings.persistence.finalizer = FINALIZER
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP, key="last-handled")
    settings.peering.standalone = True  # the Lease is what keeps two processes apart
    settings.scanning.disabled = True  # no right to watch CRDs or namespaces is needed
    settings.posting.loggers = False  # events are written on purpose, not for each log line
    settings.watching.server_timeout = WATCH_TIMEOUT_SECONDS
    settings.watching.client_timeout = WATCH_TIMEOUT_SECONDS + 15
    settings.background.cancellation_polling = 1.0  # else a deletion in the middle of a pass waits for a minute
    settings.execution.max_workers = 16
    return settings


def _reference(body: kopf.Body) -> Reference:
    metadata = body.metadata
    return Reference(namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"])


def _policy_of(body: kopf.Body) -> Reference | None:
    """The MilvusTuning that a plan belongs to."""
    policy = body.spec.get("change", {}).get("policy", {})
    if "name" not in policy or "uid" not in policy:
        return None
    return Reference(namespace=body.metadata["namespace"], name=policy["name"], uid=policy["uid"])


def _awaits_a_pass(body: kopf.Body) -> bool:
    """Whether the next tick is too far: a word was said that the plan's phase does not show, or it is being deleted."""
    phase, word = body.status.get("phase"), body.spec.get("approval", {}).get("decision")
    if phase == Phase.FINISHED:
        return False
    deleting = "deletionTimestamp" in body.metadata
    return deleting or word in {"Rejected", "Cancelled"} or (word == "Approved" and phase == Phase.PROPOSED)


def _emit(body: dict[str, Any], event: Event) -> None:
    kopf.event(kopf.Body(cast("Any", body)), type=event.type, reason=event.reason, message=event.message)


def run(reconciler: Reconciler, lease: OperatorLease, settings: Settings, metrics: Metrics) -> None:
    """Run until stopped by a signal."""
    heartbeat = Heartbeat()
    metrics.lease_held.set_function(lambda: float(lease.held()))
    server = serve(settings.http_port, metrics, heartbeat.trouble)
    try:
        kopf.run(
            registry=build_registry(Handlers(reconciler, lease), lease, settings, heartbeat),
            settings=kopf_settings(),
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            standalone=True,
            identity=lease.identity,  # type: ignore[arg-type]  # else kopf wants a user name, which a numeric user lacks
        )
    finally:
        server.shutdown()
