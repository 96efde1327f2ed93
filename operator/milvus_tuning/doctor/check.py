"""The result of one check: how it went, what was found, and what mends it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Result(enum.StrEnum):
    """warning: it works, but not for everything; failure: nothing can be decided or done like this."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """mend says what to do about a warning or failure; empty where all is well."""

    name: str
    result: Result
    message: str
    mend: str = ""


def ok(name: str, message: str) -> Check:
    """All is well."""
    return Check(name=name, result=Result.OK, message=message)


def warning(name: str, message: str, mend: str) -> Check:
    """It works, with a restriction."""
    return Check(name=name, result=Result.WARNING, message=message, mend=mend)


def failure(name: str, message: str, mend: str) -> Check:
    """It does not work."""
    return Check(name=name, result=Result.FAILURE, message=message, mend=mend)
