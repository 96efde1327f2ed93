"""A declared intent with its value, and what can be said of it from the lever and from Milvus's own sources."""

from __future__ import annotations

from dataclasses import dataclass, replace

from milvus_tuning.catalogue import Intent, Lever, ServerVersion, find_lever, normalised
from milvus_tuning.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class Declared:
    """What an intent is to be.

    value is a number in the unit of the field (0 or 1 for a switch), or the field's word where its levers take words
    (routing, warmup).
    note says how it came about, where it was not simply declared. objection says why it is not to be written now
    although it has a lever; None where nothing speaks against it.
    """

    intent: Intent
    value: int | str
    note: str = ""
    objection: str | None = None


def lever_of(intent: Intent, version: ServerVersion | None) -> Lever | None:
    """The lever of an intent in exactly this version; None where there is none, or the version is not known."""
    found = find_lever(intent, version) if version is not None else None
    return found if isinstance(found, Lever) else None


def standing(snapshot: Snapshot, key: str) -> str | None:
    """What a key is set to outside of Milvus's code: etcd goes before the environment, that before files.

    None where nothing sets it, so that the default holds; also where nothing could be read.
    """
    stored = snapshot.settings.get(normalised(key))
    return stored.value if stored else beneath_etcd(snapshot, key)


def beneath_etcd(snapshot: Snapshot, key: str) -> str | None:
    """What a key is set to by the install itself, so what holds again once nothing is in etcd; None: the default."""
    name = normalised(key)
    return snapshot.environment_config.get(name, snapshot.install_config.get(name))


def within_range(one: Declared, version: ServerVersion | None) -> Declared:
    """The same, with an objection where the value is outside of what is safe for its lever."""
    lever = lever_of(one.intent, version)
    objection = range_objection(lever, one.value) if lever is not None else None
    return one if objection is None else replace(one, objection=objection)


def range_objection(lever: Lever, value: int | str) -> str | None:
    """Why a value is not safe, in the unit of the field; None for a word, which has no range.

    Example: with a maximum of 32 and the harm "reads starve each other", 64 is "64 is outside of the safe range (at
    most 32), reads starve each other".
    """
    if isinstance(value, str):
        return None
    below = lever.minimum is not None and value < lever.minimum
    above = lever.maximum is not None and value > lever.maximum
    if not below and not above:
        return None
    harm = f", {lever.harm}" if lever.harm else ""
    return f"{value} is outside of the safe range ({_bounds(lever)}){harm}"


def _bounds(lever: Lever) -> str:
    if lever.minimum is None:
        return f"at most {lever.maximum}"
    return f"at least {lever.minimum}" if lever.maximum is None else f"{lever.minimum} to {lever.maximum}"
