"""On whose word a plan runs: a person's on the plan, a person's in the policy, or the policy's own bounds.

    spec.approval of the plan        Approved runs it; Rejected and Cancelled beat everything else
    approvedPlans of the policy      names the plan: the road for Git
    mode Auto                        the plan is within every bound of spec.approval.automatic, the windows are open,
                                     and nothing in it rests on inference alone

Mode Auto rests on the admission policy that guards who may approve: where it is not in force, anybody who may edit the
policy could approve by it, so mode Auto is off there.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from milvus_tuning.api import AutomaticApproval, MilvusTuningSpec, Mode
from milvus_tuning.decide.config.keys import is_inferred
from milvus_tuning.decide.proposing.maintenance import actions_of, window_obstacle
from milvus_tuning.decide.words import listed
from milvus_tuning.plan import Change, Plan, Risk, StepKind, Vote


def granted(
    plan: Plan, spec: MilvusTuningSpec, *, started_within_hour: int, admission_enforced: bool, now: datetime
) -> str | None:
    """On whose word the plan is approved, in words, or None. `now` decides the windows only, not the plan's expiry."""
    if plan.ballot is not None:
        by = f" by {plan.ballot.by}" if plan.ballot.by else ""
        return f"spec.approval{by}" if plan.ballot.vote is Vote.APPROVED else None
    if spec.approval is not None and plan.name in (spec.approval.approved_plans or ()):
        return "listed in spec.approval.approvedPlans of the policy"
    obstacle = automatic_obstacle(
        plan.change, spec, started_within_hour=started_within_hour, admission_enforced=admission_enforced, now=now
    )
    return None if obstacle is not None else _automatic_words(plan.change, _bounds(spec))


def automatic_obstacle(
    change: Change, spec: MilvusTuningSpec, *, started_within_hour: int, admission_enforced: bool, now: datetime
) -> str | None:
    """Why the plan does not approve itself: every bound that it is beyond, with the numbers; None when it does.

    started_within_hour: plans begun in the hour before `now`, whoever approved them.
    """
    if spec.mode is not Mode.AUTO:
        return f"mode is {spec.mode}"
    if not admission_enforced:
        return (
            "the admission policy that guards approvals is not in force, and mode Auto is off without it: install it "
            "with the chart on Kubernetes 1.30 or newer, or approve the plan"
        )
    bounds = _bounds(spec)
    beyond = [*_inferred(change), *_beyond(change, bounds)]
    if started_within_hour >= bounds.max_actions_per_hour:
        beyond.append(
            f"{started_within_hour} plans were begun within the hour, maxActionsPerHour is "
            f"{bounds.max_actions_per_hour}"
        )
    window = window_obstacle(spec.maintenance_windows, actions_of(change.steps), now)
    return "; ".join(beyond if window is None else [*beyond, window]) or None


def nodes_added(change: Change) -> int:
    """How many QueryNodes the steps add; 0 where they take some away."""
    added = 0
    for step in change.steps:
        before, after = step.precondition.get("desiredCount"), step.action.get("count")
        if step.kind is StepKind.SCALE_QUERY_NODES and isinstance(before, int) and isinstance(after, int):
            added += max(0, after - before)
    return added


def _bounds(spec: MilvusTuningSpec) -> AutomaticApproval:
    return spec.approval.automatic if spec.approval is not None else AutomaticApproval()


def _inferred(change: Change) -> Iterator[str]:
    keys = [str(step.action.get("key", step.action.get("keys"))) for step in change.steps if is_inferred(step)]
    if keys:
        yield f"what {listed(keys)} does is inferred, not read or run: a person must approve"


def _beyond(change: Change, bounds: AutomaticApproval) -> Iterator[str]:
    added, moved = nodes_added(change), change.prediction.moved_segments
    if change.risk.rank > Risk(bounds.max_risk.value).rank:
        why = f": {listed(change.risk_reasons)}" if change.risk_reasons else ""
        yield f"risk {change.risk} is above maxRisk {bounds.max_risk}{why}"
    if added > bounds.max_nodes_added:
        yield f"adds {_counted(added, 'QueryNode')}, maxNodesAdded is {bounds.max_nodes_added}"
    if bounds.max_moves is not None and moved > bounds.max_moves:
        yield f"moves {_counted(moved, 'segment')}, maxMoves is {bounds.max_moves}"


def _automatic_words(change: Change, bounds: AutomaticApproval) -> str:
    """Only the bounds that the plan touches."""
    added, moved = nodes_added(change), change.prediction.moved_segments
    words = [f"automatic: risk {change.risk} within maxRisk {bounds.max_risk}"]
    if added:
        words.append(f"{_counted(added, 'QueryNode')} added within maxNodesAdded {bounds.max_nodes_added}")
    if moved and bounds.max_moves is not None:
        words.append(f"{_counted(moved, 'segment')} moved within maxMoves {bounds.max_moves}")
    return ", ".join(words)


def _counted(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
