"""Which steps a restart of components takes, and what stands against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from milvus_tuning.api import MOST_STEPS
from milvus_tuning.decide.config.restart_steps import ORDER, restart_bracket
from milvus_tuning.plan import Step
from milvus_tuning.snapshot import ComponentPod, Problem, ProblemKind, Snapshot
from tests.builders import a_node, a_snapshot, a_spec, some_nodes
from tests.decide.steps import a_restart

SEPARATE = ("RootCoord", "QueryCoord", "DataCoord", "IndexCoord")


def a_cluster(pods: Mapping[str, int], nodes: Any = 3, **changes: Any) -> Snapshot:
    """So many pods of each component; those of QueryNode are the nodes."""
    snapshot = a_snapshot(nodes, **changes)
    others = (
        ComponentPod(component=component, pod=f"{component.lower()}-{number}", pod_uid=f"{component}{number}")
        for component, count in pods.items()
        for number in range(count)
    )
    of_nodes = (
        ComponentPod(component="QueryNode", pod=node.pod, pod_uid=node.pod_uid, ready=node.ready)
        for node in snapshot.query_nodes
    )
    return replace(snapshot, components=(*others, *of_nodes))


def bracket(components: Sequence[str], snapshot: Snapshot) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    found = restart_bracket(components, snapshot)
    assert not isinstance(found, str), found
    return found


def told(steps: Sequence[Step]) -> list[tuple[str, str, int]]:
    return [
        (str(one.action["when"]), str(one.action["component"]), int(one.verification["deadlineSeconds"] or 0))
        for one in steps
    ]


def test_keys_stand_between_what_is_for_the_way_back_and_what_is_done() -> None:
    back, forward = bracket(["Proxy"], a_cluster({"Proxy": 2}))

    assert back == (a_restart("Proxy", back=True, count=2, deadline=600),)
    assert forward == (a_restart("Proxy", count=2, deadline=600),)


def test_coordinators_come_first_and_the_proxy_last_in_both_directions() -> None:
    cluster = a_cluster({"Proxy": 2, "MixCoord": 1, "DataNode": 3})

    back, forward = bracket(["Proxy", "DataNode", "MixCoord"], cluster)

    assert told(forward) == [("Forward", "MixCoord", 300), ("Forward", "DataNode", 900), ("Forward", "Proxy", 600)]
    assert told(back) == [("Back", "Proxy", 600), ("Back", "DataNode", 900), ("Back", "MixCoord", 300)]


@pytest.mark.parametrize(
    ("there", "asked", "restarted"),
    [
        pytest.param({"MixCoord": 1}, ["QueryCoord"], ["MixCoord"], id="a coordinator inside MixCoord"),
        pytest.param(dict.fromkeys(SEPARATE, 1), ["MixCoord"], list(SEPARATE), id="MixCoord, run as its parts"),
        pytest.param({"DataNode": 1}, ["DataNode", "IndexNode"], ["DataNode"], id="what is not there is left out"),
        pytest.param({"Proxy": 1, "DataNode": 1}, ["Proxy"], ["Proxy"], id="nothing beside what is asked"),
    ],
)
def test_a_component_is_restarted_as_it_runs(there: dict[str, int], asked: list[str], restarted: list[str]) -> None:
    _, forward = bracket(asked, a_cluster(there))

    assert [one for _, one, _ in told(forward)] == restarted


def test_query_nodes_get_the_time_of_their_drain() -> None:
    nodes = some_nodes(3, memory=0.3, loaded=0.1)  # 0.8 GiB at 20 MB/s: 2 x 43 + 20 = 106 s

    _, forward = bracket(["QueryNode"], a_cluster({}, nodes))

    assert told(forward) == [("Forward", "QueryNode", 3 * (300 + 106))]


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        pytest.param(a_cluster({}, replicas=3), "of default.products has one QueryNode only", id="a replica of one"),
        pytest.param(a_cluster({}, 2, memory=0.55), "while qn-1 restarts, qn-2 would hold 8.0 GiB", id="no room"),
        pytest.param(a_cluster({}, grace=30), "GracePeriodTooShort: qn-1 has a grace period of 30 s", id="grace"),
        pytest.param(
            a_cluster({}, (*some_nodes(2), a_node("qn-3", node_id=3, ready=False))),
            "not every QueryNode is ready and known to Milvus (qn-3)",
            id="a node that is not ready",
        ),
        pytest.param(a_cluster({}, memory=None), "the memory of qn-1, qn-2, qn-3 is not known", id="no numbers"),
        pytest.param(
            a_cluster({}, problems=(Problem(kind=ProblemKind.MILVUS_UNREACHABLE, message="no route"),)),
            "the placement is not known: no route",
            id="Milvus is away",
        ),
        pytest.param(
            replace(a_cluster({}), components=()), "no pod of QueryNode is known", id="pods that were not read"
        ),
    ],
)
def test_query_nodes_are_not_restarted(cluster: Snapshot, words: str) -> None:
    found = restart_bracket(["QueryNode"], cluster)

    assert isinstance(found, str)
    assert words in found


def test_a_declared_load_guard_counts() -> None:
    cluster = a_cluster({}, 2, memory=0.48)  # the other would be at 0.48 + 0.38 = 86 %
    spec = a_spec(load_balancing={"overloaded_memory_percent": 80})

    assert not isinstance(restart_bracket(["QueryNode"], cluster), str)
    assert "load guard of 80 %" in str(restart_bracket(["QueryNode"], cluster, spec))


def test_a_plan_holds_all_components_that_an_install_can_have() -> None:
    cluster = a_cluster(dict.fromkeys(set(ORDER) - {"QueryNode", "MixCoord"}, 1))

    found = restart_bracket([*SEPARATE, "DataNode", "IndexNode", "StreamingNode", "Proxy"], cluster)

    assert not isinstance(found, str)
    assert sum(map(len, found)) < MOST_STEPS
