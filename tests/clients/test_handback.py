"""The record beside a key: what it says is read again, also where an older version wrote it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from milvus_tuning.clients.etcd import EtcdEntry, EtcdError
from milvus_tuning.clients.handback import HandBack, parse_record

KEY, NOON = "proxy.maxtasknum", datetime(2026, 1, 1, 12, tzinfo=UTC)


def an_entry(text: str) -> EtcdEntry:
    return EtcdEntry(
        key="by-dev/milvustuning/policy-1/handback/proxymaxtasknum", value=text, mod_revision=7, lease_id=9
    )


@pytest.mark.parametrize("written_at", [NOON, None], ids=["with its time", "without"])
@pytest.mark.parametrize(("previous", "written"), [(None, "512"), ("1024", None)], ids=["set", "removed"])
def test_a_record_is_read_as_it_was_written(
    previous: str | None, written: str | None, written_at: datetime | None
) -> None:
    record = HandBack(key=KEY, previous=previous, written=written, lease_id=9, written_at=written_at)
    assert parse_record(an_entry(record.text())) == record


def test_a_record_of_an_older_version_has_no_time() -> None:
    found = parse_record(an_entry('{"key": "proxy.maxtasknum", "value": null, "written": "512"}'))
    assert (found.owned.written, found.owned.written_at) == ("512", None)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("scribble", id="no JSON"),
        pytest.param('{"key": "proxy.maxtasknum"}', id="parts are missing"),
        pytest.param('{"key": "a", "value": null, "written": "1", "writtenAt": "noon"}', id="no time"),
        pytest.param('{"key": "a", "value": null, "written": "1", "writtenAt": 12}', id="a number for the time"),
    ],
)
def test_what_is_no_record_is_not_guessed_at(text: str) -> None:
    with pytest.raises(EtcdError, match="no hand-back record of ours"):
        parse_record(an_entry(text))
