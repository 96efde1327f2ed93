"""Whether each query of the table finds its series, with the labels that are needed to tell pods apart."""

from __future__ import annotations

from typing import Final

from milvus_tuning.api import PrometheusConnection
from milvus_tuning.clients.prometheus import PrometheusClient, PrometheusError
from milvus_tuning.doctor.check import Check, failure, ok, warning
from milvus_tuning.observe import queries
from milvus_tuning.observe.prometheus import selectors_of
from milvus_tuning.observe.queries import Query, Selectors
from milvus_tuning.observe.target import Target

WINDOW_SECONDS: Final = queries.LONGEST_WINDOW_SECONDS
# Without requests there is no latency, without a quota in force no state, and tasks are counted from the first one on
# and in some versions only: an empty answer is a good one.
EMPTY_IS_FINE: Final = frozenset(
    {
        queries.QUEUE_LATENCY,
        queries.P99,
        queries.MEAN_LATENCY,
        queries.LATENCY_BUCKETS,
        queries.NODE_COLLECTION_SEARCHES,
        queries.QUOTA_STATES,
        queries.INDEX_BUILDS,
        queries.COMPACTIONS,
        queries.IMPORTS,
        *queries.NETWORK,
    }
)


def series_checks(client: PrometheusClient, connection: PrometheusConnection, target: Target) -> tuple[Check, ...]:
    """One check per query."""
    selectors = selectors_of(connection, target)
    return tuple(_check(client, query, selectors) for query in queries.QUERIES)


def _check(client: PrometheusClient, query: Query, selectors: Selectors) -> Check:
    name, expression = f"series {query.name}", query.expression(selectors, WINDOW_SECONDS)
    try:
        found = client.query(expression)
    except PrometheusError as error:
        return failure(name, str(error), "Prometheus must answer this query within its time limit")
    usable = [series for series in found if series.value is not None]
    if usable:
        return ok(name, f"{len(usable)} series: {query.meaning} ({query.unit})")
    if query.zero_when_absent or query in EMPTY_IS_FINE:
        return ok(name, f"nothing to count now: {query.meaning}")
    mend = "is it scraped, kept by relabelling, and do spec.connections.prometheus.labels fit?"
    return warning(name, f"no series for {expression}", mend)
