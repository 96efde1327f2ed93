"""One dimension per plan: a place, a replica or a QueryNode, whichever the busiest node needs first.

Three rules look at the same cluster: the number of QueryNodes (`size`), the places of segments (`placement`) and the
number of in-memory replicas (`replicas`). Of what they want, one thing is done:

    1. a replica less            where a node less is due: down, replicas go first (`number.before_size`)
    2. what cannot wait          memory above its target, bounds of the size, an override by hand; and a node less,
                                 since its drain places segments anew
    3. better places             they cost least; where more nodes are wanted too, only if the places alone bring the
                                 busiest node to scaleOut.computationAbovePercent or below
    4. a node more
    5. another number of replicas

Where nothing is done, the answer that has something to say is given: quiet ones (Steady, NotManaged, WithinTolerance)
stand back, a skew that no node cures gives way to why no place does, and maxCount of the nodes to what a person could
still do. What the others said is among the rejected, each alternative once.

Where the heat is known and something is done or wanted for the busiest node, the effect that each of the three ways is
expected to have is told beside it (`remedies`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.decide.heat.model import HeatMap
from milvus_tuning.decide.placement.hot_segments import decide_placement
from milvus_tuning.decide.remedies import Remedy, RemedyKind, as_rejections, rebalance_of, remedies
from milvus_tuning.decide.replicas.gain import learned_gain
from milvus_tuning.decide.replicas.number import before_size, decide_replicas
from milvus_tuning.plan import Decision, History, Reason, Rejection
from milvus_tuning.plan.moves import PlacementMoves
from milvus_tuning.snapshot import Snapshot

MOST_REJECTED = 20  # as many as status has room for
_URGENT = frozenset(
    {Reason.SCALE_OUT_CAPACITY, Reason.BELOW_MINIMUM, Reason.ABOVE_MAXIMUM, Reason.MANUAL_OVERRIDE, Reason.SCALE_IN}
)
_QUIET = frozenset({Reason.STEADY, Reason.NOT_MANAGED, Reason.WITHIN_TOLERANCE})
_WAYS = {
    Reason.HOT_NODE: RemedyKind.REBALANCE,
    Reason.HOT_COLLECTION: RemedyKind.REPLICA,
    Reason.SCALE_OUT_COMPUTATION: RemedyKind.QUERY_NODE,
}
_ABOUT_THE_BUSIEST = frozenset(
    {
        *_WAYS,
        Reason.SKEW_NOT_CAPACITY,
        Reason.NO_BETTER_PLACEMENT,
        Reason.NO_NEUTRAL_SWAP,
        Reason.MOVES_UNDONE,
        Reason.ROLLED_BACK,
        Reason.AT_MAXIMUM,
    }
)
_MOVES = frozenset({Reason.HOT_NODE, Reason.NEW_NODE})


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """What the three rules say; None where one has nothing to decide."""

    size: Decision
    places: Decision | None
    replicas: Decision | None


def choose_one(
    size: Decision,
    *,
    spec: MilvusTuningSpec,
    snapshot: Snapshot,
    heat: HeatMap,
    history: History,
    now: datetime,
    moves: PlacementMoves | None = None,
) -> Decision:
    """The one thing to do, given the decision on the number of QueryNodes; moves is what Milvus's balancer does."""
    places = decide_placement(spec, snapshot, heat, history, now, moves=moves)
    rebalance = rebalance_of(places)
    replicas = decide_replicas(spec, snapshot, heat, history, now, rebalance=rebalance)
    answers = Answers(size=size, places=places, replicas=replicas)
    chosen = acting(answers, spec) or speaking(answers)
    ways: tuple[Rejection, ...] = ()
    if chosen.reason in _ABOUT_THE_BUSIEST and not heat.gaps:
        gain = learned_gain(history.operations)
        found = remedies(spec, snapshot, heat, now, rebalance=rebalance, gain_of_second=gain)
        ways = as_rejections(found, _remedy(found, chosen))
    return replace(chosen, rejected=rejected(answers, chosen, ways))


def rejected(answers: Answers, chosen: Decision, ways: Sequence[Rejection]) -> tuple[Rejection, ...]:
    """The three ways, what the chosen one turned down, then what the others said; no alternative twice."""
    others = [one for one in (answers.size, answers.places, answers.replicas) if one is not None and one is not chosen]
    said = (rejection for one in others for rejection in _said(one))
    first: dict[str, Rejection] = {}
    for one in (*ways, *chosen.rejected, *said):
        first.setdefault(one.alternative, one)
    return tuple(first.values())[:MOST_REJECTED]


def acting(answers: Answers, spec: MilvusTuningSpec) -> Decision | None:
    """The answer whose steps are taken, or None where none has any."""
    size, places, replicas = answers.size, answers.places, answers.replicas
    if replicas is not None and size.steps and before_size(replicas, size):
        return replicas
    if size.steps and size.reason in _URGENT:
        return size
    if places is not None and places.steps and (not size.steps or _enough(places, spec)):
        return places
    if size.steps:
        return size
    return replicas if replicas is not None and replicas.steps else None


def _enough(places: Decision, spec: MilvusTuningSpec) -> bool:
    """Whether better places alone bring the busiest node below where QueryNodes are added."""
    after = places.outlook.busiest_percent_after if places.outlook else None
    rules = spec.query_nodes
    return after is not None and rules is not None and after <= rules.scale_out.computation_above_percent


def speaking(answers: Answers) -> Decision:
    """The answer that has something to say, where nothing is done."""
    size, places, replicas = answers.size, answers.places, answers.replicas
    skewed = size.reason is Reason.SKEW_NOT_CAPACITY and places is not None and places.reason is not Reason.STEADY
    ordered: tuple[Decision | None, ...] = (size, places, replicas)
    if skewed or _would_act(places):
        ordered = (places, replicas, size)
    elif size.reason is Reason.AT_MAXIMUM and replicas is not None and replicas.reason is Reason.MANUAL_ACTION_REQUIRED:
        ordered = (replicas, size)  # what a person could still do
    return next((one for one in ordered if one is not None and one.reason not in _QUIET), places or replicas or size)


def _would_act(places: Decision | None) -> bool:
    """Whether segments would be moved, were it allowed."""
    return places is not None and places.reason in _MOVES


def _remedy(found: Sequence[Remedy], chosen: Decision) -> Remedy | None:
    return next((one for one in found if chosen.steps and one.kind is _WAYS.get(chosen.reason)), None)


def _said(other: Decision) -> tuple[Rejection, ...]:
    """What another rule wanted, or why it wanted nothing; quiet ones say nothing."""
    if other.reason in _QUIET:
        return ()
    if other.steps:
        kinds = ", ".join(dict.fromkeys(str(step.kind) for step in other.steps))
        return (Rejection(alternative=kinds, reason=other.reason, message=other.message),)
    return other.rejected
