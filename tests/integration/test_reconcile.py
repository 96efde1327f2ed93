"""Whole passes on a real API server: what is written, in which order, and what a restart or an edit makes of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiClient

from milvus_tuning.clients.etcd import EtcdClient
from milvus_tuning.errors import ApplyError
from tests.integration.bench import GROW, Bench, Operator, a_bench, an_etcd
from tests.integration.conftest import (
    Api,
    Object,
)
from tests.integration.release import changes_since

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("crd")]


@pytest.fixture
def bench(server: Api, api_client: ApiClient, namespace: str) -> Iterator[Bench]:
    """Two QueryNodes that serve, and nobody who tunes them yet."""
    with a_bench(server, api_client, namespace) as found:
        yield found


def step_states(plan: Object) -> list[str]:
    """The states of the steps of a plan."""
    return [step["state"] for step in plan.get("status", {}).get("steps") or []]


def test_the_intent_is_stored_before_the_count_and_the_outcome_after_it(bench: Bench) -> None:
    since = bench.declare(GROW)
    operator = Operator(bench)

    operator.run_pass()
    bench.release.a_third_node_arrives()
    operator.run_pass()

    plans = changes_since(bench.api_client, bench.plans, since)
    deployments = changes_since(bench.api_client, bench.release.deployment_path.rpartition("/")[0], since)
    at = {tuple(step_states(one)): int(one["metadata"]["resourceVersion"]) for one in reversed(plans)}
    scaled = min(int(one["metadata"]["resourceVersion"]) for one in deployments if one["spec"]["replicas"] == 3)
    assert at["Intended",] < scaled < at["Applied",] < at["Done",]
    assert [event.reason for event in operator.events] == ["PlanProposed", "PlanApproved", "BelowMinimum", "Completed"]
    assert operator.plan_events == operator.events


def test_a_plan_is_verified_kept_and_accounted_for(bench: Bench) -> None:
    bench.declare({**GROW, "verification": {"windowSeconds": 60, "settleSeconds": 10}})
    operator = Operator(bench)
    operator.run_pass()
    bench.release.a_third_node_arrives()
    operator.run_pass()
    assert (bench.release.plan()["status"]["phase"], bench.release.tuning()["status"].get("history")) == (
        "Verifying",
        None,
    )
    assert bench.release.plan()["metadata"]["finalizers"] == ["milvustuning.io/running"]

    bench.clock.skip(seconds=71)
    operator.run_pass()

    plan, status = bench.release.plan(), bench.release.tuning()["status"]
    entry = status["history"][-1]
    assert (plan["status"]["phase"], plan["status"]["outcome"]) == ("Finished", "Completed")
    assert plan["metadata"].get("finalizers") is None
    assert (entry["id"], entry["outcome"]) == (plan["metadata"]["name"], "Completed")
    assert entry["verdict"] == plan["status"]["verdict"] == status["lastPlan"]["verdict"]
    assert set(plan["status"]["measured"]) == {"before", "after"}
    assert status["benefit"]["plansKept"] == 1
    assert bench.release.plans() == [plan]


def test_what_a_crash_left_between_the_end_and_the_history_is_made_up_for(bench: Bench) -> None:
    bench.declare({**GROW, "verification": {"windowSeconds": 60, "settleSeconds": 10}})
    operator = Operator(bench)
    operator.run_pass()
    bench.release.a_third_node_arrives()
    operator.run_pass()
    bench.clock.skip(seconds=71)
    rights = itertools.count(1)

    def until_the_end_is_written() -> None:
        if next(rights) > 2:  # the second measurement and the verdict, and no more
            raise ApplyError("the Lease is lost", retryable=True)

    with pytest.raises(ApplyError, match="Lease"):
        Operator(bench, until_the_end_is_written).run_pass()
    assert bench.release.plan()["status"]["phase"] == "Finished"
    assert bench.release.tuning()["status"].get("history") is None

    for _ in range(2):
        Operator(bench).run_pass()

    assert [entry["outcome"] for entry in bench.release.tuning()["status"]["history"]] == ["Completed"]
    assert bench.release.plan()["metadata"].get("finalizers") is None


def test_a_restart_between_the_write_and_its_record_writes_no_second_time(bench: Bench) -> None:
    bench.declare(GROW)
    rights = itertools.count(1)

    def until_the_count_is_written() -> None:
        if next(rights) > 5:  # the plan, its approval, the measurement, the intent, the count, and no more
            raise ApplyError("the Lease is lost", retryable=True)

    first = Operator(bench, until_the_count_is_written)
    with pytest.raises(ApplyError, match="Lease"):
        first.run_pass()
    assert (bench.release.count, step_states(bench.release.plan())) == (3, ["Intended"])

    bench.release.a_third_node_arrives()
    second = Operator(bench)
    second.run_pass()
    second.run_pass()

    assert len(first.client.scalings) + len(second.client.scalings) == 1
    assert step_states(bench.release.plan()) == ["Done"]
    assert bench.release.plan()["status"]["outcome"] == "Completed"


def vote(bench: Bench, decision: str) -> None:
    """A person's word, as kubectl patch would say it."""
    name = bench.release.plan()["metadata"]["name"]
    bench.release.server.call("PATCH", f"{bench.plans}/{name}", {"spec": {"approval": {"decision": decision}}})


PROPOSE = GROW | {"mode": "Propose"}


def test_mode_propose_waits_for_a_word_and_then_runs_exactly_the_plan(bench: Bench) -> None:
    bench.declare(PROPOSE)
    operator = Operator(bench)
    for _ in range(3):
        operator.run_pass()
    waiting = bench.release.plan()
    assert (waiting["status"]["phase"], bench.release.count, operator.client.scalings) == ("Proposed", 2, [])
    assert waiting["status"]["waitsFor"] == "approval: mode is Propose"
    assert bench.release.tuning()["status"]["phase"] == "AwaitingApproval"
    assert len(bench.release.plans()) == 1, "the same wish makes no second plan"

    vote(bench, "Approved")
    operator.run_pass()

    assert (bench.release.count, len(operator.client.scalings)) == (3, 1)
    assert bench.release.plan()["spec"]["change"] == waiting["spec"]["change"]
    assert bench.release.plan()["status"]["approval"] == "spec.approval"


def test_a_rejected_plan_changes_nothing_and_is_not_proposed_again(bench: Bench) -> None:
    bench.declare(PROPOSE)
    operator = Operator(bench)
    operator.run_pass()
    vote(bench, "Rejected")

    for _ in range(3):
        operator.run_pass()

    assert bench.release.plan()["status"]["verdict"] == "Rejected"
    assert (len(bench.release.plans()), bench.release.count) == (1, 2)
    assert bench.release.tuning()["status"]["decision"]["reason"] == "Rejected"

    bench.release.server.call("PATCH", f"{bench.tunings}/rag", {"spec": {"queryNodes": {"maxCount": 6}}})
    operator.run_pass()
    assert [plan["status"].get("verdict") for plan in bench.release.plans()] == ["Rejected", None]


def test_a_plan_is_approved_from_git_by_its_name(bench: Bench) -> None:
    bench.declare(PROPOSE)
    operator = Operator(bench)
    operator.run_pass()
    name = bench.release.plan()["metadata"]["name"]
    bench.release.server.call("PATCH", f"{bench.tunings}/rag", {"spec": {"approval": {"approvedPlans": [name]}}})

    operator.run_pass()

    assert (bench.release.count, bench.release.plan()["metadata"]["name"]) == (3, name)
    assert "approvedPlans" in bench.release.plan()["status"]["approval"]


def test_a_waiting_plan_goes_stale_when_somebody_else_acts(bench: Bench) -> None:
    bench.declare(PROPOSE)
    operator = Operator(bench)
    operator.run_pass()
    bench.release.a_third_node_arrives()
    bench.release.server.call("PATCH", bench.release.deployment_path, {"spec": {"replicas": 3}})

    operator.run_pass()

    assert bench.release.plan()["status"]["verdict"] == "Stale"
    assert operator.client.scalings == []


def test_a_plan_that_is_called_off_while_it_runs_is_taken_back(bench: Bench) -> None:
    bench.declare(GROW)
    operator = Operator(bench)
    operator.run_pass()
    assert (bench.release.count, step_states(bench.release.plan())) == (3, ["Applied"])

    vote(bench, "Cancelled")
    operator.run_pass()
    operator.run_pass()

    assert (bench.release.count, len(operator.client.scalings)) == (2, 2)
    plan = bench.release.plan()
    assert (plan["status"]["verdict"], step_states(plan)) == ("Cancelled", ["Undone"])


def test_a_running_plan_is_not_lost_by_its_deletion(bench: Bench) -> None:
    bench.declare(GROW)
    operator = Operator(bench)
    operator.run_pass()
    name = bench.release.plan()["metadata"]["name"]
    bench.release.server.call("DELETE", f"{bench.plans}/{name}")
    assert bench.release.plan()["metadata"]["deletionTimestamp"], "its log is still needed"

    operator.run_pass()
    operator.run_pass()

    assert bench.release.count == 2
    assert [plan["metadata"]["name"] for plan in bench.release.plans() if plan["metadata"]["name"] == name] == []


def test_a_pause_by_annotation_ends_by_itself(bench: Bench) -> None:
    bench.declare(GROW)
    until = (bench.clock() + timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
    note = {"metadata": {"annotations": {"milvustuning.io/paused-until": until}}}
    bench.release.server.call("PATCH", f"{bench.tunings}/rag", note)
    operator = Operator(bench)

    operator.run_pass()
    assert (bench.release.plans(), bench.release.count) == ([], 2)
    assert bench.release.condition("Paused") == ("True", "Paused")

    bench.clock.skip(seconds=700)
    operator.run_pass()
    assert bench.release.count == 3


def test_a_spec_that_is_edited_meanwhile_leads_to_no_stale_write(bench: Bench) -> None:
    bench.declare(GROW)
    operator = Operator(bench)
    operator.run_pass()
    bench.release.server.call("PATCH", f"{bench.tunings}/rag", {"spec": {"mode": "Observe"}})
    calls = len(operator.client.scalings)

    operator.run_pass()

    assert (calls, len(operator.client.scalings), bench.release.count) == (1, 1, 3)


def test_an_object_with_a_target_alone_changes_nothing_but_its_status(bench: Bench) -> None:
    bench.declare({"mode": "Auto"})
    operator = Operator(bench)

    operator.run_pass()

    assert operator.client.writes == [("PUT", f"{bench.tunings}/rag/status")]
    assert bench.release.plans() == []
    assert bench.release.tuning()["status"]["decision"]["reason"] == "NotManaged"
    assert operator.events == []


def test_a_plan_in_unknown_words_stops_the_object_and_stays(bench: Bench) -> None:
    bench.declare(GROW)
    Operator(bench).run_pass()
    plan = bench.release.plan()
    plan["status"]["steps"][0]["kind"] = "ReshardCollection"
    bench.release.server.call("PUT", f"{bench.plans}/{plan['metadata']['name']}/status", plan)
    operator = Operator(bench)

    for _ in range(2):
        operator.run_pass()

    assert bench.release.condition("Ready") == ("False", "UnknownOperation")
    assert bench.release.plan()["status"] == plan["status"]
    assert operator.client.writes == [("PUT", f"{bench.tunings}/rag/status")]
    assert [event.reason for event in operator.events] == ["UnknownOperation"]


@pytest.fixture
def etcd(bench: Bench, tmp_path: Path) -> Iterator[EtcdClient]:
    """A real etcd with the sessions of the QueryNodes, in the place of the recorded one."""
    with an_etcd(bench, tmp_path) as client:
        yield client


def placement_of(bench: Bench) -> Object:
    """How the declared owner of the placement stands."""
    (entry,) = bench.release.tuning("rag")["status"]["config"]
    return dict(entry)


@pytest.mark.usefixtures("etcd")
def test_a_balancer_that_is_switched_off_and_moves_a_segment_is_told(bench: Bench) -> None:
    bench.declare({"mode": "Auto", "loadBalancing": {"placementOwner": "Operator"}})
    operator = Operator(bench)
    for _ in range(4):
        operator.run_pass()
        bench.clock.skip(seconds=20)
    assert placement_of(bench)["effective"] == "false"

    bench.clock.skip(seconds=1200)
    operator.run_pass()
    assert "could be asked" in placement_of(bench)["message"], "nothing moves, and no process is there to tell"

    answer: Any = bench.release.world.milvus["GetQuerySegmentInfo"]
    segment = answer["infos"][0]
    segment["nodeIds"] = ["3"] if segment["nodeIds"] == ["2"] else ["2"]
    bench.clock.skip(seconds=60)
    operator.run_pass()
    entry = placement_of(bench)
    assert entry["state"] == "NoEvidence"
    assert f"Milvus moves segments all the same: segment {segment['segmentID']} of default.demo" in entry["message"]
