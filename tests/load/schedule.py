"""When requests are due: an arrival process over a rate that changes with time, free of any clock.

The rate is a chain of straight pieces; the area under it is the number of requests offered. The next request is due
where the area since the last one reaches a mass: always 1 for even spacing, exponentially distributed with mean 1 for
a Poisson process. On a piece with rate r now and slope s, the mass m is reached after x = 2m / (r + sqrt(r^2 + 2sm)).
Worked example: at 20 requests a second, rising by 2 each second, mass 1 is reached after
2 / (20 + sqrt(400 + 4)) = 0.0499 s.
"""

import enum
import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass


class Spacing(enum.StrEnum):
    """How the distances between requests are drawn."""

    POISSON = "poisson"
    EVEN = "even"


class Shape(enum.StrEnum):
    """How the rate goes from one point of a profile to the next."""

    LINEAR = "linear"
    STEPS = "steps"


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A straight piece of the rate, in requests per second over seconds since the start."""

    start_seconds: float
    end_seconds: float
    start_rate: float
    end_rate: float

    @property
    def slope(self) -> float:
        """Change of the rate per second; the open-ended last piece is flat."""
        flat = math.isinf(self.end_seconds) or self.start_rate == self.end_rate
        return 0.0 if flat else (self.end_rate - self.start_rate) / (self.end_seconds - self.start_seconds)

    def rate(self, at_seconds: float) -> float:
        """The rate at a moment inside the piece."""
        return self.start_rate + self.slope * (at_seconds - self.start_seconds)

    def area(self, start_seconds: float, end_seconds: float) -> float:
        """Requests offered between two moments, as far as they lie inside the piece."""
        start, end = max(start_seconds, self.start_seconds), min(end_seconds, self.end_seconds)
        if end <= start or self.start_rate == self.end_rate == 0:
            return 0.0
        return math.inf if math.isinf(end) else (end - start) * (self.rate(start) + self.rate(end)) / 2

    def moment_of(self, mass: float, start_seconds: float) -> float:
        """When the area since the start reaches a mass that lies inside the piece."""
        rate = self.rate(start_seconds)
        root = math.sqrt(max(0.0, rate * rate + 2 * self.slope * mass))
        return start_seconds + (2 * mass / (rate + root) if mass > 0 else 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """A rate over time: pieces without gaps, the last one open-ended."""

    pieces: tuple[Piece, ...]

    def rate(self, at_seconds: float) -> float:
        """The target rate at a moment."""
        return next(piece.rate(at_seconds) for piece in self.pieces if at_seconds < piece.end_seconds)

    def area(self, start_seconds: float, end_seconds: float) -> float:
        """Requests offered between two moments."""
        return math.fsum(piece.area(start_seconds, end_seconds) for piece in self.pieces)

    def moment_of(self, mass: float, start_seconds: float) -> float:
        """When the area since the start reaches a mass; infinity if it never does."""
        at_seconds, left = start_seconds, mass
        for piece in self.pieces:
            if at_seconds >= piece.end_seconds:
                continue
            area = piece.area(at_seconds, piece.end_seconds)
            if area > 0 and left <= area:
                return piece.moment_of(left, at_seconds)
            at_seconds, left = piece.end_seconds, left - area
        return math.inf


def constant(rate: float) -> Profile:
    """One rate for ever."""
    if not math.isfinite(rate) or rate < 0:
        raise ValueError(f"a rate is a number of requests per second, 0 or more, not {rate}")
    return Profile(pieces=(Piece(start_seconds=0.0, end_seconds=math.inf, start_rate=rate, end_rate=rate),))


def parse_profile(text: str, shape: Shape = Shape.LINEAR) -> Profile:
    """Read `seconds:rate` points, for example `0:20,30:80,90:20`; the last rate stays for ever."""
    points = [_parse_point(point) for point in text.split(",")]
    times = [seconds for seconds, _ in points]
    if times[0] != 0 or any(later <= earlier for earlier, later in itertools.pairwise(times)):
        raise ValueError(f"the times of a profile start at 0 and rise, not {times}")
    pieces = [
        Piece(
            start_seconds=start, end_seconds=end, start_rate=rate, end_rate=rate if shape is Shape.STEPS else next_rate
        )
        for (start, rate), (end, next_rate) in itertools.pairwise(points)
    ]
    last_seconds, last_rate = points[-1]
    last = Piece(start_seconds=last_seconds, end_seconds=math.inf, start_rate=last_rate, end_rate=last_rate)
    return Profile(pieces=(*pieces, last))


def _parse_point(text: str) -> tuple[float, float]:
    try:
        seconds, rate = (float(part) for part in text.split(":"))
    except ValueError:
        raise ValueError(f"a point of a profile reads seconds:rate, not {text!r}") from None
    if not (math.isfinite(seconds) and math.isfinite(rate) and rate >= 0):
        raise ValueError(f"a point of a profile has finite seconds and a rate of 0 or more, not {text!r}")
    return seconds, rate


def masses(spacing: Spacing, seed: int) -> Iterator[float]:
    """The areas between requests: the same seed gives the same requests."""
    if spacing is Spacing.EVEN:
        return itertools.repeat(1.0)
    draw = random.Random(seed)
    return (draw.expovariate(1.0) for _ in itertools.count())


class Arrivals:
    """The moments at which requests are due, one after the other; the rate can be changed on the way."""

    def __init__(self, profile: Profile, spaces: Iterator[float]) -> None:
        self._profile = profile
        self._spaces = spaces
        self._since_seconds = 0.0
        self._mass = next(spaces)

    @property
    def due_seconds(self) -> float:
        """When the next request is due, in seconds since the start; infinity if the rate stays 0."""
        return self._profile.moment_of(self._mass, self._since_seconds)

    def take(self) -> float:
        """Take the next request and go on to the one after it; gives the moment it was due."""
        due = self.due_seconds
        self._since_seconds, self._mass = due, next(self._spaces)
        return due

    def change(self, profile: Profile, at_seconds: float) -> None:
        """Go on with another profile; the part of the wait that is already over counts."""
        at_seconds = max(at_seconds, self._since_seconds)
        waited = self._profile.area(self._since_seconds, at_seconds)
        self._mass = max(0.0, self._mass - waited)
        self._profile, self._since_seconds = profile, at_seconds
