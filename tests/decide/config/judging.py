"""Wishes of each sort, and a world in which they are judged; what is expected stands in the tables beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from milvus_tuning.catalogue import Conversion, Intent, normalised, parse_version
from milvus_tuning.decide.config.wishes import View, Wish
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


Expected = tuple[str, str | None, str, bool, str]
"""State, effective value, its source, whether a step is needed, and the message."""
Row = tuple[str, Wish, World, Expected]
SHOWS, OTHERWISE, NOTHING = {"one": "60000"}, {"one": "3000"}, {"one": "nothing"}
