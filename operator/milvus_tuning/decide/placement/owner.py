"""Whether Milvus's own balancer places segments at this moment, and whether it can be held off for a while.

It runs unless `queryCoord.autoBalance` is false in etcd: by placementOwner Operator (a key of ours under a lease), or
by somebody's hand. What a configuration file says cannot be seen: without the key the balancer counts as running.
"""

from __future__ import annotations

from dataclasses import dataclass

from milvus_tuning.api import MilvusTuningSpec, Mode, PlacementOwner
from milvus_tuning.catalogue import normalised
from milvus_tuning.decide.config.keys import PLACEMENT_KEY
from milvus_tuning.snapshot import EtcdSetting, Snapshot

_OFF = frozenset({"false", "f", "0"})  # what Go's ParseBool, by which Milvus reads it, takes for false


@dataclass(frozen=True, kw_only=True, slots=True)
class Balancer:
    """Milvus's balancer: whether it is off, and what keeps us from holding it off for the length of a plan."""

    off: bool
    hindrance: str | None = None


def operator_places(spec: MilvusTuningSpec) -> bool:
    """Whether the spec hands the placement to the operator."""
    owner = spec.load_balancing.placement_owner if spec.load_balancing else None
    return owner is PlacementOwner.OPERATOR


def milvus_balancer(spec: MilvusTuningSpec, snapshot: Snapshot) -> Balancer:
    """How it stands. In mode Observe placementOwner Operator counts as done, to show what it would do."""
    stored = snapshot.settings.get(normalised(PLACEMENT_KEY))
    if _is_off(stored) or (operator_places(spec) and spec.mode is Mode.OBSERVE):
        return Balancer(off=True)
    if not snapshot.settings_readable:
        return Balancer(off=False, hindrance="etcd is needed for that and could not be read")
    if snapshot.etcd_root_path is None:
        return Balancer(off=False, hindrance="etcd is needed for that, and its root path is not proven")
    if stored is not None:
        return Balancer(off=False, hindrance=f"{stored.key} = {stored.value} in etcd is set by somebody else")
    return Balancer(off=False)


def _is_off(stored: EtcdSetting | None) -> bool:
    return stored is not None and len(stored.spellings) <= 1 and stored.value.strip().lower() in _OFF
