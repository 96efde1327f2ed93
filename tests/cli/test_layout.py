"""Text for a terminal: nothing runs over the edge but what cannot be broken."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.cli import layout
from tests.cli.objects import NOW

WORDS = st.lists(st.text("abcdefgh", min_size=1, max_size=12), max_size=40).map(" ".join)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172_799, "47h"), (172_800, "2d")],
)
def test_an_age_has_one_unit(seconds: int, said: str) -> None:
    assert layout.age(NOW - timedelta(seconds=seconds), NOW) == said


@pytest.mark.parametrize(
    ("minutes", "said"),
    [(-3, "3m ago (2026-01-05T11:57:00Z)"), (52, "in 52m (2026-01-05T12:52:00Z)"), (None, "")],
)
def test_a_time_is_told_from_now_and_in_utc(minutes: int | None, said: str) -> None:
    moment = None if minutes is None else NOW + timedelta(minutes=minutes)
    assert layout.when(moment, NOW) == said


def test_an_unknown_time_has_an_unknown_age() -> None:
    assert layout.age(None, NOW) == "unknown"


@given(rows=st.lists(st.tuples(st.text("ab", max_size=12), WORDS), max_size=5), width=st.integers(60, 160))
def test_a_table_stays_within_the_width_and_keeps_its_words(rows: list[tuple[str, str]], width: int) -> None:
    lines = layout.table(("FIRST", "LAST"), rows, width=width)
    assert all(len(line) <= width for line in lines)
    assert " ".join(lines).split() == [
        "FIRST",
        "LAST",
        *(word for row in rows for cell in row for word in cell.split()),
    ]


def test_a_last_column_without_room_goes_below_its_row() -> None:
    rows = [("x" * 50, "a message that is much too long for what is left beside it")]
    assert layout.table(("NAME", "MESSAGE"), rows, width=60) == [
        "NAME",
        "    MESSAGE",
        "x" * 50,
        "    a message that is much too long for what is left beside",
        "    it",
    ]


def test_what_is_to_be_copied_is_never_broken() -> None:
    line = "milvus-tuning approve " + "x" * 60 + " -n milvus"
    assert layout.facts([layout.Fact(label="do", text=line, verbatim=True)], width=60) == [f"  do   {line}"]


@pytest.mark.parametrize(("columns", "width"), [(20, 60), (80, 80), (500, 160)])
def test_the_width_has_bounds(columns: int, width: int) -> None:
    assert layout.fit(columns) == width
