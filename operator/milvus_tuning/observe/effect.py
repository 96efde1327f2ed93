"""What searches met over one window: the numbers that a plan is judged by, before it and after it.

    slow share = 1 - searches within the bound / all searches        both as rates over the window
    skew       = CPU of the busiest QueryNode / mean CPU - 1
    CPU        = the mean over the QueryNodes

Each rate is taken over the verification window itself, so one reading tells all and nothing is kept between passes:
after a restart the same question has the same answer. With buckets at 64 and 128 ms and 12 of 1000 searches above
128 ms the slow share for an objective of 100 ms is 12000 per million. A quantile over buckets that double cannot tell
110 ms from 125 ms; the share above a bound can.

A window that holds fewer than four scrapes is widened, and the measurement says so. A number is None where a proxy or
QueryNode that belongs to it is not scraped, was last scraped too long ago, or had nothing to measure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime

from milvus_tuning.api import MilvusTuningSpec, PrometheusConnection
from milvus_tuning.clients.prometheus import PrometheusClient
from milvus_tuning.observe import queries
from milvus_tuning.observe.prometheus import Results, ask, by_pod, selectors_of, single
from milvus_tuning.observe.queries import Query
from milvus_tuning.observe.target import Target
from milvus_tuning.plan import Measurement
from milvus_tuning.snapshot import Snapshot

MAX_AGE_SECONDS = 60.0  # four scrapes at Prometheus' usual 15 s, as for every other decision
SLOW_TIMES_MEAN = 2.0  # without an objective: slow is twice the mean before the change, or more
_MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What to measure, in seconds and milliseconds.

    slow_bound: that of the measurement before, if there is one. pods: the QueryNodes that serve and stay. serving: how
    many they are, in Milvus's own count where that is known.
    """

    ended_at: datetime
    window_seconds: int
    slow_bound_milliseconds: int | None = None
    objective_milliseconds: int | None = None
    pods: tuple[str, ...] = ()
    serving: int | None = None


def question_of(
    spec: MilvusTuningSpec,
    snapshot: Snapshot,
    now: datetime,
    *,
    window_seconds: int,
    slow_bound_milliseconds: int | None,
) -> Question:
    """What to measure of the cluster in the snapshot."""
    pods = tuple(node.pod for node in snapshot.members)
    counted = snapshot.workload.serving_count if snapshot.workload else None
    return Question(
        ended_at=now,
        window_seconds=window_seconds,
        slow_bound_milliseconds=slow_bound_milliseconds,
        objective_milliseconds=spec.objectives.search_latency_p99_milliseconds if spec.objectives else None,
        pods=pods,
        serving=(counted if counted is not None else len(pods)) or None,
    )


def measure_effect(
    client: PrometheusClient, connection: PrometheusConnection, target: Target, question: Question, executor: Executor
) -> Measurement:
    """Ask Prometheus; never raises for what it does."""
    selectors = selectors_of(connection, target)
    first, _ = ask(client, queries.EFFECT_FIRST, selectors, queries.LONGEST_WINDOW_SECONDS, executor)
    if queries.SAMPLES.name not in first:
        return unmeasured(question)
    window = max(question.window_seconds, queries.window_seconds(single(first, queries.SAMPLES)))
    results, _ = ask(client, queries.EFFECT, selectors, window, executor)
    label = selectors.pod_label
    seen = results if _fresh(by_pod(first, queries.PROXY_AGE, label), target.proxy_pods) else {}
    nodes_seen = results if _fresh(by_pod(first, queries.NODE_AGE, label), question.pods) else {}
    cores = by_pod(nodes_seen, queries.CPU, label)
    return replace(
        _of_traffic(seen, question),
        window_seconds=window,
        queue_microseconds=_queue_microseconds(by_pod(nodes_seen, queries.QUEUE_LATENCY, label), question.pods),
        skew_percent=_skew_percent(cores, question.pods),
        cpu_millicores_per_node=_scaled(_mean(cores, question.pods), 1000),
    )


def unmeasured(question: Question) -> Measurement:
    """The measurement when Prometheus tells nothing."""
    return Measurement(ended_at=question.ended_at, window_seconds=question.window_seconds, node_count=question.serving)


def slow_bound(bounds: Sequence[float], question: Question, mean_milliseconds: float | None) -> float | None:
    """The bucket bound above which a search counts as slow; None where no bucket has it.

    The given one exactly; else the smallest that is at or above the objective; else at or above twice the mean.
    """
    if question.slow_bound_milliseconds is not None:
        given = float(question.slow_bound_milliseconds)
        return given if given in bounds else None
    least: float | None = question.objective_milliseconds
    if least is None and mean_milliseconds is not None:
        least = SLOW_TIMES_MEAN * mean_milliseconds
    if least is None:
        return None
    return min((bound for bound in bounds if bound >= least), default=None)


def _of_traffic(results: Results, question: Question) -> Measurement:
    """What the proxies count."""
    searches = _value(results, queries.SEARCHES)
    mean = _value(results, queries.MEAN_LATENCY)
    within = _within(results)
    bound = slow_bound([found for found in within if math.isfinite(found)], question, mean)
    slow = None if bound is None else _slow_per_million(within, bound)
    return replace(
        unmeasured(question),
        searches_per_minute=_scaled(searches, 60),
        searches_per_minute_per_node=_scaled(searches, 60 / question.serving) if question.serving else None,
        mean_microseconds=_scaled(mean, 1000),
        p99_milliseconds=_scaled(_value(results, queries.P99), 1),
        failed_searches_per_million=_per_million(_value(results, queries.FAILED), searches),
        slow_searches_per_million=slow,
        slow_bound_milliseconds=None if bound is None or slow is None else round(bound),
    )


def _queue_microseconds(milliseconds: Mapping[str, float], pods: Sequence[str]) -> int | None:
    """The mean over the QueryNodes that searched; one that did not has no queue."""
    waits = [milliseconds[pod] for pod in pods if pod in milliseconds]
    return round(sum(waits) / len(waits) * 1000) if waits else None


def _fresh(ages: Mapping[str, float], pods: Sequence[str]) -> bool:
    """Whether each of the pods was scraped a short while ago; with a part of them a sum would be a smaller one."""
    return bool(pods) and all(ages.get(pod, math.inf) <= MAX_AGE_SECONDS for pod in pods)


def _value(results: Results, query: Query) -> float | None:
    """As `single`, and a true 0 where the query says that no series means none."""
    if query.zero_when_absent and results.get(query.name) == ():
        return 0.0
    return single(results, query)


def _within(results: Results) -> dict[float, float]:
    """Searches per second that were answered within each bucket's bound in ms, infinity for all."""
    found: dict[float, float] = {}
    for series in results.get(queries.LATENCY_BUCKETS.name, ()):
        try:
            bound = float(series.labels.get("le", ""))
        except ValueError:
            continue
        if series.value is not None:
            found[bound] = series.value
    return found


def _slow_per_million(within: Mapping[float, float], bound: float) -> int | None:
    total = within.get(math.inf)
    return None if total is None else _per_million(max(total - within[bound], 0.0), total)


def _per_million(part: float | None, whole: float | None) -> int | None:
    if part is None or not whole:
        return None
    return min(round(part / whole * _MILLION), _MILLION)


def _skew_percent(cores: Mapping[str, float], pods: Sequence[str]) -> int | None:
    """How far the busiest is above the mean; only where each of them is measured."""
    mean = _mean(cores, pods)
    return round((max(cores[pod] for pod in pods) / mean - 1) * 100) if mean else None


def _mean(cores: Mapping[str, float], pods: Sequence[str]) -> float | None:
    """Of what the pods use; only where each of them is measured."""
    if not pods or any(pod not in cores for pod in pods):
        return None
    return sum(cores[pod] for pod in pods) / len(pods)


def _scaled(value: float | None, factor: float) -> int | None:
    return None if value is None else round(value * factor)
