"""The environment is read once: each variable, what it may say, and what counts without it."""

from __future__ import annotations

import pytest

from milvus_tuning.settings import Settings, read_settings


def test_without_variables_the_defaults_count() -> None:
    assert read_settings({"PATH": "/bin"}) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        pytest.param("NAMESPACES", "a, b,", Settings(namespaces=("a", "b")), id="namespaces"),
        pytest.param("READ_ONLY", "True", Settings(read_only=True), id="a switch"),
        pytest.param("INTERVAL_SECONDS", "2.5", Settings(interval_seconds=2.5), id="seconds"),
        pytest.param("PLANS_KEPT_COUNT", "5", Settings(plans_kept_count=5), id="plans kept by count"),
        pytest.param("PLANS_KEPT_DAYS", "30", Settings(plans_kept_days=30), id="plans kept by age"),
    ],
)
def test_a_variable_sets(name: str, text: str, expected: Settings) -> None:
    assert read_settings({f"MILVUS_TUNING_{name}": text}) == expected
    assert expected != Settings()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        pytest.param("READ_ONLY", "maybe", "must be true or false, got 'maybe'", id="no switch"),
        pytest.param("PLANS_KEPT_COUNT", "many", "must be a positive number, got 'many'", id="no number"),
        pytest.param("PLANS_KEPT_DAYS", "0", "must be a positive number, got '0'", id="none at all"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_name(name: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"MILVUS_TUNING_{name} {message}"):
        read_settings({f"MILVUS_TUNING_{name}": text})
