"""docs/benchmarks.md: each benchmark writes its own section and leaves the others."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"


def write_section(heading: str, text: str) -> None:
    """Put a section in the place of the one with this heading, or at the end."""
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Benchmarks\n"
    section = f"## {heading}\n\n{text.strip()}\n"
    former = re.compile(rf"^## {re.escape(heading)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    found = former.search(page)
    ahead, behind = (page[: found.start()], page[found.end() :]) if found else (f"{page.rstrip()}\n\n", "")
    page = f"{ahead}{section}\n{behind}"
    PAGE.write_text(f"{page.rstrip()}\n", encoding="utf-8")


def row(cells: Sequence[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def machine() -> str:
    """What it ran on."""
    return f"{platform.python_implementation()} {platform.python_version()} on {platform.machine()}."
