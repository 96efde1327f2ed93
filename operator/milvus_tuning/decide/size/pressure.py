"""The signals seen as reasons to grow, and the two comparisons with a threshold.

A number that is missing on some nodes makes the signal a lower bound: for the maximum because the missing node could be
higher, for the mean by counting only what was measured over all nodes. Being above a threshold is then still certain;
being below it is not, and says nothing. An increase needs more than half of the nodes measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from milvus_tuning.decide.size.context import Context
from milvus_tuning.decide.windows import Held, held
from milvus_tuning.decide.words import percent, seconds
from milvus_tuning.plan import Reason, Signal

MAJORITY = 0.5
FULL_MEMORY_RATIO = 1.0
_ROUNDING = 1e-9  # 2 x 0.75 / 0.5 must be 3, not 4
_ALL = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Pressure:
    """One signal seen as a reason to grow."""

    name: str
    reason: Reason
    ratio: float | None
    above_ratio: float
    target_ratio: float
    window_seconds: int
    held: Held
    urgent: bool = False

    @property
    def calls_for_nodes(self) -> bool:
        """Whether it has been above its threshold for long enough."""
        return self.urgent or self.held.covers(self.window_seconds)

    def wanted_count(self, count: int) -> int:
        """The size at which the ratio would be at its target."""
        return math.ceil(count * (self.ratio or 0.0) / self.target_ratio - _ROUNDING)

    def is_near_target(self, tolerance_percent: int) -> bool:
        """Whether measured and target differ by no more than the tolerance."""
        return abs((self.ratio or 0.0) / self.target_ratio - 1) * 100 <= tolerance_percent

    def __str__(self) -> str:
        since = "is at its limit" if self.urgent else f"has been above {percent(self.above_ratio)}"
        duration = f" for {seconds(self.held.seconds)} (window {self.window_seconds} s)"
        return f"{self.name} {percent(self.ratio)} {since}{'' if self.urgent else duration}"


def pressures(context: Context) -> tuple[Pressure, Pressure]:
    """Capacity and computation, each with its thresholds and how long it has been above."""
    return _capacity(context), _computation(context)


def above(ratio: float | None, coverage: float, threshold: float) -> bool | None:
    """Whether a lower bound is above the threshold; None where that cannot be told."""
    if ratio is None or coverage <= MAJORITY:
        return None
    if ratio > threshold:
        return True
    return False if coverage >= _ALL else None


def below(ratio: float | None, coverage: float, threshold: float) -> bool | None:
    """Whether the signal is below the threshold; None where a node that was not measured could be above it."""
    if ratio is None:
        return None
    if ratio >= threshold:
        return False
    return True if coverage >= _ALL else None


def _capacity(context: Context) -> Pressure:
    rules, signal = context.rules, context.signal
    threshold = rules.scale_out.capacity_above_percent / 100
    lasting = held(context.signals, lambda one: above(one.capacity_ratio, one.capacity_coverage, threshold))
    return Pressure(
        name="capacity",
        reason=Reason.SCALE_OUT_CAPACITY,
        ratio=signal.capacity_ratio,
        above_ratio=threshold,
        target_ratio=rules.capacity_target_percent / 100,
        window_seconds=rules.scale_out.capacity_window_seconds,
        held=lasting,
        urgent=lasting.now and (signal.capacity_ratio or 0.0) >= FULL_MEMORY_RATIO,
    )


def _computation(context: Context) -> Pressure:
    rules = context.rules
    threshold = rules.scale_out.computation_above_percent / 100
    return Pressure(
        name="computation",
        reason=Reason.SCALE_OUT_COMPUTATION,
        ratio=_even(context.signal),
        above_ratio=threshold,
        target_ratio=rules.computation_target_percent / 100,
        window_seconds=rules.scale_out.computation_window_seconds,
        held=held(context.signals, lambda one: above(_even(one), one.computation_coverage, threshold)),
    )


def _even(signal: Signal) -> float | None:
    """The mean over all nodes, as a lower bound where some were not measured."""
    ratio = signal.even_computation_ratio
    return None if ratio is None else ratio * signal.computation_coverage
