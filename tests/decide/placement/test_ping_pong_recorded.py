"""Placements as files: moves and the share that came to nothing, beside a count by brute force."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from milvus_tuning.decide.placement.ping_pong import (
    PlacementLog,
    is_ping_pong,
    log_placement,
)
from tests.builders import NOON
from tests.decide.placement.ping_pong_cases import PLACEMENTS, a_placement, seen
from tests.decide.placement.placements.generate import RECORDINGS, Recording, text_of


def readings_of(name: str) -> list[dict[str, Any]]:
    readings: list[dict[str, Any]] = json.loads((PLACEMENTS / f"{name}.json").read_text(encoding="utf-8"))
    return readings


def brute_force(readings: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """All moves, and the least number that leads from the first reading to the last: one for each that is elsewhere."""
    maps = [reading["segments"] for reading in readings]
    made = sum(1 for before, after in pairwise(maps) for one in before if before[one] != after[one])
    return made, sum(1 for one in maps[0] if maps[0][one] != maps[-1][one])


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda one: one.name)
def test_the_placements_are_what_the_script_writes(recording: Recording) -> None:
    assert (PLACEMENTS / f"{recording.name}.json").read_text(encoding="utf-8") == text_of(recording)


@pytest.mark.parametrize(
    ("name", "moves", "ratio", "verdict"),
    [
        ("every_move_led_somewhere", 30, 0.0, False),
        ("half_came_to_nothing", 40, 0.5, True),
        ("milvus_51244", 400, 0.85, True),
    ],
)
def test_the_share_that_came_to_nothing_is_found(name: str, moves: int, ratio: float, *, verdict: bool) -> None:
    readings = readings_of(name)
    made, least = brute_force(readings)
    assert (made, (made - least) / made) == (moves, ratio)
    log = PlacementLog()
    for reading in readings:
        placement = {int(one): (node,) for one, node in reading["segments"].items()}
        snapshot = a_placement(placement, replicas=(reading["nodes"],))
        log = log_placement(log, snapshot, NOON + timedelta(seconds=reading["at"]))
    found = seen(log)
    assert found is not None
    assert (found.moves, found.net_zero_ratio) == (made, ratio)
    assert is_ping_pong(found) is verdict
