"""Each intent is carried by the key that acts in the exact version, or by none."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.catalogue import (
    Conversion,
    Intent,
    Lever,
    NoLever,
    ServerVersion,
    config_key,
    find_lever,
    levers_of,
    normalised,
    parse_version,
)


def lever_of(intent: Intent, text: str) -> tuple[str, bool] | None:
    version = parse_version(text)
    assert version is not None
    found = find_lever(intent, version)
    return (found.key, found.live) if isinstance(found, Lever) else None


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2.2.16", None),
        ("2.3.5", ("queryCoord.checkChannelInterval", False)),
        ("2.3.12", None),
        ("2.3.21", ("queryCoord.checkBalanceInterval", False)),
        ("2.4.22", ("queryCoord.checkBalanceInterval", False)),
        ("2.4.23", ("queryCoord.autoBalanceInterval", True)),
        ("2.5.2", None),
        ("2.5.3", ("queryCoord.autoBalanceInterval", True)),
        ("2.6.14-hotfix.1", ("queryCoord.autoBalanceInterval", True)),
        ("3.0.0", ("queryCoord.autoBalanceInterval", True)),
        ("3.0.0-rc.1", None),
        ("3.1.0", None),
    ],
)
def test_balance_interval_has_another_lever_in_almost_every_line(
    version: str, expected: tuple[str, bool] | None
) -> None:
    assert lever_of(Intent.BALANCE_INTERVAL, version) == expected


@pytest.mark.parametrize(
    ("version", "acts"),
    [
        ("2.3.5", True),
        ("2.3.21", True),
        ("2.4.0", False),
        ("2.6.22", False),
        ("2.6.23", True),
        ("3.0.0", False),
        ("3.0.1", True),
    ],
)
def test_balance_tolerance_acts_only_where_it_was_mended(version: str, *, acts: bool) -> None:
    found = lever_of(Intent.BALANCE_TOLERANCE, version)
    assert found == (("queryCoord.scoreUnbalanceTolerationFactor", True) if acts else None)


@pytest.mark.parametrize(
    ("version", "acts"),
    [("2.2.16", False), ("2.3.0", True), ("2.3.5", True), ("2.6.20", True), ("3.0.1", True), ("3.1.0", False)],
)
def test_staleness_is_one_live_key_in_all_known_versions(version: str, *, acts: bool) -> None:
    assert lever_of(Intent.STALENESS, version) == (("common.gracefulTime", True) if acts else None)


def test_a_missing_lever_names_the_nearest() -> None:
    found = find_lever(Intent.BALANCE_TOLERANCE, ServerVersion(2, 5, 27))
    assert isinstance(found, NoLever)
    assert "milvus#52092" in found.reason
    assert "reverseUnBalanceTolerationFactor" in found.nearest


@pytest.mark.parametrize("intent", list(Intent))
def test_ranges_of_an_intent_do_not_overlap_and_each_rests_on_evidence(intent: Intent) -> None:
    levers = levers_of(intent)
    assert levers
    assert all(lever.since < lever.until and lever.evidence for lever in levers)
    assert all(left.until <= right.since for left, right in pairwise(levers))


@pytest.mark.parametrize("intent", list(Intent))
def test_no_lever_is_a_key_that_nobody_reads(intent: Intent) -> None:
    dead = {"querycoordbalanceintervalseconds", "querycoordmemoryusagemaxdifferencepercentage"}
    assert dead.isdisjoint(normalised(lever.key) for lever in levers_of(intent))


@pytest.mark.parametrize(
    ("conversion", "number", "text"),
    [
        (Conversion.SECONDS_TO_MILLISECONDS, 60, "60000"),
        (Conversion.MILLISECONDS, 0, "0"),
        (Conversion.MILLISECONDS, 5000, "5000"),
        (Conversion.PERCENT, 90, "90"),
        (Conversion.PERCENT_TO_RATIO, 5, "0.05"),
        (Conversion.PERCENT_TO_RATIO, 100, "1"),
        (Conversion.PERCENT_TO_RATIO, 10, "0.1"),
        (Conversion.SWITCH, 0, "false"),
        (Conversion.SWITCH, 1, "true"),
        (Conversion.SECONDS, 5, "5"),
        (Conversion.BYTES, 67108864, "67108864"),
        (Conversion.NUMBER, 10, "10"),
        (Conversion.DURATION_MILLISECONDS, 200, "200ms"),
    ],
)
def test_the_number_of_an_intent_becomes_the_text_of_the_key(conversion: Conversion, number: int, text: str) -> None:
    assert conversion.text(number) == text


@pytest.mark.parametrize(
    ("conversion", "left", "right", "same"),
    [
        pytest.param(Conversion.SWITCH, "F", "false", True, id="Go's booleans"),
        pytest.param(Conversion.SWITCH, "no", "off", False, id="texts that are no boolean"),
        pytest.param(Conversion.PERCENT_TO_RATIO, "0.050", "0.05", True, id="trailing zero"),
        pytest.param(Conversion.PERCENT, "90", "91", False, id="another number"),
        pytest.param(Conversion.MILLISECONDS, "05000", "5000", True, id="leading zero"),
        pytest.param(Conversion.MILLISECONDS, "5000", "5", False, id="milliseconds are not seconds"),
        pytest.param(Conversion.PERCENT, "ninety", "neunzig", False, id="no numbers"),
        pytest.param(Conversion.DURATION_MILLISECONDS, "200ms", "0.2s", True, id="another unit"),
        pytest.param(Conversion.DURATION_MILLISECONDS, "1m30s", "90s", True, id="two units"),
        pytest.param(Conversion.DURATION_MILLISECONDS, "200ms", "200s", False, id="milliseconds are no seconds"),
        pytest.param(Conversion.DURATION_MILLISECONDS, "200", "200 ms", False, id="texts that are no duration"),
        pytest.param(Conversion.WORD, "look_aside", "round_robin", False, id="another word"),
    ],
)
def test_values_are_compared_as_milvus_reads_them(conversion: Conversion, left: str, right: str, *, same: bool) -> None:
    assert conversion.same(left, right) is same


def test_a_word_is_the_text_that_its_lever_says() -> None:
    found = find_lever(Intent.ROUTING, ServerVersion(2, 3, 5))
    assert isinstance(found, Lever)
    assert (found.text("LeastLoaded"), found.text("RoundRobin"), found.text("Fastest")) == (
        "look_aside",
        "round_robin",
        None,
    )
    with pytest.raises(ValueError, match="words are the lever's own"):
        found.text(1)


@given(st.integers(min_value=1, max_value=100))
def test_a_ratio_is_exact(percent: int) -> None:
    assert float(Conversion.PERCENT_TO_RATIO.text(percent)) == percent / 100


def test_a_key_has_one_stored_spelling() -> None:
    assert config_key("by-dev", "queryCoord.autoBalance") == "by-dev/config/querycoord.autobalance"
    assert normalised("queryCoord/auto_Balance") == normalised("querycoord.autobalance") == "querycoordautobalance"
