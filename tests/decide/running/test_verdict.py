"""The verdict on a change, from what searches met before it and after it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.api import Verification
from milvus_tuning.decide.running.verdict import judge
from milvus_tuning.plan import Measurement, Verdict
from tests.builders import NOON

RULES = Verification()  # 20 % of latency, 1000 failed and 50,000 slow of a million, 25 % of load
KEPT, ROLLED_BACK, INCONCLUSIVE = Verdict.KEPT, Verdict.ROLLED_BACK, Verdict.INCONCLUSIVE


def a_measurement(**changes: Any) -> Measurement:
    """Three calm minutes: 1200 searches a minute at 20 ms, none failed, one of 100 slower than 100 ms."""
    calm = Measurement(
        ended_at=NOON,
        window_seconds=180,
        searches_per_minute=1200,
        mean_microseconds=20_000,
        p99_milliseconds=128,
        failed_searches_per_million=0,
        slow_searches_per_million=10_000,
        slow_bound_milliseconds=100,
    )
    return replace(calm, **changes)


CALM = a_measurement()


@pytest.mark.parametrize(
    ("after", "verdict", "worse"),
    [
        pytest.param({}, KEPT, False, id="nothing changed"),
        pytest.param({"mean_microseconds": 5_000}, KEPT, False, id="faster"),
        pytest.param({"mean_microseconds": 24_000}, KEPT, False, id="latency at its tolerance"),
        pytest.param({"mean_microseconds": 24_001}, ROLLED_BACK, True, id="latency above its tolerance"),
        pytest.param({"failed_searches_per_million": 1_000}, KEPT, False, id="failures at their tolerance"),
        pytest.param({"failed_searches_per_million": 1_001}, ROLLED_BACK, True, id="failures above their tolerance"),
        pytest.param({"slow_searches_per_million": 60_000}, KEPT, False, id="slow searches at their tolerance"),
        pytest.param({"slow_searches_per_million": 60_001}, ROLLED_BACK, True, id="slow searches above it"),
        pytest.param({"p99_milliseconds": 2048}, KEPT, False, id="a quantile alone never decides"),
        pytest.param({"queue_microseconds": 10**9}, KEPT, False, id="nor does the queue"),
        pytest.param(
            {"slow_searches_per_million": 900_000, "slow_bound_milliseconds": 50}, KEPT, False, id="another bound: slow"
        ),
        pytest.param({"slow_searches_per_million": None}, KEPT, False, id="slow searches not measured"),
        pytest.param({"failed_searches_per_million": None}, KEPT, False, id="failures not measured"),
        pytest.param({"mean_microseconds": None}, INCONCLUSIVE, False, id="without the mean nothing is called good"),
        pytest.param(
            {"mean_microseconds": None, "failed_searches_per_million": 50_000},
            ROLLED_BACK,
            True,
            id="without the mean failures are failures all the same",
        ),
        pytest.param(
            {"mean_microseconds": 10_000, "failed_searches_per_million": 9_000}, ROLLED_BACK, True, id="mixed"
        ),
    ],
)
def test_with_the_same_load_the_signs_decide(after: dict[str, Any], verdict: Verdict, worse: bool) -> None:
    judgement = judge(CALM, a_measurement(**after), RULES)

    assert (judgement.verdict, judgement.worse) == (verdict, worse)


@pytest.mark.parametrize(
    ("searches", "good", "bad"),
    [
        pytest.param(1200, KEPT, ROLLED_BACK, id="the same load"),
        pytest.param(900, KEPT, ROLLED_BACK, id="fallen by the tolerance"),
        pytest.param(899, INCONCLUSIVE, INCONCLUSIVE, id="fallen by more"),
        pytest.param(600, INCONCLUSIVE, INCONCLUSIVE, id="halved"),
        pytest.param(1500, KEPT, ROLLED_BACK, id="risen by the tolerance"),
        pytest.param(1501, KEPT, INCONCLUSIVE, id="risen by more: a result when not slower"),
        pytest.param(0, INCONCLUSIVE, INCONCLUSIVE, id="nobody searches any more"),
    ],
)
def test_another_load_tells_less(searches: int, good: Verdict, bad: Verdict) -> None:
    same = judge(CALM, a_measurement(searches_per_minute=searches), RULES)
    slower = judge(CALM, a_measurement(searches_per_minute=searches, mean_microseconds=40_000), RULES)

    assert (same.verdict, slower.verdict) == (good, bad)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        pytest.param(None, CALM, "nothing was measured before the change", id="nothing before"),
        pytest.param(CALM, None, "nothing was measured after the change", id="nothing after"),
        pytest.param(None, None, "nothing was measured before the change", id="nothing at all"),
        pytest.param(
            a_measurement(searches_per_minute=None),
            CALM,
            "the number of searches was not measured before the change",
            id="searches not counted",
        ),
        pytest.param(
            CALM,
            a_measurement(searches_per_minute=9),
            "27 searches in the 180 s after the change are too few to tell, at least 30 are needed",
            id="too few after",
        ),
        pytest.param(
            a_measurement(searches_per_minute=29, window_seconds=60, mean_microseconds=1),
            CALM,
            "29 searches in the 60 s before the change are too few to tell, at least 30 are needed",
            id="too few before, although far worse",
        ),
    ],
)
def test_too_little_to_compare_is_inconclusive(
    before: Measurement | None, after: Measurement | None, message: str
) -> None:
    judgement = judge(before, after, RULES)

    assert (judgement.verdict, judgement.worse, judgement.message) == (INCONCLUSIVE, False, message)


def test_thirty_searches_are_enough() -> None:
    few = a_measurement(searches_per_minute=10)

    assert judge(few, few, RULES).verdict is KEPT


@pytest.mark.parametrize(
    ("former", "latter", "verdict"),
    [
        pytest.param(1_000, 2_999, KEPT, id="three times as slow, and not by 2 ms"),
        pytest.param(1_000, 3_000, ROLLED_BACK, id="by 2 ms"),
        pytest.param(0, 3_000, ROLLED_BACK, id="from nothing"),
    ],
)
def test_a_rise_that_nobody_feels_is_no_harm(former: int, latter: int, verdict: Verdict) -> None:
    before, after = a_measurement(mean_microseconds=former), a_measurement(mean_microseconds=latter)

    assert judge(before, after, RULES).verdict is verdict


@pytest.mark.parametrize("sign", ["failed_searches_per_million", "slow_searches_per_million"])
@pytest.mark.parametrize(
    ("incidents", "verdict"), [pytest.param(1, KEPT, id="one"), pytest.param(2, ROLLED_BACK, id="two")]
)
def test_one_search_of_a_few_is_an_accident(sign: str, incidents: int, verdict: Verdict) -> None:
    none: dict[str, Any] = {"searches_per_minute": 10, "window_seconds": 180, "slow_searches_per_million": 0}
    some = {**none, sign: incidents * 1_000_000 // 30}

    assert judge(a_measurement(**none), a_measurement(**some), RULES).verdict is verdict


def test_the_message_has_the_numbers_before_and_after_with_the_worst_first() -> None:
    after = a_measurement(searches_per_minute=1188, failed_searches_per_million=2_500, p99_milliseconds=256)

    assert judge(CALM, after, RULES).message == (
        "worse: failed 0 -> 2500 of a million (tolerated +1000), mean latency 20.0 -> 20.0 ms (+0 %, tolerated +20 %), "
        "slower than 100 ms 10000 -> 10000 of a million (tolerated +50000), P99 128 -> 256 ms (exact to a factor of "
        "two), load 1200 -> 1188 searches a minute (-1 %, tolerated 25 %)"
    )


def test_a_load_that_may_be_the_cause_is_named() -> None:
    after = a_measurement(searches_per_minute=2400, mean_microseconds=60_000)

    assert judge(CALM, after, RULES).message.startswith(
        "worse, but the load changed by more than is tolerated and may be the cause: mean latency 20.0 -> 60.0 ms"
    )


MILLIONTHS = st.one_of(st.none(), st.integers(0, 1_000_000))
MEASUREMENTS = st.builds(
    a_measurement,
    searches_per_minute=st.integers(0, 5_000),
    mean_microseconds=st.one_of(st.none(), st.integers(0, 200_000)),
    p99_milliseconds=st.one_of(st.none(), st.integers(0, 5_000)),
    failed_searches_per_million=MILLIONTHS,
    slow_searches_per_million=MILLIONTHS,
    slow_bound_milliseconds=st.sampled_from([None, 50, 100]),
)
ORDER = {KEPT: 0, INCONCLUSIVE: 1, ROLLED_BACK: 2}


@given(MEASUREMENTS, MEASUREMENTS, st.booleans(), st.integers(0, 200_000), st.integers(0, 10**6))
def test_a_worse_window_with_the_same_load_never_gets_a_better_verdict(
    before: Measurement, after: Measurement, alike: bool, latency: int, share: int
) -> None:
    if alike:
        after = replace(after, searches_per_minute=before.searches_per_minute)
    worse = replace(
        after,
        mean_microseconds=_more(after.mean_microseconds, latency),
        failed_searches_per_million=_more(after.failed_searches_per_million, share),
        slow_searches_per_million=_more(after.slow_searches_per_million, share),
    )

    first, second = judge(before, after, RULES), judge(before, worse, RULES)

    assert (first.verdict, second.verdict) != (ROLLED_BACK, KEPT)
    assert second.worse >= first.worse
    if alike:
        assert ORDER[second.verdict] >= ORDER[first.verdict]


def _more(value: int | None, added: int) -> int | None:
    return None if value is None else value + added


@given(MEASUREMENTS, MEASUREMENTS)
def test_a_change_of_latency_and_its_reverse_are_not_both_worse(one: Measurement, other: Measurement) -> None:
    here, there = (replace(each, failed_searches_per_million=0, slow_searches_per_million=0) for each in (one, other))

    assert not (judge(here, there, RULES).worse and judge(there, here, RULES).worse)


@given(MEASUREMENTS)
def test_a_window_is_never_worse_than_itself(measurement: Measurement) -> None:
    judgement = judge(measurement, measurement, RULES)

    assert not judgement.worse
    assert judgement.verdict is not ROLLED_BACK


@given(MEASUREMENTS, MEASUREMENTS, st.integers(0, 5_000), st.integers(0, 5_000))
def test_a_quantile_never_decides(before: Measurement, after: Measurement, one: int, other: int) -> None:
    shown = judge(before, after, RULES)
    changed = judge(replace(before, p99_milliseconds=one), replace(after, p99_milliseconds=other), RULES)

    assert (shown.verdict, shown.worse) == (changed.verdict, changed.worse)


@given(MEASUREMENTS, MEASUREMENTS)
def test_a_verdict_fits_into_a_status(before: Measurement, after: Measurement) -> None:
    judgement = judge(before, after, RULES)

    assert judgement.verdict in ORDER
    assert 0 < len(judgement.message) < 1024
