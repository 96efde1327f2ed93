"""One pass over one MilvusTuning: observe, decide, apply, report. The only module that reads the clock.

A pass takes fresh facts, and either carries on the operation that status says is running, or decides anew. Before each
outside call the intent is in status, after it the outcome; what a restart finds there is gone on with from what the
cluster shows then (`decide.operation`). A pass that cannot write its intent makes no call.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from kubernetes.client import ApiClient
from pydantic import ValidationError

from milvus_tuning import apply, status
from milvus_tuning.api import MilvusTuningSpec, MilvusTuningStatus, PlacementOwner
from milvus_tuning.clients.etcd import EtcdClient
from milvus_tuning.decide import decide
from milvus_tuning.decide.load import signal
from milvus_tuning.decide.operation import Call, begin, call_failed, call_succeeded, next_move
from milvus_tuning.decide.settings import PLACEMENT_KEY, setting_steps
from milvus_tuning.decide.windows import kept
from milvus_tuning.errors import ApplyError, ObserveError
from milvus_tuning.hand_back import (
    WAY_OUT,
    deleted_at,
    give_back,
    raise_if_anything_was_done,
    raise_unless_gone,
    readable_spec,
    running_operation,
)
from milvus_tuning.metrics import Metrics
from milvus_tuning.observe import Observer
from milvus_tuning.plan import Decision, History, Operation, Reason, SettingStatus, Signal
from milvus_tuning.settings import Settings
from milvus_tuning.snapshot import Snapshot
from milvus_tuning.store import Reference, StoredTuning, TuningStore

CALLS_PER_PASS = 6  # an operation goes on within one pass as long as it makes progress, but not for ever
HAND_BACK_SECONDS = 600


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A Kubernetes Event on the MilvusTuning: type Normal or Warning, reason in CamelCase, message with the numbers."""

    type: str
    reason: str
    message: str


Emit = Callable[[Event], None]


def utc_now() -> datetime:
    """The wall clock, read here and nowhere else."""
    return datetime.now(UTC)  # noqa: TID251


@dataclass(slots=True)
class _Memory:
    """What is remembered of one object between passes; losing it costs one window of waiting, nothing else."""

    signals: tuple[Signal, ...] = ()
    last_reason: Reason | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pass:
    """The parts of one pass that travel together."""

    stored: StoredTuning
    spec: MilvusTuningSpec
    snapshot: Snapshot
    emit: Emit


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
    ) -> None:
        self._api_client = api_client
        self._settings = settings
        self._require_lease = require_lease
        self._metrics = metrics
        self._clock = clock
        self._store = TuningStore(api_client, timeout_seconds=settings.request_timeout_seconds)
        self._observer = Observer(api_client, settings)
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
            self._report_invalid(stored, error, emit)
            return
        snapshot = self._observer.observe(reference.namespace, spec, self._clock())
        self._go(_Pass(stored=stored, spec=spec, snapshot=snapshot, emit=emit))
        self._metrics.pass_seconds.observe(time.monotonic() - started)

    def _go(self, turn: _Pass) -> None:
        reference, spec = turn.stored.reference, turn.spec
        memory = self._memories.setdefault(reference.uid, _Memory())
        self._keep_placement(turn)
        try:
            running = running_operation(turn.stored)
        except ValueError as error:
            self._report_unknown_operation(turn.stored, error, turn.emit)
            return
        if running is not None:
            turn, carried = self._carry_on(turn, running)
            decision = Decision(reason=Reason.IN_PROGRESS, message=running.message)
            self._finish_pass(turn, decision, carried, memory)
            return
        now = self._clock()
        memory.signals = _remembered(memory.signals, signal(turn.snapshot, now), spec)
        decision = self._decide(turn, memory, now)
        operation: Operation | None = None
        if decision.steps:
            begun = begin(decision, operation_id=_operation_id(reference), now=now)
            turn.emit(Event(type="Normal", reason=decision.reason, message=decision.message))
            turn, operation = self._carry_on(turn, begun)
        self._finish_pass(turn, decision, operation, memory)

    def _decide(self, turn: _Pass, memory: _Memory, now: datetime) -> Decision:
        rival = self._store.older_rival(turn.stored)
        if rival is not None:
            message = (
                f"MilvusTuning {rival} is older and has the same target; the older has the say: delete one of them"
            )
            return Decision(reason=Reason.CONFLICT, message=message)
        history = History(signals=memory.signals, operations=status.finished_operations(turn.stored.status))
        return decide(
            turn.spec,
            turn.snapshot,
            history,
            now,
            read_only=self._settings.read_only,
            policy_uid=turn.stored.reference.uid,
        )

    # -- carrying out ---------------------------------------------------------------------------------------------

    def _carry_on(self, turn: _Pass, operation: Operation) -> tuple[_Pass, Operation]:
        """Take the operation as far as it goes now. Each state is in the API server before what depends on it."""
        for _ in range(CALLS_PER_PASS):
            move = next_move(operation, turn.snapshot, turn.spec, self._clock())
            turn = self._record(turn, before=operation, after=move.operation)
            operation = move.operation
            if move.call is None:
                break
            after, made = self._call(turn, operation, move.call)
            turn = self._record(turn, before=operation, after=after)
            operation = after
            if not made:
                break
            fresh = self._observer.observe(turn.stored.reference.namespace, turn.spec, self._clock())
            turn = replace(turn, snapshot=fresh)
        return turn, operation

    def _call(self, turn: _Pass, operation: Operation, call: Call) -> tuple[Operation, bool]:
        """Make one outside call; the operation after it, and whether the call was made."""
        step = operation.steps[call.step_index].step
        try:
            message = apply.perform(step, undo=call.undo, context=self._apply_context(turn))
        except ApplyError as error:
            self._metrics.writes.labels(step.kind, "failed").inc()
            return call_failed(operation, call, self._clock(), str(error), error.retryable), False
        self._metrics.writes.labels(step.kind, "made").inc()
        return call_succeeded(operation, call, self._clock(), message), True

    def _record(self, turn: _Pass, *, before: Operation, after: Operation) -> _Pass:
        stored_operation = turn.stored.status.operation
        stored_id = stored_operation.id if stored_operation else None
        if after == before and stored_id == after.operation_id:
            return turn
        self._require_lease()
        updated = turn.stored.status.model_copy(update={"operation": status.operation_to_status(after)})
        return replace(turn, stored=self._store.write_status(turn.stored, updated))

    def _keep_placement(self, turn: _Pass) -> None:
        """Renew the lease under which Milvus's balancer is held off, for as long as that is declared."""
        balancing = turn.spec.load_balancing
        owned = turn.snapshot.owned_keys.get(turn.stored.reference.uid, {})
        if balancing is None or balancing.placement_owner is not PlacementOwner.OPERATOR or PLACEMENT_KEY not in owned:
            return
        apply.renew_placement_lease(self._apply_context(turn))

    def _apply_context(self, turn: _Pass) -> apply.ApplyContext:
        if turn.snapshot.workload is None:
            raise ApplyError("the target is not found any more", retryable=True)
        reference = turn.stored.reference
        etcd = self._observer.connections(reference.namespace, turn.spec).etcd
        return apply.ApplyContext(
            api_client=self._api_client,
            etcd=etcd if isinstance(etcd, EtcdClient) else None,
            root_path=turn.snapshot.etcd_root_path,
            namespace=reference.namespace,
            workload=turn.snapshot.workload,
            policy_uid=reference.uid,
            require_lease=self._require_lease,
            timeout_seconds=self._settings.request_timeout_seconds,
        )

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
            emit(Event(type="Warning", reason=Reason.HAND_BACK_INCOMPLETE, message=message))
        self._metrics.forget(reference.namespace, reference.name)
        self._memories.pop(reference.uid, None)

    def _hand_back(self, stored: StoredTuning, emit: Emit) -> None:
        spec, whole = readable_spec(stored.body["spec"])
        if spec is None:
            raise_if_anything_was_done(stored, "spec.targetRef cannot be read: what to hand back is not known")
            return
        snapshot = self._observer.observe(stored.reference.namespace, spec, self._clock())
        if snapshot.workload is None:
            raise_unless_gone(snapshot)
            return
        turn = _Pass(stored=stored, spec=spec, snapshot=snapshot, emit=emit)
        outcomes = give_back(stored, snapshot, self._apply_context(turn))
        if not whole and snapshot.etcd_root_path is None:
            raise_if_anything_was_done(stored, "spec cannot be read, and what is left of it does not lead to etcd")
        if outcomes:
            emit(Event(type="Normal", reason=Reason.HANDED_BACK, message="; ".join(outcomes)))

    # -- reporting ------------------------------------------------------------------------------------------------

    def _finish_pass(self, turn: _Pass, decision: Decision, operation: Operation | None, memory: _Memory) -> None:
        now, before = self._clock(), turn.stored.status
        finished = operation if operation is not None and not operation.running else None
        if finished is not None:
            before = _with_finished(before, finished)
            memory.signals = ()  # the windows begin anew after a change
            self._tell_finished(turn, finished)
        facts = status.Facts(
            spec=turn.spec,
            snapshot=turn.snapshot,
            decision=decision,
            signal=signal(turn.snapshot, now),
            settings=self._setting_statuses(turn, now),
            operation=operation if finished is None else None,
            last_finished=next(reversed(status.finished_operations(before)), None),
            read_only=self._settings.read_only,
        )
        after = status.build_status(before, facts, generation=turn.stored.generation, now=now)
        self._tell_decision(turn, decision, memory)
        self._measure(turn.stored.reference, facts)
        if finished is not None or status.worth_writing(turn.stored.status, after, now=now):
            self._require_lease()
            self._store.write_status(turn.stored, after)

    def _setting_statuses(self, turn: _Pass, now: datetime) -> tuple[SettingStatus, ...]:
        _, statuses = setting_steps(
            turn.spec, turn.snapshot, now, turn.stored.reference.uid, read_only=self._settings.read_only
        )
        return statuses

    def _report_invalid(self, stored: StoredTuning, error: ValidationError, emit: Emit) -> None:
        message = "; ".join(f"spec.{_path(detail['loc'])}: {detail['msg']}" for detail in error.errors())
        after = status.invalid_status(stored.status, message, generation=stored.generation, now=self._clock())
        self._report_stop(stored, after, Event(type="Warning", reason=Reason.INVALID_SPEC, message=message), emit)

    def _report_unknown_operation(self, stored: StoredTuning, error: ValueError, emit: Emit) -> None:
        """An operation that cannot be read is neither carried on nor forgotten."""
        message = (
            f"status.operation was written by another version of the operator ({error}): nothing is done until that "
            "version has finished it, or status.operation is removed"
        )
        after = status.unknown_operation_status(stored.status, message, generation=stored.generation, now=self._clock())
        self._report_stop(stored, after, Event(type="Warning", reason=Reason.UNKNOWN_OPERATION, message=message), emit)

    def _report_stop(self, stored: StoredTuning, after: MilvusTuningStatus, event: Event, emit: Emit) -> None:
        if after != stored.status:
            emit(event)
            self._require_lease()
            self._store.write_status(stored, after)

    def _tell_decision(self, turn: _Pass, decision: Decision, memory: _Memory) -> None:
        reference = turn.stored.reference
        self._metrics.decisions.labels(reference.namespace, reference.name, decision.reason).inc()
        if decision.reason is not memory.last_reason and decision.reason in _TOLD:
            turn.emit(Event(type="Warning", reason=decision.reason, message=decision.message))
        memory.last_reason = decision.reason

    def _tell_finished(self, turn: _Pass, operation: Operation) -> None:
        reference, outcome = turn.stored.reference, operation.outcome or Reason.COMPLETED
        self._metrics.operations.labels(reference.namespace, reference.name, outcome).inc()
        kind = "Normal" if outcome is Reason.COMPLETED else "Warning"
        turn.emit(Event(type=kind, reason=outcome, message=f"{operation.message}: {operation.outcome_message}"))

    def _measure(self, reference: Reference, facts: status.Facts) -> None:
        metrics, workload = self._metrics, facts.snapshot.workload
        values = (
            (metrics.desired, workload.desired_count if workload else None),
            (metrics.ready, workload.ready_count if workload else None),
            (metrics.serving, workload.serving_count if workload else None),
            (metrics.capacity, facts.signal.capacity_ratio),
            (metrics.computation, facts.signal.computation_ratio),
            (metrics.even_computation, facts.signal.even_computation_ratio),
            (metrics.paused, float(facts.spec.paused or facts.read_only)),
        )
        for gauge, value in values:
            metrics.set_or_clear(gauge, reference.namespace, reference.name, value)
        metrics.passes.labels(reference.namespace, reference.name, facts.decision.reason).inc()


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
        Reason.ACTION_LIMIT,
        Reason.WOULD_NOT_FIT,
        Reason.REPLICA_NEEDS_NODES,
    }
)


def _with_finished(before: MilvusTuningStatus, finished: Operation) -> MilvusTuningStatus:
    history = [*(before.history or []), status.operation_to_status(finished)]
    return before.model_copy(update={"operation": None, "history": history[-status.HISTORY_LENGTH :]})


def _remembered(before: tuple[Signal, ...], current: Signal, spec: MilvusTuningSpec) -> tuple[Signal, ...]:
    return (current,) if spec.query_nodes is None else kept((*before, current), spec.query_nodes)


def _operation_id(reference: Reference) -> str:
    return f"{reference.name[:60]}-{secrets.token_hex(5)}"


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)
