"""What a decision about the number of QueryNodes looks at, put together once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from milvus_tuning.api import MilvusTuningSpec, QueryNodes
from milvus_tuning.catalogue import ServerVersion, normalised, parse_version
from milvus_tuning.decide.load import ClusterLoad, cluster_load, skew_ratio
from milvus_tuning.decide.windows import with_current
from milvus_tuning.plan import History, Signal
from milvus_tuning.snapshot import Snapshot

# From here on the number of in-memory replicas can be changed while the collection is loaded.
LIVE_REPLICA_CHANGE = ServerVersion(2, 4, 13)
DEFAULT_IMBALANCE_PERCENT = 20
LOAD_GUARD_KEY = normalised("queryCoord.overloadedMemoryThresholdPercentage")
DEFAULT_LOAD_GUARD_PERCENT = 90  # its default in all versions


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """Facts, rules and memory of one decision about the number of QueryNodes."""

    spec: MilvusTuningSpec
    rules: QueryNodes
    snapshot: Snapshot
    history: History
    load: ClusterLoad
    signals: tuple[Signal, ...]  # the last one is that of this pass
    now: datetime

    @property
    def count(self) -> int:
        """The QueryNodes there are: desired, ready and serving agree when a decision is made."""
        return len(self.snapshot.members)

    @property
    def signal(self) -> Signal:
        """The signal of this pass."""
        return self.load.signal

    @property
    def skewed(self) -> bool:
        """Whether the busiest node is further above the mean than the objective allows."""
        skew = skew_ratio(self.signal)
        return skew is not None and skew * 100 > self.imbalance_percent

    @property
    def imbalance_percent(self) -> int:
        """The bound of the skew test."""
        return imbalance_percent(self.spec)

    @property
    def load_guard_ratio(self) -> float:
        """Memory use above which a QueryNode refuses to load; see `load_guard_ratio`."""
        return load_guard_ratio(self.spec, self.snapshot)

    @property
    def in_memory_replicas(self) -> int:
        """Most in-memory replicas of any collection; 1 where nothing is loaded."""
        copies = Counter(replica.collection_id for replica in self.snapshot.replicas)
        return max(copies.values(), default=1)

    @property
    def node_multiple(self) -> int:
        """The number that the node count must be a multiple of: before 2.4.13 that of the replicas, else 1."""
        version = parse_version(self.snapshot.milvus_version)
        replicas_are_fixed = version is None or version < LIVE_REPLICA_CHANGE
        return self.in_memory_replicas if replicas_are_fixed else 1

    def inputs(self) -> Mapping[str, float | int | str | None]:
        """The numbers that every decision shows."""
        signal = self.signal
        return {
            "nodeCount": self.count,
            "minCount": self.rules.min_count,
            "maxCount": self.rules.max_count,
            "capacityRatio": signal.capacity_ratio,
            "capacityCoverage": signal.capacity_coverage,
            "computationRatio": signal.computation_ratio,
            "evenComputationRatio": signal.even_computation_ratio,
            "computationCoverage": signal.computation_coverage,
            "skewRatio": skew_ratio(signal),
            "inMemoryReplicas": self.in_memory_replicas,
        }


def build_context(
    spec: MilvusTuningSpec, rules: QueryNodes, snapshot: Snapshot, history: History, now: datetime
) -> Context:
    """Measure the load and line up the signals."""
    load = cluster_load(snapshot, now)
    return Context(
        spec=spec,
        rules=rules,
        snapshot=snapshot,
        history=history,
        load=load,
        signals=with_current(history.signals, load.signal),
        now=now,
    )


def imbalance_percent(spec: MilvusTuningSpec) -> int:
    """How far the busiest QueryNode may be above the mean."""
    return spec.objectives.node_imbalance_percent if spec.objectives else DEFAULT_IMBALANCE_PERCENT


def load_guard_ratio(spec: MilvusTuningSpec, snapshot: Snapshot) -> float:
    """Memory use above which a QueryNode refuses to load more: the lowest that is declared, stored or the default.

    Which of them a node obeys depends on when it was started; the lowest is safe with each.
    """
    declared = spec.load_balancing.overloaded_memory_percent if spec.load_balancing else None
    stored = snapshot.settings.get(LOAD_GUARD_KEY)
    stored_percent = float(stored.value) if stored and stored.value.isdigit() else DEFAULT_LOAD_GUARD_PERCENT
    return min(declared or DEFAULT_LOAD_GUARD_PERCENT, stored_percent) / 100
