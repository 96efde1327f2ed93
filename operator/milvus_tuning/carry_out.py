"""Carrying a plan out: each state of it is in the API server before what depends on it is done.

The machine (`decide.lifecycle`) says what to write and what to call; here it is written, called and observed anew. A
pass that cannot write its intent makes no call; what a restart finds is gone on with from what the cluster shows then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from kubernetes.client import ApiClient

from milvus_tuning import apply
from milvus_tuning.api import Verification
from milvus_tuning.clients.etcd import EtcdClient
from milvus_tuning.clients.milvus import MilvusClient
from milvus_tuning.decide.running.course import Call
from milvus_tuning.decide.running.lifecycle import (
    Sight,
    Window,
    next_turn,
    operation_of,
    with_failure,
    with_measurement,
    with_success,
)
from milvus_tuning.errors import ApplyError
from milvus_tuning.metrics import Metrics
from milvus_tuning.observe import Observer
from milvus_tuning.plan import Phase, Plan, Reason, Verdict
from milvus_tuning.plan_store import PlanStore, StoredPlan
from milvus_tuning.settings import Settings
from milvus_tuning.turn import Event, PassTurn

_DEFAULT = Verification()
_GOOD = frozenset({Verdict.KEPT, Verdict.INCONCLUSIVE})
MOVES_PER_PASS = 12  # a plan goes on within one pass as long as it makes progress, but not for ever


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """The pass and the plan after it went as far as it goes now."""

    turn: PassTurn
    stored: StoredPlan


class PlanRunner:
    """Takes plans from state to state."""

    def __init__(
        self,
        *,
        api_client: ApiClient,
        settings: Settings,
        require_lease: Callable[[], None],
        metrics: Metrics,
        clock: Callable[[], datetime],
        observer: Observer,
        plans: PlanStore,
    ) -> None:
        self._api_client = api_client
        self._settings = settings
        self._require_lease = require_lease
        self._metrics = metrics
        self._clock = clock
        self._observer = observer
        self._plans = plans

    def carry_on(self, turn: PassTurn, stored: StoredPlan, sight_of: Callable[[PassTurn], Sight]) -> Carried:
        """Take the plan as far as it goes now."""
        carried = Carried(turn=turn, stored=stored)
        for _ in range(MOVES_PER_PASS):
            turn_of_plan = next_turn(carried.stored.plan, sight_of(carried.turn))
            carried = replace(carried, stored=self._record(carried, turn_of_plan.plan))
            if turn_of_plan.measure is not None:
                carried = replace(carried, stored=self._measure(carried, turn_of_plan.measure))
            elif turn_of_plan.call is not None:
                carried, made = self._make(carried, turn_of_plan.call)
                if not made:
                    break
            else:
                break
        return carried

    def apply_context(self, turn: PassTurn) -> apply.ApplyContext:
        """What a write needs. ApplyError (retryable) where the target is gone."""
        if turn.snapshot.workload is None:
            raise ApplyError("the target is not found any more", retryable=True)
        reference = turn.stored.reference
        connections = self._observer.connections(reference.namespace, turn.spec)
        etcd, milvus = connections.etcd, connections.milvus
        return apply.ApplyContext(
            api_client=self._api_client,
            etcd=etcd if isinstance(etcd, EtcdClient) else None,
            root_path=turn.snapshot.etcd_root_path,
            namespace=reference.namespace,
            workload=turn.snapshot.workload,
            policy_uid=reference.uid,
            require_lease=self._require_lease,
            timeout_seconds=self._settings.request_timeout_seconds,
            milvus=milvus if isinstance(milvus, MilvusClient) else None,
            query_nodes=turn.snapshot.query_nodes,
            clock=self._clock,
        )

    def _make(self, carried: Carried, call: Call) -> tuple[Carried, bool]:
        """Make one outside call and write what came of it; whether it was made."""
        after, made = self._call(carried, call)
        carried = replace(carried, stored=self._record(carried, after))
        if not made:
            return carried, False
        turn = carried.turn
        fresh = self._observer.observe(turn.stored.reference.namespace, turn.spec, self._clock())
        return replace(carried, turn=replace(turn, snapshot=fresh)), True

    def _call(self, carried: Carried, call: Call) -> tuple[Plan, bool]:
        plan = carried.stored.plan
        step = call.of(operation_of(plan))
        try:
            message = apply.perform(step, undo=call.undo, context=self.apply_context(carried.turn))
        except ApplyError as error:
            self._metrics.writes.labels(step.kind, "failed").inc()
            return with_failure(plan, call, self._clock(), str(error), retryable=error.retryable), False
        self._metrics.writes.labels(step.kind, "made").inc()
        return with_success(plan, call, self._clock(), message), True

    def _measure(self, carried: Carried, window: Window) -> StoredPlan:
        turn, plan, rules = carried.turn, carried.stored.plan, (carried.turn.spec.verification or _DEFAULT)
        before = plan.course.before
        measurement = self._observer.measure(
            turn.stored.reference.namespace,
            turn.spec,
            turn.snapshot,
            self._clock(),
            window_seconds=rules.window_seconds,
            slow_bound_milliseconds=before.slow_bound_milliseconds if before else None,
        )
        return self._record(carried, with_measurement(plan, window, measurement))

    def _record(self, carried: Carried, after: Plan) -> StoredPlan:
        """Write the plan's course where it changed, and tell what a person would want to know."""
        stored = carried.stored
        if after.course == stored.plan.course:
            return stored
        self._require_lease()
        if after.course.phase is Phase.RUNNING and not stored.plan.begun:
            stored = self._plans.hold(stored)
        written = self._plans.write_course(stored, after.course, now=self._clock())
        for event in _events(stored.plan, after):
            carried.turn.tell(event, written.body)
        return written


def _events(before: Plan, after: Plan) -> list[Event]:
    """What a person would want to know of a step from one phase to another."""
    course, name = after.course, after.name
    if before.course.phase is course.phase:
        return []
    good = course.verdict in _GOOD
    told: dict[Phase, tuple[str, str, str]] = {
        Phase.APPROVED: ("Normal", "PlanApproved", course.approval or ""),
        Phase.RUNNING: ("Normal", after.change.reason, after.change.message),
        Phase.VERIFYING: ("Normal", Reason.COMPLETED, course.operation.outcome_message if course.operation else ""),
        Phase.ROLLING_BACK: ("Warning", "RollingBack", course.verdict_message),
        Phase.FINISHED: ("Normal" if good else "Warning", f"Plan{course.verdict}", course.verdict_message),
    }
    kind, reason, message = told[course.phase]
    return [Event(type=kind, reason=reason, message=f"{name}: {message}")]
