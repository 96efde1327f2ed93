"""A model of a Milvus cluster on Kubernetes, in virtual time.

    Deployment   creates pods up to the wanted number, removes the surplus: not ready first, then the lowest deletion
                 cost, then the newest, as the ReplicaSet controller does
    QueryNode    serves after its start time; CPU = its share of the rows of its replica x the cost of the searches,
                 at most its limit; what the limit cuts off waits in a backlog
    QueryCoord   empties leaving nodes first, reloads what nobody serves, then evens out rows as
                 ScoreBased does, collection by collection, one segment at a time, at the load speed, in a replica;
                 not while autoBalance is off
    SIGTERM      a leaving node goes when it is empty and its hand-over is done, or is killed at the end of its grace

It is simple on purpose: every number of the decision has a cause here, and nothing more.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field

from milvus_tuning.simulate.scenario import GIB, ClusterModel

MIB = 2**20
GLOBAL_ROW_FACTOR = 0.1  # ScoreBased: rows of the collection on a node, plus so much of all rows on it
LEAST_SCORE_GAP = 1.25  # in segments; below it the move would turn the gap round (reverseUnBalanceTolerationFactor 1.3)
CPU_AVERAGE_SECONDS = 60.0  # the rate window of the CPU query
MOST_BACKLOG_SECONDS = 30.0  # clients give up: more than this much work does not wait


@dataclass(slots=True, kw_only=True)
class ModelNode:
    """A pod and the QueryNode in it."""

    number: int
    replica: int
    created_at_seconds: float
    serves_at_seconds: float | None  # None: it never gets a place to run
    deletion_cost: int | None = None
    leaving_since_seconds: float | None = None
    cpu_samples: deque[float] = field(default_factory=deque)
    backlog_core_seconds: float = 0.0

    @property
    def pod(self) -> str:
        """The pod's name."""
        return f"qn-{self.number}"

    def serves(self, at_seconds: float) -> bool:
        """Whether Milvus counts it as a member, leaving or not."""
        return self.serves_at_seconds is not None and self.serves_at_seconds <= at_seconds

    @property
    def leaving(self) -> bool:
        """Whether it has been told to stop."""
        return self.leaving_since_seconds is not None

    @property
    def mean_cpu_cores(self) -> float | None:
        """CPU over the rate window; None before the first sample."""
        return math.fsum(self.cpu_samples) / len(self.cpu_samples) if self.cpu_samples else None


class ModelCluster:
    """The cluster; `advance` lets time pass, `desired_count` and deletion costs are what an operator can write."""

    def __init__(self, model: ClusterModel) -> None:
        self.model = model
        self.now_seconds = 0.0
        self.desired_count = model.nodes
        self.has_room = True
        self.unserved_seconds = 0.0
        self.overloaded_seconds = 0.0
        self.node_seconds = 0.0
        self.nodes: list[ModelNode] = []
        self._created = 0
        self.auto_balance = True
        self.collection_of = [number for number, one in enumerate(model.loaded) for _ in range(one.segments)]
        self._costs = _costs(model)
        self._budget_bytes: dict[str, float] = {}
        for _ in range(model.nodes):
            self._create(serves_at_seconds=0.0)
        # placement[replica][segment] = number of the node that serves it, None: nobody
        self.placement: list[list[int | None]] = [
            self._dealt([node.number for node in self.nodes if node.replica == replica])
            for replica in range(model.replicas)
        ]
        self.first_placement = [list(held) for held in self.placement]

    # -- what others see and write ------------------------------------------------------------------------------------

    def members(self) -> list[ModelNode]:
        """The nodes that serve and stay."""
        return [node for node in self.nodes if node.serves(self.now_seconds) and not node.leaving]

    def segments_of(self, node: ModelNode) -> list[int]:
        """The segments that the node serves."""
        held = self.placement[node.replica]
        return [segment for segment, holder in enumerate(held) if holder == node.number]

    def find(self, pod: str) -> ModelNode | None:
        """The node in this pod."""
        return next((node for node in self.nodes if node.pod == pod), None)

    def held_bytes(self, node: ModelNode) -> float:
        """The bytes of the segments that the node serves."""
        return len(self.segments_of(node)) * self.model.segment_mib * MIB

    def used_bytes(self, node: ModelNode) -> float:
        """Resident memory: the process and its segments."""
        return self.model.base_memory_gib * GIB + self.held_bytes(node)

    def move(self, segment: int, source: str, destination: str) -> None:
        """load_balance: Milvus moves the segment at once; ValueError where it would refuse."""
        from_node, to_node = self.find(source), self.find(destination)
        if from_node is None or to_node is None or from_node.replica != to_node.replica or to_node.leaving:
            raise ValueError(f"{source} and {destination} are not two serving nodes of one replica")
        if self.placement[from_node.replica][segment] != from_node.number:
            raise ValueError(f"segment {segment} is not on {source}")
        self.placement[from_node.replica][segment] = to_node.number

    def move_back(self) -> None:
        """Every segment back to where it was at the start."""
        self.placement = [list(held) for held in self.first_placement]

    def moved_segments(self) -> int:
        """Segments that are not where they were at the start."""
        pairs = zip(self.placement, self.first_placement, strict=True)
        return sum(now != first for held, was in pairs for now, first in zip(held, was, strict=True))

    def cost_of(self, collection: int) -> float:
        """The part of the cost of all searches that this collection has."""
        return math.fsum(cost for cost, at in zip(self._costs, self.collection_of, strict=True) if at == collection)

    # -- time ---------------------------------------------------------------------------------------------------------

    def advance(self, seconds: float, *, cores: float, hot: dict[str, float]) -> None:
        """Let time pass under a load that costs so many cores; hot nodes pay a multiple."""
        self.now_seconds += seconds
        self._reconcile_pods()
        self._move_segments(seconds)
        self._let_go()
        self._search(seconds, cores, hot)
        self.node_seconds += seconds * len(self.nodes)
        if any(holder is None for held in self.placement for holder in held):
            self.unserved_seconds += seconds

    def _reconcile_pods(self) -> None:
        staying = [node for node in self.nodes if not node.leaving]
        for _ in range(self.desired_count - len(staying)):
            start = self.now_seconds + self.model.start_seconds
            self._create(serves_at_seconds=start if self.has_room else None)
        surplus = len(staying) - self.desired_count
        for node in sorted(staying, key=self._removal_order)[: max(0, surplus)]:
            node.leaving_since_seconds = self.now_seconds

    def _removal_order(self, node: ModelNode) -> tuple[bool, int, float, int]:
        return (node.serves(self.now_seconds), node.deletion_cost or 0, -node.created_at_seconds, -node.number)

    def _create(self, *, serves_at_seconds: float | None) -> None:
        self._created += 1
        staying = [node.replica for node in self.nodes if not node.leaving]
        replica = min(range(self.model.replicas), key=staying.count)
        self.nodes.append(
            ModelNode(
                number=self._created,
                replica=replica,
                created_at_seconds=self.now_seconds,
                serves_at_seconds=serves_at_seconds,
            )
        )

    def _dealt(self, numbers: list[int]) -> list[int | None]:
        return [numbers[segment % len(numbers)] for segment in range(self.model.segment_count)]

    def _move_segments(self, seconds: float) -> None:
        """Every staying node loads at the load speed, as long as there is something for it."""
        segment_bytes = self.model.segment_mib * MIB
        for node in self.members():
            budget = self._budget_bytes.get(node.pod, 0.0) + seconds * self.model.load_mib_per_second * MIB
            while budget >= segment_bytes and (segment := self._segment_for(node)) is not None:
                self.placement[node.replica][segment] = node.number
                budget -= segment_bytes
            self._budget_bytes[node.pod] = min(budget, segment_bytes)

    def _segment_for(self, node: ModelNode) -> int | None:
        """What this node loads next: what nobody serves, what a leaving node serves, what evens out."""
        held = self.placement[node.replica]
        peers = {peer.number for peer in self.members() if peer.replica == node.replica}
        sizes = {number: held.count(number) for number in peers}
        if sizes[node.number] == min(sizes.values()):
            for segment, holder in enumerate(held):
                if holder not in peers:
                    return segment
        return self._to_even_out(node.number, held, sizes) if self.auto_balance else None

    def _to_even_out(self, to: int, held: list[int | None], sizes: dict[int, int]) -> int | None:
        """The first segment that ScoreBased would move here."""
        counts = Counter(zip(self.collection_of, held, strict=True))
        for segment, holder in enumerate(held):
            if holder is None or holder == to or holder not in sizes:
                continue
            collection = self.collection_of[segment]
            gap = counts[collection, holder] - counts[collection, to]
            if gap + GLOBAL_ROW_FACTOR * (sizes[holder] - sizes[to]) > LEAST_SCORE_GAP:
                return segment
        return None

    def _let_go(self) -> None:
        for node in [node for node in self.nodes if node.leaving]:
            gone_for = self.now_seconds - (node.leaving_since_seconds or 0.0)
            killed = gone_for >= self.model.grace_period_seconds
            drained = not self.segments_of(node) and gone_for >= self.model.handover_seconds
            if killed or drained or not node.serves(self.now_seconds):
                held = self.placement[node.replica]
                self.placement[node.replica] = [None if holder == node.number else holder for holder in held]
                self.nodes.remove(node)

    def _search(self, seconds: float, cores: float, hot: dict[str, float]) -> None:
        limit, overloaded = self.model.cpu_cores, False
        for node in self.nodes:
            if not node.serves(self.now_seconds):
                continue
            share = math.fsum(self._costs[segment] for segment in self.segments_of(node)) / self.model.replicas
            arriving = seconds * cores * share * hot.get(node.pod, 1.0)
            work = node.backlog_core_seconds + arriving
            done = min(work, seconds * limit)
            node.backlog_core_seconds = min(work - done, MOST_BACKLOG_SECONDS * limit)
            overloaded = overloaded or work - done > 0
            node.cpu_samples.append(done / seconds)
            while len(node.cpu_samples) * seconds > CPU_AVERAGE_SECONDS:
                node.cpu_samples.popleft()
        self.overloaded_seconds += seconds if overloaded else 0.0


def _costs(model: ClusterModel) -> list[float]:
    """What searching each segment costs, as a part of the whole."""
    whole = math.fsum(collection.weight for collection in model.loaded)
    return [one.weight / whole / one.segments for one in model.loaded for _ in range(one.segments)]
