"""The course of a plan: every transition and every refusal, as a table over phase and circumstances.

Each row starts from a plan in some phase, changes one thing, and says where the plan is afterwards and what is to be
done. What the plan does when nothing is changed is the first row of its phase: the control of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from milvus_tuning.decide.running.lifecycle import (
    Window,
    next_turn,
)
from milvus_tuning.decide.running.operation import Call
from milvus_tuning.plan import (
    Measurement,
    Phase,
    Plan,
    Risk,
    Verdict,
)
from tests.builders import NOON, a_snapshot
from tests.decide.running.lifecycle_cases import (
    ACT,
    APPROVED,
    ARRIVING,
    BACK,
    CALM,
    CANCELLED,
    CAPPED,
    DRAINED,
    DUE,
    FROZEN,
    GROWTH,
    HALVED,
    IN,
    KEPT,
    LISTED,
    NIGHT,
    NONE_ADDED,
    NOON_WINDOW,
    OBSERVE,
    OTHER,
    PROPOSE,
    REJECTED,
    SETTING,
    SLOW,
    STEADY,
    THREE,
    TWO,
    UNDO,
    WANTED,
    End,
    Setting,
    applied,
    approved,
    intended,
    judged,
    measured,
    proposed,
    verifying,
    with_key,
)
from tests.decide.steps import a_scale

BEFORE_IT_BEGINS: dict[str, tuple[Callable[[Setting], Plan], Setting, End]] = {
    "within the bounds of mode Auto": (proposed, Setting(), End(phase=Phase.APPROVED, measure=Window.BEFORE)),
    "above maxRisk": (proposed, Setting(risk=Risk.HIGH), End(phase=Phase.PROPOSED, says="maxRisk Medium")),
    "more nodes than maxNodesAdded": (
        proposed,
        Setting(spec=NONE_ADDED),
        End(phase=Phase.PROPOSED, says="maxNodesAdded is 0"),
    ),
    "as many actions within the hour as are allowed": (
        proposed,
        Setting(spec=CAPPED, started=5),
        End(phase=Phase.PROPOSED, says="maxActionsPerHour is 5"),
    ),
    "one action fewer": (proposed, Setting(spec=CAPPED, started=4), End(phase=Phase.APPROVED, measure=Window.BEFORE)),
    "outside of its window": (proposed, Setting(spec=NIGHT), End(phase=Phase.PROPOSED, says="night")),
    "inside of its window": (proposed, Setting(spec=NOON_WINDOW), End(phase=Phase.APPROVED, measure=Window.BEFORE)),
    "without the admission policy": (
        proposed,
        Setting(enforced=False),
        End(phase=Phase.PROPOSED, says="admission policy"),
    ),
    "mode Propose": (proposed, Setting(spec=PROPOSE), End(phase=Phase.PROPOSED, says="mode is Propose")),
    "mode Propose and a person approves": (
        proposed,
        Setting(spec=PROPOSE, ballot=APPROVED),
        End(phase=Phase.APPROVED, measure=Window.BEFORE),
    ),
    "a person approves what is above maxRisk": (
        proposed,
        Setting(risk=Risk.HIGH, ballot=APPROVED),
        End(phase=Phase.APPROVED, measure=Window.BEFORE),
    ),
    "named in the policy": (proposed, Setting(spec=LISTED), End(phase=Phase.APPROVED, measure=Window.BEFORE)),
    "another plan is named in the policy": (proposed, Setting(spec=OTHER), End(phase=Phase.PROPOSED)),
    "a person rejects": (
        proposed,
        Setting(ballot=REJECTED),
        End(phase=Phase.FINISHED, verdict=Verdict.REJECTED, says="by ann: not today"),
    ),
    "a person rejects what the policy names": (
        proposed,
        Setting(spec=LISTED, ballot=REJECTED),
        End(phase=Phase.FINISHED, verdict=Verdict.REJECTED),
    ),
    "a person calls it off": (
        proposed,
        Setting(ballot=CANCELLED),
        End(phase=Phase.FINISHED, verdict=Verdict.CANCELLED),
    ),
    "deleted": (proposed, Setting(deleting=True), End(phase=Phase.FINISHED, verdict=Verdict.CANCELLED)),
    "the last second before it expires": (
        proposed,
        Setting(seconds=3599),
        End(phase=Phase.APPROVED, measure=Window.BEFORE),
    ),
    "expired": (proposed, Setting(seconds=3600), End(phase=Phase.FINISHED, verdict=Verdict.EXPIRED)),
    "approved too late": (
        proposed,
        Setting(seconds=3600, ballot=APPROVED),
        End(phase=Phase.FINISHED, verdict=Verdict.EXPIRED),
    ),
    "somebody did it already": (
        proposed,
        Setting(snapshot=THREE),
        End(phase=Phase.FINISHED, verdict=Verdict.STALE, says="already"),
    ),
    "no longer called for": (
        proposed,
        Setting(decision=STEADY),
        End(phase=Phase.FINISHED, verdict=Verdict.STALE, says="no change"),
    ),
    "something else is called for": (
        proposed,
        Setting(decision=replace(WANTED, steps=(a_scale(2, 4),))),
        End(phase=Phase.FINISHED, verdict=Verdict.STALE, says="another change"),
    ),
    "approved, and nothing in the way": (approved, Setting(), End(phase=Phase.APPROVED, measure=Window.BEFORE)),
    "approved, and mode Observe meanwhile": (
        approved,
        Setting(spec=OBSERVE),
        End(phase=Phase.APPROVED, says="mode is Observe"),
    ),
    "approved, and paused": (
        approved,
        Setting(in_the_way="spec.paused is true"),
        End(phase=Phase.APPROVED, says="spec.paused"),
    ),
    "approved, and Milvus loads": (approved, Setting(snapshot=FROZEN), End(phase=Phase.APPROVED, says="products")),
    "approved, then rejected": (
        approved,
        Setting(ballot=REJECTED),
        End(phase=Phase.FINISHED, verdict=Verdict.REJECTED),
    ),
    "approved, and the world moved on": (
        approved,
        Setting(snapshot=a_snapshot(5)),
        End(phase=Phase.FINISHED, verdict=Verdict.STALE),
    ),
    "measured: the first intent, and its call": (measured, Setting(), End(phase=Phase.RUNNING, call=ACT)),
    "measured, and paused at the last moment": (
        measured,
        Setting(in_the_way="spec.paused is true"),
        End(phase=Phase.APPROVED),
    ),
}


WHILE_IT_RUNS: dict[str, tuple[Callable[[Setting], Plan], Setting, End]] = {
    "intended, and nothing seen of it": (intended, Setting(), End(phase=Phase.RUNNING, call=ACT)),
    "intended, and the operator is read-only": (intended, Setting(read_only=True), End(phase=Phase.RUNNING)),
    "intended, and its write is there": (intended, Setting(snapshot=ARRIVING), End(phase=Phase.RUNNING)),
    "intended, and its effect is there": (intended, Setting(snapshot=THREE), End(phase=Phase.VERIFYING)),
    "intended, and somebody wrote another number": (
        intended,
        Setting(snapshot=a_snapshot(5)),
        End(phase=Phase.FINISHED, verdict=Verdict.STALE, says="somebody else"),
    ),
    "intended, then called off: the write may be there": (
        intended,
        Setting(ballot=CANCELLED, snapshot=ARRIVING),
        End(phase=Phase.RUNNING, call=UNDO),
    ),
    "intended, then called off: nothing was written": (
        intended,
        Setting(ballot=CANCELLED),
        End(phase=Phase.FINISHED, verdict=Verdict.CANCELLED),
    ),
    "written, and not there yet": (applied, Setting(snapshot=ARRIVING), End(phase=Phase.RUNNING)),
    "written, and there": (applied, Setting(snapshot=THREE), End(phase=Phase.VERIFYING)),
    "written, and never there": (
        applied,
        Setting(snapshot=ARRIVING, seconds=1000),
        End(phase=Phase.RUNNING, call=UNDO),
    ),
    "written, then called off": (
        applied,
        Setting(snapshot=ARRIVING, ballot=CANCELLED),
        End(phase=Phase.RUNNING, call=UNDO),
    ),
    "written, then its object is deleted": (
        applied,
        Setting(snapshot=ARRIVING, deleting=True),
        End(phase=Phase.RUNNING, call=UNDO),
    ),
    "a setting is written, then called off": (
        applied,
        Setting(steps=SETTING, snapshot=with_key(TWO, "30000"), ballot=CANCELLED),
        End(phase=Phase.RUNNING, call=UNDO),
    ),
    "a pause does not stop what is written": (
        applied,
        Setting(snapshot=THREE, in_the_way="spec.paused is true"),
        End(phase=Phase.VERIFYING),
    ),
}

AFTER_THE_STEPS: dict[str, tuple[Callable[[Setting], Plan], Setting, End]] = {
    "the window is running": (verifying, Setting(decision=STEADY), End(phase=Phase.VERIFYING)),
    "the window is over": (
        verifying,
        Setting(decision=STEADY, seconds=DUE),
        End(phase=Phase.VERIFYING, measure=Window.AFTER),
    ),
    "what the plan itself was made from is no call for more": (
        verifying,
        Setting(decision=WANTED, snapshot=THREE),
        End(phase=Phase.VERIFYING),
    ),
    "more nodes are called for meanwhile": (
        verifying,
        Setting(decision=GROWTH, snapshot=THREE),
        End(phase=Phase.FINISHED, verdict=Verdict.INCONCLUSIVE, says="more QueryNodes"),
    ),
    "called off while it is verified: a setting goes back": (
        verifying,
        Setting(steps=SETTING, snapshot=with_key(TWO, "30000"), ballot=CANCELLED, decision=STEADY),
        End(phase=Phase.ROLLING_BACK, call=BACK),
    ),
    "called off while it is verified: a node that serves stays": (
        verifying,
        Setting(snapshot=THREE, ballot=CANCELLED, decision=STEADY),
        End(phase=Phase.FINISHED, verdict=Verdict.CANCELLED, says="stay"),
    ),
    "as before": (judged, Setting(decision=STEADY, seconds=DUE), KEPT),
    "worse after a setting": (
        judged,
        Setting(steps=SETTING, snapshot=with_key(TWO, "30000"), decision=STEADY, seconds=DUE, measured=SLOW),
        End(phase=Phase.ROLLING_BACK, call=BACK, says="mean"),
    ),
    "as before after a setting": (
        judged,
        Setting(steps=SETTING, snapshot=with_key(TWO, "30000"), decision=STEADY, seconds=DUE),
        KEPT,
    ),
    "worse after a setting, under half the load": (
        judged,
        Setting(
            steps=SETTING,
            snapshot=with_key(TWO, "30000"),
            decision=STEADY,
            seconds=DUE,
            measured=replace(SLOW, searches_per_minute=HALVED.searches_per_minute),
        ),
        End(phase=Phase.FINISHED, verdict=Verdict.INCONCLUSIVE),
    ),
    "slower after a scale-in, as fewer nodes must be": (
        judged,
        Setting(
            steps=IN,
            snapshot=DRAINED,
            decision=STEADY,
            seconds=DUE,
            measured=replace(CALM, mean_microseconds=32_000),
        ),
        KEPT,
    ),
    "as much slower after a setting": (
        judged,
        Setting(
            steps=SETTING,
            snapshot=with_key(TWO, "30000"),
            decision=STEADY,
            seconds=DUE,
            measured=replace(CALM, mean_microseconds=32_000),
        ),
        End(phase=Phase.ROLLING_BACK, call=BACK),
    ),
    "worse after a scale-in": (
        judged,
        Setting(steps=IN, snapshot=DRAINED, decision=STEADY, seconds=DUE, measured=SLOW),
        End(phase=Phase.ROLLING_BACK, call=Call(step_index=1, undo=True)),
    ),
    "worse after a scale-out: a node that serves stays": (
        judged,
        Setting(snapshot=THREE, decision=STEADY, seconds=DUE, measured=SLOW),
        End(phase=Phase.FINISHED, verdict=Verdict.KEPT, says="stay"),
    ),
    "nothing was measured": (
        judged,
        Setting(decision=STEADY, seconds=DUE, measured=Measurement(ended_at=NOON, window_seconds=180)),
        End(phase=Phase.FINISHED, verdict=Verdict.INCONCLUSIVE),
    ),
}

TABLE = BEFORE_IT_BEGINS | WHILE_IT_RUNS | AFTER_THE_STEPS


@pytest.mark.parametrize(("start", "at", "end"), TABLE.values(), ids=TABLE.keys())
def test_a_turn(start: Callable[[Setting], Plan], at: Setting, end: End) -> None:
    turn = next_turn(start(at), at.sight())

    course = turn.plan.course
    assert (course.phase, turn.call, turn.measure) == (end.phase, end.call, end.measure), course
    assert course.verdict is end.verdict or course.phase is Phase.ROLLING_BACK
    told = f"{course.waits_for} {course.verdict_message} {course.approval}"
    assert end.says in told
    assert (course.finished_at is not None) is (course.phase is Phase.FINISHED)


def test_every_phase_and_every_verdict_is_in_the_table() -> None:
    ends = [end for _, _, end in TABLE.values()]
    assert {end.phase for end in ends} == set(Phase)
    assert {end.verdict for end in ends if end.verdict} == set(Verdict) - {Verdict.ROLLED_BACK, Verdict.FAILED}
