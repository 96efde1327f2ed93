"""A cluster to run passes on: a release, MilvusTunings for it, operator processes, and a clock in the test's hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kubernetes.client import ApiClient
from prometheus_client import CollectorRegistry

from milvus_tuning.api import PLAN_KIND
from milvus_tuning.clients.etcd import EtcdClient, Put
from milvus_tuning.metrics import Metrics
from milvus_tuning.reconcile import Reconciler
from milvus_tuning.settings import Settings
from milvus_tuning.store import Reference
from milvus_tuning.turn import Event
from tests.apply.etcd_server import RunningEtcd
from tests.integration.conftest import COLLECTION, PLANS, Api, Object, a_tuning
from tests.integration.release import LoggedClient, Release
from tests.observe.world import World, serving

GROW = {"mode": "Auto", "queryNodes": {"minCount": 3, "maxCount": 5}}
"""A spec by which two QueryNodes become three."""


class Clock:
    """Time that goes on a second with each look, and further when told."""

    def __init__(self) -> None:
        self._now = datetime.now(UTC)  # noqa: TID251 - the objects' own times come from the API server's clock

    def __call__(self) -> datetime:
        self.skip(seconds=1)
        return self._now

    def skip(self, *, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class Operator:
    """A process of the operator: a Reconciler with what it was told and what it wrote."""

    def __init__(self, bench: Bench, require_lease: Callable[[], None] = lambda: None) -> None:
        self.client = LoggedClient(bench.api_client)
        self.events: list[Event] = []  # on the MilvusTuning
        self.plan_events: list[Event] = []
        self._bench = bench
        self._reconciler = Reconciler(
            api_client=self.client,
            settings=Settings(request_timeout_seconds=5),
            require_lease=require_lease,
            metrics=Metrics(CollectorRegistry()),
            clock=bench.clock,
            admission_enforced=lambda _: True,  # the policy itself is tested in test_admission.py
        )

    def run_pass(self, name: str = "rag") -> None:
        self._reconciler.run_pass(self._bench.reference(name), self._hear)

    def _hear(self, body: Object, event: Event) -> None:
        (self.plan_events if body["kind"] == PLAN_KIND else self.events).append(event)

    def hand_back(self, name: str = "rag") -> None:
        self._reconciler.hand_back(self._bench.reference(name), self._hear)


class Bench:
    """A release, MilvusTunings for it, and a clock."""

    def __init__(self, api_client: ApiClient, release: Release) -> None:
        self.api_client, self.release, self.clock = api_client, release, Clock()
        self.tunings = COLLECTION.format(namespace=release.namespace)

    def declare(self, spec: Object, name: str = "rag") -> str:
        """Create a MilvusTuning with the addresses of the servers; its resource version."""
        connections = self.release.world.parsed_spec().connections
        assert connections is not None
        addresses = connections.model_dump(mode="json", by_alias=True, exclude_none=True)
        made = self.release.server.call("POST", self.tunings, a_tuning({"connections": addresses, **spec}, name=name))
        return str(made["metadata"]["resourceVersion"])

    @property
    def plans(self) -> str:
        """The path of the plans."""
        return PLANS.format(namespace=self.release.namespace)

    def reference(self, name: str) -> Reference:
        uid = self.release.tuning(name)["metadata"]["uid"]
        return Reference(namespace=self.release.namespace, name=name, uid=uid)


@contextmanager
def a_bench(server: Api, api_client: ApiClient, namespace: str) -> Iterator[Bench]:
    """Two QueryNodes that serve, and nobody who tunes them yet."""
    with serving(World()) as world:
        release = Release(server=server, namespace=namespace, world=world)
        release.install()
        yield Bench(api_client, release)


@contextmanager
def an_etcd(bench: Bench, folder: Path) -> Iterator[EtcdClient]:
    """A real etcd with the sessions of the QueryNodes, in the place of the recorded one."""
    with RunningEtcd(folder) as address, closing(EtcdClient([address], timeout_seconds=5)) as client:
        bench.release.world.addresses["etcd"] = f"http://{address}"
        sessions = bench.release.world.etcd.items()
        client.transaction(compare=[], then=[Put(key=key, value=value) for key, value in sessions])
        yield client
