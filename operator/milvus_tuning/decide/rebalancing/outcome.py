"""What the planner answers: moves in the order of their execution, loads before and after, and what was refused."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from milvus_tuning.decide.rebalancing.model import Identity, Move


class Refusal(enum.StrEnum):
    """Why a segment of a node that stays too hot does not go to the coolest node of its replica."""

    PINNED = "Pinned"
    IN_FLIGHT = "InFlight"
    OUTSIDE_REPLICA = "OutsideReplica"  # its node is none of its replica's (any more): Milvus moves it itself
    NO_OTHER_NODE = "NoOtherNode"  # its replica has no second node in this resource group
    CORDONED = "DestinationCordoned"
    OVER_CEILING = "DestinationAboveCeiling"  # was above its ceiling at the start and may only shed
    MEMORY = "DestinationMemory"
    MOVE_LIMIT = "MoveLimit"
    NODE_MOVE_LIMIT = "NodeMoveLimit"
    NO_GAIN = "NoGain"  # the destination would be as hot
    NOT_WORTH_IT = "NotWorthIt"  # helps by less than a plan has to
    NOT_NEUTRAL = "NotRowNeutral"  # Milvus's balancer, which evens out rows, would undo it
    BUDGET = "BudgetSpent"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejection:
    """An obvious move that is not in the plan, and why; without a destination where no node could be one."""

    segment: Identity
    destination: Identity | None
    reason: Refusal


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadSummary:
    """The loads of some nodes.

    mean_load is total heat over total cpu; imbalance_ratio is the largest max/mean - 1 of any group (0.2 is 20 %).
    """

    max_load: float
    mean_load: float
    imbalance_ratio: float


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupOutcome:
    """One group: nodes that can exchange segments, directly or through others. Groups are planned one by one."""

    resource_group: str
    nodes: tuple[Identity, ...]
    before: LoadSummary
    after: LoadSummary
    lower_bound: float
    moves: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RebalancePlan:
    """Moves to be carried out one after the other; `truncated` where time or work ran out before the search ended."""

    moves: tuple[Move, ...]
    moved_bytes: int
    before: LoadSummary
    after: LoadSummary
    lower_bound: float
    truncated: bool
    rejected: tuple[Rejection, ...]
    groups: tuple[GroupOutcome, ...]
