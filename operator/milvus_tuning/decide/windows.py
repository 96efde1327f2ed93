"""Stabilisation windows: for how long something has been true without a break.

Time is counted back from the newest signal and stops at a signal that says otherwise, at a signal taken with another
number of QueryNodes (a changed size starts the window anew), and at a gap wider than three usual spacings (at least
60 s): what was not seen is not taken for granted.

Signals every 15 s, above the threshold since 12:00:00, now 12:01:45: held for 105 s of a window of 120 s; the next pass
acts.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from operator import attrgetter

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.plan import Signal

LEAST_GAP_SECONDS = 60.0
_LEAST_GAP = timedelta(seconds=LEAST_GAP_SECONDS)
GAP_SPACINGS = 3
MARGIN_SECONDS = 120.0  # kept beyond the longest window, so that a late pass does not start it anew

Test = Callable[[Signal], bool | None]  # True: holds; False: contradicts; None: this signal cannot tell


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """Whether it is so now, and since how many seconds."""

    now: bool
    seconds: float

    def covers(self, window_seconds: float) -> bool:
        """Whether the whole window is covered."""
        return self.now and self.seconds >= window_seconds


NOT_HELD = Held(now=False, seconds=0.0)


def held(signals: Sequence[Signal], test: Test) -> Held:
    """For how long the test has held up to the newest signal (signals oldest first)."""
    if not signals or test(signals[-1]) is not True:
        return NOT_HELD
    newest, allowed = signals[-1], None
    earliest = newest.at
    for signal in reversed(signals):
        gap = earliest - signal.at
        if gap > _LEAST_GAP:  # only then is it worth to look at all of them for the usual spacing
            allowed = allowed or _allowed_gap(signals)
        verdict = test(signal)
        if (allowed and gap > allowed) or verdict is False or signal.node_count != newest.node_count:
            break
        if verdict:
            earliest = signal.at
    return Held(now=True, seconds=(newest.at - earliest).total_seconds())


def kept(signals: Sequence[Signal], spec: MilvusTuningSpec) -> tuple[Signal, ...]:
    """The signals that some window of the spec may still ask for, counted back from the newest, and it at least."""
    lengths = tuple(_window_lengths(spec))
    if not signals or not lengths:
        return tuple(signals[-1:])
    oldest = signals[-1].at - timedelta(seconds=max(lengths) + MARGIN_SECONDS)
    return tuple(signal for signal in signals if signal.at >= oldest)


def _window_lengths(spec: MilvusTuningSpec) -> Iterator[int]:
    """The windows, in seconds, that decisions of this spec look back over."""
    if spec.query_nodes is not None:
        for rules in (spec.query_nodes.scale_out, spec.query_nodes.scale_in):
            yield rules.capacity_window_seconds
            yield rules.computation_window_seconds
    if spec.load_balancing is not None and spec.load_balancing.hot_segments is not None:
        yield spec.load_balancing.hot_segments.window_seconds
    if spec.in_memory_replicas is not None:
        yield spec.in_memory_replicas.window_seconds


def with_current(signals: Sequence[Signal], current: Signal) -> tuple[Signal, ...]:
    """The history with the signal of this pass at its end, whether or not it was put there already."""
    return (*(signal for signal in sorted(signals, key=attrgetter("at")) if signal.at < current.at), current)


def _allowed_gap(signals: Sequence[Signal]) -> timedelta:
    spacings = [(later.at - earlier.at).total_seconds() for earlier, later in pairwise(signals)]
    usual_seconds = statistics.median(spacings) if spacings else 0.0
    return max(timedelta(seconds=GAP_SPACINGS * usual_seconds), _LEAST_GAP)
