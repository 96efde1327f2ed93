"""Which segments, collections and QueryNodes the searches heat, estimated from rates, sizes and measured CPU."""

from __future__ import annotations

from milvus_tuning.decide.heat.model import CollectionHeat, HeatMap, HeatMemory, NodeHeat, SegmentHeat

__all__ = ["CollectionHeat", "HeatMap", "HeatMemory", "NodeHeat", "SegmentHeat"]
