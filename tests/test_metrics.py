"""Series by collection are those of the collections that move most, and go with the moves and with the object."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from milvus_tuning.metrics import MOST_COLLECTIONS, Metrics
from milvus_tuning.plan.moves import CollectionMoves

RAG, SHOP = ("milvus", "rag"), ("milvus", "shop")
MOVES, RATIO, RETURN = (
    f"milvus_tuning_{name}" for name in ("segment_moves", "net_zero_move_ratio", "segment_return_seconds")
)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def some_moves(name: str, *, moves: int = 20, return_seconds: float | None = 46.0) -> CollectionMoves:
    return CollectionMoves(
        collection_id=1,
        database="default",
        name=name,
        moves=moves,
        net_zero_ratio=0.85,
        returns=0 if return_seconds is None else 3,
        return_seconds=return_seconds,
    )


def shown(metrics: Metrics, series: str, owner: tuple[str, str] = RAG) -> dict[str, float]:
    """Collection -> value of one object's series."""
    return {
        sample.labels["collection"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == series and (sample.labels["namespace"], sample.labels["name"]) == owner
    }


def test_a_moving_collection_has_its_numbers_and_no_series_for_what_is_not_known(metrics: Metrics) -> None:
    metrics.set_moves(*RAG, [some_moves("products"), some_moves("users", moves=12, return_seconds=None)])
    assert shown(metrics, MOVES) == {"products": 20.0, "users": 12.0}
    assert shown(metrics, RATIO) == {"products": 0.85, "users": 0.85}
    assert shown(metrics, RETURN) == {"products": 46.0}


def test_what_moves_no_more_and_another_object_are_kept_apart(metrics: Metrics) -> None:
    metrics.set_moves(*RAG, [some_moves("products"), some_moves("users")])
    metrics.set_moves(*SHOP, [some_moves("products", moves=3)])
    metrics.set_moves(*RAG, [some_moves("users", return_seconds=None)])
    assert (shown(metrics, MOVES), shown(metrics, MOVES, SHOP)) == ({"users": 20.0}, {"products": 3.0})
    assert (shown(metrics, RETURN), shown(metrics, RETURN, SHOP)) == ({}, {"products": 46.0})


def test_an_object_that_goes_takes_its_series_along(metrics: Metrics) -> None:
    for owner in (RAG, SHOP):
        metrics.set_moves(*owner, [some_moves("products")])
    metrics.forget(*RAG)
    assert (shown(metrics, MOVES), shown(metrics, MOVES, SHOP)) == ({}, {"products": 20.0})


def test_however_many_collections_move_the_series_are_bounded(metrics: Metrics) -> None:
    metrics.set_moves(*RAG, [some_moves(f"c{number:03}", moves=500 - number) for number in range(100)])
    assert sorted(shown(metrics, MOVES)) == [f"c{number:03}" for number in range(MOST_COLLECTIONS)]
