"""What people read is complete: every reason, every series, and every file that is linked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from milvus_tuning.metrics import Metrics
from milvus_tuning.plan import Phase, Reason, Verdict

ROOT = Path(__file__).resolve().parents[1]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs/adr").glob("*.md")]
)
ROW = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)
REASON_ROW = re.compile(r"^\| `([A-Z][A-Za-z]+)` \|[^|]+\|[^|]+\|$", re.MULTILINE)  # three columns
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


def test_every_reason_says_what_to_do_about_it() -> None:
    rows = REASON_ROW.findall(OPERATIONS)
    assert sorted(rows) == sorted(reason.value for reason in Reason)


def test_every_series_is_listed() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    families = {family.name + ("_total" if family.type == "counter" else "") for family in registry.collect()}
    assert {name for name in ROW.findall(OPERATIONS) if name.startswith("milvus_")} == families


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def words_not_listed(words: Iterable[str], page: str) -> list[str]:
    """The words without a row of their own in the section about plans, in that order."""
    section = page.split("\n## Plans\n", maxsplit=1)[-1].split("\n## ", maxsplit=1)[0]
    return [word for word in words if word not in re.findall(r"^\| (\w+) \|", section, re.MULTILINE)]


@pytest.mark.parametrize("words", [Phase, Verdict], ids=["phases", "verdicts"])
def test_every_word_of_the_life_of_a_plan_is_explained(words: type[Phase] | type[Verdict]) -> None:
    assert words_not_listed(words, OPERATIONS) == []


def test_a_word_that_is_explained_nowhere_or_in_another_section_is_found() -> None:
    page = "# A page\n\n## Plans\n\n| Kept | all |\n\n## Metrics\n\n| Failed | none |\n"
    assert words_not_listed(["Kept", "Failed", "Stale"], page) == ["Failed", "Stale"]
