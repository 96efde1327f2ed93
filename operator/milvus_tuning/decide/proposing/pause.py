"""Whether nothing new may be started: `spec.paused`, or one of two annotations that end by themselves.

    milvustuning.io/paused-until    as spec.paused, for a pause that must not be forgotten
    milvustuning.io/frozen-until    something goes on that the operator cannot see, such as a backup: a freeze, as it
                                    finds others itself, which also holds steps that have not begun yet

Both hold an RFC 3339 time. A value that cannot be read holds too, for somebody wanted a stop and a mistake in writing
must not start anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from milvus_tuning.api import GROUP, MilvusTuningSpec
from milvus_tuning.snapshot import Freeze, FreezeReason

PAUSED_UNTIL = f"{GROUP}/paused-until"
FROZEN_UNTIL = f"{GROUP}/frozen-until"
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_SHOWN_CHARACTERS = 64  # of a value that cannot be read; an annotation may hold 256 KiB


def pause(spec: MilvusTuningSpec, annotations: Mapping[str, str], now: datetime) -> str | None:
    """Why nothing new may be started now, or None."""
    if spec.paused:
        return "spec.paused is true"
    return _until(PAUSED_UNTIL, annotations, now, "paused")


def frozen(annotations: Mapping[str, str], now: datetime) -> Freeze | None:
    """The freeze that somebody set by hand, or None."""
    why = _until(FROZEN_UNTIL, annotations, now, "frozen")
    return None if why is None else Freeze(reason=FreezeReason.FROZEN_BY_USER, message=why)


def _until(name: str, annotations: Mapping[str, str], now: datetime, word: str) -> str | None:
    """What an annotation that holds the end of a stop says while it holds."""
    until = annotations.get(name)
    if until is None:
        return None
    try:
        over = _moment(until) <= now
    except ValueError:
        return (
            f"annotation {name} says {until[:_SHOWN_CHARACTERS]!r}, which is no time: {word} until it is "
            "mended; write an RFC 3339 time such as 2026-01-05T18:00:00Z, or remove it"
        )
    return None if over else f"annotation {name} says {until}"


def _moment(text: str) -> datetime:
    """The moment that an RFC 3339 time names; ValueError for anything else, a time without its zone included."""
    if not _RFC_3339.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text.upper())
