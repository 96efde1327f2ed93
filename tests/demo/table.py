"""The demo's tables: one live line every two seconds, and the closing comparison."""

import time
from collections.abc import Sequence

from tests.demo.tuning import View
from tests.load.report import Second, Summary
from tests.load.target import ROWS_MISSING

LIVE = "{time:>6}  {offered:>7}  {qps:>6}  {p99:>9}  {waiting:>7}  {nodes:>5}  {skew:>6}  {phase:<12} {reason}"
CLOSING = "{title:<38} {nodes:>5}  {offered:>9}  {qps:>7}  {p50:>9}  {p99:>10}  {failed:>6}  {incomplete:>10}"


class LiveTable:
    """Prints a line with what the clients see beside what the operator says."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def header(self) -> None:
        """The names of the columns."""
        self._start = time.monotonic()
        print(
            LIVE.format(
                time="time",
                offered="load/s",
                qps="QPS",
                p99="P99 ms",
                waiting="waiting",
                nodes="nodes",
                skew="skew",
                phase="phase",
                reason="reason",
            ),
            flush=True,
        )

    def row(self, second: Second | None, view: View) -> None:
        """One line; before the first second of load only the operator's part."""
        elapsed = f"{time.monotonic() - self._start:.0f} s"
        rate = 1.0 if second is None else second.interval_seconds
        print(
            LIVE.format(
                time=elapsed,
                offered="-" if second is None else f"{second.offered / rate:.0f}",
                qps="-" if second is None else f"{second.ok / rate:.0f}",
                p99="-" if second is None else _milliseconds(second.p99_ms),
                waiting="-" if second is None else second.in_flight,
                nodes=view.nodes,
                skew=view.skew,
                phase=view.phase,
                reason=view.reason,
            ),
            flush=True,
        )


def closing_table(chapters: Sequence[tuple[str, str, Summary]]) -> str:
    """The chapters side by side: before, during and after each change."""
    lines = [
        "",
        CLOSING.format(
            title="chapter",
            nodes="nodes",
            offered="load/s",
            qps="QPS",
            p50="P50 ms",
            p99="P99 ms",
            failed="failed",
            incomplete="incomplete",
        ),
    ]
    for title, nodes, summary in chapters:
        duration = max(summary.duration_seconds, 0.001)
        lines.append(
            CLOSING.format(
                title=title,
                nodes=nodes,
                offered=f"{summary.offered / duration:.0f}",
                qps=f"{summary.qps_ok:.0f}",
                p50=_milliseconds(summary.p50_ms),
                p99=_milliseconds(summary.p99_ms),
                failed=lost_searches(summary),
                incomplete=incomplete_replies(summary),
            )
        )
    return "\n".join(lines)


def lost_searches(summary: Summary) -> int:
    """Searches that got no answer: an error, a timeout, or never sent."""
    return summary.failed + summary.dropped - incomplete_replies(summary)


def incomplete_replies(summary: Summary) -> int:
    """Good replies that lacked rows of the first reply to the same request."""
    return summary.errors.get(ROWS_MISSING, 0)


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
