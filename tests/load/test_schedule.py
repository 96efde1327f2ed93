"""The schedule: how many requests are due when, for constant, rising, stepped and changed rates."""

import itertools
import math

import pytest

from tests.load.schedule import Arrivals, Profile, Shape, Spacing, constant, masses, parse_profile


def due_before(arrivals: Arrivals, end_seconds: float) -> list[float]:
    taken = []
    while arrivals.due_seconds < end_seconds:
        taken.append(arrivals.take())
    return taken


def evenly(profile: Profile) -> Arrivals:
    return Arrivals(profile, masses(Spacing.EVEN, seed=1))


def test_even_spacing_at_a_constant_rate_is_equidistant() -> None:
    assert due_before(evenly(constant(4)), 1.1) == pytest.approx([0.25, 0.5, 0.75, 1.0])


@pytest.mark.parametrize(
    ("text", "shape", "expected"),
    [
        pytest.param("0:20", Shape.LINEAR, {0: 20, 1000: 20}, id="one point holds for ever"),
        pytest.param("0:20,30:80,90:20", Shape.LINEAR, {0: 20, 15: 50, 30: 80, 60: 50, 90: 20, 500: 20}, id="ramps"),
        pytest.param("0:20,30:80,90:20", Shape.STEPS, {0: 20, 29.9: 20, 30: 80, 89.9: 80, 90: 20}, id="steps"),
    ],
)
def test_a_profile_gives_the_rate_at_a_moment(text: str, shape: Shape, expected: dict[float, float]) -> None:
    profile = parse_profile(text, shape)
    assert {moment: profile.rate(moment) for moment in expected} == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "20", "5:20", "0:20,0:30", "0:20,30:-1", "0:nan", "0:20,inf:3", "0:20,10:5:1"])
def test_a_profile_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="profile"):
        parse_profile(text)


@pytest.mark.parametrize("spacing", Spacing)
@pytest.mark.parametrize("shape", Shape)
def test_as_many_requests_are_due_as_the_area_under_the_profile(spacing: Spacing, shape: Shape) -> None:
    profile = parse_profile("0:0,10:200,20:200,30:0", shape)
    due = due_before(Arrivals(profile, masses(spacing, seed=7)), 1000.0)
    area = profile.area(0.0, 1000.0)
    assert len(due) == pytest.approx(area, abs=1 if spacing is Spacing.EVEN else 4 * math.sqrt(area))
    assert all(earlier <= later for earlier, later in itertools.pairwise(due))


def test_the_same_seed_gives_the_same_requests_and_another_seed_others() -> None:
    first, again, other = (due_before(Arrivals(constant(50), masses(Spacing.POISSON, seed)), 5.0) for seed in (1, 1, 2))
    assert first == again != other


def test_poisson_distances_vary_as_much_as_their_mean() -> None:
    due = due_before(Arrivals(constant(100), masses(Spacing.POISSON, seed=3)), 100.0)
    gaps = [later - earlier for earlier, later in itertools.pairwise(due)]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert (mean, deviation) == pytest.approx((0.01, 0.01), rel=0.05)


def test_nothing_is_due_at_rate_zero_until_the_rate_changes() -> None:
    arrivals = evenly(constant(0))
    assert arrivals.due_seconds == math.inf
    arrivals.change(constant(10), 5.0)
    assert arrivals.due_seconds == pytest.approx(5.1)


def test_a_change_counts_the_wait_that_is_over() -> None:
    arrivals = evenly(constant(1))
    arrivals.change(constant(10), 0.5)  # half of the request is waited for, the other half goes ten times as fast
    assert arrivals.due_seconds == pytest.approx(0.55)


def test_a_negative_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="rate"):
        constant(-1)
