"""The zone that QueryNodes prefer, on a real API server: one field is ours, and nothing of others is overwritten."""

from __future__ import annotations

import pytest
from kubernetes.client import ApiClient

from milvus_tuning.api import FIELD_MANAGER
from milvus_tuning.apply import ApplyContext, PreconditionChanged, perform, release_replicas, release_scheduling
from milvus_tuning.catalogue import zone_terms
from milvus_tuning.clients.scheduling import SCHEDULING_MANAGER, scheduling_of
from milvus_tuning.errors import ApplyError
from milvus_tuning.snapshot import Scheduling, WorkloadKind
from tests.apply.builders import a_context, a_scale, a_scheduling
from tests.apply.objects import MILVUS, Object, Objects, a_milvus, owners
from tests.standin.__main__ import install_crd
from tests.standin.kube import Kube

pytest_plugins = ("tests.apply.servers",)
pytestmark = pytest.mark.integration
NAME = "preferredDuringSchedulingIgnoredDuringExecution"
FIELD = ("spec", "components", "queryNode", "affinity", "podAffinity", NAME)
THEIRS = {"podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {}}, "weight": 1}
PREFER = a_scheduling(None, "WithProxies")


@pytest.fixture
def milvuses(api_client: ApiClient, namespace: str) -> Objects:
    """A Milvus object with two QueryNodes."""
    install_crd(Kube(api_client))
    objects = Objects(api_client, namespace, MILVUS)
    objects.create(a_milvus(query_node={"replicas": 2}), manager="kubectl")
    return objects


@pytest.fixture
def context(api_client: ApiClient, namespace: str, milvuses: Objects) -> ApplyContext:
    """The context of its policy."""
    return a_context(api_client=api_client, namespace=namespace, kind=WorkloadKind.MILVUS, name="my-release")


def query_node(milvuses: Objects) -> Object:
    found: Object = milvuses.read("my-release")["spec"]["components"]["queryNode"]
    return found


def change(milvuses: Objects, components: Object) -> None:
    milvuses.merge("my-release", {"spec": {"components": components}}, manager="kubectl")


def test_one_field_is_written_under_a_manager_of_its_own(milvuses: Objects, context: ApplyContext) -> None:
    assert "none -> WithProxies" in perform(PREFER, undo=False, context=context)
    body = milvuses.read("my-release")
    terms = zone_terms("WithProxies", "my-release")
    assert query_node(milvuses) == {"replicas": 2, "affinity": {"podAffinity": {NAME: terms}}}
    assert owners(body, *FIELD) == {(SCHEDULING_MANAGER, "Apply")}
    assert scheduling_of(body) == Scheduling(preference="WithProxies", ours=True)
    [entry] = [one for one in body["metadata"]["managedFields"] if one["manager"] == SCHEDULING_MANAGER]
    leaf: Object = {"f:affinity": {"f:podAffinity": {f"f:{NAME}": {}}}}
    assert entry["fieldsV1"] == {"f:spec": {"f:components": {"f:queryNode": leaf}}}


def test_it_lives_beside_the_replica_count(milvuses: Objects, context: ApplyContext) -> None:
    perform(a_scale(2, 3), undo=False, context=context)
    perform(PREFER, undo=False, context=context)
    perform(a_scale(3, 4), undo=False, context=context)
    release_replicas(context)
    assert query_node(milvuses)["replicas"] == 4
    assert scheduling_of(milvuses.read("my-release")).ours


def test_written_twice_is_written_once(milvuses: Objects, context: ApplyContext) -> None:
    perform(PREFER, undo=False, context=context)
    before = milvuses.read("my-release")["metadata"]["resourceVersion"]
    assert "already" in perform(PREFER, undo=False, context=context)
    assert milvuses.read("my-release")["metadata"]["resourceVersion"] == before


def test_another_preference_takes_its_place_and_comes_back(milvuses: Objects, context: ApplyContext) -> None:
    perform(PREFER, undo=False, context=context)
    step = a_scheduling("WithProxies", "WithQueryNodes")
    perform(step, undo=False, context=context)
    assert scheduling_of(milvuses.read("my-release")).preference == "WithQueryNodes"
    perform(step, undo=True, context=context)
    assert scheduling_of(milvuses.read("my-release")).preference == "WithProxies"


@pytest.mark.parametrize("road", ["undo", "release"])
def test_taken_away_nothing_is_left(milvuses: Objects, context: ApplyContext, road: str) -> None:
    perform(PREFER, undo=False, context=context)
    told = perform(PREFER, undo=True, context=context) if road == "undo" else release_scheduling(context)
    assert "WithProxies -> none" in str(told)
    assert query_node(milvuses) == {"replicas": 2}
    managers = {entry["manager"] for entry in milvuses.read("my-release")["metadata"]["managedFields"]}
    assert SCHEDULING_MANAGER not in managers
    assert FIELD_MANAGER not in managers
    assert release_scheduling(context) is None


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        pytest.param({"affinity": {"nodeAffinity": {"a": 1}}}, "spec.components.affinity", id="of all components"),
        pytest.param(
            {"queryNode": {"affinity": {"podAffinity": {NAME: [THEIRS]}}}},
            r"spec.components.queryNode.affinity \(set by kubectl\) is not overwritten",
            id="terms in the list",
        ),
        pytest.param(
            {"queryNode": {"affinity": {"podAntiAffinity": {"a": 1}}}}, "is not overwritten", id="beside the list"
        ),
        pytest.param(
            {"queryNode": {"affinity": {"podAffinity": {NAME: zone_terms("WithQueryNodes", "my-release")}}}},
            "is WithQueryNodes",
            id="another preference of theirs",
        ),
        pytest.param({"queryNode": {"groups": [{"name": "a", "replicas": 1}]}}, "groups is set", id="groups"),
        pytest.param(
            {
                "topologySpreadConstraints": [
                    {"topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 1}
                ]
            },
            "demands a spread over zones",
            id="a spread that is a demand",
        ),
    ],
)
def test_nothing_of_somebody_else_is_overwritten(
    milvuses: Objects, context: ApplyContext, theirs: Object, words: str
) -> None:
    change(milvuses, theirs)
    before = milvuses.read("my-release")
    with pytest.raises(PreconditionChanged, match=words):
        perform(PREFER, undo=False, context=context)
    assert milvuses.read("my-release") == before


def test_query_nodes_are_not_replaced_all_at_once(milvuses: Objects, context: ApplyContext) -> None:
    change(milvuses, {"imageUpdateMode": "force"})
    with pytest.raises(PreconditionChanged, match="all QueryNodes would be replaced at once"):
        perform(PREFER, undo=False, context=context)
    change(milvuses, {"imageUpdateMode": "rollingUpgrade"})
    perform(PREFER, undo=False, context=context)
    change(milvuses, {"imageUpdateMode": "force"})
    assert "WithProxies stays" in str(release_scheduling(context))
    assert scheduling_of(milvuses.read("my-release")).preference == "WithProxies"


def test_a_spread_that_is_a_wish_is_no_obstacle(milvuses: Objects, context: ApplyContext) -> None:
    spread = {"topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway", "maxSkew": 1}
    change(milvuses, {"topologySpreadConstraints": [spread]})
    perform(PREFER, undo=False, context=context)
    assert scheduling_of(milvuses.read("my-release")).ours


def test_what_somebody_wrote_over_ours_stays(milvuses: Objects, context: ApplyContext) -> None:
    perform(PREFER, undo=False, context=context)
    change(milvuses, {"queryNode": {"affinity": {"podAffinity": {NAME: [THEIRS]}}}})
    assert "already" in perform(PREFER, undo=True, context=context)
    assert release_scheduling(context) is None
    assert query_node(milvuses)["affinity"] == {"podAffinity": {NAME: [THEIRS]}}


def test_a_chart_has_no_such_field(api_client: ApiClient, namespace: str) -> None:
    with pytest.raises(ApplyError, match=r"Deployment .* has no spec\.components.queryNode.affinity"):
        perform(PREFER, undo=False, context=a_context(api_client=api_client, namespace=namespace))
