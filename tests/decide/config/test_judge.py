"""How a wish stands: every state with every cause of it, and what is written for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from milvus_tuning.catalogue import Conversion, Intent, normalised, parse_version
from milvus_tuning.decide.config.judge import judged
from milvus_tuning.decide.config.wishes import View, Wish
from milvus_tuning.plan import SettingState, StepKind
from milvus_tuning.plan.moves import LastMove
from milvus_tuning.snapshot import EtcdSetting, OwnedKey, ReadBack, Snapshot
from tests.decide.running.running import a_component

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONG_AGO, JUST_NOW = NOW - timedelta(hours=1), NOW - timedelta(seconds=5)
LIVE = Wish(
    intent="loadBalancing.balanceIntervalSeconds",
    name="queryCoord.autoBalanceInterval",
    desired="60000",
    conversion=Conversion.SECONDS_TO_MILLISECONDS,
    live=True,
    component="QueryCoord",
    evidence="read at each balance check",
)
AT_START = replace(
    LIVE,
    intent="configOverrides.proxy.maxTaskNum",
    name="proxy.maxTaskNum",
    component="Proxy",
    live=False,
    evidence="read at start",
)
PLACEMENT = replace(
    LIVE,
    intent=Intent.PLACEMENT_OWNER,
    name="queryCoord.autoBalance",
    desired="false",
    conversion=Conversion.SWITCH,
)
MILVUS_PLACES = replace(PLACEMENT, desired="true")
DEAD = replace(LIVE, name="queryCoord.scoreUnbalanceTolerationFactor")


@dataclass(frozen=True, kw_only=True)
class World:
    """What a judgement is made in; shown is what the pods of the component say, None: it was not asked.

    probed: what they say was seen in what they do.
    """

    stored: str | None = None
    spellings: tuple[str, ...] | None = None
    leased: bool = False
    ours_since: datetime | None = None
    ours: bool = False
    shown: Mapping[str, str | None] = field(default_factory=lambda: {"one": None})
    probed: bool = False
    started_at: datetime = LONG_AGO - timedelta(hours=1)
    file: str | None = None
    environment: str | None = None
    readable: bool = True
    root_path: str | None = "by-dev"
    hindrance: str | None = None
    under_way: bool = False
    moved_at: datetime | None = None


def seen(wish: Wish, world: World) -> View:
    name = normalised(wish.name)
    entry = EtcdSetting(
        key=wish.key,
        value=world.stored or "",
        spellings=world.spellings or (wish.key,),
        revision=1,
        leased=world.leased,
    )
    component = "MixCoord" if wish.component == "QueryCoord" else wish.component
    snapshot = Snapshot(
        taken_at=NOW,
        milvus_version="2.5.27",
        settings={} if world.stored is None else {name: entry},
        settings_readable=world.readable,
        etcd_root_path=world.root_path,
        components=tuple(a_component(component, pod, started_at=world.started_at) for pod in world.shown),
        read_back=tuple(
            ReadBack(
                pod=pod,
                values={} if value == "nothing" else {name: value},
                asked=(name,),
                acting=(name,) if world.probed else (),
            )
            for pod, value in world.shown.items()
            if value is not None
        ),
        install_config={} if world.file is None else {name: world.file},
        environment_config={} if world.environment is None else {name: world.environment},
    )
    owned = OwnedKey(previous=None, written=world.stored, written_at=world.ours_since)
    return View(
        snapshot=snapshot,
        version=parse_version("2.5.27"),
        now=NOW,
        owned={wish.key: owned} if world.ours or world.ours_since else {},
        hindrance=world.hindrance,
        under_way={wish.key: wish.desired} if world.under_way else {},
        moved=None
        if world.moved_at is None
        else LastMove(at=world.moved_at, segment_id=7, full_name="default.products", source=3, target=5),
    )


SHOWS, OTHERWISE, NOTHING = {"one": "60000"}, {"one": "3000"}, {"one": "nothing"}
CASES = [
    # -- live ------------------------------------------------------------------------------------------------------
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
    # -- read at start ---------------------------------------------------------------------------------------------
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
    (
        "dead, stored by somebody and shown",
        DEAD,
        World(stored="60000", shown=SHOWS),
        (
            "Dead",
            "60000",
            "etcd",
            False,
            "queryCoord.scoreUnbalanceTolerationFactor does nothing in 2.5.27",
        ),
    ),
    # -- who places ------------------------------------------------------------------------------------------------
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


@pytest.mark.parametrize(("wish", "world", "expected"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_how_a_wish_stands(wish: Wish, world: World, expected: tuple[str, str | None, str, bool, str]) -> None:
    outcome = judged(wish, seen(wish, world))
    status = outcome.status
    message = status.message[: len(expected[4])] if wish is DEAD else status.message
    assert (status.state, status.effective, status.source, outcome.step is not None, message) == expected
    assert (status.intent, status.key, status.desired) == (wish.intent, wish.name, wish.desired)
    assert status.component == (None if wish.live else "Proxy")


def test_every_state_of_a_wish_with_a_key_is_in_the_table() -> None:
    elsewhere = {SettingState.STANDING_BY, SettingState.UNSUPPORTED, SettingState.REFUSED}
    assert {case[3][0] for case in CASES} == set(SettingState) - elsewhere


@pytest.mark.parametrize("wish", [LIVE, AT_START], ids=["live", "at start"])
def test_a_step_writes_the_key_in_one_spelling_and_names_who_must_restart(wish: Wish) -> None:
    outcome = judged(wish, seen(wish, World(stored="3000", shown=OTHERWISE)))
    before, after = {"key": wish.key, "value": "3000"}, {"key": wish.key, "value": "60000"}
    assert outcome.step is not None
    assert (outcome.step.kind, outcome.step.precondition, outcome.step.action) == (StepKind.SET_CONFIG, before, after)
    assert (outcome.step.verification, outcome.step.undo) == (after, before)
    assert (outcome.key, outcome.components) == (wish.key, () if wish.live else ("Proxy",))


def test_what_is_inferred_is_marked_where_it_is_written() -> None:
    outcome = judged(replace(LIVE, inferred=True), seen(LIVE, World()))
    assert outcome.step is not None
    assert outcome.step.action == {"key": LIVE.key, "value": "60000", "evidence": "inferred"}
    assert outcome.step.verification == {"key": LIVE.key, "value": "60000"}
