"""What a Milvus object says of where QueryNodes are placed, and who says it.

A component's affinity replaces the one of all components (milvus-operator v1.3.8): with a zone preference in
`spec.components.queryNode.affinity` QueryNodes would lose `spec.components.affinity`. So nothing is written where an
affinity of somebody else stands, on the component or on all; beside a spread over zones that is a demand it would be
without effect, or against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from milvus_tuning.api import FIELD_MANAGER
from milvus_tuning.catalogue import SCHEDULING_FIELD, preference_of
from milvus_tuning.catalogue.zone_preference import PREFERRED, ZONE_LABEL
from milvus_tuning.clients.trees import Tree, tree_at
from milvus_tuning.snapshot import Scheduling

# One of its own: an apply under the manager of the replica count that leaves this field out would take it away.
SCHEDULING_MANAGER = f"{FIELD_MANAGER}/scheduling"
_PATH = SCHEDULING_FIELD.split(".")


def scheduling_of(milvus: Tree) -> Scheduling:
    """How the object stands."""
    terms = tree_at(milvus, *_PATH[:-1]).get(PREFERRED) or []
    return Scheduling(
        preference=preference_of(terms, milvus["metadata"]["name"]),
        ours=bool(terms) and SCHEDULING_MANAGER in _owners(milvus, _PATH),
        others=tuple(_others(milvus)),
        all_at_once=tree_at(milvus, "spec", "components").get("imageUpdateMode") == "force",
    )


def _others(milvus: Tree) -> Iterator[str]:
    every, own = tree_at(milvus, "spec", "components"), tree_at(milvus, "spec", "components", "queryNode")
    if own.get("groups"):
        yield "spec.components.queryNode.groups is set, and each group has an affinity of its own"
    if every.get("affinity"):
        yield _told(milvus, "spec.components.affinity", "would not reach QueryNodes any more")
    if _more_than_preferred(own.get("affinity") or {}) or not _known(milvus):
        yield _told(milvus, "spec.components.queryNode.affinity", "is not overwritten")
    name = (
        "queryNode.topologySpreadConstraints" if own.get("topologySpreadConstraints") else "topologySpreadConstraints"
    )
    spread = own.get("topologySpreadConstraints") or every.get("topologySpreadConstraints") or ()
    if any(one.get("topologyKey") == ZONE_LABEL and one.get("whenUnsatisfiable") == "DoNotSchedule" for one in spread):
        yield _told(milvus, f"spec.components.{name}", "demands a spread over zones (DoNotSchedule)")


def _known(milvus: Tree) -> bool:
    """Whether the preferred terms are ones that we write, or none at all."""
    terms = tree_at(milvus, *_PATH[:-1]).get(PREFERRED) or []
    return not terms or preference_of(terms, milvus["metadata"]["name"]) is not None


def _more_than_preferred(affinity: Tree) -> bool:
    """Whether there is anything beside the preferred terms."""
    pods = affinity.get("podAffinity") or {}
    beside = {name: part for name, part in affinity.items() if name != "podAffinity"}
    return any(beside.values()) or any(part for name, part in pods.items() if name != PREFERRED)


def _told(milvus: Tree, field: str, what: str) -> str:
    owners = ", ".join(sorted(_owners(milvus, field.split("."))))
    return f"{field}{f' (set by {owners})' if owners else ''} {what}"


def _owners(milvus: Tree, path: list[str]) -> set[str]:
    """The field managers that own the field, or a part of it."""
    entries = milvus["metadata"].get("managedFields") or ()
    names = [f"f:{name}" for name in path]
    return {entry.get("manager", "") for entry in entries if _owns(entry.get("fieldsV1") or {}, names)}


def _owns(fields: Tree, names: list[str]) -> bool:
    at: Any = fields
    for name in names:
        if not isinstance(at, Mapping) or name not in at:
            return False
        at = at[name]
    return True
