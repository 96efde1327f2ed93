"""A reason means the same on the command line and in docs/operations.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from milvus_tuning.cli.meanings import MEANINGS, Meaning, meaning
from milvus_tuning.plan import Reason

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
ROW = re.compile(r"^\| `([A-Z]\w+)` \| (.*?) \| (.*?) \|$", re.MULTILINE)


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Reason)


def test_the_meanings_are_those_of_the_documentation() -> None:
    rows = ROW.findall(OPERATIONS.read_text(encoding="utf-8"))
    assert {reason.value: tuple(said) for reason, said in MEANINGS.items()} == {row[0]: row[1:] for row in rows}


@pytest.mark.parametrize("reason", list(Reason))
def test_a_terminal_shows_no_markdown(reason: Reason) -> None:
    said = meaning(reason)
    assert said is not None
    assert [part for part in said if "`" in part or "](" in part] == []


def test_names_and_links_stay_as_text() -> None:
    assert meaning("CooldownActive") == Meaning("the last change was a short while ago", "wait; cooldownSeconds")
    frozen = meaning("Frozen")
    assert frozen is not None
    assert "(see Freezes)" in frozen.meaning


def test_a_reason_of_another_version_has_no_meaning() -> None:
    assert meaning("ReasonOfTomorrow") is None
