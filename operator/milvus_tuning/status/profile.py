"""The profile's part of a status: what it proposes beside what is declared, and its goals beside what is measured.

Measured numbers are quantised as those of `observed` are, and are no ground for a write (`without_measured`); whether a
goal is met is one. More searches per second than the goal show that it is met. Fewer show nothing: nobody asked for
more. Availability is the share of searches that did not fail, in the window of the measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_DOWN, Decimal
from typing import Protocol

from milvus_tuning.api import MilvusTuningStatus, ProfileGoalState, ProfileGoalStatus, ProfileStatus, ProposedField
from milvus_tuning.snapshot import Traffic
from milvus_tuning.status.heat import two_digits

THROUGHPUT = "objectives.searchesPerSecond"
LATENCY = "objectives.searchLatencyP99Milliseconds"
AVAILABILITY = "availability"
WORD_LENGTH = 253  # of `api.status.Word`


class Row(Protocol):
    """`decide.config.profile.ProfileRow`: a field of the policy."""

    @property
    def field(self) -> str: ...
    @property
    def proposed(self) -> str: ...
    @property
    def declared(self) -> str | None: ...
    @property
    def note(self) -> str: ...


class Goal(Protocol):
    """`decide.config.profile.GoalRow`: a number to measure against."""

    @property
    def goal(self) -> str: ...
    @property
    def wanted(self) -> Decimal: ...


class Profile(Protocol):
    """`decide.config.profile.ProfileView`: a pinned profile."""

    @property
    def name(self) -> str: ...
    @property
    def revision(self) -> int: ...
    @property
    def newest_revision(self) -> int | None: ...
    @property
    def rows(self) -> Sequence[Row]: ...
    @property
    def goals(self) -> Sequence[Goal]: ...
    @property
    def message(self) -> str: ...


def profile_status(profile: Profile, traffic: Traffic) -> ProfileStatus:
    """The profile as it stands in status."""
    return ProfileStatus(
        name=profile.name,
        revision=profile.revision,
        newest_revision=profile.newest_revision,
        message=profile.message,
        goals=[_goal(goal, traffic) for goal in profile.goals] or None,
        proposed=[
            ProposedField(
                field=row.field,
                value=row.proposed,
                declared=None if row.declared is None else row.declared[:WORD_LENGTH],
                note=row.note,
            )
            for row in profile.rows
        ]
        or None,
    )


def without_measured(status: MilvusTuningStatus) -> MilvusTuningStatus:
    """The status without the measured numbers of the goals: what is left is worth a write where it changes."""
    if status.profile is None:
        return status
    goals = [goal.model_copy(update={"measured": None}) for goal in status.profile.goals or []]
    return status.model_copy(update={"profile": status.profile.model_copy(update={"goals": goals})})


def _goal(goal: Goal, traffic: Traffic) -> ProfileGoalStatus:
    measured = _measured(goal.goal, traffic)
    return ProfileGoalStatus(
        goal=goal.goal,
        wanted=str(goal.wanted),
        measured=None if measured is None else _words(goal.goal, measured),
        state=_state(goal, measured),
    )


def _measured(goal: str, traffic: Traffic) -> Decimal | None:
    searches, failed = traffic.searches_per_second.value, traffic.failed_per_second.value
    match goal:
        case "objectives.searchesPerSecond":
            return _decimal(searches)
        case "objectives.searchLatencyP99Milliseconds":
            return _decimal(traffic.p99_milliseconds.value)
        case "availability" if searches and failed is not None:
            return _decimal(100 * max(0.0, 1 - failed / searches))
        case _:
            return None


def _decimal(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _state(goal: Goal, measured: Decimal | None) -> ProfileGoalState:
    if measured is None:
        return ProfileGoalState.NOT_MEASURED
    met = measured <= goal.wanted if goal.goal == LATENCY else measured >= goal.wanted
    if met:
        return ProfileGoalState.MET
    return ProfileGoalState.NOT_ASKED_FOR if goal.goal == THROUGHPUT else ProfileGoalState.MISSED


def _words(goal: str, measured: Decimal) -> str:
    """Two digits of a rate or a latency; of an availability two places, rounded down: 100.00 is nothing less."""
    if goal == AVAILABILITY:
        return str(measured.quantize(Decimal("0.01"), rounding=ROUND_DOWN))
    return str(two_digits(float(measured)))
