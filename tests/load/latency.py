"""Latencies as counts in logarithmic buckets, so that any stretch of seconds can be merged into one percentile.

A percentile cannot be averaged: the P99 of ten seconds is not the mean of ten P99s. A histogram can be added. Bucket i
holds the latencies from GROWTH^i to GROWTH^(i+1) milliseconds and is read as its geometric middle, which is at most
1 % away from every value in it. Worked example: 25 ms falls in bucket floor(ln 25 / ln 1.02) = 162, which spans
24.73 to 25.23 ms and is read as 24.98 ms.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

GROWTH = 1.02
FLOOR_MS = 0.001  # a microsecond: less than any reply over a network takes, and above zero for the logarithm


@dataclass(frozen=True, kw_only=True, slots=True)
class Histogram:
    """Latencies in milliseconds; `buckets` maps a bucket number to its count, sum and maximum are exact."""

    count: int = 0
    sum_ms: float = 0.0
    max_ms: float = 0.0
    buckets: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, values_ms: Iterable[float]) -> "Histogram":
        """Count the values."""
        values = list(values_ms)
        counts = Counter(bucket_of(value) for value in values)
        return cls(
            count=len(values),
            sum_ms=round(math.fsum(values), 3),
            max_ms=round(max(values, default=0.0), 3),
            buckets=dict(sorted(counts.items())),
        )

    def __add__(self, other: "Histogram") -> "Histogram":
        counts = Counter(self.buckets)
        counts.update(other.buckets)
        return Histogram(
            count=self.count + other.count,
            sum_ms=round(self.sum_ms + other.sum_ms, 3),
            max_ms=max(self.max_ms, other.max_ms),
            buckets=dict(sorted(counts.items())),
        )

    @property
    def mean_ms(self) -> float | None:
        """The exact mean; None where nothing was measured, for missing is not zero."""
        return round(self.sum_ms / self.count, 3) if self.count else None

    def quantile_ms(self, share: float) -> float | None:
        """The nearest-rank quantile, within 1 %: `share` 0.99 is the P99. None where nothing was measured."""
        rank = max(1, math.ceil(share * self.count))
        seen = 0
        for bucket, count in sorted(self.buckets.items()):
            seen += count
            if seen >= rank:
                return round(min(middle_of(bucket), self.max_ms), 3)
        return None


def bucket_of(value_ms: float) -> int:
    """The number of the bucket that holds the value."""
    return math.floor(math.log(max(value_ms, FLOOR_MS)) / math.log(GROWTH))


def middle_of(bucket: int) -> float:
    """The geometric middle of a bucket in milliseconds."""
    return float(GROWTH ** (bucket + 0.5))
