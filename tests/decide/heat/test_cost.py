"""What one search of one segment costs."""

import pytest

from milvus_tuning.decide.heat.cost import SEGMENT_COST, search_cost
from milvus_tuning.snapshot import CollectionShape


def a_shape(index_type: str = "FLAT", dimension: int = 128, **parameters: str) -> CollectionShape:
    return CollectionShape(
        dimension=dimension, vector_bytes=dimension * 4, index_type=index_type, index_parameters=parameters
    )


@pytest.mark.parametrize(
    ("shape", "rows", "cost"),
    [
        pytest.param(a_shape("FLAT"), 1_000_000, 128_000_000, id="FLAT reads every component"),
        pytest.param(a_shape(""), 1_000_000, 128_000_000, id="no index is brute force"),
        pytest.param(
            a_shape("SPARSE_WAND", 0), 1_000_000, 1_000_000, id="unknown type without dimension: a unit a row"
        ),
        pytest.param(a_shape("BIN_FLAT", 1024), 1_000_000, 32_000_000, id="32 binary dimensions are a component"),
        pytest.param(a_shape("IVF_FLAT", nlist="1024"), 1_000_000, 1_131_072, id="8 of 1024 lists and their centres"),
        pytest.param(a_shape("IVF_FLAT"), 1_000_000, 8_016_384, id="nlist is 128 where not said"),
        pytest.param(a_shape("IVF_SQ8", nlist="many"), 1_000_000, 8_016_384, id="nlist that is no number"),
        pytest.param(a_shape("SCANN", nlist="1024"), 1_000_000, 1_131_072, id="SCANN has lists"),
        pytest.param(a_shape("IVF_FLAT", nlist="4"), 10_000, 1_280_512, id="fewer lists than are probed: all of it"),
        pytest.param(a_shape("IVF_FLAT", nlist="16384"), 3_900, 52_736, id="3,900 rows are good for 100 lists"),
        pytest.param(a_shape("HNSW", M="16"), 2**20, 716_800, id="800 comparisons at random places"),
        pytest.param(a_shape("HNSW_SQ", m="32"), 2**20, 1_433_600, id="twice the links, twice the cost"),
        pytest.param(a_shape("AUTOINDEX"), 2**20, 806_400, id="AUTOINDEX is HNSW with M 18"),
        pytest.param(a_shape("DISKANN"), 2**20, 1_254_400, id="DISKANN links 56 rows, as M 28"),
        pytest.param(a_shape("HNSW", M="2048"), 2_000, 1_792_000, id="a graph compares no row twice"),
        pytest.param(a_shape("HNSW", M="16"), 1_000, 128_000, id="below 1024 rows there is no index"),
        pytest.param(a_shape("HNSW", M="16"), 0, 0, id="an empty segment costs its constant"),
    ],
)
def test_cost_of_a_sealed_segment(shape: CollectionShape, rows: int, cost: float) -> None:
    assert search_cost(shape).sealed(rows) == pytest.approx(cost + SEGMENT_COST)


def test_a_growing_segment_has_no_index() -> None:
    cost = search_cost(a_shape("HNSW", M="16"))

    assert cost.growing(100_000) == 12_800_000 + SEGMENT_COST
    assert cost.sealed(100_000) < cost.growing(100_000) / 10


def test_an_unknown_shape_is_brute_force_over_the_mean_dimension_of_the_others() -> None:
    assert search_cost(None, mean_dimension=96).sealed(10_000) == 960_000 + SEGMENT_COST
    assert search_cost(None).sealed(10_000) == 10_000 + SEGMENT_COST
