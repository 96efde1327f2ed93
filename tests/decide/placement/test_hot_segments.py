"""When segments are moved, and what is said when they are not: each rule beside what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from milvus_tuning.api import Mode
from milvus_tuning.decide.placement.hot_segments import decide_placement
from milvus_tuning.plan import Decision, Outlook, Reason, Rejection, StepKind, Verdict
from milvus_tuning.snapshot import MISSING, Freeze, FreezeReason
from tests.builders import MEMORY_LIMIT_BYTES, NOON, a_finished_operation, a_history, a_sample, a_spec
from tests.decide.placement.hot import (
    Placed,
    a_move_operation,
    a_placement,
    a_policy,
    auto_balance,
    decided,
    freely,
    moves_of,
)

HOT = [[0.9, 0.9], [0.1, 0.1], [0.1, 0.1]]
"""qn-1 at 90 %, the others at 10 %; a hot segment changes places with a cold one of as many rows: 50 % each."""
ONE_SEGMENT = [[1.8], [0.1, 0.1], [0.1, 0.1]]
ONLY_FREELY = [[0.9, 0.9], [], []]
"""Nothing to swap with: what leaves qn-1 makes it emptier than the others."""


def kinds(decision: Decision) -> list[StepKind]:
    return [step.kind for step in decision.steps]


def with_snapshot(placed: Placed, **changes: Any) -> Placed:
    return replace(placed, snapshot=replace(placed.snapshot, **changes))


# -- declared, and open gates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(a_spec(), id="no loadBalancing"),
        pytest.param(a_spec(load_balancing={}), id="no hotSegments"),
        pytest.param(a_policy(mode="Off"), id="Off"),
    ],
)
def test_nothing_is_decided_that_is_not_declared(spec: Any) -> None:
    placed = a_placement(HOT)
    assert decide_placement(spec, placed.snapshot, placed.heat, a_history(placed.snapshot), NOON) is None
    assert decided(placed).steps


def test_nothing_is_begun_behind_a_closed_gate() -> None:
    freeze = Freeze(reason=FreezeReason.LOADING, message="default.products at 40 %")
    found = decided(a_placement(HOT, freezes=(freeze,)))
    assert (found.reason, found.steps) == (Reason.FROZEN, ())


# -- heat that is not known ------------------------------------------------------------------------------------------


def test_gaps_in_the_heat_are_named_and_nothing_moves() -> None:
    found = decided(a_placement(HOT, gaps=("default.c1: its rate is not known",)))
    assert (found.reason, found.steps) == (Reason.HEAT_UNKNOWN, ())
    assert "default.c1: its rate is not known" in found.message


@pytest.mark.parametrize(
    ("error", "reason"),
    [(0.5, Reason.HOT_NODE), (0.51, Reason.HEAT_UNKNOWN), (None, Reason.HEAT_UNKNOWN)],
)
def test_a_model_that_is_off_by_more_than_half_or_was_never_compared_moves_nothing(
    error: float | None, reason: Reason
) -> None:
    found = decided(a_placement(HOT, error=error))
    assert (found.reason, bool(found.steps)) == (reason, reason is Reason.HOT_NODE)


def test_a_model_that_is_off_is_nobodys_concern_while_nothing_is_hot() -> None:
    assert decided(a_placement([[0.4, 0.4], [0.4, 0.4]], error=0.9)).reason is Reason.STEADY


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        pytest.param({"node_id": None}, "which Milvus node runs in qn-2", id="no id"),
        pytest.param({"cpu_cores": MISSING}, "qn-2: CPU missing", id="no CPU"),
        pytest.param({"cpu_cores": a_sample(0.2, age=600.0)}, "qn-2: CPU 600 s old", id="old CPU"),
        pytest.param({"cpu_limit_cores": None}, "qn-2: no CPU limit", id="no CPU limit"),
    ],
)
def test_a_node_that_is_not_known_well_stops_all(nodes: dict[str, Any], words: str) -> None:
    found = decided(a_placement(HOT, nodes={"qn-2": nodes}))
    assert (found.reason, found.steps) == (Reason.HEAT_UNKNOWN, ())
    assert words in found.message


def test_a_placement_that_was_read_in_part_stops_all() -> None:
    found = decided(a_placement(HOT, placement_coverage=0.5))
    assert (found.reason, found.steps) == (Reason.HEAT_UNKNOWN, ())
    assert "50 % of the collections" in found.message


def test_a_placement_that_contradicts_itself_stops_all() -> None:
    placed = a_placement(HOT)
    again = replace(placed.snapshot.replicas[0], replica_id=77)
    found = decided(with_snapshot(placed, replicas=(*placed.snapshot.replicas, again)))
    assert (found.reason, found.steps) == (Reason.HEAT_UNKNOWN, ())
    assert "contradicts itself" in found.message


def test_a_node_that_the_model_takes_for_idle_is_not_relieved() -> None:
    placed = a_placement(HOT)
    first, *others = placed.snapshot.query_nodes
    swapped = (replace(first, cpu_cores=a_sample(0.2)), replace(others[0], cpu_cores=a_sample(1.8)), *others[1:])
    found = decided(with_snapshot(placed, query_nodes=swapped))
    assert (found.reason, found.steps) == (Reason.HEAT_UNKNOWN, ())
    assert "the heat model expects 10 % there and a mean of 37 %" in found.message


# -- skew ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heats", "objectives", "reason"),
    [
        pytest.param(HOT, None, Reason.HOT_NODE, id="skewed and busy"),
        pytest.param([[0.44], [0.4], [0.36]], None, Reason.STEADY, id="10 % above the mean"),
        pytest.param([[0.2, 0.2], [0.02, 0.02], [0.02, 0.02]], None, Reason.STEADY, id="a cold skew: 20 % at most"),
        pytest.param([[0.25, 0.25], [0.02, 0.02], [0.02, 0.02]], None, Reason.HOT_NODE, id="25 %: not cold"),
        pytest.param([[0.0, 0.0], [0.0], [0.0]], None, Reason.STEADY, id="idle"),
        pytest.param(HOT, {"node_imbalance_percent": 150}, Reason.STEADY, id="as far above the mean as allowed"),
        pytest.param([[0.9, 0.9]], None, Reason.STEADY, id="a single node"),
    ],
)
def test_only_a_busy_node_far_above_the_mean_is_relieved(
    heats: list[list[float]], objectives: dict[str, int] | None, reason: Reason
) -> None:
    found = decided(a_placement(heats), a_policy(objectives=objectives))
    assert (found.reason, bool(found.steps)) == (reason, reason is Reason.HOT_NODE)


@pytest.mark.parametrize(("lasted", "reason"), [(105.0, Reason.STABILIZING), (120.0, Reason.HOT_NODE)])
def test_a_skew_has_to_last_for_the_window(lasted: float, reason: Reason) -> None:
    found = decided(a_placement(HOT), lasting_seconds=lasted)
    assert (found.reason, bool(found.steps)) == (reason, reason is Reason.HOT_NODE)


def test_a_skew_that_was_interrupted_starts_its_window_anew() -> None:
    placed = a_placement(HOT)
    history = a_history(placed.snapshot)
    calm = replace(history.signals[-4], computation_ratio=0.4, even_computation_ratio=0.4)
    found = decided(placed, history=replace(history, signals=(*history.signals[:-4], calm, *history.signals[-3:])))
    assert found.reason is Reason.STABILIZING
    assert "for 30 s of 120 s" in found.message


@pytest.mark.parametrize(("ago", "reason"), [(119.0, Reason.COOLDOWN), (121.0, Reason.HOT_NODE)])
def test_after_any_operation_there_is_a_rest(ago: float, reason: Reason) -> None:
    found = decided(a_placement(HOT), operations=[a_finished_operation(ended_seconds_ago=ago)])
    assert (found.reason, bool(found.steps)) == (reason, reason is Reason.HOT_NODE)


# -- what was moved did not stay -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        pytest.param({"segments": (5000,), "pod": "qn-2"}, Reason.MOVES_UNDONE, id="back on qn-1"),
        pytest.param({"segments": (5000,), "pod": "qn-1"}, Reason.HOT_NODE, id="where it was put"),
        pytest.param({"segments": (4711,), "pod": "qn-2"}, Reason.MOVES_UNDONE, id="compacted"),
        pytest.param({"segments": (5000, 5002, 5003), "pod": "qn-2"}, Reason.HOT_NODE, id="one of three"),
        pytest.param({"segments": (5000, 5001, 5003), "pod": "qn-2"}, Reason.MOVES_UNDONE, id="two of three"),
        pytest.param({"verdict": Verdict.INCONCLUSIVE}, Reason.MOVES_UNDONE, id="of a plan that told nothing"),
        pytest.param({"verdict": Verdict.ROLLED_BACK}, Reason.HOT_NODE, id="taken back by us"),
        pytest.param({"ended_seconds_ago": 3601.0}, Reason.HOT_NODE, id="more than an hour ago"),
        pytest.param({"pod": "qn-9"}, Reason.HOT_NODE, id="its destination is gone"),
    ],
)
def test_moves_that_did_not_stay_end_moving_for_an_hour(operation: dict[str, Any], reason: Reason) -> None:
    found = decided(a_placement(HOT), operations=[a_move_operation(**operation)])
    assert (found.reason, bool(found.steps)) == (reason, reason is Reason.HOT_NODE)


def test_who_undid_the_moves_is_named_with_the_way_out() -> None:
    found = decided(a_placement(HOT), operations=[a_move_operation(segments=(4711, 5000))])
    assert "Milvus's balancer moved 5000 and compaction made other segments of 4711" in found.message
    assert "until 2026-01-05T12:30:00Z" in found.message
    assert "placementOwner Operator" in found.message


def test_where_the_balancer_is_off_nobody_undoes_moves() -> None:
    assert decided(freely(HOT), operations=[a_move_operation()]).reason is Reason.HOT_NODE


# -- the moves -------------------------------------------------------------------------------------------------------


def test_a_hot_node_is_relieved_by_a_swap_while_the_balancer_is_held_off() -> None:
    found = decided(a_placement(HOT))
    assert kinds(found) == [
        StepKind.TAKE_PLACEMENT,
        StepKind.MOVE_SEGMENTS,
        StepKind.MOVE_SEGMENTS,
        StepKind.RETURN_PLACEMENT,
    ]
    assert moves_of(found) == {5000: "qn-2", 5002: "qn-1"}
    assert found.outlook == Outlook(
        moved_segments=2,
        moved_rows=20_000,
        moved_bytes=2 * 2**27,
        busiest_percent_before=90,
        busiest_percent_after=50,
        skew_percent_before=145,
        skew_percent_after=36,
    )
    assert found.message == (
        "qn-1 computes at 90 %, the mean is 37 % (row-neutral, with Milvus's balancer held off); hottest there: "
        "default.c0 50 %, default.c1 50 %; 2 moves (20,000 rows, 256 MiB): 90 % -> 50 % expected of the busiest "
        "QueryNode"
    )
    assert found.inputs == {
        "hotPod": "qn-1",
        "computationRatio": 0.9,
        "evenComputationRatio": pytest.approx(0.3667, abs=1e-4),
        "skewRatio": pytest.approx(1.4545, abs=1e-4),
        "heatErrorRatio": 0.05,
        "moves": 2,
        "movedRows": 20_000,
        "movedBytes": 2 * 2**27,
    }
    assert found.desired_count == 3


def test_where_the_balancer_is_off_each_move_that_helps_is_free() -> None:
    found = decided(freely(ONLY_FREELY))
    assert set(kinds(found)) == {StepKind.MOVE_SEGMENTS}
    assert len(moves_of(found)) == 1
    assert found.outlook is not None
    assert found.outlook.busiest_percent_after == 45


@pytest.mark.parametrize(
    ("settings", "owner", "free"),
    [
        pytest.param({}, None, False, id="nothing stored"),
        pytest.param({}, "Operator", False, id="Operator, and not taken yet"),
        pytest.param(auto_balance("false"), "Operator", True, id="taken"),
        pytest.param(auto_balance("False"), None, True, id="off by somebody's hand"),
        pytest.param(auto_balance("false", spellings=("a", "b")), None, False, id="which spelling acts is chance"),
    ],
)
def test_the_balancer_is_off_where_etcd_says_so(settings: Any, owner: str | None, free: bool) -> None:
    found = decided(a_placement(ONLY_FREELY, settings=settings), a_policy(owner=owner))
    assert bool(found.steps) is free
    if not free:
        assert found.reason is Reason.NO_NEUTRAL_SWAP


def test_mode_observe_shows_what_placement_by_the_operator_would_do() -> None:
    placed, spec = a_placement(ONLY_FREELY), a_policy(owner="Operator")
    shown = decided(placed, spec.model_copy(update={"mode": Mode.OBSERVE}))
    assert shown.outlook is not None
    assert decided(placed, spec).outlook is None


@pytest.mark.parametrize(
    ("snapshot", "words"),
    [
        pytest.param({"settings_readable": False}, "etcd is needed", id="etcd not read"),
        pytest.param({"etcd_root_path": None}, "root path is not proven", id="root path not proven"),
        pytest.param({"settings": auto_balance("true")}, "set by somebody else", id="a key of somebody else"),
    ],
)
def test_without_a_way_to_hold_the_balancer_off_nothing_is_swapped(snapshot: dict[str, Any], words: str) -> None:
    found = decided(a_placement(HOT, **snapshot))
    assert (found.reason, found.steps) == (Reason.NO_NEUTRAL_SWAP, ())
    assert words in found.message


def test_what_milvus_would_undo_is_told_with_what_it_would_gain() -> None:
    found = decided(a_placement(ONLY_FREELY))
    assert (found.reason, found.steps) == (Reason.NO_NEUTRAL_SWAP, ())
    assert "1 moves would take the busiest QueryNode from 90 % to 45 %" in found.message
    assert "placementOwner Operator" in found.message


@pytest.mark.parametrize("place", [a_placement, freely], ids=["Milvus places", "the balancer is off"])
def test_one_segment_that_is_all_of_the_heat_is_left_where_it_is(place: Any) -> None:
    found = decided(place(ONE_SEGMENT))
    assert (found.reason, found.steps) == (Reason.NO_BETTER_PLACEMENT, ())
    assert "below 90 % impossible" in found.message
    assert "one in-memory replica more shares the searches of one segment" in found.message


def test_a_hot_node_that_shares_no_replica_with_another_has_no_better_placement() -> None:
    placed = freely(HOT)
    alone = tuple(
        replace(one, node_ids=(1,) if one.collection_id < 102 else (2, 3)) for one in placed.snapshot.replicas
    )
    found = decided(with_snapshot(placed, replicas=alone))
    assert (found.reason, found.steps) == (Reason.NO_BETTER_PLACEMENT, ())


def test_a_gain_below_a_tenth_is_not_worth_it() -> None:
    """66 % and 22 %: without its lighter segment it is 62 %, 6 % less; with another division 57 %, 14 % less."""
    found = decided(freely([[1.24, 0.08], [0.24, 0.2]]))
    assert (found.reason, found.steps) == (Reason.NO_BETTER_PLACEMENT, ())
    assert decided(freely([[1.14, 0.18], [0.24, 0.2]])).reason is Reason.HOT_NODE


def test_what_does_not_fit_is_turned_down_with_the_segment_and_the_reason() -> None:
    """8 GiB, 89 % used, a guard of 90 %: 82 MiB are left for segments of 128 MiB."""
    full = {"resident_memory_bytes": a_sample(0.89 * MEMORY_LIMIT_BYTES)}
    found = decided(freely(ONLY_FREELY, nodes={"qn-2": full, "qn-3": full}))
    assert (found.reason, found.steps) == (Reason.NO_BETTER_PLACEMENT, ())
    assert (
        Rejection(
            alternative="move segment 5000 to qn-2",
            reason=Reason.WOULD_NOT_FIT,
            message="that node would be above the load guard",
        )
        in found.rejected
    )
    assert decided(freely(HOT)).steps


def test_excluded_collections_stay() -> None:
    excluded = [{"database": "default", "name": "c0"}]
    found = decided(a_placement(HOT), a_policy(exclude_collections=excluded))
    assert moves_of(found) == {5001: "qn-2", 5002: "qn-1"}
    both = [*excluded, {"database": "default", "name": "c1"}]
    assert decided(a_placement(HOT), a_policy(exclude_collections=both)).steps == ()


def test_hot_segments_in_mode_observe_say_what_would_be_done() -> None:
    found, acting = decided(a_placement(HOT), a_policy(mode="Observe")), decided(a_placement(HOT))
    assert (found.reason, found.steps, found.outlook) == (Reason.HOT_NODE, (), acting.outlook)
    assert found.rejected[0] == Rejection(
        alternative="MoveSegments 2",
        reason=Reason.OBSERVE_ONLY,
        message="loadBalancing.hotSegments.mode is Observe",
    )
    assert found.message == f"{acting.message} (not done: hotSegments.mode is Observe)"


def test_time_alone_changes_nothing() -> None:
    placed = a_placement(HOT)
    later = decided(placed, history=a_history(placed.snapshot), now=NOON + timedelta(seconds=5))
    assert later.steps == decided(placed).steps
