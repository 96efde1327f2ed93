"""Histograms: within one percent, and added without loss."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.load.latency import Histogram, bucket_of, middle_of

LATENCIES_MS = st.lists(st.floats(min_value=0.01, max_value=60_000.0), min_size=1, max_size=200)
SHARES = st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0])


@given(LATENCIES_MS, SHARES)
def test_a_quantile_is_the_nearest_rank_within_one_percent(values_ms: list[float], share: float) -> None:
    exact_ms = sorted(values_ms)[max(1, math.ceil(share * len(values_ms))) - 1]
    assert Histogram.of(values_ms).quantile_ms(share) == pytest.approx(exact_ms, rel=0.0101, abs=0.001)


@given(LATENCIES_MS, LATENCIES_MS)
def test_the_sum_of_two_histograms_is_the_histogram_of_all(first_ms: list[float], second_ms: list[float]) -> None:
    both, whole = Histogram.of(first_ms) + Histogram.of(second_ms), Histogram.of(first_ms + second_ms)
    assert (both.count, both.max_ms, both.buckets) == (whole.count, whole.max_ms, whole.buckets)
    assert both.sum_ms == pytest.approx(whole.sum_ms, abs=0.01)


def test_nothing_measured_is_none_and_not_zero() -> None:
    assert (Histogram().quantile_ms(0.99), Histogram().mean_ms) == (None, None)


def test_the_worked_example_of_the_module() -> None:
    assert (bucket_of(25.0), round(middle_of(162), 2)) == (162, 24.98)
