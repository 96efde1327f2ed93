"""The steps that write configuration keys of Milvus, and hand them back."""

from __future__ import annotations

from collections.abc import Mapping

from milvus_tuning.api import ConfigDelivery
from milvus_tuning.catalogue import normalised, stored_spelling
from milvus_tuning.decide.config.road import ETCD, settings_on
from milvus_tuning.plan import ROAD, Parameters, Step, StepKind
from milvus_tuning.snapshot import EtcdSetting, OwnedKey, Snapshot

PLACEMENT_LEASE_SECONDS = 300  # longer than a restart of ours, short enough that a forgotten balancer comes back soon
PLACEMENT_KEY = stored_spelling("queryCoord.autoBalance")
INFERRED = {"evidence": "inferred"}
"""In the action of a write whose effect or range was neither read nor run: a person must approve it."""


def set_config(
    key: str, stored: EtcdSetting | None, value: str | None, *, inferred: bool = False, road: ConfigDelivery = ETCD
) -> Step:
    """Write a key (None: remove it); what is stored now comes back when it is taken back."""
    before: dict[str, str | int | None] = {"key": key, "value": stored.value if stored else None}
    after: dict[str, str | int | None] = {"key": key, "value": value}
    action = {**after, **INFERRED} if inferred else after
    action = {**action, **_named(road)}
    return Step(kind=StepKind.SET_CONFIG, precondition=before, action=action, verification=after, undo=before)


def _named(road: ConfigDelivery) -> Parameters:
    """The road in an action; etcd goes without saying."""
    return {} if road is ETCD else {ROAD: str(road)}


def is_inferred(step: Step) -> bool:
    """Whether the step writes a key whose effect or range was neither read nor run."""
    return step.action.get("evidence") == "inferred"


def take_placement() -> Step:
    """Hold Milvus's balancer off, under a lease; what was not there before goes when it is taken back."""
    absent, ours = {"key": PLACEMENT_KEY, "value": None}, {"key": PLACEMENT_KEY, "value": "false"}
    return Step(
        kind=StepKind.TAKE_PLACEMENT,
        precondition=absent,
        action={**ours, "leaseSeconds": PLACEMENT_LEASE_SECONDS},
        verification=ours,
        undo=absent,
    )


def hand_back_steps(
    record: Mapping[str, OwnedKey], snapshot: Snapshot, road: ConfigDelivery = ETCD
) -> tuple[Step, ...]:
    """The steps that hand back the recorded keys, by name. What somebody else changed since then stays."""
    stored = settings_on(road, snapshot)
    return tuple(_hand_back(key, record[key], stored.get(normalised(key)), road) for key in sorted(record))


def _hand_back(key: str, owned: OwnedKey, stored: EtcdSetting | None, road: ConfigDelivery) -> Step:
    present = stored.value if stored else None
    before = {"key": key, "value": present}
    # A value that is not ours any more is left alone: what is verified is that it stays.
    remains = owned.previous if present == owned.written else present
    placement = key == PLACEMENT_KEY
    return Step(
        kind=StepKind.RETURN_PLACEMENT if placement else StepKind.SET_CONFIG,
        precondition=before,
        action={"key": key, "value": owned.previous, **_named(road)},
        verification={"key": key, "value": remains},
        undo={**before, "leaseSeconds": PLACEMENT_LEASE_SECONDS} if placement else before,
    )
