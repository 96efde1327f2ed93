"""Objects of the API server as plain maps: what stands at a path, and a map that says one thing at a path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Tree = Mapping[str, Any]


def tree_at(tree: Tree, *path: str) -> Tree:
    """The mapping at a path; an empty one where any part is missing, or is none."""
    at: Any = tree
    for name in path:
        at = at.get(name) if isinstance(at, Mapping) else None
    return at if isinstance(at, Mapping) else {}


def nested(path: Sequence[str], value: object) -> dict[str, Any]:
    """The value at a path of one name or more: ("a", "b") and 1 become {"a": {"b": 1}}."""
    inner = value if len(path) == 1 else nested(path[1:], value)
    return {path[0]: inner}
