"""The leaves of `spec.config` of a Milvus object, and what they were before us: one annotation beside them.

    spec:
      config: {queryCoord: {autoBalanceInterval: 60000}}
    metadata:
      annotations:
        milvustuning.io/config: {"<policy uid>": {"querycoord.autobalanceinterval": {
          "path": ["config", "queryCoord", "autoBalanceInterval"], "kept": 1,
          "previous": null, "written": "60000", "writtenAt": "2026-01-01T12:00:00+00:00"}}}

Leaf and annotation change in one merge patch, guarded by the resourceVersion that both were read at, so nobody finds
the one without the other. `previous` is the value as it stood, of whatever type (null: there was none); `kept` is how
many parts of the path were there before us, so that `config: {queryCoord: {}}` is left behind only where it was found.

A leaf is found in any nesting and spelling, as Milvus does: `queryCoord.autoBalance: true` and
`querycoord: {auto_balance: true}` are one key. Nothing here talks to a server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from milvus_tuning.api import GROUP
from milvus_tuning.catalogue import normalised, stored_spelling
from milvus_tuning.catalogue.reading import catalogue
from milvus_tuning.catalogue.registry import ValueType
from milvus_tuning.clients.trees import Tree, nested, tree_at
from milvus_tuning.snapshot import OwnedKey

CONFIG_ANNOTATION: Final = f"{GROUP}/config"
CONFIG: Final = "config"
CONFIG_MAP_FILE: Final = "user.yaml"
_MOST_DIGITS: Final = 15  # of what every reader of JSON keeps exactly

Path = tuple[str, ...]


class ResourceConfigError(Exception):
    """What stands in the object cannot be worked with; the message says where and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaf:
    """A value below `spec`, at its path: ("config", "queryCoord", "autoBalance")."""

    path: Path
    value: object

    @property
    def spelling(self) -> str:
        """As a person writes it: `queryCoord.autoBalance`."""
        return ".".join(self.path[1:])


@dataclass(frozen=True, kw_only=True, slots=True)
class LeafRecord:
    """What a leaf was before us (None: absent), as text what we wrote (None: removed), and where."""

    path: Path
    kept: int
    previous: object
    written: str | None
    written_at: datetime | None = None

    @property
    def owned(self) -> OwnedKey:
        """The record as facts for a decision."""
        previous = None if self.previous is None else as_text(self.previous)
        return OwnedKey(previous=previous, written=self.written, written_at=self.written_at)

    def stands(self, leaf: Leaf | None) -> bool:
        """Whether what is there now is what we wrote, where we wrote it."""
        if leaf is None:
            return self.written is None
        return leaf.path == self.path and as_text(leaf.value) == self.written


Records = Mapping[str, Mapping[str, LeafRecord]]  # policy uid -> key -> record


def as_text(value: object) -> str:
    """A value as Milvus reads it: true becomes "true", a list has commas."""
    if isinstance(value, list):
        return ",".join(as_text(part) for part in value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def typed(key: str, text: str) -> object:
    """The value as YAML has it for a key of its type: "8" is 8 for a whole number, "true" true for a switch.

    Only where the text comes back from it unchanged; anything else stays text, which Milvus reads as well.
    """
    known = catalogue().find(key)
    kind = known.type if known is not None else ValueType.STRING
    if kind is ValueType.BOOL and text in {"true", "false"}:
        return text == "true"
    if kind not in {ValueType.INT, ValueType.FLOAT} or len(text) > _MOST_DIGITS:
        return text
    for number in (int, float) if kind is ValueType.FLOAT else (int,):
        try:
            value = number(text)
        except ValueError:
            continue
        if as_text(value) == text:
            return value
    return text


def leaves(resource: Tree) -> dict[str, list[Leaf]]:
    """The leaves of spec.config by normalised key, each with all places that Milvus takes for it; in order of paths."""
    found: dict[str, list[Leaf]] = {}
    for leaf in sorted(_below(tree_at(resource, "spec").get(CONFIG), (CONFIG,)), key=lambda one: one.path):
        found.setdefault(normalised(leaf.spelling), []).append(leaf)
    return found


def path_of(key: str) -> Path:
    """Where a key goes that has no leaf yet, spelt as Milvus's documentation does."""
    known = catalogue().find(key)
    return (CONFIG, *(known.name if known is not None else key).split("."))


def read_records(resource: Tree) -> Records:
    """The records of all policies. ResourceConfigError where the annotation holds something else."""
    text = tree_at(resource, "metadata", "annotations").get(CONFIG_ANNOTATION)
    if text is None:
        return {}
    try:
        raw = json.loads(text)
        return {uid: {key: _record(one) for key, one in records.items()} for uid, records in raw.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ResourceConfigError(
            f"annotation {CONFIG_ANNOTATION} is no record of ours, so nothing is handed back by guess: {text[:200]!r}"
        ) from error


def written_patch(resource: Tree, uid: str, key: str, record: LeafRecord, value: object) -> dict[str, Any]:
    """The merge patch that sets the leaf of a record (value None: removes it) together with the record."""
    records = _with(read_records(resource), uid, key, record)
    change = nested(record.path, value) if value is not None else _removed(resource, record.path, record.kept)
    return _patch(resource, records, change)


def handed_back_patch(resource: Tree, uid: str, key: str) -> dict[str, Any]:
    """The merge patch that restores what a record says was there, and removes the record."""
    records = read_records(resource)
    record = records[uid][key]
    absent = record.previous is None
    change = _removed(resource, record.path, record.kept) if absent else nested(record.path, record.previous)
    return _patch(resource, _without(records, uid, key), change)


def forgotten_patch(resource: Tree, uid: str, key: str) -> dict[str, Any]:
    """The merge patch that removes the record and leaves the leaf as it is."""
    return _patch(resource, _without(read_records(resource), uid, key), {})


def record_to_write(
    resource: Tree, uid: str, key: str, *, leaf: Leaf | None, text: str | None, written_at: datetime | None
) -> LeafRecord:
    """The record that goes with a write of this text. What was there before us stays on it as long as that stands.

    ResourceConfigError where the place of the leaf is taken by something that is no value of it.
    """
    records = read_records(resource)
    held = records.get(uid, {}).get(key)
    if held is not None and held.stands(leaf):
        return replace(held, written=text, written_at=written_at)
    path = path_of(key) if leaf is None else leaf.path
    others = [one for owner in records for name, one in records[owner].items() if (owner, name) != (uid, key)]
    kept = _kept(_there(resource, path, leaf), path, others)
    previous = None if leaf is None else leaf.value
    if leaf is not None and previous is None:
        raise ResourceConfigError(f"spec.{'.'.join(path)} is null, which is no value: remove it, or set one")
    return LeafRecord(path=path, kept=kept, previous=previous, written=text, written_at=written_at)


def _below(tree: object, path: Path) -> list[Leaf]:
    if not isinstance(tree, Mapping):
        return [] if path == (CONFIG,) else [Leaf(path=path, value=tree)]
    return [leaf for name, value in tree.items() for leaf in _below(value, (*path, str(name)))]


def _there(resource: Tree, path: Path, leaf: Leaf | None) -> int:
    """How many parents of a leaf are there, from spec.config on."""
    at: object = tree_at(resource, "spec")
    for depth, name in enumerate(path):
        if not isinstance(at, Mapping) or (leaf is None and name in at and depth == len(path) - 1):
            raise ResourceConfigError(f"spec.{'.'.join(path[: depth + 1])} cannot be set: {at!r:.80} stands there")
        if name not in at:
            return depth
        at = at[name]
    return len(path) - 1


def _kept(there: int, path: Path, others: Sequence[LeafRecord]) -> int:
    """How many of them were there before any of us: what another record of ours made is not."""
    parents = path[:-1]
    for other in others:
        shared = next((n for n, (a, b) in enumerate(zip(parents, other.path[:-1], strict=False)) if a != b), None)
        common = min(len(parents), len(other.path) - 1) if shared is None else shared
        if common > other.kept:
            there = min(there, other.kept)
    return there


def _removed(resource: Tree, path: Path, kept: int) -> dict[str, Any]:
    """Without the leaf, and without the parents of our making that would be empty then."""
    trees: list[Tree] = []
    at: object = tree_at(resource, "spec")
    for name in path[:-1]:
        at = at.get(name) if isinstance(at, Mapping) else None
        if not isinstance(at, Mapping):
            return {}
        trees.append(at)
    last = len(path)
    while last - 1 > kept and set(trees[last - 2]) <= {path[last - 1]}:
        last -= 1
    return nested(path[:last], None)


def _patch(resource: Tree, records: Records, change: Tree) -> dict[str, Any]:
    text = json.dumps(_raw(records), separators=(",", ":")) if records else None
    metadata = {"resourceVersion": resource["metadata"]["resourceVersion"], "annotations": {CONFIG_ANNOTATION: text}}
    return {"metadata": metadata, **({"spec": change} if change else {})}


def _raw(records: Records) -> dict[str, Any]:
    return {uid: {key: _raw_record(one) for key, one in held.items()} for uid, held in records.items()}


def _raw_record(record: LeafRecord) -> dict[str, Any]:
    raw = {"path": list(record.path), "kept": record.kept, "previous": record.previous, "written": record.written}
    return raw | ({"writtenAt": record.written_at.isoformat()} if record.written_at else {})


def _record(raw: Tree) -> LeafRecord:
    path, written = tuple(str(name) for name in raw["path"]), raw["written"]
    if len(path) < 2 or path[0] != CONFIG or not (written is None or isinstance(written, str)):
        raise ValueError(f"no leaf of spec.{CONFIG}: {path}")
    return LeafRecord(
        path=path,
        kept=int(raw["kept"]),
        previous=raw["previous"],
        written=written,
        written_at=datetime.fromisoformat(raw["writtenAt"]) if "writtenAt" in raw else None,
    )


def _with(records: Records, uid: str, key: str, record: LeafRecord) -> Records:
    return {**records, uid: {**records.get(uid, {}), stored_spelling(key): record}}


def _without(records: Records, uid: str, key: str) -> Records:
    rest = {name: one for name, one in records.get(uid, {}).items() if name != key}
    others = {owner: held for owner, held in records.items() if owner != uid}
    return {**others, uid: rest} if rest else others


def trouble_of(resource: Tree) -> str | None:
    """Why nothing may be written into spec.config of this object: then every component would be restarted."""
    only = tree_at(resource, "spec", "components").get("updateConfigMapOnly")
    if only is True:
        return None
    said = "is not set" if only is None else f"is {as_text(only)}"
    return (
        f"spec.components.updateConfigMapOnly of the Milvus object {said}, so that milvus-operator would restart every "
        "component at each change of spec.config (set it to true, or use configDelivery: Etcd)"
    )
