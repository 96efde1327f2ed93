"""Milvus's configuration keys as leaves of `spec.config` of the Milvus object, each with a record of what was there.

Leaf and record (clients/resource_config.py) change in one patch, guarded by the resourceVersion that both were read at.
No other leaf is touched. milvus-operator writes its ConfigMap from it at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from milvus_tuning.apply.context import (
    ApplyContext,
    kubernetes_errors,
    unless_conflict,
    workload_name,
)
from milvus_tuning.apply.milvus_object import merge_milvus, read_milvus
from milvus_tuning.catalogue import normalised, stored_spelling
from milvus_tuning.clients import resource_config as leaves
from milvus_tuning.clients.resource_config import Leaf, LeafRecord, ResourceConfigError
from milvus_tuning.errors import ApplyError
from milvus_tuning.snapshot import OwnedKey, WorkloadKind


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredLeaf:
    """A key as it stands in the Milvus object, with our record of it."""

    context: ApplyContext
    resource: dict[str, Any]
    key: str
    leaf: Leaf | None
    held: LeafRecord | None

    @property
    def record(self) -> OwnedKey | None:
        """What it was before us, None where it is not ours."""
        return None if self.held is None else self.held.owned

    @property
    def path(self) -> str:
        """Where it is, in words."""
        path = leaves.path_of(self.key) if self.leaf is None else self.leaf.path
        return f"spec.{'.'.join(path)} of {workload_name(self.context)}"

    @property
    def value(self) -> str | None:
        """The value that Milvus reads, None where the leaf is absent."""
        return None if self.leaf is None else leaves.as_text(self.leaf.value)

    @property
    def ours(self) -> bool:
        """Whether what is there now is what we wrote."""
        return self.held is not None and self.held.stands(self.leaf)

    def set(self, text: str | None) -> None:
        """Write the value (None: remove it) and the record. ApplyError where the object changed meanwhile."""
        written_at = self.context.clock() if self.context.clock is not None else None
        try:
            record = leaves.record_to_write(
                self.resource, self.context.policy_uid, self.key, leaf=self.leaf, text=text, written_at=written_at
            )
        except ResourceConfigError as error:
            raise ApplyError(f"{workload_name(self.context)}: {error}", retryable=False) from error
        value = None if text is None else leaves.typed(self.key, text)
        self._write(leaves.written_patch(self.resource, self.context.policy_uid, self.key, record, value))

    def restore(self) -> None:
        """Put back what was there before us, and remove the record."""
        self._write(leaves.handed_back_patch(self.resource, self.context.policy_uid, self.key))

    def forget(self) -> None:
        """Remove the record alone."""
        self._write(leaves.forgotten_patch(self.resource, self.context.policy_uid, self.key))

    def _write(self, patch: dict[str, Any]) -> None:
        trouble = leaves.trouble_of(self.resource) if "spec" in patch else None
        if trouble is not None:
            raise ApplyError(trouble, retryable=False)
        self.context.require_lease()
        with kubernetes_errors(f"writing {self.path}"):
            if not unless_conflict(lambda: merge_milvus(self.context, patch)):
                raise ApplyError(f"{self.path}: the object changed while it was being written", retryable=True)


def read_leaf(context: ApplyContext, key: str) -> StoredLeaf:
    """The leaf and its record now. ApplyError where there is no such object, or the key stands there twice."""
    resource = _read(context)
    found = leaves.leaves(resource).get(normalised(key), [])
    if len(found) > 1:
        spellings = ", ".join(leaf.spelling for leaf in found)
        text = f"{key} stands in spec.config as {spellings}: which one acts would be a matter of chance"
        raise ApplyError(f"{text}; remove all but one", retryable=False)
    held = _records(resource, context).get(stored_spelling(key))
    leaf = found[0] if found else None
    return StoredLeaf(context=context, resource=resource, key=stored_spelling(key), leaf=leaf, held=held)


def held_leaves(context: ApplyContext) -> tuple[str, ...]:
    """The keys that this policy holds in the Milvus object, by name; none of a target that is none."""
    if context.workload.kind is not WorkloadKind.MILVUS:
        return ()
    return tuple(sorted(_records(_read(context), context)))


def _records(resource: dict[str, Any], context: ApplyContext) -> Mapping[str, LeafRecord]:
    try:
        return leaves.read_records(resource).get(context.policy_uid, {})
    except ResourceConfigError as error:
        raise ApplyError(f"{workload_name(context)}: {error}", retryable=False) from error


def _read(context: ApplyContext) -> dict[str, Any]:
    if context.workload.kind is not WorkloadKind.MILVUS:
        text = f"{workload_name(context)} is not of kind Milvus and has no spec.config: use configDelivery: Etcd"
        raise ApplyError(text, retryable=False)
    return read_milvus(context, "spec.config")
