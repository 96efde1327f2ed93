"""Send searches by the clock, never by the replies.

A closed loop waits for a reply before it asks again, so a server that stalls for a second hides all the requests that
would have come in that second (coordinated omission). Here the schedule alone decides when a request goes out, and its
latency starts when it was due. The one brake is a bound on what may be in flight: what would exceed it is counted as
dropped. Requests are started from timer callbacks, several in one callback if the client itself came late.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tests.load.report import Second
from tests.load.schedule import Arrivals, Profile
from tests.load.tally import Tally


class Target(Protocol):
    """Where searches go. A search never raises for a failed reply: it gives the name of the error, None if good."""

    async def search(self, *, timeout_seconds: float) -> str | None:
        """One search, given up after the timeout."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds of a run; after `duration_seconds` nothing is sent and the replies in flight are awaited."""

    duration_seconds: float = math.inf
    timeout_seconds: float = 10.0
    max_in_flight: int = 512
    report_every_seconds: float = 1.0


class OpenLoop:
    """One run. The event loop's clock is the only clock, so a test can run it in virtual time."""

    def __init__(
        self,
        target: Target,
        arrivals: Arrivals,
        limits: Limits,
        *,
        report: Callable[[Second], None],
        start_unix_seconds: float,
    ) -> None:
        self._target, self._arrivals, self._limits, self._report = target, arrivals, limits, report
        self._start_unix_seconds = start_unix_seconds
        self._tally = Tally()
        self._replies: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._sending_over = asyncio.Event()
        self._start_seconds = 0.0

    async def run(self) -> None:
        """Send to the end of the schedule or until stopped, await what is in flight, report every interval."""
        self._loop = asyncio.get_running_loop()
        self._start_seconds = self._loop.time()
        reporter = asyncio.create_task(self._report_on())
        if not self._sending_over.is_set():
            self._set_timer()
        await self._sending_over.wait()
        await asyncio.gather(*self._replies)
        reporter.cancel()
        await asyncio.gather(reporter, return_exceptions=True)

    def stop(self) -> None:
        """Send nothing more; `run` returns when the replies in flight have come or timed out."""
        if self._timer is not None:
            self._timer.cancel()
        self._sending_over.set()

    def change(self, profile: Profile) -> None:
        """Follow another profile from now on."""
        if self._sending_over.is_set():
            return
        self._send_due()
        self._arrivals.change(profile, self._now_seconds())
        self._set_timer()

    def _now_seconds(self) -> float:
        return self._loop.time() - self._start_seconds

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        next_seconds = min(self._arrivals.due_seconds, self._limits.duration_seconds)
        if not math.isinf(next_seconds):
            self._timer = self._loop.call_at(self._start_seconds + next_seconds, self._tick)

    def _tick(self) -> None:
        self._send_due()
        if self._now_seconds() >= self._limits.duration_seconds:
            self._sending_over.set()
        else:
            self._set_timer()

    def _send_due(self) -> None:
        until_seconds = min(self._now_seconds(), self._limits.duration_seconds)
        while self._arrivals.due_seconds <= until_seconds:
            self._send(self._arrivals.take())

    def _send(self, due_seconds: float) -> None:
        if self._tally.in_flight >= self._limits.max_in_flight:
            self._tally.drop()
            return
        number = self._tally.send(due_seconds=due_seconds, sent_seconds=self._now_seconds())
        task = self._loop.create_task(self._search(number))
        self._replies.add(task)
        task.add_done_callback(self._replies.discard)

    async def _search(self, number: int) -> None:
        try:
            error = await self._target.search(timeout_seconds=self._limits.timeout_seconds)
        except Exception as unexpected:  # whatever it is, the books must balance
            error = type(unexpected).__name__
        self._tally.finish(number, error=error, at_seconds=self._now_seconds())

    async def _report_on(self) -> None:
        cpu_seconds, cut_seconds = time.process_time(), 0.0
        try:
            while True:
                cut_seconds += self._limits.report_every_seconds
                await asyncio.sleep(cut_seconds - self._now_seconds())
                cpu_seconds = self._cut(cpu_seconds)
        finally:
            if self._tally.has_news(at_seconds=self._now_seconds()):
                self._cut(cpu_seconds)

    def _cut(self, cpu_seconds: float) -> float:
        now_seconds, now_cpu_seconds = self._now_seconds(), time.process_time()
        second = self._tally.cut(
            at_seconds=now_seconds,
            unix_seconds=self._start_unix_seconds + now_seconds,
            cpu_seconds=now_cpu_seconds - cpu_seconds,
        )
        self._report(second)
        return now_cpu_seconds
