"""The operator dies between any two things it does; its successor ends where it would have, without a second effect.

The world is the model cluster of `simulate`; what outlives a crash is the record, in the text form of status. A crash
may come before the record is written, between record and call, and between call and record; wherever it comes, the end
is that of the run without a crash, and each value was changed once.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.decide import decide
from milvus_tuning.decide.load import signal
from milvus_tuning.decide.running.operation import begin, call_succeeded, next_move
from milvus_tuning.plan import History, Reason, StepState
from milvus_tuning.simulate.cluster import ModelCluster
from milvus_tuning.simulate.model_operator import perform
from milvus_tuning.simulate.scenario import ClusterModel, Expectation, LoadPoint, Scenario
from milvus_tuning.simulate.view import take_snapshot, virtual_time
from milvus_tuning.status.records import operation_from_status, operation_to_status
from tests.decide.running.crashing import Crash, Recorded

PASS_SECONDS = 15.0
MOST_PASSES, AFTERWARDS = 60, 4
READY_SECONDS = 400  # a crash costs a pass: more than most crashes together with the start of a pod
NO_WINDOWS = {"capacityWindowSeconds": 0, "computationWindowSeconds": 0}


@dataclass(kw_only=True)
class World(Recorded):
    """A cluster, the record, and a list of the moments at which the operator dies."""

    scenario: Scenario
    policy: MilvusTuningSpec
    cluster: ModelCluster
    effects: list[tuple[str, bool]] = field(default_factory=list)
    passes_away: int = 0  # after a crash, until the next process runs

    def run(self) -> None:
        """Passes until the operation is over, and a few more."""
        left = MOST_PASSES
        while left > 0:
            left = min(left - 1, AFTERWARDS) if self.record.outcome else left - 1
            try:
                self._pass()
            except Crash:
                for _ in range(self.passes_away):
                    self.cluster.advance(PASS_SECONDS, cores=self.scenario.cores(0), hot={})
            finally:
                self.cluster.advance(PASS_SECONDS, cores=self.scenario.cores(0), hot={})

    def _pass(self) -> None:
        operation = operation_from_status(self.record)
        now, spec = virtual_time(self.cluster.now_seconds), self.policy
        for _ in range(6):
            move = next_move(operation, take_snapshot(self.cluster, self.scenario), spec, now)
            operation = self._write(move.operation)
            if move.call is None:
                return
            record = operation.steps[move.call.step_index]
            assert record.state is (StepState.UNDOING if move.call.undo else StepState.INTENDED), (
                "call before its record"
            )
            before = self._values()
            message = perform(self.cluster, record.step, undo=move.call.undo)
            if self._values() != before:
                self.effects.append((record.step.kind, move.call.undo))
            self._may_crash()
            operation = self._write(call_succeeded(operation, move.call, now, message))

    def _values(self) -> tuple[int, tuple[int | None, ...]]:
        return self.cluster.desired_count, tuple(node.deletion_cost for node in self.cluster.nodes)

    def end(self) -> tuple[str | None, int, list[str], list[tuple[str, bool]]]:
        """The outcome, the size, who is left with which mark, and what was changed."""
        left = sorted(f"{node.pod} {node.deletion_cost}" for node in self.cluster.nodes)
        return self.record.outcome, self.cluster.desired_count, left, self.effects


def a_world(*, nodes: int, cores: float, room: bool = True, crashes: frozenset[int] = frozenset()) -> World:
    """A world in which an operation has just been decided on."""
    scenario = Scenario(
        summary="",
        cluster=ClusterModel(nodes=nodes, segments=12, segment_mib=32),
        load=(LoadPoint(at_seconds=0, cores=cores),),
        spec={
            "queryNodes": {
                "minCount": 2,
                "maxCount": 6,
                "scaleOut": {**NO_WINDOWS, "readyDeadlineSeconds": READY_SECONDS},
                "scaleIn": {**NO_WINDOWS, "drainDeadlineSeconds": 600},
            }
        },
        expect=Expectation(final_count=0, operations=0),
    )
    cluster = ModelCluster(scenario.cluster)
    cluster.has_room = room
    cluster.advance(PASS_SECONDS, cores=cores, hot={})
    snapshot, now = take_snapshot(cluster, scenario), virtual_time(cluster.now_seconds)
    policy = scenario.policy()
    decision = decide(policy, snapshot, History(signals=(signal(snapshot, now),)), now)
    operation = begin(decision, operation_id="test", now=now)
    record = operation_to_status(operation)
    return World(scenario=scenario, policy=policy, cluster=cluster, record=record, crashes=crashes)


STORIES = {
    "a scale-out": ({"nodes": 2, "cores": 3.6}, Reason.COMPLETED, 1),
    "a scale-out without room": ({"nodes": 2, "cores": 3.6, "room": False}, Reason.INSUFFICIENT_CAPACITY, 2),
    "a scale-in": ({"nodes": 3, "cores": 0.6}, Reason.COMPLETED, 2),
}


@pytest.mark.parametrize(("setting", "outcome", "effects"), STORIES.values(), ids=STORIES.keys())
def test_without_a_crash(setting: dict[str, float], outcome: Reason, effects: int) -> None:
    world = a_world(**setting)  # type: ignore[arg-type]
    world.run()

    assert (world.record.outcome, len(world.effects)) == (outcome, effects)


@pytest.mark.parametrize("setting", [story[0] for story in STORIES.values()], ids=STORIES.keys())
def test_a_crash_at_any_one_moment_changes_nothing(setting: dict[str, float]) -> None:
    calm = a_world(**setting)  # type: ignore[arg-type]
    calm.run()

    for moment in range(1, calm.moment + 1):
        world = a_world(**setting, crashes=frozenset({moment}))  # type: ignore[arg-type]
        world.run()
        assert world.end() == calm.end(), f"crash at moment {moment}"


@pytest.mark.parametrize("story", sorted(STORIES))
def test_however_long_it_is_away_nothing_is_left_half_done(story: str) -> None:
    setting, outcome, _ = STORIES[story]
    calm = a_world(**setting)  # type: ignore[arg-type]
    begins_with = calm.end()
    calm.run()

    for moment in range(1, calm.moment + 1):
        world = a_world(**setting, crashes=frozenset({moment}))  # type: ignore[arg-type]
        world.passes_away = 60  # longer than any deadline
        world.run()
        ends = begins_with if world.record.outcome != outcome else calm.end()
        assert world.end()[1:3] == ends[1:3], f"away from moment {moment}: {world.record.outcome_message}"


@given(crashes=st.frozensets(st.integers(1, 40), max_size=12), story=st.sampled_from(sorted(STORIES)))
@settings(max_examples=60, deadline=None)
def test_crashes_at_any_moments_change_nothing(crashes: frozenset[int], story: str) -> None:
    setting, outcome, effects = STORIES[story]
    world = a_world(**setting, crashes=crashes)  # type: ignore[arg-type]
    world.run()

    assert (world.record.outcome, len(world.effects)) == (outcome, effects)
