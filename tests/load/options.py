"""What a run is told: the same facts for the command line and for those who start it from Python."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.load.openloop import Limits
from tests.load.schedule import Arrivals, Profile, Shape, Spacing, constant, masses, parse_profile


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """An open-loop run; `seconds` None runs until it is stopped, a `profile` takes the place of `rate`."""

    uri: str
    collections: tuple[str, ...]
    rate: float = 0.0
    profile: str | None = None
    shape: Shape = Shape.LINEAR
    seconds: float | None = None
    spacing: Spacing = Spacing.POISSON
    seed: int = 1
    limit: int = 10
    nq: int = 8
    timeout_seconds: float = 10.0
    max_in_flight: int = 512
    report_every_seconds: float = 1.0
    verify: bool = False
    out: Path | None = None

    def rates(self) -> Profile:
        """The rate over time; raises ValueError if it cannot be read."""
        return constant(self.rate) if self.profile is None else parse_profile(self.profile, self.shape)

    def arrivals(self) -> Arrivals:
        """The requests due: the same options give the same schedule."""
        return Arrivals(self.rates(), masses(self.spacing, self.seed))

    def limits(self) -> Limits:
        """The bounds of the run."""
        return Limits(
            duration_seconds=math.inf if self.seconds is None else self.seconds,
            timeout_seconds=self.timeout_seconds,
            max_in_flight=self.max_in_flight,
            report_every_seconds=self.report_every_seconds,
        )

    def search_flags(self) -> list[str]:
        """What the searches of any command look like."""
        flags = ["--uri", self.uri, "--seed", str(self.seed), "--limit", str(self.limit), "--nq", str(self.nq)]
        collections = [word for collection in self.collections for word in ("--collection", collection)]
        return [*flags, "--timeout", str(self.timeout_seconds), *collections]

    def argv(self) -> list[str]:
        """The arguments of `python -m tests.load` that mean this run, steered by standard input."""
        return ["run", "--control", "-", *self.search_flags(), *self._run_flags()]

    def _run_flags(self) -> Iterator[str]:
        yield from ("--rate", str(self.rate), "--shape", self.shape, "--spacing", self.spacing)
        yield from ("--max-in-flight", str(self.max_in_flight), "--report-every", str(self.report_every_seconds))
        if self.verify:
            yield "--verify"
        for flag, value in (("--profile", self.profile), ("--seconds", self.seconds), ("--out", self.out)):
            if value is not None:
                yield from (flag, str(value))
