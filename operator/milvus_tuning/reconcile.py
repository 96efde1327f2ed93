"""One pass over one MilvusTuning: observe, decide, carry on with its plan, report.

A pass takes fresh facts. A plan that is at work goes on from what the cluster shows (`carry_out`); otherwise the
decision is made anew, and what it wants becomes a plan. Mode Auto, a person or Git approve it, and then exactly its
steps are run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from kubernetes.client import ApiClient
from pydantic import ValidationError

from milvus_tuning import apply, status
from milvus_tuning.api import MilvusTuningSpec, Mode
from milvus_tuning.carry_out import PlanRunner
from milvus_tuning.clients.admission import AdmissionProbe
from milvus_tuning.decide import decide
from milvus_tuning.decide.config.keys import PLACEMENT_KEY
from milvus_tuning.decide.config.profile import profile_view
from milvus_tuning.decide.config.rollbacks import recent_rollbacks
from milvus_tuning.decide.config.settings import setting_steps
from milvus_tuning.decide.load import signal
from milvus_tuning.decide.memory import Insight, Memory, look_back, with_signal
from milvus_tuning.decide.placement.owner import operator_places
from milvus_tuning.decide.proposing.hold_off import without_turned_down
from milvus_tuning.decide.proposing.maintenance import window_fault
from milvus_tuning.decide.proposing.pause import frozen, pause
from milvus_tuning.decide.proposing.proposal import intent_digest, propose
from milvus_tuning.decide.proposing.retention import surplus
from milvus_tuning.decide.running.lifecycle import Sight, abandoned, steps_ended
from milvus_tuning.errors import ApplyError, ObserveError
from milvus_tuning.hand_back import (
    WAY_OUT,
    deleted_at,
    give_back,
    raise_if_anything_was_done,
    raise_unless_gone,
    readable_spec,
)
from milvus_tuning.metrics import Metrics
from milvus_tuning.observe import Observer
from milvus_tuning.plan import Decision, History, Operation, Phase, Plan, Reason, SettingStatus
from milvus_tuning.plan_store import PlanStore, StoredPlan
from milvus_tuning.policy_plans import PolicyPlans
from milvus_tuning.report import Reporter
from milvus_tuning.settings import Settings
from milvus_tuning.status.benefit import Account
from milvus_tuning.store import Reference, StoredTuning, TuningStore
from milvus_tuning.turn import Emit, Event, PassTurn, utc_now

HOUR = timedelta(hours=1)
HAND_BACK_SECONDS = 600


@dataclass(slots=True)
class _Memory:
    """What is remembered of one object between passes; of the account, what is not in its status yet."""

    seen: Memory = field(default_factory=Memory)
    insight: Insight | None = None
    proposed: Decision | None = None  # what the newest plan was made from: its inputs, and what was turned down
    account: Account | None = None
    accounted_at: datetime | None = None


class Reconciler:
    """Runs passes. One object's passes must not overlap (handlers.py sees to it); different objects' may."""

    def __init__(
        self,
        *,
        api_client: ApiClient,
        settings: Settings,
        require_lease: Callable[[], None],
        metrics: Metrics,
        clock: Callable[[], datetime] = utc_now,
        admission_enforced: Callable[[str], bool] | None = None,
    ) -> None:
        self._settings = settings
        self._require_lease = require_lease
        self._metrics = metrics
        self._clock = clock
        timeout_seconds = settings.request_timeout_seconds
        self._admission_enforced = (
            admission_enforced or AdmissionProbe(api_client, timeout_seconds=timeout_seconds).in_force
        )
        self._store = TuningStore(api_client, timeout_seconds=timeout_seconds)
        self._plans = PlanStore(api_client, timeout_seconds=timeout_seconds)
        self._observer = Observer(api_client, settings)
        self._runner = PlanRunner(
            api_client=api_client,
            settings=settings,
            require_lease=require_lease,
            metrics=metrics,
            clock=clock,
            observer=self._observer,
            plans=self._plans,
        )
        self._reporter = Reporter(store=self._store, metrics=metrics, require_lease=require_lease, settings=settings)
        self._memories: dict[str, _Memory] = {}

    def run_pass(self, reference: Reference, emit: Emit) -> None:
        """Run one pass. Raises ObserveError or ApplyError when the API server itself does not do its part."""
        started = time.monotonic()
        stored = self._store.read(reference)
        if stored is None or stored.deleting:
            return
        try:
            spec = MilvusTuningSpec.model_validate(stored.body["spec"])
        except ValidationError as error:
            message = "; ".join(f"spec.{_path(detail['loc'])}: {detail['msg']}" for detail in error.errors())
            self._reporter.stop(stored, Reason.INVALID_SPEC, message, emit, self._clock())
            return
        snapshot = self._observer.observe(reference.namespace, spec, self._clock())
        self._go(PassTurn(stored=stored, spec=spec, snapshot=snapshot, emit=emit))
        self._metrics.pass_seconds.observe(time.monotonic() - started)

    def _go(self, turn: PassTurn) -> None:
        memory = self._memories.setdefault(turn.stored.reference.uid, _Memory())
        plans = PolicyPlans(stored=self._plans.of_policy(turn.stored.reference.namespace, turn.stored.reference.uid))
        self._keep_placement(turn, plans)
        unreadable = next((one for one in plans.stored if one.unreadable is not None and one.plan.open), None)
        if unreadable is not None:
            self._report_unreadable(turn, unreadable)
            return
        fault = _window_fault(turn.spec)
        if fault is not None and not plans.at_work:
            self._reporter.stop(turn.stored, Reason.INVALID_SPEC, fault, turn.emit, self._clock())
            return
        now = self._clock()
        turn, why_paused = self._with_pauses(turn, now)
        operations = plans.operations(turn.stored.status)
        memory.seen, memory.insight = look_back(memory.seen, turn.spec, turn.snapshot, operations, now)
        decision = self._decide(turn, plans, memory, now, why_paused)
        current = plans.current
        if current is None and decision.steps:
            current, memory.proposed = self._propose(turn, plans, decision, now), decision
        if current is None:
            self._finish_pass(turn, decision, plans, memory)
            return
        carried = self._runner.carry_on(turn, current, self._sight_of(plans, decision, memory, why_paused))
        if steps_ended(current.plan, carried.stored.plan):
            memory.seen = memory.seen.after_a_change()
        self._finish_pass(carried.turn, decision, plans.with_current(carried.stored), memory)

    # -- the decision ---------------------------------------------------------------------------------------------

    def _decide(
        self, turn: PassTurn, plans: PolicyPlans, memory: _Memory, now: datetime, why_paused: str | None
    ) -> Decision:
        if plans.at_work and plans.current is not None:
            why = memory.proposed or Decision(reason=Reason.IN_PROGRESS, message="")
            return replace(why, reason=Reason.IN_PROGRESS, message=plans.current.plan.change.message, steps=())
        memory.seen = with_signal(memory.seen, turn.spec, turn.snapshot, now)
        rival = self._store.older_rival(turn.stored)
        if rival is not None:
            message = (
                f"MilvusTuning {rival} is older and has the same target; the older has the say: delete one of them"
            )
            return Decision(reason=Reason.CONFLICT, message=message)
        decision = decide(
            turn.spec,
            turn.snapshot,
            History(signals=memory.seen.signals, operations=plans.history(turn.stored.status)),
            now,
            heat=memory.insight.heat if memory.insight else None,
            moves=memory.insight.moves if memory.insight else None,
            read_only=self._settings.read_only,
            policy_uid=turn.stored.reference.uid,
            why_paused=why_paused,
        )
        return without_turned_down(decision, turn.spec, [one.plan for one in plans.stored], now)

    def _with_pauses(self, turn: PassTurn, now: datetime) -> tuple[PassTurn, str | None]:
        """The turn as pauses and freezes set by hand make it, and why it is paused."""
        annotations: Mapping[str, str] = turn.stored.body["metadata"].get("annotations") or {}
        why = pause(turn.spec, annotations, now)
        held = frozen(annotations, now)
        snapshot, spec = turn.snapshot, turn.spec
        if held is not None:
            snapshot = replace(snapshot, freezes=(*snapshot.freezes, held))
        if why is not None:
            spec = spec.model_copy(update={"paused": True})
        return replace(turn, snapshot=snapshot, spec=spec), why

    def _propose(self, turn: PassTurn, plans: PolicyPlans, decision: Decision, now: datetime) -> StoredPlan:
        reference, last = turn.stored.reference, turn.stored.status.last_plan
        known = [one.plan.change.sequence for one in plans.stored] + [last.sequence if last else 0]
        plan = propose(
            decision,
            spec=turn.spec,
            snapshot=turn.snapshot,
            signal=signal(turn.snapshot, now),
            policy_name=reference.name,
            policy_uid=reference.uid,
            generation=turn.stored.generation,
            sequence=max(known) + 1,
            now=now,
        )
        self._require_lease()
        stored = self._plans.create(plan.change, plan.name, reference)
        turn.tell(Event(type="Normal", reason="PlanProposed", message=f"{plan.name}: {decision.message}"), stored.body)
        return stored

    def _sight_of(
        self, plans: PolicyPlans, decision: Decision, memory: _Memory, why_paused: str | None
    ) -> Callable[[PassTurn], Sight]:
        def sight(turn: PassTurn) -> Sight:
            now = self._clock()
            return Sight(
                spec=turn.spec,
                snapshot=turn.snapshot,
                now=now,
                decision=None if decision.reason is Reason.IN_PROGRESS else decision,
                in_the_way=self._in_the_way(turn, plans, decision, why_paused),
                read_only=self._settings.read_only,
                started_within_hour=_started_within_hour(plans.history(turn.stored.status), now),
                admission_enforced=self._is_admission_enforced(turn),
                damping=bool(memory.insight and memory.insight.damping),
            )

        return sight

    def _in_the_way(self, turn: PassTurn, plans: PolicyPlans, decision: Decision, why_paused: str | None) -> str | None:
        if why_paused is not None:
            return why_paused
        if self._settings.read_only:
            return "the operator runs read-only"
        if decision.reason is Reason.CONFLICT:
            return decision.message
        if plans.current is None or plans.current.plan.course.phase not in {Phase.PROPOSED, Phase.APPROVED}:
            return None
        reference, target = turn.stored.reference, plans.current.plan.change.target
        other = self._plans.running_elsewhere(reference.namespace, target, reference.uid)
        return None if other is None else f"plan {other} is at work on the same Milvus"

    def _is_admission_enforced(self, turn: PassTurn) -> bool:
        return turn.spec.mode is Mode.AUTO and self._admission_enforced(turn.stored.reference.namespace)

    # -- the end of a pass ----------------------------------------------------------------------------------------

    def _finish_pass(self, turn: PassTurn, decision: Decision, plans: PolicyPlans, memory: _Memory) -> None:
        """Report; then let go of the plans that are over, whose end is in the history by now."""
        now = self._clock()
        over = [one for one in plans.stored if not one.plan.open and one.held]
        self._account(turn, memory, now)
        new = status.missing_from_history(turn.stored.status, [one.plan for one in over])
        for plan in new:
            memory.account = memory.account.finished(plan) if memory.account else None
        facts = status.Facts(
            spec=turn.spec,
            snapshot=turn.snapshot,
            decision=decision,
            signal=signal(turn.snapshot, now),
            settings=self._setting_statuses(turn, plans, memory),
            plan=plans.newest,
            finished=new,
            last_finished=_last_operation(turn, new),
            benefit=memory.account.to_status() if memory.account else None,
            read_only=self._settings.read_only,
            heat=memory.insight.heat if memory.insight else None,
            moving=memory.insight.moves.ping_pong if memory.insight else (),
            placement=memory.insight.moves if memory.insight else None,
            profile=profile_view(turn.spec),
        )
        self._reporter.report(turn, facts, now)
        for one in over:
            self._require_lease()
            self._plans.release(one)
        self._prune(plans, now)

    def _prune(self, plans: PolicyPlans, now: datetime) -> None:
        keep_count, keep_days = self._settings.plans_kept_count, self._settings.plans_kept_days
        gone = surplus([one.plan for one in plans.stored], now, keep_count=keep_count, keep_days=keep_days)
        names = {plan.name for plan in gone}
        for one in plans.stored:
            if one.plan.name in names:
                self._require_lease()
                self._plans.delete(one)

    def _account(self, turn: PassTurn, memory: _Memory, now: datetime) -> None:
        """Add the time since the last pass to the benefit account."""
        account = memory.account or Account.from_status(turn.stored.status.benefit, now)
        since = memory.accounted_at or now
        memory.account = account.elapsed((now - since).total_seconds(), turn.spec, turn.snapshot)
        memory.accounted_at = now

    def _setting_statuses(self, turn: PassTurn, plans: PolicyPlans, memory: _Memory) -> tuple[SettingStatus, ...]:
        now = self._clock()
        _, statuses = setting_steps(
            turn.spec,
            turn.snapshot,
            now,
            turn.stored.reference.uid,
            read_only=self._settings.read_only,
            rollbacks=recent_rollbacks(plans.history(turn.stored.status), intent_digest(turn.spec), now),
            damping=bool(memory.insight and memory.insight.damping),
            at_work=plans.current.plan.change.steps if plans.at_work and plans.current else (),
            moved=memory.insight.moves.last if memory.insight else None,
        )
        return statuses

    def _report_unreadable(self, turn: PassTurn, plan: StoredPlan) -> None:
        """A plan that cannot be read is neither carried on nor forgotten."""
        message = (
            f"plan {plan.body['metadata']['name']} was written by another version of the operator ({plan.unreadable}): "
            "nothing is done until that version has finished it, or the plan is removed"
        )
        self._reporter.stop(turn.stored, Reason.UNKNOWN_OPERATION, message, turn.emit, self._clock())

    def _keep_placement(self, turn: PassTurn, plans: PolicyPlans) -> None:
        """Renew the lease under which Milvus's balancer is held off, while that is declared or a plan relies on it."""
        owned = turn.snapshot.owned_keys.get(turn.stored.reference.uid, {})
        if PLACEMENT_KEY not in owned or not (operator_places(turn.spec) or plans.at_work):
            return
        apply.renew_placement_lease(self._runner.apply_context(turn))

    # -- handing back ---------------------------------------------------------------------------------------------

    def hand_back(self, reference: Reference, emit: Emit) -> None:
        """Give back what the object made us take, before it goes.

        Raises ObserveError or ApplyError to be called again, for HAND_BACK_SECONDS after the deletion; then it lets go
        and says what was left behind: a namespace must not hang on a Milvus that is gone.
        """
        stored = self._store.read(reference)
        if stored is None:
            return
        try:
            self._hand_back(stored, emit)
        except (ObserveError, ApplyError) as error:
            if self._clock() - deleted_at(stored) < timedelta(seconds=HAND_BACK_SECONDS):
                raise
            message = f"{error}; {WAY_OUT}"
            emit(stored.body, Event(type="Warning", reason=Reason.HAND_BACK_INCOMPLETE, message=message))
        self._metrics.forget(reference.namespace, reference.name)
        self._memories.pop(reference.uid, None)

    def _hand_back(self, stored: StoredTuning, emit: Emit) -> None:
        plans = self._plans.of_policy(stored.reference.namespace, stored.reference.uid)
        spec, whole = readable_spec(stored.body["spec"])
        if spec is None:
            raise_if_anything_was_done(stored, plans, "spec.targetRef cannot be read: what to hand back is not known")
            self._let_go(plans)
            return
        snapshot = self._observer.observe(stored.reference.namespace, spec, self._clock())
        if snapshot.workload is None:
            raise_unless_gone(snapshot)
            self._let_go(plans)
            return
        turn = PassTurn(stored=stored, spec=spec, snapshot=snapshot, emit=emit)
        sole = self._store.older_rival(stored) is None
        outcomes = give_back(stored, plans, snapshot, self._runner.apply_context(turn), sole=sole)
        if not whole and snapshot.etcd_root_path is None:
            raise_if_anything_was_done(stored, plans, "spec cannot be read, and what is left does not lead to etcd")
        self._let_go(plans)
        if outcomes:
            emit(stored.body, Event(type="Normal", reason=Reason.HANDED_BACK, message="; ".join(outcomes)))

    def _let_go(self, plans: Sequence[StoredPlan]) -> None:
        """End the plans of a policy that goes, so that nothing holds them."""
        for one in plans:
            current = one
            if one.unreadable is None and one.plan.open:
                self._require_lease()
                ended = abandoned(one.plan, self._clock(), "its MilvusTuning was deleted")
                current = self._plans.write_course(one, ended.course, now=self._clock())
            if current.held:
                self._require_lease()
                self._plans.release(current)


def _window_fault(spec: MilvusTuningSpec) -> str | None:
    """What is wrong with the maintenance windows that only a calendar can tell."""
    windows = enumerate(spec.maintenance_windows or ())
    faults = [f"spec.maintenanceWindows.{index}: {fault}" for index, one in windows if (fault := window_fault(one))]
    return "; ".join(faults) or None


def _last_operation(turn: PassTurn, new: Sequence[Plan]) -> Operation | None:
    finished = [*status.finished_operations(turn.stored.status), *(plan.course.operation for plan in new)]
    return finished[-1] if finished else None


def _started_within_hour(operations: Sequence[Operation], now: datetime) -> int:
    return sum(1 for operation in operations if now - operation.started_at < HOUR)


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)
