"""How the wish stands that says who places segments."""

from __future__ import annotations

from datetime import timedelta

from tests.decide.config.judging import LONG_AGO, MILVUS_PLACES, NOW, PLACEMENT, Row, World

PLACEMENT_ROWS: list[Row] = [
    (
        "placement, free",
        PLACEMENT,
        World(shown={"one": "true"}),
        ("Applying", "true", "file", True, "setting querycoord.autobalance: unset -> false"),
    ),
    (
        "placement, ours and shown",
        PLACEMENT,
        World(stored="false", leased=True, ours=True, shown={"one": "false"}),
        ("Effective", "false", "etcd", False, "read at each balance check; read back from one"),
    ),
    (
        "placement, ours, and Milvus has not got it",
        PLACEMENT,
        World(stored="false", leased=True, ours=True, shown={"one": "true"}),
        (
            "Shadowed",
            "true",
            "etcd",
            False,
            "stored in etcd as declared, and one has true: something goes before etcd there",
        ),
    ),
    (
        "placement, ours since long ago, and Milvus moves all the same",
        PLACEMENT,
        World(stored="false", leased=True, ours_since=LONG_AGO, shown={"one": "false"}, moved_at=NOW),
        (
            "NoEvidence",
            "false",
            "etcd",
            False,
            "stored in etcd since 2026-01-01T11:00:00Z, and Milvus moves segments all the same: segment 7 of "
            "default.products went from QueryNode 3 to 5 at 2026-01-01T12:00:00Z",
        ),
    ),
    (
        "placement, ours since long ago, and a move of before or soon after",
        PLACEMENT,
        World(
            stored="false",
            leased=True,
            ours_since=LONG_AGO,
            shown={"one": "false"},
            moved_at=LONG_AGO + timedelta(minutes=15),
        ),
        ("Effective", "false", "etcd", False, "read at each balance check; read back from one"),
    ),
    (
        "placement, ours since nobody knows when, and Milvus moves",
        PLACEMENT,
        World(stored="false", leased=True, ours=True, shown={"one": "false"}, moved_at=NOW),
        ("Effective", "false", "etcd", False, "read at each balance check; read back from one"),
    ),
    (
        "Milvus places, and moves: as it should",
        MILVUS_PLACES,
        World(stored="true", ours=False, shown={"one": "true"}, moved_at=NOW),
        ("Effective", "true", "etcd", False, "read at each balance check; read back from one"),
    ),
    (
        "placement, somebody else's",
        PLACEMENT,
        World(stored="false", shown={"one": "false"}),
        (
            "NotApplied",
            "false",
            "etcd",
            False,
            "querycoord.autobalance = false is set by somebody else, and a key of others is never taken over: "
            "remove it",
        ),
    ),
    (
        "Milvus places, as it is",
        MILVUS_PLACES,
        World(shown={"one": "true"}),
        ("Effective", "true", "file", False, "not in etcd: Milvus's own configuration decides; seen on one"),
    ),
    (
        "Milvus places, and nobody was asked",
        MILVUS_PLACES,
        World(),
        (
            "NoEvidence",
            None,
            "file or default",
            False,
            "not in etcd: Milvus's own configuration decides; no running QueryCoord could be asked",
        ),
    ),
    (
        "Milvus places, and its file forbids it",
        MILVUS_PLACES,
        World(file="false"),
        (
            "NotApplied",
            "false",
            "file",
            False,
            "the install (file) sets queryCoord.autoBalance = false: Milvus does not balance",
        ),
    ),
    (
        "Milvus places, and does not",
        MILVUS_PLACES,
        World(shown={"one": "false"}),
        (
            "NotApplied",
            "false",
            "file",
            False,
            "not in etcd, and one has false from the install: Milvus does not balance",
        ),
    ),
]
