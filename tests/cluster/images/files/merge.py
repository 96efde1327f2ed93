"""Lay one YAML file over another: mappings are merged key by key, everything else is replaced.

    merge.py BASE OVERLAY        BASE is rewritten

Runs inside the Milvus image (Python 3.11, python3-yaml). Worked example: {a: {b: 1, c: 2}} with {a: {c: 3}} over it is
{a: {b: 1, c: 3}}. An overlay of comments alone changes nothing.
"""

import sys
from pathlib import Path
from typing import Any

import yaml


def merged(base: Any, overlay: Any) -> Any:
    """The overlay wins; None as a whole overlay (an empty document) leaves the base as it is."""
    if overlay is None:
        return base
    if not isinstance(base, dict) or not isinstance(overlay, dict):
        return overlay
    kept = {key: value for key, value in base.items() if key not in overlay}
    return kept | {key: merged(base.get(key), value) for key, value in overlay.items()}


def main(base: Path, overlay: Path) -> None:
    """Rewrite the base file with the overlay on top."""
    result = merged(yaml.safe_load(base.read_text()), yaml.safe_load(overlay.read_text()))
    base.write_text(yaml.safe_dump(result, sort_keys=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
