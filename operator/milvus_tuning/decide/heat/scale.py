"""From units of cost to cores: what the QueryNodes were measured to burn decides.

    expected cores of a node = base + cores_per_cost x its work

The two are chosen so that expected and measured agree best over the nodes: least squares, but a deviation beyond
half of the mean measured counts linearly (Huber), so that one odd node does not decide. Neither is negative, and
base is no more than the least measured and a tenth of a CPU limit.

A saturated node is censored: it burns what it may, not what is asked of it. It counts only where less is expected than
was measured, so it can pull the scale up and never down. Where several scales fit equally well, the one nearest to the
remembered is taken, else the smallest with the largest base: the most of the CPU that does not depend on the searches.

A quiet night must not spoil the scale: where searches explain less than a fifth of the CPU of the busiest node, its
noise would be taken for theirs, and no scale is learned. So too where nodes that work alike burn no more than a base
may be.

Example, work 1, 2 and 8, measured 0.11, 0.21 and 0.30 cores at a limit of 0.30: base 0.01 and cores_per_cost 0.1 by
the first two; the third is expected to need 0.81. Taken at its word it would have flattened the scale to 0.038.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milvus_tuning.decide.heat.rates import weight

SCALE_HALF_LIFE_SECONDS = 120.0  # what a search costs changes with the data, not with the traffic: slower than rates
HUBER_SHARE = 0.5  # of the mean measured; half is far beyond the noise of CPU rates over a minute
MOST_BASE_SHARE = 0.1  # of the CPU limit; an idle QueryNode of 2.3.5 burns 0.02 cores of its 0.3
LEAST_SPREAD = 0.1  # of the largest work; nodes that work alike cannot tell base from scale
LEAST_EXPLAINED = 0.2  # CPU rates of idle nodes differ by some per cent; a fifth is well above
_BASES = 21  # steps of the search for the base: a twentieth of a tenth of the limit is below what is measured
_HALVINGS = 60
_TIE = 1e-9  # of the loss: rounding
_LEVEL = 1e-12  # of the largest slope: rounding

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One measured QueryNode: its work, and what it burnt."""

    cost: float
    cores: float
    limit_cores: float | None = None
    saturated: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """base_cores: a QueryNode without searches; cores_per_cost: one unit of cost a second. None: not known."""

    base_cores: float | None = None
    cores_per_cost: float | None = None

    def smoothed(self, fitted: Scale, passed_seconds: float) -> Scale:
        """This one, moved towards a fit made so much later; a part that is unknown on one side is the other's."""
        share = weight(passed_seconds, SCALE_HALF_LIFE_SECONDS)
        return Scale(
            base_cores=_mixed(self.base_cores, fitted.base_cores, share),
            cores_per_cost=_mixed(self.cores_per_cost, fitted.cores_per_cost, share),
        )


def fitted_scale(points: Sequence[Point], remembered: Scale) -> Scale:
    """The scale that these nodes show; a part that they say nothing about is None."""
    if not points:
        return Scale()
    ordered = sorted(points, key=lambda point: (point.cost, point.cores))
    costs = np.array([point.cost for point in ordered])
    cores = np.array([point.cores for point in ordered])
    censored = np.array([point.saturated for point in ordered])
    most_base = _most_base(ordered)
    if costs.max() <= 0:
        return Scale(base_cores=most_base)
    if censored.all():
        return _lower_bound(costs, cores, most_base, remembered)
    alike = bool(costs.max() - costs.min() < LEAST_SPREAD * costs.max())
    bases = _bases(alike, most_base, remembered)
    delta = HUBER_SHARE * float(cores.mean())
    scales = _scales(costs, cores[None, :] - bases[:, None], censored, delta, remembered.cores_per_cost)
    losses = _losses(scales[:, None] * costs + bases[:, None] - cores, censored, delta)
    equal = np.flatnonzero(losses <= losses.min() + _TIE * delta * delta * len(ordered))
    wanted = most_base if remembered.base_cores is None else remembered.base_cores
    best = int(equal[np.argmin(np.abs(bases[equal] - wanted))])
    unsure_base = most_base if alike and remembered.base_cores is None else 0.0
    explained = min(float(scales[best] * costs.max()), float(cores.max()) - unsure_base)
    told = explained >= LEAST_EXPLAINED * float(cores.max())
    return Scale(base_cores=float(bases[best]), cores_per_cost=float(scales[best]) if told else None)


def _mixed(old: float | None, new: float | None, share: float) -> float | None:
    if old is None or new is None:
        return new if old is None else old
    return old + share * (new - old)


def _most_base(points: Sequence[Point]) -> float:
    limits = [point.limit_cores for point in points if point.limit_cores]
    usual = float(np.mean(limits)) if limits else float(np.mean([point.cores for point in points]))
    return min(*(point.cores for point in points), MOST_BASE_SHARE * usual)


def _lower_bound(costs: Floats, cores: Floats, most_base: float, remembered: Scale) -> Scale:
    """All are saturated: the scale is at least what they burn over what they do, and at least the remembered one."""
    base = min(remembered.base_cores or 0.0, most_base)
    pooled = float(((cores - base) * costs).sum() / (costs * costs).sum())
    return Scale(base_cores=base, cores_per_cost=max(pooled, remembered.cores_per_cost or 0.0))


def _bases(alike: bool, most_base: float, remembered: Scale) -> Floats:
    """The bases to try: one, where the nodes work too much alike to tell."""
    if alike:
        return np.array([min(remembered.base_cores or 0.0, most_base)])
    return np.linspace(0.0, most_base, _BASES)


def _scales(costs: Floats, wanted: Floats, censored: Floats, delta: float, remembered: float | None) -> Floats:
    """For each row of `wanted` the scale of least loss: where the slope of the loss changes its sign.

    The slope grows with the scale; between the last scale where it is below 0 and the first where it is above, all are
    equally good, and the one nearest to the remembered (else the smallest) is taken.
    """
    busy = costs > 0
    highest = np.maximum((wanted[:, busy] / costs[busy]).max(axis=1), remembered or 0.0)
    most_pull = np.where(censored, 0.0, delta)
    negligible = _LEVEL * delta * float(costs.sum())
    above = np.array([[-negligible]] if remembered is None else [[-negligible], [negligible]])

    low: Floats = np.zeros((len(above), len(highest)))
    high: Floats = np.repeat(highest[None, :], len(above), axis=0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        pull = np.minimum(np.maximum(middle[:, :, None] * costs - wanted, -delta), most_pull)
        far = (pull * costs).sum(axis=2) > above
        low, high = np.where(far, low, middle), np.where(far, middle, high)
    least: Floats = high[0]
    return least if remembered is None else np.minimum(np.maximum(least, remembered), high[1])


def _losses(residuals: Floats, censored: Floats, delta: float) -> Floats:
    counted = np.where(censored, np.minimum(residuals, 0.0), residuals)
    size = np.abs(counted)
    losses: Floats = np.where(size <= delta, size * size / 2, delta * (size - delta / 2)).sum(axis=1)
    return losses
