"""The books of a run: every request is entered when due and again when its reply came, and cut into Seconds."""

import itertools
from collections import Counter

from tests.load.latency import Histogram
from tests.load.report import Second

TIMEOUT = "DEADLINE_EXCEEDED"


class Tally:
    """Counts since the last cut, and the requests in flight. All times are seconds since the start of the run."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._in_flight: dict[int, tuple[float, float]] = {}  # number -> (due, sent); the oldest comes first
        self._cut_seconds = 0.0
        self._start_interval()

    def _start_interval(self) -> None:
        self._counts: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._latencies_ms: list[float] = []
        self._services_ms: list[float] = []

    @property
    def in_flight(self) -> int:
        """Requests sent whose reply has not come."""
        return len(self._in_flight)

    def drop(self) -> None:
        """A request was due and not sent."""
        self._counts.update(("offered", "dropped"))

    def send(self, *, due_seconds: float, sent_seconds: float) -> int:
        """A request goes out; gives the number to finish it by."""
        number = next(self._numbers)
        self._in_flight[number] = (due_seconds, sent_seconds)
        self._counts.update(("offered", "sent"))
        return number

    def finish(self, number: int, *, error: str | None, at_seconds: float) -> None:
        """The reply came; `error` is None for a good one."""
        due_seconds, sent_seconds = self._in_flight.pop(number)
        if error is None:
            self._counts["ok"] += 1
        else:
            self._counts["failed"] += 1
            self._errors[error] += 1
        if error in {None, TIMEOUT}:
            self._latencies_ms.append((at_seconds - due_seconds) * 1000)
            self._services_ms.append((at_seconds - sent_seconds) * 1000)

    def has_news(self, *, at_seconds: float) -> bool:
        """Whether a cut now would say anything."""
        return at_seconds > self._cut_seconds or bool(self._counts)

    def cut(self, *, at_seconds: float, unix_seconds: float, cpu_seconds: float) -> Second:
        """Close the interval; `cpu_seconds` is what this process used in it."""
        oldest = next(iter(self._in_flight.values()), None)
        second = Second(
            t=round(at_seconds, 3),
            unix=round(unix_seconds, 3),
            interval_seconds=round(at_seconds - self._cut_seconds, 6),
            in_flight=self.in_flight,
            oldest_in_flight_ms=None if oldest is None else round((at_seconds - oldest[0]) * 1000, 3),
            client_cpu_ms=round(cpu_seconds * 1000, 3),
            errors=dict(self._errors),
            latency=Histogram.of(self._latencies_ms),
            service=Histogram.of(self._services_ms),
            **self._counts,
        )
        self._cut_seconds = at_seconds
        self._start_interval()
        return second
