"""What Prometheus says about one cluster: numbers per QueryNode and of the traffic, each with age and coverage.

Two rounds of parallel queries: who is scraped, how long ago and how often; then the numbers, over a window that fits.
One failed query costs its own number; a Prometheus that cannot be reached at all costs all of them, and is one problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace

from milvus_tuning.api import PrometheusConnection
from milvus_tuning.clients.prometheus import PrometheusClient, PrometheusError, PrometheusFailure, Series
from milvus_tuning.observe import queries
from milvus_tuning.observe.activity import Activity, activity_freezes
from milvus_tuning.observe.queries import Query, Selectors
from milvus_tuning.observe.target import Target
from milvus_tuning.snapshot import MISSING, Freeze, FreezeReason, Problem, ProblemKind, Sample, Traffic

_FATAL = {
    PrometheusFailure.UNREACHABLE: ProblemKind.PROMETHEUS_UNREACHABLE,
    PrometheusFailure.CREDENTIALS_REJECTED: ProblemKind.PROMETHEUS_CREDENTIALS_REJECTED,
}

Results = dict[str, tuple[Series, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeMeasures:
    """The numbers of one QueryNode pod."""

    resident_memory_bytes: Sample = MISSING
    loaded_bytes: Sample = MISSING
    cpu_cores: Sample = MISSING
    read_concurrency: Sample = MISSING
    queue_latency_milliseconds: Sample = MISSING
    node_ids: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurements:
    """All numbers of one pass. collections is by (database or None where the series does not tell, name);
    node_searches is by (pod, collection id), and holds nothing where Milvus does not count by collection (2.3)."""

    nodes: Mapping[str, NodeMeasures] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)
    collections: Mapping[tuple[str | None, str], Sample] = field(default_factory=dict)
    node_searches: Mapping[tuple[str, int], Sample] = field(default_factory=dict)
    traffic_base: Sample = MISSING  # a 0 with the age and coverage that a number from all proxies has
    link_bits_per_second: Sample = MISSING
    network_share: Sample = MISSING
    window_seconds: int = 0
    freezes: tuple[Freeze, ...] = ()
    problems: tuple[Problem, ...] = ()

    def collection(self, database: str, name: str, *, unique: bool) -> Sample:
        """Searches per second on a collection; a series without database counts where the name is unique."""
        found = self.collections.get((database, name))
        if found is None and unique:
            found = self.collections.get((None, name))
        return self.traffic_base if found is None else found


def selectors_of(connection: PrometheusConnection, target: Target) -> Selectors:
    """Which series are those of the target: its pods, under the connection's labels and matchers."""
    return queries.selectors(
        target.workload.namespace,
        connection.labels,
        connection.matchers or {},
        nodes=[node.pod for node in target.query_nodes],
        proxies=target.proxy_pods,
        coordinators=target.coordinator_pods,
    )


def measure(
    client: PrometheusClient,
    connection: PrometheusConnection,
    target: Target,
    executor: Executor,
    also: Sequence[Query] = (),
) -> Measurements:
    """Ask all queries of a pass and those named besides; never raises for what Prometheus does."""
    selectors = selectors_of(connection, target)
    first, failures = ask(client, queries.FIRST, selectors, queries.LONGEST_WINDOW_SECONDS, executor)
    fatal = _fatal(failures)
    if fatal is not None:
        return Measurements(problems=(fatal,))
    window = queries.window_seconds(single(first, queries.SAMPLES))
    second, more = ask(client, (*queries.SECOND, *also), selectors, window, executor)
    fatal = _fatal(more)
    if fatal is not None:
        return Measurements(problems=(fatal,))
    problems = _problems(client, first, target, selectors, [*failures, *more])
    return _collect(first | second, target, selectors.pod_label, window, problems)


def ask(
    client: PrometheusClient, asked: Sequence[Query], selectors: Selectors, window: int, executor: Executor
) -> tuple[Results, list[PrometheusError]]:
    """The results by name of the query, over a window in seconds, and what failed."""
    pending = {query.name: executor.submit(client.query, query.expression(selectors, window)) for query in asked}
    results: Results = {}
    failures: list[PrometheusError] = []
    for name, future in pending.items():
        try:
            results[name] = future.result()
        except PrometheusError as error:
            failures.append(error)
    return results, failures


def _fatal(failures: Iterable[PrometheusError]) -> Problem | None:
    """The problem of a Prometheus that gives nothing at all, or None."""
    for error in failures:
        if error.failure in _FATAL:
            return Problem(kind=_FATAL[error.failure], message=str(error))
    return None


def _problems(
    client: PrometheusClient,
    first: Results,
    target: Target,
    selectors: Selectors,
    failures: Sequence[PrometheusError],
) -> tuple[Problem, ...]:
    problems = [Problem(kind=ProblemKind.METRICS_MISSING, message=str(error)) for error in failures[:1]]
    ready = [node.pod for node in target.query_nodes if node.ready]
    if ready and queries.NODE_AGE.name in first and not first[queries.NODE_AGE.name]:
        text = (
            f"Prometheus at {client.url} has no series process_resident_memory_bytes{{{selectors.nodes}}}: are the "
            "QueryNode pods scraped, and do spec.connections.prometheus.labels and matchers fit?"
        )
        problems.append(Problem(kind=ProblemKind.METRICS_MISSING, message=text))
    return tuple(problems)


def _collect(
    results: Results, target: Target, pod_label: str, window: int, problems: tuple[Problem, ...]
) -> Measurements:
    node_ages = by_pod(results, queries.NODE_AGE, pod_label)
    base = _traffic_base(by_pod(results, queries.PROXY_AGE, pod_label), target.proxy_pods)
    numbers = _per_node(results, pod_label, node_ages)
    ids = _node_ids(results, pod_label)
    return Measurements(
        nodes={node.pod: _node_measures(node.pod, numbers, ids) for node in target.query_nodes},
        traffic=Traffic(
            searches_per_second=_traffic(results, queries.SEARCHES, base),
            p99_milliseconds=_traffic(results, queries.P99, base),
            mean_milliseconds=_traffic(results, queries.MEAN_LATENCY, base),
            failed_per_second=_traffic(results, queries.FAILED, base),
        ),
        collections=_collections(results, base),
        node_searches=_node_searches(results, pod_label, node_ages),
        traffic_base=base if queries.COLLECTION_SEARCHES.name in results else MISSING,
        link_bits_per_second=_link(results),
        network_share=_network_share(results, base),
        window_seconds=window,
        freezes=(*_quota_freezes(results), *activity_freezes(_counts(results))),
        problems=problems,
    )


def _per_node(results: Results, pod_label: str, ages: Mapping[str, float]) -> Callable[[Query, str], Sample]:
    """A function that gives the sample of a query for a pod."""
    values = {query.name: by_pod(results, query, pod_label) for query in queries.SECOND}

    def sample(query: Query, pod: str) -> Sample:
        if pod not in ages or query.name not in results:
            return MISSING
        value = values[query.name].get(pod, 0.0 if query.zero_when_absent else None)
        return MISSING if value is None else Sample(value=value, age_seconds=ages[pod])

    return sample


def _node_measures(pod: str, number: Callable[[Query, str], Sample], ids: Mapping[str, frozenset[int]]) -> NodeMeasures:
    return NodeMeasures(
        resident_memory_bytes=number(queries.RESIDENT_MEMORY, pod),
        loaded_bytes=number(queries.LOADED_BYTES, pod),
        cpu_cores=number(queries.CPU, pod),
        read_concurrency=number(queries.READ_CONCURRENCY, pod),
        queue_latency_milliseconds=number(queries.QUEUE_LATENCY, pod),
        node_ids=ids.get(pod, frozenset()),
    )


def _traffic_base(ages: Mapping[str, float], proxies: Sequence[str]) -> Sample:
    """Age of the oldest proxy and share of the proxies that are scraped; missing where none is."""
    known = [ages[proxy] for proxy in proxies if proxy in ages]
    if not known:
        return MISSING
    return Sample(value=0.0, age_seconds=max(known), coverage=len(known) / len(proxies))


def _traffic(results: Results, query: Query, base: Sample) -> Sample:
    if base.value is None or query.name not in results:
        return MISSING
    value = single(results, query)
    if value is None and query.zero_when_absent and not results[query.name]:
        value = 0.0
    if value is None:
        return MISSING
    return Sample(value=value, age_seconds=base.age_seconds, coverage=base.coverage)


def _link(results: Results) -> Sample:
    """A speed is a property of the machine and no measurement: it counts as new while Prometheus has it, which is five
    minutes from the last scrape."""
    value = single(results, queries.LINK_SPEED)
    return MISSING if value is None else Sample(value=value)


def _network_share(results: Results, base: Sample) -> Sample:
    """Between 0 and 1: with few searches the two means are of different ones, and the quotient may leave that range."""
    found = _traffic(results, queries.NETWORK_SHARE, base)
    return found if found.value is None else replace(found, value=min(max(found.value, 0.0), 1.0))


def _collections(results: Results, base: Sample) -> dict[tuple[str | None, str], Sample]:
    if base.value is None:
        return {}
    return {
        (series.labels.get("db_name") or None, series.labels["collection_name"]): Sample(
            value=series.value, age_seconds=base.age_seconds, coverage=base.coverage
        )
        for series in results.get(queries.COLLECTION_SEARCHES.name, ())
        if series.value is not None and "collection_name" in series.labels
    }


def _node_searches(results: Results, pod_label: str, ages: Mapping[str, float]) -> dict[tuple[str, int], Sample]:
    """A pair without a series is no zero: a version or a relabelling may take the label away."""
    found = {}
    for series in results.get(queries.NODE_COLLECTION_SEARCHES.name, ()):
        pod, collection = series.labels.get(pod_label, ""), series.labels.get("collection_id", "")
        if series.value is not None and pod in ages and collection.isdecimal():
            found[pod, int(collection)] = Sample(value=series.value, age_seconds=ages[pod])
    return found


def _quota_freezes(results: Results) -> tuple[Freeze, ...]:
    """Milvus refuses writes: every quota state does, except those that concern reads only."""
    states = (series.labels.get("quota_states", "") for series in results.get(queries.QUOTA_STATES.name, ()))
    denied = sorted({state for state in states if "read" not in state.lower()})
    if not denied:
        return ()
    return (Freeze(reason=FreezeReason.WRITES_DENIED, message=f"Milvus denies writes ({', '.join(denied)})"),)


def _counts(results: Results) -> Activity:
    return Activity(
        index_builds=single(results, queries.INDEX_BUILDS),
        compactions=single(results, queries.COMPACTIONS),
        imports=single(results, queries.IMPORTS),
    )


def _node_ids(results: Results, pod_label: str) -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = {}
    for series in results.get(queries.NODE_ID.name, ()):
        text = series.labels.get("node_id", "")
        if text.isdecimal() and pod_label in series.labels:
            found.setdefault(series.labels[pod_label], set()).add(int(text))
    return {pod: frozenset(ids) for pod, ids in found.items()}


def by_pod(results: Results, query: Query, pod_label: str) -> dict[str, float]:
    """The usable values by pod; of several for one pod the largest."""
    values: dict[str, float] = {}
    for series in results.get(query.name, ()):
        pod = series.labels.get(pod_label)
        if pod is not None and series.value is not None:
            values[pod] = max(series.value, values.get(pod, series.value))
    return values


def single(results: Results, query: Query) -> float | None:
    """The value of an expression that gives one series at most."""
    return next((series.value for series in results.get(query.name, ())), None)
