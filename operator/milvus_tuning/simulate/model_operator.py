"""The operator of the model world: the real decision and the real course of an operation, with calls into the model.

What outlives a crash is what the real operator keeps in status, through the same text form; the signals of the windows
are memory and are lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from milvus_tuning.api import MilvusTuningSpec, OperationStatus
from milvus_tuning.decide import decide
from milvus_tuning.decide.load import signal
from milvus_tuning.decide.operation import Call, begin, call_succeeded, next_move
from milvus_tuning.decide.readback import integer
from milvus_tuning.decide.windows import kept
from milvus_tuning.plan import Decision, History, Operation, Reason, Signal, Step, StepKind
from milvus_tuning.simulate.cluster import ModelCluster
from milvus_tuning.simulate.scenario import Fault, FaultKind, Scenario
from milvus_tuning.simulate.view import take_snapshot, virtual_time
from milvus_tuning.status.records import operation_from_status, operation_to_status

CALLS_PER_PASS = 6
FINISHED_KEPT = 20


@dataclass(slots=True, kw_only=True)
class Record:
    """What status holds: it outlives the operator."""

    running: OperationStatus | None = None
    finished: list[OperationStatus] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Journal:
    """What is kept about the run for its judgement."""

    decisions: list[tuple[float, Decision]] = field(default_factory=list)
    calls: list[tuple[float, StepKind, bool]] = field(default_factory=list)
    busy_until_seconds: float = 0.0
    peak_count: int = 0


class Crash(Exception):
    """The operator dies here."""


class ModelOperator:
    """Runs passes over the model cluster."""

    def __init__(self, scenario: Scenario, cluster: ModelCluster) -> None:
        self._scenario = scenario
        self._cluster = cluster
        self._spec: MilvusTuningSpec = scenario.policy()
        self._signals: tuple[Signal, ...] = ()
        self._crashes: list[Fault] = [one for one in scenario.faults if one.kind is FaultKind.CRASH_AFTER_CALL]
        self.record = Record()
        self.journal = Journal(peak_count=cluster.desired_count)

    def forget(self) -> None:
        """The process is gone; what it remembered goes with it."""
        self._signals = ()

    def run_pass(self) -> None:
        """One pass, as reconcile makes it."""
        try:
            self._pass()
        except Crash:
            self.forget()
        self.journal.peak_count = max(self.journal.peak_count, self._cluster.desired_count)

    def _pass(self) -> None:
        at = self._cluster.now_seconds
        if self.record.running is not None:
            self.journal.busy_until_seconds = at
            self._carry_on(operation_from_status(self.record.running))
            return
        snapshot = take_snapshot(self._cluster, self._scenario)
        now = virtual_time(at)
        self._signals = (*self._signals, signal(snapshot, now))
        if self._spec.query_nodes is not None:
            self._signals = kept(self._signals, self._spec.query_nodes)
        finished = tuple(operation_from_status(stored) for stored in self.record.finished)
        decision = decide(self._spec, snapshot, History(signals=self._signals, operations=finished), now)
        self.journal.decisions.append((at, decision))
        if decision.steps:
            self.journal.busy_until_seconds = at
            self._carry_on(begin(decision, operation_id=f"operation-{len(finished) + 1}", now=now))

    def _carry_on(self, operation: Operation) -> None:
        now = virtual_time(self._cluster.now_seconds)
        for _ in range(CALLS_PER_PASS):
            snapshot = take_snapshot(self._cluster, self._scenario)
            move = next_move(operation, snapshot, self._spec, now)
            operation = self._write(move.operation)
            if move.call is None:
                break
            message = self._call(operation, move.call)
            operation = self._write(call_succeeded(operation, move.call, now, message))

    def _write(self, operation: Operation) -> Operation:
        stored = operation_to_status(operation)
        if operation.running:
            self.record.running = stored
        else:
            self.record.running = None
            self.record.finished = [*self.record.finished, stored][-FINISHED_KEPT:]
            self._signals = ()
        return operation_from_status(stored)

    def _call(self, operation: Operation, call: Call) -> str:
        step = operation.steps[call.step_index].step
        message = perform(self._cluster, step, undo=call.undo)
        self.journal.calls.append((self._cluster.now_seconds, step.kind, call.undo))
        if any(crash.number == len(self.journal.calls) for crash in self._crashes):
            raise Crash
        return message


def perform(cluster: ModelCluster, step: Step, *, undo: bool) -> str:
    """The absolute write of a step on the model."""
    parameters = step.undo if undo else step.action
    if step.kind is StepKind.SCALE_QUERY_NODES:
        count = integer(parameters, "count")
        if count is None:
            raise ValueError(f"{step.kind} without a count")
        cluster.desired_count = count
        return f"{count} QueryNodes asked for"
    if step.kind is not StepKind.DRAIN_QUERY_NODE:
        raise ValueError(f"the model cluster has no {step.kind}")
    node = cluster.find(str(parameters.get("pod")))
    if node is not None:
        node.deletion_cost = integer(parameters, "deletionCost")
    return f"deletion cost {parameters.get('deletionCost')} on {parameters.get('pod')}"


def outcomes(record: Record) -> tuple[Reason, ...]:
    """How the finished operations ended, oldest first."""
    return tuple(Reason(stored.outcome) for stored in record.finished if stored.outcome)
