"""What a judgement of declared settings is about: a wish, what it rests on, and what comes of it."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from milvus_tuning.api import ConfigDelivery
from milvus_tuning.catalogue import Conversion, Lever, ServerVersion, normalised, stored_spelling
from milvus_tuning.catalogue.registry import Evidence
from milvus_tuning.decide.config.road import ETCD, NAMES, is_reread, settings_on, trouble_on
from milvus_tuning.plan import Operation, SettingState, SettingStatus, Step
from milvus_tuning.plan.moves import LastMove
from milvus_tuning.snapshot import EtcdSetting, OwnedKey, Snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What the judgement of one setting rests on."""

    snapshot: Snapshot
    version: ServerVersion | None
    now: datetime
    owned: Mapping[str, OwnedKey]
    rollbacks: Sequence[Operation] = ()
    hindrance: str | None = None
    """Why nothing is written now, whatever the setting."""
    under_way: Mapping[str, str | None] = field(default_factory=dict)
    """What the plan at work writes: key -> value."""
    moved: LastMove | None = None
    """The last segment that Milvus moved by itself, as far as the placement was watched."""

    road: ConfigDelivery = ETCD
    held_elsewhere: Container[str] = ()
    """What the policy holds on the other road, and hands back there first."""

    def stored(self, key: str) -> EtcdSetting | None:
        """The key as it stands on the road."""
        return settings_on(self.road, self.snapshot).get(normalised(key))

    def unreadable(self) -> str | None:
        """Why the road says nothing, or nothing that counts, or may not be written on."""
        return trouble_on(self.road, self.snapshot)

    @property
    def place(self) -> str:
        """Where keys stand, in words: "etcd", "spec.config"."""
        return NAMES[self.road]

    @property
    def reread(self) -> bool:
        """Whether running processes read again what is written."""
        return is_reread(self.road, self.version)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """A declared setting with the key that carries it in this version, and the text that the key should have."""

    intent: str
    name: str
    """The key as Milvus's documentation writes it."""
    desired: str
    conversion: Conversion
    live: bool
    component: str
    """Who reads it, in the catalogue's words: "Proxy", "RootCoord and Proxy", "every component"."""
    evidence: str
    inferred: bool = False
    note: str = ""
    objection: str | None = None

    @property
    def key(self) -> str:
        """The key as it is written to etcd, and named in steps and records."""
        return stored_spelling(self.name)

    def same(self, text: str) -> bool:
        """Whether Milvus reads the desired value from this text."""
        return self.conversion.same(text, self.desired)

    def told(self, message: str) -> str:
        """The message with how the value came about."""
        return f"{message} ({self.note})" if self.note else message


def wish_of(lever: Lever, desired: str, *, note: str = "", objection: str | None = None) -> Wish:
    """The wish that a lever has this text."""
    return Wish(
        intent=lever.intent,
        name=lever.key,
        desired=desired,
        conversion=lever.conversion,
        live=lever.live,
        component=lever.component,
        evidence=lever.evidence,
        inferred=lever.ground is Evidence.INFERRED,
        note=note,
        objection=objection,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How one setting stands, the step it needs, and the key it lays claim to (None: whatever we hold goes back).

    components are those that must restart for the step; empty for a key that is read live. stored: the key is as it is
    to be, and the restart alone is missing; inferred says then what a step says of itself otherwise.
    """

    status: SettingStatus
    step: Step | None = None
    key: str | None = None
    components: tuple[str, ...] = ()
    stored: bool = False
    inferred: bool = False


def without_key(intent: str, state: SettingState, message: str, *, key: str | None = None) -> Outcome:
    """A setting that comes to nothing: it has no key here, or none that may be written."""
    status = SettingStatus(
        intent=intent, key=key, desired=None, effective=None, source=None, state=state, message=message
    )
    return Outcome(status=status)
