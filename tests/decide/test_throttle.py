"""Whether searches suffer, beside what was measured before the plan."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from milvus_tuning.api import Verification
from milvus_tuning.decide.throttle import searches_suffer
from milvus_tuning.plan import Measurement
from milvus_tuning.snapshot import Traffic
from tests.builders import NOON, a_sample

RULES = Verification(latency_tolerance_percent=20)


def before(mean_microseconds: int | None) -> Measurement:
    return Measurement(ended_at=NOON - timedelta(minutes=1), window_seconds=180, mean_microseconds=mean_microseconds)


@pytest.mark.parametrize(
    ("former", "latter", "sample", "suffer"),
    [
        pytest.param(20_000, 24.5, {}, True, id="above the tolerance"),
        pytest.param(20_000, 24.0, {}, False, id="at the tolerance"),
        pytest.param(20_000, 10.0, {}, False, id="faster"),
        pytest.param(1_000, 2.9, {}, False, id="three times as slow, but by less than 2 ms"),
        pytest.param(1_000, 3.1, {}, True, id="by 2 ms and more"),
        pytest.param(None, 90.0, {}, False, id="not measured before"),
        pytest.param(20_000, None, {}, False, id="not measured now"),
        pytest.param(20_000, 90.0, {"age": 300.0}, False, id="measured long ago"),
        pytest.param(20_000, 90.0, {"coverage": 0.5}, False, id="measured at half of the proxies"),
    ],
)
def test_searches_suffer(former: int | None, latter: float | None, sample: dict[str, Any], suffer: bool) -> None:
    traffic = Traffic(mean_milliseconds=a_sample(latter, **sample))

    assert (searches_suffer(before(former), traffic, RULES) is not None) is suffer


def test_the_numbers_are_said() -> None:
    said = searches_suffer(before(20_000), Traffic(mean_milliseconds=a_sample(30.0)), RULES)

    assert said == "searches take 30.0 ms on average, 20.0 ms before (tolerated +20 %)"


def test_without_a_measurement_before_nothing_is_held() -> None:
    assert searches_suffer(None, Traffic(mean_milliseconds=a_sample(30.0)), RULES) is None
