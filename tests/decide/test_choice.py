"""Which of the three rules has its way, which speaks where nothing is done, and what is told of the others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.decide.choice import MOST_REJECTED, Answers, acting, choose_one, rejected, speaking
from milvus_tuning.decide.heat.model import CollectionHeat, HeatMap
from milvus_tuning.plan import Decision, Outlook, Reason, Rejection, Step, StepKind
from milvus_tuning.snapshot import Snapshot
from tests.builders import NOON, a_history, a_spec
from tests.decide.placement.hot import Placed, a_placement
from tests.decide.replicas.replica_cases import a_cluster, a_heat
from tests.decide.replicas.replica_cases import a_policy as a_replica_policy
from tests.decide.steps import a_replica_change, a_scale, a_scale_in

HOT = [[0.9, 0.9], [0.1, 0.1], [0.1, 0.1]]
MOVE = Step(kind=StepKind.MOVE_SEGMENTS, precondition={}, action={}, verification={}, undo={})


def says(reason: Reason, *steps: Step, after: int | None = None, others: tuple[Rejection, ...] = ()) -> Decision:
    """An answer; after: what is expected of the busiest node."""
    outlook = Outlook(busiest_percent_before=90, busiest_percent_after=after) if after is not None else None
    return Decision(reason=reason, message=f"because {reason}", steps=steps, outlook=outlook, rejected=others)


def against(alternative: str) -> Rejection:
    return Rejection(alternative=alternative, reason=Reason.WOULD_NOT_FIT, message="it would not fit")


STEADY, STABILIZING = says(Reason.STEADY), says(Reason.STABILIZING)
OUT = says(Reason.SCALE_OUT_COMPUTATION, a_scale(2, 3))
FULL = says(Reason.SCALE_OUT_CAPACITY, a_scale(2, 3))
BELOW, ABOVE = says(Reason.BELOW_MINIMUM, a_scale(1, 2)), says(Reason.ABOVE_MAXIMUM, *a_scale_in())
BY_HAND = says(Reason.MANUAL_OVERRIDE, a_scale(2, 5))
IN = says(Reason.SCALE_IN, *a_scale_in())
MOVES, HALF_CURED = says(Reason.HOT_NODE, MOVE, after=50), says(Reason.HOT_NODE, MOVE, after=71)
BLIND = says(Reason.HOT_NODE, MOVE)
MORE, LESS = says(Reason.HOT_COLLECTION, a_replica_change(1, 2)), says(Reason.COLD_COLLECTION, a_replica_change(2, 1))
TOO_FEW, TOO_MANY = (
    says(Reason.BELOW_MINIMUM, a_replica_change(1, 2)),
    says(Reason.ABOVE_MAXIMUM, a_replica_change(2, 1)),
)
SPEC = a_spec(scale_out={"computation_above_percent": 70})


# -- who acts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "places", "replicas", "winner"),
    [
        pytest.param(STEADY, None, None, None, id="nothing to do"),
        pytest.param(STEADY, STEADY, STEADY, None, id="nothing to do for anybody"),
        pytest.param(OUT, None, None, OUT, id="a node alone"),
        pytest.param(STEADY, MOVES, None, MOVES, id="moves alone"),
        pytest.param(STEADY, None, MORE, MORE, id="a replica alone"),
        pytest.param(STEADY, STEADY, LESS, LESS, id="a replica less alone"),
        pytest.param(FULL, MOVES, MORE, FULL, id="memory cannot wait"),
        pytest.param(BELOW, MOVES, MORE, BELOW, id="nor can minCount"),
        pytest.param(ABOVE, MOVES, MORE, ABOVE, id="nor maxCount"),
        pytest.param(BY_HAND, MOVES, MORE, BY_HAND, id="nor an override"),
        pytest.param(OUT, MOVES, MORE, MOVES, id="moves that are enough come before a node"),
        pytest.param(OUT, says(Reason.HOT_NODE, MOVE, after=70), None, None, id="70 % is enough"),
        pytest.param(OUT, HALF_CURED, MORE, OUT, id="71 % is not"),
        pytest.param(OUT, BLIND, MORE, OUT, id="an effect that nobody knows is not enough"),
        pytest.param(STEADY, HALF_CURED, MORE, HALF_CURED, id="half a cure comes before a replica"),
        pytest.param(STEADY, BLIND, None, BLIND, id="and needs no effect where no node is wanted"),
        pytest.param(OUT, STEADY, MORE, OUT, id="nodes before replicas"),
        pytest.param(OUT, STEADY, TOO_FEW, OUT, id="also before minCount of replicas"),
        pytest.param(IN, STEADY, LESS, LESS, id="down, replicas before nodes"),
        pytest.param(IN, MOVES, LESS, LESS, id="down, replicas before moves too"),
        pytest.param(IN, STEADY, TOO_MANY, TOO_MANY, id="replicas above maxCount before nodes"),
        pytest.param(IN, STEADY, MORE, IN, id="a replica more is none of that"),
        pytest.param(ABOVE, STEADY, LESS, ABOVE, id="maxCount of nodes does not wait for replicas"),
        pytest.param(IN, MOVES, None, IN, id="a drain places segments anew"),
        pytest.param(STABILIZING, MOVES, None, MOVES, id="a window elsewhere holds nobody up"),
    ],
)
def test_one_thing_is_done(size: Decision, places: Decision | None, replicas: Decision | None, winner: object) -> None:
    found = acting(Answers(size=size, places=places, replicas=replicas), SPEC)
    if winner is None and places is not None and places.steps:
        winner = places
    assert found is winner


ANY = st.sampled_from([STEADY, STABILIZING, OUT, FULL, IN, MOVES, HALF_CURED, BLIND, MORE, LESS, TOO_FEW, TOO_MANY])


@given(size=st.sampled_from([STEADY, OUT, FULL, IN, BELOW]), places=st.none() | ANY, replicas=st.none() | ANY)
def test_somebody_acts_where_anybody_would(size: Decision, places: Decision | None, replicas: Decision | None) -> None:
    answers = [one for one in (size, places, replicas) if one is not None]
    found = acting(Answers(size=size, places=places, replicas=replicas), SPEC)
    assert (found is not None and found.steps != ()) is any(one.steps for one in answers)


# -- who speaks ------------------------------------------------------------------------------------------------------

SKEW, BEST = says(Reason.SKEW_NOT_CAPACITY), says(Reason.NO_BETTER_PLACEMENT)
MAXIMUM, UNMANAGED, TOLERATED = says(Reason.AT_MAXIMUM), says(Reason.NOT_MANAGED), says(Reason.WITHIN_TOLERANCE)
SHOWN, FILL_SHOWN = says(Reason.HOT_NODE, after=50), says(Reason.NEW_NODE, after=50)
BY_HAND_ONLY = says(Reason.MANUAL_ACTION_REQUIRED)


@pytest.mark.parametrize(
    ("size", "places", "replicas", "speaker"),
    [
        pytest.param(MAXIMUM, BEST, STABILIZING, MAXIMUM, id="the size first"),
        pytest.param(MAXIMUM, BEST, BY_HAND_ONLY, BY_HAND_ONLY, id="no node more, but a person could do something"),
        pytest.param(STABILIZING, BEST, BY_HAND_ONLY, STABILIZING, id="as long as a node may come, nobody has to"),
        pytest.param(STEADY, BEST, BY_HAND_ONLY, BEST, id="then the places"),
        pytest.param(STEADY, STEADY, BY_HAND_ONLY, BY_HAND_ONLY, id="then the replicas"),
        pytest.param(UNMANAGED, None, BY_HAND_ONLY, BY_HAND_ONLY, id="what is not managed says nothing"),
        pytest.param(TOLERATED, BEST, None, BEST, id="nor what is tolerated"),
        pytest.param(SKEW, BEST, None, BEST, id="a skew gives way to why no place cures it"),
        pytest.param(SKEW, STABILIZING, MAXIMUM, STABILIZING, id="or to the window of the places"),
        pytest.param(SKEW, STEADY, MAXIMUM, SKEW, id="not to places that see no skew"),
        pytest.param(SKEW, None, MAXIMUM, SKEW, id="nor to a rule that is not declared"),
        pytest.param(MAXIMUM, SHOWN, MAXIMUM, SHOWN, id="moves that are only shown come first"),
        pytest.param(STABILIZING, FILL_SHOWN, None, FILL_SHOWN, id="so does a fill"),
        pytest.param(UNMANAGED, STEADY, None, STEADY, id="all quiet: the places"),
        pytest.param(UNMANAGED, None, STEADY, STEADY, id="or the replicas"),
        pytest.param(UNMANAGED, None, None, UNMANAGED, id="or the size"),
    ],
)
def test_where_nothing_is_done_who_has_something_to_say_speaks(
    size: Decision, places: Decision | None, replicas: Decision | None, speaker: Decision
) -> None:
    assert speaking(Answers(size=size, places=places, replicas=replicas)) is speaker


# -- what is told of the others --------------------------------------------------------------------------------------


def test_the_ways_come_first_then_the_chosen_then_the_others() -> None:
    size = replace(OUT, rejected=(against("ScaleOut 2 -> 4"),))
    places = replace(MOVES, rejected=(against("move segment 1"), against("NoChange")))
    replicas = replace(MAXIMUM, rejected=(against("SetReplicaNumber default.products 1 -> 2"), against("NoChange")))
    answers = Answers(size=size, places=places, replicas=replicas)
    found = rejected(answers, places, [against("ScaleOut 2 -> 3")])
    assert [one.alternative for one in found] == [
        "ScaleOut 2 -> 3",
        "move segment 1",
        "NoChange",
        "ScaleQueryNodes",  # of what would have been done the steps, not what that turned down in its turn
        "SetReplicaNumber default.products 1 -> 2",
    ]


def test_what_has_nothing_to_say_is_not_told() -> None:
    quiet = replace(STEADY, rejected=(against("ScaleIn 3 -> 2"),))
    assert rejected(Answers(size=quiet, places=MOVES, replicas=None), MOVES, []) == ()


@given(st.lists(st.integers(0, 30), max_size=30), st.lists(st.integers(0, 30), max_size=30))
def test_at_most_twenty_are_told_none_twice_and_the_first_wins(ways: list[int], mine: list[int]) -> None:
    chosen = replace(MAXIMUM, rejected=tuple(replace(against(f"a{one}"), message="mine") for one in mine))
    found = rejected(Answers(size=chosen, places=None, replicas=None), chosen, [against(f"a{one}") for one in ways])
    names = [one.alternative for one in found]
    assert len(names) == len(set(names)) == min(MOST_REJECTED, len({*ways, *mine}))
    assert {one.alternative for one in found if one.message == "mine"} <= {f"a{one}" for one in {*mine} - {*ways}}


# -- with the rules themselves ---------------------------------------------------------------------------------------


def a_hot_heat(placed: Placed) -> HeatMap:
    """The heat of such a placement with its collections, as the replicas need it."""
    total = sum(one.cores for one in placed.heat.segments)
    collections = tuple(
        CollectionHeat(
            collection_id=one.collection_id,
            database="default",
            name=f"c{one.collection_id - 100}",
            searches_per_second=10.0,
            cores=one.cores,
            share_ratio=one.cores / total,
            replicas=1,
            segments=1,
            busiest_node_id=one.node_id,
        )
        for one in placed.heat.segments
    )
    return replace(placed.heat, collections=collections)


def chosen_for(size: Decision, spec: MilvusTuningSpec, snapshot: Snapshot, heat: HeatMap) -> Decision:
    return choose_one(size, spec=spec, snapshot=snapshot, heat=heat, history=a_history(snapshot), now=NOON)


def hot_and_replicated(mode: str = "Act") -> MilvusTuningSpec:
    return a_spec(load_balancing={"hot_segments": {"mode": mode}}, in_memory_replicas={"max_count": 3})


def test_moves_are_chosen_with_the_other_two_ways_beside_them() -> None:
    placed = a_placement(HOT)
    found = chosen_for(OUT, hot_and_replicated(), placed.snapshot, a_hot_heat(placed))
    assert found.reason is Reason.HOT_NODE
    assert [one.alternative for one in found.rejected[:2]] == [
        "SetReplicaNumber default.c0 1 -> 2",
        "ScaleOut 3 -> 4",
    ]
    assert "90 % -> 50 %" in found.message


def test_moves_that_are_only_shown_are_one_of_the_three_ways() -> None:
    placed = a_placement(HOT)
    found = chosen_for(STABILIZING, hot_and_replicated("Observe"), placed.snapshot, a_hot_heat(placed))
    assert (found.reason, found.steps) == (Reason.HOT_NODE, ())
    assert (found.rejected[0].alternative, found.rejected[0].reason) == ("2 moves", Reason.HOT_NODE)
    assert found.rejected[0].message.startswith("busiest 90 % -> 50 %")


def test_unknown_heat_tells_no_ways() -> None:
    placed = a_placement(HOT, gaps=("default.c1: its rate is not known",))
    found = chosen_for(OUT, hot_and_replicated(), placed.snapshot, placed.heat)
    assert (found.reason, found.rejected) == (Reason.SCALE_OUT_COMPUTATION, ())


def test_a_replica_is_chosen_where_there_is_nothing_else_and_no_way_is_told_twice() -> None:
    snapshot = a_cluster(3, cpu=0.75)
    found = chosen_for(UNMANAGED, a_replica_policy(), snapshot, a_heat(snapshot))
    assert (found.reason, bool(found.steps)) == (Reason.HOT_COLLECTION, True)
    names = [one.alternative for one in found.rejected]
    assert names == ["Rebalance", "ScaleOut 3 -> 4", "NoChange"]


def test_a_replica_that_is_refused_is_told_once() -> None:
    snapshot = a_cluster(3, cpu=0.75, copies={100: 3})
    found = chosen_for(UNMANAGED, a_replica_policy(), snapshot, a_heat(snapshot))
    assert (found.reason, found.steps) == (Reason.AT_MAXIMUM, ())
    names = [one.alternative for one in found.rejected]
    assert names.count("SetReplicaNumber default.products 3 -> 4") == 1
    assert len(names) == len(set(names))
