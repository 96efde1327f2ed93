"""A pause, by the spec or by an annotation that ends by itself."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.decide.proposing.pause import PAUSED_UNTIL, pause
from tests.builders import NOON, a_spec

RUNNING, PAUSED = a_spec(), a_spec(paused=True)


@pytest.mark.parametrize(
    ("spec", "until", "expected"),
    [
        pytest.param(RUNNING, None, None, id="nothing pauses"),
        pytest.param(PAUSED, None, "spec.paused is true", id="the spec"),
        pytest.param(PAUSED, "2026-01-05T11:00:00Z", "spec.paused is true", id="the spec, with an expired annotation"),
        pytest.param(RUNNING, "2026-01-05T12:00:01Z", "says 2026-01-05T12:00:01Z", id="the annotation, a second more"),
        pytest.param(RUNNING, "2026-01-05T12:00:00Z", None, id="the annotation, expired just now"),
        pytest.param(RUNNING, "2026-01-05T12:30:00+01:00", None, id="its offset counts: half an hour ago"),
        pytest.param(RUNNING, "2026-01-05T11:30:00-01:00", "says 2026", id="its offset counts: in half an hour"),
        pytest.param(RUNNING, "2026-01-05t12:00:00.5z", "says 2026", id="fractions and small letters"),
        pytest.param(RUNNING, "2025-01-05T12:00:00.123456789Z", None, id="nanoseconds, as Kubernetes may write them"),
    ],
)
def test_a_pause_is_said_in_words(spec: MilvusTuningSpec, until: str | None, expected: str | None) -> None:
    annotations = {"other": "x"} if until is None else {"other": "x", PAUSED_UNTIL: until}

    words = pause(spec, annotations, NOON)

    assert words == expected if expected is None else expected in (words or "")


@pytest.mark.parametrize(
    "until",
    [
        pytest.param("", id="empty"),
        pytest.param("true", id="a switch"),
        pytest.param("tomorrow", id="a word"),
        pytest.param("2020-01-05", id="a day without a time"),
        pytest.param("2020-01-05T12:00:00", id="no zone: whose noon?"),
        pytest.param("2020-01-05 12:00:00Z", id="a blank for the T"),
        pytest.param("20200105T120000Z", id="the basic format of ISO 8601"),
        pytest.param("2020-13-05T12:00:00Z", id="a thirteenth month"),
        pytest.param("2020-01-05T24:30:00Z", id="an hour too many"),
        pytest.param("2020-01-05T12:00:00Z\n", id="a line feed"),
    ],
)
def test_what_cannot_be_read_pauses_and_says_how_to_write_it(until: str) -> None:
    words = pause(RUNNING, {PAUSED_UNTIL: until}, NOON)

    assert words == (
        f"annotation milvustuning.io/paused-until says {until!r}, which is no time: paused until it is mended; write "
        "an RFC 3339 time such as 2026-01-05T18:00:00Z, or remove it"
    )


def test_of_a_long_value_only_the_beginning_is_said() -> None:
    words = pause(RUNNING, {PAUSED_UNTIL: "x" * 250_000}, NOON)

    assert words is not None
    assert len(words) < 300


@given(st.text())
def test_no_annotation_brings_the_operator_down(until: str) -> None:
    words = pause(RUNNING, {PAUSED_UNTIL: until}, NOON)

    assert words is not None
    assert len(words) < 600


@given(st.timedeltas(timedelta(days=-1000), timedelta(days=1000)))
def test_the_annotation_pauses_until_its_moment(ahead: timedelta) -> None:
    until = (NOON + ahead).isoformat()

    assert (pause(RUNNING, {PAUSED_UNTIL: until}, NOON) is not None) is (ahead > timedelta(0))
