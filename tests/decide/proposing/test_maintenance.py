"""Maintenance windows: when they are open, across clock changes, and what waits for them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.api import MaintenanceWindow, WindowAction
from milvus_tuning.decide.proposing.maintenance import actions_of, is_open, next_opening, window_fault, window_obstacle
from milvus_tuning.plan import Step, StepKind
from tests.builders import NOON

BERLIN = "Europe/Berlin"
SPRING = "2026-03-29"  # 02:00+01:00 becomes 03:00+02:00, at 01:00Z
AUTUMN = "2026-10-25"  # 03:00+02:00 becomes 02:00+01:00, at 01:00Z


def a_window(
    schedule: str = "0 2 * * *",
    minutes: int = 180,
    zone: str = BERLIN,
    *,
    name: str = "night",
    allows: tuple[WindowAction, ...] = (WindowAction.SCALE_IN,),
) -> MaintenanceWindow:
    """Each night from two to five in Berlin, for scale-in; not validated, for the operator may meet anything."""
    return MaintenanceWindow.model_construct(
        name=name, schedule=schedule, duration_minutes=minutes, time_zone=zone, allows=list(allows)
    )


def at(text: str) -> datetime:
    """A moment with its offset, in UTC as the operator knows it."""
    return datetime.fromisoformat(text).astimezone(UTC)


NIGHT = a_window()
HALF_PAST = a_window("30 2 * * *", 45)
LATE = a_window("0 23 * * 5", 180)  # over midnight, from Friday on
LONG = a_window("0 0 * * 6", 60 * 48)  # the whole weekend
OVERLAPPING = a_window("0 */2 * * *", 180)
HOURLY = a_window("0 * * * *", 10)


@pytest.mark.parametrize(
    ("window", "moment", "expected"),
    [
        pytest.param(NIGHT, "2026-01-05T01:59:59+01:00", False, id="a second before it opens"),
        pytest.param(NIGHT, "2026-01-05T02:00:00+01:00", True, id="at its opening"),
        pytest.param(NIGHT, "2026-01-05T02:00:00.500000+01:00", True, id="within the first second"),
        pytest.param(NIGHT, "2026-01-05T04:59:59.999999+01:00", True, id="in its last instant"),
        pytest.param(NIGHT, "2026-01-05T05:00:00+01:00", False, id="at its end"),
        pytest.param(NIGHT, "2026-07-05T02:00:00+02:00", True, id="in summer it opens at midnight UTC"),
        pytest.param(NIGHT, "2026-07-05T05:00:00+02:00", False, id="and is over at three UTC"),
        pytest.param(LATE, "2026-01-09T22:59:00+01:00", False, id="over midnight: not yet"),
        pytest.param(LATE, "2026-01-10T01:59:00+01:00", True, id="over midnight: still open on Saturday"),
        pytest.param(LATE, "2026-01-10T02:00:00+01:00", False, id="over midnight: over"),
        pytest.param(LATE, "2026-01-10T23:30:00+01:00", False, id="over midnight: not on Saturday night"),
        pytest.param(LONG, "2026-01-09T23:59:59+01:00", False, id="longer than a day: Friday"),
        pytest.param(LONG, "2026-01-11T23:59:59+01:00", True, id="longer than a day: late on Sunday"),
        pytest.param(LONG, "2026-01-12T00:00:00+01:00", False, id="longer than a day: Monday"),
        pytest.param(OVERLAPPING, "2026-01-05T01:30:00+01:00", True, id="overlapping: open by the former opening"),
        pytest.param(OVERLAPPING, "2026-01-05T23:59:59+01:00", True, id="overlapping: never closed"),
        pytest.param(NIGHT, f"{SPRING}T01:59:59+01:00", False, id="spring: before the gap"),
        pytest.param(NIGHT, f"{SPRING}T03:00:00+02:00", True, id="spring: opens after the gap"),
        pytest.param(NIGHT, f"{SPRING}T05:59:59+02:00", True, id="spring: three hours all the same"),
        pytest.param(NIGHT, f"{SPRING}T06:00:00+02:00", False, id="spring: and no more"),
        pytest.param(HALF_PAST, f"{SPRING}T03:44:00+02:00", True, id="spring: 02:30 opens at the gap's end"),
        pytest.param(HALF_PAST, f"{SPRING}T03:45:00+02:00", False, id="spring: 45 minutes from there"),
        pytest.param(HALF_PAST, f"{AUTUMN}T02:29:00+02:00", False, id="autumn: before the first 02:30"),
        pytest.param(HALF_PAST, f"{AUTUMN}T02:30:00+02:00", True, id="autumn: at the first 02:30"),
        pytest.param(HALF_PAST, f"{AUTUMN}T02:14:00+01:00", True, id="autumn: 44 minutes later the clock says 02:14"),
        pytest.param(HALF_PAST, f"{AUTUMN}T02:15:00+01:00", False, id="autumn: over after 45 minutes"),
        pytest.param(HALF_PAST, f"{AUTUMN}T02:30:00+01:00", False, id="autumn: not again at the second 02:30"),
        pytest.param(NIGHT, f"{AUTUMN}T03:59:59+01:00", True, id="autumn: three hours are over by four"),
        pytest.param(NIGHT, f"{AUTUMN}T04:00:00+01:00", False, id="autumn: and no more"),
        pytest.param(HOURLY, f"{AUTUMN}T02:05:00+02:00", True, id="autumn: hourly in the first 02"),
        pytest.param(HOURLY, f"{AUTUMN}T02:05:00+01:00", True, id="autumn: hourly in the second 02 too"),
        pytest.param(HOURLY, f"{AUTUMN}T02:15:00+01:00", False, id="autumn: hourly, ten minutes each"),
    ],
)
def test_a_window_is_open_for_its_duration_from_each_opening(
    window: MaintenanceWindow, moment: str, expected: bool
) -> None:
    assert is_open(window, at(moment)) is expected


@pytest.mark.parametrize(
    ("window", "moment", "expected"),
    [
        pytest.param(NIGHT, "2026-01-05T12:00:00+01:00", "2026-01-06T02:00:00+01:00", id="the next night"),
        pytest.param(NIGHT, "2026-01-05T02:00:00+01:00", "2026-01-06T02:00:00+01:00", id="strictly later than now"),
        pytest.param(NIGHT, "2026-03-28T12:00:00+01:00", f"{SPRING}T03:00:00+02:00", id="spring"),
        pytest.param(HALF_PAST, f"{AUTUMN}T02:10:00+01:00", "2026-10-26T02:30:00+01:00", id="autumn: not a past one"),
        pytest.param(
            a_window("0 3 1 1 *", zone="Asia/Tokyo"), "2026-01-05T12:00:00+00:00", "2026-12-31T18:00:00+00:00", id="far"
        ),
        pytest.param(a_window("0 2 29 2 *"), "2026-01-05T12:00:00+00:00", "2028-02-29T02:00:00+01:00", id="a leap day"),
    ],
)
def test_the_next_opening_is_in_the_zone_of_the_window(window: MaintenanceWindow, moment: str, expected: str) -> None:
    assert next_opening(window, at(moment)) == at(expected)


ZONES = ("UTC", BERLIN, "America/New_York", "Asia/Kathmandu", "America/Santiago")
CLOCK_CHANGES = (
    f"{SPRING}T01:00Z",
    f"{AUTUMN}T01:00Z",
    "2026-03-08T07:00Z",  # New York
    "2026-11-01T06:00Z",
    "2026-04-05T03:00Z",  # Santiago, at midnight
    "2026-09-06T04:00Z",
)
MOMENTS = st.builds(
    lambda start, back: start - back,
    st.sampled_from([at(text) for text in CLOCK_CHANGES]),
    st.one_of(
        st.timedeltas(timedelta(hours=-30), timedelta(hours=30)), st.timedeltas(timedelta(days=-400), timedelta(days=9))
    ),
)
SCHEDULES = st.builds(
    "{} {} * * {}".format,
    st.sampled_from(["0", "30", "*/15", "59"]),
    st.sampled_from(["*", "0", "1", "2", "1-3", "23", "*/6"]),
    st.sampled_from(["*", "0", "5,6", "MON"]),
)
WINDOWS = st.builds(a_window, SCHEDULES, st.integers(1, 4000), st.sampled_from(ZONES))


@given(WINDOWS, MOMENTS)
def test_a_window_opens_at_its_next_opening_and_not_before(window: MaintenanceWindow, moment: datetime) -> None:
    opening = next_opening(window, moment)

    assert opening is not None
    assert opening > moment
    assert is_open(window, opening)
    assert is_open(window, opening + timedelta(minutes=window.duration_minutes, microseconds=-1))
    if not is_open(window, moment):
        assert not is_open(window, opening - timedelta(microseconds=1))


@given(st.sampled_from(ZONES), st.integers(0, 23), st.integers(0, 59), MOMENTS)
def test_a_daily_window_opens_on_the_wall_clock(zone: str, hour: int, minute: int, moment: datetime) -> None:
    """The oracle: of the two neighbouring days that wall clock time, moved out of the gap that spring makes."""
    window, here = a_window(f"{minute} {hour} * * *", 1, zone), ZoneInfo(zone)
    today = moment.astimezone(here).replace(hour=hour, minute=minute, second=0, microsecond=0, tzinfo=None, fold=0)
    walls = [today + timedelta(days=days) for days in (-1, 0, 1, 2)]
    openings = [_out_of_gap(wall, here) for wall in walls]

    assert next_opening(window, moment) == next(opening for opening in openings if opening > moment)


def _out_of_gap(wall: datetime, zone: ZoneInfo) -> datetime:
    while (there := wall.replace(tzinfo=zone).astimezone(UTC)).astimezone(zone).replace(tzinfo=None) != wall:
        wall += timedelta(minutes=1)
    return there


OUT, IN, CONFIG = WindowAction.SCALE_OUT, WindowAction.SCALE_IN, WindowAction.SET_CONFIG
EVENING = a_window("0 20 * * *", 60, name="evening", allows=(IN, CONFIG))


@pytest.mark.parametrize(
    ("windows", "actions", "moment", "expected"),
    [
        pytest.param(None, {IN}, "2026-01-05T12:00:00Z", None, id="no windows bind nothing"),
        pytest.param([NIGHT], {OUT}, "2026-01-05T12:00:00Z", None, id="what no window names is bound to no time"),
        pytest.param([NIGHT], set(), "2026-01-05T12:00:00Z", None, id="no action waits for nothing"),
        pytest.param([NIGHT], {IN}, "2026-01-05T01:30:00Z", None, id="what a window names, while it is open"),
        pytest.param(
            [NIGHT],
            {IN},
            "2026-01-05T12:00:00Z",
            "ScaleIn waits for maintenance window night, which opens at 2026-01-06T02:00+01:00 (Europe/Berlin)",
            id="what a window names, while it is closed",
        ),
        pytest.param([NIGHT, EVENING], {IN}, "2026-01-05T19:30:00Z", None, id="one of two windows is enough"),
        pytest.param(
            [NIGHT, EVENING],
            {IN},
            "2026-01-05T12:00:00Z",
            "ScaleIn waits for maintenance window evening, which opens at 2026-01-05T20:00+01:00 (Europe/Berlin)",
            id="of two closed windows the one that opens first",
        ),
        pytest.param(
            [NIGHT, EVENING],
            {IN, CONFIG},
            "2026-01-05T01:30:00Z",
            "SetConfig waits for maintenance window evening, which opens at 2026-01-05T20:00+01:00 (Europe/Berlin)",
            id="each action needs a window of its own",
        ),
        pytest.param(
            [a_window(zone="Europe/Atlantis")],
            {IN},
            "2026-01-05T01:30:00Z",
            "ScaleIn waits for a maintenance window: maintenance window night: time zone 'Europe/Atlantis' is unknown; "
            "write an IANA name such as Europe/Berlin",
            id="a faulty window is never open",
        ),
    ],
)
def test_what_a_window_names_waits_for_it(
    windows: list[MaintenanceWindow] | None, actions: set[WindowAction], moment: str, expected: str | None
) -> None:
    assert window_obstacle(windows, frozenset(actions), at(moment)) == expected


def a_step(kind: StepKind, before: int | None = None, after: int | None = None) -> Step:
    """A step of this kind; only the counts of a change of size matter."""
    return Step(kind=kind, precondition={"desiredCount": before}, action={"count": after}, verification={}, undo={})


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param([], set(), id="nothing"),
        pytest.param([a_step(StepKind.SCALE_QUERY_NODES, 2, 3)], {OUT}, id="out"),
        pytest.param([a_step(StepKind.DRAIN_QUERY_NODE), a_step(StepKind.SCALE_QUERY_NODES, 3, 2)], {IN}, id="in"),
        pytest.param([a_step(StepKind.SCALE_QUERY_NODES, None, 2)], {IN}, id="of unknown direction: the graver one"),
        pytest.param([a_step(StepKind.SET_CONFIG), a_step(StepKind.TAKE_PLACEMENT)], {CONFIG}, id="settings"),
        pytest.param([a_step(StepKind.RETURN_PLACEMENT)], {CONFIG}, id="placement given back"),
        pytest.param([a_step(StepKind.MOVE_SEGMENTS)], {WindowAction.MOVE_SEGMENTS}, id="moves"),
        pytest.param(
            [a_step(StepKind.TAKE_PLACEMENT), a_step(StepKind.MOVE_SEGMENTS), a_step(StepKind.RETURN_PLACEMENT)],
            {WindowAction.MOVE_SEGMENTS},
            id="a swap: holding the balancer off for it is no setting",
        ),
        pytest.param([a_step(StepKind.SET_REPLICA_NUMBER)], {WindowAction.SET_REPLICA_NUMBER}, id="replicas"),
        pytest.param([a_step(StepKind.SET_COLLECTION_PROPERTY)], {WindowAction.SET_CONFIG}, id="a collection's level"),
        pytest.param([a_step(StepKind.SET_SCHEDULING)], {WindowAction.RESTART}, id="a zone that is preferred"),
        pytest.param(
            [a_step(StepKind.RESTART_COMPONENT), a_step(StepKind.SET_CONFIG), a_step(StepKind.RESTART_COMPONENT)],
            {WindowAction.RESTART},
            id="a restart: the keys for it are no setting of their own",
        ),
    ],
)
def test_steps_say_what_they_do_in_words_of_a_window(steps: list[Step], expected: set[WindowAction]) -> None:
    assert actions_of(steps) == frozenset(expected)


@pytest.mark.parametrize("kind", StepKind)
def test_every_kind_of_step_has_a_word(kind: StepKind) -> None:
    assert actions_of([a_step(kind, 2, 3)])


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        pytest.param(NIGHT, None, id="a good one"),
        pytest.param(a_window("0 2 * * MON-FRI"), None, id="named weekdays"),
        pytest.param(a_window("0 2 * * 1#1"), None, id="the first Monday of a month"),
        pytest.param(a_window("0 2 * *"), "schedule '0 2 * *' cannot be read (it has 4 fields)", id="four fields"),
        pytest.param(a_window("0 0 2 * * *"), "cannot be read (it has 6 fields)", id="six fields: no seconds here"),
        pytest.param(a_window("61 2 * * *"), "cannot be read (Bad minute)", id="no such minute"),
        pytest.param(a_window("0 2 30 2 *"), "cannot be read (Bad day-of-month)", id="no such day in that month"),
        pytest.param(a_window("0 2 */20 * MON#5"), "names no day that exists", id="two conditions that never meet"),
        pytest.param(a_window(zone="Europe"), "time zone 'Europe' is unknown", id="a folder of zones"),
        pytest.param(a_window(zone="../etc/passwd"), "time zone '../etc/passwd' is unknown", id="a path"),
        pytest.param(a_window(zone="Mars/Base"), "time zone 'Mars/Base' is unknown", id="no such zone"),
    ],
)
def test_a_fault_says_which_window_and_how_to_mend_it(window: MaintenanceWindow, expected: str | None) -> None:
    fault = window_fault(window)

    if expected is None:
        assert fault is None
        return
    assert fault is not None
    assert fault.startswith("maintenance window night: ")
    assert expected in fault
    assert (is_open(window, NOON), next_opening(window, NOON)) == (False, None)


@given(st.text("0123456789*/,-#LW MON\u00b2", max_size=40), st.text(max_size=20))
def test_no_text_brings_the_operator_down(schedule: str, zone: str) -> None:
    window = a_window(schedule, zone=zone)

    assert window_obstacle([window], frozenset({IN}), NOON) is not None or window_fault(window) is None
