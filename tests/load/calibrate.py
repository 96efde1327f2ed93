"""What the present nodes can carry: a closed loop at rising concurrency, the best throughput is the capacity.

Here, and only here, a search waits for the one before it: the number of clients bounds the load, so it can be pushed
until throughput no longer rises without building a backlog. An open-loop run above this figure must queue.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tests.load.latency import Histogram
from tests.load.openloop import Target

CONCURRENCIES = (1, 2, 4, 8, 16)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One level of concurrency; failed searches are in none of the other figures."""

    concurrency: int
    qps: float
    p50_ms: float | None
    p99_ms: float | None
    failed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """The most searches per second that any step carried."""

    capacity_qps: float
    steps: tuple[Step, ...]


async def calibrate(
    target: Target,
    *,
    seconds: float,
    concurrencies: Sequence[int] = CONCURRENCIES,
    timeout_seconds: float = 10.0,
) -> Capacity:
    """Share the seconds between the steps and measure each; the first search of all only opens the connection."""
    await target.search(timeout_seconds=timeout_seconds)
    step_seconds = seconds / len(concurrencies)
    steps = [await _step(target, concurrency, step_seconds, timeout_seconds) for concurrency in concurrencies]
    return Capacity(capacity_qps=max(step.qps for step in steps), steps=tuple(steps))


async def _step(target: Target, concurrency: int, seconds: float, timeout_seconds: float) -> Step:
    loop = asyncio.get_running_loop()
    start_seconds = loop.time()
    latencies_ms: list[float] = []
    failed = 0

    async def one_client() -> None:
        nonlocal failed
        while (sent_seconds := loop.time()) < start_seconds + seconds:
            if await target.search(timeout_seconds=timeout_seconds) is None:
                latencies_ms.append((loop.time() - sent_seconds) * 1000)
            else:
                failed += 1

    await asyncio.gather(*(one_client() for _ in range(concurrency)))
    latency = Histogram.of(latencies_ms)
    return Step(
        concurrency=concurrency,
        qps=round(latency.count / (loop.time() - start_seconds), 1),
        p50_ms=latency.quantile_ms(0.50),
        p99_ms=latency.quantile_ms(0.99),
        failed=failed,
    )
