"""A window is full only when nothing in it says otherwise and nothing in it is unseen."""

from datetime import timedelta

import pytest

from milvus_tuning.api import HotSegments, LoadBalancing
from milvus_tuning.decide.windows import held, kept, with_current
from milvus_tuning.plan import Signal
from tests.builders import NOON, a_spec

WATCHING = LoadBalancing(hot_segments=HotSegments(window_seconds=120))


def a_signal(seconds_ago: float, ratio: float | None = 0.9, *, nodes: int = 2) -> Signal:
    return Signal(
        at=NOON - timedelta(seconds=seconds_ago),
        node_count=nodes,
        capacity_ratio=ratio,
        computation_ratio=ratio,
        even_computation_ratio=ratio,
    )


def is_high(signal: Signal) -> bool | None:
    return None if signal.computation_ratio is None else signal.computation_ratio > 0.6


@pytest.mark.parametrize(
    ("signals", "seconds"),
    [
        pytest.param([a_signal(ago) for ago in (120, 105, 90, 75, 60, 45, 30, 15, 0)], 120, id="an unbroken window"),
        pytest.param([a_signal(0)], 0, id="the first signal ever"),
        pytest.param([a_signal(30), a_signal(15, 0.5), a_signal(0)], 0, id="broken by a low signal"),
        pytest.param(
            [a_signal(60), a_signal(45, 0.5), a_signal(30), a_signal(15), a_signal(0)], 30, id="since the low"
        ),
        pytest.param([a_signal(300), a_signal(285), a_signal(15), a_signal(0)], 15, id="a gap of minutes"),
        pytest.param([a_signal(60), a_signal(45), a_signal(0)], 60, id="a missed pass or two"),
        pytest.param([a_signal(30), a_signal(15, None), a_signal(0)], 30, id="one signal that cannot tell"),
        pytest.param([a_signal(30, nodes=3), a_signal(15), a_signal(0)], 15, id="another number of nodes before"),
    ],
)
def test_held_for(signals: list[Signal], seconds: float) -> None:
    found = held(signals, is_high)

    assert (found.now, found.seconds) == (True, seconds)


@pytest.mark.parametrize("signals", [[], [a_signal(15), a_signal(0, 0.5)], [a_signal(15), a_signal(0, None)]])
def test_what_is_not_so_now_is_not_held(signals: list[Signal]) -> None:
    assert not held(signals, is_high).covers(0)


def test_the_signal_of_this_pass_counts_once() -> None:
    current = a_signal(0)

    assert with_current([a_signal(15), current], current) == (a_signal(15), current)


def test_signals_are_kept_for_the_longest_window_and_no_longer() -> None:
    signals = [a_signal(ago) for ago in (3600, 1921, 1920, 1800, 0)]

    assert [(NOON - signal.at).total_seconds() for signal in kept(signals, a_spec())] == [1920, 1800, 0]


def test_without_a_window_only_the_newest_signal_is_kept() -> None:
    bare = a_spec().model_copy(update={"query_nodes": None})

    assert kept([a_signal(15), a_signal(0)], bare) == (a_signal(0),)
    assert kept([], bare) == ()


def test_the_window_of_hot_segments_counts_too() -> None:
    watching = a_spec().model_copy(update={"query_nodes": None, "load_balancing": WATCHING})

    left = kept([a_signal(ago) for ago in (241, 240, 15, 0)], watching)

    assert [(NOON - signal.at).total_seconds() for signal in left] == [240, 15, 0]
