"""Which segments, collections and QueryNodes the searches heat, estimated from rates, sizes and measured CPU.

    heat of a segment copy = searches per second of its replica x cost of one search of it x cores per unit of cost

The cost is a formula (`cost`), the rates are smoothed measurements (`rates`), and the scale makes what is expected of
the QueryNodes meet what they were measured to burn (`scale`). docs/heat.md says what it cannot know.
"""

from __future__ import annotations

from milvus_tuning.decide.heat.assemble import heat_map
from milvus_tuning.decide.heat.model import CollectionHeat, HeatMap, HeatMemory, NodeHeat, SegmentHeat

__all__ = ["CollectionHeat", "HeatMap", "HeatMemory", "NodeHeat", "SegmentHeat", "heat_map"]
