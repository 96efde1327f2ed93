"""Whether a value is what Milvus can read and may be given. Milvus itself takes a wrong type silently as 0 or false."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from milvus_tuning.catalogue.registry import ConfigKey, Range, ValueType
from milvus_tuning.catalogue.version import ServerVersion

_BOOLEANS = frozenset({"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"})
_INT = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DURATION = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h))+|[+-]?\d+")
_SIZE = re.compile(r"\d+(\.\d+)?([kKmMgGtT]?[bB]?)")
_TIME_UNITS = frozenset({"s", "ms", "min"})

_EXPECTED = {
    ValueType.BOOL: "true or false",
    ValueType.INT: "a whole number",
    ValueType.FLOAT: "a number",
    ValueType.DURATION: "a duration such as 200ms, 10s or 5m",
    ValueType.SIZE: "a size such as 16777216 or 16M",
    ValueType.STRING: "a text",
}


def type_error(key: ConfigKey, text: str) -> str | None:
    """What is wrong with the type of a value; None where Milvus reads it. An empty value is the default."""
    if text == "" or _readable(key, text):
        return None
    silent = {ValueType.BOOL: "false", ValueType.INT: "0", ValueType.FLOAT: "0"}.get(key.type)
    taken = f"; Milvus takes it silently for {silent}" if silent else ""
    unit = f" of {key.unit}" if key.unit and key.type in {ValueType.INT, ValueType.FLOAT} else ""
    return f"{text!r} is not {_EXPECTED[key.type]}{unit}{taken}"


def range_error(key: ConfigKey, text: str, version: ServerVersion) -> str | None:
    """What is wrong with a value of the right type; None where it is in range, or no range is known."""
    if text == "" or key.range is None:
        return None
    if key.range.choices is not None:
        return _choice_error(key.range, text, version)
    number = _decimal(text)
    low, high = key.range.minimum, key.range.maximum
    if number is None or ((low is None or low <= number) and (high is None or number <= high)):
        return None
    unit = f" {key.unit}" if key.unit not in {"", "ratio"} else ""
    if low is None or high is None:
        bound = f"at least {low}" if low is not None else f"at most {high}"
    else:
        bound = f"between {low} and {high}"
    return f"{text} is out of range: {bound}{unit}"


def _choice_error(limits: Range, text: str, version: ServerVersion) -> str | None:
    known = limits.choices or {}
    words = [word for word, since in known.items() if since is None or since <= version]
    if text in words:
        return None
    if text in known:
        return f"{text} is known from {known[text]} only; {version} has {', '.join(words)}"
    return f"{text!r} is none of {', '.join(words)}"


def _readable(key: ConfigKey, text: str) -> bool:
    match key.type:
        case ValueType.BOOL:
            return text in _BOOLEANS
        case ValueType.INT:
            pattern = _NUMBER if key.unit in _TIME_UNITS else _INT  # times are parsed as fractions, too
            return pattern.fullmatch(text) is not None
        case ValueType.FLOAT:
            return _NUMBER.fullmatch(text) is not None
        case ValueType.DURATION:
            return _DURATION.fullmatch(text) is not None
        case ValueType.SIZE:
            return _SIZE.fullmatch(text) is not None
        case ValueType.STRING:
            return True


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None
