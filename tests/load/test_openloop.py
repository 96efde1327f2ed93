"""The open loop in virtual time: a stall is charged to everybody who had to wait, and the books balance."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.load.calibrate import calibrate
from tests.load.openloop import Limits, OpenLoop
from tests.load.report import Second, Summary, summarise
from tests.load.schedule import Arrivals, Spacing, constant, masses
from tests.load.tally import TIMEOUT
from tests.load.virtual_time import run_virtually


@dataclass(kw_only=True)
class FakeTarget:
    """Replies after 10 ms; a reply due within the stall comes at its end. `error_at` names the error by time sent."""

    stall_from: float = math.inf
    stall_until: float = math.inf
    error_at: Callable[[float], str | None] = lambda _: None
    sent: list[float] = field(default_factory=list)

    async def search(self, *, timeout_seconds: float) -> str | None:
        now = asyncio.get_running_loop().time()
        self.sent.append(now)
        stalled = self.stall_from <= now < self.stall_until
        wait_seconds = self.stall_until - now if stalled else 0.01
        await asyncio.sleep(min(wait_seconds, timeout_seconds))
        return TIMEOUT if wait_seconds > timeout_seconds else self.error_at(now)


def a_stall_of_one_second() -> FakeTarget:
    """Between two requests due 50 ms apart, so that the 20 from 2.05 s to 3.00 s have to wait."""
    return FakeTarget(stall_from=2.01, stall_until=3.01)


def run_against(
    target: FakeTarget,
    *,
    rate: float = 20,
    limits: Limits | None = None,
    meanwhile: Callable[[OpenLoop], None] = lambda _: None,
) -> tuple[list[Second], Summary]:
    seconds: list[Second] = []

    async def work() -> None:
        arrivals = Arrivals(constant(rate), masses(Spacing.EVEN, seed=1))
        load = OpenLoop(
            target,
            arrivals,
            limits or Limits(duration_seconds=5.0),
            report=seconds.append,
            start_unix_seconds=1e9,
        )
        meanwhile(load)
        await load.run()

    run_virtually(work())
    return seconds, summarise(seconds)


def test_a_steady_target_answers_all_that_is_offered() -> None:
    seconds, summary = run_against(FakeTarget())
    assert (summary.offered, summary.sent, summary.ok, summary.failed, summary.dropped) == (100, 100, 100, 0, 0)
    assert summary.p99_ms == pytest.approx(10.0, rel=0.02)
    assert [round(second.t, 2) for second in seconds] == [1.0, 2.0, 3.0, 4.0, 5.0, 5.01]


def test_requests_are_sent_on_time_while_the_target_stalls() -> None:
    target = a_stall_of_one_second()
    run_against(target)
    assert target.sent == pytest.approx([count / 20 for count in range(1, 101)])


def test_a_stall_of_one_second_shows_in_the_latency_of_each_request_due_in_it() -> None:
    seconds, summary = run_against(a_stall_of_one_second())
    waits_ms = [960 - 50 * place for place in range(20)] + [10] * 80
    assert sum(second.latency.sum_ms for second in seconds) == pytest.approx(sum(waits_ms), abs=1)
    assert [second.latency.max_ms for second in seconds[:5]] == pytest.approx([10, 10, 10, 960, 10], abs=0.1)
    assert seconds[2].oldest_in_flight_ms == pytest.approx(950.0, abs=0.1)
    assert summary.failed == 0
    assert summary.max_ms == pytest.approx(960.0, abs=0.1)


def test_failed_replies_are_counted_by_name_and_not_timed() -> None:
    target = FakeTarget(error_at=lambda now: "UNAVAILABLE" if now > 4.0 else None)
    _, summary = run_against(target)
    assert (summary.ok, summary.failed, summary.errors) == (80, 20, {"UNAVAILABLE": 20})
    assert summary.max_ms == pytest.approx(10.0, abs=0.1)


def test_a_timeout_is_failed_and_timed() -> None:
    limits = Limits(duration_seconds=5.0, timeout_seconds=0.5)
    _, summary = run_against(a_stall_of_one_second(), limits=limits)
    assert summary.errors == {TIMEOUT: summary.failed}
    assert summary.failed == 10
    assert summary.max_ms == pytest.approx(500.0, abs=0.1)


def test_what_would_exceed_the_requests_in_flight_is_dropped_and_counted() -> None:
    limits = Limits(duration_seconds=5.0, max_in_flight=8)
    _, summary = run_against(a_stall_of_one_second(), limits=limits)
    assert (summary.offered, summary.sent, summary.ok, summary.dropped) == (100, 88, 88, 12)


def test_an_exception_of_the_target_is_a_failed_search() -> None:
    class Broken(FakeTarget):
        async def search(self, *, timeout_seconds: float) -> str | None:
            raise ConnectionError(timeout_seconds)

    _, summary = run_against(Broken())
    assert (summary.failed, summary.errors) == (100, {"ConnectionError": 100})


def test_a_changed_rate_holds_from_the_moment_of_the_change() -> None:
    def meanwhile(load: OpenLoop) -> None:
        asyncio.get_running_loop().call_later(2.0, load.change, constant(60))

    seconds, _ = run_against(FakeTarget(), meanwhile=meanwhile)
    assert [second.offered for second in seconds[:5]] == pytest.approx([20, 20, 60, 60, 60], abs=1)


def test_a_stopped_run_sends_nothing_more_and_awaits_what_is_in_flight() -> None:
    def meanwhile(load: OpenLoop) -> None:
        asyncio.get_running_loop().call_later(2.52, load.stop)

    limits = Limits(duration_seconds=math.inf)
    seconds, summary = run_against(a_stall_of_one_second(), limits=limits, meanwhile=meanwhile)
    assert (summary.sent, summary.ok, summary.in_flight) == (50, 50, 0)
    assert seconds[-1].t == pytest.approx(3.01)


def test_a_run_stopped_before_it_began_has_an_empty_summary() -> None:
    _, summary = run_against(FakeTarget(), meanwhile=OpenLoop.stop)
    assert (summary.offered, summary.p99_ms, summary.client_cpu_ms_per_search) == (0, None, None)


def test_the_calibration_finds_the_capacity_of_a_target_that_serves_one_at_a_time() -> None:
    class OneAtATime(FakeTarget):
        lock = asyncio.Lock()

        async def search(self, *, timeout_seconds: float) -> str | None:
            async with self.lock:
                return await super().search(timeout_seconds=timeout_seconds)

    capacity = run_virtually(calibrate(OneAtATime(), seconds=10.0, concurrencies=(1, 4)))
    assert capacity.capacity_qps == pytest.approx(100.0, rel=0.02)
    assert [step.p50_ms for step in capacity.steps] == [pytest.approx(10.0, rel=0.02), pytest.approx(40.0, rel=0.02)]
