"""Since when the level of a collection can be changed."""

import pytest

from milvus_tuning.catalogue import level_is_fixed, parse_version


@pytest.mark.parametrize("text", ["v2.3.0", "v2.3.21", "v2.4.0", "v2.4.22", "v2.5.0-rc1", "v2.5.4", "v2.5.5-rc1"])
def test_before_it_is_fixed_and_the_reason_says_since_when_it_is_not(text: str) -> None:
    version = parse_version(text)
    assert version is not None
    why = level_is_fixed(version)
    assert why is not None
    assert str(version) in why
    assert "from 2.4.23 and from 2.5.5" in why


@pytest.mark.parametrize("text", ["v2.4.23", "v2.4.24", "v2.5.5", "v2.5.27", "v2.6.0-rc1", "v2.6.20", "v3.0.0"])
def test_from_then_on_it_can_be_changed(text: str) -> None:
    version = parse_version(text)
    assert version is not None
    assert level_is_fixed(version) is None
