"""What a pinned profile proposes, beside what is declared. A profile never acts: no field of it is a default of ours.

Each field of the spec beats it. A field that is declared is in force as declared; one that is not is a proposal, in
force nowhere until somebody declares it. A default inside of a declared block counts as declared: it is in force.

Worked example, profile RAG with `inMemoryReplicas: {maxCount: 4}`: minCount is declared (1, the block's default) where
the profile proposes 2; `network.compression` is proposed (Enabled), and nothing of the network is managed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from milvus_tuning.api import MilvusTuningSpec, Profile
from milvus_tuning.catalogue.profiles import ProfileRevision, Profiles, profiles

CONSISTENCY_LEVELS = "consistency.collections"
CACHE_SIZE = "storage.cache"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileRow:
    """A field of the policy: what the profile proposes, and what is declared (None: nothing, it is unmanaged)."""

    field: str
    proposed: str
    declared: str | None
    source: str
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class GoalRow:
    """A number to measure against; a declared objective beats that of the profile."""

    goal: str
    proposed: Decimal
    declared: Decimal | None
    source: str

    @property
    def wanted(self) -> Decimal:
        """The number that counts."""
        return self.proposed if self.declared is None else self.declared


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileView:
    """A pinned profile. newest_revision is None where the operator knows no profile of this name.

    message tells of a revision that is not known, or of a newer one; "" where there is nothing to tell.
    """

    name: str
    revision: int
    newest_revision: int | None
    rows: tuple[ProfileRow, ...] = ()
    goals: tuple[GoalRow, ...] = ()
    message: str = ""


def profile_view(spec: MilvusTuningSpec, known: Profiles | None = None) -> ProfileView | None:
    """The pinned profile beside the spec; None where none is pinned. known: other profiles than those of this release.

    A newer revision than the pinned one is told of and never taken.
    """
    if spec.profile is None:
        return None
    revisions = (profiles() if known is None else known).get(spec.profile.name, {})
    newest = max(revisions, default=None)
    found = revisions.get(spec.profile.revision)
    rows, goals = ((), ()) if found is None else (_rows(found, spec), _goals(found, spec))
    return ProfileView(
        name=spec.profile.name.value,
        revision=spec.profile.revision,
        newest_revision=newest,
        rows=rows,
        goals=goals,
        message=_message(spec.profile, newest, known=found is not None),
    )


def _message(profile: Profile, newest: int | None, *, known: bool) -> str:
    pinned = f"revision {profile.revision} of profile {profile.name}"
    if newest is None:
        return f"profile {profile.name} is not known to this operator: nothing is proposed; upgrade the operator"
    if not known:
        return (
            f"{pinned} is not known to this operator, whose newest is {newest}: nothing is proposed; "
            f"set profile.revision to {newest}, or upgrade the operator"
        )
    if newest > profile.revision:
        return f"revision {newest} is there; {pinned} is pinned and stays until profile.revision says otherwise"
    return ""


def _rows(revision: ProfileRevision, spec: MilvusTuningSpec) -> tuple[ProfileRow, ...]:
    return tuple(
        ProfileRow(
            field=one.field,
            proposed=one.value,
            declared=_declared(one.field, spec),
            source=one.source,
            note=one.note,
        )
        for one in revision.proposals
    )


def _goals(revision: ProfileRevision, spec: MilvusTuningSpec) -> tuple[GoalRow, ...]:
    found = []
    for one in revision.goals:
        declared = _at(one.goal, spec)
        number = None if declared is None else Decimal(declared)
        found.append(GoalRow(goal=one.goal, proposed=one.value, declared=number, source=one.source))
    return tuple(found)


def _declared(field: str, spec: MilvusTuningSpec) -> str | None:
    """What the spec says of the field, as text; None where it says nothing."""
    if field == CONSISTENCY_LEVELS:
        return _levels(spec)
    if field == CACHE_SIZE:
        return _cache_budget(spec)
    return _at(field, spec)


def _levels(spec: MilvusTuningSpec) -> str | None:
    """ "Bounded (2 collections), Strong (1 collection)", the most frequent level first."""
    collections = (spec.consistency.collections if spec.consistency else None) or ()
    counts = Counter(one.level.value for one in collections)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{level} ({count} collection{'s' if count > 1 else ''})" for level, count in ranked) or None


def _cache_budget(spec: MilvusTuningSpec) -> str | None:
    """The budget is declared by what is kept free of it; without a reserve there is none."""
    cache = spec.storage.cache if spec.storage else None
    if cache is None or cache.reserved_memory is None:
        return None
    return f"(limit - {cache.reserved_memory}) x {cache.usable_percent} %"


def _at(path: str, spec: MilvusTuningSpec) -> str | None:
    """The text of the field at a dotted path of names as the API spells them."""
    found: object = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return str(found)
