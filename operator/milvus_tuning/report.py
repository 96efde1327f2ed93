"""Telling what a pass found and did: the status of the MilvusTuning, Events, and the operator's own metrics."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from milvus_tuning import status
from milvus_tuning.metrics import Metrics
from milvus_tuning.plan import Decision, Phase, Plan, Reason
from milvus_tuning.settings import Settings
from milvus_tuning.store import Reference, StoredTuning, TuningStore
from milvus_tuning.turn import Emit, Event, PassTurn


class Reporter:
    """Writes status and Events where something a reader would act on has changed."""

    def __init__(
        self, *, store: TuningStore, metrics: Metrics, require_lease: Callable[[], None], settings: Settings
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._require_lease = require_lease
        self._settings = settings
        self._last_reasons: dict[str, Reason] = {}

    def report(self, turn: PassTurn, facts: status.Facts, now: datetime) -> None:
        """Report a pass."""
        before = turn.stored.status
        after = status.build_status(before, facts, generation=turn.stored.generation, now=now)
        self._tell_decision(turn, facts.decision)
        for plan in facts.finished:
            self._count(turn.stored.reference, plan)
        self._measure(turn.stored.reference, facts)
        if facts.finished or status.worth_writing(before, after, now=now):
            self._require_lease()
            self._store.write_status(turn.stored, after)

    def stop(self, stored: StoredTuning, reason: Reason, message: str, emit: Emit, now: datetime) -> None:
        """Report that nothing is done about an object that cannot be read, or whose plan cannot."""
        after = status.stopped_status(stored.status, reason, message, generation=stored.generation, now=now)
        if after != stored.status:
            emit(stored.body, Event(type="Warning", reason=reason, message=message))
            self._require_lease()
            self._store.write_status(stored, after)

    def _tell_decision(self, turn: PassTurn, decision: Decision) -> None:
        reference = turn.stored.reference
        self._metrics.decisions.labels(reference.namespace, reference.name, decision.reason).inc()
        if decision.reason is not self._last_reasons.get(reference.uid) and decision.reason in _TOLD:
            turn.tell(Event(type="Warning", reason=decision.reason, message=decision.message))
        self._last_reasons[reference.uid] = decision.reason

    def _count(self, reference: Reference, plan: Plan) -> None:
        verdict = plan.course.verdict or ""
        self._metrics.plans.labels(reference.namespace, reference.name, verdict).inc()

    def _measure(self, reference: Reference, facts: status.Facts) -> None:
        metrics, workload, plan = self._metrics, facts.snapshot.workload, facts.plan
        values = (
            (metrics.desired, workload.desired_count if workload else None),
            (metrics.ready, workload.ready_count if workload else None),
            (metrics.serving, workload.serving_count if workload else None),
            (metrics.capacity, facts.signal.capacity_ratio),
            (metrics.computation, facts.signal.computation_ratio),
            (metrics.even_computation, facts.signal.even_computation_ratio),
            (metrics.paused, float(facts.spec.paused or facts.read_only)),
            (metrics.waiting, float(plan is not None and plan.course.phase is Phase.PROPOSED)),
        )
        for gauge, value in values:
            metrics.set_or_clear(gauge, reference.namespace, reference.name, value)
        metrics.set_moves(reference.namespace, reference.name, facts.placement.collections if facts.placement else ())


_TOLD = frozenset(
    {
        Reason.SKEW_NOT_CAPACITY,
        Reason.GRACE_PERIOD_TOO_SHORT,
        Reason.CONFLICT,
        Reason.HELM_OWNS_FIELD,
        Reason.METRICS_MISSING,
        Reason.METRICS_STALE,
        Reason.MILVUS_UNREACHABLE,
        Reason.TARGET_NOT_FOUND,
        Reason.TARGET_UNSUPPORTED,
        Reason.VERSION_UNSUPPORTED,
        Reason.SECRET_NOT_FOUND,
        Reason.PERMISSION_DENIED,
        Reason.WOULD_NOT_FIT,
        Reason.REPLICA_NEEDS_NODES,
    }
)
