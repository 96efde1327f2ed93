"""The model cluster shows the harm that the decision avoids; a judgement that could not fail would prove nothing."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from milvus_tuning.simulate import Scenario, read_scenario, run
from milvus_tuning.simulate.cluster import ModelCluster
from milvus_tuning.simulate.scenario import ClusterModel

HERE = Path(__file__).parent


def after_a_removal(model: ClusterModel, *, seconds: int = 300) -> ModelCluster:
    """The cluster some time after one node fewer was asked for, with no operator around."""
    cluster = ModelCluster(model)
    cluster.desired_count -= 1
    for _ in range(seconds // 5):
        cluster.advance(5.0, cores=1.0, hot={})
    return cluster


def test_a_node_with_time_to_drain_leaves_without_a_gap() -> None:
    cluster = after_a_removal(ClusterModel(nodes=3, grace_period_seconds=1800))

    assert (len(cluster.nodes), cluster.unserved_seconds) == (2, 0.0)


def test_a_node_killed_in_its_drain_leaves_a_gap() -> None:
    model = ClusterModel(nodes=3, segment_mib=512, load_mib_per_second=16, grace_period_seconds=30)

    assert after_a_removal(model).unserved_seconds > 0


def test_kubernetes_removes_the_lowest_deletion_cost() -> None:
    cluster = ModelCluster(ClusterModel(nodes=3))
    cluster.nodes[1].deletion_cost = -1000
    cluster.desired_count = 2
    cluster.advance(5.0, cores=0.0, hot={})

    assert [node.pod for node in cluster.nodes if node.leaving] == ["qn-2"]


def test_overload_leaves_a_backlog_that_is_worked_off() -> None:
    cluster = ModelCluster(ClusterModel(nodes=2))
    for cores in (6.0, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0):
        cluster.advance(5.0, cores=cores, hot={})

    assert cluster.overloaded_seconds == 10.0
    assert all(node.backlog_core_seconds == 0 for node in cluster.nodes)


@pytest.mark.parametrize(
    ("story", "changed", "unmet"),
    [
        pytest.param("grows_once_for_a_steady_overload", {"final_count": 2}, "2 QueryNodes expected", id="size"),
        pytest.param("shrinks_by_one_and_rests", {"operations": 1}, "1 operations expected", id="operations"),
        pytest.param("adds_no_node_for_a_skew", {"seen_reasons": ["Paused"]}, "never came up: Paused", id="seen"),
        pytest.param(
            "leaves_the_size_to_an_autoscaler", {"forbidden_reasons": ["Conflict"]}, "must not come up", id="forbidden"
        ),
        pytest.param(
            "shrinks_by_one_and_rests", {"steady_tail_seconds": 8000}, "not steady from 1000 s on", id="steadiness"
        ),
    ],
)
def test_an_expectation_that_does_not_come_true_is_named(story: str, changed: dict[str, object], unmet: str) -> None:
    scenario = read_scenario(HERE / f"{story}.yaml")
    written = scenario.model_dump(mode="json")
    wrong = Scenario.model_validate({**written, "expect": {**written["expect"], **changed}})

    outcome = run(wrong, name=story)

    assert not outcome.passed
    assert unmet in str(outcome)


def test_a_misspelt_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="cores_total"):
        Scenario.model_validate(
            {"summary": "", "load": [{"at_seconds": 0, "cores_total": 1}], "spec": {}, "expect": {}}
        )
