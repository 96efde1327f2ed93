"""What the planner of moves says, as people read it: where the heat is, and why an obvious move is not made."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from milvus_tuning.decide.config.rollbacks import ended_at
from milvus_tuning.decide.heat.model import HeatMap
from milvus_tuning.decide.placement.history import TAKEN_BACK_COUNTS, UNDONE_COUNTS, Undone
from milvus_tuning.decide.placement.moves import Placement, busiest
from milvus_tuning.decide.placement.new_nodes import NewNode
from milvus_tuning.decide.rebalancing import Refusal
from milvus_tuning.decide.rebalancing import Rejection as PlannerRejection
from milvus_tuning.decide.words import listed, percent, size
from milvus_tuning.plan import Operation, Reason, Rejection
from milvus_tuning.plan.moves import CollectionMoves, moves_in_words
from milvus_tuning.snapshot import Snapshot

MOST_REJECTIONS = 5
MOST_COLLECTIONS = 2

_WORDS: Mapping[Refusal, tuple[Reason, str]] = MappingProxyType(
    {
        Refusal.PINNED: (
            Reason.NO_BETTER_PLACEMENT,
            "it stays: its collection is excluded or not fully loaded, its node is leaving, or its replica serves it "
            "twice",
        ),
        Refusal.IN_FLIGHT: (Reason.IN_PROGRESS, "it is being moved"),
        Refusal.OUTSIDE_REPLICA: (Reason.FROZEN, "its node left the replica: Milvus moves it itself"),
        Refusal.NO_OTHER_NODE: (Reason.REPLICA_NEEDS_NODES, "its replica has no second node in this resource group"),
        Refusal.CORDONED: (Reason.WOULD_NOT_FIT, "that node is leaving, not ready, or its memory is not known"),
        Refusal.OVER_CEILING: (Reason.WOULD_NOT_FIT, "that node is above the load guard already"),
        Refusal.MEMORY: (Reason.WOULD_NOT_FIT, "that node would be above the load guard"),
        Refusal.MOVE_LIMIT: (Reason.STEP_LIMITED, "a plan moves no more segments than it does"),
        Refusal.NODE_MOVE_LIMIT: (Reason.STEP_LIMITED, "a plan moves no more segments of one node"),
        Refusal.NO_GAIN: (Reason.NO_BETTER_PLACEMENT, "that node would be as busy"),
        Refusal.NOT_WORTH_IT: (Reason.NO_BETTER_PLACEMENT, "it would help by less than a plan has to"),
        Refusal.NOT_NEUTRAL: (Reason.NO_NEUTRAL_SWAP, "Milvus's balancer, which evens out rows, would undo it"),
        Refusal.BUDGET: (Reason.NO_BETTER_PLACEMENT, "the search ended before it was looked at"),
    }
)


def refusals(placement: Placement, snapshot: Snapshot) -> tuple[Rejection, ...]:
    """The moves that suggest themselves and are not in the plan, each with the rule in its way."""
    pods = {node.node_id: node.pod for node in snapshot.query_nodes}
    return tuple(_refusal(one, pods) for one in placement.rejected[:MOST_REJECTIONS])


def left_alone(swinging: Sequence[CollectionMoves]) -> tuple[Rejection, ...]:
    """The collections that Milvus's balancer moves to and fro: none of their segments is moved."""
    return tuple(
        Rejection(
            alternative=f"move segments of {one.full_name}",
            reason=Reason.MOVES_UNDONE,
            message=f"Milvus's balancer moves them to and fro: {moves_in_words([one])}",
        )
        for one in swinging[:MOST_REJECTIONS]
    )


def hottest_collections(heat: HeatMap, snapshot: Snapshot, node_id: int) -> str:
    """The collections with most heat on a node and their shares of its segments' heat: "default.products 81 %"."""
    cores: defaultdict[int, list[float]] = defaultdict(list)
    for one in heat.segments:
        if one.node_id == node_id:
            cores[one.collection_id].append(one.cores)
    sums = {collection: math.fsum(sorted(parts)) for collection, parts in cores.items()}
    total = math.fsum(sorted(sums.values()))
    if total <= 0:
        return "no collection"
    names = {one.collection_id: one.full_name for one in snapshot.collections}
    order = sorted(sums, key=lambda one: (-sums[one], names.get(one, ""), one))
    return listed(
        (f"{names.get(one, f'collection {one}')} {percent(sums[one] / total)}" for one in order if sums[one] > 0),
        most=MOST_COLLECTIONS,
    )


def _refusal(one: PlannerRejection, pods: Mapping[int | None, str]) -> Rejection:
    reason, words = _WORDS[one.reason]
    to = f" to {pods.get(one.destination, one.destination)}" if isinstance(one.destination, int) else ""
    return Rejection(alternative=f"move segment {one.segment}{to}", reason=reason, message=words)


def fill_in_words(one: NewNode) -> str:
    """How far a new QueryNode is below its share."""
    return f"{one.node.pod} has {one.rows:,} of the {one.even_rows:,.0f} rows that an even share would be"


def undone_in_words(found: Undone) -> str:
    """Which segments are not where they were put, who took them away, and until when nothing is moved."""
    back, gone = listed(map(str, found.elsewhere)), listed(map(str, found.gone))
    who = [f"Milvus's balancer moved {back}"] if back else []
    who += [f"compaction made other segments of {gone}"] if gone else []
    return (
        f"of {found.moved} segments that the last plan moved, {len(found.elsewhere) + len(found.gone)} are not where "
        f"it put them: {' and '.join(who)}. Nothing is moved until {_time(ended_at(found.operation) + UNDONE_COUNTS)}; "
        "with placementOwner Operator moves stay"
    )


def harm_in_words(found: Operation) -> str:
    """Which moves were taken back, what they did, and until when nothing is moved."""
    ended = ended_at(found)
    return (
        f"the moves of {found.operation_id} were taken back at {_time(ended)} "
        f"({found.verdict_message or 'searches fared worse'}). Nothing is moved until "
        f"{_time(ended + TAKEN_BACK_COUNTS)}, or until the policy asks for something else"
    )


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def effect_in_words(placement: Placement) -> str:
    """How much is moved, and what is expected of it."""
    count, needed = len(placement.moves), placement.needed
    moves = f"{count} of {needed} moves now" if count < needed else f"{count} move{'' if count == 1 else 's'}"
    return (
        f"{moves} ({placement.rows:,} rows, {size(placement.bytes)}): "
        f"{percent(busiest(placement.before))} -> {percent(busiest(placement.after))} expected of the busiest QueryNode"
    )
