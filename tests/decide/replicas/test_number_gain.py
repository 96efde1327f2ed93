"""What one in-memory replica more is worth, and what measurements make of it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.decide.replicas.gain import (
    GAIN_OF_SECOND,
    capacity_ratio,
    learned_gain,
    load_factor,
    measured_gain_percent,
)
from milvus_tuning.plan import Operation, StepKind
from tests.builders import a_finished_operation


def a_replica_operation(before: int, after: int, gain_percent: int | None) -> Operation:
    """A change of the number of replicas, with what it was measured to bring."""
    operation = a_finished_operation(kind=StepKind.SET_REPLICA_NUMBER)
    step = replace(operation.steps[0].step, precondition={"count": before}, action={"count": after})
    record = replace(operation.steps[0], step=step)
    return replace(operation, steps=(record,), gain_percent=gain_percent)


@pytest.mark.parametrize(("replicas", "carried"), [(1, 1.0), (2, 1.7), (3, 2.32)])
def test_the_default_goes_through_the_stated_figures(replicas: int, carried: float) -> None:
    assert capacity_ratio(replicas) == pytest.approx(carried, abs=0.005)


@pytest.mark.parametrize(
    ("share", "before", "after", "factor"),
    [
        pytest.param(1.0, 1, 2, 1 / 1.7, id="all heat, one more"),
        pytest.param(0.8, 1, 2, 0.2 + 0.8 / 1.7, id="a part of the heat, one more"),
        pytest.param(0.0, 1, 2, 1.0, id="no heat, nothing gained"),
        pytest.param(1.0, 2, 1, 1.7, id="one less is the way back"),
    ],
)
def test_only_the_share_of_the_collection_is_relieved(share: float, before: int, after: int, factor: float) -> None:
    assert load_factor(share_ratio=share, before=before, after=after) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("operations", "gain"),
    [
        pytest.param([], 1.7, id="nothing measured"),
        pytest.param([a_replica_operation(1, 2, 200)], 1.77, id="one that doubled it moves a quarter of the way"),
        pytest.param([a_replica_operation(1, 2, 100)] * 3, 1.30, id="three that brought nothing, half of the way"),
        pytest.param([a_replica_operation(2, 1, 50)], 1.77, id="a replica less that cost half says the same"),
        pytest.param([a_replica_operation(1, 2, 900)], 1.77, id="nine times as much counts as twice"),
        pytest.param([a_replica_operation(1, 2, 20)], 1.49, id="a loss counts as no gain"),
        pytest.param([a_replica_operation(1, 2, None)], 1.7, id="not measured says nothing"),
        pytest.param([replace(a_finished_operation(), gain_percent=300)], 1.7, id="nodes say nothing of replicas"),
    ],
)
def test_measurements_correct_the_default(operations: list[Operation], gain: float) -> None:
    assert learned_gain(operations) == pytest.approx(gain, abs=0.005)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2000))))
def test_the_learned_gain_is_a_gain_and_never_more_than_double(measured: list[tuple[int, int, int]]) -> None:
    assert 1.0 < learned_gain([a_replica_operation(*one) for one in measured]) <= 2.0


def test_the_mean_of_many_measurements_is_believed() -> None:
    assert learned_gain([a_replica_operation(1, 2, 140)] * 200) == pytest.approx(1.4, abs=0.01)


@pytest.mark.parametrize(
    ("searches", "computation", "share", "gain"),
    [
        pytest.param((600, 660), (0.75, 0.55), 0.8, 171, id="the example"),
        pytest.param((600, 600), (0.8, 0.8), 0.8, 100, id="nothing changed"),
        pytest.param((600, 0), (0.75, 0.55), 0.8, None, id="no searches after it"),
        pytest.param((600, 660), (0.0, 0.55), 0.8, None, id="idle before it"),
        pytest.param((600, 660), (0.75, 0.55), 0.1, None, id="a collection that is hardly felt"),
        pytest.param((600, 6000), (0.75, 0.55), 0.3, None, id="more than the collection can explain"),
    ],
)
def test_the_gain_of_the_collection_is_taken_out_of_that_of_the_cluster(
    searches: tuple[float, float], computation: tuple[float, float], share: float, gain: int | None
) -> None:
    assert measured_gain_percent(searches=searches, computation=computation, share_ratio=share) == gain


@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
def test_what_the_model_predicts_is_measured_back(share: float) -> None:
    after = 0.75 * load_factor(share_ratio=share, before=1, after=2)
    measured = measured_gain_percent(searches=(600, 600), computation=(0.75, after), share_ratio=share)
    assert measured == round(100 * GAIN_OF_SECOND)
