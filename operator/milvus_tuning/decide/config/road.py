"""The two roads by which configuration keys reach Milvus, as far as a judgement has to tell them apart.

    Etcd            keys under the proven root path: before all else, read again within seconds
    MilvusResource  leaves of spec.config of the Milvus object: behind etcd and the environment; the ConfigMap made of
                    them reaches a running pod within 100 s, and is read again from Milvus 2.4.5 on

On the second road a key that is read live acts before 2.4.5 at the next start only, so it is carried like one that is
read at start: written within a restart of its readers. The owner of the placement hangs on a lease, so it is a matter
of etcd on either road.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from milvus_tuning.api import ConfigDelivery, MilvusTuningSpec
from milvus_tuning.catalogue import ServerVersion, normalised
from milvus_tuning.plan import Step
from milvus_tuning.snapshot import EtcdSetting, OwnedKey, Snapshot

REREAD_SINCE = ServerVersion(2, 4, 5)  # milvus-operator's guide: a mounted file is read again by running pods
ETCD_SETTLE_SECONDS = 15.0  # Milvus asks etcd every few seconds; until then a process shows the former value
FILE_SETTLE_SECONDS = 100.0  # kubelet's sync of 60 s and half of that as its jitter, 5 s of Milvus, 5 s for others
ETCD, RESOURCE = ConfigDelivery.ETCD, ConfigDelivery.MILVUS_RESOURCE
NAMES: Mapping[ConfigDelivery, str] = {ETCD: "etcd", RESOURCE: "spec.config"}
SETTLE_SECONDS: Mapping[ConfigDelivery, float] = {ETCD: ETCD_SETTLE_SECONDS, RESOURCE: FILE_SETTLE_SECONDS}


def road_of(spec: MilvusTuningSpec) -> ConfigDelivery:
    """The road that the spec declares."""
    return spec.config_delivery or ETCD


def other(road: ConfigDelivery) -> ConfigDelivery:
    """The road that it is not."""
    return ETCD if road is RESOURCE else RESOURCE


def trouble_on(road: ConfigDelivery, snapshot: Snapshot) -> str | None:
    """Why a road says nothing, or nothing that counts, or may not be written on."""
    if road is RESOURCE:
        config = snapshot.resource_config
        if config is None:
            return "the Milvus object could not be read"
        unseen = "the ConfigMap that milvus-operator makes of spec.config could not be read"
        return config.trouble or (unseen if config.rendered is None else None)
    if not snapshot.settings_readable:
        return "etcd could not be read"
    return "the root path in etcd is not proven" if snapshot.etcd_root_path is None else None


def settings_on(road: ConfigDelivery, snapshot: Snapshot) -> Mapping[str, EtcdSetting]:
    """What is stored on a road, by normalised key."""
    if road is ETCD:
        return snapshot.settings
    return {} if snapshot.resource_config is None else snapshot.resource_config.settings


def owned_on(road: ConfigDelivery, snapshot: Snapshot, policy_uid: str) -> Mapping[str, OwnedKey]:
    """What a policy holds on a road."""
    if road is ETCD:
        return snapshot.owned_keys.get(policy_uid, {})
    return {} if snapshot.resource_config is None else snapshot.resource_config.owned_keys.get(policy_uid, {})


def as_read(snapshot: Snapshot) -> Snapshot:
    """The same, with the settings of both roads as Milvus reads them: etcd goes before the file."""
    return replace(snapshot, settings={**settings_on(RESOURCE, snapshot), **snapshot.settings})


def is_reread(road: ConfigDelivery, version: ServerVersion | None) -> bool:
    """Whether running processes read again what is written on this road."""
    return road is ETCD or (version is not None and version >= REREAD_SINCE)


def not_rendered(step: Step, snapshot: Snapshot, *, back: bool = False) -> str | None:
    """What milvus-operator's ConfigMap has of the leaf of a step, where that is not what stands there; else None.

    A pod that starts before it has followed would read the former value. back: the step was taken back.
    """
    config = snapshot.resource_config
    if config is None or config.rendered is None:
        return "the ConfigMap that milvus-operator makes of spec.config cannot be read"
    key, former = str(step.action.get("key")), (step.action if back else step.precondition).get("value")
    stored, has = config.settings.get(normalised(key)), config.rendered.get(normalised(key))
    if (has == stored.value) if stored is not None else (has is None or has != former):
        return None
    return f"the ConfigMap that milvus-operator makes of spec.config has {'nothing' if has is None else has} for {key}"
