"""Whether segments are moved off a QueryNode that is busier than the others.

In this order, and the first that applies is the answer:

    not declared, or Off           no decision
    a closed gate                  that
    heat unknown                   numbers are missing: nothing moves on a guess
    a new QueryNode                placementOwner Operator: filled with its share, since Milvus's balancer is off
    not skewed                     busiest at most nodeImbalancePercent above the mean, or at most 20 % busy
    not for the whole window       Stabilizing
    the rest after a change        CooldownActive
    what was moved did harm        RolledBack, for an hour
    what was moved did not stay    MovesUndone, for an hour, while Milvus's balancer is on
    the heat model does not fit    it is off by more than half, or sees another QueryNode as hot: HeatUnknown
    no better placement            or none that Milvus's balancer would leave alone
    moves                          HotNode, with steps in mode Act

While Milvus's balancer is on, only row-neutral swaps are planned, and it is held off while they are made: half a swap
is not neutral. Where it is off (by placementOwner Operator, or autoBalance false in etcd by somebody's hand) each move
that helps is free.

Collections that Milvus's balancer moves to and fro (`ping_pong`) stay out of it while that is on: their segments would
not stay where they are put, and moves of ours would be more of the same.

Example: qn-1 at 90 %, qn-2 and qn-3 at 30 %: the mean is 50 %, qn-1 80 % above it, 20 % allowed. After 120 s of that
two hot segments change places with cold ones of as many rows, and 50 % are expected of each.

A QueryNode counts as new while it serves no segment of its replicas, and for its first hour while it has less rows than
its even share, by more than the imbalance allowed: a plan moves a few segments only, so it takes several to fill it.
Afterwards it is one as the others, so that what is filled by rows and what is moved for heat do not alternate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from milvus_tuning.api import HotSegments, HotSegmentsMode, MilvusTuningSpec
from milvus_tuning.decide.gates import closed_gate
from milvus_tuning.decide.heat.model import HeatMap
from milvus_tuning.decide.load import ClusterLoad, cluster_load, skew_ratio
from milvus_tuning.decide.placement.history import called_off, failed, fills, last_moves, most_moves, taken_back, undone
from milvus_tuning.decide.placement.moves import (
    Placement,
    as_steps,
    busiest,
    filled_placement,
    free_placement,
    mean,
    neutral_placement,
)
from milvus_tuning.decide.placement.new_nodes import fill, new_nodes
from milvus_tuning.decide.placement.owner import Balancer, milvus_balancer, operator_places
from milvus_tuning.decide.placement.planner_input import Facts, filling, planner_input
from milvus_tuning.decide.placement.words import (
    effect_in_words,
    fill_in_words,
    harm_in_words,
    hottest_collections,
    left_alone,
    refusals,
    undone_in_words,
)
from milvus_tuning.decide.proposing.proposal import intent_digest
from milvus_tuning.decide.rebalancing import Cluster
from milvus_tuning.decide.size.context import imbalance_percent, load_guard_ratio
from milvus_tuning.decide.windows import held, with_current
from milvus_tuning.decide.words import listed, percent, seconds
from milvus_tuning.errors import ConfigError
from milvus_tuning.plan import Decision, History, Operation, Reason, Rejection, Signal
from milvus_tuning.plan.moves import CollectionMoves, PlacementMoves
from milvus_tuning.snapshot import Snapshot

BUSY_RATIO = 0.20  # below it nobody waits for the busiest node, however idle the others are
MOST_ERROR_RATIO = 0.5  # beyond it the model explains less than half of what is measured


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    """Facts, rules and memory of one decision about the placement."""

    spec: MilvusTuningSpec
    rules: HotSegments
    snapshot: Snapshot
    heat: HeatMap
    history: History
    load: ClusterLoad
    balancer: Balancer
    swinging: tuple[CollectionMoves, ...]
    now: datetime

    @property
    def allowed_ratio(self) -> float:
        """How far the busiest node may be above the mean."""
        return imbalance_percent(self.spec) / 100

    @property
    def most_moves(self) -> int:
        """How many segments this plan may move."""
        return most_moves(self.history.operations, most=self.rules.max_moves_per_plan, in_pairs=not self.balancer.off)

    def cluster(self, around: int) -> Cluster:
        """What the planner is told of the nodes that exchange segments with this one."""
        declared = {f"{one.database}.{one.name}" for one in self.rules.exclude_collections or ()}
        facts = Facts(
            snapshot=self.snapshot,
            heat=self.heat,
            load=self.load,
            ceiling_ratio=load_guard_ratio(self.spec, self.snapshot),
            excluded=frozenset(declared | {one.full_name for one in self.swinging}),
        )
        return planner_input(facts, around=around, max_moves=self.most_moves)

    @property
    def members(self) -> frozenset[int]:
        """The Milvus nodes that serve and stay."""
        return frozenset(node.node_id for node in self.snapshot.members if node.node_id is not None)

    @property
    def skew_in_words(self) -> str:
        """The busiest node beside the mean, with numbers."""
        found, hot = self.load.signal, self.load.busiest()
        return (
            f"{hot.pod if hot else 'nobody'} computes at {percent(found.computation_ratio)}, the mean is "
            f"{percent(found.even_computation_ratio)}"
        )


def decide_placement(
    spec: MilvusTuningSpec,
    snapshot: Snapshot,
    heat: HeatMap,
    history: History,
    now: datetime,
    *,
    moves: PlacementMoves | None = None,
) -> Decision | None:
    """Which segments are moved now, and why, or why none are; None where hotSegments is not declared or Off.

    moves is what Milvus's balancer does; None: it is not watched.
    """
    rules = spec.load_balancing.hot_segments if spec.load_balancing else None
    if rules is None or rules.mode is HotSegmentsMode.OFF:
        return None
    closed = closed_gate(spec, snapshot)
    if closed is not None:
        return closed
    balancer = milvus_balancer(spec, snapshot)
    case = _Case(
        spec=spec,
        rules=rules,
        snapshot=snapshot,
        heat=heat,
        history=history,
        load=cluster_load(snapshot, now),
        balancer=balancer,
        swinging=moves.ping_pong if moves and not balancer.off else (),
        now=now,
    )
    try:
        return _unknown(case) or _filled(case) or _calm(case) or _resting(case) or _not_again(case) or _cured(case)
    except ConfigError as contradiction:
        return _quiet(case, Reason.HEAT_UNKNOWN, f"the placement contradicts itself: {contradiction}")


# -- the rules, in their order ---------------------------------------------------------------------------------------


def _unknown(case: _Case) -> Decision | None:
    trouble = next(_troubles(case), None)
    return None if trouble is None else _quiet(case, Reason.HEAT_UNKNOWN, f"{trouble}; nothing is moved on a guess")


def _troubles(case: _Case) -> Iterator[str]:
    """Why the heat is not known well enough to move anything for it."""
    if case.heat.gaps:
        yield f"heat is not known: {listed(sorted(case.heat.gaps))}"
    nameless = sorted(node.pod for node in case.snapshot.members if node.node_id is None)
    if nameless:
        yield f"which Milvus node runs in {listed(nameless)} is not known beyond doubt"
    if case.load.placement_coverage < 1:
        yield f"the placement is known of {percent(case.load.placement_coverage)} of the collections"
    if case.load.signal.computation_coverage < 1:
        gaps = sorted(str(gap) for node in case.load.nodes if node.computation_ratio is None for gap in node.gaps)
        yield f"computation is not known: {listed(gaps) or 'no QueryNode serves'}"


def _filled(case: _Case) -> Decision | None:
    """Segments for QueryNodes that have none, where nobody else moves any there."""
    if not operator_places(case.spec) or not case.balancer.off:
        return None
    waiting = new_nodes(case.snapshot, case.now, imbalance_ratio=case.allowed_ratio)
    for one in waiting:
        cluster = case.cluster(around=one.node_id)
        weighed = filling(cluster, [each.node_id for each in waiting])
        moves = fill(cluster, weighed, most=case.most_moves)
        if moves:
            placement = filled_placement(cluster, moves, case.members)
            held = _rest_after_failure(case) or _harmed(case, fills(case.history.operations))
            return held or _moving(case, Reason.NEW_NODE, fill_in_words(one), placement)
    return None


def _rest_after_failure(case: _Case) -> Decision | None:
    last = last_moves(case.history.operations)
    return _resting(case) if last is not None and (failed(last) or called_off(last)) else None


def _calm(case: _Case) -> Decision | None:
    """No skew, or not for the whole window."""
    if not _is_skewed(case.load.signal, case.allowed_ratio):
        return _quiet(case, Reason.STEADY, _calm_in_words(case))
    signals = with_current(case.history.signals, case.load.signal)
    found = held(signals, lambda signal: _is_skewed(signal, case.allowed_ratio))
    if found.covers(case.rules.window_seconds):
        return None
    waited = f"for {seconds(found.seconds)} of {case.rules.window_seconds} s"
    return _quiet(case, Reason.STABILIZING, f"{case.skew_in_words}: skewed {waited}")


def _resting(case: _Case) -> Decision | None:
    last = max((one.finished_at for one in case.history.operations if one.finished_at), default=None)
    passed_seconds = (case.now - last).total_seconds() if last else None
    if passed_seconds is None or passed_seconds >= case.rules.cooldown_seconds:
        return None
    return _quiet(
        case,
        Reason.COOLDOWN,
        f"{case.skew_in_words}; moving segments waits for the rest of {case.rules.cooldown_seconds} s after the last "
        f"operation, which ended {seconds(passed_seconds)} ago",
    )


def _not_again(case: _Case) -> Decision | None:
    """What the last moves teach."""
    return _harmed(case, case.history.operations) or _not_kept(case)


def _harmed(case: _Case, operations: Sequence[Operation]) -> Decision | None:
    """What was moved a while ago slowed searches down, and what is moved next would do the same."""
    found = taken_back(operations, intent_digest(case.spec), case.now)
    if found is None:
        return None
    return _quiet(case, Reason.ROLLED_BACK, f"{case.skew_in_words}; {harm_in_words(found)}")


def _not_kept(case: _Case) -> Decision | None:
    """What was moved last did not stay, and what is moved next would go the same way."""
    found = None if case.balancer.off else undone(case.history.operations, case.snapshot, case.now)
    return None if found is None else _quiet(case, Reason.MOVES_UNDONE, undone_in_words(found))


def _cured(case: _Case) -> Decision:
    found = _cure(case)
    return replace(found, rejected=(*found.rejected, *left_alone(case.swinging)))


def _cure(case: _Case) -> Decision:
    hot = case.load.busiest()
    hot_id = next((node.node_id for node in case.snapshot.members if hot and node.pod == hot.pod), None)
    if hot_id is None:
        return _quiet(case, Reason.HEAT_UNKNOWN, "no QueryNode serves")
    misfit = _misfit(case, hot_id)
    if misfit is not None:
        return _quiet(case, Reason.HEAT_UNKNOWN, f"{misfit}; nothing is moved on a guess")
    find = free_placement if case.balancer.off else neutral_placement
    placement = find(case.cluster(around=hot_id), case.members)
    if not placement.moves:
        return _none_better(case, placement, hot_id)
    if not case.balancer.off and case.balancer.hindrance is not None:
        return _quiet(
            case,
            Reason.NO_NEUTRAL_SWAP,
            f"{case.skew_in_words}; {len(placement.moves)} row-neutral moves would help, but Milvus's balancer has to "
            f"be held off while they are made: {case.balancer.hindrance}",
            rejected=refusals(placement, case.snapshot),
        )
    return _moving(case, Reason.HOT_NODE, _cure_in_words(case, hot_id), placement)


def _misfit(case: _Case, hot_id: int) -> str | None:
    """Why the model cannot say what to move off the node that is measured as the busiest."""
    error = case.heat.error_ratio
    if error is None:
        return f"{case.skew_in_words}; the heat model has not been compared with what is measured yet"
    if error > MOST_ERROR_RATIO:
        return f"the heat model is {percent(error)} off what is measured ({percent(MOST_ERROR_RATIO)} is the most)"
    expected = {one.node_id: one.expected_ratio or 0.0 for one in case.heat.nodes}
    there, even = expected.get(hot_id, 0.0), mean(expected, case.members)
    if there > even:
        return None
    return f"{case.skew_in_words}, while the heat model expects {percent(there)} there and a mean of {percent(even)}"


def _none_better(case: _Case, placement: Placement, hot_id: int) -> Decision:
    before, hottest = busiest(placement.before), hottest_collections(case.heat, case.snapshot, hot_id)
    rejected = refusals(placement, case.snapshot)
    if not case.balancer.off:
        free = free_placement(placement.cluster, case.members)
        if free.needed:
            return _quiet(
                case,
                Reason.NO_NEUTRAL_SWAP,
                f"{case.skew_in_words}; placed freely, {free.needed} moves would take the busiest QueryNode from "
                f"{percent(before)} to {percent(free.reach)}, but Milvus's balancer evens out rows and would undo "
                "them: placementOwner Operator allows them",
                rejected=rejected,
            )
    if placement.needed:
        why = (
            f"the {placement.needed} moves that would lower it help only together, and this plan may make "
            f"{case.most_moves} (maxMovesPerPlan)"
        )
    else:
        bound = placement.bound
        alone = bound > mean(placement.before, case.members)
        cure = "shares the searches of one segment" if alone else "or one QueryNode more is the cure"
        why = (
            f"no placement within reach lowers the busiest QueryNode by a tenth ({percent(before)} expected now, "
            f"{percent(placement.reach)} at best, below {percent(bound)} impossible). Hottest there: {hottest}; one "
            f"in-memory replica more {cure}"
        )
    return _quiet(case, Reason.NO_BETTER_PLACEMENT, f"{case.skew_in_words}; {why}", rejected=rejected)


# -- answers ---------------------------------------------------------------------------------------------------------


def _moving(case: _Case, reason: Reason, message: str, placement: Placement) -> Decision:
    """The moves as steps; in hotSegments.mode Observe without them."""
    hold = not case.balancer.off
    cut, steps = as_steps(placement, case.snapshot, hold_balancer=hold)
    inputs = {"moves": len(cut.moves), "movedRows": cut.rows, "movedBytes": cut.bytes}
    rejected, observing = refusals(cut, case.snapshot), case.rules.mode is HotSegmentsMode.OBSERVE
    if observing:
        withheld = Rejection(
            alternative=f"MoveSegments {len(cut.moves)}",
            reason=Reason.OBSERVE_ONLY,
            message="loadBalancing.hotSegments.mode is Observe",
        )
        rejected = (withheld, *rejected)
    return Decision(
        reason=reason,
        message=f"{message}; {effect_in_words(cut)}{' (not done: hotSegments.mode is Observe)' if observing else ''}",
        steps=() if observing else steps,
        inputs={**_inputs(case), **inputs},
        rejected=rejected,
        desired_count=_desired_count(case),
        outlook=cut.outlook,
    )


def _quiet(case: _Case, reason: Reason, message: str, rejected: tuple[Rejection, ...] = ()) -> Decision:
    return Decision(
        reason=reason, message=message, inputs=_inputs(case), rejected=rejected, desired_count=_desired_count(case)
    )


def _inputs(case: _Case) -> dict[str, float | int | str | None]:
    hot, found = case.load.busiest(), case.load.signal
    return {
        "hotPod": hot.pod if hot else None,
        "computationRatio": found.computation_ratio,
        "evenComputationRatio": found.even_computation_ratio,
        "skewRatio": skew_ratio(found),
        "heatErrorRatio": case.heat.error_ratio,
    }


def _desired_count(case: _Case) -> int | None:
    return case.snapshot.workload.desired_count if case.snapshot.workload else None


def _is_skewed(signal: Signal, allowed_ratio: float) -> bool | None:
    """Whether the busiest node is too far above the mean, and busy at all; None where a node was not measured."""
    if signal.computation_ratio is None or signal.computation_coverage < 1:
        return None
    skew = skew_ratio(signal)
    return skew is not None and skew > allowed_ratio and signal.computation_ratio > BUSY_RATIO


def _calm_in_words(case: _Case) -> str:
    skew = skew_ratio(case.load.signal)
    if skew is None:
        return f"{case.skew_in_words}: idle"
    allowed = f"{percent(skew)} above it, {percent(case.allowed_ratio)} allowed"
    cold = skew > case.allowed_ratio
    return f"{case.skew_in_words}: {allowed}" + (f"; up to {percent(BUSY_RATIO)} nothing is moved" if cold else "")


def _cure_in_words(case: _Case, hot_id: int) -> str:
    how = "Milvus's balancer is off" if case.balancer.off else "row-neutral, with Milvus's balancer held off"
    return f"{case.skew_in_words} ({how}); hottest there: {hottest_collections(case.heat, case.snapshot, hot_id)}"
