"""The zone that QueryNodes prefer, and milvus-operator's own rolls, from the declaration to the hand-back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from kubernetes.client import ApiClient

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.clients.scheduling import SCHEDULING_MANAGER, scheduling_of
from milvus_tuning.decide.config.restart_steps import restart_bracket
from milvus_tuning.decide.running.operation import begin
from milvus_tuning.observe import Observer
from milvus_tuning.plan import Course, Phase, Prediction, Reason
from milvus_tuning.plan_store import PlanStore
from milvus_tuning.settings import Settings
from milvus_tuning.snapshot import Scheduling, Snapshot
from tests.builders import a_change
from tests.integration.bench import Bench, Operator
from tests.integration.conftest import Api, Object, a_namespace
from tests.integration.installed import Installed
from tests.observe.world import World, recorded, serving

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("crd")]
TARGET = {"kind": "Milvus", "name": "my-release"}
NODES = {"minCount": 2, "maxCount": 4}
PREFER = {"targetRef": TARGET, "mode": "Auto", "queryNodes": {**NODES, "zonePreference": "WithProxies"}}
UNATTENDED = {"approval": {"automatic": {"maxRisk": "High"}}}
FIELD = "spec.components.queryNode.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution"
THEIRS = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}, "nodeAffinity": {"a": 1}}
_numbers = itertools.count(1)


class Case(Bench):
    """A Milvus object with two QueryNodes that serve."""

    installed: Installed

    def setting(self) -> Object:
        """How the preference stands, as status shows it."""
        found: Object = next(
            one for one in self.release.tuning()["status"]["config"] if one["intent"] == "queryNodes.zonePreference"
        )
        return found

    def scheduling(self) -> Scheduling:
        """What the Milvus object says."""
        return scheduling_of(self.installed.milvuses.read("my-release"))

    def approve(self) -> None:
        """A person's word on the newest plan."""
        name = self.release.plan()["metadata"]["name"]
        self.release.server.call("PATCH", f"{self.plans}/{name}", {"spec": {"approval": {"decision": "Approved"}}})

    def delete(self) -> None:
        """Ask for the deletion of the MilvusTuning, which its finalizer holds."""
        path = f"{self.tunings}/rag"
        self.release.server.call("PATCH", path, {"metadata": {"finalizers": ["milvustuning.io/finalizer"]}})
        self.release.server.call("DELETE", path)

    def snapshot(self) -> Snapshot:
        """What the operator sees."""
        observer = Observer(self.api_client, Settings(request_timeout_seconds=5))
        try:
            spec = MilvusTuningSpec.model_validate(self.release.tuning()["spec"])
            return observer.observe(self.release.namespace, spec, self.clock())
        finally:
            observer.close()


def outside(operator: Operator) -> list[str]:
    """What the operator wrote to anything but its own objects: the ends of the paths."""
    return [path.rpartition("/namespaces/")[2] for _, path in operator.client.writes if "milvustuning" not in path]


@pytest.fixture
def case(server: Api, api_client: ApiClient) -> Iterator[Case]:
    """It serves, and nobody tunes it yet."""
    world = World(spec={"targetRef": TARGET}, prometheus=recorded("prometheus_idle.json"))
    world.etcd = {key.replace("by-dev", "my-release"): value for key, value in world.etcd.items()}
    with serving(world):
        installed = Installed(server, a_namespace(server, f"zones{next(_numbers)}"), world, api_client)
        installed.install()
        case = Case(api_client, installed)
        case.installed = installed
        yield case


def test_declared_approved_rolled_effective_and_handed_back(case: Case) -> None:
    case.declare(PREFER)
    operator = Operator(case)
    operator.run_pass()
    plan = case.release.plan()
    assert [step["kind"] for step in plan["spec"]["change"]["steps"]] == ["SetScheduling"]
    assert plan["spec"]["change"]["risk"]["level"] == "High"
    assert plan["status"]["waitsFor"].startswith("approval: risk High is above maxRisk Medium")
    assert (case.setting()["state"], outside(operator)) == ("PendingRestart", [])

    case.approve()
    operator.run_pass()
    milvus = f"{case.release.namespace}/milvuses/my-release"
    assert case.scheduling() == Scheduling(preference="WithProxies", ours=True)
    seen = set()
    while case.installed.live_slot == 0 or case.installed.rolling:
        case.installed.let_the_operator_work(1)
        operator.run_pass()
        seen.add((case.installed.slots(), case.release.plan()["status"]["phase"], case.setting()["state"]))
        assert len(seen) < 20
    assert {((2, 1), "Running", "PendingRestart"), ((1, 1), "Running", "PendingRestart")} <= seen
    assert outside(operator) == [milvus], "one write, and nothing while the QueryNodes are replaced"

    case.installed.let_the_operator_work(1)
    operator.run_pass()
    step = case.release.plan()["status"]["steps"][0]
    phase = case.release.plan()["status"]["phase"]
    assert (step["state"], case.installed.slots(), phase) == ("Done", (0, 2), "Verifying")
    setting = case.setting()
    assert (setting["state"], setting["key"], setting["desired"]) == ("Effective", FIELD, "WithProxies")
    assert setting["effective"] == "WithProxies on 2 of 2; 2 of 2 in a preferred zone"
    assert "all of them are in zone zone-a: no in-memory replica survives its loss" in setting["message"]

    case.delete()
    operator.hand_back()
    assert case.scheduling() == Scheduling()
    managers = {entry["manager"] for entry in case.installed.milvuses.read("my-release")["metadata"]["managedFields"]}
    assert SCHEDULING_MANAGER not in managers
    case.installed.let_the_operator_work(1)
    case.installed.roll()
    assert case.installed.slots() == (2, 0)


def test_a_window_is_waited_for(case: Case) -> None:
    opens = datetime.now(UTC) + timedelta(hours=3)  # noqa: TID251 - the times of the objects are the API server's
    window = {"name": "night", "schedule": f"0 {opens.hour} * * *", "durationMinutes": 60, "allows": ["Restart"]}
    case.declare({**PREFER, **UNATTENDED, "maintenanceWindows": [window]})
    operator = Operator(case)
    operator.run_pass()
    assert "Restart waits for maintenance window night" in case.release.plan()["status"]["waitsFor"]
    assert case.scheduling() == Scheduling()


def test_within_its_bounds_it_approves_itself(case: Case) -> None:
    case.declare({**PREFER, **UNATTENDED})
    operator = Operator(case)
    operator.run_pass()
    assert case.scheduling() == Scheduling(preference="WithProxies", ours=True)


def test_an_affinity_of_somebody_else_stays(case: Case) -> None:
    change = {"spec": {"components": {"queryNode": {"affinity": THEIRS}}}}
    case.installed.milvuses.merge("my-release", change, manager="argocd")
    case.installed.let_the_operator_work(1)
    case.installed.roll()
    before = case.installed.milvuses.read("my-release")["spec"]
    case.declare({**PREFER, **UNATTENDED})
    operator = Operator(case)
    for _ in range(3):
        operator.run_pass()
    setting = case.setting()
    assert (setting["state"], case.release.plans(), outside(operator)) == ("Refused", [], [])
    assert "spec.components.queryNode.affinity (set by argocd) is not overwritten" in setting["message"]
    assert '"topologyKey": "topology.kubernetes.io/zone"' in setting["message"]
    assert case.installed.milvuses.read("my-release")["spec"] == before


def test_nothing_is_started_while_a_user_has_query_nodes_replaced(case: Case) -> None:
    case.installed.milvuses.merge(
        "my-release", {"spec": {"components": {"queryNode": {"podLabels": {"team": "search"}}}}}, manager="kubectl"
    )
    case.installed.let_the_operator_work(2)
    assert case.installed.slots() == (2, 1)
    case.declare({**PREFER, **UNATTENDED, "queryNodes": {"minCount": 3, "maxCount": 4}})
    operator = Operator(case)
    for _ in range(3):
        operator.run_pass()
    status = case.release.tuning()["status"]
    assert (outside(operator), case.release.plans(), status["decision"]["reason"]) == ([], [], "Frozen")
    snapshot = case.snapshot()
    assert snapshot.workload is not None
    workload = snapshot.workload
    assert (workload.desired_count, workload.ready_count, workload.serving_count, len(snapshot.members)) == (2, 3, 3, 3)
    assert sorted(pod.outgoing for pod in snapshot.components if pod.component == "QueryNode") == [False, True, True]

    case.installed.roll()
    operator.run_pass()
    case.installed.let_the_operator_work(2)
    assert case.installed.slots() == (0, 3), "and afterwards what was wanted all along is done, in the other slot"


def test_a_restart_of_ours_evicts_pods_of_the_live_slot_alone(case: Case) -> None:
    change = {"spec": {"components": {"queryNode": {"podLabels": {"team": "search"}}}}}
    case.installed.milvuses.merge("my-release", change, manager="kubectl")
    case.installed.let_the_operator_work(1)
    case.installed.roll()
    case.declare({**PREFER, "queryNodes": NODES})
    case.clock.skip(seconds=30)
    _under_way(case)
    operator = Operator(case)
    live = [pod["metadata"]["name"] for pod in case.installed.query_nodes(1)]
    assert len(live) == 2

    change["spec"]["components"]["queryNode"]["podLabels"]["team"] = "answers"
    operator.run_pass()
    evicted = [path.split("/")[-2] for path in outside(operator)]
    assert evicted == live[:1]
    case.installed.milvuses.merge("my-release", change, manager="kubectl")
    case.installed.let_the_operator_work(3)
    assert case.installed.slots() == (1, 1)
    operator.run_pass()
    assert [path.split("/")[-2] for path in outside(operator)] == live[:1], "milvus-operator is at work now"


def _under_way(case: Case) -> None:
    """A plan that somebody approved and the operator has begun: a restart of the QueryNodes."""
    found = restart_bracket(["QueryNode"], case.snapshot())
    assert not isinstance(found, str), found
    back, forward = found
    change = a_change(
        policy_name="rag",
        policy_uid=case.reference("rag").uid,
        target=f"Milvus {case.release.namespace}/my-release",
        reason=Reason.SETTING_CHANGED,
        steps=(*back, *forward),
        prediction=Prediction(),
    )
    now = case.clock()
    operation = begin(change, operation_id="rag-under-way", now=now)
    course = Course(phase=Phase.RUNNING, approval="spec.approval", approved_at=now, operation=operation)
    store = PlanStore(case.api_client, timeout_seconds=5)
    store.write_course(store.hold(store.create(change, "rag-under-way", case.reference("rag"))), course, now=now)
