"""Reading of objects as they are stored, whatever version wrote them: what is of another type is as good as absent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

from milvus_tuning.status import parse_time

Body: TypeAlias = Mapping[str, object]


def at(body: object, *path: str) -> object:
    """The value at this path of nested maps, or None."""
    found = body
    for name in path:
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def text(body: object, *path: str) -> str:
    """A scalar as text; "" where there is none."""
    found = at(body, *path)
    return "" if found is None or isinstance(found, Mapping | list) else str(found)


def number(body: object, *path: str) -> int | None:
    """A whole number, or None."""
    found = at(body, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def moment(body: object, *path: str) -> datetime | None:
    """A time, or None where there is none that can be read."""
    try:
        return parse_time(text(body, *path))
    except ValueError:
        return None


def mapping(body: object, *path: str) -> Body:
    """A map; an empty one where there is none."""
    found = at(body, *path)
    return found if isinstance(found, Mapping) else {}


def entries(body: object, *path: str) -> list[Body]:
    """The maps of a list; an empty one where there is none."""
    found = at(body, *path)
    return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []


def words(body: object, *path: str) -> list[str]:
    """The texts of a list; an empty one where there is none."""
    found = at(body, *path)
    return [str(entry) for entry in found if isinstance(entry, str | int)] if isinstance(found, list) else []


def name(body: Body) -> str:
    """The object's name."""
    return text(body, "metadata", "name")
