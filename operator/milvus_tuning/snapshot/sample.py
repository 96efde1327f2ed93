"""One measured number, and that there is none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One measured number.

    value is None where nothing usable was measured (absent, NaN, infinite); age_seconds is the age of the oldest part
    that went into it; coverage is the share (0 to 1) of the expected series that contributed.
    """

    value: float | None
    age_seconds: float = 0.0
    coverage: float = 1.0

    @classmethod
    def missing(cls) -> Sample:
        """The sample that holds nothing."""
        return cls(value=None, age_seconds=0.0, coverage=0.0)

    def usable(self, *, max_age_seconds: float, min_coverage: float) -> float | None:
        """The value, or None when it is absent, too old, or covers too few of its series."""
        if self.age_seconds > max_age_seconds or self.coverage < min_coverage:
            return None
        return self.value


MISSING = Sample.missing()
