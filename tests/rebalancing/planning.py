"""A plan as the command gives it for a document, and what the validator says of it."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from milvus_tuning.cli.rebalance import document as plan_document
from milvus_tuning.decide.rebalancing import Cluster, plan_rebalance
from tests.rebalancing.validator import Document, Replay, replay

CLUSTER = TypeAdapter(Cluster)


def planned(document: Document) -> Document:
    """The plan, with no time in it."""
    return plan_document(plan_rebalance(CLUSTER.validate_python(document)), seconds=0.0, reading_seconds=0.0)


def carried_out(document: Document) -> tuple[Document, Replay]:
    """The plan and its replay."""
    plan = planned(document)
    return plan, replay(document, plan["moves"])


def a_cluster(nodes: list[Document], segments: list[Document], **others: Any) -> Document:
    """A document with defaults: nodes 1, 2, ... of cpu 1 with 1000 bytes, segments 1, 2, ... of 10 bytes on node 1."""
    return {
        "nodes": [{"id": at + 1, "memory_bytes": 1000, "cpu": 1.0, **node} for at, node in enumerate(nodes)],
        "segments": [
            {"id": at + 1, "collection": "c", "memory_bytes": 10, "node": 1, **segment}
            for at, segment in enumerate(segments)
        ],
        "limits": {"memory_ceiling_ratio": 1.0},
        **others,
    }
