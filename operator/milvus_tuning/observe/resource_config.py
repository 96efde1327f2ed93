"""What a Milvus object says of configuration keys: the leaves of its spec.config, our record, and the ConfigMap.

milvus-operator writes `user.yaml` of the ConfigMap that bears the name of the object from its template and spec.config,
at once. Pods mount it as a directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from milvus_tuning.clients.configuration import is_secret
from milvus_tuning.clients.kube import KubeError, KubeReader
from milvus_tuning.clients.resource_config import (
    CONFIG_MAP_FILE,
    Leaf,
    Records,
    ResourceConfigError,
    as_text,
    leaves,
    read_records,
    trouble_of,
)
from milvus_tuning.observe.install_config import as_text as texts_of
from milvus_tuning.observe.install_config import file_config
from milvus_tuning.snapshot import EtcdSetting, OwnedKey, ResourceConfig

_NO_REVISION = 0  # of its own: a leaf is guarded by the version of the whole object


def read_resource_config(reader: KubeReader, namespace: str, resource: Mapping[str, Any]) -> ResourceConfig:
    """The leaves of the object, without those of secrets, and what the ConfigMap makes of them."""
    trouble = trouble_of(resource)
    records: Records = {}
    try:
        records = read_records(resource)
    except ResourceConfigError as error:
        trouble = str(error)
    return ResourceConfig(
        settings={key: _setting(found) for key, found in leaves(resource).items() if not is_secret(key)},
        owned_keys=_owned(records),
        rendered=_rendered(reader, namespace, resource["metadata"]["name"]),
        trouble=trouble,
    )


def _setting(found: list[Leaf]) -> EtcdSetting:
    first = found[0]
    return EtcdSetting(
        key=first.spelling,
        value=as_text(first.value),
        spellings=tuple(leaf.spelling for leaf in found),
        revision=_NO_REVISION,
    )


def _owned(records: Records) -> dict[str, dict[str, OwnedKey]]:
    return {uid: {key: record.owned for key, record in held.items()} for uid, held in records.items()}


def _rendered(reader: KubeReader, namespace: str, name: str) -> Mapping[str, str] | None:
    """As text by normalised key; None where it cannot be read, which is no trouble for anything else."""
    try:
        content = reader.config_map(namespace, name).get(CONFIG_MAP_FILE)
    except KubeError:
        return None
    return None if content is None else texts_of(file_config([content]))
