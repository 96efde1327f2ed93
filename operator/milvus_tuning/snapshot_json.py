"""The one JSON form of a Snapshot: recording, replay, support bundles.

    {"format": 1, "taken_at": "2026-01-31T12:00:00+00:00", "workload": {"kind": "Deployment", ...}, ...}

Field names are those of `snapshot`; times are ISO 8601 with offset, enums their value, a missing number is null. A
field that is absent has its default, so a recording of an older version is still read; a field that is unknown is an
error, so a recording of a newer one is not read as something else.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, cast

from milvus_tuning.snapshot import Snapshot

FORMAT: Final = 1
_FORMAT_KEY: Final = "format"


def dump_snapshot(snapshot: Snapshot) -> dict[str, Any]:
    """The JSON form; `json.dumps` takes it as it is."""
    form: dict[str, Any] = _dump(snapshot)
    return {_FORMAT_KEY: FORMAT} | form


def load_snapshot(form: Mapping[str, Any]) -> Snapshot:
    """The snapshot of a JSON form; ValueError where it is none, with the path to what is wrong."""
    version = form.get(_FORMAT_KEY)
    if version != FORMAT:
        raise ValueError(f"a snapshot of format {version!r}; this version reads format {FORMAT}")
    rest = {name: value for name, value in form.items() if name != _FORMAT_KEY}
    return cast("Snapshot", _load(Snapshot, rest, "snapshot"))


def _dump(value: object) -> Any:  # noqa: ANN401
    if dataclasses.is_dataclass(value):
        return {field.name: _dump(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _dump(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_dump(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value.value if isinstance(value, enum.Enum) else value


def _load(kind: Any, form: Any, path: str) -> object:  # noqa: ANN401
    """The value of a type from its JSON form."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return None if form is None else _load(_only(parts), form, path)
    if origin is tuple:
        return _load_tuple(parts, _checked(form, list, path), path)
    if origin is Mapping:
        entries = _checked(form, dict, path)
        return {key: _load(parts[1], item, f"{path}.{key}") for key, item in entries.items()}
    if dataclasses.is_dataclass(kind):
        return _load_fields(kind, _checked(form, dict, path), path)
    return _load_plain(kind, form, path)


def _load_tuple(parts: tuple[Any, ...], items: list[Any], path: str) -> tuple[object, ...]:
    if len(parts) == 2 and parts[1] is ...:
        return tuple(_load(parts[0], item, f"{path}[{index}]") for index, item in enumerate(items))
    if len(parts) != len(items):
        raise ValueError(f"{path}: {len(parts)} items expected, {len(items)} found")
    return tuple(
        _load(part, item, f"{path}[{index}]") for index, (part, item) in enumerate(zip(parts, items, strict=True))
    )


def _load_fields(kind: Any, form: dict[str, Any], path: str) -> object:  # noqa: ANN401
    hints = typing.get_type_hints(kind)
    names = {field.name for field in dataclasses.fields(kind)}
    unknown = sorted(form.keys() - names)
    if unknown:
        raise ValueError(f"{path}: unknown field {unknown[0]!r}")
    try:
        return kind(**{name: _load(hints[name], item, f"{path}.{name}") for name, item in form.items()})
    except TypeError as error:
        raise ValueError(f"{path}: {error}") from error


def _load_plain(kind: Any, form: Any, path: str) -> object:  # noqa: ANN401
    try:
        if kind is datetime:
            return datetime.fromisoformat(form)
        if issubclass(kind, enum.Enum):
            return kind(form)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    if kind is float:
        return float(_checked(form, (int, float), path))
    return _checked(form, kind, path)


def _checked(form: Any, kind: Any, path: str) -> Any:  # noqa: ANN401
    """The form itself when it is of this type; true and false are no numbers here."""
    wrong_boolean = isinstance(form, bool) and kind is not bool
    if wrong_boolean or not isinstance(form, kind):
        raise ValueError(f"{path}: {form!r} is not what belongs here")
    return form


def _only(parts: tuple[Any, ...]) -> Any:  # noqa: ANN401
    """The type in `X | None`."""
    return next(part for part in parts if part is not types.NoneType)
