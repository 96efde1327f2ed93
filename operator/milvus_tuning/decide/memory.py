"""What passes over one MilvusTuning remember between them, and what they make of it.

Losing it with the process costs the windows, a few half-lives of the heat's smoothing, and the half hour over which
moves of Milvus's balancer are counted; nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.decide.heat import HeatMap, HeatMemory, heat_map
from milvus_tuning.decide.load import signal
from milvus_tuning.decide.placement.ping_pong import PlacementLog, log_placement, own_moves, placement_moves
from milvus_tuning.decide.windows import kept
from milvus_tuning.plan import Operation, Signal
from milvus_tuning.plan.moves import PlacementMoves
from milvus_tuning.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """What one pass hands on to the next."""

    signals: tuple[Signal, ...] = ()
    heat: HeatMemory | None = None
    placements: PlacementLog = field(default_factory=PlacementLog)

    def after_a_change(self) -> Memory:
        """The windows begin anew: what was measured before a change says nothing about the cluster after it."""
        return replace(self, signals=())


@dataclass(frozen=True, kw_only=True, slots=True)
class Insight:
    """What memory and snapshot together tell. heat is None where nothing declared needs it."""

    heat: HeatMap | None
    moves: PlacementMoves

    @property
    def damping(self) -> bool:
        """Whether Milvus moves segments to and fro now."""
        return bool(self.moves.ping_pong)


def look_back(
    memory: Memory, spec: MilvusTuningSpec, snapshot: Snapshot, operations: Sequence[Operation], now: datetime
) -> tuple[Memory, Insight]:
    """The memory with this snapshot in it, and what it tells.

    operations are those that are finished and the one that is under way: what they move is not Milvus's doing.
    """
    own = own_moves(operations, memory.placements)
    placements = log_placement(memory.placements, snapshot, now, own=own)
    heat, heat_memory = heat_map(snapshot, memory.heat, now) if spec.needs_heat else (None, None)
    insight = Insight(heat=heat, moves=placement_moves(placements, snapshot, now))
    return replace(memory, heat=heat_memory, placements=placements), insight


def with_signal(memory: Memory, spec: MilvusTuningSpec, snapshot: Snapshot, now: datetime) -> Memory:
    """The memory with the signal of this pass, as long as the windows of the spec are."""
    return replace(memory, signals=kept((*memory.signals, signal(snapshot, now)), spec))
