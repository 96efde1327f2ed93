"""What the operator was good for: time within the objective, QueryNodes saved, and what became of its plans.

The sums are kept with their fractions between passes (`Account`) and stored as integers (`api.Benefit`). Between two
passes what was true at the second one is taken to have held; a gap of more than two minutes is in no sum, because
nobody looked. Worked example, objective P99 100 ms, maxCount 6, a pass each 15 s:

    10 passes: P99 64 ms, 3 QueryNodes   met 150 s of 150 s   450 node-seconds of 900 at the maximum
    then  2:  P99 128 ms, 4 QueryNodes   met 150 s of 180 s   570 node-seconds of 1080
    then an hour without a pass          the same
    then  1:  P99 not measured, 4        met 150 s of 180 s   630 node-seconds of 1170
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime

from milvus_tuning.api import Benefit, MilvusTuningSpec
from milvus_tuning.plan import Plan, StepKind, StepState, Verdict, segment_ids
from milvus_tuning.snapshot import Sample, Snapshot
from milvus_tuning.status.records import format_time, parse_time

LONGEST_GAP_SECONDS = 120.0
MAX_SAMPLE_AGE_SECONDS = 60.0  # as decisions have it: four scrapes at Prometheus' usual 15 s

_KEPT = frozenset({Verdict.KEPT, Verdict.INCONCLUSIVE})  # both leave the change in place


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """The sums since `since`; seconds and node-seconds with their fractions."""

    since: datetime
    objective_seconds_met: float = 0.0
    objective_seconds_measured: float = 0.0
    node_seconds: float = 0.0
    node_seconds_at_maximum: float = 0.0
    plans_kept: int = 0
    plans_rolled_back: int = 0
    moves_kept: int = 0
    moves_undone: int = 0

    @classmethod
    def from_status(cls, stored: Benefit | None, now: datetime) -> Account:
        """The account that was stored, or one that begins now."""
        if stored is None:
            return cls(since=now)
        return cls(**{**stored.model_dump(), "since": parse_time(stored.since)})

    def elapsed(self, seconds: float, spec: MilvusTuningSpec, snapshot: Snapshot) -> Account:
        """The account after so many seconds of what the snapshot shows."""
        if not 0.0 < seconds <= LONGEST_GAP_SECONDS:
            return self
        return self._with_objective(seconds, spec, snapshot)._with_nodes(seconds, spec, snapshot)

    def finished(self, plan: Plan) -> Account:
        """The account after a plan that was carried out has ended; any other verdict leaves it as it is."""
        moves = _moves(plan)
        if plan.course.verdict in _KEPT:
            return replace(self, plans_kept=self.plans_kept + 1, moves_kept=self.moves_kept + moves)
        if plan.course.verdict is Verdict.ROLLED_BACK:
            undone = self.moves_undone + moves
            return replace(self, plans_rolled_back=self.plans_rolled_back + 1, moves_undone=undone)
        return self

    def to_status(self) -> Benefit:
        """The form that is stored, in whole seconds."""
        return Benefit(
            since=format_time(self.since),
            objective_seconds_met=int(self.objective_seconds_met),
            objective_seconds_measured=int(self.objective_seconds_measured),
            node_seconds=int(self.node_seconds),
            node_seconds_at_maximum=int(self.node_seconds_at_maximum),
            plans_kept=self.plans_kept,
            plans_rolled_back=self.plans_rolled_back,
            moves_kept=self.moves_kept,
            moves_undone=self.moves_undone,
        )

    def _with_objective(self, seconds: float, spec: MilvusTuningSpec, snapshot: Snapshot) -> Account:
        bound = spec.objectives.search_latency_p99_milliseconds if spec.objectives else None
        measured = _fresh(snapshot.traffic.p99_milliseconds)
        if bound is None or measured is None:
            return self
        return replace(
            self,
            objective_seconds_met=self.objective_seconds_met + (seconds if measured <= bound else 0.0),
            objective_seconds_measured=self.objective_seconds_measured + seconds,
        )

    def _with_nodes(self, seconds: float, spec: MilvusTuningSpec, snapshot: Snapshot) -> Account:
        """Both sums or none: with no bounds declared, or no target found, there is nothing to compare with."""
        if spec.query_nodes is None or snapshot.workload is None:
            return self
        return replace(
            self,
            node_seconds=self.node_seconds + seconds * snapshot.workload.desired_count,
            node_seconds_at_maximum=self.node_seconds_at_maximum + seconds * spec.query_nodes.max_count,
        )


def _moves(plan: Plan) -> int:
    """The segments that it moved, without what was left out; of a change of size those that were expected to move."""
    records = plan.course.operation.steps if plan.course.operation else ()
    moves = [record for record in records if record.step.kind is StepKind.MOVE_SEGMENTS]
    if not moves:
        return plan.change.prediction.moved_segments
    return sum(len(segment_ids(record.step.action)) for record in moves if record.state is not StepState.LEFT_OUT)


def _fresh(sample: Sample) -> float | None:
    """The value, unless it is none, no number, too old or of a part of the proxies only."""
    value = sample.usable(max_age_seconds=MAX_SAMPLE_AGE_SECONDS, min_coverage=1.0)
    return None if value is None or math.isnan(value) else value
