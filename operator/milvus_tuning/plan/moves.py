"""Segments that Milvus's balancer moved within the last half hour, and what of it came to nothing.

Moves come to nothing where fewer would have led to the same placement. Worked example, two segments within 30 minutes:

    segment 1   A -> B -> A -> B -> A     4 moves, at least 0 were needed
    segment 2   A -> C                    1 move,  at least 1 was needed

are 5 moves for a change that needs 1: net_zero_ratio is (5 - 1) / 5 = 0.8. Published cases are at 0.80 to 0.89
(milvus#51244: 25 QueryNodes, 706 segments), with the way to and back in 46 s (milvus#52092) or 6 s (milvus#44840).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

FEWEST_MOVES, FEWEST_RETURNS = 10, 3
PING_PONG_RATIO = 0.5  # below it, most moves served an end; the published cases are above 0.8


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionMoves:
    """How the segments of one collection moved within the window. Moves of ours and expected ones are not in it.

    return_seconds is the median time from leaving a QueryNode to being back on it; None where nothing came back. What
    moves to and back between two passes is not seen: moves and returns are lower bounds.
    """

    collection_id: int
    database: str
    name: str
    moves: int
    net_zero_ratio: float
    returns: int = 0
    return_seconds: float | None = None

    @property
    def full_name(self) -> str:
        """Database and name, as people write it."""
        return f"{self.database}.{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LastMove:
    """A segment that Milvus moved by itself, between nodes by their Milvus id. at: when it was seen there."""

    at: datetime
    segment_id: int
    full_name: str
    source: int
    target: int

    def __str__(self) -> str:
        where = f"from QueryNode {self.source} to {self.target}"
        return f"segment {self.segment_id} of {self.full_name} went {where} at {self.at:%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacementMoves:
    """What the watch over the placement shows: by collection, most moves first, and how long it has gone on.

    watched_seconds is None where no placement was read lately. last is the newest of these moves, None where there is
    none within the window.
    """

    collections: tuple[CollectionMoves, ...]
    watched_seconds: float | None
    last: LastMove | None = None

    @property
    def ping_pong(self) -> tuple[CollectionMoves, ...]:
        """The collections whose segments are moved to and fro, most moves first."""
        return tuple(one for one in self.collections if is_ping_pong(one))


def is_ping_pong(moves: CollectionMoves) -> bool:
    """Whether there are enough moves to judge, and at least half of them came to nothing."""
    enough = moves.moves >= FEWEST_MOVES or moves.returns >= FEWEST_RETURNS
    return enough and moves.net_zero_ratio >= PING_PONG_RATIO


def moves_in_words(collections: Sequence[CollectionMoves], *, most: int = 3) -> str:
    """The first few collections with their numbers, for a message."""
    shown = [_in_words(one) for one in collections[:most]]
    more = len(collections) - len(shown)
    return "; ".join([*shown, f"{more} more collections"] if more > 0 else shown)


def _in_words(one: CollectionMoves) -> str:
    back = "" if one.return_seconds is None else f", back after {one.return_seconds:.0f} s"
    return f"{one.full_name}: {one.net_zero_ratio * 100:.0f} % of {one.moves} moves within 30 min came to nothing{back}"
