"""The condition PlacementStable: False while Milvus moves segments to and fro, Unknown while nobody could tell."""

from typing import Any

import pytest

from milvus_tuning.api import ConditionStatus, MilvusTuningSpec
from milvus_tuning.plan import Decision, Reason, Signal
from milvus_tuning.plan.moves import CollectionMoves, PlacementMoves
from milvus_tuning.snapshot import Snapshot
from milvus_tuning.status import Facts
from milvus_tuning.status.conditions import Verdict, verdicts
from tests.builders import NOON

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


def some_moves(name: str, *, moves: int, ratio: float) -> CollectionMoves:
    return CollectionMoves(collection_id=1, database="default", name=name, moves=moves, net_zero_ratio=ratio)


RESTLESS, MOVING = some_moves("products", moves=120, ratio=0.85), some_moves("users", moves=12, ratio=0.1)


def the_condition(placement: PlacementMoves | None, **balancing: Any) -> Verdict | None:
    body = {"targetRef": {"kind": "HelmRelease", "name": "my-release"}, "loadBalancing": balancing}
    facts = Facts(
        spec=MilvusTuningSpec.model_validate(body),
        snapshot=Snapshot(taken_at=NOON),
        decision=Decision(reason=Reason.STEADY, message=""),
        signal=Signal(at=NOON, node_count=2, capacity_ratio=None, computation_ratio=None, even_computation_ratio=None),
        placement=placement,
    )
    return next((verdict for verdict in verdicts(facts) if verdict.type == "PlacementStable"), None)


@pytest.mark.parametrize(
    ("collections", "watched_seconds", "status", "reason"),
    [
        pytest.param((RESTLESS, MOVING), 3600.0, FALSE, "PingPong", id="to and fro"),
        pytest.param((RESTLESS,), 120.0, FALSE, "PingPong", id="to and fro from the start"),
        pytest.param((MOVING,), 3600.0, TRUE, "Stable", id="moves that lead somewhere"),
        pytest.param((), 600.0, TRUE, "Stable", id="no move in ten minutes"),
        pytest.param((), 599.0, UNKNOWN, "Watching", id="not watched for long"),
        pytest.param((RESTLESS,), None, UNKNOWN, "PlacementUnknown", id="not read any more"),
    ],
)
def test_placement_is_stable_unless_segments_move_to_and_fro(
    collections: tuple[CollectionMoves, ...], watched_seconds: float | None, status: ConditionStatus, reason: str
) -> None:
    verdict = the_condition(PlacementMoves(collections=collections, watched_seconds=watched_seconds))
    assert verdict is not None
    assert (verdict.status, verdict.reason) == (status, reason)


def test_a_placement_that_is_not_watched_has_no_condition() -> None:
    assert the_condition(None) is None


def test_the_message_names_the_collection_and_what_would_help() -> None:
    placement = PlacementMoves(collections=(RESTLESS, MOVING), watched_seconds=3600.0)
    numbers = "default.products: 85 % of 120 moves within 30 min came to nothing"
    watching, damping = the_condition(placement, pingPong="Observe"), the_condition(placement, pingPong="Damp")
    assert watching is not None
    assert watching.message == f"{numbers}; loadBalancing.pingPong: Damp slows the balancer down"
    assert damping is not None
    assert damping.message == numbers
