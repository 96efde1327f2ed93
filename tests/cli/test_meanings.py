"""A reason means the same on the command line and in docs/operations.md."""

from __future__ import annotations

import re
from pathlib import Path

from milvus_tuning.cli.meanings import MEANINGS, Meaning, meaning
from milvus_tuning.plan import Reason

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
ROW = re.compile(r"^\| `([A-Z]\w+)` \| (.*?) \| (.*?) \|$", re.MULTILINE)


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Reason)


def test_the_meanings_are_those_of_the_documentation() -> None:
    rows = ROW.findall(OPERATIONS.read_text(encoding="utf-8"))
    assert {reason.value: tuple(said) for reason, said in MEANINGS.items()} == {row[0]: row[1:] for row in rows}


def test_a_terminal_shows_no_backticks() -> None:
    assert meaning("CooldownActive") == Meaning("the last change was a short while ago", "wait; cooldownSeconds")


def test_a_reason_of_another_version_has_no_meaning() -> None:
    assert meaning("ReasonOfTomorrow") is None
