"""What a change is expected to do: estimates, each only where there is a ground for it.

    moved             what a leaving node holds; what an even spread puts on new nodes, total x added/after
    computation       the mean over the nodes that were measured (the load if it were even), x before/after in nodes
    P99               P99 measured x (1 - computation before) / (1 - computation after)
    skew              stays as it is for a setting and for a leaving node; where new nodes come nobody knows
    moves of segments the segments that the steps name and their rows; what becomes of the skew and of the busiest node
                      comes from the decision's outlook (the heat model), and P99 goes with the busiest node then, since
                      a search waits for the slowest
    memory headroom   100 - use/limit of the fullest node, once the moved bytes have gone in equal shares from or to
                      the nodes that stay

The P99 is an estimate from queueing theory, not a measurement: in an M/M/1 queue (one server, random arrivals, first
come first served) the time in the system is exponentially distributed with mean service time / (1 - use), so each of
its quantiles goes with 1 / (1 - use). It takes the service time of one search as given, though a node that holds more
segments takes longer for each. Near full use it explodes, so it is given below 95 % only, before and after.

Example, two nodes at a mean of 75 %, P99 120 ms, one node more: computation 75 % x 2/3 = 50 %, P99 120 x 0.25 / 0.5 =
60 ms; of 30 segments 10 move.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from milvus_tuning.decide.load import MAX_SAMPLE_AGE_SECONDS, NodeLoad, node_loads, skew_ratio
from milvus_tuning.decide.readback import find_pod, integer
from milvus_tuning.decide.size.steps import segments_held_by, served_segments
from milvus_tuning.plan import Outlook, Prediction, Signal, Step, StepKind, segment_ids
from milvus_tuning.snapshot import QueryNode, Segment, Snapshot

MOST_QUEUED_RATIO = 0.95  # beyond it 1 / (1 - use) doubles with each further 2 %: more noise than estimate
_PLACEMENT_KINDS = frozenset({StepKind.MOVE_SEGMENTS, StepKind.SET_REPLICA_NUMBER})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Size:
    """A change of size: how many QueryNodes there are and will be, and who leaves (None: nobody)."""

    before: int
    after: int
    victim: QueryNode | None

    @property
    def added(self) -> int:
        return self.after - self.before


@dataclass(frozen=True, kw_only=True, slots=True)
class _Moved:
    """What changes its node; count_bytes is None where it is not measured."""

    segments: int = 0
    rows: int = 0
    count_bytes: float | None = None


def predict(
    steps: Sequence[Step], snapshot: Snapshot, signal: Signal, now: datetime, outlook: Outlook | None = None
) -> Prediction:
    """What the steps are expected to do, seen from this snapshot; what has no ground is None.

    Without a change of size the counts, the computation and the skew stay as they are, and P99 after is unknown.
    outlook: what the heat model says of moves and of in-memory replicas.
    """
    if outlook is not None or any(step.kind in _PLACEMENT_KINDS for step in steps):
        return _of_placement(steps, snapshot, signal, now, outlook or Outlook())
    size, loads = _size(steps, snapshot), node_loads(snapshot, now)
    moved = _moved(size, snapshot, loads) if size else _Moved()
    count = snapshot.workload.desired_count if snapshot.workload else None
    before = signal.even_computation_ratio
    after = before * size.before / size.after if size and before is not None else before
    skew, p99 = _percent(skew_ratio(signal)), _p99_milliseconds(snapshot, now)
    return Prediction(
        node_count_before=size.before if size else count,
        node_count_after=size.after if size else count,
        moved_segments=moved.segments,
        moved_rows=moved.rows,
        moved_bytes=None if moved.count_bytes is None else round(moved.count_bytes),
        computation_percent_before=_percent(before),
        computation_percent_after=_percent(after),
        skew_percent_before=skew,
        skew_percent_after=None if size and size.added > 0 else skew,
        p99_milliseconds_before=None if p99 is None else round(p99),
        p99_milliseconds_after=_p99_after(p99, before, after) if size else None,
        memory_headroom_percent=_headroom_percent(size, moved, snapshot, loads),
    )


def _of_placement(
    steps: Sequence[Step], snapshot: Snapshot, signal: Signal, now: datetime, outlook: Outlook
) -> Prediction:
    """Of moves and in-memory replicas: the size stays, the load is spread in another way."""
    ids = [one for step in steps if step.kind is StepKind.MOVE_SEGMENTS for one in segment_ids(step.action)]
    rows = {segment.segment_id: segment.rows for segment in snapshot.segments}
    count = snapshot.workload.desired_count if snapshot.workload else None
    p99, mean = _p99_milliseconds(snapshot, now), _percent(signal.even_computation_ratio)
    skew = outlook.skew_percent_before
    return Prediction(
        node_count_before=count,
        node_count_after=count,
        moved_segments=len(ids) or outlook.moved_segments,
        moved_rows=sum(rows.get(one, 0) for one in ids) if ids else outlook.moved_rows,
        moved_bytes=outlook.moved_bytes,
        computation_percent_before=mean,
        computation_percent_after=mean if ids else None,
        skew_percent_before=_percent(skew_ratio(signal)) if skew is None else skew,
        skew_percent_after=outlook.skew_percent_after,
        p99_milliseconds_before=None if p99 is None else round(p99),
        p99_milliseconds_after=_p99_after(
            p99, _ratio(outlook.busiest_percent_before), _ratio(outlook.busiest_percent_after)
        ),
        heat_share_percent=outlook.heat_share_percent,
    )


def _size(steps: Sequence[Step], snapshot: Snapshot) -> _Size | None:
    """The change of size among the steps, or None."""
    step = next((one for one in steps if one.kind is StepKind.SCALE_QUERY_NODES), None)
    if step is None:
        return None
    before, after = integer(step.precondition, "desiredCount"), integer(step.action, "count")
    if not before or not after:
        return None
    pod = step.verification.get("pod")
    victim = find_pod(snapshot, pod, step.verification.get("podUid")) if pod is not None else None
    return _Size(before=before, after=after, victim=victim)


def _moved(size: _Size, snapshot: Snapshot, loads: Sequence[NodeLoad]) -> _Moved:
    if size.added > 0:
        return _spread(size, served_segments(snapshot), loads)
    if size.victim is None:
        return _Moved()
    held = segments_held_by(size.victim, snapshot)
    loaded = next((load.loaded_bytes for load in loads if load.pod == size.victim.pod), None)
    return _Moved(segments=len(held), rows=sum(segment.rows for segment in held), count_bytes=loaded)


def _spread(size: _Size, served: Sequence[Segment], loads: Sequence[NodeLoad]) -> _Moved:
    share = size.added / size.after
    measured = [load.loaded_bytes for load in loads if load.loaded_bytes is not None]
    total = math.fsum(measured) if loads and len(measured) == len(loads) else None
    return _Moved(
        segments=round(len(served) * share),
        rows=round(sum(segment.rows for segment in served) * share),
        count_bytes=None if total is None else total * share,
    )


def _p99_milliseconds(snapshot: Snapshot, now: datetime) -> float | None:
    sample, passed_seconds = snapshot.traffic.p99_milliseconds, (now - snapshot.taken_at).total_seconds()
    value = sample.usable(max_age_seconds=MAX_SAMPLE_AGE_SECONDS - max(0.0, passed_seconds), min_coverage=1.0)
    return value if value is not None and math.isfinite(value) and value >= 0 else None


def _p99_after(p99: float | None, before: float | None, after: float | None) -> int | None:
    """The measured P99 times the ratio of the M/M/1 queue; see the module's text."""
    if p99 is None or before is None or after is None or max(before, after) >= MOST_QUEUED_RATIO:
        return None
    return round(p99 * (1 - before) / (1 - after))


def _headroom_percent(size: _Size | None, moved: _Moved, snapshot: Snapshot, loads: Sequence[NodeLoad]) -> int | None:
    """Of the fullest node that stays. New nodes are left out: of equal limits, theirs is used least."""
    if size and moved.count_bytes is None:
        return None
    victim = size.victim.pod if size and size.victim else None
    staying = [(node, load) for node, load in zip(snapshot.members, loads, strict=True) if node.pod != victim]
    if not staying:
        return None
    signed = math.copysign(moved.count_bytes or 0.0, -1 if size and size.added > 0 else 1)
    ratios = [_ratio_after(node, load, signed / len(staying)) for node, load in staying]
    known = [ratio for ratio in ratios if ratio is not None]
    return None if len(known) < len(ratios) else 100 - round(max(known) * 100)


def _ratio_after(node: QueryNode, load: NodeLoad, gained_bytes: float) -> float | None:
    """Use over limit once the node gained so many bytes; it gives away no more than it has loaded."""
    if load.used_bytes is None or not node.memory_limit_bytes:
        return None
    return (load.used_bytes + max(gained_bytes, -(load.loaded_bytes or 0.0))) / node.memory_limit_bytes


def _ratio(percent: int | None) -> float | None:
    return None if percent is None else percent / 100


def _percent(ratio: float | None) -> int | None:
    return None if ratio is None else round(ratio * 100)
