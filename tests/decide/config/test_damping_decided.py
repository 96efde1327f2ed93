"""A decision to damp is one about settings, before any about size, and says what is moved to and fro."""

from __future__ import annotations

from milvus_tuning.api import MilvusTuningSpec, Mode
from milvus_tuning.decide import decide
from milvus_tuning.plan import Decision, History, Reason
from milvus_tuning.plan.moves import CollectionMoves, PlacementMoves
from tests.builders import NOON, a_snapshot, a_spec

SNAPSHOT = a_snapshot(milvus_version="2.6.18", settings_readable=True, etcd_root_path="by-dev")
RESTLESS = CollectionMoves(
    collection_id=100, database="default", name="products", moves=400, net_zero_ratio=0.85, returns=150
)
CALM = CollectionMoves(collection_id=100, database="default", name="products", moves=400, net_zero_ratio=0.1)


def decided(moves: CollectionMoves | None, *, ping_pong: str = "Damp", mode: Mode = Mode.AUTO) -> Decision:
    spec: MilvusTuningSpec = a_spec(mode=mode, query_nodes=None, load_balancing={"ping_pong": ping_pong})
    watched = PlacementMoves(collections=(moves,) if moves else (), watched_seconds=3600.0)
    return decide(spec, SNAPSHOT, History(), NOON, policy_uid="uid", moves=watched)


def test_ping_pong_is_damped_with_the_numbers_in_the_message() -> None:
    decision = decided(RESTLESS)
    assert decision.reason is Reason.SETTING_CHANGED
    assert [step.action["value"] for step in decision.steps] == ["30000", "2"]
    assert decision.message.endswith(
        "(segments are moved to and fro: default.products: 85 % of 400 moves within 30 min came to nothing)"
    )


def test_many_moves_that_lead_somewhere_are_not() -> None:
    assert decided(CALM).steps == ()
    assert decided(None).steps == ()


def test_without_the_word_for_it_or_in_mode_observe_nothing_is_written() -> None:
    assert decided(RESTLESS, ping_pong="Observe").steps == ()
    assert decided(RESTLESS, mode=Mode.OBSERVE).steps == ()
