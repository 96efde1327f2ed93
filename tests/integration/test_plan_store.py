"""Plans on a real API server: what is stored comes back, and nothing is written over what somebody else wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from kubernetes.client import ApiClient

from milvus_tuning import api, plan_store
from milvus_tuning.decide.running.operation import begin
from milvus_tuning.errors import ApplyError, ObserveError
from milvus_tuning.plan import Ballot, Course, Measurement, Phase, Reason, Step, StepKind, StepState, Verdict, Vote
from milvus_tuning.plan_store import RUNNING_FINALIZER, PlanStore, StoredPlan
from milvus_tuning.store import Reference, TuningStore
from tests.builders import NOON, a_change
from tests.integration.conftest import COLLECTION, Api, Object, Refused, a_tuning, apply_crd, eventually, generated_crd

pytestmark = pytest.mark.usefixtures("crd")
PLANS = f"/apis/{api.GROUP}/{api.VERSION}/namespaces/{{namespace}}/{api.PLAN_PLURAL}"
UNMARK = Step(
    kind=StepKind.DRAIN_QUERY_NODE,
    precondition={"pod": "qn-1", "podUid": "u", "gracePeriodSeconds": 1800},
    action={"pod": "qn-1", "deletionCost": -100},
    verification={"pod": "qn-1", "deletionCost": -100},
    undo={"pod": "qn-1", "deletionCost": None},
)


class World:
    """A namespace with one policy, and its plans as the store and as others see them."""

    def __init__(self, server: Api, api_client: ApiClient, namespace: str) -> None:
        self.server, self.namespace = server, namespace
        self.plans = PLANS.format(namespace=namespace)
        self.store = PlanStore(api_client, timeout_seconds=5)
        self.owner = self.policy("rag")

    def policy(self, name: str) -> Reference:
        made = self.server.call("POST", COLLECTION.format(namespace=self.namespace), a_tuning(name=name))
        return Reference(namespace=self.namespace, name=name, uid=made["metadata"]["uid"])

    def propose(self, name: str = "rag-1", *, owner: Reference | None = None, **changes: Any) -> StoredPlan:
        owner = owner or self.owner
        change = a_change(policy_name=owner.name, policy_uid=owner.uid, **changes)
        return self.store.create(change, name, owner)

    def running(self, stored: StoredPlan) -> StoredPlan:
        return self.store.write_course(self.store.hold(stored), running(stored), now=NOON)

    def body(self, name: str = "rag-1") -> Object:
        found: Object = self.server.call("GET", f"{self.plans}/{name}")
        return found

    def patch(self, body: Object, name: str = "rag-1", *, part: str = "") -> None:
        self.server.call("PATCH", f"{self.plans}/{name}{part}", body)

    def names(self) -> list[str]:
        return [item["metadata"]["name"] for item in self.server.call("GET", self.plans)["items"]]


@pytest.fixture
def world(server: Api, api_client: ApiClient, namespace: str) -> World:
    return World(server, api_client, namespace)


def running(stored: StoredPlan) -> Course:
    """The course of a plan whose first intent is to be written."""
    begun = begin(stored.plan.change, operation_id=stored.plan.name, now=NOON)
    first = replace(begun.steps[0], state=StepState.INTENDED, intended_at=NOON)
    operation = replace(begun, steps=(first, *begun.steps[1:]))
    return Course(phase=Phase.RUNNING, approval="mode Auto", approved_at=NOON, operation=operation)


# -- creating ----------------------------------------------------------------------------------------------------------


def test_a_plan_is_created_as_the_policys_own_with_its_labels(world: World) -> None:
    long = world.policy("x" * 62 + "." + "y" * 40)

    made = world.propose("p-1", owner=long, steps=(UNMARK,))

    metadata = world.body("p-1")["metadata"]
    assert metadata["labels"] == {"milvustuning.io/policy": "x" * 62, "milvustuning.io/policy-uid": long.uid}
    assert metadata["ownerReferences"] == [
        {
            "apiVersion": "milvustuning.io/v1alpha1",
            "kind": "MilvusTuning",
            "name": long.name,
            "uid": long.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert made.plan.change == a_change(policy_name=long.name, policy_uid=long.uid, steps=(UNMARK,))
    assert (made.plan.uid, made.plan.course, made.unreadable) == (metadata["uid"], Course(), None)


def test_the_same_plan_created_twice_is_one(world: World) -> None:
    first = world.propose(proposed_at=NOON + timedelta(milliseconds=1))
    second = world.propose(proposed_at=NOON + timedelta(milliseconds=2))
    assert (second.plan.uid, world.names()) == (first.plan.uid, ["rag-1"])


def test_a_name_that_another_change_has_is_refused_and_nothing_is_changed(world: World) -> None:
    first = world.propose()
    with pytest.raises(ApplyError, match="another change") as raised:
        world.propose(message="3 -> 5")
    assert not raised.value.retryable
    assert world.body() == first.body


# -- finding -----------------------------------------------------------------------------------------------------------


def test_the_plans_of_a_policy_come_oldest_first_over_all_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_store, "PAGE_SIZE", 2)
    for sequence in (10, 9, 1, 11, 2):
        world.propose(f"rag-{sequence}", sequence=sequence)
    world.propose("other-1", owner=world.policy("other"))

    found = world.store.of_policy(world.namespace, world.owner.uid)

    assert [stored.plan.change.sequence for stored in found] == [1, 2, 9, 10, 11]


def test_a_label_alone_makes_no_plan_a_policys_own(world: World) -> None:
    other = world.policy("other")
    world.propose("other-1", owner=other)
    world.patch({"metadata": {"labels": {"milvustuning.io/policy-uid": world.owner.uid}}}, "other-1")
    assert world.store.of_policy(world.namespace, world.owner.uid) == ()


FINISHED = {"phase": "Finished", "verdict": "Kept"}


@pytest.mark.parametrize(
    ("target", "status", "found"),
    [
        pytest.param("Deployment milvus/a", None, None, id="proposed"),
        pytest.param("Deployment milvus/a", {}, "other-1", id="running"),
        pytest.param("Deployment milvus/b", {}, None, id="running elsewhere"),
        pytest.param("Deployment milvus/a", FINISHED, None, id="finished"),
        pytest.param("Deployment milvus/a", {"phase": "Dreaming"}, "other-1", id="in words of another version"),
        pytest.param("Deployment milvus/a", FINISHED | {"outcome": "Odd"}, None, id="finished in such words"),
    ],
)
def test_a_plan_of_another_policy_on_the_same_target(
    world: World, target: str, status: Object | None, found: str | None
) -> None:
    other = world.policy("other")
    stored = world.propose("other-1", owner=other, target=target)
    if status is not None:
        world.running(stored)
        world.patch({"status": status}, "other-1", part="/status")
    assert world.store.running_elsewhere(world.namespace, "Deployment milvus/a", world.owner.uid) == found
    assert world.store.running_elsewhere(world.namespace, "Deployment milvus/a", other.uid) is None


# -- the course --------------------------------------------------------------------------------------------------------


def test_a_whole_course_comes_back_as_it_was_written(world: World) -> None:
    stored = world.propose(steps=(UNMARK, a_change().steps[0]))
    operation = running(stored).operation
    assert operation is not None
    back = replace(operation.steps[1], step=replace(operation.steps[1].step, undo={"count": 3}), message="too late")
    course = Course(
        phase=Phase.FINISHED,
        approval="ann",
        approved_at=NOON,
        operation=replace(
            operation,
            steps=(operation.steps[0], back),
            finished_at=NOON + timedelta(minutes=1),
            outcome=Reason.COMPLETED,
            outcome_message="done",
        ),
        before=Measurement(ended_at=NOON, window_seconds=180, searches_per_minute=0, skew_percent=-3),
        after=Measurement(ended_at=NOON, window_seconds=180, mean_microseconds=41_200),
        verify_until=NOON + timedelta(minutes=5),
        verdict=Verdict.KEPT,
        verdict_message="no worse",
        finished_at=NOON + timedelta(minutes=6),
    )

    written = world.store.write_course(stored, course, now=NOON)

    (read,) = world.store.of_policy(world.namespace, world.owner.uid)
    assert (read.plan, read.unreadable) == (written.plan, None)
    assert read.plan.course == course
    assert read.plan.course.operation is not None
    assert read.plan.course.operation.steps[0].step.undo == {"pod": "qn-1", "deletionCost": None}


def test_approval_that_is_set_between_read_and_write_is_no_conflict_and_stays(world: World) -> None:
    stored = world.propose()
    world.patch({"spec": {"approval": {"decision": "Approved", "by": "ann"}}})

    written = world.store.write_course(stored, Course(waits_for="approval"), now=NOON)

    assert written.plan.ballot == Ballot(vote=Vote.APPROVED, by="ann")
    assert written.plan.course == Course(waits_for="approval")
    assert world.body()["spec"]["approval"] == {"decision": "Approved", "by": "ann"}


def test_a_status_that_somebody_else_wrote_meanwhile_is_not_written_over(world: World) -> None:
    stored = world.propose()
    ahead = world.store.write_course(stored, running(stored), now=NOON)

    with pytest.raises(ApplyError, match="somebody else wrote its status") as raised:
        world.store.write_course(stored, Course(waits_for="approval"), now=NOON)

    assert raised.value.retryable
    assert world.body()["status"] == ahead.body["status"]
    assert world.store.write_course(ahead, running(stored), now=NOON).plan.course == running(stored)


def test_another_plan_of_the_name_is_not_written_to(world: World) -> None:
    stored = world.propose()
    world.store.delete(stored)
    again = world.propose()

    with pytest.raises(ApplyError, match="it is gone"):
        world.store.write_course(stored, running(stored), now=NOON)

    assert (world.body()["metadata"]["uid"], "status" in world.body()) == (again.plan.uid, False)


# -- words of another version ------------------------------------------------------------------------------------------


@pytest.fixture
def another_version(server: Api) -> Iterator[None]:
    """The CRD as another version of the operator may have it: with one more field in status, and any verdict."""
    manifest = generated_crd(api.PLAN_PLURAL)
    status = manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    status["mood"] = {"type": "string"}
    status["verdict"] = {"type": "string"}
    apply_crd(server, manifest)
    yield
    apply_crd(server, generated_crd(api.PLAN_PLURAL))


@pytest.mark.usefixtures("another_version")
@pytest.mark.parametrize(
    ("foreign", "told"),
    [
        pytest.param({"phase": "Dreaming"}, "Dreaming", id="a phase"),
        pytest.param({"mood": "fine"}, "mood: Extra inputs", id="a field"),
        pytest.param({"verdict": "Doubtful"}, "verdict: Input should be", id="a verdict"),
    ],
)
def test_what_another_version_wrote_is_not_written_over(world: World, foreign: Object, told: str) -> None:
    world.running(world.propose())
    eventually(_accepted(world, foreign))

    (stored,) = world.store.of_policy(world.namespace, world.owner.uid)

    assert told in (stored.unreadable or "")
    assert (stored.plan.begun, stored.plan.open, stored.plan.change.sequence) == (True, True, 7)
    with pytest.raises(ApplyError, match="another version of the operator") as raised:
        world.store.write_course(stored, Course(), now=NOON)
    assert not raised.value.retryable
    with pytest.raises(ApplyError, match="another version of the operator"):
        world.store.hold(stored)
    assert world.body() == stored.body
    assert world.store.release(stored).body["status"] == stored.body["status"]


def _accepted(world: World, foreign: Object) -> Callable[[], bool | None]:
    """A probe that writes the status until the API server, which may still serve the schema before, keeps it."""

    def accepted() -> bool | None:
        try:
            world.patch({"status": foreign}, part="/status")
        except Refused:
            return None
        return all(world.body()["status"].get(name) == value for name, value in foreign.items()) or None

    return accepted


def test_a_change_of_another_version_is_known_by_its_number_and_policy(world: World, server: Api) -> None:
    made = world.propose().body
    body = {**made, "metadata": {**made["metadata"], "name": "rag-2"}}
    for given in ("resourceVersion", "uid"):
        del body["metadata"][given]
    body["spec"]["change"]["steps"][0]["kind"] = "Dance"
    server.call("POST", world.plans, body)

    stored = world.store.of_policy(world.namespace, world.owner.uid)[-1]

    assert stored.plan.name == "rag-2"
    assert stored.unreadable == "spec.change: 'Dance' is not a valid StepKind"
    assert (stored.plan.change.sequence, stored.plan.change.steps, stored.plan.begun) == (7, (), False)
    with pytest.raises(ApplyError, match="'Dance'"):
        world.store.write_course(stored, Course(), now=NOON)


# -- the finalizer, and the end ----------------------------------------------------------------------------------------


def test_a_plan_that_is_held_outlives_its_deletion_until_it_is_released(world: World) -> None:
    held = world.running(world.propose())
    world.server.call("DELETE", f"{world.plans}/rag-1")

    (leaving,) = world.store.of_policy(world.namespace, world.owner.uid)
    assert (leaving.plan.deleting, leaving.held, leaving.plan.course) == (True, True, held.plan.course)
    done = world.store.write_course(leaving, replace(running(leaving), phase=Phase.FINISHED), now=NOON)
    released = world.store.release(done)

    assert (released.held, world.names()) == (False, [])


def test_a_plan_that_is_not_held_goes_at_once(world: World) -> None:
    world.propose()
    world.server.call("DELETE", f"{world.plans}/rag-1")
    assert world.names() == []


def test_the_finalizers_of_others_stay(world: World) -> None:
    stored = world.propose()
    world.patch({"metadata": {"finalizers": ["example.com/theirs"]}})

    held = world.store.hold(stored)
    assert sorted(held.body["metadata"]["finalizers"]) == ["example.com/theirs", RUNNING_FINALIZER]
    assert world.store.hold(held) is held

    released = world.store.release(held)
    assert released.body["metadata"]["finalizers"] == ["example.com/theirs"]
    assert world.store.release(released) is released
    world.patch({"metadata": {"finalizers": []}})


def test_a_plan_whose_status_moved_on_is_not_held(world: World) -> None:
    stored = world.propose()
    world.store.write_course(stored, Course(waits_for="approval"), now=NOON)
    with pytest.raises(ApplyError, match="somebody else wrote its status"):
        world.store.hold(stored)
    assert "finalizers" not in world.body()["metadata"]


def test_a_plan_that_is_being_deleted_cannot_be_held_any_more(world: World) -> None:
    stored = world.propose()
    world.patch({"metadata": {"finalizers": ["example.com/theirs"]}})
    world.server.call("DELETE", f"{world.plans}/rag-1")

    with pytest.raises(ApplyError, match="no new finalizers can be added") as raised:
        world.store.hold(stored)

    assert not raised.value.retryable
    world.patch({"metadata": {"finalizers": []}})


def test_only_this_very_plan_is_deleted(world: World) -> None:
    stored = world.propose()
    world.store.delete(stored)
    assert world.names() == []
    world.store.delete(stored)
    with pytest.raises(ApplyError, match=r"writing the status of MilvusTuningPlan test-.*: HTTP 404"):
        world.store.write_course(stored, Course(), now=NOON)

    again = world.propose()
    world.store.delete(stored)
    assert world.body()["metadata"]["uid"] == again.plan.uid


NO_TIME = 0.000_001


def test_without_an_answer_reads_and_writes_of_plans_say_what_was_tried(world: World, api_client: ApiClient) -> None:
    stored = world.propose()
    deaf = PlanStore(api_client, timeout_seconds=NO_TIME)
    with pytest.raises(ObserveError, match="reading the MilvusTuningPlans of namespace"):
        deaf.of_policy(world.namespace, world.owner.uid)
    with pytest.raises(ApplyError, match="writing the status of MilvusTuningPlan") as raised:
        deaf.write_course(stored, Course(), now=NOON)
    assert raised.value.retryable


def test_without_an_answer_reads_and_writes_of_policies_say_what_was_tried(world: World, api_client: ApiClient) -> None:
    stored = TuningStore(api_client, timeout_seconds=5).read(world.owner)
    assert stored is not None
    deaf = TuningStore(api_client, timeout_seconds=NO_TIME)
    with pytest.raises(ObserveError, match="reading MilvusTuning test-"):
        deaf.read(world.owner)
    with pytest.raises(ObserveError, match="reading the MilvusTunings of namespace"):
        deaf.older_rival(stored)
    with pytest.raises(ApplyError, match="writing status") as raised:
        deaf.write_status(stored, stored.status)
    assert raised.value.retryable
