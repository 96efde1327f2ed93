"""The operator's own metrics, and the HTTP server that gives them out beside /healthz.

Gauges carry the namespace and name of the MilvusTuning; they are removed when the object goes. Those by collection are
there for the MOST_COLLECTIONS that moved most, and go with the moves: they are gauges over the watched half hour, since
a counter of a collection that comes and goes among them would be read wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from milvus_tuning.plan.moves import CollectionMoves

OBJECT_LABELS = ("namespace", "name")
COLLECTION_LABELS = (*OBJECT_LABELS, "database", "collection")
MOST_COLLECTIONS = 20


class Metrics:
    """All series of the operator, registered in one registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry
        self.desired = self._gauge("query_nodes_desired", "QueryNodes the owning resource asks for.")
        self.ready = self._gauge("query_nodes_ready", "QueryNode pods that are Ready.")
        self.serving = self._gauge("query_nodes_serving", "QueryNodes that Milvus counts as members.")
        self.capacity = self._gauge("capacity_ratio", "Memory of the fullest QueryNode over its limit.")
        self.computation = self._gauge("computation_ratio", "Computation of the busiest QueryNode over its limit.")
        self.even_computation = self._gauge("computation_even_ratio", "Mean computation of the QueryNodes.")
        self.paused = self._gauge("paused", "1 while nothing new is started.")
        self.waiting = self._gauge("plan_waiting", "1 while a plan waits for approval.")
        self.segment_moves = self._gauge_by_collection(
            "segment_moves", "Segments that Milvus's balancer moved within 30 minutes."
        )
        self.net_zero_moves = self._gauge_by_collection(
            "net_zero_move_ratio", "Share of these moves that came to nothing."
        )
        self.segment_return = self._gauge_by_collection(
            "segment_return_seconds", "Median time until a segment is back on the QueryNode it left."
        )
        self.lease_held = Gauge("milvus_tuning_lease_held", "1 while this process may write.", registry=registry)
        self.decisions = Counter(
            "milvus_tuning_decisions_total", "Decisions by reason.", (*OBJECT_LABELS, "reason"), registry=registry
        )
        self.plans = Counter(
            "milvus_tuning_plans_total",
            "Plans that were begun.",
            (*OBJECT_LABELS, "verdict"),
            registry=registry,
        )
        self.writes = Counter(
            "milvus_tuning_outside_writes_total", "Outside writes by step kind.", ("kind", "result"), registry=registry
        )
        self.pass_seconds = Histogram(
            "milvus_tuning_pass_seconds",
            "Duration of a pass.",
            buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 30),
            registry=registry,
        )

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"milvus_tuning_{name}", text, OBJECT_LABELS, registry=self.registry)

    def _gauge_by_collection(self, name: str, text: str) -> Gauge:
        return Gauge(f"milvus_tuning_{name}", text, COLLECTION_LABELS, registry=self.registry)

    def set_or_clear(self, gauge: Gauge, namespace: str, name: str, value: float | None) -> None:
        """Set the gauge of one object; a value that is not known is no series rather than 0."""
        if value is not None:
            gauge.labels(namespace, name).set(value)
        elif (namespace, name) in gauge._metrics:  # remove() raises for an unknown child
            gauge.remove(namespace, name)

    def set_moves(self, namespace: str, name: str, collections: Sequence[CollectionMoves]) -> None:
        """Set what is told of an object's collections, most moves first; the series of all others go."""
        shown = {(one.database, one.name): one for one in collections[:MOST_COLLECTIONS]}
        moves = {collection: float(one.moves) for collection, one in shown.items()}
        ratios = {collection: one.net_zero_ratio for collection, one in shown.items()}
        returns = {key: one.return_seconds for key, one in shown.items() if one.return_seconds is not None}
        _replace_children(self.segment_moves, (namespace, name), moves)
        _replace_children(self.net_zero_moves, (namespace, name), ratios)
        _replace_children(self.segment_return, (namespace, name), returns)

    def forget(self, namespace: str, name: str) -> None:
        """Drop the gauges of an object that is gone."""
        for gauge in (
            self.desired,
            self.ready,
            self.serving,
            self.capacity,
            self.computation,
            self.even_computation,
            self.paused,
            self.waiting,
        ):
            self.set_or_clear(gauge, namespace, name, None)
        self.set_moves(namespace, name, ())


def _replace_children(gauge: Gauge, owner: tuple[str, str], values: Mapping[tuple[str, str], float]) -> None:
    """Make these the series of an object, by database and collection."""
    for labels in list(gauge._metrics):
        if labels[:2] == owner and labels[2:] not in values:
            gauge.remove(*labels)
    for collection, value in values.items():
        gauge.labels(*owner, *collection).set(value)


def serve(port: int, metrics: Metrics, healthy: Callable[[], str | None]) -> ThreadingHTTPServer:
    """Serve /metrics and /healthz on all addresses in a daemon thread.

    healthy() returns None, or what is wrong: then /healthz answers 503 with those words.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(metrics.registry), CONTENT_TYPE_LATEST)
            elif self.path == "/healthz":
                trouble = healthy()
                self._answer(200 if trouble is None else 503, (trouble or "ok").encode(), "text/plain")
            else:
                self._answer(404, b"only /metrics and /healthz are here", "text/plain")

        def _answer(self, code: int, body: bytes, content_type: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes and scrapes are not events."""

    server = ThreadingHTTPServer(("", port), Handler)
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server
