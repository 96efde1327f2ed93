"""Whatever happens on the way, a restart ends with every pod running the values that are stored.

Kubernetes is a table of pods here, each with the value that it read when its container started. An eviction is refused,
or made although the answer is lost; a pod drains, its successor comes at once or late, by a clock that is not ours;
containers crash and start again in place; with a bad value no pod becomes ready. The operator dies before its record,
between record and call, or after the call; a person cancels, or pauses for an hour; the cluster freezes. The record is
what outlives a crash.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.decide.running.operation import begin, call_failed, call_succeeded, cancel, next_move, roll_back
from milvus_tuning.plan import MILVUS_RESOURCE, ROAD, Decision, Operation, Reason, Step, StepKind, StepState
from milvus_tuning.snapshot import ComponentPod, EtcdSetting, Freeze, FreezeReason, ResourceConfig, Snapshot
from milvus_tuning.status.records import operation_from_status, operation_to_status
from tests.builders import NOON, a_snapshot, a_spec
from tests.decide.running.crashing import Crash, Recorded
from tests.decide.steps import a_key, a_restart

PASS, MOST_PASSES = timedelta(seconds=15), 800
KEY = "proxy.maxtasknum"
FREEZES = (
    Freeze(reason=FreezeReason.COMPACTING, message="40 tasks"),
    Freeze(reason=FreezeReason.COORDINATOR_RESTARTED, message="20 s"),
)
COUNT = 3
CHANGE = (
    a_restart("Proxy", back=True, count=COUNT),
    a_key(KEY, before=None, after="2048"),
    a_restart("Proxy", count=COUNT),
)
ON_RESOURCE = tuple(
    replace(step, action={**step.action, ROAD: MILVUS_RESOURCE}) if step.kind is StepKind.SET_CONFIG else step
    for step in CHANGE
)
FOLLOWS = timedelta(seconds=40)  # milvus-operator with its ConfigMap
MOODS = ("made", "refused", "lost", "late", "slow")  # what comes of an eviction, by its number


@dataclass(kw_only=True)
class Pod:
    """A pod, with the value that its container read."""

    uid: str
    created: datetime
    starts: datetime
    ready_from: datetime
    value: str | None = None
    running: bool = False
    gone: datetime | None = None  # when it leaves


def some_pods() -> list[Pod]:
    """Those that are there before, one of them for ten seconds."""
    ages = (timedelta(days=1), timedelta(hours=1), timedelta(seconds=10))
    times = [NOON - age for age in ages]
    return [
        Pod(uid=f"old-{number}", created=at, starts=at, ready_from=at, running=True)
        for number, at in enumerate(times, start=1)
    ]


@dataclass(kw_only=True)
class World(Recorded):
    """Pods, a key, and what is to go wrong."""

    moods: dict[int, str] = field(default_factory=dict)
    frozen: frozenset[int] = frozenset()
    restarted: dict[int, int] = field(default_factory=dict)  # pass -> the container of which pod starts again
    cancelled: int | None = None
    paused: range = range(0)  # passes
    paused_pass: timedelta = PASS
    bad: bool = False  # with the new value no pod becomes ready
    resource: bool = False  # the key is a leaf of the Milvus object; pods read what milvus-operator makes of it
    skew: timedelta = timedelta()  # of Kubernetes' clock
    now: datetime = NOON
    passes: int = 0
    calls: int = 0
    value: str | None = None
    file: str | None = None  # what a pod reads at its start
    follows_at: datetime | None = None
    pods: list[Pod] = field(default_factory=some_pods)
    evicted: list[str] = field(default_factory=list)
    fewest_ready: int = COUNT

    def run(self) -> Operation:
        """Passes until the operation is over, and half an hour after that."""
        while self.record.outcome is None:
            self.passes += 1
            assert self.passes < MOST_PASSES, "it never ends"
            self._containers_crash()
            with suppress(Crash):  # the next pass is that of another process
                self._pass()
            self._goes_on(self.paused_pass if self.passes in self.paused else PASS)
        for _ in range(30):
            self._goes_on(timedelta(minutes=1))
        return operation_from_status(self.record)

    def _pass(self) -> None:
        operation = operation_from_status(self.record)
        if self.cancelled is not None and self.passes >= self.cancelled:
            operation = cancel(operation, self._seen(), self.now, "Cancelled by ann")
        for _ in range(12):
            move = next_move(operation, self._seen(), self._spec, self.now)
            operation = self._write(move.operation)
            if move.call is None:
                return
            record = operation.steps[move.call.step_index]
            wanted = StepState.UNDOING if move.call.undo else StepState.INTENDED
            assert record.state is wanted, "a call before its record"
            told = self._act(move.call.of(operation), undo=move.call.undo)
            self._goes_on(timedelta(seconds=1))
            self._may_crash()
            if told in {"refused", "lost"}:
                self._write(call_failed(operation, move.call, self.now, told, retryable=True))
                return
            operation = self._write(call_succeeded(operation, move.call, self.now, told))

    @property
    def _spec(self) -> MilvusTuningSpec:
        return a_spec(paused=self.passes in self.paused)

    def _act(self, step: Step, *, undo: bool) -> str:
        if step.kind is StepKind.SET_CONFIG:
            wanted = (step.undo if undo else step.action)["value"]
            self.value = None if wanted is None else str(wanted)
            self.follows_at = self.now + (FOLLOWS if self.resource else timedelta())
            return "written"
        assert undo or not self._spec.paused, "an eviction in a pause"
        self.calls += 1
        mood = self.moods.get(self.calls, "made")
        if mood == "refused":
            return mood
        uid = str((step.undo if undo else step.action)["podUid"])
        assert uid in self.record.steps[0 if undo else 2].message, "an eviction that is not on record"
        self._evict(uid, mood)
        return mood

    def _evict(self, uid: str, mood: str) -> None:
        pod = next(one for one in self.pods if one.uid == uid)
        assert uid not in self.evicted, f"{uid} is evicted twice"
        if self._ready(pod):
            others = [one for one in self.pods if one is not pod]
            assert all(self._ready(one) for one in others), "a ready pod is taken while another one is missing"
            assert len(others) == COUNT - 1, "a ready pod is taken while another one is missing"
        self.evicted.append(uid)
        pod.gone = self.now + timedelta(seconds=40 if mood == "slow" else 3)
        comes = self.now + timedelta(seconds=60 if mood == "late" else 0.2)
        starts = comes + timedelta(seconds=4)
        self.pods.append(
            Pod(uid=f"new-{len(self.evicted)}", created=comes, starts=starts, ready_from=starts + timedelta(seconds=8))
        )

    def _goes_on(self, passed: timedelta) -> None:
        self.now += passed
        if self.follows_at is not None and self.follows_at <= self.now:
            self.file, self.follows_at = self.value, None
        self.pods = [one for one in self.pods if one.gone is None or one.gone > self.now]
        for pod in self.pods:
            if not pod.running and pod.starts <= self.now:
                pod.running, pod.value = True, self.file
        self.fewest_ready = min(self.fewest_ready, sum(map(self._ready, self.pods)))

    def _containers_crash(self) -> None:
        number = self.restarted.get(self.passes)
        there = [one for one in self.pods if one.running and one.gone is None]
        if number is not None and there:
            pod = there[number % len(there)]
            pod.starts, pod.running = self.now + timedelta(seconds=5), False
            pod.ready_from = pod.starts + timedelta(seconds=8)

    def _ready(self, pod: Pod) -> bool:
        bad = self.bad and pod.value is not None
        return pod.running and pod.gone is None and pod.ready_from <= self.now and not bad

    def _seen(self) -> Snapshot:
        setting = EtcdSetting(key=KEY, value=self.value or "", spellings=(KEY,), revision=7)
        name, there = KEY.replace(".", ""), self.value is not None
        stored = {name: setting} if there else {}
        rendered = {} if self.file is None else {name: self.file}
        return replace(
            a_snapshot(3, settings_readable=not self.resource),
            taken_at=self.now + timedelta(seconds=1),
            settings={} if self.resource else stored,
            resource_config=ResourceConfig(settings=stored, rendered=rendered) if self.resource else None,
            components=tuple(self._shown(pod) for pod in self.pods if pod.created <= self.now),
            freezes=(FREEZES[self.passes % 2],) if self.passes in self.frozen else (),
        )

    def _shown(self, pod: Pod) -> ComponentPod:
        """As Kubernetes tells it: by its own clock, in whole seconds."""
        created, started = ((at + self.skew).replace(microsecond=0) for at in (pod.created, pod.starts))
        return ComponentPod(
            component="Proxy",
            pod=f"proxy-{pod.uid}",
            pod_uid=pod.uid,
            ready=self._ready(pod),
            terminating=pod.gone is not None,
            created_at=created,
            started_at=started if pod.running else None,
        )

    @property
    def values(self) -> set[str | None]:
        """What the pods run with in the end."""
        assert len(self.pods) == COUNT
        return {pod.value for pod in self.pods}


def a_world(operation: Operation | None = None, **changes: Any) -> World:
    steps = ON_RESOURCE if changes.get("resource") else CHANGE
    decision = Decision(reason=Reason.SETTING_CHANGED, message="", steps=steps)
    return World(record=operation_to_status(operation or begin(decision, operation_id="test", now=NOON)), **changes)


def states(operation: Operation) -> tuple[StepState, ...]:
    return tuple(record.state for record in operation.steps)


def test_undisturbed_each_pod_is_replaced_once_and_one_is_missing_at_most() -> None:
    world = a_world()

    ended = world.run()

    assert (ended.outcome, set(states(ended))) == (Reason.COMPLETED, {StepState.DONE})
    assert (world.value, world.values) == ("2048", {"2048"})
    assert (sorted(world.evicted), world.fewest_ready) == (["old-1", "old-2", "old-3"], COUNT - 1)


@pytest.mark.parametrize("resource", [False, True], ids=["etcd", "the Milvus object"])
@pytest.mark.parametrize("bad", [False, True], ids=["a good value", "a value that no pod comes up with"])
def test_a_crash_at_any_one_moment_changes_nothing(bad: bool, resource: bool) -> None:
    calm = a_world(bad=bad, resource=resource)
    outcome = calm.run().outcome

    for moment in range(1, calm.moment + 1):
        world = a_world(bad=bad, resource=resource, crashes=frozenset({moment}))
        ended = world.run()
        assert (ended.outcome, world.value, world.values) == (outcome, calm.value, calm.values), f"at {moment}"
        assert world.evicted == calm.evicted, f"after a crash at {moment}"


def test_no_pod_is_replaced_before_milvus_operator_has_followed() -> None:
    world = a_world(resource=True)
    ended = world.run()
    written, rolled = ended.steps[1], ended.steps[2]
    assert written.finished_at is not None
    assert rolled.intended_at is not None
    assert written.finished_at - NOON >= FOLLOWS
    assert rolled.intended_at >= written.finished_at


def test_a_value_that_no_pod_comes_up_with_costs_one_pod_and_is_withdrawn_before_that_is_replaced() -> None:
    world = a_world(bad=True)

    ended = world.run()

    assert (ended.outcome, states(ended)) == (
        Reason.UNDONE,
        (StepState.UNDONE, StepState.UNDONE, StepState.FAILED),
    )
    assert (world.value, world.values) == (None, {None})
    assert (world.evicted, world.fewest_ready) == (["old-1", "new-1"], COUNT - 1)


@pytest.mark.parametrize("seconds", [-4, 4], ids=["behind", "ahead"])
@pytest.mark.parametrize("bad", [False, True], ids=["a good value", "a value that no pod comes up with"])
def test_a_clock_that_goes_wrong_by_a_few_seconds_changes_nothing(seconds: int, bad: bool) -> None:
    right, wrong = a_world(bad=bad), a_world(bad=bad, skew=timedelta(seconds=seconds))

    assert right.run().outcome is wrong.run().outcome

    assert (wrong.evicted, wrong.value, wrong.values) == (right.evicted, right.value, right.values)


def test_a_roll_that_is_called_off_is_taken_back_pod_by_pod() -> None:
    world = a_world(cancelled=3)

    ended = world.run()

    assert set(states(ended)) == {StepState.UNDONE}
    assert (world.value, world.values, world.fewest_ready) == (None, {None}, COUNT - 1)


@pytest.mark.parametrize("begins", [2, 3, 6, 9], ids="from pass {}".format)
def test_a_pause_far_longer_than_the_deadline_delays_the_roll_and_changes_nothing_else(begins: int) -> None:
    slow = dict.fromkeys((1, 2, 3), "late")
    calm = a_world(moods=slow)
    world = a_world(moods=slow, paused=range(begins, begins + 12), paused_pass=timedelta(minutes=5))
    outcome = calm.run().outcome
    assert (calm.passes > begins, outcome) == (True, Reason.COMPLETED)

    ended = world.run()

    assert (ended.outcome, world.values, world.evicted) == (outcome, {"2048"}, calm.evicted)
    assert world.now - calm.now > timedelta(minutes=50)


def test_while_evictions_are_refused_the_other_pods_stay() -> None:
    world = a_world(moods=dict.fromkeys(range(1, 900), "refused"))

    ended = world.run()

    assert (world.evicted, world.value, world.values) == ([], None, {None})
    assert "refused" in ended.steps[2].message
    assert states(ended) == (StepState.UNDONE, StepState.UNDONE, StepState.FAILED)


TROUBLE = st.fixed_dictionaries(
    {
        "moods": st.dictionaries(st.integers(1, 12), st.sampled_from(MOODS), max_size=5),
        "crashes": st.frozensets(st.integers(1, 80), max_size=8),
        "frozen": st.frozensets(st.integers(3, 60), max_size=20),
        "restarted": st.dictionaries(st.integers(1, 40), st.integers(0, 2), max_size=4),
        "cancelled": st.none() | st.integers(1, 40),
        "paused": st.builds(
            lambda begins, passes: range(begins, begins + passes), st.integers(1, 30), st.integers(0, 60)
        ),
        "bad": st.booleans(),
        "resource": st.booleans(),
        "skew": st.sampled_from([timedelta(), timedelta(seconds=-3), timedelta(seconds=3)]),
    }
)


@given(trouble=TROUBLE)
@settings(max_examples=150, deadline=None)
def test_in_any_trouble_every_pod_ends_with_the_value_that_is_stored(trouble: dict[str, Any]) -> None:
    world = a_world(**trouble)

    ended = world.run()

    assert world.value == ("2048" if ended.outcome is Reason.COMPLETED else None)
    if ended.steps[0].state is not StepState.FAILED:
        assert world.values == {world.value}


@given(crashes=st.frozensets(st.integers(1, 80), max_size=8), resource=st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_roll_back_replaces_what_came_and_nothing_else(crashes: frozenset[int], resource: bool) -> None:
    done = a_world(resource=resource)
    completed = done.run()
    world = a_world(
        roll_back(completed, done.now, "worse"),
        crashes=crashes,
        now=done.now,
        pods=list(done.pods),
        value=done.value,
        file=done.file,
        resource=resource,
        evicted=list(done.evicted),
    )

    ended = world.run()

    assert set(states(ended)) == {StepState.UNDONE}
    assert (world.value, world.values) == (None, {None})
    assert len(world.evicted) == 2 * COUNT
