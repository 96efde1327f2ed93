"""Whether a change did harm: the window before it against the window after it.

    worse    mean latency   after > before x (1 + latencyTolerancePercent), and by 2 ms or more
             failures       after > before + failureTolerancePerMillion
             slow searches  after > before + slowTolerancePerMillion, counted over the same bound

                        load within its tolerance   load fell further   load rose further
             worse      RolledBack                  Inconclusive        Inconclusive
             not worse  Kept                        Inconclusive        Kept: more load, and not slower

After a scale-in each QueryNode that stays searches more rows: the mean is expected to rise with them (3 -> 2 nodes: by
a half) and is compared with that. A slow search is then one that misses the declared objective; without one that sign
is left out, since its bound comes from the mean before.

Example: mean 10.0 ms before, 15.0 ms after, 20 % tolerated, 1200 and 1180 searches a minute: 50 % above, RolledBack.
With 600 searches a minute afterwards the load fell by half and 25 % are tolerated: Inconclusive.

A quantile never decides: Milvus's histogram buckets are powers of two, so P99 is exact to a factor of two only; it is
shown in the message. Missing is not zero: a sign that was not measured in both windows says nothing, and without the
mean latency nothing is called good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from milvus_tuning.api import Verification
from milvus_tuning.plan import Measurement, Verdict

MINIMUM_SEARCHES = 30  # in a window; below that a mean is anecdote (the usual size for a mean to be near normal)
MINIMUM_LATENCY_RISE_MICROSECONDS = 2_000  # 0.5 ms on 1 ms is 50 % and nothing to anybody
MINIMUM_INCIDENTS = 2  # one failed or slow search is an accident: of 30 searches it is 33,333 per million


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """The verdict (Kept, RolledBack or Inconclusive), whether the signs were worse, and the numbers in words."""

    verdict: Verdict
    worse: bool
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sign:
    """One comparison: in words, and whether it is worse than tolerated."""

    words: str
    worse: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Load:
    """The two loads in words, and whether the second is further away than tolerated."""

    words: str
    fell: bool
    rose: bool


def judge(
    before: Measurement | None,
    after: Measurement | None,
    rules: Verification,
    *,
    expected_latency_percent: int = 100,
    has_objective: bool = True,
) -> Judgement:
    """Compare what searches met before and after; see the module's text.

    expected_latency_percent: the mean that the change is expected to leave, of the one before (150 for 3 -> 2 nodes).
    has_objective: whether the bound of a slow search is a declared one.
    """
    unmeasured = _unmeasured(before, "before") or _unmeasured(after, "after")
    if unmeasured is not None or before is None or after is None:
        return _inconclusive(unmeasured or "nothing was measured")
    latency = _latency(before, after, rules, expected_latency_percent)
    comparable = has_objective or expected_latency_percent == 100
    slow = _slow(before, after, rules) if comparable else None
    signs = [sign for sign in (latency, _failures(before, after, rules), slow) if sign]
    load = _load(before, after, rules)
    measured = _in_words(before, after, signs, load)
    if any(sign.worse for sign in signs):
        return _worse(load, measured)
    if latency is None:
        return _inconclusive(f"the mean latency was not measured in both windows: {measured}")
    if load.fell:
        return _inconclusive(f"not worse, but the load fell by more than is tolerated: {measured}")
    note = "not worse with more load" if load.rose else "not worse"
    return Judgement(verdict=Verdict.KEPT, worse=False, message=f"{note}: {measured}")


def _worse(load: _Load, measured: str) -> Judgement:
    if load.fell or load.rose:
        message = f"worse, but the load changed by more than is tolerated and may be the cause: {measured}"
        return Judgement(verdict=Verdict.INCONCLUSIVE, worse=True, message=message)
    return Judgement(verdict=Verdict.ROLLED_BACK, worse=True, message=f"worse: {measured}")


def _inconclusive(message: str) -> Judgement:
    return Judgement(verdict=Verdict.INCONCLUSIVE, worse=False, message=message)


def _unmeasured(measurement: Measurement | None, when: str) -> str | None:
    """Why there is nothing to compare on this side of the change, or None."""
    if measurement is None:
        return f"nothing was measured {when} the change"
    searches = _searches(measurement)
    if searches is None:
        return f"the number of searches was not measured {when} the change"
    if searches >= MINIMUM_SEARCHES:
        return None
    return (
        f"{searches} searches in the {measurement.window_seconds} s {when} the change are too few to tell, at least "
        f"{MINIMUM_SEARCHES} are needed"
    )


def _searches(measurement: Measurement) -> int | None:
    """Searches in the window, or None where they were not measured."""
    rate = measurement.searches_per_minute
    return None if rate is None else rate * measurement.window_seconds // 60


def _latency(before: Measurement, after: Measurement, rules: Verification, expected_percent: int) -> _Sign | None:
    former, latter, tolerance = before.mean_microseconds, after.mean_microseconds, rules.latency_tolerance_percent
    if former is None or latter is None:
        return None
    above = latter * 100 * 100 > former * expected_percent * (100 + tolerance)
    words = f"mean latency {former / 1000:.1f} -> {latter / 1000:.1f} ms"
    expected = f"{expected_percent - 100:+d} % expected, " if expected_percent != 100 else ""
    words += f" ({_change(former, latter)}{expected}tolerated +{tolerance} %)"
    return _Sign(words=words, worse=above and latter - former >= MINIMUM_LATENCY_RISE_MICROSECONDS)


def _failures(before: Measurement, after: Measurement, rules: Verification) -> _Sign | None:
    former, latter = before.failed_searches_per_million, after.failed_searches_per_million
    if former is None or latter is None:
        return None
    return _share("failed", former, latter, tolerance=rules.failure_tolerance_per_million, after=after)


def _slow(before: Measurement, after: Measurement, rules: Verification) -> _Sign | None:
    former, latter = before.slow_searches_per_million, after.slow_searches_per_million
    bound = after.slow_bound_milliseconds
    if former is None or latter is None or bound is None or bound != before.slow_bound_milliseconds:
        return None
    name = f"slower than {bound} ms"
    return _share(name, former, latter, tolerance=rules.slow_tolerance_per_million, after=after)


def _share(name: str, former: int, latter: int, *, tolerance: int, after: Measurement) -> _Sign:
    """A share of the searches, in millionths; so few of them that it may be one search are no sign."""
    incidents = round(latter * (_searches(after) or 0) / 1_000_000)
    words = f"{name} {former} -> {latter} of a million (tolerated +{tolerance})"
    return _Sign(words=words, worse=latter > former + tolerance and incidents >= MINIMUM_INCIDENTS)


def _load(before: Measurement, after: Measurement, rules: Verification) -> _Load:
    former, latter = before.searches_per_minute or 0, after.searches_per_minute or 0
    tolerance = rules.load_tolerance_percent
    changed = abs(latter - former) * 100 > tolerance * former
    words = f"load {former} -> {latter} searches a minute ({_change(former, latter)}tolerated {tolerance} %)"
    return _Load(words=words, fell=changed and latter < former, rose=changed and latter > former)


def _in_words(before: Measurement, after: Measurement, signs: Sequence[_Sign], load: _Load) -> str:
    """All numbers, those that are worse first."""
    ordered = sorted(signs, key=lambda sign: not sign.worse)
    parts = (*(sign.words for sign in ordered), _quantile_words(before, after), load.words)
    return ", ".join(part for part in parts if part)


def _quantile_words(before: Measurement, after: Measurement) -> str:
    former, latter = before.p99_milliseconds, after.p99_milliseconds
    return "" if former is None or latter is None else f"P99 {former} -> {latter} ms (exact to a factor of two)"


def _change(former: int, latter: int) -> str:
    """Of 10 -> 15 "+50 %, "; nothing where there was nothing before."""
    return f"{(latter - former) * 100 / former:+.0f} %, " if former else ""
