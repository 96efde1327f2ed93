"""Numbers as people read them."""

import pytest

from milvus_tuning.decide.words import listed, percent, seconds, size


@pytest.mark.parametrize(
    ("count_bytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (120 * 2**20, "120 MiB"), (5 * 2**40, "5.0 TiB")],
)
def test_size(count_bytes: int, text: str) -> None:
    assert size(count_bytes) == text


def test_ratios_and_durations() -> None:
    assert (percent(0.714), percent(None), seconds(90.4)) == ("71 %", "unknown", "90 s")


def test_long_lists_are_cut() -> None:
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
