"""Why, for people and for programs: the rule, the inputs, everything that was turned down."""

from __future__ import annotations

from textwrap import dedent

import pytest

from milvus_tuning.cli import explain
from tests.cli.objects import NOW, SET_KEY, Object, a_decision, a_hot_policy, a_plan, a_policy


def golden(text: str) -> str:
    return dedent(text).strip("\n")


def test_a_decision_to_act() -> None:
    policy = a_policy(lastPlan={"name": "rag-0123456789", "waitsFor": "approval"})
    assert "\n".join(explain.render(policy, NOW, 80)) == golden("""
        milvus/rag   mode Propose   phase Stabilizing
          rule         ComputationAboveTarget: CPU or read concurrency was above its
                       threshold for its window: more QueryNodes
          in numbers   computation 71 % was above 60 % for 120 s; 3 QueryNodes bring it
                       to 47 %
          chosen       QueryNodes 2 -> 3
          waits for    approval (plan rag-0123456789)
          decided      12s ago (2026-01-05T11:59:48Z)

        INPUT                 VALUE
        busiest computation   0.71
        capacity              0.3
        queue share           not measured

        What else was considered, and not chosen:
        ALTERNATIVE         REASON                   EXPECTED
        no change           ComputationAboveTarget   the window of 120 s is over
        QueryNodes 2 -> 4   StepLimited              3 are enough: 47 % is below 50 %

        CONDITION       STATUS   SINCE   REASON        MESSAGE
        Ready           True     3h      Steady        all that is declared can be acted
                                                       on
        ScalingActive   False    3m      ObserveOnly   a plan waits for approval,
                                                       because the mode is Propose
    """)


def test_a_decision_not_to_act() -> None:
    policy = a_policy(decision=a_decision("CooldownActive", "90 s of 300 s have passed"), conditions=None)
    assert "\n".join(explain.render(policy, NOW, 80)) == golden("""
        milvus/rag   mode Propose   phase Stabilizing
          rule         CooldownActive: the last change was a short while ago
          what to do   wait; cooldownSeconds
          in numbers   90 s of 300 s have passed
          chosen       no change
          decided      12s ago (2026-01-05T11:59:48Z)

        No alternative was turned down.
    """)


THREE_WAYS: Object = a_decision("HotNode", "*-7vb4m at 85 % is 35 % above the mean; a swap brings it to 62 %") | {
    "rejected": [
        {"alternative": "NoChange", "reason": "HotNode", "message": "the busiest stays at 85 %"},
        {
            "alternative": "SetReplicaNumber default.products 1 -> 2",
            "reason": "ManualActionRequired",
            "message": "busiest 85 -> 58 %, 1.2 GiB more memory; 2.3.5 has no way that keeps it loaded",
        },
        {
            "alternative": "ScaleOut 3 -> 4",
            "reason": "SkewNotCapacity",
            "message": "busiest 85 -> 64 %, a pod more; spread evenly 3 QueryNodes carry the load",
        },
    ]
}


def explained(policy: Object, width: int) -> str:
    """From the chosen remedy on; the rule before it is worded elsewhere."""
    lines = explain.render(policy, NOW, width)
    return "\n".join(lines[next(index for index, line in enumerate(lines) if "chosen" in line) :])


def test_a_choice_between_three_remedies_shows_the_heat_and_what_the_others_would_do() -> None:
    assert explained(a_hot_policy(decision=THREE_WAYS, conditions=None), 80) == golden("""
          chosen       other places for segments
          decided      12s ago (2026-01-05T11:59:48Z)

        Behind it: heat is an estimate, on the mean within 15 % of the CPU measured.
        * stands for my-release-milvus-querynode-7d9c5b6f4
        POD       COMPUTATION %   HEAT %   CAPACITY %   SEGMENTS   ROWS     GROUP
        *-7vb4m   85              80       30           12         60,000   rg-fast
        *-2kq8x   35              40       30           12         60,000   -
        *-x9zlp   20              -        30           0          0        -

        COLLECTION         QPS   CORES   SHARE %   REPLICAS   SEGMENTS   BUSIEST
        default.products   12    0.310   85        1          12         *-7vb4m
        shop.users         -     0.054   15        -          -          -

        What else was considered, and not chosen:
        ALTERNATIVE                           REASON
            EXPECTED
        no change                             HotNode
            the busiest stays at 85 %
        replicas of default.products 1 -> 2   ManualActionRequired
            busiest 85 -> 58 %, 1.2 GiB more memory; 2.3.5 has no way that keeps it
            loaded
        QueryNodes 3 -> 4                     SkewNotCapacity
            busiest 85 -> 64 %, a pod more; spread evenly 3 QueryNodes carry the load
    """)


def test_a_wider_screen_has_the_remedies_side_by_side() -> None:
    shown = explained(a_hot_policy(decision=THREE_WAYS, conditions=None), 112)
    assert shown.endswith(
        golden("""
        What else was considered, and not chosen:
        ALTERNATIVE                           REASON                 EXPECTED
        no change                             HotNode                the busiest stays at 85 %
        replicas of default.products 1 -> 2   ManualActionRequired   busiest 85 -> 58 %, 1.2 GiB more memory; 2.3.5 has
                                                                     no way that keeps it loaded
        QueryNodes 3 -> 4                     SkewNotCapacity        busiest 85 -> 64 %, a pod more; spread evenly 3
                                                                     QueryNodes carry the load
    """)
    )


def test_heat_is_shown_for_decisions_about_it_alone() -> None:
    hot = explain.document(a_hot_policy(decision=a_decision("HotNode")))
    steady = a_hot_policy(decision=a_decision("Steady"))
    assert hot["heat"] == a_hot_policy()["status"]["heat"]
    assert explain.document(steady)["heat"] is None
    assert not [line for line in explain.render(steady, NOW, 120) if "HEAT %" in line]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("NoChange", "no change"),
        ("ScaleOut 2 -> 3", "QueryNodes 2 -> 3"),
        ("SetReplicaNumber shop.users 2 -> 1", "replicas of shop.users 2 -> 1"),
        ("MoveSegments 8", "segments moved: 8"),
        ("Rebalance", "other places for segments"),
        ("4 moves", "4 moves"),
        ("move segment 7 to qn-2", "move segment 7 to qn-2"),
        ("WarmCollection products", "WarmCollection products"),
    ],
)
def test_an_alternative_is_told_in_words(word: str, said: str) -> None:
    decision = a_decision("HotNode") | {"rejected": [{"alternative": word, "reason": "Steady", "message": "m"}]}
    assert explained(a_policy(decision=decision), 120).count(f"\n{said}   ") == 1


def test_a_plan_that_was_rolled_back() -> None:
    plan = a_plan(
        steps=(SET_KEY,),
        phase="Finished",
        verdict="RolledBack",
        verdictMessage="the mean latency rose by 379 %",
        startedAt="2026-01-05T11:55:00Z",
        finishedAt="2026-01-05T11:57:00Z",
        conditions=[
            {"type": "Complete", "status": "True", "reason": "RolledBack", "message": "the mean latency rose by 379 %"},
            {"type": "Stale", "status": "False", "reason": "NotStale", "message": ""},
        ],
        measured={
            "before": {"windowSeconds": 180, "searchesPerMinute": 12300, "meanMicroseconds": 48000},
            "after": {"windowSeconds": 180, "searchesPerMinute": 12280, "skewPercent": 12},
        },
    )
    plan["spec"]["change"]["predicted"] = {}
    plan["spec"]["change"]["reason"] = "SettingChanged"
    assert "\n".join(explain.render_plan(plan, NOW, 120)) == golden("""
        rag-0123456789   phase Finished   risk Medium
          rule         SettingChanged: a declared setting is written to Milvus's etcd, or to spec.config
          in numbers   computation 71 % was above 60 % for 120 s; 3 QueryNodes bring it to 47 %
          chosen       common.gracefultime absent -> 0
          risk         a QueryNode more; 12 segments move
          target       Deployment milvus/my-release-milvus-querynode
          verdict      RolledBack: the mean latency rose by 379 %
          proposed     8m ago (2026-01-05T11:52:00Z)
          begun        5m ago (2026-01-05T11:55:00Z)
          finished     3m ago (2026-01-05T11:57:00Z)

        MEASURED            BEFORE      AFTER
        searches a minute   12,300      12,280
        mean latency        48,000 us   -
        skew                -           12 %
        window              180 s       180 s

        CONDITION   STATUS   SINCE     REASON       MESSAGE
        Complete    True     unknown   RolledBack   as above
        Stale       False    unknown   NotStale
    """)


@pytest.mark.parametrize(
    ("reason", "chosen"),
    [
        pytest.param("Steady", "no change", id="nothing is wished for"),
        pytest.param("BelowTarget", "QueryNodes 2 -> 3", id="another size"),
        pytest.param("SettingChanged", "QueryNodes 2 -> 3", id="a size that is told along"),
    ],
)
def test_names_what_was_chosen(reason: str, chosen: str) -> None:
    policy = a_policy(decision=a_decision(reason) | {"desiredCount": 3})
    assert f"  chosen       {chosen}" in explain.render(policy, NOW, 80)


def test_a_reason_of_a_newer_operator_is_shown_as_it_is() -> None:
    lines = explain.render(a_policy(decision=a_decision("ReasonOfTomorrow", "42")), NOW, 120)
    assert "  rule         ReasonOfTomorrow (a reason that this version of the command does not know)" in lines
    assert "  in numbers   42" in lines


def test_a_policy_that_was_never_seen() -> None:
    policy = a_policy()
    del policy["status"]
    assert explain.render(policy, NOW, 80) == ["milvus/rag   mode Propose   phase not seen by the operator yet"]


def test_the_document_for_programs() -> None:
    policy = a_policy(decision=a_decision("CooldownActive"), conditions=None)
    assert explain.document(policy) == {
        "name": "rag",
        "mode": "Propose",
        "phase": "Stabilizing",
        "decision": a_decision("CooldownActive"),
        "meaning": "the last change was a short while ago",
        "remedy": "wait; cooldownSeconds",
        "heat": None,
        "waitsFor": None,
        "conditions": None,
    }
