"""The freeze that somebody sets by hand: an annotation with an end."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.decide.proposing.pause import FROZEN_UNTIL, PAUSED_UNTIL, frozen
from milvus_tuning.snapshot import FreezeReason

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "held"),
    [
        pytest.param("2026-01-31T12:00:01Z", True, id="a second to go"),
        pytest.param("2026-01-31T12:00:00Z", False, id="over at this moment"),
        pytest.param("2026-01-31T13:30:00+02:00", False, id="over, in another zone"),
        pytest.param("2026-01-31T07:30:00-05:00", True, id="to come, in another zone"),
        pytest.param("2026-01-31", True, id="a day is no moment"),
        pytest.param("2026-01-31T11:00:00", True, id="no zone"),
        pytest.param("", True, id="empty"),
        pytest.param("until the backup is done", True, id="words"),
    ],
)
def test_a_freeze_by_hand_holds_until_its_end_and_when_it_cannot_be_read(text: str, held: bool) -> None:
    freeze = frozen({FROZEN_UNTIL: text}, NOW)
    assert (freeze is not None) == held
    assert freeze is None or (freeze.reason, FROZEN_UNTIL in freeze.message) == (FreezeReason.FROZEN_BY_USER, True)


def test_no_annotation_and_another_annotation_freeze_nothing() -> None:
    assert frozen({}, NOW) is None
    assert frozen({PAUSED_UNTIL: "2026-12-31T00:00:00Z"}, NOW) is None


def test_a_value_that_is_no_time_is_answered_with_how_to_write_one() -> None:
    freeze = frozen({FROZEN_UNTIL: "tomorrow"}, NOW)
    assert freeze is not None
    assert freeze.message == (
        "annotation milvustuning.io/frozen-until says 'tomorrow', which is no time: frozen until it is mended; write "
        "an RFC 3339 time such as 2026-01-05T18:00:00Z, or remove it"
    )


@given(st.integers(min_value=-(10**6), max_value=10**6))
def test_any_time_holds_exactly_while_it_lies_ahead(seconds: int) -> None:
    until = (NOW + timedelta(seconds=seconds)).isoformat()
    assert (frozen({FROZEN_UNTIL: until}, NOW) is not None) == (seconds > 0)
