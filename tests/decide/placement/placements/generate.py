"""Writes the placements beside it: `python -m tests.decide.placement.placements.generate`.

Each file is a list of readings, one a line: {"at": seconds, "nodes": [node ids], "segments": {segment id: node id}}.
They are made, by seed, and not taken from a cluster: so the share of moves that come to nothing is exact. `displaced`
segments end on another node than they began on, and `round_trips` times a segment goes to another node and back:

    moves = displaced + 2 x round_trips,  of which 2 x round_trips come to nothing

    every_move_led_somewhere   30 of 30 moves needed                              0 %
    half_came_to_nothing       20 + 2 x 10 = 40 moves                            50 %
    milvus_51244               60 + 2 x 170 = 400 moves, 25 nodes, 706 segments  85 %

The last has the size of the cluster in milvus#51244, where 80 to 89 % of the moves were found to net to zero.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

FOLDER = Path(__file__).parent
SECONDS_APART = 60
FIRST_SEGMENT_ID = 1001


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What one file is made from."""

    name: str
    nodes: int
    segments: int
    displaced: int
    round_trips: int
    readings: int
    seed: int


RECORDINGS = (
    Recording(name="every_move_led_somewhere", nodes=6, segments=60, displaced=30, round_trips=0, readings=20, seed=1),
    Recording(name="half_came_to_nothing", nodes=6, segments=60, displaced=20, round_trips=10, readings=20, seed=2),
    Recording(name="milvus_51244", nodes=25, segments=706, displaced=60, round_trips=170, readings=20, seed=51244),
)


def text_of(recording: Recording) -> str:
    """The file of a recording."""
    lines = [json.dumps(reading, separators=(",", ":")) for reading in _readings(recording)]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def _readings(recording: Recording) -> list[dict[str, object]]:
    random = Random(recording.seed)
    nodes = list(range(1, recording.nodes + 1))
    ids = [str(FIRST_SEGMENT_ID + number) for number in range(recording.segments)]
    courses = dict(zip(ids, _courses(recording, nodes, random), strict=True))
    return [
        {
            "at": number * SECONDS_APART,
            "nodes": nodes,
            "segments": {one: course[number] for one, course in courses.items()},
        }
        for number in range(recording.readings)
    ]


def _courses(recording: Recording, nodes: Sequence[int], random: Random) -> list[list[int]]:
    """For each segment the node that it is on at each reading."""
    trips = _trips(recording, random)
    displaced = set(random.sample(range(recording.segments), recording.displaced))
    courses = []
    for segment in range(recording.segments):
        here, there = random.sample(nodes, 2)
        moves = 2 * trips[segment] + (segment in displaced)
        leaps = set(random.sample(range(1, recording.readings), moves))
        places, away = [here], False
        for number in range(1, recording.readings):
            away = away != (number in leaps)
            places.append(there if away else here)
        courses.append(places)
    return courses


def _trips(recording: Recording, random: Random) -> list[int]:
    """How often each segment goes and comes back: a few segments do most of it."""
    trips = [0] * recording.segments
    restless = random.sample(range(recording.segments), max(1, recording.segments // 10))
    most = (recording.readings - 2) // 2
    for _ in range(recording.round_trips):
        trips[random.choice([one for one in restless if trips[one] < most])] += 1
    return trips


if __name__ == "__main__":
    for one in RECORDINGS:
        (FOLDER / f"{one.name}.json").write_text(text_of(one), encoding="utf-8")
