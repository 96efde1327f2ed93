"""Where text goes: the width of the terminal, and documents for programs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping

import yaml

from milvus_tuning.cli.layout import fit

WIDTH_WITHOUT_TERMINAL = 120


def print_document(document: Mapping[str, object], output: str) -> None:
    """Print for a program: output is json or yaml."""
    if output == "json":
        print(json.dumps(document, indent=2))
    else:
        print(yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True), end="")


def screen_width() -> int:
    """The width to write for."""
    return fit(shutil.get_terminal_size((WIDTH_WITHOUT_TERMINAL, 24)).columns)
