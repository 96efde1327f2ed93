"""Profiles as types: goals and starting points of a kind of workload, by revision (`profiles.yaml`).

A profile only proposes. Nothing in it is a default of anything: a value of it acts once a person declares it.
What cannot be read, or cannot be true, is a CatalogueError that names the profile, the revision and the field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from milvus_tuning.catalogue.loader import FAST_LOADER
from milvus_tuning.catalogue.registry import CatalogueError

LONGEST_TEXT = 200  # keeps the profile's part of a status below 8 KiB
_Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileGoal:
    """A number to measure against. goal: a field of the policy's objectives, or availability in percent."""

    goal: str
    value: Decimal
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """What a profile would declare: the field of the policy (its path below spec), the value, and where it comes from.

    note tells what the value costs, or what must be known before it is declared; "" where there is nothing to tell.
    """

    field: str
    value: str
    source: str
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileRevision:
    """One revision of a profile."""

    goals: tuple[ProfileGoal, ...]
    proposals: tuple[Proposal, ...]


Profiles = Mapping[str, Mapping[int, ProfileRevision]]
"""By name and revision."""


@cache
def profiles() -> Profiles:
    """The profiles of this release; raises CatalogueError where the file is broken."""
    return read_profiles(files("milvus_tuning.catalogue").joinpath("profiles.yaml").read_text(encoding="utf-8"))


def read_profiles(text: str) -> Profiles:
    """The profiles that a text of profiles.yaml describes; raises CatalogueError where it is broken."""
    try:
        raw: Mapping[str, _Row] = yaml.load(text, Loader=FAST_LOADER)
        return {name: _revisions(name, entry["revisions"]) for name, entry in raw.items()}
    except yaml.YAMLError as error:
        raise CatalogueError(f"profiles.yaml is not YAML: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise CatalogueError(f"profiles.yaml: a section is missing or has another form: {error}") from error


def _revisions(name: str, raw: Mapping[int, _Row]) -> Mapping[int, ProfileRevision]:
    if list(raw) != list(range(1, len(raw) + 1)) or not raw:
        raise CatalogueError(f"profiles.yaml: {name}: revisions must be 1, 2, ... in this order, not {list(raw)}")
    return {number: _revision(f"profiles.yaml: {name} revision {number}", entry) for number, entry in raw.items()}


def _revision(where: str, raw: _Row) -> ProfileRevision:
    found = ProfileRevision(
        goals=tuple(_goal(where, row) for row in raw["goals"]),
        proposals=tuple(_proposal(where, row) for row in raw["proposals"]),
    )
    _require_different(where, [one.goal for one in found.goals] + [one.field for one in found.proposals])
    return found


def _goal(where: str, row: _Row) -> ProfileGoal:
    texts = _texts(where, row, ("goal", "value", "source"))
    try:
        return ProfileGoal(goal=texts["goal"], value=Decimal(texts["value"]), source=texts["source"])
    except InvalidOperation as error:
        raise CatalogueError(f"{where}: {texts['goal']}: {texts['value']!r} is not a number") from error


def _proposal(where: str, row: _Row) -> Proposal:
    return Proposal(**_texts(where, row, ("field", "value", "source"), ("note",)))


def _texts(where: str, row: _Row, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, str]:
    """The fields of a row; each a text of a bounded length, none unknown."""
    missing = [name for name in required if name not in row]
    unknown = sorted(set(row) - {*required, *optional})
    if missing or unknown:
        fault = f"{missing[0]} is missing" if missing else f"no field is called {unknown[0]}"
        raise CatalogueError(f"{where}: {dict(row)}: {fault}")
    for name, value in row.items():
        if not isinstance(value, str):
            raise CatalogueError(f"{where}: {name}: {value!r} must be in quotes")
        if not 0 < len(value) <= LONGEST_TEXT:
            raise CatalogueError(f"{where}: {name}: {len(value)} characters, of 1 to {LONGEST_TEXT}")
    return dict(row)


def _require_different(where: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CatalogueError(f"{where}: {twice[0]} is there twice")
