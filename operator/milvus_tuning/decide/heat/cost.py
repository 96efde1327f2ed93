"""What one search of one segment costs, by rows, dimension and index. Only ratios count: the scale is learned.

The unit is one vector component compared in a sequential scan (0.25 ns on the machine that was measured).

    brute force   rows x dimension                                      FLAT, BIN_FLAT, no index, unknown
    inverted      rows x dimension x nprobe / nlist + nlist x dimension IVF_*, SCANN
    graph         min(rows, 2.5 x M x log2(rows)) x 7 x dimension       HNSW*, DISKANN, AUTOINDEX
    each segment  + 200,000

Example, 1,000,000 rows of 128 dimensions: FLAT 128,200,000; IVF_FLAT with nlist 1024: 1,331,072; HNSW with M 16:
797 comparisons, 914,000. Ten segments of 1,000 rows cost more than one of 10,000: each has its constant.

Not seen, and so the same for all: the nprobe, ef, limit, filter and number of vectors of a search, quantisation,
partitions, mmap and what is in the page cache.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass

from milvus_tuning.snapshot import CollectionShape

SEGMENT_COST = 200_000.0  # 50 us: task, call into the core, reduce; a one-segment search is 0.9 ms in all (2.3.5)
LEADER_COST = 400_000.0  # 100 us per search and channel: of those 0.9 ms, 7 to 13 % stayed behind when segments moved
NOMINAL_CORES_PER_COST = 2.5e-10  # 8 vectors x 60,000 rows x 128 in 15 ms of server CPU, FLAT on Milvus 2.3.5
DEFAULT_NLIST = 128  # Milvus's default of the index parameter
DEFAULT_NPROBE = 8  # Milvus's default of the search parameter; what searches ask for is in no metric
ROWS_PER_LIST = 39  # fewer training points per centroid are too few for faiss; knowhere then lowers nlist
DEFAULT_GRAPH_DEGREE = 18  # M that AUTOINDEX builds HNSW with in open-source Milvus
DEFAULT_DISKANN_DEGREE = 56  # max_degree; counts all links of a row where HNSW's bottom layer has 2 x M
GRAPH_COMPARISONS = 2.5  # per M x log2(rows); faiss 1.15, 10,000 to 40,000 rows, M 8 to 32, ef 16 to 64: 0.6 to 7
GRAPH_COMPARISON_COST = 7.0  # a row at a random place against the next row of a scan, in the same runs: 4 to 20
LEAST_INDEXED_ROWS = 1024  # indexCoord.segment.minSegmentNumRowsToEnableIndex: smaller segments get no index
BITS_PER_COMPONENT = 32.0  # a binary dimension is a bit, a component four bytes


class Method(enum.Enum):
    """How an index finds its neighbours."""

    BRUTE_FORCE = "brute force"
    INVERTED = "inverted lists"
    GRAPH = "graph"


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchCost:
    """The cost of one search of one segment of a collection, as a function of the segment's rows."""

    width: float  # components per row
    method: Method = Method.BRUTE_FORCE
    lists: int = DEFAULT_NLIST
    degree: float = DEFAULT_GRAPH_DEGREE

    def sealed(self, rows: int) -> float:
        """A sealed segment of so many rows. Below 1024 rows Milvus builds no index."""
        if rows < LEAST_INDEXED_ROWS or self.method is Method.BRUTE_FORCE:
            return self.growing(rows)
        if self.method is Method.GRAPH:
            comparisons = min(rows, GRAPH_COMPARISONS * self.degree * math.log2(rows))
            return comparisons * GRAPH_COMPARISON_COST * self.width + SEGMENT_COST
        lists = max(1, min(self.lists, rows // ROWS_PER_LIST))
        return (rows * min(1.0, DEFAULT_NPROBE / lists) + lists) * self.width + SEGMENT_COST

    def growing(self, rows: int) -> float:
        """A growing segment: brute force (2.3; later versions give it an interim index, so this is an upper bound)."""
        return max(0, rows) * self.width + SEGMENT_COST


def search_cost(shape: CollectionShape | None, *, mean_dimension: float = 1.0) -> SearchCost:
    """The cost function of a collection; brute force over the mean dimension of the others where nobody told."""
    if shape is None:
        return SearchCost(width=max(1.0, mean_dimension))
    index = shape.index_type.upper()
    bits = BITS_PER_COMPONENT if index.startswith("BIN_") else 1.0
    width = max(1.0, shape.dimension / bits)
    if "IVF" in index or index == "SCANN":
        lists = _number(shape.index_parameters, "nlist", DEFAULT_NLIST)
        return SearchCost(width=width, method=Method.INVERTED, lists=lists)
    if "HNSW" in index or index in ("AUTOINDEX", "GPU_CAGRA"):
        degree = _number(shape.index_parameters, "m", DEFAULT_GRAPH_DEGREE)
        return SearchCost(width=width, method=Method.GRAPH, degree=degree)
    if index == "DISKANN":
        degree = _number(shape.index_parameters, "max_degree", DEFAULT_DISKANN_DEGREE)
        return SearchCost(width=width, method=Method.GRAPH, degree=degree / 2)
    return SearchCost(width=width)


def _number(parameters: Mapping[str, str], name: str, default: int) -> int:
    """A positive parameter, its name in any case; the default where it is absent or no number."""
    for key in sorted(parameters):
        if key.lower() == name and parameters[key].strip().isdecimal():
            return int(parameters[key]) or default
    return default
