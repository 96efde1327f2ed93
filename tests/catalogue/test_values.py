"""Values as numbers: what Milvus reads as the same, and bounds as a person writes them."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milvus_tuning.catalogue.registry import ValueType
from milvus_tuning.catalogue.values import amount, same, shown

DURATION, SIZE, INT, FLOAT, BOOL, STRING = (
    ValueType(kind) for kind in ("duration", "size", "int", "float", "bool", "string")
)


@pytest.mark.parametrize(
    ("kind", "text", "number"),
    [
        (DURATION, "200ms", 200),
        (DURATION, "1h30m", 5_400_000),
        (DURATION, "1.5s", 1500),
        (DURATION, "-1m", -60_000),
        (DURATION, "0", 0),
        (DURATION, "5", None),  # Go asks for a unit
        (DURATION, "5 s", None),
        (SIZE, "16777216", 16_777_216),
        (SIZE, "16M", 16_777_216),
        (SIZE, "2gb", 2_147_483_648),
        (SIZE, "1.5G", None),  # Milvus parses what stands before the unit as a whole number
        (SIZE, "1T", None),
        (INT, "60000", 60_000),
        (INT, "\u0663", 3),  # readable is another question
        (FLOAT, "0.050", Decimal("0.05")),
        (FLOAT, "NaN", None),
        (STRING, "5", None),
    ],
)
def test_a_value_as_a_number(kind: ValueType, text: str, number: Decimal | int | None) -> None:
    assert amount(kind, text) == number


@pytest.mark.parametrize(
    ("kind", "left", "right", "alike"),
    [
        (BOOL, "true", "T", True),
        (BOOL, "f", "0", True),
        (BOOL, "true", "false", False),
        (BOOL, "yes", "true", False),  # Milvus reads false
        (FLOAT, "0.050", ".05", True),
        (DURATION, "60s", "1m", True),
        (SIZE, "16M", "16777216", True),
        (STRING, "1", "01", False),
    ],
)
def test_what_milvus_reads_as_the_same(kind: ValueType, left: str, right: str, alike: bool) -> None:
    assert same(kind, left, right) is alike


@settings(max_examples=60)
@given(st.sampled_from([DURATION, SIZE, INT]), st.integers(0, 10**13))
def test_a_bound_that_is_shown_is_that_bound(kind: ValueType, number: int) -> None:
    assert amount(kind, shown(kind, Decimal(number))) == number
