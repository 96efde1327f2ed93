"""How wishes stand whose keys are read live, or are dead."""

from __future__ import annotations

from dataclasses import replace

from tests.decide.config.judging import DEAD, JUST_NOW, LIVE, LONG_AGO, NOTHING, OTHERWISE, SHOWS, Row, World

LIVE_ROWS: list[Row] = [
    (
        "live, absent, shown by nobody",
        LIVE,
        World(),
        ("Applying", None, "file or default", True, "setting querycoord.autobalanceinterval: unset -> 60000"),
    ),
    (
        "live, absent, a process has its file's",
        LIVE,
        World(shown=OTHERWISE),
        ("Applying", "3000", "file", True, "setting querycoord.autobalanceinterval: unset -> 60000"),
    ),
    (
        "live, absent, a process has nothing",
        LIVE,
        World(shown=NOTHING),
        ("Applying", None, "default", True, "setting querycoord.autobalanceinterval: unset -> 60000"),
    ),
    (
        "live, another value",
        LIVE,
        World(stored="3000", shown=OTHERWISE),
        ("Applying", "3000", "etcd", True, "setting querycoord.autobalanceinterval: 3000 -> 60000"),
    ),
    (
        "live, hindered",
        LIVE,
        World(hindrance="paused"),
        (
            "NotApplied",
            None,
            "file or default",
            False,
            "paused; would set querycoord.autobalanceinterval: unset -> 60000",
        ),
    ),
    (
        "live, unsafe now",
        replace(LIVE, objection="too much is loaded", note="by the link"),
        World(),
        ("NotApplied", None, "file or default", False, "too much is loaded (by the link)"),
    ),
    (
        "live, unsafe now, and in force already",
        replace(LIVE, objection="too much is loaded"),
        World(stored="60000", shown=SHOWS),
        ("Effective", "60000", "etcd", False, "read at each balance check; read back from one"),
    ),
    (
        "live, stored and shown",
        LIVE,
        World(stored="60000", shown=SHOWS),
        ("Effective", "60000", "etcd", False, "read at each balance check; read back from one"),
    ),
    (
        "live, stored and shown by meaning",
        LIVE,
        World(stored="60000.0", shown={"one": "60000", "two": "60000.0"}),
        ("Effective", "60000", "etcd", False, "read at each balance check; read back from one, two"),
    ),
    (
        "live, stored, nobody asked",
        LIVE,
        World(stored="60000"),
        ("NoEvidence", "60000", "etcd", False, "stored in etcd as declared; no running QueryCoord could be asked"),
    ),
    (
        "live, stored, and a process has nothing",
        LIVE,
        World(stored="60000", shown=NOTHING),
        (
            "NoEvidence",
            "60000",
            "etcd",
            False,
            "stored in etcd as declared, and one, which was asked, has no value for it",
        ),
    ),
    (
        "live, stored, and one of two has another",
        LIVE,
        World(stored="60000", shown={"one": "60000", "two": "3000"}, ours_since=LONG_AGO),
        (
            "Shadowed",
            "3000",
            "etcd",
            False,
            "stored in etcd as declared, and two has 3000: something goes before etcd there",
        ),
    ),
    (
        "live, stored just now, and a process still has another",
        LIVE,
        World(stored="60000", shown=OTHERWISE, ours_since=JUST_NOW),
        ("Applying", "3000", "etcd", False, "written just now; one may not have read it yet"),
    ),
    (
        "live, two spellings",
        LIVE,
        World(stored="60000", shown=SHOWS, spellings=("a", "b")),
        (
            "Shadowed",
            "60000",
            "etcd",
            False,
            "stored in several spellings (a, b): which one acts is a matter of chance",
        ),
    ),
    (
        "live, one other spelling",
        LIVE,
        World(stored="3000", shown=OTHERWISE, spellings=("queryCoord/autoBalanceInterval",)),
        (
            "Shadowed",
            "3000",
            "etcd",
            False,
            "stored as queryCoord/autoBalanceInterval, which a second spelling would shadow: remove that key",
        ),
    ),
    (
        "live, by a file and shown",
        LIVE,
        World(file="60000", shown=SHOWS),
        ("Effective", "60000", "file", False, "set in the install (file); read back from one"),
    ),
    (
        "live, by the environment and shown",
        LIVE,
        World(file="3000", environment="60000", shown=SHOWS),
        ("Effective", "60000", "environment", False, "set in the install (environment); read back from one"),
    ),
    (
        "live, by a file, nobody asked",
        LIVE,
        World(file="60000"),
        (
            "NoEvidence",
            "60000",
            "file",
            False,
            "set as declared in the install (file); no running QueryCoord could be asked",
        ),
    ),
    (
        "live, by a file that a process has not read",
        LIVE,
        World(file="60000", shown=OTHERWISE),
        ("Applying", "3000", "file", True, "setting querycoord.autobalanceinterval: unset -> 60000"),
    ),
    (
        "live, etcd not read",
        LIVE,
        World(readable=False, root_path=None),
        ("NotApplied", None, "file or default", False, "etcd could not be read"),
    ),
    (
        "live, etcd not read, by a file and shown",
        LIVE,
        World(readable=False, root_path=None, file="60000", shown=SHOWS),
        ("Effective", "60000", "file", False, "set in the install (file); read back from one"),
    ),
    (
        "live, root path not proven, though all looks right",
        LIVE,
        World(root_path=None, stored="60000", file="60000", shown=SHOWS),
        ("NotApplied", "60000", "etcd", False, "the root path in etcd is not proven"),
    ),
    (
        "dead, though all looks right",
        DEAD,
        World(stored="60000", shown=SHOWS),
        ("Dead", "60000", "etcd", False, "queryCoord.scoreUnbalanceTolerationFactor does nothing in 2.5.27: "),
    ),
]
