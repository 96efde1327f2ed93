"""How many in-memory replicas a collection should have.

Up, by one replica of the hottest collection, when the even computation (the mean over the QueryNodes) has been above
computationAbovePercent for windowSeconds. Skew first: while the busiest node is further above the mean than
nodeImbalancePercent, and a better placement is not known to be out of reach, a copy more would be paid for an
imbalance. Nodes second: where another QueryNode is allowed and would help, it comes before a replica (`checks`). Memory
third: each node keeps its share of the copies, with one of them lost as well.

    3 QueryNodes at maxCount, even computation 75 % for 300 s, default.products makes 80 % of the heat:
    SetReplicaNumber default.products 1 -> 2, and 75 x (0.2 + 0.8 / 1.7) = 50 % are expected

Down, by one replica of the collection with the coldest copies (cores over replicas), when the busiest node has been
below computationBelowPercent for as long, and what is expected afterwards stays 10 points below what would call for
the replica again. Down, replicas come before nodes: `before_size` says whether this decision does.

minCount and maxCount are kept without a window, one replica at a time. A rest follows each change of any kind: the
numbers of before it say nothing about the cluster after it.

Before Milvus 2.4.13 the number changes only while the collection is not loaded. Then nothing is ever done here; the
answer is ManualActionRequired, with the commands and what they cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.catalogue import ServerVersion
from milvus_tuning.decide.gates import closed_placement_gate
from milvus_tuning.decide.heat.model import HeatMap
from milvus_tuning.decide.load import MAX_SAMPLE_AGE_SECONDS, cluster_load, skew_ratio
from milvus_tuning.decide.placement.hot_segments import MOST_ERROR_RATIO
from milvus_tuning.decide.placement.steps import replica_steps
from milvus_tuning.decide.replicas.case import Case, ReplicaChange, copy_bytes, groups_of, segments_of
from milvus_tuning.decide.replicas.checks import find_growth, why_no_less, why_not_raised
from milvus_tuning.decide.replicas.gain import capacity_ratio, learned_gain
from milvus_tuning.decide.size.context import imbalance_percent
from milvus_tuning.decide.size.pressure import above, below
from milvus_tuning.decide.windows import held, with_current
from milvus_tuning.decide.words import listed, percent, seconds, size
from milvus_tuning.plan import Decision, History, Outlook, Reason, Rejection, Signal
from milvus_tuning.snapshot import Snapshot

STREAMING_NODES = ServerVersion(2, 6, 0)  # from here on Milvus wants as many of them as replicas


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sight:
    """The case, and what only the rule looks at."""

    case: Case
    history: History
    now: datetime
    rebalance: Outlook | Rejection | None

    @property
    def signals(self) -> tuple[Signal, ...]:
        return with_current(self.history.signals, self.case.load.signal)


_Rule = Callable[[_Sight], Decision | None]
_LESS = frozenset({Reason.COLD_COLLECTION, Reason.ABOVE_MAXIMUM})


def decide_replicas(
    spec: MilvusTuningSpec,
    snapshot: Snapshot,
    heat: HeatMap,
    history: History,
    now: datetime,
    *,
    rebalance: Outlook | Rejection | None = None,
) -> Decision | None:
    """The decision on in-memory replicas; None where they are not declared. See the module's text.

    rebalance is what a better placement is expected to do, or why there is none (`remedies.rebalance_of`).
    """
    if spec.in_memory_replicas is None:
        return None
    closed = closed_placement_gate(spec, snapshot)
    if closed is not None:
        return closed
    case = Case(
        spec=spec,
        rules=spec.in_memory_replicas,
        snapshot=snapshot,
        heat=heat,
        load=cluster_load(snapshot, now),
        gain_of_second=learned_gain(history.operations),
    )
    sight = _Sight(case=case, history=history, now=now, rebalance=rebalance)
    return _unknown(sight) or _answer(sight)


def before_size(replicas: Decision, size_decision: Decision) -> bool:
    """Whether this decision comes before the one on the number of QueryNodes: down, replicas go first."""
    if not replicas.steps:
        return False
    return not size_decision.steps or (replicas.reason in _LESS and size_decision.reason is Reason.SCALE_IN)


def _answer(sight: _Sight) -> Decision:
    """The first rule that does something; else the first that has something to say."""
    rules: tuple[_Rule, ...] = (_below_minimum, _above_maximum, _hot, _cold)
    answers = [answer for rule in rules if (answer := rule(sight)) is not None]
    acting = next((answer for answer in answers if answer.steps), None)
    chosen = acting or (answers[0] if answers else _steady(sight))
    others = (rejected for answer in answers if answer is not chosen for rejected in answer.rejected)
    return replace(chosen, rejected=(*chosen.rejected, *others))


def _unknown(sight: _Sight) -> Decision | None:
    """What is missing for any decision; nothing is taken for granted."""
    coverage, heat = sight.case.snapshot.placement_coverage, sight.case.heat
    if coverage < 1:
        message = f"the placement is known of {percent(coverage)} of the collections"
        return _nothing(sight, Reason.METRICS_MISSING, message)
    if heat.gaps:
        return _nothing(sight, Reason.HEAT_UNKNOWN, f"the heat of the collections is not known: {listed(heat.gaps)}")
    age_seconds = (sight.now - heat.at).total_seconds()
    if age_seconds > MAX_SAMPLE_AGE_SECONDS:
        return _nothing(sight, Reason.HEAT_UNKNOWN, f"the heat of the collections is {seconds(age_seconds)} old")
    return None


# -- rules ------------------------------------------------------------------------------------------------------------


def _below_minimum(sight: _Sight) -> Decision | None:
    """Collections with fewer replicas than declared, in the order of their names."""
    refused: list[Rejection] = []
    for change, (least, _) in _changes(sight, by=1):
        if change.before >= least:
            continue
        why = f"{change.collection.full_name} has {change.before} in-memory replicas, minCount is {least}"
        rejection = why_not_raised(sight.case, change)
        if rejection is None:
            return _act(sight, change, Reason.BELOW_MINIMUM, why, rejected=refused)
        refused.append(rejection)
    return _refused(sight, "minCount asks for more in-memory replicas", refused) if refused else None


def _above_maximum(sight: _Sight) -> Decision | None:
    """Collections with more replicas than declared, in the order of their names."""
    refused: list[Rejection] = []
    for change, (_, most) in _changes(sight, by=-1):
        if change.before <= most:
            continue
        why = f"{change.collection.full_name} has {change.before} in-memory replicas, maxCount is {most}"
        rejection = _without_numbers(sight, change) or why_no_less(sight.case, change)
        if rejection is None:
            return _act(sight, change, Reason.ABOVE_MAXIMUM, why, rejected=refused)
        refused.append(rejection)
    return _refused(sight, "maxCount asks for fewer in-memory replicas", refused) if refused else None


def _hot(sight: _Sight) -> Decision | None:
    rules, signal = sight.case.rules, sight.case.load.signal
    threshold = rules.computation_above_percent / 100
    lasting = held(sight.signals, lambda one: above(_even(one), one.computation_coverage, threshold))
    if not lasting.now:
        return None
    why = (
        f"even computation {percent(_even(signal))} has been above {percent(threshold)} for {seconds(lasting.seconds)} "
        f"(window {rules.window_seconds} s)"
    )
    if not lasting.covers(rules.window_seconds):
        return _nothing(sight, Reason.STABILIZING, why)
    return _skewed(sight, why) or _misfit(sight, why) or _grow(sight, why)


def _skewed(sight: _Sight, why: str) -> Decision | None:
    """A better placement is cheaper than a copy; only where there is none the skew is no obstacle."""
    skew, bound = skew_ratio(sight.case.load.signal), imbalance_percent(sight.case.spec)
    if skew is None or skew * 100 <= bound or isinstance(sight.rebalance, Rejection):
        return None
    message = (
        f"{why}; the busiest QueryNode is {percent(skew)} above the mean (bound {bound} %): a better placement comes "
        "before a replica more"
    )
    return _nothing(sight, Reason.SKEW_NOT_CAPACITY, message)


def _misfit(sight: _Sight, why: str) -> Decision | None:
    """Which collection is hot is not to be told from a model that does not fit what is measured."""
    error = sight.case.heat.error_ratio
    if error is None or error <= MOST_ERROR_RATIO:
        return None
    message = f"{why}; the heat model is off by {percent(error)} on average (at most {percent(MOST_ERROR_RATIO)})"
    return _nothing(sight, Reason.HEAT_UNKNOWN, message)


def _grow(sight: _Sight, why: str) -> Decision:
    case = sight.case
    change, refused = find_growth(case)
    if change is None and not refused:
        message = f"{why}, but no collection makes a fifth of the heat: a replica more of one would not be felt"
        return _nothing(sight, Reason.STEADY, message)
    if change is None:
        return _refused(sight, why, refused)
    return _act(sight, change, Reason.HOT_COLLECTION, why, rejected=refused)


def _cold(sight: _Sight) -> Decision | None:
    case, rules = sight.case, sight.case.rules
    threshold = rules.computation_below_percent / 100
    lasting = held(sight.signals, lambda one: below(one.computation_ratio, one.computation_coverage, threshold))
    changes = [(change, bounds) for change, bounds in _coldest_first(sight) if change.before > bounds[0]]
    if not lasting.now or not changes:
        return None
    why = (
        f"computation {percent(case.load.signal.computation_ratio)} has been below {percent(threshold)} for "
        f"{seconds(lasting.seconds)} (window {rules.window_seconds} s)"
    )
    if not lasting.covers(rules.window_seconds):
        return _nothing(sight, Reason.STABILIZING, why)
    refused: list[Rejection] = []
    for change, _ in changes:
        rejection = _without_numbers(sight, change) or why_no_less(case, change)
        if rejection is None:
            return _act(sight, change, Reason.COLD_COLLECTION, why, rejected=refused)
        refused.append(rejection)
    return _refused(sight, why, refused)


def _changes(sight: _Sight, *, by: int) -> Iterator[tuple[ReplicaChange, tuple[int, int]]]:
    """Each loaded collection with so many replicas more, and its bounds, in the order of the names."""
    for collection in sorted(sight.case.snapshot.collections, key=lambda one: one.full_name):
        before = sight.case.replicas_of(collection.collection_id)
        if before:
            change = ReplicaChange(collection=collection, before=before, after=before + by)
            yield change, sight.case.bounds(collection)


def _coldest_first(sight: _Sight) -> Sequence[tuple[ReplicaChange, tuple[int, int]]]:
    """The collections with a replica less, by the heat of one copy; what has no known heat comes last."""

    def heat_per_copy(change: ReplicaChange) -> tuple[bool, float]:
        hot = sight.case.heat_of(change.collection.collection_id)
        return hot is None, hot.cores / change.before if hot else 0.0

    return sorted(_changes(sight, by=-1), key=lambda one: heat_per_copy(one[0]))


def _without_numbers(sight: _Sight, change: ReplicaChange) -> Rejection | None:
    """Without all numbers of all nodes nothing is taken away."""
    if sight.case.load.complete:
        return None
    missing = listed(map(str, sight.case.load.gaps)) or "no QueryNode is measured"
    return change.reject(Reason.METRICS_MISSING, f"no replica is taken away while numbers are missing: {missing}")


# -- answers ----------------------------------------------------------------------------------------------------------


def _act(sight: _Sight, change: ReplicaChange, reason: Reason, why: str, *, rejected: Sequence[Rejection]) -> Decision:
    resting = _rest(sight, change, why)
    if resting is not None:
        return resting
    case = sight.case
    outlook = _outlook(case, change)
    busiest = f"{outlook.busiest_percent_before} % -> {outlook.busiest_percent_after} %"
    return Decision(
        reason=reason,
        message=f"{why}: {change.collection.full_name} {change.before} -> {change.after} in-memory replicas; expected "
        f"of the busiest QueryNode: {busiest}{_memory_note(case, change)}{_streaming_note(case, change)}",
        steps=replica_steps(
            change.collection,
            before=change.before,
            after=change.after,
            resource_groups=groups_of(case, change.collection.collection_id),
            deadline_seconds=case.rules.load_deadline_seconds,
        ),
        inputs=_inputs(sight, change),
        rejected=(Rejection(alternative="NoChange", reason=reason, message=why), *rejected),
        outlook=outlook,
    )


def _rest(sight: _Sight, change: ReplicaChange, why: str) -> Decision | None:
    """The rest after the last change of any kind, or None when it is over."""
    ends = [one.finished_at for one in sight.history.operations if one.finished_at is not None]
    cooldown_seconds = sight.case.rules.cooldown_seconds
    if not ends or (passed_seconds := (sight.now - max(ends)).total_seconds()) >= cooldown_seconds:
        return None
    message = (
        f"{why}; {change.collection.full_name} {change.before} -> {change.after} waits for the rest of "
        f"{cooldown_seconds} s after the last change, which ended {seconds(passed_seconds)} ago"
    )
    return _refused(sight, why, [change.reject(Reason.COOLDOWN, message)], message=message)


def _refused(sight: _Sight, why: str, refused: Sequence[Rejection], *, message: str = "") -> Decision:
    first = refused[0]
    limited = first.reason if first.reason in {Reason.AT_MAXIMUM, Reason.AT_MINIMUM} else None
    told = message or f"{why}, but {first.message}"
    return replace(_nothing(sight, first.reason, told), rejected=tuple(refused), limited=limited)


def _nothing(sight: _Sight, reason: Reason, message: str) -> Decision:
    return Decision(reason=reason, message=message, inputs=_inputs(sight, None))


def _steady(sight: _Sight) -> Decision:
    signal, rules = sight.case.load.signal, sight.case.rules
    return _nothing(
        sight,
        Reason.STEADY,
        f"computation {percent(signal.computation_ratio)} (mean {percent(signal.even_computation_ratio)}) calls for no "
        f"other number of in-memory replicas: more from a mean above {rules.computation_above_percent} %, fewer from a "
        f"busiest QueryNode below {rules.computation_below_percent} %",
    )


def _outlook(case: Case, change: ReplicaChange) -> Outlook:
    """What is expected: of the busiest node the share that the collection makes, scaled by the gain of the replica."""
    busiest, factor = case.load.signal.computation_ratio, case.load_factor(change)
    loaded = change.after > change.before
    sealed, _ = segments_of(case.snapshot, change.collection.collection_id)
    copy, hot = copy_bytes(case, change.collection), case.heat_of(change.collection.collection_id)
    return Outlook(
        moved_segments=len(sealed) if loaded else 0,
        moved_rows=sum(segment.rows for segment in sealed.values()) if loaded else 0,
        moved_bytes=round(copy) if loaded and copy is not None else None,
        busiest_percent_before=None if busiest is None else round(busiest * 100),
        busiest_percent_after=None if busiest is None else round(busiest * factor * 100),
        heat_share_percent=round(hot.share_ratio * 100) if hot else None,
    )


def _memory_note(case: Case, change: ReplicaChange) -> str:
    copy = copy_bytes(case, change.collection)
    if copy is None:
        return ""
    return f"; it {'takes' if change.after > change.before else 'frees'} {size(copy)} of memory"


def _streaming_note(case: Case, change: ReplicaChange) -> str:
    if change.after < change.before or case.version is None or case.version < STREAMING_NODES:
        return ""
    return f"; Milvus {case.version} also wants {change.after} streaming nodes or more, which are not seen from here"


def _inputs(sight: _Sight, change: ReplicaChange | None) -> dict[str, float | int | str | None]:
    """The numbers that the decision shows."""
    signal = sight.case.load.signal
    common: dict[str, float | int | str | None] = {
        "nodeCount": sight.case.count,
        "computationRatio": signal.computation_ratio,
        "evenComputationRatio": signal.even_computation_ratio,
        "computationCoverage": signal.computation_coverage,
        "skewRatio": skew_ratio(signal),
        "heatErrorRatio": sight.case.heat.error_ratio,
    }
    if change is None:
        return common
    hot, copy = sight.case.heat_of(change.collection.collection_id), copy_bytes(sight.case, change.collection)
    gain = sight.case.gain_of_second
    return {
        **common,
        "collection": change.collection.full_name,
        "replicas": change.before,
        "heatShareRatio": hot.share_ratio if hot else None,
        "copyBytes": None if copy is None else round(copy),
        "capacityGainRatio": capacity_ratio(change.after, gain) / capacity_ratio(change.before, gain),
    }


def _even(signal: Signal) -> float | None:
    """The mean over all nodes, as a lower bound where some were not measured."""
    ratio = signal.even_computation_ratio
    return None if ratio is None else ratio * signal.computation_coverage
