"""keys.yaml as types. What cannot be read, or cannot be true, is a CatalogueError that names the key and the field."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import yaml

from milvus_tuning.catalogue.keys import normalised
from milvus_tuning.catalogue.loader import FAST_LOADER
from milvus_tuning.catalogue.registry import (
    LINES,
    Catalogue,
    CatalogueError,
    ConfigKey,
    Effect,
    EffectState,
    Evidence,
    Managed,
    NotAKey,
    Note,
    Range,
    Span,
    ValueType,
)
from milvus_tuning.catalogue.values import amount, range_error, type_error
from milvus_tuning.catalogue.version import ServerVersion, parse_version

_REQUIRED = frozenset({"subject", "type", "present", "defaults", "live", "component", "evidence"})
_FIELDS = _REQUIRED | {
    *("unit", "unsure", "earlier_defaults", "component_from_2_6", "fallbacks", "renamed", "range", "effects", "notes")
}
_Row = Mapping[str, Any]
_T = TypeVar("_T")


@cache
def catalogue() -> Catalogue:
    """The catalogue of this release; raises CatalogueError where the file is broken."""
    return read_catalogue(files("milvus_tuning.catalogue").joinpath("keys.yaml").read_text(encoding="utf-8"))


def read_catalogue(text: str) -> Catalogue:
    """The catalogue that a text of keys.yaml describes; raises CatalogueError where it is broken."""
    try:
        raw = yaml.load(text, Loader=FAST_LOADER)
        newest = {line: _version(version) for line, version in raw["newest"].items()}
        keys = _keys(raw["keys"], newest)
        return Catalogue(
            keys=keys,
            old_names=_old_names(keys),
            never={normalised(name): _not_a_key(name, row) for name, row in raw["never"].items()},
            managed=tuple(_managed(row) for row in raw["managed"]),
            sections=frozenset(name.lower() for name in raw["sections"]),
            outside=frozenset(name.lower() for name in raw["outside"]),
            unchecked=tuple(pattern.lower() for pattern in raw["unchecked"]),
            other=frozenset(normalised(name) for name in raw["other"]),
            read={line: _version(version) for line, version in raw["read"].items()},
            ran=_version(raw["ran"]),
            newest=newest,
        )
    except CatalogueError as error:
        raise CatalogueError(f"keys.yaml: {error}") from error
    except yaml.YAMLError as error:
        raise CatalogueError(f"keys.yaml is not YAML: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise CatalogueError(f"keys.yaml: a section is missing or has another form: {error}") from error


def _keys(raw: Mapping[str, _Row], newest: Mapping[str, ServerVersion]) -> dict[str, ConfigKey]:
    found: dict[str, ConfigKey] = {}
    for name, row in raw.items():
        try:
            key = _key(name, row)
            _check(key, newest)
        except KeyError as error:
            raise CatalogueError(f"{name}: the field {error} is missing") from error
        except (TypeError, AttributeError, ValueError) as error:
            raise CatalogueError(f"{name}: {error}") from error
        other = found.setdefault(normalised(name), key)
        if other is not key:
            raise CatalogueError(f"{name}: Milvus takes it and {other.name} for one key")
    return found


def _key(name: str, row: _Row) -> ConfigKey:
    unknown = set(row) - _FIELDS
    if unknown:
        raise CatalogueError(f"no field is called {', '.join(sorted(unknown))}")
    present = tuple(_span(text) for text in row["present"])
    live = row["live"]
    return ConfigKey(
        name=name,
        subject=row["subject"],
        type=_word(ValueType, row["type"], "type"),
        unit=row.get("unit", ""),
        present=present,
        unsure=tuple(_span(text) for text in row.get("unsure", ())),
        defaults=_defaults(row["defaults"]),
        earlier_defaults=tuple((_span(text), value) for text, value in row.get("earlier_defaults", {}).items()),
        live=(present if live else ()) if isinstance(live, bool) else tuple(_span(text) for text in live),
        component=row["component"],
        component_from_2_6=row.get("component_from_2_6", ""),
        evidence=_word(Evidence, row["evidence"], "evidence"),
        fallbacks=tuple(row.get("fallbacks", ())),
        renamed=row.get("renamed", ""),
        range=_range(row["range"], _word(ValueType, row["type"], "type")) if "range" in row else None,
        effects=tuple(_effect(effect) for effect in row.get("effects", ())),
        notes=tuple(Note(span=_span(note["in"]), text=note["text"]) for note in row.get("notes", ())),
    )


def _check(key: ConfigKey, newest: Mapping[str, ServerVersion]) -> None:
    """What the fields must be to each other."""
    if not key.present:
        raise CatalogueError("present is empty")
    for earlier, later in zip(key.present, key.present[1:], strict=False):
        if earlier.until is None or later.since < earlier.until:
            raise CatalogueError(f"present: the span from {later.since} begins inside the one before it")
    for line, default in key.defaults.items():
        version = newest[line]
        if not key.exists(version) and not any((v.since.major, v.since.minor) == _pair(line) for v in key.present):
            raise CatalogueError(f"defaults: {line} has one, and the key does not exist there")
        _check_default(key, default, version, f"defaults: {line}")
    for span, default in key.earlier_defaults:
        _check_default(key, default, span.since, f"earlier_defaults: {span.since}")


def _check_default(key: ConfigKey, default: str, version: ServerVersion, field: str) -> None:
    wrong = type_error(key, default) or range_error(key, default, version)
    if wrong:
        raise CatalogueError(f"{field}: {wrong}")


def _pair(line: str) -> tuple[int, int]:
    major, minor = line.split(".")
    return int(major), int(minor)


def _defaults(raw: Mapping[str, str]) -> dict[str, str]:
    for line, text in raw.items():
        if line not in LINES:
            raise CatalogueError(f"defaults: {line!r} is none of the lines {', '.join(LINES)}")
        if not isinstance(text, str):
            raise CatalogueError(f"defaults: {line}: {text!r} must be in quotes")
    return dict(raw)


def _range(row: _Row, kind: ValueType) -> Range:
    choices = {}
    for entry in row.get("choices", ()):
        word, _, since = entry.partition("@")
        choices[word] = _version(since) if since else None
    limits = Range(
        minimum=_bound(row, "minimum", kind),
        maximum=_bound(row, "maximum", kind),
        choices=choices or None,
        harm=row.get("harm", ""),
        evidence=_word(Evidence, row["evidence"], "range: evidence"),
    )
    if limits.minimum is not None and limits.maximum is not None and limits.minimum > limits.maximum:
        raise CatalogueError(f"range: the minimum {limits.minimum} is above the maximum {limits.maximum}")
    return limits


def _bound(row: _Row, name: str, kind: ValueType) -> Decimal | None:
    if name not in row:
        return None
    bound = amount(kind, str(row[name]))
    if bound is None:
        raise CatalogueError(f"range: the {name} {row[name]!r} is no {kind.value}")
    return bound


def _effect(row: _Row) -> Effect:
    return Effect(
        state=_word(EffectState, row["state"], "effects: state"),
        span=_span(row["in"]),
        reason=row["reason"],
        instead=tuple(row.get("instead", ())),
        evidence=_word(Evidence, row["evidence"], "effects: evidence"),
    )


def _not_a_key(name: str, row: _Row) -> NotAKey:
    return NotAKey(name=name, reason=row["reason"], instead=tuple(row["instead"]))


def _managed(row: _Row) -> Managed:
    patterns = tuple(pattern.lower() for pattern in row["keys"])
    return Managed(
        owner=row["owner"],
        patterns=patterns,
        names=frozenset(normalised(pattern) for pattern in patterns if "*" not in pattern),
        below=re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns if "*" in pattern) or "(?!)"),
    )


def _old_names(keys: Mapping[str, ConfigKey]) -> dict[str, str]:
    pairs = ((normalised(old), key.name) for key in keys.values() for old in key.fallbacks)
    return {old: name for old, name in pairs if old not in keys}


def _span(text: str) -> Span:
    since, dots, until = text.partition("..")
    if not dots:
        raise CatalogueError(f"{text!r} is not a span such as 2.4.23..2.5.0 or 2.5.3..")
    span = Span(_version(since), _version(until) if until else None)
    if span.until is not None and span.until <= span.since:
        raise CatalogueError(f"the span {text} ends before it starts")
    return span


def _version(text: str) -> ServerVersion:
    version = parse_version(text)
    if version is None:
        raise CatalogueError(f"{text!r} is not a version")
    return version


def _word(kind: Callable[[str], _T], text: str, field: str) -> _T:
    try:
        return kind(text)
    except ValueError as error:
        raise CatalogueError(f"{field}: {text!r} is not known") from error
