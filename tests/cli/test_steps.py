"""Steps in words: every kind has its own, and a kind of a newer operator is shown with its parameters."""

from __future__ import annotations

import pytest

from milvus_tuning.cli import steps
from tests.cli.objects import (
    DRAIN,
    MOVE,
    MOVE_BACK,
    OF_TOMORROW,
    PREFERENCE,
    REPLICAS,
    RESTART,
    RESTART_BACK,
    SCALE_IN,
    SCALE_OUT,
    SET_KEY,
    SET_LEVEL,
    TAKE_PLACEMENT,
    Object,
)

RETURN_PLACEMENT = SET_KEY | {"kind": "ReturnPlacement"}


@pytest.mark.parametrize(
    ("sequence", "short"),
    [
        pytest.param([SCALE_OUT], "QueryNodes 2 -> 3", id="a node more"),
        pytest.param([DRAIN, SCALE_IN], "QueryNodes 3 -> 2", id="the mark on the leaving pod goes without saying"),
        pytest.param([DRAIN], "DrainQueryNode qn-3", id="a mark alone"),
        pytest.param([SET_KEY], "common.gracefultime absent -> 0", id="a setting"),
        pytest.param([TAKE_PLACEMENT], "hold Milvus's balancer off", id="the balancer held off"),
        pytest.param([RETURN_PLACEMENT], "let Milvus's balancer go", id="the balancer let go"),
        pytest.param([MOVE], "2 segments of default.products qn-1 -> qn-2", id="segments one way"),
        pytest.param(
            [TAKE_PLACEMENT, MOVE, MOVE_BACK, RETURN_PLACEMENT],
            "2 segments of default.products qn-1 -> qn-2, 1 segment of default.products qn-2 -> qn-1",
            id="a swap, for which the balancer is held off without saying",
        ),
        pytest.param([REPLICAS], "in-memory replicas of default.products 1 -> 2", id="a replica more"),
        pytest.param([PREFERENCE], "zone preference none -> WithProxies", id="a zone"),
        pytest.param([SET_LEVEL], "consistency level of default.products Bounded -> Strong", id="a level"),
        pytest.param(
            [RESTART_BACK, SET_KEY, RESTART],
            "common.gracefultime absent -> 0, restart Proxy",
            id="a restart: what is for the way back goes without saying",
        ),
        pytest.param([OF_TOMORROW], "WarmCollection", id="a kind of a newer operator"),
        pytest.param([SET_KEY, SCALE_OUT], "common.gracefultime absent -> 0, QueryNodes 2 -> 3", id="several"),
        pytest.param([], "", id="none"),
    ],
)
def test_a_sequence_comes_to(sequence: list[Object], short: str) -> None:
    assert steps.in_short(sequence) == short


@pytest.mark.parametrize(
    ("step", "lines"),
    [
        pytest.param(
            PREFERENCE,
            [
                "  1. set the zone that QueryNodes prefer to WithProxies: milvus-operator replaces them all",
                "     before   the zone that QueryNodes prefer is none, and nobody else set an affinity",
                "     proof    every QueryNode was placed with it and serves within 900 s",
                "     undo     set the zone that QueryNodes prefer to none: milvus-operator replaces them all",
            ],
            id="a zone",
        ),
        pytest.param(
            SET_LEVEL,
            [
                "  1. set the consistency level of default.products to Strong",
                "     before   the consistency level of default.products is Bounded",
                "     proof    the consistency level of default.products is Strong",
                "     undo     set the consistency level of default.products to Bounded",
            ],
            id="a level",
        ),
        pytest.param(
            SET_LEVEL | {"verification": SET_LEVEL["precondition"]},
            [
                "  1. leave the consistency level of default.products as it is, and forget the former one",
                "     before   the consistency level of default.products is Bounded",
                "     proof    the consistency level of default.products is Bounded",
                "     undo     set the consistency level of default.products to Bounded",
            ],
            id="a level of others that stays",
        ),
        pytest.param(
            SCALE_OUT,
            [
                "  1. set the number of QueryNodes to 3",
                "     before   2 are asked for",
                "     proof    3 serve within 900 s",
                "     undo     set it to 2",
            ],
            id="a node more",
        ),
        pytest.param(
            SCALE_IN,
            [
                "  1. set the number of QueryNodes to 2",
                "     before   3 are asked for",
                "     proof    2 serve within 1800 s, qn-3 is gone, at least 119000 rows are served",
                "     undo     set it to 3",
            ],
            id="a node less",
        ),
        pytest.param(
            DRAIN,
            [
                "  1. mark the pod qn-3 as the one to leave (deletion cost -1000)",
                "     before   it is the same pod (0b8a), with a grace period of 1800 s",
                "     proof    the pod has the deletion cost -1000",
                "     undo     remove the mark",
            ],
            id="a mark",
        ),
        pytest.param(
            MOVE,
            [
                "  1. move 2 segments of default.products from qn-1 to qn-2 (451, 452)",
                "     before   they are on qn-1, the same pod (0b8a)",
                "     proof    all of them are on qn-2, and on it alone, within 180 s",
                "     undo     move what is still there back to qn-1",
            ],
            id="segments",
        ),
        pytest.param(
            REPLICAS,
            [
                "  1. set the in-memory replicas of default.products to 2 (resource groups rg-a, rg-b)",
                "     before   there are 1",
                "     proof    2 serve every segment within 1800 s",
                "     undo     set them to 1",
            ],
            id="a replica more",
        ),
        pytest.param(
            RESTART,
            [
                "  1. restart Proxy: evict each pod that is older than this step, one at a time",
                "     before   Proxy has 2 pods, and none has only just started",
                "     proof    all are replaced and ready within 600 s",
                "     undo     nothing: the keys come first, then the pods",
            ],
            id="a restart",
        ),
        pytest.param(
            RESTART | {"action": {"component": "Proxy", "when": "Forward", "keys": "k"}},
            [
                "  1. restart Proxy for k, stored already: evict each pod that is older than this step, one at a time",
                "     before   Proxy has 2 pods, and none has only just started",
                "     proof    all are replaced and ready within 600 s",
                "     undo     nothing: the keys come first, then the pods",
            ],
            id="a restart for a key that is stored",
        ),
        pytest.param(
            RESTART_BACK,
            [
                "  1. nothing yet: on the way back Proxy is restarted here, when the keys are as before",
                "     before   Proxy has 2 pods, and none has only just started",
                "     proof    nothing to prove",
                "     undo     evict each pod of Proxy that came meanwhile, one at a time",
            ],
            id="a restart for the way back",
        ),
        pytest.param(
            SET_KEY,
            [
                "  1. set common.gracefultime to 0 in Milvus's etcd",
                "     before   common.gracefultime is absent",
                "     proof    common.gracefultime is 0",
                "     undo     remove common.gracefultime from Milvus's etcd",
            ],
            id="a setting",
        ),
        pytest.param(
            {**SET_KEY, "action": {**SET_KEY["action"], "road": "MilvusResource"}},
            [
                "  1. set common.gracefultime to 0 in spec.config of the Milvus object",
                "     before   common.gracefultime is absent",
                "     proof    common.gracefultime is 0",
                "     undo     remove common.gracefultime from spec.config of the Milvus object",
            ],
            id="a setting in the Milvus object",
        ),
        pytest.param(
            TAKE_PLACEMENT,
            [
                "  1. set querycoord.autobalance to false in Milvus's etcd, under a lease of 180 s",
                "     before   querycoord.autobalance is absent",
                "     proof    querycoord.autobalance is false",
                "     undo     remove querycoord.autobalance from Milvus's etcd",
            ],
            id="the balancer held off",
        ),
        pytest.param(
            OF_TOMORROW,
            [
                "  1. WarmCollection: collection products, percent 80",
                "     before   collection products",
                "     proof    nothing",
                "     undo     nothing",
            ],
            id="a kind of a newer operator",
        ),
    ],
)
def test_a_step_says_what_it_does_and_how_it_is_taken_back(step: Object, lines: list[str]) -> None:
    assert steps.described([step], [], width=120) == lines


def test_a_step_that_has_begun_says_how_far_it_is() -> None:
    courses = [{"state": "Done"}, {"state": "Applied", "message": "3 of 12 segments handed over"}, {"state": "Pending"}]
    lines = steps.described([DRAIN, SCALE_IN, SET_KEY], courses, width=120)
    assert [line.strip() for line in lines if "state" in line] == [
        "state    Done",
        "state    Applied: 3 of 12 segments handed over",
    ]
