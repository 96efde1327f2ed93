"""What one in-memory replica more is worth: how many more searches the same QueryNodes carry with it.

    capacity with n replicas over that with one = n ** log2(g)      g: the gain of the second replica, 1.7 by default

A replica spreads the searches of a collection over more nodes, and each search then asks fewer of them; it does not
double what the nodes can do. The default goes through the figures that are commonly stated, 1.7 times for two and 2.3
times for three replicas: 3 ** log2(1.7) = 2.32. Between them and beyond, it is the same power of n (n ** 0.766).

A collection that makes only a part of the heat lowers only that part of the computation:

    computation after = before x (1 - share + share x capacity(replicas before) / capacity(replicas after))

Example: 75 % even computation, the collection is 80 % of the heat, one replica -> two: 75 x (0.2 + 0.8 / 1.7) = 50 %.

What was measured corrects the default. Each change of the number that was measured says which power it followed; the
mean over them, with the default counted three times, gives g. So one lucky measurement does not turn the model over:
after a single second replica that doubled the capacity (power 1.0) g is 2 ** ((3 x 0.766 + 1.0) / 4) = 1.77. A power
counts as 0 at least (a copy more carries no less) and as 1 at most (n copies carry no more than n times as much).

A plan says something only where its verdict does: Kept or RolledBack, not Inconclusive, and with as many QueryNodes
after it as before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from milvus_tuning.decide.readback import integer
from milvus_tuning.plan import Measurement, Operation, Plan, StepKind, Verdict

GAIN_OF_SECOND: Final = 1.7  # the stated figure for two replicas
PRIOR_WEIGHT: Final = 3.0  # measurements that it takes to weigh as much as the default
LEAST_SHARE_RATIO: Final = 0.2  # below it what a collection gains drowns in what the others do
_TELLING: Final = frozenset({Verdict.KEPT, Verdict.ROLLED_BACK})


def capacity_ratio(replicas: int, gain_of_second: float = GAIN_OF_SECOND) -> float:
    """What so many replicas carry, of what one carries (1 -> 1.0, 2 -> 1.7, 3 -> 2.32)."""
    return float(replicas ** math.log2(gain_of_second))


def load_factor(*, share_ratio: float, before: int, after: int, gain_of_second: float = GAIN_OF_SECOND) -> float:
    """What becomes of computation when a collection with this share of the heat changes its number of replicas."""
    own = capacity_ratio(before, gain_of_second) / capacity_ratio(after, gain_of_second)
    return 1 - share_ratio + share_ratio * own


def learned_gain(operations: Sequence[Operation]) -> float:
    """The gain of a second replica: the default, corrected by what these operations were measured to bring."""
    powers = [power for operation in operations if (power := _power(operation)) is not None]
    default = math.log2(GAIN_OF_SECOND)
    return float(2 ** ((PRIOR_WEIGHT * default + math.fsum(powers)) / (PRIOR_WEIGHT + len(powers))))


def measured_gain_percent(
    *, searches: tuple[float, float], computation: tuple[float, float], share_ratio: float
) -> int | None:
    """What the collection can carry after the change, in percent of before; None where that cannot be told.

    searches and computation are (before, after): searches per minute of the cluster, and the mean over its QueryNodes,
    in any unit.
    Searches per computation is what the whole cluster gained; the part of the others is taken out by the share.

    Example: 600 searches at 75 % before, 660 at 55 % after: 1.5 times as much per computation. With a share of 80 %:
    0.8 / (1 / 1.5 - 0.2) = 1.71, so 171.
    """
    if min(*searches, *computation) <= 0 or share_ratio < LEAST_SHARE_RATIO:
        return None
    whole = (searches[1] / computation[1]) / (searches[0] / computation[0])
    own = 1 / whole - (1 - share_ratio)
    return round(100 * share_ratio / own) if own > 0 else None


def gain_of(plan: Plan, verdict: Verdict) -> int | None:
    """`measured_gain_percent` of a plan that was judged; None where it changed no replicas, or that cannot be told."""
    before, after = plan.course.before, plan.course.after
    share = plan.change.prediction.heat_share_percent
    if verdict not in _TELLING or before is None or after is None or share is None:
        return None
    if not any(step.kind is StepKind.SET_REPLICA_NUMBER for step in plan.change.steps):
        return None
    if before.node_count is None or before.node_count != after.node_count:
        return None
    former, latter = _searches_and_cpu(before), _searches_and_cpu(after)
    return measured_gain_percent(
        searches=(former[0], latter[0]), computation=(former[1], latter[1]), share_ratio=share / 100
    )


def _searches_and_cpu(measured: Measurement) -> tuple[int, int]:
    """Both as they are; 0, from which nothing is told, where they were not measured."""
    return measured.searches_per_minute or 0, measured.cpu_millicores_per_node or 0


def _power(operation: Operation) -> float | None:
    """The power of the number of replicas that the measured gain followed, within 0 and 1; None: not measured."""
    step = next((one.step for one in operation.steps if one.step.kind is StepKind.SET_REPLICA_NUMBER), None)
    if step is None or not operation.gain_percent or operation.gain_percent < 0:
        return None
    before, after = integer(step.precondition, "count"), integer(step.action, "count")
    if not before or not after or before == after:
        return None
    return min(1.0, max(0.0, math.log(operation.gain_percent / 100) / math.log(after / before)))
