"""Maintenance windows: whether something may happen by itself now, and when it may next.

A window opens at each time its cron schedule names, read in its time zone, and closes so many minutes of elapsed time
later. What no window names is bound to no time; what a window names waits until a window that names it is open.

    open at t    there is an opening in (t - duration, t]

Asked that way overlapping openings and windows longer than a day need no case of their own. Clock changes are those of
Debian's cron: a time that the spring change skips opens at the end of the gap, a time that the autumn change repeats
opens the first time only (a schedule with * in minute or hour goes on counting through both). Where clocks change by
half an hour (Lord Howe) the library passes over openings in that half hour.

Example: "0 2 * * *" in Europe/Berlin for 180 minutes opens at 01:00Z in winter and 00:00Z in summer. On the last Sunday
of March 02:00 does not exist: it opens at 03:00+02:00 (01:00Z) and closes at 04:00Z, three hours later as always.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from milvus_tuning.api import MaintenanceWindow, WindowAction
from milvus_tuning.plan import Step, StepKind

CRON_FIELDS = 5  # the library would read a sixth as seconds
_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)  # from here the library looks 50 years ahead
_UNKNOWN_ZONE = (KeyError, ValueError, OSError)  # ZoneInfo: no such key; a path outside; a folder such as "Europe"
_PLACEMENT = frozenset({StepKind.TAKE_PLACEMENT, StepKind.RETURN_PLACEMENT})
_ACTIONS: Mapping[StepKind, WindowAction] = MappingProxyType(
    {
        StepKind.DRAIN_QUERY_NODE: WindowAction.SCALE_IN,
        StepKind.SET_CONFIG: WindowAction.SET_CONFIG,
        StepKind.TAKE_PLACEMENT: WindowAction.SET_CONFIG,
        StepKind.RETURN_PLACEMENT: WindowAction.SET_CONFIG,
        StepKind.MOVE_SEGMENTS: WindowAction.MOVE_SEGMENTS,
        StepKind.SET_REPLICA_NUMBER: WindowAction.SET_REPLICA_NUMBER,
        StepKind.SET_COLLECTION_PROPERTY: WindowAction.SET_CONFIG,
        StepKind.RESTART_COMPONENT: WindowAction.RESTART,
        StepKind.SET_SCHEDULING: WindowAction.RESTART,
    }
)


def window_obstacle(
    windows: Sequence[MaintenanceWindow] | None, actions: frozenset[WindowAction], now: datetime
) -> str | None:
    """Why these actions may not happen by themselves now: which window they wait for; None when they may."""
    obstacles = (_obstacle(windows or (), action, now) for action in sorted(actions))
    return "; ".join(obstacle for obstacle in obstacles if obstacle is not None) or None


def actions_of(steps: Iterable[Step]) -> frozenset[WindowAction]:
    """What these steps do, in the words of a window.

    Holding the balancer off for moves is a part of moving, and writing keys that are read at start one of the restart.
    """
    kinds = list(steps)
    aside = _aside({step.kind for step in kinds})
    return frozenset(
        _size_action(step) if step.kind not in _ACTIONS else _ACTIONS[step.kind]
        for step in kinds
        if step.kind not in aside
    )


def _aside(kinds: Set[StepKind]) -> frozenset[StepKind]:
    """The kinds that are a part of another one among these."""
    moving = _PLACEMENT if StepKind.MOVE_SEGMENTS in kinds else frozenset()
    return moving | {StepKind.SET_CONFIG} if StepKind.RESTART_COMPONENT in kinds else moving


def is_open(window: MaintenanceWindow, now: datetime) -> bool:
    """Whether the window opened less than its duration ago; a window with a fault is never open."""
    opening = next_opening(window, now - timedelta(minutes=window.duration_minutes))
    return opening is not None and opening <= now


def next_opening(window: MaintenanceWindow, now: datetime) -> datetime | None:
    """The first opening after this moment, in UTC; None when there is none within 50 years, or the window is faulty."""
    if _schedule_fault(window) or _zone_fault(window):
        return None
    # The library counts in wall clock time: in the hour that autumn repeats it may begin with a time already past. From
    # within the last minute before a gap it would pass over what opens at the end of the gap.
    since = _in_zone(window, now.replace(second=0, microsecond=0))
    openings = (opening.astimezone(UTC) for opening in CronSim(window.schedule, since))
    return next((opening for opening in openings if opening > now), None)


def window_fault(window: MaintenanceWindow) -> str | None:
    """What is wrong with a window that can never open, and how to mend it."""
    fault = _schedule_fault(window) or _zone_fault(window)
    if fault is None and next_opening(window, _ANY_TIME) is None:
        fault = f"schedule {window.schedule!r} names no day that exists; mend its day, month and weekday"
    return None if fault is None else f"maintenance window {window.name}: {fault}"


def _obstacle(windows: Sequence[MaintenanceWindow], action: WindowAction, now: datetime) -> str | None:
    naming = [window for window in windows if action in window.allows]
    if not naming or any(is_open(window, now) for window in naming):
        return None
    openings = [(opening, window) for window in naming if (opening := next_opening(window, now)) is not None]
    if not openings:
        faults = [window_fault(window) or f"maintenance window {window.name} does not open again" for window in naming]
        return f"{action} waits for a maintenance window: {', '.join(faults)}"
    opening, window = min(openings, key=lambda one: (one[0], one[1].name))
    shown = _in_zone(window, opening).isoformat(timespec="minutes")
    return f"{action} waits for maintenance window {window.name}, which opens at {shown} ({window.time_zone})"


def _size_action(step: Step) -> WindowAction:
    before, after = step.precondition.get("desiredCount"), step.action.get("count")
    grows = isinstance(before, int) and isinstance(after, int) and after >= before
    return WindowAction.SCALE_OUT if grows else WindowAction.SCALE_IN


def _schedule_fault(window: MaintenanceWindow) -> str | None:
    error = _cron_error(window.schedule)
    if error is None:
        return None
    return (
        f"schedule {window.schedule!r} cannot be read ({error}); write five cron fields, minute hour day month "
        'weekday, such as "0 2 * * *"'
    )


def _cron_error(schedule: str) -> str | None:
    fields = len(schedule.split())
    if fields != CRON_FIELDS:
        return f"it has {fields} fields"
    try:
        CronSim(schedule, _ANY_TIME)
    except CronSimError as error:
        return str(error)
    return None


def _zone_fault(window: MaintenanceWindow) -> str | None:
    try:
        ZoneInfo(window.time_zone)
    except _UNKNOWN_ZONE:
        return f"time zone {window.time_zone!r} is unknown; write an IANA name such as Europe/Berlin"
    return None


def _in_zone(window: MaintenanceWindow, moment: datetime) -> datetime:
    return moment.astimezone(ZoneInfo(window.time_zone))
