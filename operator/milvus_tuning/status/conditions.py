"""The conditions of a MilvusTuning: HPA's words where they fit, one function per condition, no clock.

A condition that does not apply (no objective declared, say) is left out rather than shown as a meaningless True.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from milvus_tuning.api import Benefit, Condition, ConditionStatus, MilvusTuningSpec, Mode, PingPong
from milvus_tuning.plan import Decision, Operation, Plan, Reason, SettingState, SettingStatus, Signal
from milvus_tuning.plan.moves import PlacementMoves, moves_in_words
from milvus_tuning.snapshot import Problem, ProblemKind, Snapshot
from milvus_tuning.status.heat import Heat, Moves
from milvus_tuning.status.profile import Profile

WATCHED_SECONDS = 600.0  # before that, a placement that does not move may only have been looked at too briefly
DEFAULT_IMBALANCE_PERCENT = 20  # the seed's goal, and CockroachDB's margin is 15

_TARGET = (ProblemKind.TARGET_NOT_FOUND, ProblemKind.TARGET_AMBIGUOUS, ProblemKind.TARGET_UNSUPPORTED)
_MILVUS = (ProblemKind.MILVUS_UNREACHABLE, ProblemKind.MILVUS_CREDENTIALS_REJECTED)
_METRICS = (
    ProblemKind.PROMETHEUS_UNREACHABLE,
    ProblemKind.PROMETHEUS_CREDENTIALS_REJECTED,
    ProblemKind.METRICS_MISSING,
)
_VERSION = (ProblemKind.VERSION_UNKNOWN, ProblemKind.VERSION_UNSUPPORTED)
_REFERENCES = (ProblemKind.SECRET_NOT_FOUND, ProblemKind.PERMISSION_DENIED, ProblemKind.INVALID_CONNECTION)
_UNABLE = frozenset(
    {
        Reason.CONFLICT,
        Reason.HELM_OWNS_FIELD,
        Reason.TARGET_NOT_FOUND,
        Reason.TARGET_UNSUPPORTED,
        Reason.MILVUS_UNREACHABLE,
        Reason.VERSION_UNSUPPORTED,
        Reason.NODE_IDENTITY_UNKNOWN,
        Reason.FROZEN,
        Reason.COOLDOWN,
        Reason.PERMISSION_DENIED,
        Reason.SECRET_NOT_FOUND,
    }
)
_IN_SYNC = frozenset({SettingState.EFFECTIVE, SettingState.STANDING_BY})
_UNMEASURED = frozenset({Reason.METRICS_MISSING, Reason.METRICS_STALE})


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What the conditions are computed from."""

    spec: MilvusTuningSpec
    snapshot: Snapshot
    decision: Decision
    signal: Signal
    settings: Sequence[SettingStatus] = ()
    plan: Plan | None = None  # the open plan, or the last one
    finished: Sequence[Plan] = ()  # plans that ended in this pass
    last_finished: Operation | None = None  # the newest change that was carried out
    benefit: Benefit | None = None
    read_only: bool = False
    heat: Heat | None = None  # a decide.heat.HeatMap, where heat is measured
    moving: Sequence[Moves] = ()  # decide.ping_pong.CollectionMoves, where Milvus moves segments to and fro
    profile: Profile | None = None  # a decide.config.profile.ProfileView, where one is pinned
    placement: PlacementMoves | None = None  # all that moves, and how long it is watched; None: it is not watched


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """A condition without its times."""

    type: str
    status: ConditionStatus
    reason: str
    message: str


def verdicts(facts: Facts) -> tuple[Verdict, ...]:
    """All conditions that apply, in the order a person reads them."""
    candidates: Iterable[Verdict | None] = (
        _ready(facts),
        _from_problem("MilvusReachable", facts.snapshot.problem(*_TARGET, *_MILVUS), "Reached"),
        _metrics_available(facts),
        _from_problem(
            "VersionSupported", facts.snapshot.problem(*_VERSION), "Supported", facts.snapshot.milvus_version
        ),
        _able_to_scale(facts),
        _scaling_active(facts),
        _scaling_limited(facts),
        _capacity_available(facts),
        _balanced(facts),
        _placement_stable(facts),
        _within_objectives(facts),
        _config_in_sync(facts),
        _flag("Paused", holds=facts.spec.paused or facts.read_only, reason=_pause_reason(facts)),
        _frozen(facts),
        _conflict(facts),
    )
    return tuple(verdict for verdict in candidates if verdict is not None)


def merge_conditions(
    previous: Sequence[Condition], current: Sequence[Verdict], *, now_text: str, generation: int
) -> list[Condition]:
    """The conditions with their times: lastTransitionTime moves only when the status of a condition changes."""
    known = {condition.type: condition for condition in previous}
    return [_timed(known.get(verdict.type), verdict, now_text, generation) for verdict in current]


def _timed(before: Condition | None, verdict: Verdict, now_text: str, generation: int) -> Condition:
    same = before is not None and before.status is verdict.status
    return Condition(
        type=verdict.type,
        status=verdict.status,
        reason=verdict.reason,
        message=verdict.message[:4096],
        last_transition_time=before.last_transition_time if same and before else now_text,
        observed_generation=generation,
    )


def _flag(name: str, *, holds: bool, reason: str, message: str = "") -> Verdict:
    return Verdict(
        type=name, status=ConditionStatus.TRUE if holds else ConditionStatus.FALSE, reason=reason, message=message
    )


def _from_problem(name: str, problem: Problem | None, good: str, message: str | None = None) -> Verdict:
    if problem is None:
        return _flag(name, holds=True, reason=good, message=message or "")
    return _flag(name, holds=False, reason=problem.kind, message=problem.message)


def _ready(facts: Facts) -> Verdict:
    problem = facts.snapshot.problem(*_TARGET, *_REFERENCES, *_MILVUS, *_VERSION)
    if problem is None and facts.spec.query_nodes is not None:
        problem = facts.snapshot.problem(*_METRICS)
    return _from_problem("Ready", problem, "Observed")


def _metrics_available(facts: Facts) -> Verdict | None:
    if facts.spec.connections is None or facts.spec.connections.prometheus is None:
        return None
    verdict = _from_problem("MetricsAvailable", facts.snapshot.problem(*_METRICS), "SeriesFound")
    if verdict.status is ConditionStatus.TRUE and facts.decision.reason in _UNMEASURED:
        return _flag("MetricsAvailable", holds=False, reason=facts.decision.reason, message=facts.decision.message)
    return verdict


def _able_to_scale(facts: Facts) -> Verdict | None:
    if facts.spec.query_nodes is None:
        return None
    decision = facts.decision
    if decision.reason in _UNABLE:
        return _flag("AbleToScale", holds=False, reason=decision.reason, message=decision.message)
    return _flag("AbleToScale", holds=True, reason="ReadyForNewScale")


def _scaling_active(facts: Facts) -> Verdict | None:
    if facts.spec.query_nodes is None:
        return None
    blockers = {
        Reason.PAUSED: facts.spec.paused,
        Reason.READ_ONLY: facts.read_only,
        Reason.OBSERVE_ONLY: facts.spec.mode is Mode.OBSERVE,
        facts.decision.reason: facts.decision.reason in _UNMEASURED,
    }
    reason = next((reason for reason, holds in blockers.items() if holds), None)
    if reason is not None:
        return _flag("ScalingActive", holds=False, reason=reason, message=facts.decision.message)
    return _flag("ScalingActive", holds=True, reason="ValidMetricsFound")


def _scaling_limited(facts: Facts) -> Verdict | None:
    if facts.spec.query_nodes is None:
        return None
    limited = facts.decision.limited
    if limited is None:
        return _flag("ScalingLimited", holds=False, reason="DesiredWithinRange")
    return _flag("ScalingLimited", holds=True, reason=limited, message=facts.decision.message)


def _capacity_available(facts: Facts) -> Verdict | None:
    last = facts.last_finished
    if facts.spec.query_nodes is None or last is None:
        return None
    short = last.outcome is Reason.INSUFFICIENT_CAPACITY
    return _flag(
        "CapacityAvailable",
        holds=not short,
        reason=Reason.INSUFFICIENT_CAPACITY if short else "Granted",
        message=last.outcome_message if short else "",
    )


def _balanced(facts: Facts) -> Verdict | None:
    skew = skew_percent(facts.signal)
    if skew is None:
        return None
    objectives = facts.spec.objectives
    bound = objectives.node_imbalance_percent if objectives else DEFAULT_IMBALANCE_PERCENT
    message = f"the busiest QueryNode is {skew} % above the mean, bound {bound} %"
    return _flag("Balanced", holds=skew <= bound, reason="WithinBound" if skew <= bound else "Skewed", message=message)


def _placement_stable(facts: Facts) -> Verdict | None:
    placement = facts.placement
    if placement is None:
        return None
    watched = placement.watched_seconds
    if watched is None:
        return _unknown("PlacementStable", "PlacementUnknown", "the placement of segments was not read lately")
    if placement.ping_pong:
        message = f"{moves_in_words(placement.ping_pong)}{_way_out(facts.spec)}"
        return _flag("PlacementStable", holds=False, reason="PingPong", message=message)
    if watched < WATCHED_SECONDS:
        message = f"watched for {watched:.0f} s, judged from {WATCHED_SECONDS:.0f} s on"
        return _unknown("PlacementStable", "Watching", message)
    moves = sum(one.moves for one in placement.collections)
    message = f"Milvus's balancer moved {moves} segments within 30 min, none of them to and fro"
    return _flag("PlacementStable", holds=True, reason="Stable", message=message)


def _way_out(spec: MilvusTuningSpec) -> str:
    damped = spec.load_balancing is not None and spec.load_balancing.ping_pong is PingPong.DAMP
    return "" if damped else "; loadBalancing.pingPong: Damp slows the balancer down"


def _unknown(name: str, reason: str, message: str) -> Verdict:
    return Verdict(type=name, status=ConditionStatus.UNKNOWN, reason=reason, message=message)


def skew_percent(signal: Signal) -> int | None:
    """How far the busiest node is above the mean, in percent; None where unknown or idle (mean under 1 %)."""
    busiest, mean = signal.computation_ratio, signal.even_computation_ratio
    if busiest is None or mean is None or mean < 0.01:
        return None
    return max(0, round((busiest / mean - 1) * 100))


def _within_objectives(facts: Facts) -> Verdict | None:
    objectives, traffic = facts.spec.objectives, facts.snapshot.traffic
    if objectives is None or objectives.search_latency_p99_milliseconds is None:
        return None
    measured, bound = traffic.p99_milliseconds.value, objectives.search_latency_p99_milliseconds
    if measured is None:
        return _unknown("WithinObjectives", "NoTraffic", "")
    message = f"P99 {measured:.0f} ms (interpolated between powers of two), objective {bound} ms"
    good = measured <= bound
    return _flag("WithinObjectives", holds=good, reason="Met" if good else "Missed", message=message)


def _config_in_sync(facts: Facts) -> Verdict | None:
    if not facts.settings:
        return None
    open_ones = [setting for setting in facts.settings if setting.state not in _IN_SYNC]
    if not open_ones:
        return _flag("ConfigInSync", holds=True, reason="AllEffective")
    message = "; ".join(f"{setting.intent}: {setting.state}: {setting.message}" for setting in open_ones)
    return _flag("ConfigInSync", holds=False, reason=open_ones[0].state, message=message)


def _pause_reason(facts: Facts) -> str:
    if facts.read_only:
        return Reason.READ_ONLY
    return Reason.PAUSED if facts.spec.paused else "NotPaused"


def _frozen(facts: Facts) -> Verdict:
    freezes = facts.snapshot.freezes
    if not freezes or (facts.plan is not None and facts.plan.open and facts.plan.begun):
        return _flag("Frozen", holds=False, reason="NotFrozen")
    message = "; ".join(freeze.message for freeze in freezes)
    return _flag("Frozen", holds=True, reason=freezes[0].reason, message=message)


def _conflict(facts: Facts) -> Verdict:
    conflict = facts.decision.reason is Reason.CONFLICT
    return _flag(
        "Conflict",
        holds=conflict,
        reason=Reason.CONFLICT if conflict else "SingleWriter",
        message=facts.decision.message if conflict else "",
    )
