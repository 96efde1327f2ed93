"""The model cluster shows the harm that the decision avoids; a judgement that could not fail would prove nothing."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from milvus_tuning.simulate import Scenario, read_scenario, run
from milvus_tuning.simulate.cluster import ModelCluster
from milvus_tuning.simulate.components import ModelKey
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


def with_a_replica_more(model: ClusterModel, *, seconds: int) -> ModelCluster:
    """The cluster some time after the number of replicas of its collection was raised to two."""
    cluster = ModelCluster(model)
    cluster.set_replica_number("model", 2)
    for _ in range(seconds // 5):
        cluster.advance(5.0, cores=1.0, hot={})
    return cluster


def test_a_replica_more_is_a_whole_copy_on_nodes_of_its_own() -> None:
    cluster = with_a_replica_more(ClusterModel(nodes=4), seconds=300)

    first, second = cluster.copies_of(0)
    assert (first.nodes, second.nodes) == ({1, 2}, {3, 4})
    assert all(copy.nodes.issuperset(copy.held) for copy in (first, second))
    assert cluster.unserved_seconds == 0.0


def test_a_replica_is_not_searched_while_it_loads() -> None:
    cluster = with_a_replica_more(ClusterModel(nodes=2, load_mib_per_second=1), seconds=60)

    assert [replica.loading for replica in cluster.copies_of(0)] == [False, True]
    assert cluster.unserved_seconds == 0.0


def test_replicas_lower_what_a_search_costs_by_the_stated_gain() -> None:
    one = with_a_replica_more(ClusterModel(nodes=2), seconds=300)

    assert [node.cpu_samples[-1] for node in one.nodes] == pytest.approx([0.5 / 1.7, 0.5 / 1.7])


def test_the_last_replica_taken_away_leaves_its_nodes_to_the_others() -> None:
    cluster = ModelCluster(ClusterModel(nodes=3, replicas=2))
    cluster.set_replica_number("model", 1)

    assert [replica.nodes for replica in cluster.replicas] == [{1, 2, 3}]


def test_milvus_refuses_more_replicas_than_nodes() -> None:
    with pytest.raises(ValueError, match="3 replicas of model need as many nodes"):
        ModelCluster(ClusterModel(nodes=2)).set_replica_number("model", 3)


def test_a_segment_moves_within_its_replica_only() -> None:
    cluster = ModelCluster(ClusterModel(nodes=2, replicas=2))

    with pytest.raises(ValueError, match="not two serving nodes of one replica"):
        cluster.move(0, "qn-1", "qn-2")


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
        pytest.param(
            "moves_before_it_adds_a_node", {"calls": ["MoveSegments"]}, "calls MoveSegments expected", id="calls"
        ),
        pytest.param("moves_before_it_adds_a_node", {"unmoved": ["a", "b"]}, "moved: a, b", id="unmoved"),
        pytest.param(
            "moves_before_it_adds_a_node", {"replicas": {"a": 2}}, "replicas {'a': 2} expected", id="replicas"
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


def test_a_pod_that_is_evicted_comes_back_with_a_younger_container() -> None:
    cluster = ModelCluster(ClusterModel(start_seconds=40.0))
    cluster.advance(5.0, cores=0.0, hot={})
    before = {pod.pod: pod for pod in cluster.components.pods}
    leaving = next(pod for pod in before.values() if pod.component == "Proxy")
    cluster.evict(leaving.pod)

    (new,) = [pod for pod in cluster.components.pods if pod.pod not in before]
    assert leaving not in cluster.components.pods
    assert (new.component, new.started_at_seconds, new.ready_at_seconds) == ("Proxy", 5.0, 45.0)
    with pytest.raises(ValueError, match="there is no pod"):
        cluster.evict(leaving.pod)


def test_a_query_node_that_is_evicted_hands_over_and_is_replaced() -> None:
    cluster = ModelCluster(ClusterModel(nodes=3))
    cluster.evict("qn-2")
    for _ in range(60):
        cluster.advance(5.0, cores=0.0, hot={})

    assert [node.pod for node in cluster.members()] == ["qn-1", "qn-3", "qn-4"]
    assert (cluster.desired_count, cluster.unserved_seconds) == (3, 0.0)


def test_a_key_that_is_handed_back_is_not_ours_any_more() -> None:
    components = ModelCluster(ClusterModel()).components
    components.write("a.b", "1", at_seconds=10.0)
    components.write("a.b", "2", at_seconds=20.0)
    assert components.keys == {"a.b": ModelKey(value="2", previous=None, written_at_seconds=20.0)}
    components.write("a.b", "2", at_seconds=30.0)
    assert components.keys["a.b"].written_at_seconds == 20.0, "what is there already is not written again"
    components.write("a.b", None, at_seconds=40.0)
    assert components.keys == {}


@pytest.mark.parametrize(("version", "newer"), [("2.5.27", "IndexNode"), ("2.6.0", "StreamingNode")])
def test_an_install_has_the_components_of_its_version(version: str, newer: str) -> None:
    found = {pod.component for pod in ModelCluster(ClusterModel(version=version)).components.pods}
    assert found == {"DataNode", "MixCoord", "Proxy", newer}
