"""Which plan is the open one, whether there is something to do, and what people and programs read of it."""

from __future__ import annotations

from textwrap import dedent

import pytest

from milvus_tuning.cli import plans
from milvus_tuning.plan import WISHES, Phase, Reason
from tests.cli.objects import DRAIN, NOW, SCALE_IN, Object, a_decision, a_plan, a_policy

WAITING = a_plan(phase="Proposed", waitsFor="approval by a person: the mode is Propose")


def command(word: str, name: str) -> str:
    return f"milvus-tuning {word} {name} -n milvus"


def shown(policy: Object, plan: Object | None = None, width: int = 80) -> str:
    standing = plans.Standing(policy=policy, plan=plan)
    return "\n".join(plans.render(standing, command, NOW, width)) + "\n"


def golden(text: str) -> str:
    return dedent(text).lstrip("\n")


def test_a_plan_that_waits() -> None:
    assert shown(a_policy(), WAITING) == golden("""
        milvus/rag   mode Propose   phase Stabilizing
          plan         rag-0123456789
          change       QueryNodes 2 -> 3
          phase        Proposed, proposed 8m ago
          waits for    approval by a person: the mode is Propose
          expires      in 52m (2026-01-05T12:52:00Z)
          reason       ComputationAboveTarget: CPU or read concurrency was above its
                       threshold for its window: more QueryNodes
          in numbers   computation 71 % was above 60 % for 120 s; 3 QueryNodes bring it
                       to 47 %
          risk         Medium: a QueryNode more; 12 segments move
          expected     QueryNodes 2 -> 3; computation 71 -> 47 %; 12 segments moved
                       (48,000 rows, 1.2 GiB)
          steps
            1. set the number of QueryNodes to 3
               before   2 are asked for
               proof    3 serve within 900 s
               undo     set it to 2
          to approve   milvus-tuning approve rag-0123456789 -n milvus
          to reject    milvus-tuning reject rag-0123456789 -n milvus
    """)


def test_a_plan_that_runs() -> None:
    plan = a_plan(steps=(DRAIN, SCALE_IN), phase="Running", startedAt="2026-01-05T11:55:00Z")
    plan["status"]["approval"] = "within approval.automatic"
    plan["status"]["steps"] = [{"state": "Done"}, {"state": "Applied", "message": "3 of 12 segments handed over"}]
    assert shown(a_policy(mode="Auto"), plan, width=100) == golden("""
        milvus/rag   mode Auto   phase Stabilizing
          plan         rag-0123456789
          change       QueryNodes 3 -> 2
          phase        Running, proposed 8m ago
          approval     within approval.automatic
          reason       ComputationAboveTarget: CPU or read concurrency was above its threshold for its
                       window: more QueryNodes
          in numbers   computation 71 % was above 60 % for 120 s; 3 QueryNodes bring it to 47 %
          risk         Medium: a QueryNode more; 12 segments move
          expected     QueryNodes 2 -> 3; computation 71 -> 47 %; 12 segments moved (48,000 rows, 1.2 GiB)
          steps
            1. mark the pod qn-3 as the one to leave (deletion cost -1000)
               before   it is the same pod (0b8a), with a grace period of 1800 s
               proof    the pod has the deletion cost -1000
               undo     remove the mark
               state    Done
            2. set the number of QueryNodes to 2
               before   3 are asked for
               proof    2 serve within 1800 s, qn-3 is gone, at least 119000 rows are served
               undo     set it to 3
               state    Applied: 3 of 12 segments handed over
          to stop it   milvus-tuning cancel rag-0123456789 -n milvus
    """)


def test_a_wish_in_mode_observe() -> None:
    assert shown(a_policy(mode="Observe")) == golden("""
        milvus/rag   mode Observe   phase Stabilizing
          to do      the change below; mode Observe leaves it at that
          decision   ComputationAboveTarget: computation 71 % was above 60 % for 120 s;
                     3 QueryNodes bring it to 47 %
          decided    12s ago (2026-01-05T11:59:48Z)
          more       milvus-tuning explain rag -n milvus
    """)


def test_nothing_to_do() -> None:
    assert shown(a_policy(mode="Auto", decision=a_decision("Steady", "no signal calls for a change"))) == golden("""
        milvus/rag   mode Auto   phase Stabilizing
          to do      nothing
          decision   Steady: no signal calls for a change
          decided    12s ago (2026-01-05T11:59:48Z)
          more       milvus-tuning explain rag -n milvus
    """)


def test_a_policy_that_was_never_seen() -> None:
    policy = a_policy()
    del policy["status"]
    assert shown(policy) == golden("""
        milvus/rag   mode Propose   phase not seen by the operator yet
          to do   unknown: not seen by the operator yet
    """)


def test_says_when_the_operator_is_silent_or_behind() -> None:
    decision = a_decision("Steady") | {"time": "2026-01-05T10:00:00Z"}
    text = shown(a_policy(decision=decision, observedGeneration=1), width=120)
    assert "note       the operator has not read the latest change of the spec yet" in text
    assert "note       last heard of the operator 2h ago: what follows may be out of date" in text


@pytest.mark.parametrize(
    ("approval", "offered"),
    [
        (None, ["approve", "reject"]),
        ({"decision": "Approved", "by": "jane"}, ["cancel"]),
        ({"decision": "Rejected", "by": "jane"}, []),
        ({"decision": "Cancelled"}, []),
    ],
)
def test_offers_the_votes_that_are_left(approval: Object | None, offered: list[str]) -> None:
    lines = shown(a_policy(), a_plan(phase="Proposed", approval=approval)).splitlines()
    assert [line.split("milvus-tuning ")[1].split()[0] for line in lines if "milvus-tuning " in line] == offered


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.MANUAL_OVERRIDE])
def test_a_wish_is_something_to_do(reason: Reason) -> None:
    standing = plans.Standing(policy=a_policy(decision=a_decision(reason)), plan=None)
    assert standing.something_to_do is (reason in WISHES)


@pytest.mark.parametrize(
    ("wanted", "something"), [pytest.param(3, True, id="another size"), pytest.param(2, False, id="the size there is")]
)
def test_a_size_set_by_hand_is_something_to_do_until_it_is_reached(wanted: int, something: bool) -> None:
    decision = a_decision("ManualOverride") | {"desiredCount": wanted}
    standing = plans.Standing(policy=a_policy(decision=decision), plan=None)
    assert standing.something_to_do is something


@pytest.mark.parametrize("phase", list(Phase))
def test_an_open_plan_is_something_to_do(phase: Phase) -> None:
    policy = a_policy(decision=a_decision("Steady"))
    (standing,) = plans.standings([policy], [a_plan(phase=phase)])
    assert standing.something_to_do is (phase is not Phase.FINISHED)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        pytest.param([a_plan(name="rag-new", sequence=8, phase="Proposed")], "rag-new", id="the newest"),
        pytest.param([a_plan(name="rag-old", sequence=6, phase="Running")], "rag-old", id="one that has begun first"),
        pytest.param([a_plan(name="rag-done", sequence=8, phase="Finished")], "rag-0123456789", id="none that is over"),
        pytest.param([a_plan(name="b-new", policy="b", sequence=8)], "rag-0123456789", id="none of another policy"),
        pytest.param([a_plan(name="rag-unseen", sequence=8)], "rag-unseen", id="one without a status"),
    ],
)
def test_the_open_plan_is(others: list[Object], chosen: str) -> None:
    (standing,) = plans.standings([a_policy()], [WAITING, *others])
    assert standing.plan is not None
    assert standing.plan["metadata"] == {**WAITING["metadata"], "name": chosen, "uid": f"uid-of-{chosen}"}


def test_a_plan_of_a_deleted_policy_of_the_same_name_is_not_ours() -> None:
    policy = a_policy()
    policy["metadata"]["uid"] = "another"
    assert plans.standings([policy], [WAITING])[0].plan is None


def test_the_document_for_programs() -> None:
    policy = a_policy()
    assert plans.document(plans.Standing(policy=policy, plan=WAITING)) == {
        "name": "rag",
        "mode": "Propose",
        "phase": "Stabilizing",
        "decision": policy["status"]["decision"],
        "plan": {"name": "rag-0123456789", "spec": WAITING["spec"], "status": WAITING["status"]},
        "somethingToDo": True,
    }


def test_the_document_of_a_policy_that_was_never_seen() -> None:
    policy = a_policy()
    del policy["status"]
    assert plans.document(plans.Standing(policy=policy, plan=None)) == {
        "name": "rag",
        "mode": "Propose",
        "phase": None,
        "decision": None,
        "plan": None,
        "somethingToDo": False,
    }


def test_fields_and_words_of_a_newer_operator_do_no_harm() -> None:
    plan = a_plan(phase="Rehearsing", rehearsal={"id": [1, 2]}, waitsFor={"now": "a map"}, steps_done="?")
    plan["spec"]["change"]["risk"] = "Grave"
    plan["spec"]["change"]["expiresAt"] = "soon"
    policy = a_policy(decision=a_decision("ReasonOfTomorrow"), conditions="none", forecast=[1])
    assert "phase        Rehearsing, proposed 8m ago" in shown(policy, plan)
    assert "to do      nothing" in shown(policy)
