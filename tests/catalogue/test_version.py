"""Versions of the server are read exactly, ordered as they were released, and never guessed."""

import pytest

from milvus_tuning.catalogue import ServerVersion, parse_version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        pytest.param("v2.3.5", ServerVersion(2, 3, 5), id="as 2.3 reports it"),
        pytest.param("2.6.20", ServerVersion(2, 6, 20), id="without the v"),
        pytest.param("2.4.0-rc1", ServerVersion(2, 4, 0, -1, 1), id="candidate"),
        pytest.param("v2.4.0-rc.1", ServerVersion(2, 4, 0, -1, 1), id="candidate with a dot"),
        pytest.param("v2.6.14-hotfix.1", ServerVersion(2, 6, 14, 1, 1), id="hotfix"),
        pytest.param("v2.3.5-gpu", ServerVersion(2, 3, 5), id="GPU build of the same code"),
        pytest.param("master-20240101-abcdef", None, id="main branch"),
        pytest.param("v2.6", None, id="patch missing"),
        pytest.param("2.6.20-acme", None, id="unknown suffix"),
        pytest.param("", None, id="empty"),
        pytest.param(None, None, id="not reported"),
    ],
)
def test_a_version_is_read_or_unknown(text: str | None, version: ServerVersion | None) -> None:
    assert parse_version(text) == version


def test_versions_are_ordered_as_they_were_released() -> None:
    released = [
        "2.3.5",
        "2.3.21",
        "2.4.0-rc.1",
        "2.4.0",
        "2.4.0-hotfix.1",
        "2.4.0-hotfix.2",
        "2.4.1",
        "2.10.0",
        "3.0.0",
    ]
    versions = [parse_version(text) for text in released]
    assert None not in versions
    assert sorted(versions, key=str) != versions  # as text the order would be another
    assert sorted(version for version in versions if version) == versions
    assert [str(version) for version in versions] == released
