"""What is there before the operator comes: a release, a MilvusTuning that calls for a change, and perhaps a plan."""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from kubernetes.client import ApiClient
from kubernetes.config import new_client_from_config

from milvus_tuning.api import FIELD_MANAGER, MilvusTuningSpec
from milvus_tuning.catalogue import stored_spelling
from milvus_tuning.clients.etcd import EtcdClient
from milvus_tuning.clients.resource_config import record_to_write, typed, written_patch
from milvus_tuning.decide.running.operation import begin
from milvus_tuning.observe import Observer
from milvus_tuning.plan import Course, Phase, Prediction, Reason
from milvus_tuning.plan_store import PlanStore
from milvus_tuning.settings import Settings
from milvus_tuning.snapshot import Snapshot
from milvus_tuning.store import Reference
from milvus_tuning.turn import utc_now
from tests.builders import a_change
from tests.clients.acting_milvus import ActingMilvus
from tests.cluster.api_only import free_ports
from tests.faults import history
from tests.faults.ending import TUNING, declared
from tests.faults.harness import PATIENCE_SECONDS, Case, Servers
from tests.faults.milvus import gate_of
from tests.faults.processes import Starter
from tests.faults.proxy import FaultProxy, Play, Script, Upstream
from tests.faults.stories import Planned, Story
from tests.integration.conftest import COLLECTION, a_namespace, a_tuning
from tests.integration.installed import Installed
from tests.integration.release import DEPLOYMENT, Release
from tests.observe.world import World, recorded, serving

REQUEST_TIMEOUT_SECONDS = 3.0  # of the operator
UNDER_WAY = "rag-under-way"
_numbers = itertools.count(1)


@contextmanager
def staged(servers: Servers, starter: Starter, story: Story, script: Script | None = None) -> Iterator[Case]:
    """A release with two QueryNodes and a MilvusTuning that calls for a change; the operator is not started yet."""
    number = next(_numbers)
    namespace, root_path = f"faults-{number}", f"faults-{number}"
    with ExitStack() as stack:
        world = stack.enter_context(serving(World(prometheus=recorded(story.recording))))
        etcd = EtcdClient([servers.etcd_address], timeout_seconds=PATIENCE_SECONDS)
        stack.callback(etcd.close)
        play = Play(script=script, kill=lambda: starter.kill(case.pid))
        milvus = _acting(story, world, play)
        api_proxy = stack.enter_context(FaultProxy(servers.upstream, play))
        etcd_proxy = stack.enter_context(FaultProxy(Upstream(url=f"http://{servers.etcd_address}"), play))
        case = Case(
            servers=servers,
            story=story,
            script=script,
            starter=starter,
            release=stack.enter_context(_release(servers, story, a_namespace(servers.api, namespace), world)),
            etcd=etcd,
            root_path=root_path,
            play=play,
            milvus=milvus,
            environment=_environment(servers, namespace, api_proxy.url),
        )
        _prepare(case, etcd_proxy.url)
        player = threading.Thread(target=case.play_the_cluster, daemon=True)
        player.start()
        stack.callback(player.join)
        stack.callback(case.close)
        yield case


@contextmanager
def _release(servers: Servers, story: Story, namespace: str, world: World) -> Iterator[Release]:
    """What the target of the story is."""
    if story.spec.get("targetRef", {}).get("kind") != "Milvus":
        yield Release(server=servers.api, namespace=namespace, world=world)
        return
    with new_client_from_config(str(servers.kubeconfig)) as api_client:  # type: ignore[no-untyped-call]
        yield Installed(servers.api, namespace, world, api_client, root_path="by-dev")


def _hold_leaf(release: Installed, uid: str, key: str, text: str) -> None:
    """A leaf that this policy wrote where there was none, with its record."""
    milvus = release.milvuses.read("my-release")
    record = record_to_write(milvus, uid, stored_spelling(key), leaf=None, text=text, written_at=None)
    patch = written_patch(milvus, uid, stored_spelling(key), record, typed(key, text))
    release.milvuses.merge("my-release", patch, manager=FIELD_MANAGER)
    release.let_the_operator_work(1, pods=False)


def _environment(servers: Servers, namespace: str, server: str) -> dict[str, str]:
    """Everything that the operator's process is told."""
    path = servers.folder / f"{namespace}.kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "proxy", "cluster": {"server": server}}],
        "users": [{"name": "operator", "user": {}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "operator"}}],
        "current-context": "proxy",
    }
    path.write_text(json.dumps(content))
    settings = {
        "namespaces": namespace,
        "pod_namespace": namespace,
        "pod_name": "operator",
        "interval_seconds": "0.5",
        "lease_seconds": "2",
        "request_timeout_seconds": str(REQUEST_TIMEOUT_SECONDS),
        "http_port": str(free_ports(1)[0]),
        "log_format": "text",
    }
    own = {f"MILVUS_TUNING_{name.upper()}": value for name, value in settings.items()}
    return {"PATH": os.environ["PATH"], "HOME": str(servers.folder), "KUBECONFIG": str(path), **own}


def _acting(story: Story, world: World, play: Play) -> ActingMilvus:
    """A Milvus that acts, where the story needs one; the others keep to what was recorded."""
    if story.milvus_version is not None:
        world.milvus["GetVersion"] = {"status": {}, "version": story.milvus_version}
    milvus = ActingMilvus(world.milvus, gate=gate_of(play))
    if story.planned is not None:
        world.milvus.update(milvus.replies)
    return milvus


def _put_under_way(case: Case, planned: Planned) -> None:
    """A plan that somebody approved and the operator has begun, before its first intent."""
    with new_client_from_config(str(case.servers.kubeconfig)) as api_client:  # type: ignore[no-untyped-call]
        owner = Reference(namespace=case.namespace, name=TUNING, uid=case.uid)
        now = utc_now()
        change = a_change(
            policy_name=TUNING,
            policy_uid=case.uid,
            target=f"Deployment {case.namespace}/{DEPLOYMENT}",
            reason=Reason.HOT_NODE,
            steps=planned(_seen(case, api_client)),
            prediction=Prediction(),
        )
        operation = begin(change, operation_id=UNDER_WAY, now=now)
        course = Course(phase=Phase.RUNNING, approval="spec.approval", approved_at=now, operation=operation)
        store = PlanStore(api_client, timeout_seconds=PATIENCE_SECONDS)
        store.write_course(store.hold(store.create(change, UNDER_WAY, owner)), course, now=now)


def _seen(case: Case, api_client: ApiClient) -> Snapshot:
    """What the operator will see."""
    stored = case.api.call("GET", f"{COLLECTION.format(namespace=case.namespace)}/{TUNING}")
    observer = Observer(api_client, Settings(request_timeout_seconds=PATIENCE_SECONDS))
    try:
        return observer.observe(case.namespace, MilvusTuningSpec.model_validate(stored["spec"]), utc_now())
    finally:
        observer.close()


def _prepare(case: Case, etcd_url: str) -> None:
    """Everything that is there before the operator comes."""
    release, world = case.release, case.release.world
    release.install()
    case.put_sessions(set(world.etcd))
    connections = {
        "milvus": {"uri": world.addresses["milvus"]},
        "etcd": {"endpoints": [etcd_url], "rootPath": case.root_path},
        "prometheus": {"url": world.addresses["prometheus"]},
    }
    tuning = a_tuning({"connections": connections, **declared(case.story.spec)}, name=TUNING)
    made = case.api.call("POST", COLLECTION.format(namespace=case.namespace), tuning)
    case.uid = made["metadata"]["uid"]
    case.story.prepare(case.etcd, case.root_path, case.uid)
    if case.story.planned is not None:
        _put_under_way(case, case.story.planned)
    if isinstance(release, Installed) and case.story.leaf is not None:
        _hold_leaf(release, case.uid, *case.story.leaf)
    case.revision = history.revision(case.servers.etcd_address)
    case.generation = case.api.call("GET", release.deployment_path)["metadata"]["generation"]
