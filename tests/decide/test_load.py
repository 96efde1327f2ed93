"""The two signals, and what a missing number does to them."""

from dataclasses import replace
from datetime import timedelta

import pytest

from milvus_tuning.decide.load import cluster_load, node_loads, signal, skew_ratio
from milvus_tuning.snapshot import QueryNode, Sample, Segment
from tests.builders import NOON, a_node, a_sample, a_snapshot


def test_signals_are_the_maximum_over_the_nodes_and_the_mean() -> None:
    snapshot = a_snapshot([a_node("a", node_id=1, cpu=0.9, memory=0.4), a_node("b", node_id=2, cpu=0.3, memory=0.7)])

    seen = signal(snapshot, NOON)

    assert (seen.capacity_ratio, seen.computation_ratio) == pytest.approx((0.7, 0.9))
    assert seen.even_computation_ratio == pytest.approx(0.6)
    assert skew_ratio(seen) == pytest.approx(0.5)
    assert (seen.node_count, seen.capacity_coverage, seen.computation_coverage) == (2, 1.0, 1.0)


@pytest.mark.parametrize(
    ("node", "capacity", "computation"),
    [
        pytest.param(a_node(memory=0.6, loaded=0.7), 0.7, 0.5, id="loaded bytes above resident memory lead"),
        pytest.param(a_node(memory=0.6, loaded=0.2), 0.6, 0.5, id="resident memory above loaded bytes leads"),
        pytest.param(a_node(concurrency=6, concurrency_cap=8), 0.5, 0.75, id="read concurrency above CPU counts"),
        pytest.param(a_node(concurrency=2, concurrency_cap=2), 0.5, 0.5, id="a concurrency cap of 2 is a coin toss"),
        pytest.param(a_node(concurrency=20, concurrency_cap=8), 0.5, 1.0, id="concurrency is at most its cap"),
        pytest.param(a_node(concurrency=6), 0.5, 0.5, id="concurrency without a known cap does not count"),
    ],
)
def test_load_of_a_node(node: QueryNode, capacity: float, computation: float) -> None:
    (load,) = node_loads(a_snapshot([node]), NOON)

    assert (load.capacity_ratio, load.computation_ratio) == pytest.approx((capacity, computation))
    assert load.gaps == ()


@pytest.mark.parametrize(
    ("change", "gap"),
    [
        pytest.param({"cpu_cores": Sample.missing()}, "qn-1: CPU missing", id="no CPU series"),
        pytest.param({"cpu_cores": a_sample(float("nan"))}, "qn-1: CPU missing", id="NaN"),
        pytest.param({"cpu_cores": a_sample(float("inf"))}, "qn-1: CPU missing", id="infinite"),
        pytest.param({"cpu_cores": a_sample(-0.1)}, "qn-1: CPU negative (-0.1)", id="a rate below zero"),
        pytest.param({"cpu_cores": a_sample(age=75)}, "qn-1: CPU 75 s old (limit 60 s)", id="older than a minute"),
        pytest.param(
            {"cpu_cores": a_sample(coverage=0.5)}, "qn-1: CPU covers 50 % of its series", id="half the series"
        ),
        pytest.param({"cpu_cores": a_sample(900.0)}, "qn-1: CPU 450.0 times its limit is not plausible", id="poisoned"),
        pytest.param({"cpu_limit_cores": None}, "qn-1: no CPU limit", id="a pod without CPU limit"),
        pytest.param({"memory_limit_bytes": None}, "qn-1: no memory limit", id="a pod without memory limit"),
        pytest.param({"loaded_bytes": Sample.missing()}, "qn-1: loaded bytes missing", id="loaded bytes missing"),
        pytest.param(
            {"read_concurrency_cap": 8}, "qn-1: read concurrency missing", id="concurrency missing, cap known"
        ),
    ],
)
def test_an_unusable_number_is_named_and_not_counted(change: dict[str, object], gap: str) -> None:
    nodes = (replace(a_node("qn-1", node_id=1), **change), a_node("qn-2", node_id=2, cpu=0.3))  # type: ignore[arg-type]

    load = cluster_load(a_snapshot(nodes), NOON)

    assert [str(found) for found in load.gaps] == [gap]
    assert not load.complete


def test_a_missing_node_is_left_out_of_the_mean_and_shows_in_the_coverage() -> None:
    seen = signal(a_snapshot([a_node("a", cpu=None), a_node("b", node_id=2, cpu=0.8)]), NOON)

    assert (seen.even_computation_ratio, seen.computation_coverage) == pytest.approx((0.8, 0.5))


def test_samples_age_while_a_snapshot_lies_around() -> None:
    load = cluster_load(a_snapshot(1), NOON + timedelta(seconds=56))

    assert load.gaps
    assert all(gap.stale for gap in load.gaps)


def test_a_new_node_that_holds_nothing_by_milvus_s_own_word_has_no_loaded_bytes() -> None:
    held = Segment(segment_id=1, collection_id=100, rows=10, node_ids=(1,))
    new = replace(a_node("qn-2", node_id=2, memory=0.1), loaded_bytes=Sample.missing())

    loads = node_loads(replace(a_snapshot([a_node("qn-1", node_id=1), new]), segments=(held,)), NOON)

    assert [load.loaded_bytes for load in loads][1] == 0.0


def test_leaving_and_unready_nodes_are_no_members() -> None:
    nodes = (a_node("a"), a_node("b", node_id=2, terminating=True), a_node("c", node_id=3, ready=False))

    assert signal(a_snapshot(nodes), NOON).node_count == 1


def test_an_idle_cluster_has_no_skew() -> None:
    assert skew_ratio(signal(a_snapshot([a_node("a", cpu=0.0), a_node("b", cpu=0.001)]), NOON)) is None
