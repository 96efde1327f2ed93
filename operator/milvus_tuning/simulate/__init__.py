"""Scenarios in virtual time: a model cluster, the real decision, and a judgement.

    outcome = run_scenario(Path("tests/scenarios/adds_no_node_for_a_skew.yaml"))
    outcome.unmet      what was expected and did not come (empty: passed)

Hours of cluster time take fractions of a second, so what a policy would do can be tried before it is applied.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

from milvus_tuning.plan import Reason, StepKind, Verdict
from milvus_tuning.simulate.cluster import ModelCluster
from milvus_tuning.simulate.model_operator import ModelOperator, Record, outcomes
from milvus_tuning.simulate.scenario import Expectation, FaultKind, Scenario, read_scenario

TICK_SECONDS = 5.0

__all__ = ["Outcome", "Scenario", "read_scenario", "run", "run_scenario"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of a scenario."""

    name: str
    final_count: int
    peak_count: int
    operations: int
    outcomes: tuple[Reason, ...]
    verdicts: tuple[Verdict, ...]
    reasons: tuple[Reason, ...]  # in the order in which they first came up
    last_busy_seconds: float
    imbalance_percent: float
    unserved_seconds: float
    overloaded_seconds: float
    node_hours: float
    calls: tuple[StepKind, ...] = ()  # what was called and not taken back, the same in a row once
    moved_segments: int = 0
    unmoved: frozenset[str] = frozenset()  # collections that are where they were
    replicas: Mapping[str, int] = field(default_factory=dict)  # of each collection
    balances: bool = True
    keys: Mapping[str, str] = field(default_factory=dict)
    evicted: Mapping[str, int] = field(default_factory=dict)
    nodes_of: Mapping[str, frozenset[int | None]] = field(default_factory=dict)  # by collection
    unmet: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether everything expected came true."""
        return not self.unmet

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "FAILED: " + "; ".join(self.unmet)
        return (
            f"{self.name}: {verdict}\n"
            f"  QueryNodes at the end {self.final_count}, at most {self.peak_count}; operations {self.operations} "
            f"({', '.join(self.outcomes) or 'none'}), the last one ended at {self.last_busy_seconds:.0f} s\n"
            f"  rows on the fullest node {self.imbalance_percent:.0f} % above the mean; "
            f"{self.overloaded_seconds:.0f} s overloaded, {self.unserved_seconds:.0f} s with unserved segments, "
            f"{self.node_hours:.1f} node hours\n"
            f"  reasons: {', '.join(self.reasons)}"
        )


def run_scenario(path: Path) -> Outcome:
    """Run the scenario in a file."""
    return run(read_scenario(path), name=path.stem)


def run(scenario: Scenario, *, name: str = "scenario") -> Outcome:
    """Let the virtual time of the scenario pass, with a pass of the operator at each interval."""
    cluster = ModelCluster(scenario.cluster)
    operator = ModelOperator(scenario, cluster)
    next_pass_seconds = 0.0
    while cluster.now_seconds < scenario.run_seconds:
        _apply_faults(scenario, cluster)
        at = cluster.now_seconds
        hot = {fault.pod or "": fault.factor for fault in scenario.active(FaultKind.HOT_NODE, at)}
        cluster.advance(TICK_SECONDS, cores=scenario.cores(at), hot=hot)
        if cluster.now_seconds >= next_pass_seconds:
            next_pass_seconds += scenario.interval_seconds
            _pass(scenario, cluster, operator)
    return _judged(scenario.expect, scenario.run_seconds, _outcome(name, cluster, operator))


def _apply_faults(scenario: Scenario, cluster: ModelCluster) -> None:
    at = cluster.now_seconds
    cluster.has_room = not scenario.active(FaultKind.NO_ROOM, at)
    for fault in scenario.faults:
        if fault.kind is FaultKind.FOREIGN_SCALE and at <= fault.from_seconds < at + TICK_SECONDS:
            cluster.desired_count = fault.number
        if fault.kind is FaultKind.MOVE_BACK and at <= fault.from_seconds < at + TICK_SECONDS:
            cluster.move_back()


def _pass(scenario: Scenario, cluster: ModelCluster, operator: ModelOperator) -> None:
    if scenario.active(FaultKind.OPERATOR_DOWN, cluster.now_seconds):
        operator.forget()
    else:
        operator.run_pass()


def _outcome(name: str, cluster: ModelCluster, operator: ModelOperator) -> Outcome:
    journal, ended = operator.journal, outcomes(operator.record)
    return Outcome(
        name=name,
        final_count=len(cluster.members()),
        peak_count=journal.peak_count,
        operations=len(ended) + _under_way(operator.record),
        outcomes=ended,
        verdicts=operator.record.verdicts(),
        reasons=tuple(dict.fromkeys(decision.reason for _, decision in journal.decisions)),
        last_busy_seconds=journal.busy_until_seconds,
        imbalance_percent=_imbalance_percent(cluster),
        unserved_seconds=cluster.unserved_seconds,
        overloaded_seconds=cluster.overloaded_seconds,
        node_hours=cluster.node_seconds / 3600,
        calls=tuple(kind for kind, _ in groupby(kind for _, kind, undo in journal.calls if not undo)),
        moved_segments=cluster.moved_segments(),
        unmoved=frozenset(
            one.name for number, one in enumerate(cluster.model.loaded) if not cluster.moved_segments(number)
        ),
        replicas={one.name: len(cluster.copies_of(number)) for number, one in enumerate(cluster.model.loaded)},
        balances=cluster.auto_balance,
        keys={key: one.value for key, one in cluster.components.keys.items() if one.value is not None},
        evicted=dict(cluster.components.evicted),
        nodes_of=_nodes_of(cluster),
    )


def _nodes_of(cluster: ModelCluster) -> dict[str, frozenset[int | None]]:
    """The nodes that serve segments of each collection, in its first replica."""
    return {one.name: frozenset(cluster.copies_of(number)[0].held) for number, one in enumerate(cluster.model.loaded)}


def _under_way(record: Record) -> int:
    """1 while a plan was begun and has not ended."""
    stored = record.open_plan()
    return int(stored is not None and stored.read().begun)


def _imbalance_percent(cluster: ModelCluster) -> float:
    """Segments on the fullest member above the mean of those that share them; the worst such group counts."""
    worst, members = 0.0, {node.number for node in cluster.members()}
    rows = defaultdict[frozenset[int], Counter[int | None]](Counter)
    for replica in cluster.replicas:
        rows[frozenset(replica.nodes & members)].update(replica.held)
    for group, held in rows.items():
        on_group = [held[number] for number in group]
        if sum(on_group):
            worst = max(worst, max(on_group) * len(on_group) / sum(on_group) - 1)
    return worst * 100


def _judged(expect: Expectation, run_seconds: float, outcome: Outcome) -> Outcome:
    return replace(outcome, unmet=tuple(_unmet(expect, run_seconds, outcome)))


def _unmet(expect: Expectation, run_seconds: float, outcome: Outcome) -> list[str]:
    missing = [reason for reason in expect.seen_reasons if reason not in outcome.reasons]
    forbidden = [reason for reason in expect.forbidden_reasons if reason in outcome.reasons]
    wanted = ", ".join(expect.calls or ())
    stirred = [name for name in expect.unmoved if name not in outcome.unmoved]
    steady_from = run_seconds - expect.steady_tail_seconds
    peak, overloaded = expect.peak_count, expect.most_overloaded_seconds
    checks = (
        (outcome.final_count == expect.final_count, f"{expect.final_count} QueryNodes expected at the end"),
        (outcome.operations == expect.operations, f"{expect.operations} operations expected"),
        (expect.outcomes in {None, outcome.outcomes}, f"outcomes {expect.outcomes} expected"),
        (expect.verdicts in {None, outcome.verdicts}, f"verdicts {expect.verdicts} expected"),
        (peak in {None, outcome.peak_count}, f"{peak} QueryNodes at most expected"),
        (not missing, f"never came up: {', '.join(missing)}"),
        (not forbidden, f"must not come up: {', '.join(forbidden)}"),
        (outcome.last_busy_seconds <= steady_from, f"not steady from {steady_from:.0f} s on"),
        (outcome.imbalance_percent <= expect.most_imbalance_percent, "not balanced"),
        (outcome.unserved_seconds <= expect.most_unserved_seconds, "segments went unserved"),
        (expect.calls in {None, outcome.calls}, f"calls {wanted} expected, not {', '.join(outcome.calls)}"),
        (not stirred, f"moved: {', '.join(stirred)}"),
        (outcome.replicas == {**outcome.replicas, **expect.replicas}, f"replicas {expect.replicas} expected"),
        (expect.moved_segments in {None, outcome.moved_segments}, f"{expect.moved_segments} moved segments expected"),
        (expect.balances is outcome.balances, f"the balancer of Milvus {'on' if expect.balances else 'off'} expected"),
        (_spread(outcome, expect.apart) == len(expect.apart), f"not apart: {', '.join(expect.apart)}"),
        (_spread(outcome, expect.together) <= 1, f"not together: {', '.join(expect.together)}"),
        (expect.keys in (None, outcome.keys), f"keys {expect.keys} expected, not {outcome.keys}"),
        (expect.evicted in (None, outcome.evicted), f"evicted {expect.evicted} expected, not {outcome.evicted}"),
        (overloaded is None or outcome.overloaded_seconds <= overloaded, "overloaded for too long"),
    )
    return [message for holds, message in checks if not holds]


def _spread(outcome: Outcome, collections: Sequence[str]) -> int:
    """On how many nodes these collections are."""
    return len({node for name in collections for node in outcome.nodes_of[name]})
