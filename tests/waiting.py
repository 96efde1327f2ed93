"""Waiting, in tests, for what comes in its own time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(probe: Callable[[], T | None], what: str, *, seconds: float = 60.0, every: float = 1.0) -> T:
    """The first true answer of the probe; AssertionError with what was awaited and the last answer when time is up."""
    end = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}; last: {answer!r}"
        time.sleep(every)
