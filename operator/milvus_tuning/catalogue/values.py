"""Whether a value is what Milvus can read and may be given. Milvus itself takes a wrong type silently as 0 or false.

A duration is Go's, with a unit on each number; a size is a whole number, alone or with k, m or g. Both are compared as
one number: `amount` of 1h30m is 5400000 (milliseconds), of 16M 16777216 (bytes).
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from milvus_tuning.catalogue.registry import ConfigKey, Range, ValueType
from milvus_tuning.catalogue.version import ServerVersion

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})  # Go's strconv.ParseBool
_BOOLEANS = _TRUE | {"0", "f", "F", "FALSE", "false", "False"}
_INT = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_DURATION = re.compile(rf"[+-]?(?:{_PART.pattern})+|[+-]?0")
_SIZE = re.compile(r"([0-9]+)(?:([kKmMgG])[bB]?)?")  # a fraction is 0 to Milvus (ParamItem.GetAsSize)
_TIME_UNITS = frozenset({"s", "ms", "min"})
_MILLISECONDS = {
    "ns": Decimal("0.000001"),
    "us": Decimal("0.001"),
    "µs": Decimal("0.001"),
    "ms": Decimal(1),
    "s": Decimal(1000),
    "m": Decimal(60_000),
    "h": Decimal(3_600_000),
}
_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

_EXPECTED = {
    ValueType.BOOL: "true or false",
    ValueType.INT: "a whole number",
    ValueType.FLOAT: "a number",
    ValueType.DURATION: "a duration with its unit, such as 200ms, 10s or 5m",
    ValueType.SIZE: "a size in whole numbers, such as 16777216 or 16M",
    ValueType.STRING: "a text",
}
_TAKEN_FOR = {
    ValueType.BOOL: "false",
    ValueType.INT: "0",
    ValueType.FLOAT: "0",
    ValueType.SIZE: "0",
    ValueType.DURATION: "the default",
}


def type_error(key: ConfigKey, text: str) -> str | None:
    """What is wrong with the type of a value; None where Milvus reads it. An empty value is the default."""
    if text == "" or _readable(key, text):
        return None
    silent = _TAKEN_FOR.get(key.type)
    taken = f"; Milvus takes it silently for {silent}" if silent else ""
    unit = f" of {key.unit}" if key.unit and key.type in {ValueType.INT, ValueType.FLOAT} else ""
    return f"{text!r} is not {_EXPECTED[key.type]}{unit}{taken}"


def range_error(key: ConfigKey, text: str, version: ServerVersion) -> str | None:
    """What is wrong with a value of the right type; None where it is in range, or no range is known."""
    if text == "" or key.range is None:
        return None
    if key.range.choices is not None:
        wrong = _choice_error(key.range, text, version)
    else:
        wrong = _bound_error(key, key.range, text)
    return f"{wrong}: {key.range.harm}" if wrong and key.range.harm else wrong


def amount(kind: ValueType, text: str) -> Decimal | None:
    """A value as one number to compare: milliseconds of a duration, bytes of a size; None where it is no number."""
    match kind:
        case ValueType.DURATION:
            return _milliseconds(text)
        case ValueType.SIZE:
            size = _SIZE.fullmatch(text)
            return Decimal(int(size[1]) * _BYTES[(size[2] or "").lower()]) if size and len(text) < 30 else None
        case ValueType.INT | ValueType.FLOAT:
            return _decimal(text)
        case _:
            return None


def same(kind: ValueType, left: str, right: str) -> bool:
    """Whether Milvus reads the same from both: "0.050" is 0.05, 1m is 60s, "F" is false."""
    if left == right:
        return True
    if kind is ValueType.BOOL:
        return {left, right} <= _BOOLEANS and (left in _TRUE) is (right in _TRUE)
    numbers = amount(kind, left), amount(kind, right)
    return numbers[0] is not None and numbers[0] == numbers[1]


def shown(kind: ValueType, number: Decimal) -> str:
    """A bound as a person writes it: 1000 milliseconds of a duration is 1s."""
    if kind is ValueType.DURATION:
        unit = next(unit for unit in ("h", "m", "s", "ms") if number % _MILLISECONDS[unit] == 0 or unit == "ms")
        return f"{(number / _MILLISECONDS[unit]).normalize():f}{unit}"
    if kind is ValueType.SIZE:
        unit = next(unit for unit in ("g", "m", "k", "") if number % _BYTES[unit] == 0)
        return f"{(number / _BYTES[unit]).normalize():f}{unit.upper()}"
    return f"{number:f}"


def _bound_error(key: ConfigKey, limits: Range, text: str) -> str | None:
    number = amount(key.type, text)
    low, high = limits.minimum, limits.maximum
    if number is None or ((low is None or low <= number) and (high is None or number <= high)):
        return None
    unit = f" {key.unit}" if key.unit not in {"", "ratio"} else ""
    words = [shown(key.type, bound) for bound in (low, high) if bound is not None]
    if low is None or high is None:
        bound = f"at {'least' if low is not None else 'most'} {words[0]}"
    else:
        bound = f"{words[0]} to {words[1]}"
    return f"{text} is out of range, {bound}{unit}"


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


def _milliseconds(text: str) -> Decimal | None:
    if _DURATION.fullmatch(text) is None:
        return None
    total = sum((Decimal(number) * _MILLISECONDS[unit] for number, unit in _PART.findall(text)), Decimal(0))
    return -total if text.startswith("-") else total


def _decimal(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
