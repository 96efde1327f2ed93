"""A model of a Milvus cluster on Kubernetes, in virtual time.

    Deployment   creates pods up to the wanted number, removes the surplus: not ready first, then the lowest deletion
                 cost, then the newest, as the ReplicaSet controller does
    QueryNode    serves after its start time; CPU = its share of the rows of its replica x the cost of the searches,
                 at most its limit; what the limit cuts off waits in a backlog
    QueryCoord   empties leaving nodes first, reloads what nobody serves, then evens out rows as
                 ScoreBased does, collection by collection, one segment at a time, at the load speed, in a replica;
                 not while autoBalance is off
    replica      a copy of one collection on nodes of its own; one that is added gets its part of the nodes, which hand
                 over what they hold of the others, and is searched once it serves everything
    SIGTERM      a leaving node goes when it is empty and its hand-over is done, or is killed at the end of its grace

It is simple on purpose: every number of the decision has a cause here, and nothing more.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field

from milvus_tuning.decide.replicas.gain import capacity_ratio
from milvus_tuning.simulate.components import ModelComponents
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


@dataclass(slots=True, kw_only=True)
class ModelReplica:
    """An in-memory replica: one copy of a collection (its number) on nodes of its own, leaving ones included.

    held has the number of the node that serves each segment of the collection, None: nobody.
    """

    key: int
    collection: int
    held: list[int | None]
    nodes: set[int] = field(default_factory=set)
    loading: bool = False  # it was added and is not searched yet


class ModelCluster:
    """The cluster; `advance` lets time pass.

    What an operator can write: `desired_count`, deletion costs, `auto_balance`, `move`, `set_replica_number`, `evict`
    and the keys of `components`.
    """

    def __init__(self, model: ClusterModel) -> None:
        self.model = model
        self.now_seconds = 0.0
        self.desired_count = model.nodes
        self.has_room = True
        self.auto_balance = True
        self.components = ModelComponents.of(model.version, start_seconds=model.start_seconds)
        self.unserved_seconds = 0.0
        self.overloaded_seconds = 0.0
        self.node_seconds = 0.0
        self.nodes: list[ModelNode] = []
        self._created = 0
        self.collection_of = [number for number, one in enumerate(model.loaded) for _ in range(one.segments)]
        self._first = [self.collection_of.index(number) for number in range(len(model.loaded))]
        self._costs = _costs(model)
        self._budget_bytes: dict[str, float] = {}
        self.replicas = [
            ModelReplica(key=copy + 1 + 100 * number, collection=number, held=[None] * one.segments)
            for number, one in enumerate(model.loaded)
            for copy in range(model.replicas)
        ]
        # What was worked out from the placement, until it changes: segments and share of the load by node number, and
        # the members among which there was nothing left to move.
        self._segments: dict[int, frozenset[int]] | None = None
        self._shares: dict[int, float] | None = None
        self._settled: tuple[object, ...] = ()
        for _ in range(model.nodes):
            self._create(serves_at_seconds=0.0)
        for replica in self.replicas:
            numbers, first = sorted(replica.nodes), self._first[replica.collection]
            replica.held = [numbers[(first + at) % len(numbers)] for at in range(len(replica.held))]
        self._at_start = {replica.key: list(replica.held) for replica in self.replicas}

    # -- what others see and write ------------------------------------------------------------------------------------

    def members(self) -> list[ModelNode]:
        """The nodes that serve and stay."""
        return [node for node in self.nodes if node.serves(self.now_seconds) and not node.leaving]

    def segments_of(self, node: ModelNode) -> frozenset[int]:
        """The segments that the node serves."""
        if self._segments is None:
            found = defaultdict[int, set[int]](set)
            for replica in self.replicas:
                for segment, holder in enumerate(replica.held, self._first[replica.collection]):
                    if holder is not None:
                        found[holder].add(segment)
            self._segments = {number: frozenset(segments) for number, segments in found.items()}
        return self._segments.get(node.number, frozenset())

    def find(self, pod: str) -> ModelNode | None:
        """The node in this pod."""
        return next((node for node in self.nodes if node.pod == pod), None)

    def held_bytes(self, node: ModelNode) -> float:
        """The bytes of the segments that the node serves."""
        return len(self.segments_of(node)) * self.model.segment_mib * MIB

    def used_bytes(self, node: ModelNode) -> float:
        """Resident memory: the process and its segments."""
        return self.model.base_memory_gib * GIB + self.held_bytes(node)

    def copies_of(self, collection: int) -> list[ModelReplica]:
        """The in-memory replicas of a collection, oldest first."""
        return [replica for replica in self.replicas if replica.collection == collection]

    def move(self, segment: int, source: str, destination: str) -> None:
        """load_balance: Milvus moves the segment at once; ValueError where it would refuse."""
        here, there = self.find(source), self.find(destination)
        at = segment - self._first[self.collection_of[segment]]
        for replica in self.copies_of(self.collection_of[segment]):
            if here is None or there is None or there.leaving or not {here.number, there.number} <= replica.nodes:
                continue
            if replica.held[at] != here.number:
                raise ValueError(f"segment {segment} is not on {source}")
            self._put(replica, at, there.number)
            return
        raise ValueError(f"{source} and {destination} are not two serving nodes of one replica")

    def set_replica_number(self, collection: str, count: int) -> None:
        """load_collection on a loaded collection; ValueError where Milvus would refuse."""
        number = [one.name for one in self.model.loaded].index(collection)
        staying = {node.number for node in self.nodes if not node.leaving}
        if count > len(staying):
            raise ValueError(f"{count} replicas of {collection} need as many nodes")
        for _ in range(count - len(self.copies_of(number))):
            self._add_replica(number, staying)
        for surplus in self.copies_of(number)[count:]:
            self.replicas.remove(surplus)
            for node in surplus.nodes:
                self._join(number, node, staying)
        self._changed()

    def evict(self, pod: str) -> None:
        """The pod leaves, and another one comes in its place; ValueError where there is none of this name."""
        node = self.find(pod)
        if node is not None:
            node.leaving_since_seconds = node.leaving_since_seconds or self.now_seconds
            self.components.evicted["QueryNode"] += 1
        elif not self.components.evict(pod, at_seconds=self.now_seconds):
            raise ValueError(f"there is no pod {pod}")

    def move_back(self) -> None:
        """Every segment back to where it was at the start."""
        for replica in self.replicas:
            replica.held = list(self._at_start.get(replica.key, replica.held))
        self._changed()

    def moved_segments(self, collection: int | None = None) -> int:
        """Copies of segments (of a collection, or all) that are not where they were at the start."""
        pairs = [
            (replica.held, self._at_start[replica.key])
            for replica in self.replicas
            if replica.key in self._at_start and collection in {None, replica.collection}
        ]
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
        if any(None in replica.held for replica in self.replicas if not replica.loading):
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
        staying = {node.number for node in self.nodes if not node.leaving}
        for number in range(len(self.model.loaded)):
            self._join(number, self._created, staying)
        self.nodes.append(
            ModelNode(number=self._created, created_at_seconds=self.now_seconds, serves_at_seconds=serves_at_seconds)
        )

    def _join(self, collection: int, node: int, staying: set[int]) -> None:
        """The node goes to the replica of the collection that has the fewest."""
        min(self.copies_of(collection), key=lambda replica: len(replica.nodes & staying)).nodes.add(node)

    def _add_replica(self, collection: int, staying: set[int]) -> None:
        """A replica more, with its part of the nodes of the others, the newest first."""
        there = self.copies_of(collection)
        size = len(there[0].held)
        new = ModelReplica(key=there[-1].key + 1, collection=collection, held=[None] * size, loading=True)
        while len(new.nodes) < len(staying) // (len(there) + 1):
            giver = max(there, key=lambda replica: len(replica.nodes & staying))
            node = max(giver.nodes & staying)
            giver.nodes.remove(node)
            new.nodes.add(node)
        self.replicas.insert(self.replicas.index(there[-1]) + 1, new)

    def _put(self, replica: ModelReplica, at: int, node: int) -> None:
        replica.held[at] = node
        self._changed()

    def _changed(self) -> None:
        """Forget what was worked out from the placement."""
        self._segments = None
        self._shares = None
        self._settled = ()

    def _move_segments(self, seconds: float) -> None:
        """Every staying node loads at the load speed, as long as there is something for it."""
        members, segment_bytes = self.members(), self.model.segment_mib * MIB
        world = (self.auto_balance, *(node.number for node in members))
        settled = self._settled == world
        moved = False
        for node in members:
            budget = self._budget_bytes.get(node.pod, 0.0) + seconds * self.model.load_mib_per_second * MIB
            while budget >= segment_bytes and not settled and (found := self._segment_for(node)) is not None:
                self._put(*found, node.number)
                budget, moved = budget - segment_bytes, True
            moved = moved or budget < segment_bytes
            self._budget_bytes[node.pod] = min(budget, segment_bytes)
        for replica in self.replicas:
            if replica.loading and replica.nodes.issuperset(replica.held):
                replica.loading = False
                self._changed()
        self._settled = () if moved else world

    def _segment_for(self, node: ModelNode) -> tuple[ModelReplica, int] | None:
        """What this node loads next: what nobody serves, what a leaving node serves, what evens out."""
        sizes = {member.number: len(self.segments_of(member)) for member in self.members()}
        own = [replica for replica in self.replicas if node.number in replica.nodes]
        for replica in own:
            peers = replica.nodes & sizes.keys()
            if sizes[node.number] == min(sizes[peer] for peer in peers):
                for at, holder in enumerate(replica.held):
                    if holder not in peers:
                        return replica, at
        for replica in own if self.auto_balance else ():
            to_move = _to_even_out(replica, node.number, sizes)
            if to_move is not None:
                return replica, to_move
        return None

    def _let_go(self) -> None:
        for node in [node for node in self.nodes if node.leaving]:
            gone_for = self.now_seconds - (node.leaving_since_seconds or 0.0)
            killed = gone_for >= self.model.grace_period_seconds
            drained = not self.segments_of(node) and gone_for >= self.model.handover_seconds
            if killed or drained or not node.serves(self.now_seconds):
                self.nodes.remove(node)
                for replica in self.replicas:
                    replica.held = [None if holder == node.number else holder for holder in replica.held]
                    replica.nodes.discard(node.number)
                self._changed()

    def _search(self, seconds: float, cores: float, hot: dict[str, float]) -> None:
        limit, overloaded = self.model.cpu_cores, False
        for node in self.nodes:
            if not node.serves(self.now_seconds):
                continue
            arriving = seconds * cores * self._share(node) * hot.get(node.pod, 1.0)
            work = node.backlog_core_seconds + arriving
            done = min(work, seconds * limit)
            node.backlog_core_seconds = min(work - done, MOST_BACKLOG_SECONDS * limit)
            overloaded = overloaded or work - done > 0
            node.cpu_samples.append(done / seconds)
            while len(node.cpu_samples) * seconds > CPU_AVERAGE_SECONDS:
                node.cpu_samples.popleft()
        self.overloaded_seconds += seconds if overloaded else 0.0

    def _share(self, node: ModelNode) -> float:
        """The node's part of what all searches cost at the start.

        Replicas share the searches of their collection. More of them than at the start make each search cheaper, by
        the figures that are commonly stated (`replicas.gain`).
        """
        if self._shares is None:
            costs = defaultdict[int, list[float]](list)
            serving = Counter(replica.collection for replica in self.replicas if not replica.loading)
            for replica in self.replicas:
                if replica.loading:
                    continue
                count = serving[replica.collection]
                gain = capacity_ratio(count) / capacity_ratio(self.model.replicas)
                for segment, holder in enumerate(replica.held, self._first[replica.collection]):
                    if holder is not None:
                        costs[holder].append(self._costs[segment] / count / gain)
            self._shares = {number: math.fsum(found) for number, found in costs.items()}
        return self._shares.get(node.number, 0.0)


def _to_even_out(replica: ModelReplica, to: int, sizes: dict[int, int]) -> int | None:
    """The first segment of the replica that ScoreBased would move there."""
    counts = Counter(replica.held)
    for at, holder in enumerate(replica.held):
        if holder is None or holder == to or holder not in sizes or holder not in replica.nodes:
            continue
        if counts[holder] - counts[to] + GLOBAL_ROW_FACTOR * (sizes[holder] - sizes[to]) > LEAST_SCORE_GAP:
            return at
    return None


def _costs(model: ClusterModel) -> list[float]:
    """What searching each segment costs, as a part of the whole."""
    whole = math.fsum(collection.weight for collection in model.loaded)
    return [one.weight / whole / one.segments for one in model.loaded for _ in range(one.segments)]
