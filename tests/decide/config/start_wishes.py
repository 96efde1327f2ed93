"""How wishes stand whose keys are read at start."""

from __future__ import annotations

from datetime import timedelta

from tests.decide.config.judging import AT_START, JUST_NOW, LONG_AGO, OTHERWISE, SHOWS, Row, World

START_ROWS: list[Row] = [
    (
        "at start, absent",
        AT_START,
        World(shown=OTHERWISE),
        (
            "PendingRestart",
            "3000",
            "file",
            True,
            "read by Proxy at start only; a plan sets proxy.maxtasknum: unset -> 60000 and restarts Proxy",
        ),
    ),
    (
        "at start, no pod known",
        AT_START,
        World(shown={}),
        (
            "PendingRestart",
            None,
            "file or default",
            False,
            "read by Proxy at start only, and no pod of it is known; would set proxy.maxtasknum: unset -> 60000",
        ),
    ),
    (
        "at start, being written",
        AT_START,
        World(shown=OTHERWISE, under_way=True),
        ("Applying", "3000", "file", False, "setting proxy.maxtasknum: unset -> 60000, then Proxy restarts"),
    ),
    (
        "at start, written, being restarted",
        AT_START,
        World(stored="60000", shown=SHOWS, ours_since=JUST_NOW, under_way=True),
        ("Applying", "60000", "etcd", False, "written; Proxy restarts, one pod at a time"),
    ),
    (
        "at start, written after the pod started",
        AT_START,
        World(stored="60000", shown=SHOWS, ours_since=LONG_AGO),
        (
            "PendingRestart",
            "60000",
            "etcd",
            False,
            "stored in etcd since 2026-01-01T11:00:00Z; one started before that, and reads it at the next start; "
            "a plan restarts Proxy",
        ),
    ),
    (
        "at start, written a moment after the pod started: clocks may differ",
        AT_START,
        World(stored="60000", shown=SHOWS, ours_since=LONG_AGO, started_at=LONG_AGO - timedelta(seconds=59)),
        (
            "PendingRestart",
            "60000",
            "etcd",
            False,
            "stored in etcd since 2026-01-01T11:00:00Z; one started before that, and reads it at the next start",
        ),
    ),
    (
        "at start, written before the pod started",
        AT_START,
        World(stored="60000", shown=SHOWS, ours_since=LONG_AGO, started_at=JUST_NOW),
        ("Effective", "60000", "etcd", False, "read at start; read back from one"),
    ),
    (
        "at start, written before the pod started, which was not asked",
        AT_START,
        World(stored="60000", ours_since=LONG_AGO, started_at=JUST_NOW),
        ("NoEvidence", "60000", "etcd", False, "stored in etcd as declared; no running Proxy could be asked"),
    ),
    (
        "at start, written before the pod started, which has another",
        AT_START,
        World(stored="60000", shown=OTHERWISE, ours_since=LONG_AGO, started_at=JUST_NOW),
        (
            "Shadowed",
            "3000",
            "etcd",
            False,
            "stored in etcd as declared, and one has 3000: something goes before etcd there",
        ),
    ),
    (
        "at start, stored since nobody knows when",
        AT_START,
        World(stored="60000", shown=SHOWS, ours=True, started_at=JUST_NOW),
        (
            "NoEvidence",
            "60000",
            "etcd",
            False,
            "stored in etcd as declared, since when is not known; Proxy reads it at start only",
        ),
    ),
    (
        "at start, by a file and shown",
        AT_START,
        World(file="60000", shown=SHOWS),
        ("Effective", "60000", "file", False, "set in the install (file); read back from one"),
    ),
    (
        "at start, written after the pod started, whose probe shows it at work",
        AT_START,
        World(stored="60000", shown=SHOWS, probed=True, ours_since=LONG_AGO),
        ("Effective", "60000", "etcd", False, "read at start; a probe shows it at work on one"),
    ),
    (
        "at start, written after the pod started, whose probe shows the former value",
        AT_START,
        World(stored="60000", shown=OTHERWISE, probed=True, ours_since=LONG_AGO),
        (
            "PendingRestart",
            "3000",
            "etcd",
            False,
            "stored in etcd since 2026-01-01T11:00:00Z; one started before that, and reads it at the next start; "
            "a plan restarts Proxy",
        ),
    ),
    (
        "at start, written before the pod started, whose probe shows another",
        AT_START,
        World(stored="60000", shown=OTHERWISE, probed=True, ours_since=LONG_AGO, started_at=JUST_NOW),
        (
            "Shadowed",
            "3000",
            "etcd",
            False,
            "stored in etcd as declared, and one has 3000: something goes before etcd there",
        ),
    ),
    (
        "at start, stored since nobody knows when, and a probe shows it at work",
        AT_START,
        World(stored="60000", shown=SHOWS, probed=True),
        ("Effective", "60000", "etcd", False, "read at start; a probe shows it at work on one"),
    ),
    (
        "at start, stored since nobody knows when, and a probe of one of two shows it at work",
        AT_START,
        World(stored="60000", shown={"one": "60000", "two": None}, probed=True),
        (
            "NoEvidence",
            "60000",
            "etcd",
            False,
            "stored in etcd as declared, since when is not known; Proxy reads it at start only",
        ),
    ),
    (
        "at start, stored since nobody knows when, and a probe shows another",
        AT_START,
        World(stored="60000", shown=OTHERWISE, probed=True),
        (
            "PendingRestart",
            "3000",
            "etcd",
            False,
            "stored in etcd as declared, and one still works by 3000: Proxy reads it at start",
        ),
    ),
    (
        "at start, by a file, and a probe shows it at work",
        AT_START,
        World(file="60000", shown=SHOWS, probed=True),
        ("Effective", "60000", "file", False, "set in the install (file); a probe shows it at work on one"),
    ),
    (
        "at start, by a file, and a probe shows that it is not",
        AT_START,
        World(file="60000", shown=OTHERWISE, probed=True),
        (
            "PendingRestart",
            "3000",
            "file",
            True,
            "read by Proxy at start only; a plan sets proxy.maxtasknum: unset -> 60000 and restarts Proxy",
        ),
    ),
    (
        "at start, root path not proven",
        AT_START,
        World(root_path=None, shown=OTHERWISE),
        ("NotApplied", "3000", "file", False, "the root path in etcd is not proven"),
    ),
]
