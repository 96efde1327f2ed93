"""How the scale is learned from what the QueryNodes burn."""

import pytest

from milvus_tuning.decide.heat.scale import Point, Scale, fitted_scale

LIMIT = 0.3


def a_point(cost: float, cores: float, *, saturated: bool = False) -> Point:
    return Point(cost=cost, cores=cores, limit_cores=LIMIT, saturated=saturated)


@pytest.mark.parametrize(
    ("points", "base", "per_cost"),
    [
        pytest.param([a_point(10, 0.2)], 0.0, 0.02, id="one node: the ratio"),
        pytest.param([a_point(10, 0.2), a_point(10, 0.1)], 0.0, 0.015, id="equal work: the ratio of the means"),
        pytest.param([a_point(1, 0.03), a_point(8, 0.17), a_point(4, 0.09)], 0.01, 0.02, id="a line: base and slope"),
        pytest.param([a_point(0, 0.02), a_point(10, 0.12)], 0.02, 0.01, id="a node without searches shows the base"),
        pytest.param([a_point(1, 0.2), a_point(2, 0.25)], 0.03, 0.1217, id="a base above a tenth of the limit is none"),
        pytest.param([a_point(1, 0.2), a_point(9, 0.01)], 0.01, None, id="a falling line tells nothing"),
        pytest.param([a_point(0, 0.02), a_point(0, 0.01)], 0.01, None, id="no searches at all: nothing but a base"),
    ],
)
def test_scale_of_nodes(points: list[Point], base: float, per_cost: float | None) -> None:
    found = fitted_scale(points, Scale())

    assert found.base_cores == pytest.approx(base, abs=0.001)
    assert found.cores_per_cost == (None if per_cost is None else pytest.approx(per_cost, rel=0.02))


@pytest.mark.parametrize(
    ("points", "learned"),
    [
        pytest.param([a_point(0.01, 0.016), a_point(0.02, 0.018)], False, id="the noise of idle nodes"),
        pytest.param([a_point(0.01, 0.016), a_point(2.0, 0.06)], True, id="a node that is searched"),
        pytest.param([a_point(0.02, 0.017), a_point(0.02, 0.018)], False, id="alike, and all of it could be base"),
        pytest.param([a_point(0.02, 0.17), a_point(0.02, 0.18)], True, id="alike, and far above any base"),
        pytest.param([a_point(0.02, 0.02)], False, id="one idle node"),
    ],
)
def test_a_quiet_night_does_not_spoil_the_scale(points: list[Point], learned: bool) -> None:
    assert (fitted_scale(points, Scale()).cores_per_cost is not None) is learned


def test_one_odd_node_does_not_decide() -> None:
    honest = [a_point(cost, 0.02 * cost) for cost in (2, 4, 5, 6, 7, 8)]
    odd = a_point(5, 0.28)  # loads an index besides

    with_it, without_it = fitted_scale([*honest, odd], Scale()), fitted_scale(honest, Scale())

    assert without_it.cores_per_cost == pytest.approx(0.02, rel=0.01)
    assert with_it.cores_per_cost == pytest.approx(0.02, rel=0.1)


SEEN = [a_point(1, 0.11), a_point(2, 0.21)]


def test_a_saturated_node_does_not_pull_the_scale_down() -> None:
    censored = fitted_scale([*SEEN, a_point(8, 0.30, saturated=True)], Scale())
    taken_at_its_word = fitted_scale([*SEEN, a_point(8, 0.30)], Scale())

    assert censored.cores_per_cost == pytest.approx(0.1, rel=0.01)
    assert taken_at_its_word.cores_per_cost == pytest.approx(0.0376, rel=0.01)


def test_a_saturated_node_that_burns_more_than_expected_counts() -> None:
    unmoved, pulled = fitted_scale(SEEN, Scale()), fitted_scale([*SEEN, a_point(2, 0.30, saturated=True)], Scale())

    assert unmoved.cores_per_cost is not None
    assert pulled.cores_per_cost is not None
    assert pulled.cores_per_cost > unmoved.cores_per_cost * 1.1


@pytest.mark.parametrize(
    ("remembered", "per_cost"),
    [
        pytest.param(None, 0.0288, id="nothing remembered: what they burn over what they do"),
        pytest.param(0.01, 0.0288, id="less remembered: it is a lower bound"),
        pytest.param(0.05, 0.05, id="more remembered stands"),
    ],
)
def test_all_saturated_is_a_lower_bound(remembered: float | None, per_cost: float) -> None:
    points = [a_point(10, 0.3, saturated=True), a_point(8, 0.2, saturated=True)]

    found = fitted_scale(points, Scale(cores_per_cost=remembered))

    assert found.cores_per_cost == pytest.approx(per_cost, rel=0.05)


def test_among_scales_that_fit_equally_well_the_remembered_one_stands() -> None:
    points = [a_point(0, 0.02), a_point(10, 0.3, saturated=True)]

    assert fitted_scale(points, Scale()).cores_per_cost == pytest.approx(0.028)
    assert fitted_scale(points, Scale(base_cores=0.02, cores_per_cost=0.07)).cores_per_cost == pytest.approx(0.07)
    assert fitted_scale(points, Scale(base_cores=0.02, cores_per_cost=0.01)).cores_per_cost == pytest.approx(0.028)


@pytest.mark.parametrize(
    ("known", "fitted", "mixed"),
    [
        pytest.param(Scale(), Scale(base_cores=0.1, cores_per_cost=2.0), (0.1, 2.0), id="the first fit counts whole"),
        pytest.param(Scale(base_cores=0.1, cores_per_cost=2.0), Scale(), (0.1, 2.0), id="no fit changes nothing"),
        pytest.param(
            Scale(base_cores=0.1, cores_per_cost=2.0),
            Scale(base_cores=0.2, cores_per_cost=4.0),
            (0.15, 3.0),
            id="half after 120 s",
        ),
    ],
)
def test_the_scale_is_smoothed(known: Scale, fitted: Scale, mixed: tuple[float, float]) -> None:
    found = known.smoothed(fitted, 120.0)

    assert (found.base_cores, found.cores_per_cost) == pytest.approx(mixed)
