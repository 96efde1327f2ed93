"""What is hot: tables, the document for programs, and what is said where there is nothing to show."""

from __future__ import annotations

from textwrap import dedent

import pytest

from milvus_tuning.cli import top
from milvus_tuning.errors import ConfigError
from tests.cli.objects import NOW, Object, a_decision, a_hot_policy, a_node, a_policy


def golden(text: str) -> str:
    return dedent(text).strip("\n")


def shown(policy: Object, subject: str, width: int = 120) -> str:
    return "\n".join(top.render(policy, subject, NOW, width))


def test_nodes_come_by_heat_those_without_any_last() -> None:
    assert shown(a_hot_policy(), "nodes").partition("\n\n")[2] == golden("""
        POD                                           COMPUTATION %   HEAT %   CAPACITY %   SEGMENTS   ROWS     GROUP
        my-release-milvus-querynode-7d9c5b6f4-7vb4m   85              80       30           12         60,000   rg-fast
        my-release-milvus-querynode-7d9c5b6f4-2kq8x   35              40       30           12         60,000   -
        my-release-milvus-querynode-7d9c5b6f4-x9zlp   20              -        30           0          0        -
    """)


def test_on_a_narrow_screen_pods_lose_what_they_have_in_common() -> None:
    assert shown(a_hot_policy(), "collections", 80) == golden("""
        milvus/rag   heat is an estimate, on the mean within 15 % of the CPU measured;
          data of 12s ago (2026-01-05T11:59:48Z)
          skew   the hottest QueryNode is 35 % above the mean

        * stands for my-release-milvus-querynode-7d9c5b6f4
        COLLECTION         QPS   CORES   SHARE %   REPLICAS   SEGMENTS   BUSIEST
        default.products   12    0.310   85        1          12         *-7vb4m
        shop.users         -     0.054   15        -          -          -
    """)


def test_segments_say_of_how_many_they_are_the_hottest() -> None:
    assert shown(a_hot_policy(), "segments", 80).partition("\n\n")[2] == golden("""
        * stands for my-release-milvus-querynode-7d9c5b6f4
        SEGMENT              COLLECTION         POD       ROWS    CORES
        450123456789012345   default.products   *-7vb4m   5,000   0.071
        450123456789012377   default.products   *-2kq8x   5,000   0.070

        the 2 hottest of 24
    """)


def test_pods_without_anything_in_common_stay_whole() -> None:
    status = a_hot_policy()["status"]
    nodes = [a_node("x", computation=1, heat=1) | {"pod": f"{letter * 60}-0"} for letter in "ab"]
    policy = a_hot_policy(observed=status["observed"] | {"queryNodes": nodes, "servingCount": 2})
    lines = top.render(policy, "nodes", NOW, 80)
    assert [line[:62] for line in lines[-2:]] == ["a" * 60 + "-0", "b" * 60 + "-0"]


def test_an_estimate_with_gaps_and_without_a_known_error_says_so() -> None:
    heat = {field: value for field, value in a_hot_policy()["status"]["heat"].items() if field != "errorPercent"}
    lines = top.render(a_hot_policy(heat=heat | {"gaps": ["no CPU of qn-2", "no shape of a"]}), "nodes", NOW, 120)
    assert lines[0].startswith("milvus/rag   heat is an estimate; how far from the CPU measured it is, is not known;")
    assert "  missing   no CPU of qn-2; no shape of a" in lines


@pytest.mark.parametrize("subject", top.SUBJECTS)
def test_the_document_has_the_fields_of_status_the_hottest_first(subject: str) -> None:
    policy = a_hot_policy()
    observed, heat = policy["status"]["observed"], policy["status"]["heat"]
    first, hot, cold = observed["queryNodes"]
    expected = {"nodes": [hot, first, cold], "collections": heat["collections"], "segments": heat["segments"]}
    assert top.document(policy, subject) == {
        "name": "rag",
        "estimate": True,
        "errorPercent": 15,
        "skewPercent": 35,
        "dataTime": "2026-01-05T11:59:48Z",
        "gaps": [],
        subject: expected[subject],
    }


def undeclared() -> Object:
    policy = a_policy()
    assert "loadBalancing" not in policy["spec"]
    return policy


def unseen() -> Object:
    policy = a_hot_policy()
    del policy["status"]
    return policy


WITHOUT_HEAT = {
    "not declared": (undeclared(), "declare spec.loadBalancing.hotSegments.mode: Observe"),
    "switched off": (a_hot_policy(mode="Off", heat=None), "declare spec.loadBalancing.hotSegments.mode: Observe"),
    "not seen": (unseen(), "milvus/rag was not seen by the operator yet"),
    "something is missing": (
        a_hot_policy(heat={"gaps": ["no searches per second by collection"]}),
        "the heat of milvus/rag cannot be estimated: no searches per second by collection",
    ),
    "not yet": (
        a_hot_policy(heat=None, decision=a_decision("MilvusUnreachable", "refused")),
        "the heat of milvus/rag is not estimated yet; the last decision was MilvusUnreachable: refused",
    ),
}


@pytest.mark.parametrize(("policy", "said"), WITHOUT_HEAT.values(), ids=WITHOUT_HEAT.keys())
def test_without_heat_it_says_why_and_how_to_have_it(policy: Object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        top.require_heat(policy)


def test_with_heat_nothing_is_missing() -> None:
    top.require_heat(a_hot_policy())


@pytest.mark.parametrize(
    ("names", "said"),
    [([], "no MilvusTuning in namespace milvus"), (["a", "b"], "which one\\? MilvusTunings in namespace milvus: a, b")],
)
def test_without_a_name_there_must_be_one_policy(names: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        top.the_only([a_policy(name=name) for name in names], "milvus")


def test_the_only_policy_needs_no_name() -> None:
    assert top.the_only([a_policy()], "milvus") == a_policy()
