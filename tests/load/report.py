"""What the client says: one Second after the other while it runs, and a Summary of any stretch of them.

The books balance: offered = sent + dropped, and what was sent is ok, failed or still in flight. A request is offered,
sent and dropped in the second it was due; it is ok or failed in the second its reply came. `latency` runs from the
moment a request was due (so a stalled server is charged for everybody who had to wait), `service` from the moment it
was sent. Both cover good replies and timeouts, for a search given up after 10 s took at least 10 s; other failures
are counted and not timed, or a refused connection would look like a fast search.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import reduce
from operator import add

from pydantic import TypeAdapter

from tests.load.latency import Histogram

NOTHING = Histogram()


@dataclass(frozen=True, kw_only=True, slots=True)
class Second:
    """What happened since the line before; `t` is seconds since the start, `unix` the same moment on the wall clock.

    `in_flight` and `oldest_in_flight_ms` (since it was due) are as of the end of the second.
    """

    t: float
    unix: float
    interval_seconds: float
    offered: int = 0
    sent: int = 0
    ok: int = 0
    failed: int = 0
    dropped: int = 0
    in_flight: int = 0
    oldest_in_flight_ms: float | None = None
    client_cpu_ms: float = 0.0
    errors: Mapping[str, int] = field(default_factory=dict)
    latency: Histogram = NOTHING
    service: Histogram = NOTHING

    @property
    def p50_ms(self) -> float | None:
        """Median latency from the moment due."""
        return self.latency.quantile_ms(0.50)

    @property
    def p99_ms(self) -> float | None:
        """99th percentile of the latency from the moment due."""
        return self.latency.quantile_ms(0.99)

    @property
    def mean_ms(self) -> float | None:
        """Mean latency from the moment due."""
        return self.latency.mean_ms

    def to_line(self) -> str:
        """One JSON object, quantiles written out for readers who have no Histogram."""
        quantiles = {"p50_ms": self.p50_ms, "p99_ms": self.p99_ms, "mean_ms": self.mean_ms}
        return json.dumps({**asdict(self), **quantiles})


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """Totals of a stretch of seconds; `qps_ok` is good replies over the time they took to come, drain included."""

    duration_seconds: float
    offered: int
    sent: int
    ok: int
    failed: int
    dropped: int
    in_flight: int
    errors: Mapping[str, int]
    qps_ok: float
    p50_ms: float | None
    p99_ms: float | None
    mean_ms: float | None
    max_ms: float | None
    service_p50_ms: float | None
    service_p99_ms: float | None
    client_cpu_ms_per_search: float | None

    def to_line(self) -> str:
        """One JSON object under the key `summary`."""
        return json.dumps({"summary": asdict(self)})


def summarise(seconds: Sequence[Second]) -> Summary:
    """Add up any stretch of seconds: a whole run, or the part before and after a change."""
    duration_seconds = sum(second.interval_seconds for second in seconds)
    latency = reduce(add, (second.latency for second in seconds), NOTHING)
    service = reduce(add, (second.service for second in seconds), NOTHING)
    sent, ok = sum(second.sent for second in seconds), sum(second.ok for second in seconds)
    cpu_ms = sum(second.client_cpu_ms for second in seconds)
    return Summary(
        duration_seconds=round(duration_seconds, 3),
        offered=sum(second.offered for second in seconds),
        sent=sent,
        ok=ok,
        failed=sum(second.failed for second in seconds),
        dropped=sum(second.dropped for second in seconds),
        in_flight=seconds[-1].in_flight if seconds else 0,
        errors=dict(sum((Counter(second.errors) for second in seconds), Counter[str]())),
        qps_ok=round(ok / duration_seconds, 2) if duration_seconds else 0.0,
        p50_ms=latency.quantile_ms(0.50),
        p99_ms=latency.quantile_ms(0.99),
        mean_ms=latency.mean_ms,
        max_ms=latency.max_ms if latency.count else None,
        service_p50_ms=service.quantile_ms(0.50),
        service_p99_ms=service.quantile_ms(0.99),
        client_cpu_ms_per_search=round(cpu_ms / sent, 3) if sent else None,
    )


_SECOND = TypeAdapter(Second)
_SUMMARY = TypeAdapter(dict[str, Summary])


def parse_line(line: str) -> Second | Summary:
    """Read a line back; raises ValueError (pydantic's) for anything that is neither."""
    if line.startswith('{"summary"'):
        return _SUMMARY.validate_json(line)["summary"]
    return _SECOND.validate_json(line)
